package token

import (
	"bytes"
	"errors"
	"fmt"

	"countersign/internal/core/authn"
	"countersign/internal/core/record"
	"countersign/internal/core/signin"
	"countersign/internal/kv"
)

// standing is what a token hangs on, as one snapshot shows it.
type standing struct {
	ends  int64  // when the first of all ends; 0: never
	above []link // the tokens above it, the nearest first
	key   string // id of the access key that it hangs on in the end
	// session says that it hangs on one, of which nothing is kept in memory.
	session bool
}

// link is a record as it was read.
type link struct{ key, raw []byte }

// until lowers the end of a standing.
func (st *standing) until(us int64) {
	if us != 0 && (st.ends == 0 || us < st.ends) {
		st.ends = us
	}
}

// standingOf follows what a token hangs on. It is nil when something of that is
// gone or over, or the token itself is.
func (s *Service) standingOf(r kv.Reader, acct string, t *stored, now int64) (*standing, error) {
	if t.over(now) {
		return nil, nil
	}
	if t.Link != "" {
		if ok, err := s.linked(r, acct, t.Link, t.Principal); err != nil || !ok {
			return nil, err
		}
	}
	st := &standing{}
	st.until(t.Expires)
	for on, id := t.hangsOn(); on == onToken; on, id = t.hangsOn() {
		if len(st.above) == MaxDepth {
			return nil, nil
		}
		parent, raw, err := read(r, tokenKey(acct, id))
		if err != nil || parent == nil {
			return nil, err
		}
		st.above = append(st.above, link{tokenKey(acct, id), raw})
		if parent.Alone && t.Kind != KindBatch { // what is below it are orphans
			return st, nil
		}
		if parent.over(now) || parent.Principal != t.Principal || parent.Of != t.Of {
			return nil, nil
		}
		st.until(parent.Expires)
		t = parent
	}
	return st, st.root(r, acct, t, now)
}

// root looks at what a tree hangs on. An end in the past says that it is gone.
func (st *standing) root(r kv.Reader, acct string, t *stored, now int64) error {
	switch on, id := t.hangsOn(); on {
	case onKey:
		k, ok, err := authn.FindKey(r, acct, id)
		if err != nil {
			return err
		}
		if !ok || k.Owner != t.Principal {
			st.ends = now
		}
		if !k.Expires.IsZero() {
			st.until(micros(k.Expires))
		}
		st.key = id
	case onSession:
		ends, ok, err := signin.Standing(r, id, acct, t.Principal, when(now))
		if err != nil {
			return err
		}
		if !ok {
			st.ends = now
		}
		st.until(micros(ends))
		st.session = true
	}
	return nil
}

// read reads a token's record with its bytes, nil when there is none.
func read(r kv.Reader, key kv.Key) (*stored, []byte, error) {
	b, err := r.Get(key)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return nil, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("reading a token: %w", err)
	}
	t := new(stored)
	return t, bytes.Clone(b), record.Parse(b, t)
}
