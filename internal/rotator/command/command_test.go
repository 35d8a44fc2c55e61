package command_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign/internal/rotator"
	"countersign/internal/rotator/call"
	"countersign/internal/rotator/command"
	"countersign/internal/rotator/rotatetest"
	"countersign/internal/sensitive"
)

const account = "111111111111"

// The program that is run is this test's binary: TestMain does what it is told.
const told = "TOLD"

func TestMain(m *testing.M) {
	if what := os.Getenv(told); what != "" {
		os.Exit(program(what))
	}
	os.Exit(m.Run())
}

func text(v *call.Value) string {
	if v == nil || v.Text == nil {
		return ""
	}
	return *v.Text
}

// program keeps the value that it accepts in a file.
func program(what string) int {
	dir := os.Args[1]
	switch what {
	case "deaf": // it never reads its input
		return 0
	case "flood":
		_, _ = os.Stdout.Write(make([]byte, command.MaxAnswer+1<<20))
		return 0
	case "hang":
		_ = os.WriteFile(filepath.Join(dir, "pid"), []byte(fmt.Sprint(os.Getpid())), 0o600)
		time.Sleep(time.Minute)
	case "child": // which holds the pipe, and outlives it
		attr := &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}, Env: append(os.Environ(), told+"=hang")}
		p, err := os.StartProcess(os.Args[0], os.Args, attr)
		if err != nil {
			return 1
		}
		_ = os.WriteFile(filepath.Join(dir, "child"), []byte(fmt.Sprint(p.Pid)), 0o600)
		return 0
	case "server": // which is killed while it rotates
		k := command.Kind(command.Config{Commands: []command.Command{{Argv: os.Args[:2], Env: map[string]string{told: "hang", "GOCOVERDIR": dir},
			Called: call.Called{Name: "c", Mode: call.Steps, Accounts: []string{account}, Timeout: time.Minute}}}})
		_ = k.New(rotator.Env{Now: time.Now}).Set(context.Background(), job("v"))
	case "look":
		line, _ := os.ReadFile("/proc/self/cmdline")
		var files []string // open, that are none of the runtime's own
		fds, _ := filepath.Glob("/proc/self/fd/*")
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && (strings.HasPrefix(to, "socket:") || strings.HasPrefix(to, "/") && to != "/dev/null" && !strings.HasPrefix(to, "/proc/") && !strings.HasPrefix(to, "/sys/")) {
				files = append(files, to)
			}
		}
		wd, _ := os.Getwd()
		in, _ := io.ReadAll(os.Stdin)
		out, _ := json.Marshal(map[string]any{"value": "v", "cmdline": string(line), "env": os.Environ(), "files": files, "wd": wd, "input": string(in)})
		_ = os.WriteFile(filepath.Join(dir, "saw"), out, 0o600)
		_, _ = os.Stdout.WriteString(`{"value":"v"}`)
		return 0
	}
	var code int
	if n, _ := fmt.Sscanf(what, "exit-%d", &code); n == 1 {
		_, _ = os.Stderr.WriteString("hunter2 is the password")
		return code
	}
	var d call.Document
	if err := json.NewDecoder(os.Stdin).Decode(&d); err != nil || d.Step != os.Getenv("COUNTERSIGN_STEP") {
		return 1
	}
	file := filepath.Join(dir, "accepted")
	is, _ := os.ReadFile(file)
	put := func(v string) int {
		if os.WriteFile(file+".new", []byte(v), 0o600) != nil || os.Rename(file+".new", file) != nil {
			return 1
		}
		return 0
	}
	switch d.Step {
	case call.Create:
		fmt.Printf(`{"value":%q}`, "made-"+rand.Text())
	case call.Set, call.Rotate:
		return put(text(d.Pending))
	case call.Test:
		if string(is) != text(d.Pending) {
			return 1
		}
	case call.Undo:
		return put(text(d.Current))
	case call.Retire:
		return 64
	}
	return 0
}

func kind(t *testing.T, dir, what string, mode call.Mode, timeout time.Duration) rotator.Kind {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return command.Kind(command.Config{Commands: []command.Command{{Argv: []string{self, dir}, Env: map[string]string{told: what, "GOCOVERDIR": dir, "GORACE": "atexit_sleep_ms=0"},
		Called: call.Called{Name: "c", Mode: mode, Previous: rotator.Replaced, Accounts: []string{account}, Timeout: timeout}}}})
}

func job(current string) rotator.Job {
	return rotator.Job{Account: account, Name: "app/key", Options: map[string]string{command.Option: "c"}, Current: rotator.Text(current), Token: sensitive.FromString(rand.Text()),
		Password: func() (string, error) { return "drawn-" + rand.Text(), nil }}
}

