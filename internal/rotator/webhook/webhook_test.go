package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/rotator"
	"countersign/internal/rotator/call"
	"countersign/internal/rotator/rotatetest"
	"countersign/internal/rotator/webhook"
	"countersign/internal/sensitive"
)

const (
	key     = "a-key-of-sixteen-bytes-and-more"
	account = "111111111111"
)

// receiver keeps the values that it accepts, as a service would.
type receiver struct {
	t        *testing.T
	mu       sync.Mutex
	accepted map[string]bool
	ids      map[string]bool
	kept     bool // it goes on accepting the previous one
	hangs    bool
	answer   func(w http.ResponseWriter, step string) bool
	steps    []string
}

func text(v *call.Value) string {
	if v == nil || v.Text == nil {
		return ""
	}
	return *v.Text
}

func (x *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	x.mu.Lock()
	hangs := x.hangs
	x.mu.Unlock()
	if hangs {
		<-r.Context().Done()
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(r.Header.Get(webhook.HeaderTimestamp) + "."))
	m.Write(body)
	if id := r.Header.Get(webhook.HeaderID); r.Header.Get(webhook.HeaderSignature) != "v1="+hex.EncodeToString(m.Sum(nil)) || x.ids[id] || id == "" {
		x.t.Errorf("a request with the signature %q and the id %q", r.Header.Get(webhook.HeaderSignature), id)
	} else {
		x.ids[id] = true
	}
	if r.URL.String() != "/hook?k=v" {
		x.t.Errorf("called at %s", r.URL)
	}
	var d call.Document
	if err := json.Unmarshal(body, &d); err != nil {
		x.t.Error(err)
	}
	x.steps = append(x.steps, d.Step)
	if x.answer != nil && x.answer(w, d.Step) {
		return
	}
	current, pending, previous := text(d.Current), text(d.Pending), text(d.Previous)
	switch d.Step {
	case call.Create:
		fmt.Fprintf(w, `{"value":%q,"note":"made"}`, "made-"+rand.Text())
		return
	case call.Set, call.Rotate:
		if !x.kept {
			clear(x.accepted)
		}
		x.accepted[pending] = true
	case call.Test:
		if !x.accepted[pending] {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, `{"class":"credentials","code":"refused"}`)
			return
		}
	case call.Undo:
		delete(x.accepted, pending)
		x.accepted[current] = true
	case call.Retire:
		delete(x.accepted, previous)
		x.accepted[current] = true
	}
	w.WriteHeader(http.StatusNoContent)
}

func fresh(mode call.Mode, previous rotator.Fate, options map[string]string) func(t *testing.T) *rotatetest.Target {
	return func(t *testing.T) *rotatetest.Target {
		x := &receiver{t: t, accepted: map[string]bool{"first": true}, ids: map[string]bool{}, kept: previous == rotator.Kept}
		s := httptest.NewServer(x)
		t.Cleanup(s.Close)
		k := kind(s.URL, mode, previous)
		all := map[string]string{webhook.Option: "w"}
		for o, v := range options {
			all[o] = v
		}
		return &rotatetest.Target{Kind: k, Rotator: k.New(env()),
			Job: rotator.Job{Account: account, Name: "app/key", Options: all, Current: rotator.Text("first"), Token: sensitive.FromString(rand.Text()),
				Password: func() (string, error) { return "drawn-" + rand.Text(), nil }},
			Accepts: func(_ *testing.T, v rotator.Value) bool {
				x.mu.Lock()
				defer x.mu.Unlock()
				return x.accepted[string(v.Data.Reveal())]
			},
			Break: func(*testing.T) { x.mu.Lock(); x.hangs = true; x.mu.Unlock() },
		}
	}
}

func env() rotator.Env { return rotator.Env{HTTP: client(), Now: time.Now} }

// client follows no redirect, as the server's does.
func client() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func kind(url string, mode call.Mode, previous rotator.Fate) rotator.Kind {
	return webhook.Kind(webhook.Config{Webhooks: []webhook.Webhook{{URL: url + "/hook?k=v", Keys: func() (sensitive.Bytes, error) { return sensitive.FromString(key + "\n"), nil },
		Called: call.Called{Name: "w", Mode: mode, Previous: previous, Accounts: []string{account}, Timeout: 5 * time.Second}}}})
}

