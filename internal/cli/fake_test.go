package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake speaks as much of the native API as the scripts of this package need:
// values with versions, and answers that a real server gives seldom. The
// scripts of test/script run against the real one.
type fake struct {
	mu      sync.Mutex
	secrets map[string][]json.RawMessage // bodies of puts, oldest first
}

func startFake(t testing.TB) string {
	f := &fake{secrets: map[string][]json.RawMessage{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/secret/value", f.get)
	mux.HandleFunc("PUT /api/v1/secret/value", f.put)
	mux.HandleFunc("POST /api/v1/secret", f.create)
	mux.HandleFunc("GET /api/v1/secrets", f.list)
	mux.HandleFunc("GET /api/v1/audit", f.audit)
	mux.HandleFunc("GET /api/v1/audit/verify", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"log":"L","records":9,"head":{"seq":7,"hash":"ab"},"problem":{"kind":"edited","segment":"s.log","line":4,"seq":3,"text":"a line was edited"}}`)
	})
	mux.HandleFunc("GET /api/v1/decisions/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"seq":4,"id":"R4","time":"2026-11-23T08:00:00Z","principal":{"kind":"machine","name":"deploy","key_id":"K1"},"front":"native","operation":"ReadValue","resource":"prod/db","source":"10.0.0.9","outcome":"denied","decision":{"id":"D1","effect":"explicit-deny","action":"secretsmanager:GetSecretValue","resource":"arn:x","policy":"no-prod","statement":"#2","missing":["the source address must not be 10.0.0.9"]},"text":"t"}`)
	})
	mux.HandleFunc("POST /api/v1/policy-test", func(w http.ResponseWriter, r *http.Request) {
		var body struct{ User string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		if body.User == "alice" {
			fmt.Fprint(w, `{"allowed":true,"effect":"allow","policy":"admin","statement":"All"}`)
			return
		}
		fmt.Fprint(w, `{"allowed":false,"effect":"no-match","missing":["no policy is attached"]}`)
	})
	mux.HandleFunc("POST /api/v1/keys", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"id":"K1","owner":"deploy","created":"2026-11-23T08:00:00Z","secret":"s'ecret","token":"cst_K1_secret"}`)
	})
	fakeNotices(mux)
	fakeDevices(mux)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer cst_T_SECRET" {
			refuse(w, 401, `"kind":"unauthenticated","message":"the request has no credentials"`)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func refuse(w http.ResponseWriter, status int, members string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{%s,"request_id":"Q1"}}`, members)
}

func (f *fake) get(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := r.FormValue("name")
	versions := f.secrets[name]
	n, _ := strconv.Atoi(r.FormValue("version"))
	if n == 0 {
		n = len(versions)
	}
	switch {
	case strings.HasPrefix(name, "prod/"):
		refuse(w, 403, `"kind":"denied","message":"this is not allowed","decision":"D1"`)
	case n < 1 || n > len(versions):
		refuse(w, 404, `"kind":"not-found","code":"secret","message":"the secret does not exist"`)
	default:
		var body map[string]any
		_ = json.Unmarshal(versions[n-1], &body)
		answer := map[string]any{"name": name, "arn": "arn:" + name, "version": n, "version_id": fmt.Sprint("v", n), "created": time.Unix(0, 0).UTC()}
		for _, k := range []string{"value", "binary"} {
			if v, ok := body[k]; ok {
				answer[k] = v
			}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func (f *fake) put(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := r.FormValue("name")
	var body struct {
		Base   uint64
		Create bool
	}
	var raw json.RawMessage
	_ = json.NewDecoder(r.Body).Decode(&raw)
	_ = json.Unmarshal(raw, &body)
	switch {
	case body.Base != 0 && body.Base != uint64(len(f.secrets[name])) || name == "clash" && len(f.secrets[name]) == 1:
		refuse(w, 409, `"kind":"conflict","message":"another change altered the same key"`)
	case len(f.secrets[name]) == 0 && !body.Create:
		refuse(w, 404, `"kind":"not-found","code":"secret","message":"the secret does not exist"`)
	default:
		f.secrets[name] = append(f.secrets[name], raw)
		fmt.Fprintf(w, `{"name":%q,"version":%d,"change":"C1"}`, name, len(f.secrets[name]))
	}
}

func (f *fake) create(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var body struct{ Name string }
	var raw json.RawMessage
	_ = json.NewDecoder(r.Body).Decode(&raw)
	_ = json.Unmarshal(raw, &body)
	f.secrets[body.Name] = append(f.secrets[body.Name], raw)
	fmt.Fprintf(w, `{"name":%q,"version":1,"change":"C1","created":true}`, body.Name)
}

// list gives three secrets in two pages.
func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("page") == "2" {
		fmt.Fprint(w, `{"items":[{"name":"c","current":1}]}`)
		return
	}
	fmt.Fprint(w, `{"items":[{"name":"a","current":1,"changed":"2026-11-23T08:00:00Z","description":"with\ttab"},{"name":"b","current":12}],"next":"2"}`)
}

// audit gives two records newest first, and follows with one that was there
// already and one that is new.
func (f *fake) audit(w http.ResponseWriter, r *http.Request) {
	rec := func(n int) string {
		return fmt.Sprintf(`{"seq":%d,"id":"R%d","time":"2026-11-23T08:00:0%dZ","principal":{"kind":"user","name":"alice"},"front":"native","operation":"ReadValue","resource":"a","version":1,"source":"10.0.0.9","outcome":"ok"}`, n, n, n)
	}
	if r.FormValue("follow") == "true" {
		fmt.Fprintf(w, "\n%s\n\n%s\n", rec(2), rec(3))
		return
	}
	fmt.Fprintf(w, `{"items":[%s,%s]}`, rec(2), rec(1))
}
