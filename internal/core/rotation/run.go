package rotation

import (
	"context"
	"errors"
	"time"

	"countersign/internal/core/secret"
	"countersign/internal/rotator"
)

// Run rotates what is due, until ctx ends, and returns when the last step has. It
// resumes wherever it was stopped.
func (s *Service) Run(ctx context.Context) {
	defer s.work.Wait()
	bell := s.Secrets.RotationBell()
	for {
		err := s.Due(ctx)
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("looking for secrets to rotate", "error", err)
		}
		wait := time.NewTimer(s.idle(ctx))
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		case <-bell:
			wait.Stop()
		}
	}
}

// soon is the shortest pause between two looks at the due index.
const soon = time.Second

// idle is how long nothing is due, as far as it is known.
func (s *Service) idle(ctx context.Context) time.Duration {
	if _, leads := s.Lock.Fence(); !leads {
		return soon
	}
	at, err := s.Secrets.OldestDue(ctx)
	if err != nil || at.IsZero() {
		return s.Every
	}
	return min(max(time.Until(at), soon), s.Every)
}

// Due begins the work on every secret that something is due of. It does not wait
// for the work's end.
func (s *Service) Due(ctx context.Context) error {
	fence, leads := s.Lock.Fence()
	if !leads {
		return nil
	}
	err := s.watchClock(ctx, fence)
	return errors.Join(err, s.dueNow(ctx)) // whatever became of the clock
}

func (s *Service) dueNow(ctx context.Context) error {
	return s.Secrets.DueRotations(ctx, func(ref secret.RotationRef) error {
		if !s.take(ref) {
			return nil
		}
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			s.leave(ref)
			return ctx.Err()
		}
		s.work.Go(func() {
			defer func() { <-s.slots; s.leave(ref) }()
			s.turn(ctx, ref)
		})
		return nil
	})
}

// take claims a secret for one worker.
func (s *Service) take(ref secret.RotationRef) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[ref] || time.Now().Before(s.pause[ref].until) {
		return false
	}
	s.busy[ref] = true
	return true
}

func (s *Service) leave(ref secret.RotationRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, ref)
}

// prove notes that the target accepts what a rotation makes; with nothing, that it is over.
func (s *Service) prove(ref secret.RotationRef, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.proved, ref); version != "" {
		s.proved[ref] = version
	}
}

func (s *Service) wasProved(ref secret.RotationRef, version string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proved[ref] == version
}

// Pauses after the store refused a write.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// rest notes whether the store takes writes. What is done outside is not to be
// repeated every second while it cannot be written down.
func (s *Service) rest(ref secret.RotationRef, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.pause, ref)
		return
	}
	p := s.pause[ref]
	p.last = min(max(firstPause, 2*p.last), lastPause)
	p.until = time.Now().Add(p.last)
	s.pause[ref] = p
}

// errStale says that the state is no longer that which a step was done for: it is
// looked at again.
var errStale = errors.New("the rotation was altered meanwhile")

// turn does what is due of one secret, as far as it goes now.
func (s *Service) turn(ctx context.Context, ref secret.RotationRef) {
	for ctx.Err() == nil {
		fence, leads := s.Lock.Fence()
		if !leads {
			return
		}
		more, err := s.next(ctx, ref, fence)
		if errors.Is(err, errStale) {
			continue
		}
		if errors.Is(err, secret.ErrNoRotation) {
			return
		}
		s.rest(ref, err)
		if err != nil {
			if ctx.Err() == nil {
				s.Logger.Error("rotating a secret", "account", ref.Account, "region", ref.Region, "secret", ref.Name, "error", err)
			}
			return
		}
		if !more {
			return
		}
	}
}

// next does one thing that is due. It reports whether there may be more.
func (s *Service) next(ctx context.Context, ref secret.RotationRef, fence uint64) (bool, error) {
	st, err := s.Secrets.RotationState(ctx, ref)
	if err != nil {
		return false, err
	}
	if st == nil {
		return false, s.Secrets.ForgetDue(ctx, ref)
	}
	w := &worker{s: s, st: st, fence: fence, kind: s.Kinds.Find(st.Rotation.Kind())}
	if w.kind != nil {
		w.rotator = w.kind.New(s.Env)
	}
	now := time.Now()
	switch {
	case st.Run != nil:
		if time.UnixMicro(st.Run.Next).After(now) {
			return false, nil
		}
		return true, w.step(ctx)
	case w.retires(now) >= 0:
		return true, w.retire(ctx, w.retires(now))
	case !st.Due.IsZero() && !st.Due.After(now) && !st.Deleted:
		return true, w.begin(ctx)
	}
	return false, nil
}

// worker does one step of one secret.
type worker struct {
	s       *Service
	st      *secret.RotationState
	fence   uint64
	kind    *rotator.Kind // nil: the server has none of that name
	rotator rotator.Rotator
}

// Pauses between attempts.
const (
	firstBackoff = time.Second
	lastBackoff  = 5 * time.Minute
	undoBackoff  = time.Hour   // at most, of an undo or a retirement
	runBackoff   = time.Minute // the first, of a whole rotation that failed
)

// backoff is the pause after so many failures.
func backoff(first, last time.Duration, failures int) time.Duration {
	d := first
	for range failures - 1 {
		if d *= 2; d >= last {
			return last
		}
	}
	return d
}
