package token

import (
	"context"
	"slices"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// Entry is what lies at one path of a cubbyhole.
type entry struct {
	Value []byte `cbor:"1,keyasint"`
}

// holder finds the token in whose cubbyhole the caller is.
func holder(r kv.Reader, who caller.Caller) (hash string, t *stored, err error) {
	if who.Token != nil && !isBatch(who) {
		if hash, t, err = named(r, who.Account, who.Token.Accessor); err != nil {
			return "", nil, err
		}
	}
	if t == nil {
		return "", nil, errs.Coded(errs.Invalid, CodeNoPlace, "cubbyhole operations are only supported by service tokens")
	}
	return hash, t, nil
}

// checkPath refuses what is no path of an entry.
func checkPath(path string) error {
	if path == "" || strings.HasSuffix(path, "/") || slices.Contains(strings.Split(path, "/"), "..") {
		return errs.InvalidField("path", "a path in the cubbyhole is not empty, has no \"..\" and ends in no slash")
	}
	return name.Text("path", path, MaxText)
}

// inside runs a read in the caller's cubbyhole.
func (s *Service) inside(ctx context.Context, who caller.Caller, op policy.Op, path string, f func(r kv.Reader, hash string) error) error {
	return s.gate.View(ctx, who, op, "cubbyhole/"+path, func(a *gate.Access) error {
		if err := a.AllowSelf(&policy.Request{Op: op, Resource: who.ARN(), Account: who.Account}); err != nil {
			return err
		}
		hash, _, err := holder(a, who)
		if err != nil {
			return err
		}
		return f(a, hash)
	})
}

// ReadCubbyhole returns what the caller's token keeps at a path.
func (s *Service) ReadCubbyhole(ctx context.Context, who caller.Caller, path string) (value sensitive.Bytes, err error) {
	if err := checkPath(path); err != nil {
		return value, s.ended(ctx, who, policy.ReadCubbyhole, err)
	}
	err = s.inside(ctx, who, policy.ReadCubbyhole, path, func(r kv.Reader, hash string) error {
		e, err := record.Find[entry](r, entryKey(who.Account, hash, path))
		if err != nil {
			return err
		}
		if e == nil {
			return errs.Coded(errs.NotFound, CodeNoEntry, "there is nothing at this path")
		}
		value = sensitive.New(e.Value)
		return nil
	})
	return value, err
}

// ListCubbyhole lists what is below a path, which is empty or ends in a slash: the
// next parts of paths, those that lead further with a slash. It is NotFound when
// there is nothing.
func (s *Service) ListCubbyhole(ctx context.Context, who caller.Caller, below string) (names []string, err error) {
	if below != "" && !strings.HasSuffix(below, "/") {
		below += "/"
	}
	if below != "" {
		if err := checkPath(strings.TrimSuffix(below, "/")); err != nil {
			return nil, s.ended(ctx, who, policy.ListCubbyhole, err)
		}
	}
	err = s.inside(ctx, who, policy.ListCubbyhole, below, func(r kv.Reader, hash string) error {
		names = nil
		prefix := kv.K(who.Account, "cubbyhole", hash)
		for p, err := range r.Scan(kv.Prefix(prefix)) {
			if err != nil {
				return err
			}
			strs, _, err := kv.Key(p.Key[len(prefix):]).Parts("s")
			if err != nil {
				return err
			}
			rest, ok := strings.CutPrefix(strs[0], below)
			if !ok {
				continue
			}
			if i := strings.IndexByte(rest, '/'); i >= 0 {
				rest = rest[:i+1]
			}
			names = append(names, rest)
		}
		if names = sorted(names); len(names) == 0 {
			return errs.Coded(errs.NotFound, CodeNoEntry, "there is nothing below this path")
		}
		return nil
	})
	return names, err
}

// WriteCubbyhole keeps a value at a path of the caller's token. Nobody else can
// see it, and it goes with the token.
func (s *Service) WriteCubbyhole(ctx context.Context, who caller.Caller, path string, value sensitive.Bytes) error {
	err := checkPath(path)
	if err == nil && value.Len() > MaxEntry {
		err = &errs.Error{Kind: errs.Limit, Msg: "a value in the cubbyhole has at most 65536 bytes"}
	}
	if err != nil {
		return s.ended(ctx, who, policy.WriteCubbyhole, err)
	}
	return s.alter(ctx, who, policy.WriteCubbyhole, path, func(tx *change.Tx, key kv.Key, is bool, t *stored) error {
		if !is {
			if t.Entries++; t.Entries > MaxEntries {
				return errs.New(errs.Limit, "a cubbyhole has at most %d entries", MaxEntries)
			}
		}
		return record.Put(tx, key, entry{value.Reveal()})
	})
}

// DeleteCubbyhole removes what is at a path, if anything.
func (s *Service) DeleteCubbyhole(ctx context.Context, who caller.Caller, path string) error {
	if err := checkPath(path); err != nil {
		return s.ended(ctx, who, policy.DeleteCubbyhole, err)
	}
	return s.alter(ctx, who, policy.DeleteCubbyhole, path, func(tx *change.Tx, key kv.Key, is bool, t *stored) error {
		if is {
			t.Entries--
		}
		return tx.Delete(key)
	})
}

// alter runs a write in the caller's cubbyhole. is says that there is something at
// the path.
func (s *Service) alter(ctx context.Context, who caller.Caller, op policy.Op, path string, f func(tx *change.Tx, key kv.Key, is bool, t *stored) error) error {
	e := own(who, op)
	e.accessor = "cubbyhole/" + path
	e.do = func(tx *change.Tx) error {
		hash, t, err := holder(tx, who)
		if err != nil {
			return err
		}
		key := entryKey(who.Account, hash, path)
		is, err := holds(tx, kv.Range{Start: key, End: append(slices.Clone(key), 0)})
		if err != nil {
			return err
		}
		before := t.Entries
		if err := f(tx, key, is, t); err != nil || t.Entries == before {
			return err
		}
		return record.Put(tx, tokenKey(who.Account, hash), t)
	}
	return s.submit(ctx, who, e)
}
