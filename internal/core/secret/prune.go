package secret

import (
	"math"
	"strings"
	"time"

	"countersign/internal/core/change"
	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// What one write removes is bounded, so that a lowered limit is reached over
// several; one that was asked for is to be reached soon.
const (
	prunedAtOnce  = 4
	limitedAtOnce = 16
)

// limit is how many versions are kept, 0 for all, and whether the secret or its
// mount says so. Otherwise it is the server's history, which spares the young.
func (e *edit) limit() (keep uint64, asked bool) {
	switch m := e.mount.MaxVersions; {
	case e.f.head.MaxVersions != 0:
		return e.f.head.MaxVersions, true
	case m != nil && *m != 0:
		return *m, true
	}
	return e.s.keep, false
}

// expiry is when a version that becomes readable at a time reads as deleted by
// itself, in microseconds; 0: never. The shorter of what secret and mount say
// holds; a mount that says a time below zero has turned it off.
func (e *edit) expiry(from time.Time) int64 {
	after := time.Duration(e.f.head.DeleteAfter) * time.Microsecond
	if m := e.mount.DeleteAfter; m != nil {
		switch {
		case *m < 0:
			return 0
		case *m != 0 && (after == 0 || *m < after):
			after = *m
		}
	}
	if after == 0 {
		return 0
	}
	return micros(from.Add(after))
}

// prune removes the oldest versions over the limit: none that has a label, and
// under the server's own limit none younger than the configured age. Versions that
// wait for review do not count.
func (e *edit) prune(tx *change.Tx) error {
	h, n := e.f.head, e.f.Secret
	keep, asked := e.limit()
	if keep == 0 {
		return nil
	}
	labelled := map[uint64]bool{} // or needed yet to end what it opens
	for i := range h.Retiring {
		labelled[h.Retiring[i].Number] = true
	}
	if h.Run != nil {
		labelled[h.Run.Number] = true
	}
	for l, at := range h.Labels {
		labelled[at.Number] = true
		if strings.HasPrefix(l, name.PendingPrefix) {
			keep++
		}
	}
	atOnce, youngest := limitedAtOnce, int64(math.MaxInt64)
	if !asked {
		atOnce, youngest = prunedAtOnce, micros(tx.Now.Add(-e.s.keepFor))
	}
	if h.Kept <= keep {
		return nil
	}
	var gone []uint64
	var ids []string
	for en, err := range record.Scan[version](tx, kv.Prefix(kv.K(n.Account, "version", n.Region, n.Name, h.Suffix))) {
		if err != nil {
			return err
		}
		_, nums, err := en.Key.Parts("sssssn")
		if err != nil {
			return err
		}
		if en.Value.Created > youngest || len(gone) == atOnce || h.Kept-uint64(len(gone)) <= keep {
			break
		}
		if !labelled[nums[0]] {
			gone, ids = append(gone, nums[0]), append(ids, en.Value.ID)
		}
	}
	for i, number := range gone {
		if err := dropVersion(tx, n, h.Suffix, number, ids[i]); err != nil {
			return err
		}
		h.Kept--
	}
	return nil
}
