package script

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// receiver takes webhooks and writes down what came.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	came []received
}

type received struct {
	header http.Header
	body   string
}

type receiverKey struct{}

// receive starts a receiver and sets VAR to its URL: "receive VAR". What is posted
// below /gone is answered with 410, everything else is taken.
func receive(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: receive VAR")
	}
	r := ts.Value(receiverKey{}).(*receiver)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(io.LimitReader(req.Body, 1<<20))
		if strings.HasPrefix(req.URL.Path, "/gone") {
			w.WriteHeader(http.StatusGone)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.came = append(r.came, received{req.Header, string(b)})
	}))
	ts.Defer(r.Close)
	ts.Setenv(args[0], r.URL)
}

// webhook waits until a webhook has come whose body holds TEXT, checks that it is
// signed with the key in a file, and writes its body into another: "webhook KEYFILE
// TEXT OUT".
func webhook(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: webhook KEYFILE TEXT OUT")
	}
	r := ts.Value(receiverKey{}).(*receiver)
	key := strings.TrimSpace(ts.ReadFile(args[0]))
	for begun := time.Now(); time.Since(begun) < readyWithin; time.Sleep(50 * time.Millisecond) {
		r.mu.Lock()
		came := r.came
		r.mu.Unlock()
		for _, one := range came {
			if !strings.Contains(one.body, args[1]) {
				continue
			}
			mac := hmac.New(sha256.New, []byte(key))
			fmt.Fprintf(mac, "%s.%s", one.header.Get("Countersign-Timestamp"), one.body)
			if got, want := one.header.Get("Countersign-Signature"), "v1="+hex.EncodeToString(mac.Sum(nil)); got != want {
				ts.Fatalf("signed %q, want %q", got, want)
			}
			ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(one.body+"\n"), 0o600))
			return
		}
	}
	ts.Fatalf("no webhook with %q has come", args[1])
}
