package rotation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign/internal/core/coretest"
	"countersign/internal/core/rotation"
	"countersign/internal/core/secret"
	"countersign/internal/name"
	"countersign/internal/rotator"
	"countersign/internal/sensitive"
)

// These tests kill the process that rotates, with SIGKILL, right before and right
// after each step is done outside, and then hold the target and the store to what
// always has to be so. The process is this test's binary again, with a store in a
// file. What is rotated is a target in a file and, where scripts/with-databases has
// started them, real databases. COUNTERSIGN_TEST_KILLS says how often each is killed.

// Environment of the process that is killed.
const (
	envChild = "COUNTERSIGN_TEST_ROTATE" // a plan, as JSON
	envKills = "COUNTERSIGN_TEST_KILLS"
)

// plan is what the process is to do.
type plan struct {
	Dir, Subject string
	Step         string // to be killed at; "": at none
	After        bool   // it was done
	Fail         string // this step fails
	Options      map[string]string
	Admin, First string // values of the secrets
	Revoke       bool
	Rotate       bool   // although nobody is killed
	Base         uint64 // version that is current before the rotation that is killed
}

// subject is something with a login that is rotated.
type subject struct {
	name    string
	kind    func(dir string) rotator.Kind
	prepare func(t *testing.T, dir string) (options map[string]string, admin, first string, users func() string)
}

func subjects() []subject {
	list := []subject{{"file", fileKind, prepareFile(false)}, {"file-pair", fileKind, prepareFile(true)}}
	return append(list, databases()...)
}

func TestKilled(t *testing.T) {
	if os.Getenv(envChild) != "" {
		t.Skip("this is the process that is killed")
	}
	times, err := strconv.Atoi(os.Getenv(envKills))
	if err != nil {
		times = 1
	}
	for _, x := range subjects() {
		for _, step := range []string{"create", "set", "test", "finish", "undo", "retire"} {
			for _, after := range []bool{false, true} {
				for n := range times {
					t.Run(fmt.Sprintf("%s/%s-after-%t-%d", x.name, step, after, n), func(t *testing.T) { killed(t, x, step, after) })
				}
			}
		}
	}
}

func killed(t *testing.T, x subject, step string, after bool) {
	dir := t.TempDir()
	p := plan{Dir: filepath.Join(dir, "core"), Subject: x.name, Step: step, After: after, Revoke: true, Base: 1}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var users func() string
	p.Options, p.Admin, p.First, users = x.prepare(t, dir)
	if step == "undo" {
		p.Fail = "test"
	}
	before := users()
	// first a rotation that nobody kills, in half of the cases, so that there is a
	// previous value
	if after {
		q := p
		q.Step, q.Fail, q.Rotate = "", "", true
		run(t, q)
		p.Base = 2
		before = users()
	}
	fate := x.kind(dir)
	if died := run(t, p).Killed; died != (step != "retire" || fate.Leaves(p.Options) == rotator.Kept) {
		t.Fatalf("the process was killed: %t", died)
	}
	p.Step, p.Fail = "", ""
	out := run(t, p)
	if out.Pending || out.Run || !out.Works {
		t.Fatalf("after a kill: %+v", out)
	}
	want := before
	if step != "undo" && fate.Leaves(p.Options) == rotator.Kept { // it went forward, and made the second user
		want = out.Users
	}
	if is := users(); is != want {
		t.Errorf("users were %s and are %s, and not %s", before, is, want)
	}
	if step == "undo" != out.Same {
		t.Errorf("the value is the same: %t", out.Same)
	}
}

// result is what the process found at its end.
type result struct {
	Works, Pending, Run bool
	Same                bool   // the value is that which the first rotation was to replace
	Users               string // that a pair has: the one of the value, and the other
	Killed              bool
}