func TestSuite(t *testing.T) {
	rotatetest.Run(t, func(t *testing.T) *rotatetest.Target {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "accepted"), []byte("first"), 0o600); err != nil {
			t.Fatal(err)
		}
		k := kind(t, dir, "rotate", call.Steps, 10*time.Second)
		r := k.New(rotator.Env{Now: time.Now})
		return &rotatetest.Target{Kind: k, Rotator: noRetire{r}, Job: job("first"), Accepts: func(t *testing.T, v rotator.Value) bool {
			is, err := os.ReadFile(filepath.Join(dir, "accepted"))
			return err == nil && string(is) == string(v.Data.Reveal())
		}}
	})
}

// noRetire is a rotator of a target that has one credential: package rotation does
// not ask it to retire one.
type noRetire struct{ rotator.Rotator }

func (noRetire) Retire(context.Context, rotator.Job) error { return nil }

func TestExitCodes(t *testing.T) {
	for code, want := range map[int]rotator.Class{1: rotator.Rejected, 64: rotator.Unsuitable, 65: rotator.Unsuitable, 69: rotator.Unreachable, 75: rotator.Unreachable,
		77: rotator.Permission, 78: rotator.Unsuitable, 255: rotator.Rejected} {
		r := kind(t, t.TempDir(), fmt.Sprintf("exit-%d", code), call.Steps, 10*time.Second).New(rotator.Env{})
		class, msg := rotator.Why(r.Set(t.Context(), job("hunter2")))
		if class != want || strings.Contains(msg, "hunter") {
			t.Errorf("exit code %d: %s, %s", code, class, msg)
		}
	}
}

// TestWhatItSees: no argument, no variable and no open file tells a value.
func TestWhatItSees(t *testing.T) {
	t.Setenv("SERVERS_OWN", "hunter2")
	dir := t.TempDir()
	r := kind(t, dir, "look", call.Steps, 10*time.Second).New(rotator.Env{Now: time.Now})
	j := job("hunter2")
	j.Name = "-rf; $(reboot) --x"
	if _, err := r.Create(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "saw"))
	if err != nil {
		t.Fatal(err)
	}
	var saw struct {
		Cmdline, Input, WD string
		Env                []string
		Files              []string
	}
	if err := json.Unmarshal(b, &saw); err != nil {
		t.Fatal(err)
	}
	self, _ := os.Executable()
	if saw.Cmdline != self+"\x00"+dir+"\x00" || saw.WD != "/" || !strings.Contains(saw.Input, `"hunter2"`) {
		t.Errorf("it saw %q in %q", saw.Cmdline, saw.WD)
	}
	for _, v := range saw.Env {
		if n, _, _ := strings.Cut(v, "="); n != told && n != "GOCOVERDIR" && n != "GORACE" && n != "PATH" && n != "COUNTERSIGN_STEP" || strings.Contains(v, "hunter2") {
			t.Errorf("it saw the variable %s", n)
		}
	}
	if len(saw.Files) > 0 {
		t.Errorf("it has %q open", saw.Files)
	}
}

func TestWhatMisbehaves(t *testing.T) {
	for what, want := range map[string]rotator.Class{"deaf": rotator.Unsuitable, "flood": rotator.Unsuitable, "hang": rotator.Unreachable, "child": rotator.Unsuitable} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			r := kind(t, dir, what, call.Steps, time.Second).New(rotator.Env{Now: time.Now})
			j := job(strings.Repeat("x", 60_000))
			began := time.Now()
			_, err := r.Create(t.Context(), j)
			if class, msg := rotator.Why(err); err == nil || class != want {
				t.Errorf("%s: %s", class, msg)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			for _, name := range []string{"pid", "child"} { // nothing is left running
				if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
					var pid int
					_, _ = fmt.Sscan(string(b), &pid)
					gone(t, pid)
				}
			}
		})
	}
}

func gone(t *testing.T, pid int) {
	t.Helper()
	for range 100 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Errorf("process %d was left running", pid)
}

func TestNotThere(t *testing.T) {
	k := command.Kind(command.Config{Commands: []command.Command{{Argv: []string{"/nowhere/hunter2"},
		Called: call.Called{Name: "c", Mode: call.Steps, Accounts: []string{account}, Timeout: time.Second}}}})
	class, msg := rotator.Why(k.New(rotator.Env{}).Set(t.Context(), job("v")))
	if class != rotator.Unsuitable || strings.Contains(msg, "nowhere") {
		t.Errorf("%s: %s", class, msg)
	}
	if err := k.AcceptFor("222222222222", map[string]string{command.Option: "c"}); err == nil {
		t.Error("another account may use it")
	}
}
