package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"countersign/internal/core/authn"
	"countersign/internal/core/coretest"
	"countersign/internal/front/aws/awstest"
	"countersign/internal/front/aws/secretsmanager"
	"countersign/internal/front/vault"
)

// doors are two fronts over one core.
type doors struct {
	t     *testing.T
	aws   *awstest.Client
	vault http.Handler
	token string
}

func newDoors(t *testing.T) *doors {
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
	secret := string(c.Key.Secret.Reveal())
	return &doors{t: t, vault: v, token: authn.Token(c.Key.ID, secret),
		aws: &awstest.Client{Handler: a, ID: c.Key.ID, Secret: secret, Region: coretest.Region, Service: "secretsmanager", Target: "secretsmanager"}}
}

// vaultOver configures the Vault front over a core.
func vaultOver(c *coretest.Core) vault.Config {
	return vault.Config{
		Authn:     c.Authn,
		Changes:   c.Changes,
		Devices:   c.Devices,
		Gate:      c.Gate,
		IDTokens:  c.IDTokens,
		Logins:    c.Logins,
		Mounts:    c.Mounts,
		Passwords: c.Passwords,
		Secrets:   c.Secrets,
		SignIn:    c.SignIn,
		Tokens:    c.Tokens,
		Transit:   c.Transit,
		Home:      coretest.Home, Region: coretest.Region, Version: "test"}
}

// kv sends a request to the Vault front.
func (d *doors) kv(method, path, body string) (int, map[string]any) {
	d.t.Helper()
	r := httptest.NewRequest(method, vault.Base+path, strings.NewReader(body))
	r.Header.Set("X-Vault-Token", d.token)
	w := httptest.NewRecorder()
	d.vault.ServeHTTP(w, r)
	var out map[string]any
	if w.Body.Len() > 0 && json.Unmarshal(w.Body.Bytes(), &out) != nil {
		d.t.Fatalf("%s %s: %q is not JSON", method, path, w.Body)
	}
	return w.Code, out
}

// acts are what the first column of the table names.
func (d *doors) act(what string) {
	d.t.Helper()
	token := func(letter string) string { return strings.Repeat(letter, 32) }
	onKV := func(method, path, body string) {
		if code, out := d.kv(method, path, body); code/100 != 2 {
			d.t.Fatalf("%s: %d %v", what, code, out)
		}
	}
	onAWS := func(op, in string) {
		if a := d.aws.Do(op, []byte(in)); a.Status != 200 {
			d.t.Fatalf("%s: %d %s", what, a.Status, a.Body)
		}
	}
	switch what {
	case "(as it was)":
	case "vault kv delete":
		onKV("DELETE", "secret/data/a", "")
	case "vault kv delete -versions=1":
		onKV("POST", "secret/delete/a", `{"versions":[1]}`)
	case "vault kv undelete -versions=2":
		onKV("POST", "secret/undelete/a", `{"versions":[2]}`)
	case "vault kv destroy -versions=2":
		onKV("POST", "secret/destroy/a", `{"versions":[2]}`)
	case "vault kv metadata delete":
		onKV("DELETE", "secret/metadata/a", "")
	case "vault kv put":
		onKV("POST", "secret/data/a", `{"data":{"v":"3"}}`)
	case "DeleteSecret":
		onAWS("DeleteSecret", `{"SecretId":"a"}`)
	case "DeleteSecret, forced":
		onAWS("DeleteSecret", `{"SecretId":"a","ForceDeleteWithoutRecovery":true}`)
	case "RestoreSecret":
		onAWS("RestoreSecret", `{"SecretId":"a"}`)
	case "PutSecretValue":
		onAWS("PutSecretValue", `{"SecretId":"a","SecretString":"{\"v\":\"3\"}","ClientRequestToken":"`+token("c")+`"}`)
	case "UpdateSecretVersionStage to 1":
		onAWS("UpdateSecretVersionStage", `{"SecretId":"a","VersionStage":"AWSCURRENT","MoveToVersionId":"`+token("a")+`","RemoveFromVersionId":"`+token("b")+`"}`)
	default:
		d.t.Fatalf("the table names an act that the test does not know: %q", what)
	}
}

