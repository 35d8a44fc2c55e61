package auditdevice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/auditdevice"
	"countersign/internal/core/coretest"
	"countersign/internal/core/gate"
	"countersign/internal/core/secret"
	"countersign/internal/kv"
)

var ctx = context.Background()

// frozen is a store that takes no writes any more once it is, as of a process that
// was killed.
type frozen struct {
	kv.DB
	is *atomic.Bool
}

func (f frozen) Update(ctx context.Context, do func(kv.Txn) error) (kv.Revision, error) {
	if f.is.Load() {
		return 0, errors.New("killed")
	}
	return f.DB.Update(ctx, do)
}

// rig is a core with a Service of devices.
type rig struct {
	*coretest.Core
	cfg  auditdevice.Config
	s    *auditdevice.Service
	kill *atomic.Bool
	stop func()
}

func newRig(t *testing.T, alter func(*auditdevice.Config)) *rig {
	t.Helper()
	c := coretest.New(t, coretest.Config{})
	r := &rig{Core: c}
	r.cfg = auditdevice.Config{Changes: c.Changes, Log: c.Log, Mounts: c.Mounts, Home: coretest.Home, Logger: c.Devices.Logger,
		Dir: filepath.Join(c.Dir, "devices"), Syslog: []string{filepath.Join(c.Dir, "syslog")}}
	if alter != nil {
		alter(&r.cfg)
	}
	r.start(t)
	t.Cleanup(func() { r.stop() })
	return r
}

// start runs a service as after a start of the server.
func (r *rig) start(t *testing.T) {
	t.Helper()
	r.kill = new(atomic.Bool)
	g := &gate.Gate{DB: frozen{r.DB, r.kill}, Auth: r.Gate.Auth, Log: r.Gate.Log}
	r.cfg.Gate = g
	r.s = auditdevice.New(r.cfg)
	running, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	s := r.s
	go func() { defer close(done); s.Run(running) }()
	r.stop = func() { cancel(); <-done }
}

// crash ends the service as a kill would: nothing more is kept.
func (r *rig) crash() {
	r.kill.Store(true)
	r.stop()
}

func (r *rig) enable(t *testing.T, who caller.Caller, n, kind string, options map[string]string) {
	t.Helper()
	who.Time = time.Now()
	if _, err := r.s.Enable(ctx, who, auditdevice.EnableRequest{Name: n, Type: kind, Options: options}); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) file(parts ...string) string {
	return filepath.Join(append([]string{r.cfg.Dir}, parts...)...)
}

// requests makes n requests that leave a record each: reads of a secret that is
// not there.
func (r *rig) requests(t *testing.T, who caller.Caller, n int) {
	t.Helper()
	for range n {
		who.Time = time.Now()
		_, err := r.Secrets.ReadValue(ctx, who, secret.ReadRequest{ID: coretest.ID(t, "myapp/none")})
		if err == nil {
			t.Fatal("there is such a secret")
		}
	}
}

// parsed is a line as its readers see it.
type parsed struct {
	Time, Type, Error string
	Auth              struct {
		DisplayName string `json:"display_name"`
		Accessor    string
	}
	Request struct {
		ID, Operation, Path string
		MountType           string `json:"mount_type"`
		MountPoint          string `json:"mount_point"`
		RemoteAddress       string `json:"remote_address"`
		Accessor            string `json:"client_token_accessor"`
		Namespace           struct{ ID, Path string }
		Headers             map[string][]string
	}
	Response    *struct{}
	Countersign struct {
		Record, Operation, Outcome, Account string
		Keys                                []string
		KeysOmitted                         int `json:"keys_omitted"`
	}
}

func parse(t *testing.T, text []byte, prefix string) (out []parsed) {
	t.Helper()
	for l := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(l, []byte(prefix))
		var p parsed
		if err := json.Unmarshal(rest, &p); err != nil || !ok {
			t.Fatalf("line %q: %v", l, err)
		}
		out = append(out, p)
	}
	return out
}

// expected are the records of an account since some time, by id.
func (r *rig) expected(t *testing.T, account string, since int) (ids []string) {
	t.Helper()
	for _, rec := range r.Records(t)[since:] {
		if rec.Account == account || rec.Account == "" && account == coretest.Home {
			ids = append(ids, rec.ID)
		}
	}
	return ids
}

// once tells what differs between lines and the two lines of each record, in
// their order.
func once(lines []parsed, ids []string) error {
	for i, id := range ids {
		for j, kind := range []string{"request", "response"} {
			n := 2*i + j
			if n >= len(lines) {
				return fmt.Errorf("%d lines of %d records", len(lines), len(ids))
			}
			if lines[n].Countersign.Record != id || lines[n].Type != kind {
				return fmt.Errorf("line %d is the %s of %s, want the %s of %s", n+1, lines[n].Type, lines[n].Countersign.Record, kind, id)
			}
		}
	}
	if len(lines) != 2*len(ids) {
		return fmt.Errorf("%d lines of %d records", len(lines), len(ids))
	}
	return nil
}

// settles waits until a file, or several one after the other, have each record
// once.
func (r *rig) settles(t *testing.T, account string, since int, files ...string) {
	t.Helper()
	ids := r.expected(t, account, since)
	eventually(t, func() error {
		var text []byte
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			text = append(text, b...)
		}
		if i := bytes.LastIndexByte(text, '\n'); i != len(text)-1 {
			return errors.New("the file does not end with a line")
		}
		return once(parse(t, text, ""), ids)
	})
}

func eventually(t *testing.T, f func() error) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// device is one of the list, as it is shown to the administrator of its account.
func (r *rig) device(t *testing.T, who caller.Caller, n string) auditdevice.Device {
	t.Helper()
	who.Time = time.Now()
	list, err := r.s.List(ctx, who)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if d.Name == n {
			return d
		}
	}
	t.Fatalf("no device %s in %+v", n, list)
	return auditdevice.Device{}
}

func (r *rig) becomes(t *testing.T, n string, state auditdevice.State, why string) auditdevice.Device {
	t.Helper()
	var d auditdevice.Device
	eventually(t, func() error {
		if d = r.device(t, r.Admin, n); d.State != state || !strings.Contains(d.Why, why) {
			return fmt.Errorf("it is %s (%s), want %s (%s)", d.State, d.Why, state, why)
		}
		return nil
	})
	return d
}

// here is how many records there are.
func (r *rig) here(t *testing.T) int { return len(r.Records(t)) }