// run runs the process to its end, or its death.
func run(t *testing.T, p plan) (out result) {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcess$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), envChild+"="+string(text), "GORACE=atexit_sleep_ms=0") // a race detector waits a second at each exit
	said, err := cmd.CombinedOutput()
	var dead *exec.ExitError
	if err != nil {
		dead, _ = err.(*exec.ExitError)
		if dead == nil || dead.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the process: %v\n%s", err, said)
		}
		return result{Killed: true}
	}
	_, line, ok := strings.Cut(string(said), "RESULT ")
	if !ok {
		t.Fatalf("the process said nothing:\n%s", said)
	}
	line, _, _ = strings.Cut(line, "\n")
	if err := json.Unmarshal([]byte(line), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestProcess is the process that is killed.
func TestProcess(t *testing.T) {
	text := os.Getenv(envChild)
	if text == "" {
		t.Skip("this is for the process that TestKilled starts")
	}
	var p plan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	list := subjects()
	i := slices.IndexFunc(list, func(x subject) bool { return x.name == p.Subject })
	inner := list[i].kind(filepath.Dir(p.Dir))
	kind := inner
	kind.Name = "test"
	kind.New = func(env rotator.Env) rotator.Rotator { return &killer{inner.New(env), p} }
	core := coretest.New(t, coretest.Config{Bolt: true, Dir: p.Dir, Kinds: rotator.Kinds{kind}})
	f := &fixture{Core: core, t: t}
	ctx := t.Context()
	env := rotator.Env{Dial: (&net.Dialer{}).DialContext, Now: time.Now}
	s := core.Rotator(rotation.Config{Kinds: rotator.Kinds{kind}, Env: env, Attempts: 1, Logger: slog.New(slog.DiscardHandler)})
	live, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); s.Run(live) }()
	defer func() { stop(); <-done }()
	f.Rotation = s

	id := coretest.ID(t, "db")
	if _, err := core.Secrets.Describe(ctx, core.Admin, id); err != nil {
		if p.Admin != "" {
			_, err := core.Secrets.Create(ctx, core.Admin, secret.CreateRequest{Name: "admin", VersionID: versionID(), Value: &secret.Input{Data: sensitive.FromString(p.Admin)}})
			f.must(err)
		}
		_, err := core.Secrets.Create(ctx, core.Admin, secret.CreateRequest{Name: "db", VersionID: versionID(), Value: &secret.Input{Data: sensitive.FromString(p.First)}})
		f.must(err)
		_, err = core.Secrets.Rotate(ctx, core.Admin, secret.RotateRequest{ID: id, VersionID: versionID(), Native: true, Later: true, Rotator: "test", Options: p.Options})
		f.must(err)
	}
	f.idle() // what was killed is resumed
	if p.Step != "" || p.Rotate {
		_, err := core.Secrets.Rotate(ctx, core.Admin, secret.RotateRequest{ID: id, VersionID: versionID(), Native: true, Revoke: p.Revoke})
		f.must(err)
		f.idle()
	}
	current := f.read("db", name.Current)
	options := map[string]rotator.Value{}
	if p.Admin != "" {
		options["admin"] = rotator.Text(p.Admin)
	}
	err := inner.New(env).Test(ctx, rotator.Job{Account: coretest.Home, Name: "db", Options: p.Options, Pending: rotator.Text(current), Current: rotator.Text(current), Related: options})
	if err != nil {
		t.Logf("the current value: %v", err)
	}
	f.sound()
	out, merr := json.Marshal(result{Works: err == nil, Pending: f.read("db", name.Pending) != "", Run: f.status("db").Run != nil,
		Same: f.status("db").Current == p.Base, Users: both(current)})
	f.must(merr)
	fmt.Printf("RESULT %s\n", out)
}

// both are the two users of a pair, of which a value names one.
func both(value string) string {
	user, _, err := login(rotator.Text(value))
	if err != nil {
		return ""
	}
	user = strings.TrimSuffix(user, "_clone")
	return user + "," + user + "_clone"
}

func versionID() string {
	return fmt.Sprintf("00000000-0000-4000-8000-%012d", time.Now().UnixNano()%1e12)
}

