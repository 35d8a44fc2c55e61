package transit

import (
	"slices"

	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/kv/fsck"
)

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{
		{Kind: "transit-key", Shape: "sss", Decode: record.Check[stored]},
		{Kind: "transit-version", Shape: "sssn", Decode: record.Check[version]},
		{Kind: "transit-wrapping", Shape: "sss", Decode: record.Check[wrapping]},
		{Kind: "transit-due", Shape: "ssnsss"},
	}
}

// of names the versions of a key.
type of struct{ account, id string }

// checker holds the records of keys against each other.
type checker struct {
	r      kv.Reader
	report func(key kv.Key, problem string)
	keys   map[of]*stored
	left   map[of]leftover // of destroyed versions
}

// Refer checks that each key has the versions that it says, each of which is one,
// that each version is of a key or waits to be deleted, and that each key which
// rotates by itself has its entry in the due index.
func Refer(r kv.Reader, report func(key kv.Key, problem string)) error {
	c := checker{r: r, report: report, keys: map[of]*stored{}, left: map[of]leftover{}}
	var versions []kv.Key
	for p, err := range r.Scan(kv.Range{}) {
		if err != nil {
			return err
		}
		key := kv.Key(p.Key)
		if strs, _, err := key.Parts("sss"); err == nil && strs[1] == "transit-key" {
			if err := c.key(key, strs[0], strs[2], p.Value); err != nil {
				return err
			}
		}
		if strs, _, err := key.Parts("sssn"); err == nil && strs[1] == "transit-version" {
			versions = append(versions, slices.Clone(key))
		}
	}
	if err := c.due(); err != nil {
		return err
	}
	for _, key := range versions {
		strs, nums, err := key.Parts("sssn")
		if err != nil {
			return err
		}
		if !c.belongs(of{strs[0], strs[2]}, nums[0]) {
			report(key, "a version is of no key")
		}
	}
	return nil
}

func (c *checker) key(at kv.Key, account, n string, value []byte) error {
	var k stored
	if err := record.Decode(value, &k); err != nil {
		return err
	}
	if CheckName(n) != nil || checkShape(k.Type, k.Size, k.Derived, k.Convergent) != nil {
		c.report(slices.Clone(at), "a key is of no type or name that there is")
		return nil
	}
	o := of{account, k.ID}
	if c.keys[o] != nil {
		c.report(slices.Clone(at), "two keys have the same versions")
	}
	c.keys[o] = &k
	for number := k.first(); number <= k.Latest; number++ {
		v, err := record.Find[version](c.r, versionKey(account, k.ID, number))
		if err != nil {
			return err
		}
		if v == nil {
			c.report(slices.Clone(at), "a key lacks a version")
			return nil
		}
		if _, err := prepare(&k, v); err != nil {
			c.report(slices.Clone(at), "the material of a version is not of the key's type")
		}
	}
	if k.RotateAt == 0 {
		return nil
	}
	for _, err := range c.r.Scan(kv.Prefix(rotateKey(account, n, k.RotateAt))) {
		return err
	}
	c.report(slices.Clone(at), "a key that rotates has no entry in the due index")
	return nil
}

// due reads the due index.
func (c *checker) due() error {
	for p, err := range c.r.Scan(kv.Prefix(kv.K("sys", "transit-due"))) {
		if err != nil {
			return err
		}
		strs, nums, err := kv.Key(p.Key).Parts("ssnsss")
		if err != nil {
			return err
		}
		if strs[3] == dueDrop {
			var l leftover
			if err := record.Decode(p.Value, &l); err != nil {
				return err
			}
			c.left[of{strs[2], strs[4]}] = l
			continue
		}
		k, err := find(c.r, strs[2], strs[4])
		if err != nil {
			return err
		}
		if k == nil || k.RotateAt != int64(nums[0]) {
			c.report(slices.Clone(kv.Key(p.Key)), "the due index names a rotation that no key waits for")
		}
	}
	return nil
}

func (c *checker) belongs(o of, number uint64) bool {
	if l, ok := c.left[o]; ok && number >= l.From && number < l.End {
		return true
	}
	k := c.keys[o]
	return k != nil && number >= k.first() && number <= k.Latest
}
