package native

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"countersign/internal/core/audit"
	"countersign/internal/core/coretest"
	"countersign/internal/core/operate"
	"countersign/internal/front/sigv4"
)

func TestFollow(t *testing.T) {
	s := newServer(t, coretest.Config{})
	web := httptest.NewServer(s)
	defer web.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", web.URL+Base+"/audit?follow=true&operation=ReadValue", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.admin)
	res, err := web.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || lines.Text() != "" {
		t.Fatalf("first line %q", lines.Text())
	}
	for _, name := range []string{"one", "two"} {
		s.do(t, s.admin, "GET", "/secret/value?name="+name, "")
		s.do(t, s.admin, "GET", "/whoami", "")
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		var r audit.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Resource != name || r.Operation != "ReadValue" {
			t.Errorf("%v: %s", err, lines.Bytes())
		}
	}
	for _, q := range []string{"&limit=1", "&page=x", "&until=2030-01-01T00:00:00Z"} {
		if w := s.do(t, s.admin, "GET", "/audit?follow=true"+q, ""); w.Code != 400 {
			t.Errorf("%s: %d %s", q, w.Code, w.Body)
		}
	}
}

func TestBackup(t *testing.T) {
	s := newServer(t, coretest.Config{Bolt: true})
	s.want(t, "POST", "/secret", `{"name":"canary","value":"a planted value"}`)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	w := s.do(t, s.admin, "POST", "/backup", `{"recipients":["`+id.Recipient().String()+`"]}`)
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/octet-stream" ||
		!strings.Contains(w.Header().Get("Content-Disposition"), ".tar.age") || bytes.Contains(w.Body.Bytes(), []byte("canary")) {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	m, err := operate.RestoreBackup(w.Body, []age.Identity{id}, filepath.Join(t.TempDir(), "new"))
	if err != nil || len(m.Files) < 5 {
		t.Errorf("restored %+v, %v", m, err)
	}
	for _, body := range []string{`{"recipients":["age1nonsense"]}`, `{"recipients":["` + id.String() + `"]}`, `{"recipients":["# comment"]}`} {
		w := s.do(t, s.admin, "POST", "/backup", body)
		if f := failed(t, w); w.Code != 400 || f.Code != "recipient" || strings.Contains(w.Body.String(), "AGE-SECRET") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if plain := s.do(t, s.admin, "POST", "/backup", ""); plain.Code != 200 || bytes.Contains(plain.Body.Bytes(), []byte("a planted value")) {
		t.Errorf("a backup without recipients: %d", plain.Code)
	}
}

// sign signs a request as AWS's clients do, with the three headers that are
// needed.
func sign(r *http.Request, body, id, secret, region, service string, at time.Time) {
	stamp := at.UTC().Format("20060102T150405Z")
	r.Header.Set("X-Amz-Date", stamp)
	sum := sha256.Sum256([]byte(body))
	hash := hex.EncodeToString(sum[:])
	canonical := strings.Join([]string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, "host:" + r.Host, "x-amz-date:" + stamp, "", "host;x-amz-date", hash}, "\n")
	sum = sha256.Sum256([]byte(canonical))
	scope := stamp[:8] + "/" + region + "/" + service + "/aws4_request"
	toSign := strings.Join([]string{sigv4.Algorithm, stamp, scope, hex.EncodeToString(sum[:])}, "\n")
	key := hmacOf([]byte("AWS4"+secret), stamp[:8], region, service, "aws4_request", toSign)
	r.Header.Set("Authorization", sigv4.Algorithm+" Credential="+id+"/"+scope+", SignedHeaders=host;x-amz-date, Signature="+hex.EncodeToString(key))
}

func TestSigned(t *testing.T) {
	s := newServer(t, coretest.Config{})
	secret := string(s.Key.Secret.Reveal())
	send := func(body, signed, id, secret, region, service string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("PUT", "http://host"+Base+"/secret/value?name=a", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		sign(r, signed, id, secret, region, service, time.Now())
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	const body = `{"value":"v","create":true}`
	if w := send(body, body, s.Key.ID, secret, coretest.Region, Service); w.Code != 200 {
		t.Errorf("a good signature: %d %s", w.Code, w.Body)
	}
	for what, w := range map[string]*httptest.ResponseRecorder{
		"another body":    send(body+" ", body, s.Key.ID, secret, coretest.Region, Service),
		"another secret":  send(body, body, s.Key.ID, "x", coretest.Region, Service),
		"another key":     send(body, body, "AKIAAAAAAAAAAAAAAAAA", secret, coretest.Region, Service),
		"another service": send(body, body, s.Key.ID, secret, coretest.Region, "secretsmanager"),
		"another region":  send(body, body, s.Key.ID, secret, "mars-1", Service),
	} {
		if f := failed(t, w); w.Code != 401 || f.Kind != "unauthenticated" {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
	if w := send(strings.Repeat(" ", maxBody+1), "", s.Key.ID, secret, coretest.Region, Service); w.Code != 413 {
		t.Errorf("too large a body: %d %s", w.Code, w.Body)
	}
	r := httptest.NewRequest("GET", "http://host"+Base+"/whoami?X-Amz-Algorithm="+sigv4.Algorithm, nil)
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != 401 && w.Code != 400 {
		t.Errorf("a presigned URL: %d %s", w.Code, w.Body)
	}
}
