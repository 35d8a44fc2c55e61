package sdk

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
)

// machine makes a machine with a policy, and returns its access key.
func (w *vaultWorld) machine(name, policy string) (id, secret string) {
	w.Helper()
	name = w.name + "-" + name
	w.ok("the policy", w.Sys().PutPolicyWithContext(w.Context(), name, policy))
	w.server.countersign(w.T, "", "user", "create", name, "--machine")
	w.server.countersign(w.T, "", "policy", "attach", name, "--user", name)
	return newKey(w.T, w.server, name)
}

// try is what a machine is tried with, and whether it may. The same is asked
// with Vault's client and, where that has a word for it, the AWS SDK.
type try struct {
	op   string // read, write, delete, list
	path string // below the scenario's prefix
	may  bool
}

// policiesAtBothFronts gives one machine a policy in HCL and another one in IAM
// JSON. Each holds at both fronts.
func policiesAtBothFronts(w *vaultWorld) {
	kv := w.KVv2("secret")
	for _, n := range []string{"app/db", "app/production/db", "other/db"} {
		_, err := kv.Put(w.Context(), w.prefix+n, object("v", n))
		w.ok("writing", err)
	}
	hcl := strings.ReplaceAll(`
# Read-only access to application secrets
path "secret/data/PREFIXapp/*" {
  capabilities = ["read", "list"]
}
path "secret/metadata/PREFIXapp/*" {
  capabilities = ["list"]
}

# Full access to database secrets
path "secret/data/PREFIXdatabase/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

# Deny access to production secrets
path "secret/data/PREFIXapp/production/*" {
  capabilities = ["deny"]
}
`, "PREFIX", w.prefix)
	iam := strings.ReplaceAll(`{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":["secretsmanager:GetSecretValue","secretsmanager:DescribeSecret"],"Resource":"arn:aws:secretsmanager:*:*:secret:PREFIXapp/*"},
 {"Effect":"Allow","Action":["secretsmanager:CreateSecret","secretsmanager:PutSecretValue","secretsmanager:GetSecretValue"],"Resource":"arn:aws:secretsmanager:*:*:secret:PREFIXdatabase/*"},
 {"Effect":"Deny","Action":"*","Resource":"arn:aws:secretsmanager:*:*:secret:PREFIXapp/production/*"}]}`, "PREFIX", w.prefix)
	tries := []try{
		{"read", "app/db", true}, {"read", "app/production/db", false}, {"read", "other/db", false}, {"read", "none", false},
		{"write", "app/db", false}, {"write", "other/db", false}, {"write", "app/production/db", false},
		{"write", "database/main", true}, {"read", "database/main", true}, {"write", "database/main", true},
	}
	for name, policy := range map[string]string{"hcl": hcl, "iam": iam} {
		id, secret := w.machine(name, policy)
		w.tryVault(name, w.as("cst_"+id+"_"+secret), tries)
		w.tryAWS(name, id, secret, tries)
		w.ok("removing what it wrote", kv.DeleteMetadata(w.Context(), w.prefix+"database/main"))
	}
}

func (w *vaultWorld) tryVault(name string, m *vaultWorld, tries []try) {
	w.Helper()
	for _, try := range tries {
		what := fmt.Sprintf("%s: %s of %s with Vault's client", name, try.op, try.path)
		var err error
		if try.op == "read" {
			_, err = m.KVv2("secret").Get(w.Context(), w.prefix+try.path)
		} else {
			_, err = m.KVv2("secret").Put(w.Context(), w.prefix+try.path, object("v", "from vault"))
		}
		if try.may {
			w.ok(what, err)
		} else {
			w.refused(what, err, 403, "permission denied (decision ")
		}
	}
}

func (w *vaultWorld) tryAWS(name, id, secret string, tries []try) {
	w.Helper()
	cfg, err := config.LoadDefaultConfig(w.Context(), config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(id, secret, "")))
	w.ok("the configuration", err)
	sm := secretsmanager.NewFromConfig(cfg)
	for _, try := range tries {
		path, text := w.prefix+try.path, plant("from aws")
		var err error
		if try.op == "read" {
			_, err = sm.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &path})
		} else {
			_, err = sm.PutSecretValue(w.Context(), &secretsmanager.PutSecretValueInput{SecretId: &path, SecretString: &text})
		}
		var api smithy.APIError
		switch {
		case try.may && err != nil, !try.may && (!errors.As(err, &api) || api.ErrorCode() != "AccessDeniedException"):
			w.Errorf("%s: %s of %s with the AWS SDK: %v", name, try.op, try.path, err)
		}
	}
}

// policiesInHCL writes policies as Vault's documents have them and as they have
// not.
func policiesInHCL(w *vaultWorld) {
	ctx, sys := w.Context(), w.Sys()
	const text = "# as written\npath \"secret/data/+/x*\" { capabilities = [\"read\",\n\"list\"] }\npath \"secret/metadata/*\" { policy = \"read\" }\n"
	w.ok("writing", sys.PutPolicyWithContext(ctx, w.name, text))
	got, err := sys.GetPolicyWithContext(ctx, w.name)
	w.ok("reading", err)
	is(w, "the policy", got, text)
	for what, bad := range map[string]string{
		"no capability": `path "a" { capabilities = ["reed"] }`,
		"no stanza":     `pat "a" { capabilities = ["read"] }`,
		"half of one":   `path "a" { capabilities = ["read"]`,
	} {
		w.refused(what, sys.PutPolicyWithContext(ctx, w.name+"-bad", bad), 400, "")
	}
	for _, builtin := range []string{"root", "default"} {
		all, err := sys.ListPoliciesWithContext(ctx)
		w.ok("listing", err)
		if !strings.Contains(" "+strings.Join(all, " ")+" ", " "+builtin+" ") {
			w.Errorf("%s is not listed: %v", builtin, all)
		}
	}
	w.refused("deleting root", sys.DeletePolicyWithContext(ctx, "root"), 400, "")
	w.ok("deleting", sys.DeletePolicyWithContext(ctx, w.name))
}
