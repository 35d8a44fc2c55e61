package sdk

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

const rotatorPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*","Action":["secretsmanager:DescribeSecret","secretsmanager:GetSecretValue",
"secretsmanager:PutSecretValue","secretsmanager:UpdateSecretVersionStage","secretsmanager:GetRandomPassword"]}]}`

// TestRotationFunctions runs rotation functions as HTTP servers that speak Lambda's
// Invoke API, and has the server rotate secrets by them, one of which is protected.
func TestRotationFunctions(t *testing.T) {
	s := start(t)
	installed(t, "node", "Node.js")
	installed(t, "python3", "Python 3")
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Client: secretsmanager.NewFromConfig(cfg), server: s, cfg: cfg, prefix: "functions/"}
	s.countersign(t, rotatorPolicy, "policy", "put", "rotates")
	s.countersign(t, "", "user", "create", "rotator", "--machine")
	s.countersign(t, "", "policy", "attach", "rotates", "--user", "rotator")
	var key struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal([]byte(s.countersign(t, "", "key", "create", "--owner", "rotator", "--json")), &key); err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct{ name, dir, program, file, member string }{
		{"rotate-aws", "functions", "python3", "rotate_aws.py", "password"},
		{"rotate-returns", "functions", "python3", "rotate_returns.py", "token"},
		{"rotate-steps", "js", "node", "rotate_steps.mjs", "password"},
	} {
		t.Run(f.name, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "accepted")
			serveFunction(t, s, f.name, f.dir, f.program, f.file, "TARGET="+target, "AWS_ACCESS_KEY_ID="+key.ID, "AWS_SECRET_ACCESS_KEY="+key.Secret)
			w := *w
			w.T = t
			first := `{"username":"app","` + f.member + `":"` + canary + `"}`
			made, err := w.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String(w.prefix + f.name), SecretString: &first})
			w.ok(err)
			rotate := func(in secretsmanager.RotateSecretInput) string {
				t.Helper()
				in.SecretId = made.Name
				out, err := w.RotateSecret(t.Context(), &in)
				w.ok(err)
				return aws.ToString(out.VersionId)
			}
			w.turned(*made.Name, rotate(secretsmanager.RotateSecretInput{RotationLambdaARN: aws.String(functionARN(f.name)), RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)}}))
			second := w.accepts(*made.Name, f.member, target)
			previous, err := w.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: made.Name, VersionStage: aws.String("AWSPREVIOUS")})
			w.ok(err)
			is(&w, "AWSPREVIOUS", *previous.SecretString, first)

			// a protected secret: the function's requests pass, nobody else's
			w.native("POST", "/protection", map[string]any{"set": map[string]any{"name": f.name, "match": []string{*made.Name}, "approvals": []map[string]any{{"count": 1}}}})
			w.turned(*made.Name, rotate(secretsmanager.RotateSecretInput{}))
			if third := w.accepts(*made.Name, f.member, target); third == second {
				t.Error("it was not rotated again")
			}
			d := w.describe(*made.Name)
			if d.LastRotatedDate == nil || time.Since(*d.LastRotatedDate) > time.Minute || d.NextRotationDate == nil {
				t.Errorf("last rotated %v, next %v", d.LastRotatedDate, d.NextRotationDate)
			}
		})
	}
}

// turned waits until a version is current, and nothing is pending.
func (w *world) turned(id, version string) {
	w.Helper()
	for range 200 {
		d := w.describe(id)
		pending := false
		for _, stages := range d.VersionIdsToStages {
			pending = pending || slices.Contains(stages, "AWSPENDING")
		}
		if !pending && slices.Contains(d.VersionIdsToStages[version], "AWSCURRENT") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	st := w.native("GET", "/secret/rotation?name="+id, nil)
	w.Fatalf("it does not become current: %v, %v, %v", st["state"], st["run"], st["failure"])
}

// accepts is the value that the target accepts, which has to be the current one.
func (w *world) accepts(id, member, target string) string {
	w.Helper()
	out, err := w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id})
	w.ok(err)
	var v map[string]string
	w.ok(json.Unmarshal([]byte(*out.SecretString), &v))
	b, err := os.ReadFile(target)
	w.ok(err)
	if v[member] == "" || string(b) != v[member] {
		w.Fatal("the target does not accept the current value")
	}
	return v[member]
}

// serveFunction runs a function until the test ends.
func serveFunction(t *testing.T, s *server, name, dir, program, file string, env ...string) {
	t.Helper()
	_, port, err := net.SplitHostPort(s.functions[name])
	if err != nil {
		t.Fatal(err)
	}
	log := &lockedBuffer{}
	cmd := exec.CommandContext(t.Context(), program, file, port)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.home, "AWS_ENDPOINT_URL=" + s.env["AWS_ENDPOINT_URL"], "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "PYTHONDONTWRITEBYTECODE=1"}
	cmd.Env = append(cmd.Env, env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if out := log.String(); t.Failed() || strings.Contains(out, canary) {
			t.Logf("%s wrote:\n%s", name, out)
		}
	})
	for range 200 {
		if c, err := net.Dial("tcp", s.functions[name]); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s does not listen", name)
}
