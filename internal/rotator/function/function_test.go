package function_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"countersign/internal/errs"
	"countersign/internal/rotator"
	"countersign/internal/rotator/function"
	"countersign/internal/rotator/rotatetest"
	"countersign/internal/sensitive"
)

const (
	account = "111111111111"
	arn     = "arn:aws:lambda:eu-west-1:111122223333:function:rotate-db"
)

// served is a function behind the Invoke API that keeps its values itself.
type served struct {
	t        *testing.T
	mu       sync.Mutex
	accepted string
	made     map[string]string // by ClientRequestToken
	requests []*http.Request
	bodies   []string
	hangs    bool
	answer   func(w http.ResponseWriter, step string) bool
}

func (x *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	x.requests, x.bodies = append(x.requests, r), append(x.bodies, string(body))
	var e map[string]string
	if err := json.Unmarshal(body, &e); err != nil {
		x.t.Error(err)
	}
	if x.answer != nil && x.answer(w, e["Step"]) {
		return
	}
	switch e["Step"] {
	case "createSecret":
		v := "made-" + rand.Text()
		x.made[e["ClientRequestToken"]] = v
		fmt.Fprintf(w, `{"SecretString":%q}`, v)
		return
	case "setSecret":
		x.accepted = x.made[e["Token"]]
	case "testSecret":
		if x.accepted != x.made[e["Token"]] {
			fmt.Fprint(w, `{"errorMessage":"hunter2 was refused","errorType":"LoginError"}`)
			return
		}
	}
	fmt.Fprint(w, "null")
}

func start(t *testing.T) (*served, string) {
	x := &served{t: t, accepted: "first", made: map[string]string{}}
	s := httptest.NewServer(x)
	t.Cleanup(s.Close)
	return x, s.URL
}

func kind(url string, alter ...func(*function.Function)) rotator.Kind {
	f := function.Function{ARN: arn, Region: "eu-west-1", Called: "rotate-db", URL: url, User: "rotator", Accounts: []string{account}, Timeout: 5 * time.Second}
	for _, a := range alter {
		a(&f)
	}
	return function.Kind(function.Config{Functions: []function.Function{f}})
}

func job() rotator.Job {
	return rotator.Job{Account: account, Name: "app/db", ARN: "arn:aws:secretsmanager:us-east-1:111111111111:secret:app/db-AbCdEf", VersionID: rand.Text(),
		Token: sensitive.FromString(rand.Text()), Options: map[string]string{function.Option: arn}, Current: rotator.Text("first")}
}

// TestSuite: each rotation has a version of its own, as the store's has.
func TestSuite(t *testing.T) {
	rotatetest.Run(t, func(t *testing.T) *rotatetest.Target {
		x, url := start(t)
		k := kind(url)
		return &rotatetest.Target{Kind: k, Rotator: k.New(rotator.Env{HTTP: http.DefaultClient, Now: time.Now}), Job: job(), Accepts: func(_ *testing.T, v rotator.Value) bool {
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.accepted == string(v.Data.Reveal())
		}, Break: func(*testing.T) { x.mu.Lock(); x.hangs = true; x.mu.Unlock() }}
	})
}

