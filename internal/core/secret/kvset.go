package secret

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// KVSet asks for settings of a secret. Nil leaves a thing as it is, and zero takes
// a setting away.
type KVSet struct {
	ID          name.SecretID
	MaxVersions *uint64
	CASRequired *bool
	DeleteAfter *time.Duration
	// Tags are all that the secret has afterwards; with Merge, those to set, and
	// nil to remove.
	Tags map[string]*string
	// Merge also says that there has to be a secret. Without it one is created, with
	// no version.
	Merge  bool
	Reason string
	change.Options
}

type kvSetEdit struct {
	edit
	req     KVSet
	set     []Tag    // sorted by key
	remove  []string // keys, of a merge
	goes    []string // keys that the secret has and loses; set by Allow
	suffix  string   // for a secret that does not exist
	dataKey []byte
}

// KVSet changes the settings and tags of a secret. Settings are about versions yet
// to come: a lower number of versions is reached with the next write, and those
// that are there keep their time of deletion.
func (s *Service) KVSet(ctx context.Context, who caller.Caller, req KVSet) (change.Result, error) {
	e := &kvSetEdit{edit: edit{s: s, op: policy.UpdateSecret, who: who, id: req.ID}, req: req, suffix: newSuffix()}
	if err := e.prepare(); err != nil {
		return change.Result{}, s.refuse(ctx, who, e.op, req.ID.Name, err)
	}
	return s.changes.Submit(ctx, who, change.Request{Edit: e, Reason: req.Reason, Options: req.Options})
}

func (e *kvSetEdit) prepare() (err error) {
	r := e.req
	if !r.ID.IsARN {
		if err := name.SecretName(r.ID.Name); err != nil {
			return err
		}
		if err := e.s.region(e.who.Region); err != nil {
			return err
		}
	}
	if d := r.DeleteAfter; d != nil && (*d < 0 || *d > maxDeleteAfter) {
		return errs.InvalidField("delete_version_after", "the time is zero to a hundred years")
	}
	for _, k := range slices.Sorted(maps.Keys(r.Tags)) {
		if v := r.Tags[k]; v != nil {
			e.set = append(e.set, Tag{k, *v})
		} else if !r.Merge {
			return errs.InvalidField("custom_metadata", "a value is missing")
		} else if err := name.TagKey(k); err != nil {
			return err
		} else {
			e.remove = append(e.remove, k)
		}
	}
	if err := checkTags(e.set); err != nil {
		return err
	}
	e.dataKey, err = e.s.vault.NewDataKey(e.who.Account)
	return err
}

func (e *kvSetEdit) creates() bool {
	return e.f != nil && e.f.head == nil && !e.req.Merge && !e.id.IsARN && !e.empty()
}

// empty reports whether the request asks for nothing.
func (e *kvSetEdit) empty() bool {
	r := &e.req
	return r.MaxVersions == nil && r.CASRequired == nil && r.DeleteAfter == nil && r.Tags == nil
}

// leaving are the keys of tags that the edit removes.
func (e *kvSetEdit) leaving() []string {
	if e.req.Tags == nil || e.req.Merge || e.f.head == nil {
		return e.remove
	}
	var keys []string
	for _, t := range e.f.head.Tags {
		if !slices.ContainsFunc(e.set, func(n Tag) bool { return n.Key == t.Key }) {
			keys = append(keys, t.Key)
		}
	}
	return keys
}

