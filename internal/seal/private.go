package seal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"countersign/internal/sensitive"
)

// ReadPrivate reads a regular file of at most limit bytes that nobody but the
// user of this process can read or write. Anything else is ErrSecret, and
// fs.ErrNotExist too when the file is absent.
//
// A symbolic link is followed and its target judged, so that secrets mounted
// through links work. What is judged is the opened file, not the name: a change
// of the name in between has no effect. The mode is judged for root too, whom
// it would not stop, because the file's backups and copies inherit it.
func ReadPrivate(path string, limit int) (sensitive.Bytes, error) {
	f, err := openPrivate(path)
	if err != nil {
		return sensitive.Bytes{}, errors.Join(ErrSecret, fmt.Errorf("opening private file: %w", err))
	}
	defer f.Close()
	if err := checkPrivate(f); err != nil {
		return sensitive.Bytes{}, fmt.Errorf("%w: file %q %w", ErrSecret, path, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return sensitive.Bytes{}, errors.Join(ErrSecret, fmt.Errorf("reading private file: %w", err))
	}
	if len(b) > limit {
		return sensitive.Bytes{}, fmt.Errorf("%w: file %q is larger than %d bytes", ErrSecret, path, limit)
	}
	return sensitive.New(b), nil
}

func checkPrivate(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot be examined: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("is no regular file (%s)", info.Mode().Type())
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("is open to others (mode %04o); it needs 0600 or 0400", perm)
	}
	return checkOwner(info)
}

// errOwner is given for a file of somebody else, who can change its mode.
func errOwner(owner, us int) error {
	return fmt.Errorf("belongs to user %d and not to user %d, who runs this process", owner, us)
}

// Missing reports whether err says that a private file is absent.
func Missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
