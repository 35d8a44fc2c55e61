package script

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// bin is the folder of the binary, built once.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "countersign-script-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir, "countersign/cmd/countersign")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the binary: %v\n%s", err, out)
		return 1
	}
	bin = dir
	return m.Run()
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("TZ", "UTC")
			e.Setenv("CANARY", "canary-c4a7d1e2-value")
			e.Values[serverKey{}] = &server{}
			e.Values[receiverKey{}] = &receiver{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serve, "halt": halt, "crash": crash, "exits": exits, "capture": capture, "absent": absent, "flip": flip, "authenticator": authenticator,
			"receive": receive, "webhook": webhook,
		},
	})
}

// server is the started process of a script.
type server struct {
	cmd  *exec.Cmd // nil while there is none
	done chan error
}

type serverKey struct{}

func serverOf(ts *testscript.TestScript) *server { return ts.Value(serverKey{}).(*server) }

const readyWithin = 20 * time.Second

// readyLine is how a server says that it is ready: dev on standard output, the
// production form in its log.
var readyLine = regexp.MustCompile(`ready.*?(127\.0\.0\.1:[0-9]+)`)

func serve(ts *testscript.TestScript, neg bool, args []string) {
	s := serverOf(ts)
	if neg || s.cmd != nil {
		ts.Fatalf("serve starts one server")
	}
	dev := len(args) == 0 || args[0] == "dev"
	if len(args) == 0 {
		args = []string{"dev", "--dir", "dev", "--listen", "127.0.0.1:0"}
	}
	log, err := os.OpenFile(ts.MkAbs("server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	out, in, err := os.Pipe()
	ts.Check(err)
	cmd := exec.Command(filepath.Join(bin, "countersign"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = ts.Getenv("WORK"), in, log
	if !dev {
		cmd.Stdout, cmd.Stderr = log, in
	}
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("WORK")}
	err = cmd.Start()
	in.Close()
	ts.Check(err)
	s.cmd, s.done = cmd, make(chan error, 1)
	ts.Defer(func() {
		if s.cmd == cmd {
			_ = cmd.Process.Kill()
			<-s.done
		}
	})
	ready := make(chan string, 1)
	go func() {
		defer log.Close()
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Fprintln(log, lines.Text())
			if m := readyLine.FindStringSubmatch(lines.Text()); m != nil && len(ready) == 0 {
				ready <- m[1]
			}
		}
		close(ready)
		s.done <- cmd.Wait()
	}()
	select {
	case at, ok := <-ready:
		if !ok {
			ts.Fatalf("the server ended before it was ready:\n%s", ts.ReadFile("server.log"))
		}
		ts.Setenv("COUNTERSIGN_ADDR", "http://"+at)
	case <-time.After(readyWithin):
		ts.Fatalf("the server was not ready within %s", readyWithin)
	}
	if dev {
		source(ts, "dev/env")
	}
}

// source sets the variables of a file of export lines.
func source(ts *testscript.TestScript, file string) {
	for line := range strings.SplitSeq(ts.ReadFile(file), "\n") {
		if k, v, ok := strings.Cut(strings.TrimPrefix(line, "export "), "="); ok {
			ts.Setenv(k, strings.Trim(v, "'"))
		}
	}
}

// end signals the server and returns how it ended.
func end(ts *testscript.TestScript, with os.Signal) error {
	s := serverOf(ts)
	if s.cmd == nil {
		ts.Fatalf("there is no server to end")
	}
	ts.Check(s.cmd.Process.Signal(with))
	select {
	case err := <-s.done:
		s.cmd = nil
		return err
	case <-time.After(readyWithin):
		ts.Fatalf("the server did not end within %s", readyWithin)
		return nil
	}
}

func halt(ts *testscript.TestScript, _ bool, _ []string) {
	if err := end(ts, syscall.SIGTERM); err != nil {
		ts.Fatalf("the server ended with %v:\n%s", err, ts.ReadFile("server.log"))
	}
}

func crash(ts *testscript.TestScript, _ bool, _ []string) { _ = end(ts, syscall.SIGKILL) }

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var e *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &e) {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture VAR REGEXP")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	for _, from := range []string{"stdout", "stderr"} {
		if m := re.FindStringSubmatch(ts.ReadFile(from)); len(m) == 2 {
			ts.Setenv(args[0], m[1])
			return
		}
	}
	ts.Fatalf("neither standard output nor standard error matches %q", args[1])
}

func absent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: absent TEXT PATH...")
	}
	looked := 0
	for _, root := range args[1:] {
		ts.Check(filepath.WalkDir(ts.MkAbs(root), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			looked++
			b, err := os.ReadFile(path)
			if bytes.Contains(b, []byte(args[0])) {
				ts.Fatalf("%q is in %s", args[0], path)
			}
			return err
		}))
	}
	if looked == 0 {
		ts.Fatalf("there was no file to look at")
	}
}

func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	if at < 0 {
		at += len(b)
	}
	if at < 0 || at >= len(b) {
		ts.Fatalf("%s has %d bytes", args[0], len(b))
	}
	b[at] ^= 1
	ts.Check(os.WriteFile(path, b, 0o600))
}
