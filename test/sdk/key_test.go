package sdk

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// countersign runs a command of the binary under test, as the administrator.
func (s *server) countersign(t *testing.T, stdin string, args ...string) []byte {
	t.Helper()
	out, said, code := s.exec(t, stdin, args...)
	if code != 0 {
		t.Fatalf("countersign %s: exit %d\n%s", strings.Join(args, " "), code, said)
	}
	return out
}

// exec runs a command and returns what it printed, what it said, and its exit code.
func (s *server) exec(t *testing.T, stdin string, args ...string) (out, said []byte, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Getenv("COUNTERSIGN_BIN"), args...)
	cmd.Env = s.childEnv()
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return out, exit.Stderr, exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	return out, nil, 0
}

// servicePolicy lets a service read what is below a prefix, in one region, and
// tag one secret as long as it keeps its team.
const servicePolicy = `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:*:*:secret:/keys/service/*",
  "Condition":{"StringEquals":{"aws:RequestedRegion":"us-east-1"}}},
 {"Effect":"Allow","Action":["secretsmanager:TagResource","secretsmanager:UntagResource"],"Resource":"*",
  "Condition":{"StringEquals":{"secretsmanager:ResourceTag/team":"billing"}}}]}`

// TestServiceKey gives a service a key of its own, and sees that it can do what
// its policy says and no more, until the key is revoked.
func TestServiceKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	admin := &world{T: t, Client: secretsmanager.NewFromConfig(cfg), server: s, cfg: cfg, prefix: "/keys/"}
	admin.create("other", "theirs")
	own := admin.create("service/token", "ours")
	_, err = admin.TagResource(t.Context(), &secretsmanager.TagResourceInput{SecretId: own.Name, Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("billing")}}})
	admin.ok(err)
	_, err = admin.ReplicateSecretToRegions(t.Context(), &secretsmanager.ReplicateSecretToRegionsInput{SecretId: own.Name, AddReplicaRegions: regions("us-west-2")})
	admin.ok(err)

	s.countersign(t, servicePolicy, "policy", "put", "service-reads")
	s.countersign(t, "", "user", "create", "service", "--machine")
	s.countersign(t, "", "policy", "attach", "service-reads", "--user", "service")
	id, secret := newKey(t, s, "service")
	cfg.Credentials = credentials.NewStaticCredentialsProvider(id, secret, "")
	service := &world{T: t, Client: secretsmanager.NewFromConfig(cfg), server: s, cfg: cfg, prefix: admin.prefix}

	is(service, "the value", service.value(*own.Name), plant("ours"))
	is(service, "the value by its ARN", service.value(*own.ARN), plant("ours"))
	read := func(w *world, name string) error {
		_, err := w.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String(name)})
		return err
	}
	const not = "is not authorized to perform: secretsmanager:"
	service.refused("another secret", read(service, "/keys/other"), "AccessDeniedException", not+"GetSecretValue")
	service.refused("a secret of none", read(service, "/keys/none"), "AccessDeniedException", not+"GetSecretValue")
	service.refused("another region", read(service.in("us-west-2"), *own.Name), "AccessDeniedException", not+"GetSecretValue")
	typed[*types.ResourceNotFoundException](service, "a secret of none below its prefix", read(service, "/keys/service/none"), msgNoSecret)
	_, err = service.ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{})
	service.refused("listing", err, "AccessDeniedException", not+"ListSecrets")
	_, err = service.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: own.Name, SecretString: aws.String(plant("x"))})
	service.refused("writing", err, "AccessDeniedException", not+"PutSecretValue")

	// Tags decide what it may do, so it may not take away its own.
	tag := func(key, value string) error {
		_, err := service.TagResource(t.Context(), &secretsmanager.TagResourceInput{SecretId: own.Name, Tags: []types.Tag{{Key: &key, Value: &value}}})
		return err
	}
	service.ok(tag("stage", "prod"))
	service.refused("a tag that locks it out", tag("team", "shipping"), "AccessDeniedException", "")
	_, err = service.UntagResource(t.Context(), &secretsmanager.UntagResourceInput{SecretId: own.Name, TagKeys: []string{"team"}})
	service.refused("the removal of a tag that locks it out", err, "AccessDeniedException", "")
	is(admin, "the number of tags", len(admin.describe(*own.Name).Tags), 2)

	s.countersign(t, "", "key", "revoke", id, "--owner", "service")
	service.refused("a revoked key", read(service, *own.Name), "UnrecognizedClientException", "The security token included in the request is invalid.")
}

// newKey makes an access key.
func newKey(t *testing.T, s *server, owner string) (id, secret string) {
	t.Helper()
	for line := range strings.Lines(string(s.countersign(t, "", "key", "create", "--owner", owner, "--expires", "1h", "--env"))) {
		switch m := exportLine.FindStringSubmatch(strings.TrimSuffix(line, "\n")); {
		case m == nil:
		case m[1] == "AWS_ACCESS_KEY_ID":
			id = m[2]
		case m[1] == "AWS_SECRET_ACCESS_KEY":
			secret = m[2]
		}
	}
	if id == "" || secret == "" {
		t.Fatal("no access key was printed")
	}
	return id, secret
}

// TestOneStore sees that the command line of Countersign and the clients of AWS
// see the same secret.
func TestOneStore(t *testing.T) {
	t.Parallel()
	s := start(t)
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Client: secretsmanager.NewFromConfig(cfg), server: s, cfg: cfg, prefix: "both/"}
	s.countersign(t, plant("from the command line"), "put", "both/app")
	is(w, "the value", w.value("both/app"), plant("from the command line"))
	version := w.put("both/app", "from the SDK")
	is(w, "the value", string(s.countersign(t, "", "get", "both/app")), plant("from the SDK"))
	lines := strings.Split(strings.TrimSpace(string(s.countersign(t, "", "versions", "both/app"))), "\n")
	if len(lines) != 2 || !slices.Contains(strings.Split(lines[0], "\t"), version) || !strings.Contains(lines[0], "AWSCURRENT") {
		t.Errorf("the versions are\n%s", strings.Join(lines, "\n"))
	}
}

// TestSearch sees that the search for values at the end finds them.
func TestSearch(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing": "a b c",
		"plain":   "before" + plant("x") + "after",
		"hex":     "00" + "4b616e617269652d346637653163393062320a" + "00",
		"base64":  "S2FuYXJpZS00ZjdlMWM5MGIy",
		"shifted": "eEthbmFyaWUtNGY3ZTFjOTBiMi8=",
		"twice":   "eHhLYW5hcmllLTRmN2UxYzkwYjIvMQ==",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &server{dir: t.TempDir(), output: &lockedBuffer{}}
			for _, file := range []string{"a", "b", "c"} {
				if err := os.WriteFile(filepath.Join(s.dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.search(""); (err == nil) != (name == "nothing") {
				t.Errorf("the search returned %v", err)
			}
		})
	}
}
