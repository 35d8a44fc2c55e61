package operate

import (
	"context"
	"sync"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/keyring"
)

// retryEvery is how long after a failure the re-wrap is tried again.
const retryEvery = time.Minute

// Rotation is how far new keys have come. The state that counts lies in the
// keyring: Pending is read from it, also after a restart; the rest is since this
// process began.
type Rotation struct {
	Running  bool
	Pending  []string // accounts with records under old keys, sorted
	Account  string   // that is being re-wrapped; empty when none is
	Done     uint64   // its records seen
	Total    uint64   // its records at the start; an estimate
	Finished time.Time
	Proofs   []keyring.Proof // what the last re-wrap of each account showed
	Failed   string          // that the last attempt failed, for people; empty when it did not
}

// rotation is the state of the background work.
type rotation struct {
	kick chan struct{}
	work sync.Mutex // held by what makes new keys or re-wraps

	mu  sync.Mutex
	now Rotation
}

func (r *rotation) state() Rotation {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.now
	out.Proofs = append([]keyring.Proof(nil), r.now.Proofs...)
	return out
}

func (r *rotation) set(f func(*Rotation)) {
	r.mu.Lock()
	f(&r.now)
	r.mu.Unlock()
}

// RotateKeys replaces the root key and gives every account a new key, and starts
// to re-wrap what is under the old ones, which Run does in the background.
// Everything stays readable and writable meanwhile. What an earlier call, in
// this process or one before, did not finish is finished first: accounts that
// still have old keys are re-wrapped and not rotated again. Conflict: a rotation
// is under way.
func (s *Service) RotateKeys(ctx context.Context, who caller.Caller) (keyring.Info, Rotation, error) {
	err := s.do(ctx, who, policy.RotateKeys, func() error {
		if !s.keys.work.TryLock() {
			return errs.Coded(errs.Conflict, CodeBusy, "a rotation of keys is under way")
		}
		defer s.keys.work.Unlock()
		if err := s.rotate(ctx); err != nil {
			return err
		}
		select {
		case s.keys.kick <- struct{}{}:
		default:
		}
		return nil
	})
	if err != nil {
		return keyring.Info{}, Rotation{}, err
	}
	now, err := s.rotationNow()
	return s.Keyring.Info(), now, err
}

// rotate makes the new keys.
func (s *Service) rotate(ctx context.Context) error {
	if err := s.Keyring.RotateRoot(ctx); err != nil {
		return err
	}
	for _, name := range s.Keyring.Accounts() {
		info, err := s.Keyring.Account(name)
		if err != nil {
			return err
		}
		if len(info.Old) > 0 {
			continue
		}
		if err := s.Keyring.RotateAccount(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// KeyringStatus tells about the keys of the store and how far a rotation has come.
func (s *Service) KeyringStatus(ctx context.Context, who caller.Caller) (keyring.Info, Rotation, error) {
	var info keyring.Info
	var now Rotation
	err := s.do(ctx, who, policy.Status, func() (err error) {
		info = s.Keyring.Info()
		now, err = s.rotationNow()
		return err
	})
	if err != nil {
		return keyring.Info{}, Rotation{}, err
	}
	return info, now, nil
}

func (s *Service) rotationNow() (Rotation, error) {
	now := s.keys.state()
	var err error
	now.Pending, err = s.pending()
	return now, err
}

// pending lists the accounts that have old keys.
func (s *Service) pending() ([]string, error) {
	out := []string{}
	for _, name := range s.Keyring.Accounts() {
		info, err := s.Keyring.Account(name)
		if err != nil {
			return nil, err
		}
		if len(info.Old) > 0 {
			out = append(out, name)
		}
	}
	return out, nil
}

// Run re-wraps what is under old keys, until ctx ends: first what an earlier
// process left, then whatever RotateKeys begins. A failure is tried again.
func (s *Service) Run(ctx context.Context) {
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for {
		if err := s.rewrapAll(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Error("re-wrapping under new keys", "error", err)
			s.keys.set(func(r *Rotation) { r.Failed = "the re-wrap failed; the server's log says why" })
		}
		select {
		case <-ctx.Done():
			return
		case <-s.keys.kick:
		case <-retry.C:
		}
	}
}

// rewrapAll re-wraps every account that has old keys.
func (s *Service) rewrapAll(ctx context.Context) error {
	names, err := s.pending()
	if err != nil || len(names) == 0 {
		return err
	}
	s.keys.work.Lock()
	defer s.keys.work.Unlock()
	s.keys.set(func(r *Rotation) { *r = Rotation{Running: true, Finished: r.Finished} })
	defer s.keys.set(func(r *Rotation) { r.Running, r.Account, r.Done, r.Total = false, "", 0, 0 })
	for _, name := range names {
		s.keys.set(func(r *Rotation) { r.Account, r.Done, r.Total = name, 0, 0 })
		w := s.Walk
		w.Progress = func(p keyring.Progress) {
			s.keys.set(func(r *Rotation) { r.Done, r.Total = p.Done, p.Total })
		}
		proof, err := s.Keyring.Rewrap(ctx, name, w)
		if err == nil {
			s.keys.set(func(r *Rotation) { r.Proofs = append(r.Proofs, proof) })
		}
		if err := s.recordRewrap(ctx, name, err); err != nil {
			return err
		}
	}
	s.keys.set(func(r *Rotation) { r.Finished, r.Failed = time.Now(), "" })
	return nil
}

// recordRewrap writes into the log that an account was re-wrapped, or not.
func (s *Service) recordRewrap(ctx context.Context, account string, err error) error {
	now := time.Now()
	rec := gate.NewRecord(caller.ForSystem(s.Home.Home(), "re-wrap", audit.NewID(now), now), policy.RotateKeys, account)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return s.Gate.Finish(last, &rec, err)
}
