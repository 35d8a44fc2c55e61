package auditdevice_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
	"countersign/internal/core/auditdevice"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/protect"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/sensitive"
)

func TestRefusedDevices(t *testing.T) {
	r := newRig(t, func(c *auditdevice.Config) { c.Stdout = io.Discard; c.Sockets = []string{"/run/known.sock"} })
	stranger, _ := r.Stranger(t)
	home, other := r.Admin, stranger
	file := func(path string) map[string]string { return map[string]string{"file_path": path} }
	with := func(path, k, v string) map[string]string { return map[string]string{"file_path": path, k: v} }
	r.enable(t, home, "there", "file", file("there.log"))
	for _, tt := range []struct {
		who     caller.Caller
		name    string
		kind    string
		options map[string]string
		err     errs.Kind
		field   string
	}{
		{home, "", "file", file("a"), errs.Invalid, "path"},
		{home, "a//b", "file", file("a"), errs.Invalid, "path"},
		{home, "../a", "file", file("a"), errs.Invalid, "path"},
		{home, "a b", "file", file("a"), errs.Invalid, "path"},
		{home, strings.Repeat("a", 129), "file", file("a"), errs.Invalid, "path"},
		{home, "a", "kafka", nil, errs.Invalid, "type"},
		{home, "a", "file", nil, errs.Invalid, "file_path"},
		{home, "a", "file", file("../a"), errs.Invalid, "file_path"},
		{home, "a", "file", file("a/../../b"), errs.Invalid, "file_path"},
		{home, "a", "file", file("a/./b"), errs.Invalid, "file_path"},
		{home, "a", "file", file("a//b"), errs.Invalid, "file_path"},
		{home, "a", "file", file("a/"), errs.Invalid, "file_path"},
		{home, "a", "file", file("..%2fa"), errs.Invalid, "file_path"},
		{home, "a", "file", file("a\x00b"), errs.Invalid, "file_path"},
		{home, "a", "file", file("a\nb"), errs.Invalid, "file_path"},
		{home, "a", "file", file("ä\u202e"), errs.Invalid, "file_path"},
		{home, "a", "file", file(strings.Repeat("a", 513)), errs.Invalid, "file_path"},
		{home, "a", "file", file("/etc/passwd"), errs.Invalid, "file_path"},
		{home, "a", "file", file(r.cfg.Dir), errs.Invalid, "file_path"},
		{home, "a", "file", file(r.cfg.Dir + "x/a"), errs.Invalid, "file_path"},
		{home, "a", "file", file(r.cfg.Dir + "/../store.db"), errs.Invalid, "file_path"},
		{home, "a", "file", file("222222222222/a"), errs.Invalid, "file_path"},
		{home, "there", "file", file("b"), errs.Exists, ""},
		{home, "a", "file", file(r.file("there.log")), errs.Exists, ""},
		{home, "a", "file", with("a", "mode", "0777"), errs.Invalid, "mode"},
		{home, "a", "file", with("a", "mode", "0400"), errs.Invalid, "mode"},
		{home, "a", "file", with("a", "mode", "0602"), errs.Invalid, "mode"},
		{home, "a", "file", with("a", "mode", "rw"), errs.Invalid, "mode"},
		{home, "a", "file", with("a", "format", "jsonx"), errs.Invalid, "format"},
		{home, "a", "file", with("a", "format", "csv"), errs.Invalid, "format"},
		{home, "a", "file", with("a", "log_raw", "true"), errs.Invalid, "log_raw"},
		{home, "a", "file", with("a", "filter", "operation == read"), errs.Invalid, "filter"},
		{home, "a", "file", with("a", "exclude", "[]"), errs.Invalid, "exclude"},
		{home, "a", "file", with("a", "fallback", "true"), errs.Invalid, "fallback"},
		{home, "a", "file", with("a", "hmac_accessor", "maybe"), errs.Invalid, "hmac_accessor"},
		{home, "a", "file", with("a", "prefix", "{"), errs.Invalid, "prefix"},
		{home, "a", "file", with("a", "prefix", "a\nb"), errs.Invalid, "prefix"},
		{home, "a", "file", with("a", "address", "x"), errs.Invalid, "options"},
		{home, "a", "socket", map[string]string{"address": "127.0.0.1:1"}, errs.Invalid, "address"}, // there is no dialer
		{home, "a", "socket", map[string]string{"address": "/run/docker.sock", "socket_type": "unix"}, errs.Invalid, "address"},
		{home, "a", "socket", map[string]string{"address": "s", "socket_type": "unixgram"}, errs.Invalid, "socket_type"},
		{home, "a", "socket", map[string]string{"address": "s", "socket_type": "unix", "write_timeout": "2h"}, errs.Invalid, "write_timeout"},
		{home, "a", "syslog", map[string]string{"facility": "moon"}, errs.Invalid, "facility"},
		{home, "a", "syslog", map[string]string{"tag": "a b"}, errs.Invalid, "tag"},
		{other, "a", "syslog", nil, errs.Invalid, "type"},
		{other, "a", "file", file("stdout"), errs.Invalid, "file_path"},
		{other, "a", "file", file(r.file("there.log")), errs.Invalid, "file_path"},
		{other, "a", "file", file("../there.log"), errs.Invalid, "file_path"},
		{other, "a", "socket", map[string]string{"address": "/run/known.sock", "socket_type": "unix"}, errs.Invalid, "address"},
	} {
		n := r.here(t)
		_, err := r.s.Enable(ctx, tt.who, auditdevice.EnableRequest{Name: tt.name, Type: tt.kind, Options: tt.options})
		if !errs.Is(err, tt.err) || errs.As(err).Field != tt.field {
			t.Errorf("%s %s %q: %v (%s)", tt.name, tt.kind, tt.options, err, errs.As(err).Field)
		}
		if r.here(t) != n+1 {
			t.Errorf("%s %s %q left no record", tt.name, tt.kind, tt.options)
		}
	}
	for i, o := range []map[string]string{file("stdout"), file("discard"), with("b", "mode", "0000"), with("c", "mode", "640"), with("d", "elide_list_responses", "true"),
		with("e", "log_raw", "false"), with("f", "fallback", "0"), file(r.file("g")), file("discard")} {
		if _, err := r.s.Enable(ctx, home, auditdevice.EnableRequest{Name: fmt.Sprint("ok/", i, "/"), Type: "file", Options: o}); err != nil {
			t.Errorf("%q: %v", o, err)
		}
	}
	if _, err := r.s.Enable(ctx, home, auditdevice.EnableRequest{Name: "one-more", Type: "file", Options: file("discard")}); !errs.Is(err, errs.Limit) {
		t.Errorf("an account has %v", err)
	}
}