func TestSuite(t *testing.T) {
	t.Run("steps", func(t *testing.T) { rotatetest.Run(t, fresh(call.Steps, rotator.Replaced, nil)) })
	t.Run("kept", func(t *testing.T) { rotatetest.Run(t, fresh(call.Steps, rotator.Kept, nil)) })
	t.Run("drawn", func(t *testing.T) {
		rotatetest.Run(t, fresh(call.Steps, rotator.Unknown, map[string]string{call.OptionGenerate: "true"}))
	})
}

// TestSingle is what there is of the suite where nothing tests: one call does all.
func TestSingle(t *testing.T) {
	x := fresh(call.Single, rotator.Replaced, nil)(t)
	j := x.Job
	made, err := x.Rotator.Create(t.Context(), j)
	if err != nil || made.Value.Empty() {
		t.Fatal(err)
	}
	j.Pending = made.Value
	for _, do := range []func(context.Context, rotator.Job) error{x.Rotator.Set, x.Rotator.Set, x.Rotator.Test, x.Rotator.Finish} {
		if err := do(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	if !x.Accepts(t, j.Pending) || x.Accepts(t, j.Current) {
		t.Error("it was not rotated")
	}
	if err := x.Rotator.Undo(t.Context(), j); err != nil || !x.Accepts(t, j.Current) {
		t.Errorf("it was not undone: %v", err)
	}
}

func TestAnswers(t *testing.T) {
	var answer func(w http.ResponseWriter, step string) bool
	x := &receiver{t: t, accepted: map[string]bool{}, ids: map[string]bool{}, answer: func(w http.ResponseWriter, step string) bool { return answer(w, step) }}
	s := httptest.NewServer(x)
	defer s.Close()
	r := kind(s.URL, call.Steps, rotator.Unknown).New(env())
	j := rotator.Job{Account: account, Options: map[string]string{webhook.Option: "w"}, Current: rotator.Text("hunter2"), Pending: rotator.Text("hunter3")}
	for name, c := range map[string]struct {
		status int
		body   string
		class  rotator.Class
	}{
		"server":     {500, "hunter2", rotator.Unreachable},
		"busy":       {429, "", rotator.Unreachable},
		"forbidden":  {403, "hunter3", rotator.Permission},
		"redirect":   {302, "", rotator.Unsuitable},
		"class":      {422, `{"class":"credentials","code":"hunter2"}`, rotator.Credentials},
		"other":      {422, `{"class":"hunter2"}`, rotator.Rejected},
		"unknown":    {404, `{"unsupported":true}`, rotator.Unsuitable},
		"very-large": {500, strings.Repeat("x", webhook.MaxAnswer+2), rotator.Unsuitable},
	} {
		t.Run(name, func(t *testing.T) {
			answer = func(w http.ResponseWriter, _ string) bool {
				w.Header().Set("Location", "http://169.254.169.254/")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
				return true
			}
			class, msg := rotator.Why(r.Set(t.Context(), j))
			if class != c.class || strings.Contains(msg, "hunter") {
				t.Errorf("%s: %s", class, msg)
			}
		})
	}
	answer = func(w http.ResponseWriter, _ string) bool { return true }
	j.Pending = rotator.Value{}
	if _, err := r.Create(t.Context(), j); err == nil {
		t.Error("an answer without a value makes one")
	}
	j.Account = "222222222222"
	if err := r.Set(t.Context(), j); err == nil {
		t.Error("another account calls it")
	}
}

func TestKeys(t *testing.T) {
	for file, want := range map[string]int{key: 1, key + "\n": 1, key + "\n" + key + "2\n": 2, "": 0, "short": 0, key + "\n" + key + "\n" + key: 0} {
		got, err := webhook.ParseKeys(sensitive.FromString(file))
		if len(got) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d keys, %v", file, len(got), err)
		}
	}
}
