package secretsmanager

import (
	"context"
	"strings"
	"testing"

	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
)

// What does not fit the schema is a wrong parameter when it is in the request, and an
// invalid request when it is a version that is stored. The message is the place and
// the rule.
func TestSchema(t *testing.T) {
	f := newFixture(t, coretest.Config{}, false)
	f.create(t, "s", `{\"port\":\"old\"}`)
	ok(t, f.admin, "PutSecretValue", `{"SecretId":"s","SecretString":"{\"port\":1}","ClientRequestToken":"`+token("b")+`"}`)
	_, err := f.Secrets.PutSchema(context.Background(), f.Admin, secret.SchemaRequest{ID: coretest.ID(t, "s"), Text: []byte(`{"required":["port"],"properties":{"port":{"type":"integer"}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	const fits = "The value does not fit the secret's schema: at /port, type: it has to be of type integer."
	for op, in := range map[string]string{
		"PutSecretValue": `{"SecretId":"s","SecretString":"{\"port\":\"hunter2\"}","ClientRequestToken":"` + token("c") + `"}`,
		"UpdateSecret":   `{"SecretId":"s","SecretString":"{\"port\":\"hunter2\"}","ClientRequestToken":"` + token("d") + `"}`,
	} {
		if msg := refused(t, f.admin, op, in, "InvalidParameterException"); msg != fits {
			t.Errorf("%s: %s", op, msg)
		}
	}
	msg := refused(t, f.admin, "PutSecretValue", `{"SecretId":"s","SecretBinary":"eyJwb3J0IjoxfQ==","ClientRequestToken":"`+token("c")+`"}`, "InvalidParameterException")
	if !strings.Contains(msg, "text, not bytes") {
		t.Errorf("bytes: %s", msg)
	}
	msg = refused(t, f.admin, "PutSecretValue", `{"SecretId":"s","SecretString":"{\"port\":1e999999999}","ClientRequestToken":"`+token("c")+`"}`, "InvalidParameterException")
	if !strings.Contains(msg, "cannot be held against its schema") {
		t.Errorf("a number: %s", msg)
	}
	msg = refused(t, f.admin, "UpdateSecretVersionStage", `{"SecretId":"s","VersionStage":"AWSCURRENT","RemoveFromVersionId":"`+token("b")+`","MoveToVersionId":"`+token("a")+`"}`, "InvalidRequestException")
	if msg != "The value of the version does not fit the secret's schema." {
		t.Errorf("a version that is stored: %s", msg)
	}
	if got := ok(t, f.admin, "GetSecretValue", `{"SecretId":"s"}`).text("SecretString"); got != `{"port":1}` {
		t.Errorf("current is %s", got)
	}
	ok(t, f.admin, "PutSecretValue", `{"SecretId":"s","SecretString":"{\"port\":2}","ClientRequestToken":"`+token("e")+`"}`)
}
