package approve_test

import (
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"countersign/internal/cli/change/approve"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/clitest"
	"countersign/internal/cli/exit"
	"countersign/internal/sshsig"
)

const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

type vote struct{ Digest, Comment, Signature string }

// server has one change. It answers a vote, and tells what it got.
func server(t *testing.T, change, answer string) (*clitest.Run, *vote) {
	got := &vote{}
	return clitest.New(t, clitest.Routes{
		"GET /changes/01A": change,
		"POST /changes/01KB2Y6V8M0000000000000000/approve": func(r *http.Request) string {
			if err := json.NewDecoder(r.Body).Decode(got); err != nil {
				t.Error(err)
			}
			return answer
		},
	}, "y\n"), got
}

func change(more string) string {
	return `{"id":"01KB2Y6V8M0000000000000000","short":"01KB2Y6V8M","noun":"secret","name":"n","status":"pending","digest":"` + digest + `","reason":"why it is","diff":[],` + more + `"votes":[]}`
}

func options(r *clitest.Run) *approve.Options {
	return &approve.Options{Env: r.Env, Change: which.Change{ID: "01A"}}
}

func TestApprove(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer string
		says   string
	}{
		{"applied", `{"status":"applied"}`, "Change 01KB2Y6V8M approved and applied\n"},
		{"more", `{"status":"pending","standing":[{"rule":"r","approvals":[{"need":3,"have":1,"groups":["ops"]}]}]}`, "approved, 2 more from ops needed\n"},
		{"later", `{"status":"approved","not_before":"2026-11-23T22:00:00Z"}`, "approved, takes effect at 2026-11-23T22:00:00Z\n"},
		{"hours", `{"status":"approved"}`, "takes effect in the hours that its rule allows\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, got := server(t, change(""), tt.answer)
			r.Env.Streams.InTerminal = true
			o := options(r)
			o.Comment = "fine"
			if err := approve.Run(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if (*got != vote{Digest: digest, Comment: "fine"}) {
				t.Errorf("voted %+v", *got)
			}
			if !strings.Contains(r.Out.String(), "why it is") || !strings.Contains(r.Err.String(), "Approve this change? (y/N): ") {
				t.Errorf("the change was not shown, or not asked about: %q, %q", r.Out, r.Err)
			}
			if !strings.HasSuffix(r.Err.String(), tt.says) {
				t.Errorf("said %q, want %q", r.Err, tt.says)
			}
		})
	}
}

func TestNotApproved(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change string
		answer string
		set    func(r *clitest.Run, o *approve.Options)
		code   exit.Code
		says   string
		voted  bool
	}{
		{"no", change(""), "", func(r *clitest.Run, o *approve.Options) { r.Env.Streams.In = strings.NewReader("n\n") }, exit.Failed, "nothing was done", false},
		{"end-of-input", change(""), "", func(r *clitest.Run, o *approve.Options) { r.Env.Streams.In = strings.NewReader("") }, exit.Failed, "nothing was done", false},
		{"nobody-to-ask", change(""), "", func(r *clitest.Run, o *approve.Options) { r.Env.Streams.InTerminal = false }, exit.Usage, "give --yes", false},
		{"closed", `{"id":"01KB2Y6V8M0000000000000000","status":"rejected"}`, "", nil, exit.Conflict, "is rejected already", false},
		{"cannot", change(`"cannot":"the author\u001b cannot",`), "", nil, exit.Conflict, `you cannot approve it: the author\x1b cannot`, false},
		{"moved", change(""), `409 {"kind":"conflict","code":"digest","message":"moved"}`, nil, exit.Conflict, "review it again: countersign review --id 01KB2Y6V8M", true},
		{"refused", change(""), `412 {"kind":"precondition","code":"voter","message":"not you"}`, nil, exit.Conflict, "not you", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, got := server(t, tt.change, tt.answer)
			r.Env.Streams.InTerminal = true
			o := options(r)
			if tt.set != nil {
				tt.set(r, o)
			}
			err := approve.Run(t.Context(), o)
			if exit.Of(t.Context(), err) != tt.code || !strings.Contains(exit.Message(t.Context(), err), tt.says) {
				t.Errorf("got %v, want code %d and %q", err, tt.code, tt.says)
			}
			if voted := got.Digest != ""; voted != tt.voted {
				t.Errorf("voted %+v", *got)
			}
		})
	}
}

func TestSkipReview(t *testing.T) {
	r, got := server(t, change(`"reveals":true,`), `{"status":"applied"}`)
	o := options(r)
	o.Yes, o.SkipReview = true, true
	if err := approve.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got.Digest != digest || r.Out.Len() != 0 {
		t.Errorf("voted %+v, printed %q", *got, r.Out)
	}
}

// TestSign holds that the signature is over the change and the digest of the
// review, in the form that the server verifies.
func TestSign(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	r, got := server(t, change(""), `{"status":"applied"}`)
	o := options(r)
	o.Yes, o.Sign, o.Key = true, true, file
	if err := approve.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	pub, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sshsig.ParsePublicKey(string(ssh.MarshalAuthorizedKey(pub)))
	if err != nil {
		t.Fatal(err)
	}
	text := "countersign approval v1\nchange 01KB2Y6V8M0000000000000000\ndigest " + digest + "\n"
	if err := sshsig.Verify(got.Signature, key, "countersign.change", []byte(text)); err != nil {
		t.Error(err)
	}
	o.Key = file + "-absent"
	*got = vote{}
	if err := approve.Run(t.Context(), o); exit.Of(t.Context(), err) != exit.Usage || got.Digest != "" {
		t.Errorf("without a key: %v, voted %+v", err, *got)
	}
	o.Key = ""
	if err := approve.Run(t.Context(), o); exit.Of(t.Context(), err) != exit.Failed || !strings.Contains(err.Error(), "SSH_AUTH_SOCK") {
		t.Errorf("without an agent: %v", err)
	}
}
