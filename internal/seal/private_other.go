//go:build !unix

package seal

import (
	"errors"
	"io/fs"
	"os"
)

func openPrivate(path string) (*os.File, error) { return os.Open(path) }

// checkOwner refuses: without Unix modes and owners nothing says that the file
// is private, and a server does not run on a guess.
func checkOwner(fs.FileInfo) error {
	return errors.New("cannot be shown to be private on this system; a server needs Unix")
}
