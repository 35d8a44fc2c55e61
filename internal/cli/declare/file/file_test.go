package file_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"countersign/internal/cli/declare/file"
	"countersign/internal/client"
)

const good = `version: 1
defaults: {owner: team-db, tags: {env: prod, tier: "1"}}
naming: "/{environment}/{service}/{secret-type}/{secret-name}"
naming_values: {environment: [prod, staging]}
secrets:
  - name: /prod/cognito/app-client/secret
    description: ""
    owner: team-platform
    tags: {env: test, cost: 12}
    kms_key: alias/app
    replicas: [eu-west-1]
    rotation: {rotator: random, options: {password_length: 40}, days: 90, blackout: [2026-12-24/2027-01-02], grace: 24h}
  - name: /staging/template-management/encryption-key/template-key
protection:
  - {name: prod, match: ["/prod/*"], tags: {data: pii}, approvals: [{count: 1, groups: [approvers]}], mfa: true, expiry_days: 7}
`

func TestParse(t *testing.T) {
	got, err := file.Parse(file.Source{Name: "a.yaml", Text: []byte(good)})
	if err != nil {
		t.Fatal(err)
	}
	empty, key := "", "alias/app"
	want := file.File{
		Secrets: []file.Secret{
			{At: file.Position{File: "a.yaml", Line: 6, Column: 11}, Name: "/prod/cognito/app-client/secret", Description: &empty, KMSKey: &key,
				Tags: map[string]string{"owner": "team-platform", "env": "test", "cost": "12", "tier": "1"}, Replicas: []string{"eu-west-1"},
				Rotation: &client.RotationSettings{Rotator: "random", Options: map[string]string{"password_length": "40"}, Days: 90,
					Blackout: []string{"2026-12-24/2027-01-02"}, Grace: "24h"}},
			{At: file.Position{File: "a.yaml", Line: 13, Column: 11}, Name: "/staging/template-management/encryption-key/template-key",
				Tags: map[string]string{"owner": "team-db", "env": "prod", "tier": "1"}},
		},
		Rules: []file.Rule{{At: file.Position{File: "a.yaml", Line: 15, Column: 5}, Rule: client.Rule{Name: "prod", Match: []string{"/prod/*"},
			Tags: map[string]string{"data": "pii"}, Approvals: []client.RuleApproval{{Count: 1, Groups: []string{"approvers"}}}, MFA: true, ExpiryDays: 7}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRefusals(t *testing.T) {
	secret := func(rest string) string { return "version: 1\nsecrets:\n  - name: a\n    " + rest + "\n" }
	const never = "a value never stands in a file: make the placeholder, and set it with countersign put"
	for text, want := range map[string]string{
		"":                              "f:1:1: the file is empty",
		"version: 2":                    "f:1:1: version is missing",
		"- a":                           "f:1:1: the file is a mapping",
		"version: 1\n---\nversion: 1\n": "f:2:1: the file holds more than one document",
		"version: 1\nsecret: []":        `f:2:1: the file has no member "secret"`,
		"version: 1\nsecrets: {}":       "f:2:10: secrets is a list",
		"version: 1\nsecrets: [hunter]": "f:2:11: a secret is a mapping",
		"version: 1\nversion: 1":        "f:2:1: this member is given twice",
		"version: 1\nsecrets:\n  - name: a\n  - name: a":                            `f:4:11: "a" is declared twice, first at f:3:11`,
		"version: 1\nsecrets: &x []":                                                "f:2:10: anchors are not taken",
		"version: 1\nsecrets:\n  - name: *x":                                        "f:1:1: this is no YAML: aliases are not taken",
		"version: 1\nsecrets: [":                                                    "this is no YAML",
		"version: 1\ndata: {a: b}":                                                  "f:2:1: data: " + never,
		secret("value: hunter2"):                                                    "f:4:5: value: " + never,
		secret("secretString: hunter2"):                                             "f:4:5: secretString: " + never,
		secret("secret_binary: aHVudGVy"):                                           "f:4:5: secret_binary: " + never,
		secret("stringData: {x: hunter2}"):                                          "f:4:5: stringData: " + never,
		secret("rotation: {options: {db_password: hunter2}}"):                       "f:4:26: db_password: " + never,
		secret("tags: {password: hunter2}"):                                         "f:4:12: password: " + never,
		secret("description: AKIAABCDEFGHIJKLMNOP"):                                 "f:4:18: this looks like an AWS access key; " + never,
		secret("description: ghp_abcdefghijklmnopqrstuv"):                           "looks like a GitHub token",
		secret("description: eyJhbGciOi.eyJzdWIiOi.sig"):                            "looks like a JSON Web Token",
		secret("description: '-----BEGIN RSA PRIVATE KEY-----'"):                    "looks like a private key",
		secret("tags: {a: sk_live_abc}"):                                            "f:4:15: this looks like a Stripe key",
		secret("tags: {a: xoxb-123}"):                                               "looks like a Slack token",
		secret("desc: x"):                                                           `f:4:5: a secret has no member "desc"`,
		secret("tags: {a: b, a: c}"):                                                "f:4:18: this member is given twice",
		secret("tags: {owner: a}\n    owner: b"):                                    "owner and the tag",
		secret("rotation: {days: 3}"):                                               "f:4:15: a rotation has either a rotator or a function",
		secret("rotation: {rotator: r, days: 0}"):                                   "f:4:34: this is a number from 1 to 1000",
		secret("rotation: {rotator: r, grace: soon}"):                               "f:4:35: this is a length of time",
		secret("replicas: eu"):                                                      "f:4:15: this is a list of texts",
		"version: 1\nsecrets: [{owner: a}]":                                         "f:2:11: the secret has no name",
		"version: 1\nsecrets: [{name: 'a b'}]":                                      "f:2:18: this is no name of a secret",
		"version: 1\nnaming: x":                                                     "f:2:9: the convention has no {placeholder}",
		"version: 1\nnaming: '/{a}'\nnaming_values: {b: [x]}":                       "f:2:9: values are given for {b}",
		"version: 1\nprotection: [{name: a, match: [x], mfa: 1}]":                   "f:2:41: this is true or false",
		"version: 1\nprotection: [{name: a}]":                                       "f:2:14: the protection rule matches nothing",
		strings.Repeat("#", file.MaxSize+1):                                         "f:1:1: the file is larger than 1048576 bytes",
		"version: 1\nsecrets: " + strings.Repeat("[", 50) + strings.Repeat("]", 50): "nested too deep",
	} {
		_, err := file.Parse(file.Source{Name: "f", Text: []byte(text)})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%.80q: %v, want %s", text, err, want)
		}
	}
	var many strings.Builder
	many.WriteString("version: 1\nsecrets:\n")
	for i := range file.MaxSecrets + 1 {
		many.WriteString("- name: s" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + "/" + strings.Repeat("y", i/50) + "\n")
	}
	if _, err := file.Parse(file.Source{Name: "f", Text: []byte(many.String())}); err == nil || !strings.Contains(err.Error(), "more than 5000 secrets") {
		t.Errorf("5001 secrets: %.100v", err)
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("version: 1\nsecrets: [{name: a, value: canary-0001}]"))
	f.Add([]byte("version: 1\nsecrets:\n- name: a\n  data: {x: canary-0002}\n  value: *canary-0003\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := file.Parse(file.Source{Name: "f", Text: text})
		var all file.Error
		if err == nil || !errors.As(err, &all) || len(all) == 0 {
			if err != nil {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		for _, r := range all {
			if r.At.Line < 1 || r.At.Column < 1 {
				t.Errorf("a refusal at %v", r.At)
			}
		}
		var doc yaml.Node
		if yaml.Unmarshal(text, &doc) == nil {
			below(&doc, false, 0, func(value string) {
				if len(value) > 8 && strings.Count(string(text), value) == 1 && strings.Contains(err.Error(), value) &&
					!strings.Contains("a value never stands in a file: make the placeholder, and set it with countersign put", value) {
					t.Errorf("the error repeats what stands under a member for values: %v", err)
				}
			})
		}
	})
}

// below calls for each text under a member "value".
func below(n *yaml.Node, in bool, depth int, found func(string)) {
	if n.Kind == yaml.ScalarNode && in {
		found(n.Value)
	}
	if depth > 100 {
		return
	}
	for i, c := range n.Content {
		below(c, in || n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Value == "value", depth+1, found)
	}
}

func TestSchema(t *testing.T) {
	load := func(path string) ([]byte, error) {
		switch path {
		case "db.json", "schemas/db.json":
			return []byte("{ \"type\" : \"object\" }\n"), nil
		case "broken.json":
			return []byte("type: object"), nil
		case "key.json":
			return []byte(`{"title":"AKIAABCDEFGHIJKLMNOP"}`), nil
		case "large.json":
			return make([]byte, file.MaxSchema+1), nil
		case "closed.json":
			return nil, fs.ErrPermission
		}
		return nil, fs.ErrNotExist
	}
	text := func(schema string) []byte {
		return []byte("version: 1\nsecrets:\n  - name: a\n    schema: " + schema + "\n")
	}
	for schema, want := range map[string]string{
		`{type: object, required: [password], properties: {password: {type: string, minLength: 8, pattern: "^a<b$"}, value: true, token: {maximum: 1.5, enum: [null, 2020-01-01]}}}`: `{"type":"object","required":["password"],"properties":{"password":{"type":"string","minLength":8,"pattern":"^a<b$"},"value":true,"token":{"maximum":1.5,"enum":[null,"2020-01-01"]}}}`,
		`{}`:              `{}`,
		`""`:              ``,
		`db.json`:         `{"type":"object"}`,
		`schemas/db.json`: `{"type":"object"}`,
	} {
		got, err := file.Parse(file.Source{Name: "f", Text: text(schema), Read: load})
		if err != nil {
			t.Errorf("%s: %v", schema, err)
			continue
		}
		if s := got.Secrets[0].Schema; s == nil || *s != want {
			t.Errorf("%s: got %v", schema, s)
		}
	}
	for schema, want := range map[string]string{
		`{title: AKIAABCDEFGHIJKLMNOP}`: "f:4:21: this looks like an AWS access key",
		`{AKIAABCDEFGHIJKLMNOP: true}`:  "f:4:14: this looks like an AWS access key",
		`{type: string, type: object}`:  "this member is given twice",
		`{a: &x {}, b: *x}`:             "anchors and aliases are not taken",
		`{minLength: 0x10}`:             "write numbers, true and false as in JSON",
		`{maximum: .inf}`:               "write numbers, true and false as in JSON",
		`{const: !!binary aGk=}`:        "this has no form in JSON",
		`[a]`:                           "this is a text",
		`none.json`:                     "f:4:13: there is no such file",
		`closed.json`:                   "the file cannot be read",
		`broken.json`:                   "the file is no JSON",
		`large.json`:                    "the file is no JSON",
		`key.json`:                      "this looks like an AWS access key",
		`../db.json`:                    "below the directory of this file",
		`/etc/passwd`:                   "below the directory of this file",
		strings.Repeat("{a: ", 50) + "1" + strings.Repeat("}", 50): "nested too deep",
	} {
		_, err := file.Parse(file.Source{Name: "f", Text: text(schema), Read: load})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", schema, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "AKIA") {
			t.Errorf("%s: the error repeats it: %v", schema, err)
		}
	}
	if _, err := file.Parse(file.Source{Name: "standard input", Text: text("db.json")}); err == nil || !strings.Contains(err.Error(), "a schema is a mapping here") {
		t.Errorf("from standard input: %v", err)
	}
}
