package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cores are the two that everything is pinned to: servers to one, the load
// generator to the other. They are the same on a machine with one core.
type cores struct{ server, load int }

// pin moves this process to its core and returns both.
func pin() (cores, error) {
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return cores{}, fmt.Errorf("asking for the cores: %w", err)
	}
	var list []int
	for i := 0; len(list) < may.Count(); i++ {
		if may.IsSet(i) {
			list = append(list, i)
		}
	}
	c := cores{list[0], list[len(list)-1]}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return cores{}, fmt.Errorf("listing threads: %w", err)
	}
	for _, t := range tasks {
		id, _ := strconv.Atoi(t.Name())
		if err := setCore(id, c.load); err != nil && !errors.Is(err, unix.ESRCH) {
			return cores{}, err
		}
	}
	runtime.GOMAXPROCS(1)
	return c, nil
}

func setCore(thread, core int) error {
	var s unix.CPUSet
	s.Set(core)
	if err := unix.SchedSetaffinity(thread, &s); err != nil {
		return fmt.Errorf("pinning to core %d: %w", core, err)
	}
	return nil
}

// process is a started server.
type process struct {
	cmd    *exec.Cmd
	addr   string
	stderr said
	ended  chan struct{}
	err    error // once ended is closed
}

// said is what a process wrote to its standard error.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// spawn starts a command on the servers' core with GOMAXPROCS=1.
func (c cores) spawn(name string, args ...string) (*process, error) {
	return c.spawnPiped(nil, nil, name, args...)
}

func (c cores) spawnPiped(in, out *os.File, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	if in != nil {
		p.cmd.Stdin, p.cmd.Stdout = in, out
	}
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// A child runs where the thread that starts it may. This one lives as
		// long as the child, for Pdeathsig looks at the thread.
		runtime.LockOSThread()
		err := setCore(0, c.server)
		if err == nil {
			err = p.cmd.Start()
		}
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %q: %w", name, err)
	}
	return p, nil
}

// stop ends the process as an operator would, and waits.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		return errors.New("a server did not stop within 30 s")
	}
	if p.err != nil {
		return fmt.Errorf("a server failed: %w: %s", p.err, p.stderr.String())
	}
	return nil
}

// answers waits until the process answers the request, and returns how long
// after begin that was.
func (p *process) answers(ctx context.Context, begin time.Time, request []byte) (time.Duration, error) {
	for {
		select {
		case <-p.ended:
			return 0, fmt.Errorf("a server ended: %w: %s", p.err, p.stderr.String())
		case <-ctx.Done():
			return 0, fmt.Errorf("a server does not answer: %w: %s", ctx.Err(), p.stderr.String())
		default:
		}
		one, err := dial(p.addr, 1)
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		err = one.exchange(request)
		took := time.Since(begin)
		one.close()
		return took, err
	}
}

// cpu is the processor time that the process has used, in steps of 10 ms.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading processor time: %w", err)
	}
	// The name, in brackets, may hold anything; utime and stime are the 12th
	// and 13th field after it (proc_pid_stat(5)).
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(f) < 13 {
		return 0, errors.New("reading processor time: /proc/PID/stat is too short")
	}
	user, uerr := strconv.ParseInt(f[11], 10, 64)
	system, serr := strconv.ParseInt(f[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 for every program
	return time.Duration(user+system) * tick, errors.Join(uerr, serr)
}

// memory is resident memory in bytes: all of it, and of that what belongs to
// the process alone and what are pages of files, which the kernel can take back.
type memory struct{ all, anon, file int64 }

func (p *process) memory() (m memory, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return m, fmt.Errorf("reading memory: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			m.all = n << 10
		case "RssAnon:":
			m.anon = n << 10
		case "RssFile:":
			m.file = n << 10
		}
	}
	if m.all == 0 {
		return m, errors.New("reading memory: /proc/PID/status has no VmRSS")
	}
	return m, nil
}

// freeAddr is a loopback address that nobody listened on a moment ago.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}