func TestRequest(t *testing.T) {
	x, url := start(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	key := `{"access_key_id":"AKIDEXAMPLE","secret_access_key":"wJalrXUtnFEMI"}`
	r := kind(url+"/base/", func(f *function.Function) {
		f.Version = "prod"
		f.Credentials = func() (sensitive.Bytes, error) { return sensitive.FromString(key), nil }
	}).New(rotator.Env{HTTP: http.DefaultClient, Now: func() time.Time { return at }})
	j := job()
	if err := r.Set(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	got := x.requests[0]
	if got.Method != "POST" || got.URL.String() != "/base/2015-03-31/functions/rotate-db/invocations?Qualifier=prod" || got.Header.Get("X-Amz-Invocation-Type") != "RequestResponse" {
		t.Errorf("%s %s %v", got.Method, got.URL, got.Header)
	}
	var e map[string]string
	if err := json.Unmarshal([]byte(x.bodies[0]), &e); err != nil {
		t.Fatal(err)
	}
	token := string(j.Token.Reveal())
	if e["Step"] != "setSecret" || e["SecretId"] != j.ARN || e["ClientRequestToken"] != j.VersionID || e["Token"] != j.VersionID || e["RotationToken"] != token || len(e) != 5 {
		t.Errorf("the event is %v", e)
	}
	// the signature is that of AWS's own signer over the request as it came
	again, err := http.NewRequest("POST", "http://"+got.Host+got.URL.String(), bytes.NewReader([]byte(x.bodies[0])))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []string{"Content-Type", "X-Amz-Invocation-Type", "X-Amz-Log-Type", "User-Agent"} {
		again.Header.Set(h, got.Header.Get(h))
	}
	sum := hash(x.bodies[0])
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI"}, again, sum, "lambda", "eu-west-1", at); err != nil {
		t.Fatal(err)
	}
	if got.Header.Get("Authorization") != again.Header.Get("Authorization") || !strings.Contains(got.Header.Get("Authorization"), "/eu-west-1/lambda/aws4_request") {
		t.Errorf("signed as %s, want %s", got.Header.Get("Authorization"), again.Header.Get("Authorization"))
	}
}

func TestFailures(t *testing.T) {
	x, url := start(t)
	r := kind(url).New(rotator.Env{HTTP: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}})
	j := job()
	j.Current = rotator.Text("hunter2")
	for name, c := range map[string]struct {
		status int
		header bool
		body   string
		class  rotator.Class
		text   string
	}{
		"emulator":      {200, false, `{"errorMessage":"hunter2","errorType":"ValueError","stackTrace":["hunter2"]}`, rotator.Rejected, "(ValueError)"},
		"header":        {200, true, `{"errorMessage":"hunter2"}`, rotator.Rejected, "failed at setSecret;"},
		"type-a-value":  {200, true, `{"errorType":"hunter2"}`, rotator.Rejected, "failed at setSecret;"},
		"no-json":       {200, true, "hunter2", rotator.Rejected, ""},
		"message-alone": {200, false, `{"errorMessage":"hunter2"}`, rotator.Rejected, "failed at setSecret;"},
		"twice":         {200, false, `{"errorMessage":"a","errorMessage":"hunter2"}`, rotator.Rejected, "failed at setSecret;"},
		"late":          {200, false, "Task timed out after 3.00 seconds", rotator.Unreachable, "took too long at setSecret"},
		"late-lambda":   {200, true, `{"errorMessage":"2026-01-02T03:04:05Z hunter2 Task timed out after 3.00 seconds"}`, rotator.Unreachable, "took too long at setSecret"},
		"throttled":     {429, false, "", rotator.Unreachable, "429"},
		"none":          {404, false, `{"message":"hunter2"}`, rotator.Unsuitable, "404"},
		"denied":        {403, false, "", rotator.Permission, "403"},
		"broken":        {502, false, "", rotator.Unreachable, "502"},
		"redirect":      {307, false, "", rotator.Unsuitable, "307"},
		"large":         {200, false, strings.Repeat(" ", function.MaxAnswer+1), rotator.Unsuitable, "KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			x.answer = func(w http.ResponseWriter, _ string) bool {
				if c.header {
					w.Header().Set("X-Amz-Function-Error", "Unhandled")
				}
				w.Header().Set("Location", "http://169.254.169.254/")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
				return true
			}
			class, msg := rotator.Why(r.Set(t.Context(), j))
			if class != c.class || !strings.Contains(msg, c.text) || strings.Contains(msg, "hunter") {
				t.Errorf("%s: %s", class, msg)
			}
		})
	}
}

func TestCreated(t *testing.T) {
	x, url := start(t)
	r := kind(url).New(rotator.Env{HTTP: http.DefaultClient})
	for body, want := range map[string]string{"null": "", "": "", `"text"`: "", `{}`: "", `{"statusCode":200}`: "", `{"SecretString":"v"}`: "v", `{"SecretBinary":"AAE="}`: "\x00\x01"} {
		x.answer = func(w http.ResponseWriter, _ string) bool { _, _ = io.WriteString(w, body); return true }
		made, err := r.Create(t.Context(), job())
		if err != nil || string(made.Value.Data.Reveal()) != want {
			t.Errorf("%q makes %d bytes, %v", body, made.Value.Data.Len(), err)
		}
	}
	for _, body := range []string{`{"SecretString":1}`, `{"SecretString":"a","SecretBinary":"AA=="}`, `{"SecretString":""}`} {
		x.answer = func(w http.ResponseWriter, _ string) bool { _, _ = io.WriteString(w, body); return true }
		if _, err := r.Create(t.Context(), job()); err == nil {
			t.Errorf("%q makes a value", body)
		}
	}
}

func TestWhose(t *testing.T) {
	x, url := start(t)
	k := kind(url)
	options := map[string]string{function.Option: arn}
	if err := k.AcceptFor(account, options); err != nil || k.User(account, options) != "rotator" {
		t.Errorf("%v, %q", err, k.User(account, options))
	}
	other := "222222222222"
	if err := k.AcceptFor(other, options); !errs.Is(err, errs.Invalid) || k.User(other, options) != "" {
		t.Errorf("another account has it: %v", err)
	}
	j := job()
	j.Account = other
	if err := k.New(rotator.Env{HTTP: http.DefaultClient}).Set(t.Context(), j); err == nil || len(x.requests) > 0 {
		t.Errorf("another account calls it: %v", err)
	}
	bad := kind(url, func(f *function.Function) {
		f.Credentials = func() (sensitive.Bytes, error) { return sensitive.Bytes{}, errors.New("open /secret/path: no") }
	}).New(rotator.Env{HTTP: http.DefaultClient})
	if class, msg := rotator.Why(bad.Set(t.Context(), job())); class != rotator.Unsuitable || strings.Contains(msg, "path") || len(x.requests) > 0 {
		t.Errorf("%s: %s", class, msg)
	}
}

func hash(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
