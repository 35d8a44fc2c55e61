package dotenv

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// ReadFile reads a file by its path, which may be that of a link or a pipe. An
// error names the path.
func ReadFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading variables: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading variables: %w", err)
	}
	file, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return file, nil
}

// WriteFile puts content into a file that only its owner can read, whole or not
// at all: into a temporary file in the same folder, made with mode 0600, which
// takes the name once its bytes are on stable storage. When WriteFile returns,
// so is the name. The file is a new one: a wider mode, another owner and other
// hard links of the old one are gone.
//
// A path that is a symbolic link is refused, and so is anything else that is no
// regular file. Where one is put there while WriteFile runs, it is replaced and
// never followed.
func WriteFile(path string, content sensitive.Bytes) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("examining %q: %w", path, err)
	case info.Mode()&fs.ModeSymlink != 0:
		return errs.New(errs.Invalid, "%q is a symbolic link: name the file itself", path)
	case !info.Mode().IsRegular():
		return errs.New(errs.Invalid, "%q is no regular file", path)
	}
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+base+".*") // O_EXCL, mode 0600
	if err != nil {
		return fmt.Errorf("creating file beside %q: %w", path, err)
	}
	err = fill(f, content)
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("syncing folder of %q: %w", path, err)
	}
	return nil
}

// fill writes, syncs and closes.
func fill(f *os.File, content sensitive.Bytes) error {
	_, err := f.Write(content.Reveal())
	if err == nil {
		err = f.Chmod(0o600) // whatever the umask took away
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // where a folder cannot be synced, nor needs it
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
