package command

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes are those with which a program is started: in a group of its own, and
// killed by the kernel when this server ends without having done so. For the kernel
// that is the end of the thread that started it: see hold.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// hold keeps the thread, which the runtime could otherwise end.
func hold() (release func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// wait waits for a program that was started, and calls ended once it has ended. It is
// not yet reaped then, so that its number is not another's.
func wait(cmd *exec.Cmd, ended func()) error {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break // ended, or it cannot be known: then Wait says so
		}
	}
	ended()
	return cmd.Wait()
}
