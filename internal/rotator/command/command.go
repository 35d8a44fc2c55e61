// Package command rotates by a program on the server's machine.
//
// The server's configuration names commands, with all their words; the option command
// of a secret chooses one. Nothing of a secret, of its settings or of a request is
// ever an argument: all of it stands in the document of package call, which the
// program reads from its standard input. Its environment is what the configuration
// gives, and COUNTERSIGN_STEP.
//
// In create it writes an answer, as package call reads one, to its standard output.
// What it writes elsewhere, and to its standard error, is thrown away: it may hold
// values.
//
// It says how it went by its exit code, in the words of sysexits.h where they have
// one:
//
//	0         done
//	64        it does not know the step
//	65, 78    value, settings and target do not fit together
//	69, 75    the target did not answer, or cannot now
//	77        the target refused a login, or what the login may do
//	others    it failed otherwise
//
// A program that takes too long is killed, with all that it has started and that has
// not left its process group. What it leaves of that when it ends is killed too. On
// Linux the program, but not what it has started, is killed when the server is.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"countersign/internal/rotator"
	"countersign/internal/rotator/call"
)

// Option names the command.
const Option = "command"

// MaxAnswer is how much of its output is kept, in bytes.
const MaxAnswer = call.MaxAnswer

// Exit codes that mean something.
const (
	exitUnsupported = 64 // EX_USAGE
	exitData        = 65 // EX_DATAERR
	exitUnavailable = 69 // EX_UNAVAILABLE
	exitTemporary   = 75 // EX_TEMPFAIL
	exitPermission  = 77 // EX_NOPERM
	exitConfig      = 78 // EX_CONFIG
)

// afterKill is how long pipes are waited for that something holds open which has left
// the program's group.
const afterKill = 2 * time.Second

// defaultPath is PATH where the configuration gives none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Command is one of the configuration. What else stands in Called says package call.
type Command struct {
	call.Called
	Argv []string // the program by its whole path, and its arguments
	Env  map[string]string
}

// Config configures Kind.
type Config struct{ Commands []Command }

// Kind is the row of the list of rotators.
func Kind(c Config) rotator.Kind {
	var list []call.Called
	for i := range c.Commands {
		cmd := &c.Commands[i]
		called := cmd.Called
		called.Bind = func(rotator.Env) call.Do { return cmd.run }
		list = append(list, called)
	}
	return call.Kind(rotator.Kind{Name: "command", Help: "whatever a program on the server's machine changes"}, Option, list)
}

// run makes one call.
func (c *Command) run(ctx context.Context, j rotator.Job, d *call.Document) (call.Answer, error) {
	what := fmt.Sprintf("the command %q", c.Name)
	in, err := d.Bytes()
	if err != nil {
		return call.Answer{}, err
	}
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Dir, cmd.Env = "/", c.environment(d.Step)
	cmd.Stdin = bytes.NewReader(in)
	out := &kept{most: MaxAnswer}
	if d.Step == call.Create { // elsewhere it is /dev/null, as standard error is
		cmd.Stdout = out
	}
	cmd.SysProcAttr = attributes()
	g := &group{}
	cmd.Cancel = func() error { return g.kill(cmd.Process.Pid, false) }
	cmd.WaitDelay = afterKill
	defer hold()()
	if err := cmd.Start(); err != nil {
		return call.Answer{}, rotator.Fail(rotator.Unsuitable, err, "%s cannot be started", what)
	}
	err = wait(cmd, func() { _ = g.kill(cmd.Process.Pid, true) }) // what it has left behind
	if ctx.Err() != nil {
		return call.Answer{}, call.Late(ctx.Err())
	}
	if err := explain(what, err); err != nil {
		return call.Answer{}, err
	}
	if d.Step != call.Create {
		return call.Answer{}, nil
	}
	if out.over {
		return call.Answer{}, rotator.Fail(rotator.Unsuitable, nil, "%s wrote more than %d KiB", what, MaxAnswer>>10)
	}
	a, err := call.ParseAnswer(out.Bytes())
	if err != nil {
		return call.Answer{}, rotator.Fail(rotator.Unsuitable, nil, "%s answered create with what is no value: %s", what, err)
	}
	return a, nil
}

// group is the process group of a program. It is killed as long as it is that.
type group struct {
	mu    sync.Mutex
	ended bool
}

// kill kills it, for the last time when the program has ended.
func (g *group) kill(id int, last bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return os.ErrProcessDone
	}
	g.ended = last
	return syscall.Kill(-id, syscall.SIGKILL)
}

// explain makes a Failure of how a program ended.
func explain(what string, err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrWaitDelay): // it ended well; something that left its group holds a pipe
		return nil
	case !errors.As(err, &exit):
		return rotator.Fail(rotator.Broken, err, "%s cannot be run", what)
	case exit.ExitCode() < 0:
		return rotator.Fail(rotator.Rejected, err, "%s was ended by a signal", what)
	case exit.ExitCode() == exitUnsupported:
		return call.ErrUnsupported
	}
	class := rotator.Rejected
	switch exit.ExitCode() {
	case exitData, exitConfig:
		class = rotator.Unsuitable
	case exitUnavailable, exitTemporary:
		class = rotator.Unreachable
	case exitPermission:
		class = rotator.Permission
	}
	return rotator.Fail(class, err, "%s ended with exit code %s", what, strconv.Itoa(exit.ExitCode()))
}

// environment is all that the program gets.
func (c *Command) environment(step string) []string {
	env := []string{"COUNTERSIGN_STEP=" + step}
	if _, ok := c.Env["PATH"]; !ok {
		env = append(env, "PATH="+defaultPath)
	}
	for k, v := range c.Env {
		env = append(env, k+"="+v)
	}
	slices.Sort(env)
	return env
}

// kept keeps the beginning of what is written, and takes the rest.
type kept struct {
	bytes.Buffer
	most int
	over bool
}

func (k *kept) Write(p []byte) (int, error) {
	n := len(p)
	if room := k.most - k.Len(); n > room {
		p, k.over = p[:room], true
	}
	_, err := k.Buffer.Write(p)
	return n, err
}
