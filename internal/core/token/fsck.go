package token

import (
	"bytes"
	"errors"
	"slices"

	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/kv/fsck"
)

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{
		{Kind: "token", Shape: "sss", Decode: record.Check[stored]},
		{Kind: "token-accessor", Shape: "sss", Decode: record.Check[place]},
		{Kind: "token-under", Shape: "sssss"},
		{Kind: "token-role", Shape: "sss", Decode: record.Check[Role]},
		{Kind: "token-wrapped", Shape: "sss", Decode: record.Check[wrapped]},
		{Kind: "token-batch-epoch", Shape: "ss", Decode: record.Check[int64]},
		{Kind: "cubbyhole", Shape: "ssss", Decode: record.Check[entry]},
		{Kind: "due-token", Shape: "ssnsss"},
	}
}

// Refer checks that each token has its accessor, its place below what it hangs on
// and the time at which it ends, and that each of these is of a token; that what is
// left of tokens that are gone is due to be removed; and that each wrapping token
// has its answer.
func Refer(r kv.Reader, report func(key kv.Key, problem string)) error {
	c := checker{r, report, map[tree]bool{}}
	if err := c.due(); err != nil {
		return err
	}
	for p, err := range r.Scan(kv.Range{}) {
		if err != nil {
			return err
		}
		if err := c.pair(kv.Key(p.Key), p.Value); err != nil {
			return err
		}
	}
	return nil
}

// tree is what is due to go, with all that hangs on it.
type tree struct{ acct, what string }

type checker struct {
	r      kv.Reader
	report func(key kv.Key, problem string)
	falls  map[tree]bool
}

// due checks the index of what is due.
func (c *checker) due() error {
	for p, err := range c.r.Scan(kv.Prefix(kv.K("sys", "due-token"))) {
		if err != nil {
			return err
		}
		strs, nums, err := kv.Key(p.Key).Parts("ssnsss")
		if err != nil {
			return err
		}
		switch acct, what := strs[2], strs[4]; strs[3] {
		case dueTree:
			c.falls[tree{acct, what}] = true
		case dueToken:
			t, err := find(c.r, acct, what)
			if err != nil {
				return err
			}
			if t == nil || t.Expires != int64(nums[0]) || t.Alone {
				c.report(slices.Clone(kv.Key(p.Key)), "the end of a token is due that is not there, or ends at another time")
			}
		case dueAlone:
			if t, err := find(c.r, acct, what); err != nil || t != nil && !t.Alone {
				c.report(slices.Clone(kv.Key(p.Key)), "a token that is valid is due to lose what hangs on it")
			}
		}
	}
	return nil
}

func (c *checker) pair(key kv.Key, value []byte) error {
	if strs, _, err := key.Parts("sssss"); err == nil && strs[1] == "token-under" {
		return c.under(key, strs[0], strs[2], strs[3], strs[4])
	}
	if strs, _, err := key.Parts("ssss"); err == nil && strs[1] == "cubbyhole" {
		return c.entry(key, strs[0], strs[2])
	}
	strs, _, err := key.Parts("sss")
	if err != nil {
		return nil // of another kind
	}
	switch strs[1] {
	case "token":
		var t stored
		if err := record.Decode(value, &t); err != nil {
			return err
		}
		return c.token(key, strs[0], strs[2], &t)
	case "token-accessor":
		var at place
		if err := record.Decode(value, &at); err != nil {
			return err
		}
		t, err := find(c.r, strs[0], string(at.Hash))
		if err == nil && (t == nil || t.Accessor != strs[2]) {
			c.report(slices.Clone(key), "an accessor names a token that is not there, or has another")
		}
		return err
	case "token-wrapped":
		t, err := find(c.r, strs[0], strs[2])
		if err == nil && (t == nil || t.Kind != kindWrapping) {
			c.report(slices.Clone(key), "an answer is wrapped by no token")
		}
		return err
	}
	return nil
}

// token checks what belongs to a token.
func (c *checker) token(key kv.Key, acct, hash string, t *stored) error {
	needs := []kv.Key{t.key(acct, hash)}
	if !t.Alone {
		at, err := record.Find[place](c.r, accessorKey(acct, t.Accessor))
		if err != nil {
			return err
		}
		if at == nil || !bytes.Equal(at.Hash, []byte(hash)) {
			c.report(slices.Clone(key), "the accessor of a token does not lead to it")
		}
		if t.Expires != 0 {
			needs = append(needs, dueKey(t.Expires, acct, dueToken, hash))
		}
	}
	if t.Kind == kindWrapping {
		needs = append(needs, wrappedKey(acct, hash))
	}
	for _, k := range needs {
		if _, err := c.r.Get(k); errors.Is(err, kv.ErrNotFound) {
			c.report(slices.Clone(key), "a token lacks its place in an index, the time at which it ends, or its answer")
		} else if err != nil {
			return err
		}
	}
	return nil
}

// under checks a place below what a token hangs on.
func (c *checker) under(key kv.Key, acct, on, id, hash string) error {
	t, err := find(c.r, acct, hash)
	if err != nil {
		return err
	}
	if t == nil || t.On != on || string(t.OnID) != id {
		c.report(slices.Clone(key), "the index names a token that is not there, or hangs on something else")
	}
	if on != onToken || c.falls[tree{acct, on + id}] {
		return nil
	}
	parent, err := find(c.r, acct, id)
	if err == nil && parent == nil {
		c.report(slices.Clone(key), "a token hangs on one that is gone, and is not due to go")
	}
	return err
}

// entry checks an entry of a cubbyhole.
func (c *checker) entry(key kv.Key, acct, hash string) error {
	t, err := find(c.r, acct, hash)
	if err == nil && t == nil && !c.falls[tree{acct, onToken + hash}] {
		c.report(slices.Clone(key), "a cubbyhole is left of a token that is gone, and is not due to go")
	}
	return err
}
