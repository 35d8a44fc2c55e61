package settings

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"countersign/internal/errs"
)

// lockWait is the pause between two attempts. The kernel's own waiting could
// not be interrupted.
const lockWait = 10 * time.Millisecond

var errLocked = errors.New("locked by another process")

// lock keeps other writers out until unlock, or until the process ends. The
// lock's own file stays: removing it would let two hold "the" lock.
func (s Store) lock(ctx context.Context) (unlock func() error, err error) {
	if err := s.makeFolder(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path+".lock", os.O_CREATE|os.O_RDWR|noFollow, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the configuration's lock: %w", err)
	}
	for {
		err := tryLock(f)
		switch {
		case err == nil:
			return f.Close, nil // which unlocks
		case !errors.Is(err, errLocked):
			return nil, errors.Join(fmt.Errorf("locking the configuration: %w", err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(errs.Wrap(errs.Unavailable, ctx.Err(), "waiting for another process to write the configuration"), f.Close())
		case <-time.After(lockWait):
		}
	}
}