// read is what the columns of the table show.
func (d *doors) read() []string {
	d.t.Helper()
	aws := func(stage string) string {
		a := d.aws.Do("GetSecretValue", []byte(`{"SecretId":"a","VersionStage":"`+stage+`"}`))
		var out struct {
			SecretString string
			Type         string `json:"__type"`
		}
		if err := json.Unmarshal(a.Body, &out); err != nil {
			d.t.Fatal(err)
		}
		if a.Status != 200 {
			return out.Type
		}
		return out.SecretString
	}
	kv := func(path string) string {
		code, out := d.kv("GET", path, "")
		data, _ := out["data"].(map[string]any)
		meta, _ := data["metadata"].(map[string]any)
		switch {
		case code == 200:
			text, _ := json.Marshal(data["data"])
			return string(text)
		case meta["destroyed"] == true:
			return fmt.Sprint(code, ", destroyed")
		case meta["deletion_time"] != "" && meta != nil:
			return fmt.Sprint(code, ", deleted")
		}
		return fmt.Sprint(code)
	}
	return []string{aws("AWSCURRENT"), aws("AWSPREVIOUS"), kv("secret/data/a"), kv("secret/data/a?version=1")}
}

// TestMeaningOfDeletion does what each row of the table in the documentation says
// and holds what both fronts then read against the row.
func TestMeaningOfDeletion(t *testing.T) {
	text, err := os.ReadFile("../../docs/dialects/vault.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "| after | ")
	if !ok {
		t.Fatal("the documentation has no table of what deletions mean")
	}
	rows := 0
	for _, line := range strings.Split(table, "\n")[2:] {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 5 {
			break
		}
		rows++
		t.Run(strings.ReplaceAll(cells[0], " ", "-"), func(t *testing.T) {
			d := newDoors(t)
			for _, v := range []string{"a1", "b2"} {
				op := map[string]string{"a1": "CreateSecret", "b2": "PutSecretValue"}[v]
				id := map[string]string{"a1": `"Name":"a"`, "b2": `"SecretId":"a"`}[v]
				if a := d.aws.Do(op, []byte(`{`+id+`,"SecretString":"{\"v\":\"`+v[1:]+`\"}","ClientRequestToken":"`+strings.Repeat(v[:1], 32)+`"}`)); a.Status != 200 {
					t.Fatalf("%s: %s", op, a.Body)
				}
			}
			for what := range strings.SplitSeq(cells[0], ", then ") {
				d.act(strings.Trim(what, "`"))
			}
			got := "| " + cells[0]
			for _, cell := range d.read() {
				got += " | `" + cell + "`"
			}
			if got += " |"; got != line {
				t.Errorf("the documentation says\n%s\nand it is\n%s", line, got)
			}
		})
	}
	if rows < 10 {
		t.Errorf("the table has %d rows", rows)
	}
}

// A token whose policy lets it change secrets and not make them is refused outright
// when it makes one: that it calls the same path is no permission to propose.
func TestUpdateIsNoProposal(t *testing.T) {
	d := newDoors(t)
	d.want(204, "PUT", "sys/policies/acl/changes", `{"policy":"path \"secret/data/*\" { capabilities = [\"update\"] }"}`)
	d.want(200, "POST", "secret/data/there", `{"data":{"v":"1"}}`)
	made := d.want(200, "POST", "auth/token/create", `{"policies":["changes"],"no_default_policy":true}`)
	d.token = made["auth"].(map[string]any)["client_token"].(string)
	d.want(200, "POST", "secret/data/there", `{"data":{"v":"2"}}`)
	if out := d.want(403, "POST", "secret/data/new", `{"data":{"v":"1"}}`); strings.Contains(fmt.Sprint(out["errors"]), "awaits approval") {
		t.Errorf("it became a proposal: %v", out)
	}
}

// want is kv with the status that the answer has to have.
func (d *doors) want(code int, method, path, body string) map[string]any {
	d.t.Helper()
	got, out := d.kv(method, path, body)
	if got != code {
		d.t.Fatalf("%s %s: %d %v, want %d", method, path, got, out, code)
	}
	return out
}
