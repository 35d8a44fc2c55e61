//go:build !linux

package command

import (
	"os/exec"
	"syscall"
)

// attributes are those with which a program is started: in a group of its own. Where
// the kernel does not end it with the server, it goes on until it ends by itself.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func hold() (release func()) { return func() {} }

// wait waits for a program that was started, and calls ended once it has ended. Its
// number is free by then only if nothing is left of its group, and becomes that of a
// group only when another process gets it in this very moment and makes itself the
// leader of one.
func wait(cmd *exec.Cmd, ended func()) error {
	err := cmd.Wait()
	ended()
	return err
}
