package secret

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// Recovery windows, in days.
const (
	MinWindow     = 7
	MaxWindow     = 30
	DefaultWindow = 30
)

// DeleteRequest marks a secret for deletion, or deletes it for good.
type DeleteRequest struct {
	ID     name.SecretID
	Window int  // days in which it can be restored, 7 to 30; default 30
	Force  bool // at once and for good; excludes Window
	Reason string
}

// DeletedSecret is the answer to a deletion.
type DeletedSecret struct {
	ARN, Name string
	When      time.Time // when it is, or was, deleted for good
	Change    string
	Status    change.Status
}

type deleteEdit struct {
	edit
	req  DeleteRequest
	when time.Time
}

// Delete marks a secret for deletion. It is then described and restored but
// not read or changed, and its name stays taken, until the window is over.
// With Force it is gone when Delete returns; a secret that does not exist is
// then no error.
func (s *Service) Delete(ctx context.Context, who caller.Caller, req DeleteRequest) (DeletedSecret, error) {
	e := &deleteEdit{edit: edit{s: s, op: policy.DeleteSecret, who: who, id: req.ID}, req: req}
	var err error
	switch {
	case req.Force && req.Window != 0:
		err = errs.InvalidField("RecoveryWindowInDays", "a forced deletion has no recovery window")
	case req.Window != 0 && (req.Window < MinWindow || req.Window > MaxWindow):
		err = errs.InvalidField("RecoveryWindowInDays", "the recovery window is 7 to 30 days")
	}
	if err != nil {
		return DeletedSecret{}, s.refuse(ctx, who, policy.DeleteSecret, req.ID.Name, err)
	}
	if req.Window == 0 {
		e.req.Window = DefaultWindow
	}
	out, err := s.run(ctx, who, req.Reason, e, &e.edit)
	if err != nil {
		return DeletedSecret{}, err
	}
	if req.Force {
		s.purged.Ring()
	}
	return DeletedSecret{ARN: out.ARN, Name: out.Name, When: e.when, Change: out.Change, Status: out.Status}, nil
}

func (e *deleteEdit) Allow(a *gate.Access) error {
	extra := []policy.Pair{{Key: policy.KeyForceDelete, Value: strconv.FormatBool(e.req.Force)}}
	if !e.req.Force {
		extra = append(extra, policy.Pair{Key: policy.KeyRecoveryWindow, Value: strconv.Itoa(e.req.Window)})
	}
	return e.open(a, extra...)
}

func (e *deleteEdit) Apply(tx *change.Tx) error {
	f := e.f
	e.out.ARN, e.out.Name, e.when = f.arn(), f.Name, tx.Now
	if f.head == nil && e.req.Force {
		tx.NothingToDo()
		return nil
	}
	if err := f.mustBeWritable(); err != nil {
		return err
	}
	h := f.head
	switch {
	case h.Deleted != 0 && !e.req.Force:
		return h.live()
	case len(h.Replicas) > 0:
		var regions []string
		for _, r := range h.Replicas {
			regions = append(regions, r.Region)
		}
		return &errs.Error{Kind: errs.Precondition, Code: CodeHasReplicas, Field: strings.Join(regions, ","),
			Msg: "the secret has replicas, which have to be removed first"}
	}
	if e.req.Force && h.Run != nil {
		return errs.Coded(errs.Precondition, CodeBusy, "a rotation of the secret is under way, which has to be cancelled first")
	}
	tx.Wrote(h.Labels[name.Current].Number, 0, nil)
	if e.req.Force {
		return dropHead(tx, f.Secret, h, tx.Now)
	}
	e.when = tx.Now.AddDate(0, 0, e.req.Window)
	h.Deleted, h.Purge = micros(tx.Now), micros(e.when)
	if err := tx.Put(purgeKey(f.Secret, h.Suffix, h.Purge), []byte{1}); err != nil {
		return err
	}
	return putHead(tx, f.Secret, h)
}

type restoreEdit struct{ edit }

// Restore takes the mark for deletion off a secret. A secret without one is
// left as it is.
func (s *Service) Restore(ctx context.Context, who caller.Caller, id name.SecretID, reason string) (Written, error) {
	e := &restoreEdit{edit{s: s, op: policy.RestoreSecret, who: who, id: id}}
	out, err := s.run(ctx, who, reason, e, &e.edit)
	if err == nil { // a rotation that was missed is due
		s.rotates.Ring()
	}
	return out, err
}

