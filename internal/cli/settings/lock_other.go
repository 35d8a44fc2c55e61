//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package settings

import (
	"errors"
	"io/fs"
	"os"
)

const noFollow = 0

// tryLock refuses: without a lock two processes would lose a session.
func tryLock(*os.File) error { return errors.New("this system has no lock that this program knows") }

func openFile(path string) (*os.File, error) { return os.Open(path) }

// owner is the same for all where files have no user id.
func owner(fs.FileInfo) int { return os.Geteuid() }
