package secretsmanager

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"countersign/internal/core/authn"
	"countersign/internal/core/coretest"
	"countersign/internal/front/aws/awstest"
)

// fixture is a front over a wired core.
type fixture struct {
	*coretest.Core
	handler http.Handler
	admin   *awstest.Client
}

func newFixture(t testing.TB, c coretest.Config, lenient bool) *fixture {
	t.Helper()
	core := coretest.New(t, c)
	h, err := New(Config{Secrets: core.Secrets, Authn: core.Authn, Gate: core.Gate, Lenient: lenient,
		Regions: []string{coretest.Region, coretest.Second}})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{Core: core, handler: h}
	f.admin = f.client(core.Key)
	return f
}

// client is a client with that key.
func (f *fixture) client(k authn.NewKey) *awstest.Client {
	return &awstest.Client{Handler: f.handler, ID: k.ID, Secret: string(k.Secret.Reveal()), Region: coretest.Region,
		Service: "secretsmanager", Target: "secretsmanager"}
}

// body is the JSON of an answer.
type body map[string]any

func (b body) text(name string) string { s, _ := b[name].(string); return s }

// object reads the body of an answer; an empty one is empty.
func object(t testing.TB, a awstest.Answer) body {
	t.Helper()
	b := body{}
	if len(a.Body) == 0 {
		return b
	}
	if err := json.Unmarshal(a.Body, &b); err != nil {
		t.Fatalf("the answer is not JSON: %v\n%s", err, a.Body)
	}
	return b
}

// ok sends a request that must succeed.
func ok(t testing.TB, c *awstest.Client, op, in string) body {
	t.Helper()
	a := c.Do(op, []byte(in))
	if a.Status != http.StatusOK {
		t.Fatalf("%s %s: status %d\n%s", op, in, a.Status, a.Body)
	}
	return object(t, a)
}

// refused sends a request that must fail with an error of that type, and
// returns its message.
func refused(t testing.TB, c *awstest.Client, op, in, typ string) string {
	t.Helper()
	a := c.Do(op, []byte(in))
	b := object(t, a)
	if a.Status != http.StatusBadRequest || b.text("__type") != typ {
		t.Fatalf("%s %s: status %d, want 400 %s\n%s", op, in, a.Status, typ, a.Body)
	}
	return b.text("Message") + b.text("message")
}

// token makes a ClientRequestToken out of a letter.
func token(letter string) string { return strings.Repeat(letter, 32) }

// create makes a secret with a value.
func (f *fixture) create(t testing.TB, name, value string) body {
	t.Helper()
	return ok(t, f.admin, "CreateSecret", `{"Name":"`+name+`","SecretString":"`+value+`","ClientRequestToken":"`+token("a")+`"}`)
}
