package rotation

import (
	"context"
	"strconv"
	"sync"
	"time"

	"countersign/internal/core/audit"
	"countersign/internal/core/notice"
	"countersign/internal/core/secret"
	"countersign/internal/kv"
)

// The store remembers the latest time at which the due index was worked off. A clock
// that is before that was set back, or starts behind. Nobody can say whether it is
// wrong now, as that of a machine without a battery is for a minute after its start,
// or was wrong before. So
//
//   - what waits for its next attempt is attempted at once: such a pause is short
//     whatever the clock says, and a rotation in its middle must not wait for years;
//   - dates and graces stay as they are. A rotation is late by as much as the clock is
//     behind, and a credential holds as much longer;
//   - once the clock has been behind for a day it is believed, and what lies ahead of
//     it counts from that moment on.
//
// A clock that jumps ahead needs nothing: what it passes is due.
const (
	clockEvery    = 10 * time.Minute // how often the time is kept
	clockSlack    = time.Minute      // by how much clocks of two nodes may differ
	clockBelieved = 24 * time.Hour
	clockPause    = time.Minute // after the store refused it
)

// clock is what this node knows of the clock.
type clock struct {
	mu     sync.Mutex
	looked bool      // what waits for an attempt was seen to since the clock is behind
	after  time.Time // not before
}

// watchClock does what there is to do when the clock was set back.
func (s *Service) watchClock(ctx context.Context, fence uint64) error {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	now := time.Now()
	if now.Before(s.clock.after) {
		return nil
	}
	err := s.seeClock(ctx, fence, now)
	if err != nil {
		s.clock.after = now.Add(clockPause)
	}
	return err
}

func (s *Service) seeClock(ctx context.Context, fence uint64, now time.Time) error {
	c, err := s.Secrets.RotationClock(ctx)
	if err != nil {
		return err
	}
	check := func(tx kv.Txn) error { return s.Lock.Check(tx, fence) }
	seen, behind := time.UnixMicro(c.Seen), time.UnixMicro(c.Behind)
	if !now.Before(seen.Add(-clockSlack)) {
		s.clock.looked = false
		if c.Behind == 0 && now.Before(seen.Add(clockEvery)) {
			return nil
		}
		return s.Secrets.KeepRotationClock(ctx, secret.RotationClock{Seen: max(c.Seen, now.UnixMicro())}, check)
	}
	begins := c.Behind == 0 || now.Before(behind)
	believed := !begins && now.Sub(behind) >= clockBelieved
	if s.clock.looked && !begins && !believed {
		return nil
	}
	ahead, err := s.Secrets.SetBack(ctx, now, believed, check)
	if err != nil {
		return err
	}
	s.clock.looked = true
	if !begins && !believed {
		return nil
	}
	s.Logger.Warn("the clock is behind times that rotations have written", "written", seen.UTC(), "believed", believed)
	next := secret.RotationClock{Seen: c.Seen, Behind: now.UnixMicro()}
	if believed {
		next = secret.RotationClock{Seen: now.UnixMicro()}
	}
	id := audit.NewID(now)
	return s.Secrets.KeepRotationClock(ctx, next, func(tx kv.Txn) error {
		if err := check(tx); err != nil {
			return err
		}
		for account, n := range ahead {
			if err := tellClock(tx, id, account, now, seen, n, believed); err != nil {
				return err
			}
		}
		return nil
	})
}

// tellClock puts the notice of an account.
func tellClock(tx kv.Txn, id, account string, now, seen time.Time, secrets int, believed bool) error {
	text := "The clock is behind dates and times of rotations. What is due goes by them: rotations are late, and graces longer. " +
		"If the clock is right now, it is believed after it has been so for a day, and for one secret as soon as somebody rotates it or sets its rotation."
	state := "behind"
	if believed {
		state = "believed"
		text = "The clock was behind dates and times of rotations for a day. They count from now on."
	}
	return notice.Put(tx, notice.Notice{ID: id + "." + account, Account: account, Time: now.UnixMicro(), Kind: notice.RotationClock, Text: text,
		Facts: map[string]string{"state": state, "written": seen.UTC().Format(time.RFC3339), "secrets": strconv.Itoa(secrets)}})
}
