package secret

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// A replica is a record under the same name in another region that points to
// its primary. It is read through: it is in sync by construction, and has a
// KMS key of its own but no versions. Promoting it gives it copies.

// replicaEdit adds replicas; create uses it too.
type replicaEdit struct {
	edit
	add   []Replica
	force bool
}

func (s *Service) newReplicas(primary string, add []Replica, force bool) (replicaEdit, error) {
	seen := map[string]bool{primary: true}
	for _, r := range add {
		if err := s.region(r.Region); err != nil || seen[r.Region] {
			return replicaEdit{}, &errs.Error{Kind: errs.Invalid, Code: CodeRegion, Field: "AddReplicaRegions",
				Msg: "a replica's region is another one of this server's, given once"}
		}
		seen[r.Region] = true
		if err := name.Text("KmsKeyId", r.KMSKey, 2048); err != nil {
			return replicaEdit{}, err
		}
	}
	return replicaEdit{add: add, force: force}, nil
}

// Replicate makes a secret readable in further regions of this server. A
// region that holds a secret of that name is marked failed, or overwritten
// when force is set and policy allows to delete that one.
func (s *Service) Replicate(ctx context.Context, who caller.Caller, id name.SecretID, add []Replica, force bool, reason string) (Written, error) {
	e, err := s.newReplicas(who.Region, add, force)
	if err == nil && len(add) == 0 {
		err = errs.InvalidField("AddReplicaRegions", "no region is given")
	}
	if err != nil {
		return Written{}, s.refuse(ctx, who, policy.Replicate, id.Name, err)
	}
	e.edit = edit{s: s, op: policy.Replicate, who: who, id: id}
	out, err := s.run(ctx, who, reason, &e, &e.edit)
	s.purged.Ring()
	return out, err
}

func (e *replicaEdit) Allow(a *gate.Access) (err error) {
	e.out = Written{}
	if e.f, err = e.s.find(a, e.who, e.id); err != nil {
		return err
	}
	a.Record.Resource = e.f.Name
	return e.allow(a, e.f)
}