func (e *restoreEdit) Apply(tx *change.Tx) error {
	if err := e.f.mustBeWritable(); err != nil {
		return err
	}
	h := e.f.head
	e.out.ARN, e.out.Name = e.f.arn(), e.f.Name
	if h.Deleted == 0 {
		tx.NothingToDo()
		return nil
	}
	if err := e.unmark(tx); err != nil {
		return err
	}
	current := h.Labels[name.Current].Number
	tx.Wrote(current, current, nil)
	return e.save(tx)
}

// unmark takes the mark for deletion off the head, which it does not save.
func (e *edit) unmark(tx *change.Tx) error {
	h := e.f.head
	purge := purgeKey(e.f.Secret, h.Suffix, h.Purge)
	h.Deleted, h.Purge = 0, 0
	return tx.Delete(purge)
}

// tagEdit sets and removes tags; no key is in both.
type tagEdit struct {
	edit
	set    []Tag
	remove []string
}

// Tag sets tags on a secret, replacing the values of keys that it has.
func (s *Service) Tag(ctx context.Context, who caller.Caller, id name.SecretID, tags []Tag, reason string) (Written, error) {
	err := checkTags(tags)
	if err == nil && len(tags) == 0 {
		err = errs.InvalidField("Tags", "no tags are given")
	}
	if err != nil {
		return Written{}, s.refuse(ctx, who, policy.TagSecret, id.Name, err)
	}
	e := &tagEdit{edit{s: s, op: policy.TagSecret, who: who, id: id}, tags, nil}
	return s.run(ctx, who, reason, e, &e.edit)
}

// Untag removes tags by their keys; a key that is not there is no error.
func (s *Service) Untag(ctx context.Context, who caller.Caller, id name.SecretID, keys []string, reason string) (Written, error) {
	var err error
	if len(keys) == 0 || len(keys) > name.MaxTags {
		err = errs.InvalidField("TagKeys", "give 1 to 50 tag keys")
	}
	for _, k := range keys {
		if err == nil {
			err = name.TagKey(k)
		}
	}
	if err != nil {
		return Written{}, s.refuse(ctx, who, policy.UntagSecret, id.Name, err)
	}
	e := &tagEdit{edit{s: s, op: policy.UntagSecret, who: who, id: id}, nil, keys}
	return s.run(ctx, who, reason, e, &e.edit)
}

// Allow asks twice: with the tags as they are, and as they will be, so that
// nobody takes the operation from themselves by it.
func (e *tagEdit) Allow(a *gate.Access) error {
	extra := tagPairs(e.set)
	for _, k := range e.remove {
		extra = append(extra, policy.Pair{Key: policy.KeyTagKeys, Value: k})
	}
	if err := e.open(a, extra...); err != nil || e.f.head == nil {
		return err
	}
	return e.keepsAllowed(a, []policy.Op{e.op}, extra, e.tags())
}

// keepsAllowed refuses an edit of tags by which its author would lose the
// permission for it.
func (e *edit) keepsAllowed(a *gate.Access, ops []policy.Op, extra []policy.Pair, tags []Tag) error {
	for _, op := range ops {
		after := e.f.request(op, extra...)
		after.Tags = tagMap(tags)
		if err := a.Allow(&after, e.f.policy); err != nil {
			if denied := errs.As(err); denied.Kind == errs.Denied {
				denied.Code = CodeLockout
			}
			return err
		}
	}
	return nil
}

// tags are the secret's tags after the edit.
func (e *tagEdit) tags() []Tag { return retag(e.f.head.Tags, e.set, e.remove) }

// retag returns tags with some set and some removed.
func retag(tags, set []Tag, remove []string) []Tag {
	tags = slices.Clone(tags)
	for _, t := range set {
		if i := slices.IndexFunc(tags, func(old Tag) bool { return old.Key == t.Key }); i >= 0 {
			tags[i].Value = t.Value
		} else {
			tags = append(tags, t)
		}
	}
	return slices.DeleteFunc(tags, func(t Tag) bool { return slices.Contains(remove, t.Key) })
}

func (e *tagEdit) Apply(tx *change.Tx) error {
	if err := e.ready(); err != nil {
		return err
	}
	tags := e.tags()
	if len(tags) > name.MaxTags {
		return &errs.Error{Kind: errs.Limit, Code: CodeTags, Field: "Tags", Msg: "a secret has at most 50 tags"}
	}
	if slices.Equal(tags, e.f.head.Tags) {
		tx.NothingToDo()
		return nil
	}
	e.f.head.Tags = tags
	current := e.f.head.Labels[name.Current].Number
	tx.Wrote(current, 0, nil)
	return e.save(tx)
}
