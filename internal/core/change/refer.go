package change

import (
	"slices"

	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// Refer checks what is kept of changes against each other: each has a record and
// a way to it; one that is open has its edit, its entries in the indexes and a
// day on which it expires; one that has ended has none of these left.
func Refer(r kv.Reader, report func(key kv.Key, problem string)) error {
	c := checker{r: r, report: report, expires: map[place]bool{}}
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

type checker struct {
	r       kv.Reader
	report  func(key kv.Key, problem string)
	expires map[place]bool // account and id, of what has a day to expire on
}

// due reads the index of what is due.
func (c *checker) due() error {
	for p, err := range c.r.Scan(kv.Prefix(kv.K("sys", "change-due"))) {
		if err != nil {
			return err
		}
		strs, _, err := kv.Key(p.Key).Parts("ssnsss")
		if err != nil {
			return err
		}
		if strs[3] == dueExpire {
			c.expires[place{Noun: strs[2], Name: strs[4]}] = true
		}
	}
	return nil
}

// pair checks one record of the store.
func (c *checker) pair(key kv.Key, value []byte) error {
	if strs, _, err := key.Parts("ssssss"); err == nil {
		switch strs[1] {
		case "change":
			return c.change(key, Target{Account: strs[0], Noun: strs[2], Region: strs[3], Name: strs[4]}, strs[5], value)
		case "change-open-of":
			return c.open(key, strs[0], strs[5])
		}
		return nil
	}
	if strs, _, err := key.Parts("ssss"); err == nil && strs[1] == "change-open-by" {
		return c.open(key, strs[0], strs[3])
	}
	strs, _, err := key.Parts("sss")
	if err != nil {
		return nil // of another kind
	}
	switch strs[1] {
	case "change-open", "proposal-edit":
		return c.open(key, strs[0], strs[2])
	case "change-place":
		at := place{}
		if err := record.Decode(value, &at); err != nil {
			return err
		}
		return c.there(key, recordKey(Target{strs[0], at.Noun, at.Region, at.Name}, strs[2]), "the way to a change leads to no record")
	case "proposal":
		return c.there(key, placeKey(strs[0], strs[2]), "a proposal is of no change")
	}
	return nil
}

func (c *checker) there(key, needs kv.Key, problem string) error {
	ok, err := exists(c.r, needs)
	if err == nil && !ok {
		c.report(slices.Clone(key), problem)
	}
	return err
}

func exists(r kv.Reader, key kv.Key) (bool, error) {
	for _, err := range r.Scan(kv.Range{Start: key, End: append(slices.Clone(key), 0)}) {
		return err == nil, err
	}
	return false, nil
}

// change checks a record.
func (c *checker) change(key kv.Key, t Target, id string, value []byte) error {
	var rec Record
	if err := record.Decode(value, &rec); err != nil {
		return err
	}
	if rec.ID != id || rec.Target(t.Account) != t {
		c.report(slices.Clone(key), "the record of a change stands in the place of another")
	}
	at, err := record.Find[place](c.r, placeKey(t.Account, id))
	if err != nil {
		return err
	}
	if at == nil || *at != (place{t.Noun, t.Region, t.Name}) {
		c.report(slices.Clone(key), "no way leads to the record of a change")
	}
	if !rec.Status.Open() {
		return nil
	}
	for _, needs := range []kv.Key{proposalKey(t.Account, id), editKey(t.Account, id), openKey(t.Account, id), openOfKey(t, id), openByKey(t.Account, rec.Author, id)} {
		if err := c.there(key, needs, "an open change lacks its proposal, its edit or its place in an index"); err != nil {
			return err
		}
	}
	if !c.expires[place{Noun: t.Account, Name: id}] {
		c.report(slices.Clone(key), "an open change never expires")
	}
	return nil
}

// open checks what only an open change has.
func (c *checker) open(key kv.Key, account, id string) error {
	ok, err := IsOpen(c.r, account, id)
	if err == nil && !ok {
		c.report(slices.Clone(key), "something is left of a change that has ended")
	}
	return err
}

// IsOpen reports whether there is an open change of that id. It asks nobody.
func IsOpen(r kv.Reader, account, id string) (bool, error) {
	at, err := record.Find[place](r, placeKey(account, id))
	if err != nil || at == nil {
		return false, err
	}
	rec, err := record.Find[Record](r, recordKey(Target{account, at.Noun, at.Region, at.Name}, id))
	return err == nil && rec != nil && rec.Status.Open(), err
}
