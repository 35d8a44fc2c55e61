package audit

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// MaxReaders is how many principals Readers tells apart.
const MaxReaders = 10_000

// Readers are the principals that have read the value of a secret, in one of those
// regions (its own, and those of its replicas), since a time, each
// with the version that it read last, whichever way it asked for it. A principal is
// "user/NAME" or "machine/NAME", and with "@ACCOUNT" behind when it is of another
// account than the secret. The server's own reads do not count.
//
// Who looks at a value that is only proposed reads no version, and does not count.
//
// It reads the segments that go back to that time, newest records first; memory is
// that of the principals. It fails when there are more than MaxReaders, and when the
// log does not go back to that time because its segments were moved away: then nobody
// knows who has read.
func (l *Log) Readers(ctx context.Context, account, secret string, regions []string, since time.Time) (map[string]uint64, error) {
	last := map[string]uint64{}
	for r, err := range l.Query(ctx, Filter{Limit: 1, Order: OldestFirst}) {
		if err != nil {
			return nil, err
		}
		if r.Seq > 1 && r.Time.After(since) {
			return nil, fmt.Errorf("the audit log goes back to %s only", r.Time.UTC().Format(time.RFC3339))
		}
	}
	for r, err := range l.Query(ctx, Filter{Account: account, Since: since, Operation: "ReadValue", Resource: secret, Outcome: OK, Order: NewestFirst}) {
		if err != nil {
			return nil, err
		}
		if !slices.Contains(regions, r.Region) || r.Resource != secret || r.Principal.Kind == "system" || r.Principal.Kind == "" || r.Version == 0 {
			continue
		}
		who := r.Principal.Kind + "/" + r.Principal.Name
		if r.Principal.Account != "" {
			who += "@" + r.Principal.Account
		}
		if _, known := last[who]; known { // an older read
			continue
		}
		if len(last) == MaxReaders {
			return nil, fmt.Errorf("more than %d principals have read the secret", MaxReaders)
		}
		last[who] = r.Version
	}
	return last, nil
}