// idle waits until nothing is under way or to be retired.
func (f *fixture) idle() {
	f.t.Helper()
	for range 600 {
		st := f.status("db")
		waits := st.Run != nil
		for _, e := range st.Retiring {
			waits = waits || e.At != 0
		}
		if !waits {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.t.Fatalf("it does not come to an end: %+v", f.status("db").Run)
}

// killer ends the process at a step.
type killer struct {
	rotator.Rotator
	p plan
}

func (k *killer) at(step string, do func() error) error {
	die := func(after bool) {
		if k.p.Step == step && k.p.After == after {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	die(false)
	err := do()
	die(true)
	if err == nil && k.p.Fail == step {
		return rotator.Fail(rotator.Rejected, nil, "it was told to fail")
	}
	return err
}

func (k *killer) Create(ctx context.Context, j rotator.Job) (made rotator.Created, err error) {
	err = k.at("create", func() (err error) { made, err = k.Rotator.Create(ctx, j); return err })
	return made, err
}
func (k *killer) Set(ctx context.Context, j rotator.Job) error {
	return k.at("set", func() error { return k.Rotator.Set(ctx, j) })
}
func (k *killer) Test(ctx context.Context, j rotator.Job) error {
	return k.at("test", func() error { return k.Rotator.Test(ctx, j) })
}
func (k *killer) Finish(ctx context.Context, j rotator.Job) error {
	return k.at("finish", func() error { return k.Rotator.Finish(ctx, j) })
}
func (k *killer) Undo(ctx context.Context, j rotator.Job) error {
	return k.at("undo", func() error { return k.Rotator.Undo(ctx, j) })
}
func (k *killer) Retire(ctx context.Context, j rotator.Job) error {
	return k.at("retire", func() error { return k.Rotator.Retire(ctx, j) })
}

// fileTarget is target with its users in a file.
type fileTarget struct{ path string }

func fileKind(dir string) rotator.Kind {
	k := newTarget(false).kind()
	k.Options = append(k.Options, rotator.Option{Name: "pair", Help: "h"})
	k.FateOf = func(o map[string]string) rotator.Fate {
		if o["pair"] != "" {
			return rotator.Kept
		}
		return rotator.Replaced
	}
	k.New = func(rotator.Env) rotator.Rotator { return fileTarget{filepath.Join(dir, "users.json")} }
	return k
}

func prepareFile(pair bool) func(t *testing.T, dir string) (map[string]string, string, string, func() string) {
	return func(t *testing.T, dir string) (map[string]string, string, string, func() string) {
		f := fileTarget{filepath.Join(dir, "users.json")}
		x := newTarget(pair)
		f.save(x)
		options := map[string]string{}
		if pair {
			options["pair"] = "yes"
		}
		return options, "", first, func() string { return strings.ReplaceAll(f.load(pair).Users(), " ", ",") }
	}
}

func (f fileTarget) load(pair bool) *target {
	x := newTarget(pair)
	text, err := os.ReadFile(f.path)
	if err == nil {
		x.users = nil
		err = json.Unmarshal(text, &x.users)
	}
	if err != nil {
		panic(err)
	}
	return x
}

// save is atomic: what is killed here was done or was not.
func (f fileTarget) save(x *target) {
	text, err := json.Marshal(x.users)
	if err == nil {
		err = os.WriteFile(f.path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(f.path+".new", f.path)
	}
	if err != nil {
		panic(err)
	}
}

func (f fileTarget) with(j rotator.Job, do func(x *target) error) error {
	x := f.load(j.Options["pair"] != "")
	err := do(x)
	f.save(x)
	return err
}

func (f fileTarget) Create(ctx context.Context, j rotator.Job) (made rotator.Created, err error) {
	return made, f.with(j, func(x *target) error { made, err = x.Create(ctx, j); return err })
}
func (f fileTarget) Set(ctx context.Context, j rotator.Job) error {
	return f.with(j, func(x *target) error { return x.Set(ctx, j) })
}
func (f fileTarget) Test(ctx context.Context, j rotator.Job) error {
	return f.with(j, func(x *target) error { return x.Test(ctx, j) })
}
func (f fileTarget) Finish(ctx context.Context, j rotator.Job) error { return nil }
func (f fileTarget) Undo(ctx context.Context, j rotator.Job) error {
	return f.with(j, func(x *target) error { return x.Undo(ctx, j) })
}
func (f fileTarget) Retire(ctx context.Context, j rotator.Job) error {
	return f.with(j, func(x *target) error { return x.Retire(ctx, j) })
}
