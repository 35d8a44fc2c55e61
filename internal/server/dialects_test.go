package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/core/authn"
	"countersign/internal/core/coretest"
	"countersign/internal/front/aws/awstest"
	"countersign/internal/front/aws/secretsmanager"
	"countersign/internal/front/vault"
)

// house is a core with its two doors, through which everybody goes with what they
// have.
type house struct {
	*testing.T
	*coretest.Core
	aws, vault http.Handler
}

func newHouse(t *testing.T) *house {
	t.Helper()
	c := coretest.New(t, coretest.Config{})
	a, err := secretsmanager.New(secretsmanager.Config{Secrets: c.Secrets, Authn: c.Authn, Gate: c.Gate, Regions: []string{coretest.Region}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.New(vaultOver(c))
	if err != nil {
		t.Fatal(err)
	}
	return &house{t, c, a, v}
}

// policy makes a policy, in the dialect that it is in.
func (h *house) policy(name, text string) {
	h.Helper()
	if _, err := h.Authn.PutPolicy(context.Background(), h.Admin, name, text, ""); err != nil {
		h.Fatal(err)
	}
}

// user makes a user with policies and returns its key.
func (h *house) user(name string, policies ...string) authn.NewKey {
	h.Helper()
	_, key := h.User(h.T, name, "")
	for _, p := range policies {
		if _, err := h.Authn.Attach(context.Background(), h.Admin, authn.Attachment{Policy: p, User: name}); err != nil {
			h.Fatal(err)
		}
	}
	return key
}

// byAWS sends a request to the AWS front and returns the value read, or the error's
// name.
func (h *house) byAWS(key authn.NewKey, op, in string) string {
	h.Helper()
	c := awstest.Client{Handler: h.aws, ID: key.ID, Secret: string(key.Secret.Reveal()), Region: coretest.Region, Service: "secretsmanager", Target: "secretsmanager"}
	a := c.Do(op, []byte(in))
	var out struct {
		SecretString string
		Type         string `json:"__type"`
	}
	if err := json.Unmarshal(a.Body, &out); err != nil {
		h.Fatal(err)
	}
	if a.Status != http.StatusOK {
		return out.Type
	}
	return out.SecretString
}

// byVault sends a request to the Vault front.
func (h *house) byVault(token, method, path, body string) (code int, out map[string]any) {
	h.Helper()
	r := httptest.NewRequest(method, vault.Base+path, strings.NewReader(body))
	r.Header.Set("X-Vault-Token", token)
	r.RemoteAddr = "127.0.0.1:9999"
	w := httptest.NewRecorder()
	h.vault.ServeHTTP(w, r)
	if w.Body.Len() > 0 && json.Unmarshal(w.Body.Bytes(), &out) != nil {
		h.Fatalf("%s %s: %q is not JSON", method, path, w.Body)
	}
	return w.Code, out
}

// read is what both doors say of a secret: its value, or that it is refused.
func (h *house) read(key authn.NewKey, token, name string) (aws, vault string) {
	h.Helper()
	if aws = h.byAWS(key, "GetSecretValue", `{"SecretId":"`+name+`"}`); aws == "AccessDeniedException" {
		aws = "refused"
	}
	switch code, out := h.byVault(token, "GET", "secret/data/"+name, ""); code {
	case http.StatusOK:
		b, _ := json.Marshal(out["data"].(map[string]any)["data"])
		vault = string(b)
	case http.StatusForbidden:
		vault = "refused"
	default:
		vault = http.StatusText(code)
	}
	return aws, vault
}

func tokenOf(k authn.NewKey) string { return authn.Token(k.ID, string(k.Secret.Reveal())) }

const readsAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`

// TestEitherDialectAtBothDoors holds that a policy is the same policy at each
// front, whichever dialect it is in: what it allows is read through both, and what
// it denies is refused at both, though one in the other dialect allows it.
func TestEitherDialectAtBothDoors(t *testing.T) {
	h := newHouse(t)
	for _, n := range []string{"app/db", "app/root", "other"} {
		if code, out := h.byVault(tokenOf(h.Key), "POST", "secret/data/"+n, `{"data":{"v":"`+n+`"}}`); code != http.StatusOK {
			t.Fatal(code, out)
		}
	}
	h.policy("hcl-app", `path "secret/data/app/*" { capabilities = ["read"] }`)
	h.policy("hcl-all", `path "secret/*" { capabilities = ["read", "list"] }`)
	h.policy("hcl-deny", `path "secret/data/app/root" { capabilities = ["deny"] }`)
	h.policy("iam-app", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:*:*:secret:app/*"}]}`)
	h.policy("iam-all", readsAll)
	h.policy("iam-deny", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:*:*:secret:app/root-??????"}]}`)
	for _, tt := range []struct {
		who      string
		policies []string
		reads    string // of app/db, app/root, other
	}{
		{"nobody", nil, "---"},
		{"hcl", []string{"hcl-app"}, "rr-"},
		{"iam", []string{"iam-app"}, "rr-"},
		{"hcl-denied-by-hcl", []string{"hcl-all", "hcl-deny"}, "r-r"},
		{"hcl-denied-by-iam", []string{"hcl-all", "iam-deny"}, "r-r"},
		{"iam-denied-by-hcl", []string{"iam-all", "hcl-deny"}, "r-r"},
		{"iam-denied-by-iam", []string{"iam-all", "iam-deny"}, "r-r"},
		{"either-allows", []string{"hcl-app", "iam-all"}, "rrr"},
		{"only-denials", []string{"hcl-deny", "iam-deny"}, "---"},
	} {
		key := h.user(tt.who, tt.policies...)
		for i, n := range []string{"app/db", "app/root", "other"} {
			want := "refused"
			if tt.reads[i] == 'r' {
				want = `{"v":"` + n + `"}`
			}
			if aws, vault := h.read(key, tokenOf(key), n); aws != want || vault != want {
				t.Errorf("%s: %s is %s for AWS clients and %s for Vault's, want %s", tt.who, n, aws, vault, want)
			}
		}
	}
}

// TestNarrowedAtBothDoors narrows a key and tokens of one principal by policies in
// either dialect: what is left is the same at each door.
func TestNarrowedAtBothDoors(t *testing.T) {
	h := newHouse(t)
	for _, n := range []string{"app/db", "app/root", "other"} {
		if code, out := h.byVault(tokenOf(h.Key), "POST", "secret/data/"+n, `{"data":{"v":"`+n+`"}}`); code != http.StatusOK {
			t.Fatal(code, out)
		}
	}
	narrows := map[string]string{
		"hcl": `path "secret/data/app/*" { capabilities = ["read"] }
path "secret/data/app/root" { capabilities = ["deny"] }`,
		"iam": `{"Version":"2012-10-17","Statement":[
{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:*:*:secret:app/*"},
{"Effect":"Deny","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:*:*:secret:app/root-??????"}]}`,
	}
	h.policy("tokens", `path "auth/token/create" { capabilities = ["update"] }`)
	h.policy("all", readsAll)
	for dialect, text := range narrows {
		h.policy("narrow-"+dialect, text)
		whole := h.user("ann-"+dialect, "all", "tokens", "narrow-"+dialect)
		narrowed, err := h.Authn.CreateKey(t.Context(), h.Admin, authn.CreateKeyRequest{Owner: "ann-" + dialect, Policies: []string{"narrow-" + dialect}})
		if err != nil {
			t.Fatal(err)
		}
		code, out := h.byVault(tokenOf(whole), "POST", "auth/token/create", `{"policies":["narrow-`+dialect+`"]}`)
		if code != http.StatusOK {
			t.Fatal(code, out)
		}
		token := out["auth"].(map[string]any)["client_token"].(string)
		for n, want := range map[string]string{"app/db": `{"v":"app/db"}`, "app/root": "refused", "other": "refused"} {
			if aws, vault := h.read(narrowed, token, n); aws != want || vault != want {
				t.Errorf("%s: %s is %s by the key and %s by the token, want %s", dialect, n, aws, vault, want)
			}
		}
		// The principal itself reads what neither narrows, at both.
		if aws, vault := h.read(whole, tokenOf(whole), "other"); aws != `{"v":"other"}` || vault != aws {
			t.Errorf("%s: whole, other is %s and %s", dialect, aws, vault)
		}
		// A token ends with the key that it was made with.
		if _, err := h.Authn.RevokeKey(t.Context(), h.Admin, "ann-"+dialect, whole.ID); err != nil {
			t.Fatal(err)
		}
		if _, vault := h.read(narrowed, token, "app/db"); vault != "refused" {
			t.Errorf("%s: after its key was revoked the token reads %s", dialect, vault)
		}
	}
}

// TestTokenWritesAreReadEverywhere writes by a narrowed token what AWS clients read.
func TestTokenWritesAreReadEverywhere(t *testing.T) {
	h := newHouse(t)
	h.policy("writes", `path "secret/data/app/*" { capabilities = ["create", "update"] }`)
	_, out := h.byVault(tokenOf(h.Key), "POST", "auth/token/create", `{"policies":["writes"]}`)
	token := out["auth"].(map[string]any)["client_token"].(string)
	for _, v := range []string{"1", "2"} {
		if code, out := h.byVault(token, "POST", "secret/data/app/new", `{"data":{"v":"`+v+`"}}`); code != http.StatusOK {
			t.Fatal(code, out)
		}
		if got := h.byAWS(h.Key, "GetSecretValue", `{"SecretId":"app/new"}`); got != `{"v":"`+v+`"}` {
			t.Errorf("after %s it is %s", v, got)
		}
	}
	for _, path := range []string{"secret/data/other", "sys/mounts/x"} {
		if code, out := h.byVault(token, "POST", path, `{"type":"kv","data":{"v":"1"}}`); code != http.StatusForbidden {
			t.Errorf("%s: %d %v", path, code, out)
		}
	}
}