// TestAccountsApart holds that a device has its own account's records only, and
// that only home has those of nobody.
func TestAccountsApart(t *testing.T) {
	r := newRig(t, nil)
	stranger, _ := r.Stranger(t)
	since := r.here(t)
	r.enable(t, r.Admin, "file", "file", map[string]string{"file_path": "audit.log"})
	r.enable(t, stranger, "file", "file", map[string]string{"file_path": "audit.log"})
	r.requests(t, r.Admin, 3)
	r.requests(t, stranger, 2)
	nobody := caller.Caller{Front: "vault", Time: time.Now()}
	if _, err := r.s.List(ctx, nobody); err == nil {
		t.Fatal("nobody may list")
	}
	r.requests(t, r.Admin, 1)
	r.settles(t, coretest.Home, since, r.file("audit.log"))
	r.settles(t, coretest.Other, since, r.file(coretest.Other, "audit.log"))
	b, _ := os.ReadFile(r.file(coretest.Other, "audit.log"))
	for _, p := range parse(t, b, "") {
		if p.Request.Namespace.ID != coretest.Other || p.Request.Namespace.Path != coretest.Other+"/" {
			t.Errorf("namespace %+v", p.Request.Namespace)
		}
	}
	if bytes.Contains(b, []byte("seq")) {
		t.Error("the lines tell a place in the log, in which other accounts have a share")
	}
	if d := r.device(t, stranger, "file"); d.Seq != 0 || d.Lag != 0 {
		t.Errorf("another account is shown %+v", d)
	}
}

