package vault

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"countersign/internal/core/coretest"
	"countersign/internal/core/mount"
)

// everyRow calls f for each row of each engine, with a path that leads to it.
func (s *server) everyRow(t *testing.T, f func(r *row, method, path string)) {
	t.Helper()
	at := map[string]string{mount.System: "sys", mount.Token: "auth/token", mount.Identity: "identity", mount.Cubbyhole: "cubbyhole", engineKV1: "kv1", engineKV2: "secret", mount.Transit: "transit"}
	for _, k := range []string{mount.AppRole, mount.Cert, mount.JWT, mount.Kubernetes, mount.OIDC, mount.Userpass} {
		s.enable(t, k)
		at[k] = "auth/" + k
	}
	s.want(t, 204, "POST", "sys/mounts/transit", `{"type":"transit"}`)
	s.want(t, 204, "POST", "sys/mounts/kv1", `{"type":"kv","options":{"version":"1"}}`)
	variable := regexp.MustCompile(`\{[a-z]+(\.\.\.)?\}`)
	for kind, e := range s.Handler.(*front).engines {
		if at[kind] == "" {
			t.Errorf("%s is not tried", kind)
		}
		for _, rows := range e {
			for _, r := range rows {
				for _, method := range r.verbs {
					f(r, method, at[kind]+"/"+variable.ReplaceAllString(r.path, "x1"))
				}
			}
		}
	}
}

// logged is how many records there are.
func (s *server) logged(t *testing.T) uint64 {
	t.Helper()
	if err := s.Relay.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s.Log.Stats().Seq
}

// Nothing is reached without a token but what says so, nor with something else
// than a token, and each try is on record.
func TestEveryRowAsksForAToken(t *testing.T) {
	s := newServer(t, coretest.Config{})
	wrapping := at(t, s.want(t, 200, "POST", "sys/wrapping/wrap", `{"a":"b"}`, "X-Vault-Wrap-TTL: 60"), "wrap_info.token").(string)
	s.everyRow(t, func(r *row, method, path string) {
		for _, token := range []string{"", "x", "cvs.x", wrapping} {
			if r.open || strings.HasPrefix(path, "sys/wrapping/") && (token == "" || token == wrapping) {
				continue
			}
			before := s.logged(t)
			if w := s.do(t, token, method, path, ""); w.Code != http.StatusForbidden {
				t.Errorf("%s %s with %q: %d %s", method, path, token, w.Code, w.Body)
			}
			if s.logged(t) == before {
				t.Errorf("%s %s with %q left no record", method, path, token)
			}
		}
	})
}

// Whatever is asked with a token is on record, also what makes no sense, and the
// server fails at none of it.
func TestEveryRowLeavesARecord(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.everyRow(t, func(r *row, method, path string) {
		if r.open && strings.HasPrefix(path, "sys/") { // the health of the server
			return
		}
		for _, body := range []string{"", "[]", `{"policies":{},"token":[1]}`, `{"token":"x","accessor":"x","policy":"x","type":"x","name":"x","paths":["x"]}`} {
			before := s.logged(t)
			w := s.do(t, s.root, method, path, body)
			if s.logged(t) == before {
				t.Errorf("%s %s %s left no record: %d %s", method, path, body, w.Code, w.Body)
			}
			if w.Code >= http.StatusInternalServerError {
				t.Errorf("%s %s %s: %d %s", method, path, body, w.Code, w.Body)
			}
		}
	})
}
