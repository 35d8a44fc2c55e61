package vault

import (
	"strings"
	"testing"

	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
)

// What does not fit the schema is a bad request, and nothing is written.
func TestSchema(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 200, "PUT", "secret/data/a", `{"data":{"port":"old"}}`)
	s.want(t, 200, "PUT", "secret/data/a", `{"data":{"port":1}}`)
	_, err := s.Secrets.PutSchema(t.Context(), s.Admin, secret.SchemaRequest{ID: coretest.ID(t, "a"),
		Text: []byte(`{"type":"object","required":["port"],"properties":{"port":{"type":"integer"}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range [][3]string{
		{"PUT", `{"data":{"port":"hunter2"}}`, "value: the value does not fit the secret's schema: at /port, type: it has to be of type integer"},
		{"POST", `{"data":{"prot":1}}`, `value: the value does not fit the secret's schema: required: it lacks "port"`},
		{"PATCH", `{"data":{"port":null}}`, `value: the value does not fit the secret's schema: required: it lacks "port"`},
		{"PATCH", `{"data":{"port":"hunter2"}}`, "value: the value does not fit the secret's schema: at /port, type: it has to be of type integer"},
		{"PUT", `{"data":{"port":1e999999999}}`, "the value cannot be held against its schema: a number is longer than can be judged"},
	} {
		w := []string{}
		if x[0] == "PATCH" {
			w = append(w, "Content-Type: application/merge-patch+json")
		}
		msg := errorOf(t, s.want(t, 400, x[0], "secret/data/a", x[1], w...))
		if msg != x[2] {
			t.Errorf("%s %s: %s", x[0], x[1], msg)
		}
		if strings.Contains(msg, "hunter2") {
			t.Errorf("%s %s: the value is in %s", x[0], x[1], msg)
		}
	}
	if got := s.want(t, 200, "GET", "secret/data/a", ""); at(t, got, "data.data.port") != 1.0 || at(t, got, "data.metadata.version") != 2.0 {
		t.Errorf("current: %v", got)
	}
	s.want(t, 200, "PATCH", "secret/data/a", `{"data":{"port":2}}`, "Content-Type: application/merge-patch+json")
}