func TestHash(t *testing.T) {
	r := newRig(t, nil)
	r.enable(t, r.Admin, "file", "file", map[string]string{"file_path": "audit.log"})
	r.enable(t, r.Admin, "b", "file", map[string]string{"file_path": "b.log"})
	hash, err := r.s.Hash(ctx, r.Admin, "file/", []byte(r.Key.ID))
	if err != nil || !strings.HasPrefix(hash, "hmac-sha256:") || len(hash) != 76 {
		t.Fatalf("%q, %v", hash, err)
	}
	if other, _ := r.s.Hash(ctx, r.Admin, "b", []byte(r.Key.ID)); other == hash {
		t.Error("two devices have one salt")
	}
	eventually(t, func() error {
		b, _ := os.ReadFile(r.file("audit.log"))
		if list := parse(t, b, ""); len(list) == 0 || list[0].Auth.Accessor != hash || list[0].Request.Accessor != hash {
			return fmt.Errorf("%d lines, not with that hash", len(list))
		}
		return nil
	})
	if _, err := r.s.Hash(ctx, r.Admin, "none", []byte("x")); !errs.Is(err, errs.NotFound) {
		t.Error(err)
	}
	if _, err := r.s.Hash(ctx, r.Admin, "file", nil); !errs.Is(err, errs.Invalid) {
		t.Error(err)
	}
	bob, _ := r.User(t, "bob", "")
	if _, err := r.s.Hash(ctx, bob, "file", []byte("x")); !errs.Is(err, errs.Denied) {
		t.Error(err)
	}
	if _, err := r.s.Enable(ctx, bob, auditdevice.EnableRequest{Name: "c", Type: "file", Options: map[string]string{"file_path": "c"}}); !errs.Is(err, errs.Denied) {
		t.Error(err)
	}
	if _, err := r.s.Disable(ctx, bob, auditdevice.DisableRequest{Name: "file"}); !errs.Is(err, errs.Denied) {
		t.Error(err)
	}
	if _, err := r.s.List(ctx, bob); !errs.Is(err, errs.Denied) {
		t.Error(err)
	}
}

func TestDisable(t *testing.T) {
	r := newRig(t, nil)
	before := r.Dump(t)
	since := r.here(t)
	r.enable(t, r.Admin, "file", "file", map[string]string{"file_path": "audit.log"})
	r.requests(t, r.Admin, 2)
	r.settles(t, coretest.Home, since, r.file("audit.log"))
	if _, err := r.s.Disable(ctx, r.Admin, auditdevice.DisableRequest{Name: "file"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if n := r.s.Totals().Devices; n > 0 {
			return fmt.Errorf("%d devices", n)
		}
		return nil
	})
	for k := range r.Dump(t) {
		if strs, _, err := kv.Key(k).Parts("sss"); err == nil && strings.HasPrefix(strs[1], "audit-device") && before[k] == nil {
			t.Errorf("left behind: %q", k)
		}
	}
	r.requests(t, r.Admin, 2)
	since = r.here(t)
	if err := os.Remove(r.file("audit.log")); err != nil {
		t.Fatal(err)
	}
	r.enable(t, r.Admin, "file", "file", map[string]string{"file_path": "audit.log"})
	r.requests(t, r.Admin, 2)
	r.settles(t, coretest.Home, since, r.file("audit.log")) // from then on, not from before
	if _, err := r.s.Disable(ctx, r.Admin, auditdevice.DisableRequest{Name: "none"}); !errs.Is(err, errs.NotFound) {
		t.Error(err)
	}
}