// Allow asks about the tags as Tag and Untag do: also whether the caller would
// still be allowed afterwards.
func (e *kvSetEdit) Allow(a *gate.Access) (err error) {
	e.out = Written{}
	if e.f, err = e.s.find(a, a.Who, e.id); err != nil {
		return err
	}
	a.Record.Resource = e.f.Name
	e.goes = e.leaving()
	extra := tagPairs(e.set)
	for _, k := range e.goes {
		extra = append(extra, policy.Pair{Key: policy.KeyTagKeys, Value: k})
	}
	if e.creates() {
		err = e.allowNew(a, extra, extra)
	} else {
		err = e.f.allow(a, e.op, extra...)
	}
	if err != nil {
		return err
	}
	ops := []policy.Op{e.op}
	if len(e.set) > 0 {
		ops = append(ops, policy.TagSecret)
	}
	if len(e.goes) > 0 {
		ops = append(ops, policy.UntagSecret)
	}
	for _, op := range ops[1:] {
		if err := e.f.allow(a, op, extra...); err != nil {
			return err
		}
	}
	if e.f.head == nil || len(ops) == 1 {
		return nil
	}
	return e.keepsAllowed(a, ops, extra, retag(e.f.head.Tags, e.set, e.goes))
}

// Subject of a creation has the tags that the secret will have.
func (e *kvSetEdit) Subject() protect.Subject {
	s := e.edit.Subject()
	if e.creates() {
		s.Kind, s.Tags = protect.Create, tagMap(e.set)
	}
	return s
}

// Deletes reports whether versions go by the settings that would stay without
// them, be it with a later write.
func (e *kvSetEdit) Deletes() bool {
	if e.f == nil || e.f.head == nil {
		return false
	}
	h := e.f.head
	if n := e.req.MaxVersions; n != nil && *n != h.MaxVersions && (h.MaxVersions == 0 || *n < h.MaxVersions) {
		return true
	}
	d := e.req.DeleteAfter
	return d != nil && *d != 0 && (h.DeleteAfter == 0 || d.Microseconds() < h.DeleteAfter)
}

func (e *kvSetEdit) Apply(tx *change.Tx) error {
	if e.empty() && !e.req.Merge {
		tx.NothingToDo()
		return nil
	}
	save := e.save
	tags := e.set
	if e.creates() {
		if err := e.begin(&head{Suffix: e.suffix, Created: micros(tx.Now), DataKey: e.dataKey}); err != nil {
			return err
		}
		save = e.saveNew
	} else {
		if err := e.ready(); err != nil {
			return err
		}
		tags = retag(e.f.head.Tags, e.set, e.goes)
	}
	if len(tags) > name.MaxTags {
		return &errs.Error{Kind: errs.Limit, Code: CodeTags, Field: "Tags", Msg: "a secret has at most 50 tags"}
	}
	h := e.f.head
	was := *h
	h.Tags = tags
	if n := e.req.MaxVersions; n != nil {
		h.MaxVersions = *n
	}
	if c := e.req.CASRequired; c != nil {
		h.CASRequired = *c
	}
	if d := e.req.DeleteAfter; d != nil {
		h.DeleteAfter = d.Microseconds()
	}
	if was.MaxVersions == h.MaxVersions && was.CASRequired == h.CASRequired && was.DeleteAfter == h.DeleteAfter && slices.Equal(was.Tags, tags) {
		tx.NothingToDo()
		return nil
	}
	tx.Wrote(h.Labels[name.Current].Number, 0, nil)
	return save(tx)
}

// Lines say what a change does, for its review.
func (e *kvSetEdit) Lines() (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if n := e.req.MaxVersions; n != nil && *n == 0 {
		say("keeps as many versions as its mount or the server says")
	} else if n != nil {
		say("keeps %d versions: older ones are removed when one is written", *n)
	}
	if c := e.req.CASRequired; c != nil && *c {
		say("has the Vault protocol's writes say which version they replace")
	} else if c != nil {
		say("lets the Vault protocol's writes leave out which version they replace")
	}
	if d := e.req.DeleteAfter; d != nil && *d == 0 {
		say("gives new versions no time of deletion of their own")
	} else if d != nil {
		say("has new versions deleted after %s", *d)
	}
	for _, t := range e.set {
		say("sets tag %s=%s", t.Key, t.Value)
	}
	for _, k := range e.goes {
		say("removes tag %s", k)
	}
	return out
}