// allow asks for the replication, and for the deletion of what it overwrites.
func (e *replicaEdit) allow(a *gate.Access, f *found) error {
	extra := []policy.Pair{{Key: policy.KeyForceOverwrite, Value: strconv.FormatBool(e.force)}}
	for _, r := range e.add {
		extra = append(extra, policy.Pair{Key: policy.KeyAddReplicaRegions, Value: r.Region})
	}
	if err := f.allow(a, policy.Replicate, extra...); err != nil || !e.force {
		return err
	}
	for _, r := range e.add {
		other, err := e.s.load(a, name.Secret{Account: f.Account, Region: r.Region, Name: f.Name}, "")
		if err != nil {
			return err
		}
		if other.head != nil && other.replica == nil {
			if err := other.allow(a, policy.DeleteSecret, policy.Pair{Key: policy.KeyForceDelete, Value: "true"}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *replicaEdit) Apply(tx *change.Tx) error {
	if err := e.ready(); err != nil {
		return err
	}
	if err := e.apply(tx, e.f); err != nil {
		return err
	}
	e.out.Replicas = e.f.head.Replicas
	tx.Wrote(e.f.head.Labels[name.Current].Number, 0, nil)
	return e.save(tx)
}

// Lines say what the change does, for its review.
func (e *replicaEdit) Lines() (out []string) {
	for _, r := range e.add {
		line := "makes the secret readable in " + r.Region
		if r.KMSKey != "" {
			line += ", under the KMS key " + r.KMSKey
		}
		if e.force {
			line += ", and deletes a secret of that name there"
		}
		out = append(out, line)
	}
	return out
}

// apply adds the replicas to the head, which it does not save.
func (e *replicaEdit) apply(tx *change.Tx, f *found) error {
	for _, r := range e.add {
		n := name.Secret{Account: f.Account, Region: r.Region, Name: f.Name}
		there, err := getHead(tx, n)
		if err != nil {
			return err
		}
		leftover, err := hasVersions(tx, n, f.head.Suffix)
		if err != nil {
			return err
		}
		r.Status, r.Message = InSync, ""
		ours := there != nil && there.Primary == f.Region && there.Suffix == f.head.Suffix
		switch {
		case leftover && there == nil:
			r.Status, r.Message = ReplicaFailed, "Replication failed: an earlier copy of secret "+f.Name+" in region "+r.Region+" is still being deleted."
		case there == nil || ours:
		case e.force && len(there.Replicas) == 0 && !leftover:
			if err := e.overwrite(tx, n, there); err != nil {
				return err
			}
		default:
			r.Status, r.Message = ReplicaFailed, "Replication failed: Secret name "+f.Name+" already exists in region "+r.Region+"."
		}
		if r.Status == InSync {
			h := &head{Suffix: f.head.Suffix, KMSKey: r.KMSKey, Created: micros(tx.Now), Changed: micros(tx.Now), Primary: f.Region}
			if ours {
				h.Created = there.Created
			}
			if err := putHead(tx, n, h); err != nil {
				return err
			}
			if err := tx.Put(createdKey(n, h.Created), []byte{1}); err != nil {
				return err
			}
		}
		if i := slices.IndexFunc(f.head.Replicas, func(old Replica) bool { return old.Region == r.Region }); i >= 0 {
			f.head.Replicas[i] = r
		} else {
			f.head.Replicas = append(f.head.Replicas, r)
		}
	}
	return nil
}

// hasVersions tells whether versions of a secret are there, with or without its
// head. A promoted replica keeps its primary's suffix, so a new replica must not
// take its place before the purge of its versions.
func hasVersions(r kv.Reader, n name.Secret, suffix string) (bool, error) {
	for _, err := range r.Scan(kv.Prefix(kv.K(n.Account, "version", n.Region, n.Name, suffix))) {
		return err == nil, err
	}
	return false, nil
}

// overwrite deletes what stands under the name in the replica's region.
func (e *replicaEdit) overwrite(tx *change.Tx, n name.Secret, there *head) error {
	if there.Primary != "" {
		return errs.Coded(errs.Precondition, CodeReplica, "the name is held by a replica of another secret")
	}
	return dropHead(tx, n, there, tx.Now)
}

type unreplicateEdit struct {
	edit
	regions []string
}

// RemoveReplicas ends replication to the given regions.
func (s *Service) RemoveReplicas(ctx context.Context, who caller.Caller, id name.SecretID, regions []string, reason string) (Written, error) {
	if len(regions) == 0 {
		return Written{}, s.refuse(ctx, who, policy.RemoveReplicas, id.Name, errs.InvalidField("RemoveReplicaRegions", "no region is given"))
	}
	e := &unreplicateEdit{edit{s: s, op: policy.RemoveReplicas, who: who, id: id}, regions}
	return s.run(ctx, who, reason, e, &e.edit)
}

// Lines say what the change does, for its review.
func (e *unreplicateEdit) Lines() (out []string) {
	for _, r := range e.regions {
		out = append(out, "ends the replica in "+r)
	}
	return out
}

func (e *unreplicateEdit) Apply(tx *change.Tx) error {
	if err := e.ready(); err != nil {
		return err
	}
	h := e.f.head
	for _, region := range e.regions {
		i := slices.IndexFunc(h.Replicas, func(r Replica) bool { return r.Region == region })
		if i < 0 {
			return &errs.Error{Kind: errs.Invalid, Code: CodeRegion, Field: "RemoveReplicaRegions", Msg: "the secret is not replicated to that region"}
		}
		if h.Replicas[i].Status == InSync {
			n := name.Secret{Account: e.f.Account, Region: region, Name: e.f.Name}
			if err := dropReplica(tx, n, h.Suffix); err != nil {
				return err
			}
		}
		h.Replicas = slices.Delete(h.Replicas, i, i+1)
	}
	e.out.Replicas = h.Replicas
	tx.Wrote(h.Labels[name.Current].Number, 0, nil)
	return e.save(tx)
}

func dropReplica(tx kv.Txn, n name.Secret, suffix string) error {
	there, err := getHead(tx, n)
	if err != nil || there == nil || there.Primary == "" || there.Suffix != suffix {
		return err
	}
	return errors.Join(tx.Delete(headKey(n)), tx.Delete(createdKey(n, there.Created)), tx.Delete(usedKey(n, suffix, 0)))
}

type promoteEdit struct {
	edit
	dataKey []byte
	failed  error // why there is no data key; told only once policy allowed to
}

// Promote makes the replica in the request's region a secret of its own, with
// copies of the labelled versions under their ids. The rest of the history
// stays with the primary. Limit: the labelled values together are too large
// for one transaction.
func (s *Service) Promote(ctx context.Context, who caller.Caller, id name.SecretID, reason string) (Written, error) {
	key, err := s.vault.NewDataKey(account(who, id))
	e := &promoteEdit{edit{s: s, op: policy.PromoteReplica, who: who, id: id}, key, err}
	return s.run(ctx, who, reason, e, &e.edit)
}

func (e *promoteEdit) Apply(tx *change.Tx) error {
	f := e.f
	if err := f.mustExist(); err != nil {
		return err
	}
	if f.replica == nil {
		return errs.Coded(errs.Precondition, CodeNotReplica, "the secret is not a replica")
	}
	if e.failed != nil {
		return e.failed
	}
	e.out.ARN, e.out.Name = f.arn(), f.Name
	primary := f.head
	own := *primary
	own.KMSKey, own.Created, own.Primary, own.Replicas = f.replica.KMSKey, f.replica.Created, "", nil
	own.DataKey, own.Changed, own.Kept, own.Rotation, own.Run, own.Retiring, own.Due = e.dataKey, micros(tx.Now), 0, nil, nil, nil, 0
	if text, err := schemaText(tx, f.home, primary); err != nil {
		return err
	} else if err := putSchema(tx, f.Secret, &own, bytes.Clone(text)); err != nil {
		return err
	}
	copied := map[uint64]bool{}
	for _, at := range primary.Labels {
		if copied[at.Number] {
			continue
		}
		copied[at.Number] = true
		own.Kept++
		if err := e.copyVersion(tx, &own, at.Number); err != nil {
			return err
		}
	}
	primary.Replicas = slices.DeleteFunc(slices.Clone(primary.Replicas), func(r Replica) bool { return r.Region == f.Region })
	if err := putHead(tx, f.home, primary); err != nil {
		return err
	}
	tx.Wrote(own.Labels[name.Current].Number, own.Labels[name.Current].Number, nil)
	return putHead(tx, f.Secret, &own)
}

func (e *promoteEdit) copyVersion(tx *change.Tx, own *head, number uint64) error {
	f := e.f
	v, err := getVersion(tx, f.home, f.head.Suffix, number)
	if err != nil {
		return err
	}
	if !v.Empty && v.State != Destroyed {
		data, err := e.s.value(tx, f, number)
		if err != nil {
			return err
		}
		if err := e.s.putValue(tx, f.Secret, own, number, data); err != nil {
			return err
		}
	}
	if err := record.Put(tx, versionKey(f.Secret, own.Suffix, number), v); err != nil {
		return err
	}
	return record.Put(tx, versionIDKey(f.Secret, own.Suffix, v.ID), number)
}
