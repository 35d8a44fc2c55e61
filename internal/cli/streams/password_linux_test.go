package streams

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// pty opens a pseudo-terminal: what is typed into keys is read from tty.
func pty(t *testing.T) (keys, tty *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("there are no pseudo-terminals: %v", err)
	}
	keys = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { keys.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return keys, tty
}

// echoes waits until the terminal's echo is as wanted; the test's own deadline
// ends it otherwise.
func echoes(t *testing.T, tty *os.File, want bool) {
	t.Helper()
	for t.Context().Err() == nil {
		state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if (state.Lflag&unix.ECHO != 0) == want {
			return
		}
		runtime.Gosched()
	}
}

type answer struct {
	line []byte
	err  error
}

func ask(ctx context.Context, tty *os.File) chan answer {
	got := make(chan answer, 1)
	go func() {
		line, err := readPassword(ctx, int(tty.Fd()))
		got <- answer{line, err}
	}()
	return got
}

func TestPasswordIsNotEchoed(t *testing.T) {
	keys, tty := pty(t)
	got := ask(t.Context(), tty)
	echoes(t, tty, false)
	if _, err := keys.WriteString("s3cret\n"); err != nil {
		t.Fatal(err)
	}
	if a := <-got; a.err != nil || string(a.line) != "s3cret" {
		t.Fatalf("got %q, %v", a.line, a.err)
	}
	echoes(t, tty, true)
	if _, err := tty.WriteString("end"); err != nil {
		t.Fatal(err)
	}
	shown := make([]byte, 64)
	n, err := keys.Read(shown)
	if err != nil || string(shown[:n]) != "\r\nend" && string(shown[:n]) != "end" && string(shown[:n]) != "\r\n" {
		t.Errorf("the terminal showed %q, %v", shown[:n], err)
	}
}

// TestInterruptedPassword leaves the terminal as it was.
func TestInterruptedPassword(t *testing.T) {
	_, tty := pty(t)
	ctx, cancel := context.WithCancel(t.Context())
	got := ask(ctx, tty)
	echoes(t, tty, false)
	cancel()
	if a := <-got; !errors.Is(a.err, context.Canceled) {
		t.Errorf("got %q, %v, want canceled", a.line, a.err)
	}
	echoes(t, tty, true)
}
