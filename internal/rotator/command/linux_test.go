package command_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"countersign/internal/rotator"
	"countersign/internal/rotator/call"
)

// started waits for the program that is told to hang.
func started(t *testing.T, dir string) (pid int) {
	t.Helper()
	for range 1000 {
		b, _ := os.ReadFile(filepath.Join(dir, "pid"))
		if n, _ := fmt.Sscan(string(b), &pid); n == 1 {
			return pid
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the program was not started")
	return 0
}

// TestEndsWithTheServer: nothing goes on changing a target when the server was killed.
func TestEndsWithTheServer(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	server := exec.Command(self, dir)
	server.Env = append(os.Environ(), told+"=server")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	pid := started(t, dir)
	if err := server.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait()
	gone(t, pid)
}

// TestThreadsThatEnd: the kernel takes the end of a thread for that of the server; a
// program is not ended by it.
func TestThreadsThatEnd(t *testing.T) {
	dir := t.TempDir()
	r := kind(t, dir, "hang", call.Steps, 2*time.Second).New(rotator.Env{Now: time.Now})
	done := make(chan error, 1)
	go func() { done <- r.Set(t.Context(), job("v")) }()
	pid := started(t, dir)
	for range 200 {
		ended := make(chan bool)
		go func() { runtime.LockOSThread(); close(ended) }() // it ends with its goroutine
		<-ended
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("it ended with a thread: %v", err)
	}
	if class, _ := rotator.Why(<-done); class != rotator.Unreachable { // its time is over
		t.Errorf("class %s", class)
	}
	gone(t, pid)
}