// TestReviewed holds devices for review, and finds them working once approved.
func TestReviewed(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	rule := &protect.Rule{Name: "devices", Match: []string{"audit-device:*"}, Approvals: []protect.Approval{{Count: 1}}}
	if _, err := c.Changes.PutRules(ctx, c.Admin, change.RuleChange{Set: rule}, "", change.Options{}); err != nil {
		t.Fatal(err)
	}
	approver, _ := c.User(t, "ann", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["countersign:R*","countersign:List*"],"Resource":"*"}]}`)
	approve := func(id string, lines ...string) {
		t.Helper()
		rev, err := c.Changes.Get(ctx, approver, id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(lines, rev.Lines); diff != "" {
			t.Error(diff)
		}
		digest, _ := hex.DecodeString(rev.Digest)
		out, err := c.Changes.Vote(ctx, approver, change.VoteRequest{ID: id, Approve: true, Digest: digest})
		if err != nil || out.Record.Status != change.Applied {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	res, err := c.Devices.Enable(ctx, c.Admin, auditdevice.EnableRequest{Name: "file", Type: "file", Options: map[string]string{"file_path": "a.log", "mode": "0640"}})
	if err != nil || res.Status != change.Pending {
		t.Fatalf("%+v, %v", res, err)
	}
	if list, err := c.Devices.List(ctx, c.Admin); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	approve(res.ID, "enable an audit device of type file at file/", "set option file_path=a.log", "set option mode=0640")
	if list, err := c.Devices.List(ctx, c.Admin); err != nil || len(list) != 1 || list[0].By != c.Admin.ARN() || list[0].State != auditdevice.Starting {
		t.Errorf("%+v, %v", list, err)
	}
	if res, err = c.Devices.Disable(ctx, c.Admin, auditdevice.DisableRequest{Name: "file"}); err != nil || res.Status != change.Pending {
		t.Fatalf("%+v, %v", res, err)
	}
	approve(res.ID, "disable the audit device at file/; what it wrote stays")
	if list, err := c.Devices.List(ctx, c.Admin); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestMovedAway moves the log away under a device that cannot be written: it reads
// on from the exports, and what is not there either is shown as lost.
func TestMovedAway(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "archive")
	disk := &auditdevice.BadDisk{}
	r := newRig(t, func(c *auditdevice.Config) { *c = disk.Of(*c); c.Archive = archive })
	since := r.here(t)
	r.enable(t, r.Admin, "file", "file", map[string]string{"file_path": "audit.log"})
	r.requests(t, r.Admin, 2)
	r.settles(t, coretest.Home, since, r.file("audit.log"))
	away := func() {
		t.Helper()
		if err := r.Log.Rotate(ctx); err != nil {
			t.Fatal(err)
		}
		out, err := r.Log.Export(ctx, time.Time{}, archive)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.Log.Prune(ctx, time.Time{}, out.Proof); err != nil || n == 0 {
			t.Fatalf("pruned %d, %v", n, err)
		}
	}
	ids := r.expected(t, coretest.Home, since)
	disk.Room.Store(100)
	disk.Short.Store(true)
	r.requests(t, r.Admin, 40)
	ids = append(ids, r.expected(t, coretest.Home, since+len(ids))...)
	away()
	n := r.here(t)
	r.requests(t, r.Admin, 5)
	ids = append(ids, r.expected(t, coretest.Home, n)...)
	disk.Room.Store(-1)
	eventually(t, func() error {
		b, _ := os.ReadFile(r.file("audit.log"))
		return once(parse(t, b[:bytes.LastIndexByte(b, '\n')+1], ""), ids)
	})
	if d := r.device(t, r.Admin, "file"); d.Lost != 0 {
		t.Errorf("lost %d", d.Lost)
	}

	r.stop()
	r.requests(t, r.Admin, 7)
	away()
	if err := os.Rename(archive, archive+".gone"); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	r.requests(t, r.Admin, 1)
	r.becomes(t, "file", auditdevice.Failing, "the folder of its exports, cannot be read: no such file") // it may come back
	if err := os.Mkdir(archive, 0o700); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if d := r.device(t, r.Admin, "file"); d.Lost < 7 || r.s.Totals().Lost != d.Lost {
			return fmt.Errorf("it is shown as %+v", d)
		}
		return nil
	})
}

// TestLogThatIsNotAsItWas gives a device a log that ends before where it was.
func TestLogThatIsNotAsItWas(t *testing.T) {
	r := newRig(t, nil)
	since := r.here(t)
	r.enable(t, r.Admin, "file", "file", map[string]string{"file_path": "audit.log"})
	r.requests(t, r.Admin, 4)
	r.settles(t, coretest.Home, since, r.file("audit.log"))
	r.stop()
	if err := auditdevice.Ahead(r.DB, coretest.Home, "file", 1000); err != nil {
		t.Fatal(err)
	}
	r.requests(t, r.Admin, 4)
	r.start(t)
	ids := r.expected(t, coretest.Home, since)
	eventually(t, func() error {
		b, _ := os.ReadFile(r.file("audit.log"))
		var seen []string
		for _, p := range parse(t, b, "") {
			if p.Type == "response" && !slices.Contains(seen, p.Countersign.Record) {
				seen = append(seen, p.Countersign.Record)
			}
		}
		if !slices.Equal(seen, ids) {
			return fmt.Errorf("%d of %d records", len(seen), len(ids))
		}
		return nil
	})
}

// TestNoValue looks for a value in everything that devices wrote.
func TestNoValue(t *testing.T) {
	out := &buffer{}
	r := newRig(t, func(c *auditdevice.Config) { c.Stdout = out })
	const canary = "c4n4ry-v4lue"
	r.enable(t, r.Admin, "file", "file", map[string]string{"file_path": "audit.log", "hmac_accessor": "false"})
	r.enable(t, r.Admin, "stdout", "file", map[string]string{"file_path": "stdout"})
	who := r.Admin
	who.Time = time.Now()
	since := r.here(t)
	_, err := r.Secrets.Create(ctx, who, secret.CreateRequest{Name: "myapp/db", VersionID: "11111111-1111-4111-8111-111111111111",
		Value: &secret.Input{Data: sensitive.FromString(`{"password":"` + canary + `"}`)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Secrets.ReadValue(ctx, who, secret.ReadRequest{ID: coretest.ID(t, "myapp/db")}); err != nil {
		t.Fatal(err)
	}
	ids := r.expected(t, coretest.Home, since)
	eventually(t, func() error {
		b, _ := os.ReadFile(r.file("audit.log"))
		for _, text := range [][]byte{b, out.Bytes()} {
			if !bytes.Contains(text, []byte(ids[len(ids)-1])) {
				return fmt.Errorf("the last record is not there")
			}
			if bytes.Contains(text, []byte(canary)) {
				t.Fatal("a value is in the lines")
			}
			if !bytes.Contains(text, []byte(`"path":"secret/data/myapp/db"`)) {
				t.Fatal("the lines do not tell of the secret")
			}
		}
		return nil
	})
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.b.Bytes())
}

// stuck is a standard output that nobody reads.
type stuck struct{}

func (stuck) Write([]byte) (int, error) { select {} }

func TestStdoutThatNobodyReads(t *testing.T) {
	r := newRig(t, func(c *auditdevice.Config) { c.Stdout = stuck{} })
	r.enable(t, r.Admin, "stdout", "file", map[string]string{"file_path": "stdout"})
	r.requests(t, r.Admin, 3)
	eventually(t, func() error {
		if d := r.device(t, r.Admin, "stdout"); d.Behind <= 0 {
			return fmt.Errorf("it is not behind: %+v", d)
		}
		return nil
	})
	done := make(chan struct{})
	go func() { r.stop(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the service does not stop")
	}
}

func TestRefer(t *testing.T) {
	r := newRig(t, nil)
	r.enable(t, r.Admin, "file", "file", map[string]string{"file_path": "audit.log"})
	eventually(t, func() error {
		if r.device(t, r.Admin, "file").State != auditdevice.Writing {
			return fmt.Errorf("it does not write")
		}
		return nil
	})
	r.stop()
	check := func() (problems []string) {
		t.Helper()
		if err := r.DB.View(ctx, func(rd kv.Reader) error {
			return auditdevice.Refer(rd, func(_ kv.Key, p string) { problems = append(problems, p) })
		}); err != nil {
			t.Fatal(err)
		}
		return problems
	}
	if got := check(); got != nil {
		t.Errorf("sound: %v", got)
	}
	drop := func(k kv.Key) {
		t.Helper()
		if _, err := r.DB.Update(ctx, func(tx kv.Txn) error { return tx.Delete(k) }); err != nil {
			t.Fatal(err)
		}
	}
	drop(kv.K("sys", "audit-device-of", coretest.Home, "file"))
	if got := check(); len(got) != 1 {
		t.Errorf("not in the list: %v", got)
	}
	drop(kv.K(coretest.Home, "audit-device", "file"))
	if got := check(); len(got) != 1 || !strings.Contains(got[0], "how far") {
		t.Errorf("a note is left: %v", got)
	}
}
