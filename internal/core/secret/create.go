package secret

import (
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// CreateRequest asks for a new secret in the request's region.
type CreateRequest struct {
	Name                      string
	VersionID                 string // of the first version; needed with a value
	Value                     *Input // nil: a secret without a version
	Description, KMSKey, Type string
	Tags                      []Tag
	Replicas                  []Replica // regions to replicate to
	ForceReplicas             bool      // overwrite a secret of that name there
	Reason                    string
	change.Options
}

type createEdit struct {
	edit
	req      CreateRequest
	value    printed
	suffix   string
	dataKey  []byte
	replicas replicaEdit
}

// Create makes a secret, with a first version when a value is given.
//
// Exists: the name is taken; when the version id and the value are those of
// the secret's own version the call succeeds and changes nothing, so it can be
// repeated. Precondition: the name is still held by a secret marked for
// deletion.
func (s *Service) Create(ctx context.Context, who caller.Caller, req CreateRequest) (Written, error) {
	e := &createEdit{edit: edit{s: s, op: policy.CreateSecret, who: who, id: name.SecretID{Name: req.Name}}, req: req, suffix: newSuffix()}
	err := e.prepare()
	if err != nil {
		return Written{}, s.refuse(ctx, who, policy.CreateSecret, req.Name, err)
	}
	out, err := s.runWith(ctx, who, req.Reason, req.Options, e, &e.edit)
	if req.ForceReplicas {
		s.purged.Ring()
	}
	return out, err
}

func (e *createEdit) prepare() (err error) {
	r := e.req
	if err := name.SecretName(r.Name); err != nil {
		return err
	}
	if err := e.s.region(e.who.Region); err != nil {
		return err
	}
	if err := checkTexts(&r.Description, &r.KMSKey, &r.Type); err != nil {
		return err
	}
	if err := checkTags(r.Tags); err != nil {
		return err
	}
	if e.replicas, err = e.s.newReplicas(e.who.Region, r.Replicas, r.ForceReplicas); err != nil {
		return err
	}
	e.replicas.edit = edit{s: e.s, op: policy.Replicate, who: e.who, id: e.id}
	if r.Value != nil {
		if err := name.Token("ClientRequestToken", r.VersionID); err != nil {
			return err
		}
		if e.value, err = e.s.print(e.who.Account, *r.Value); err != nil {
			return err
		}
	}
	e.dataKey, err = e.s.vault.NewDataKey(e.who.Account)
	return err
}

// Allow asks for the creation, and for the tagging and replication that come
// with it.
func (e *createEdit) Allow(a *gate.Access) error {
	extra := tagPairs(e.req.Tags)
	extra = append(extra,
		policy.Pair{Key: policy.KeyDescription, Value: e.req.Description},
		policy.Pair{Key: policy.KeyKmsKeyID, Value: e.req.KMSKey})
	if err := e.open(a, extra...); err != nil {
		return err
	}
	if len(e.req.Tags) > 0 {
		if err := e.f.allow(a, policy.TagSecret, extra...); err != nil {
			return err
		}
	}
	if len(e.req.Replicas) > 0 {
		return e.replicas.allow(a, e.f)
	}
	return nil
}

func (e *createEdit) Apply(tx *change.Tx) error {
	if h := e.f.head; h != nil {
		return e.again(tx, h)
	}
	h := &head{Suffix: e.suffix, Description: e.req.Description, KMSKey: e.req.KMSKey, Type: e.req.Type,
		Created: micros(tx.Now), Tags: e.req.Tags, DataKey: e.dataKey}
	if err := e.begin(h); err != nil {
		return err
	}
	if e.req.Value != nil {
		if err := e.putVersion(tx, e.req.VersionID, e.value, []string{name.Current}); err != nil {
			return err
		}
	}
	if err := e.replicas.apply(tx, e.f); err != nil {
		return err
	}
	e.out.Replicas = h.Replicas
	return e.saveNew(tx)
}

// again answers a creation of what is already there.
func (e *createEdit) again(tx *change.Tx, h *head) error {
	if h.Deleted != 0 {
		return errs.Coded(errs.Precondition, CodeNameDeleted, "a secret of this name is marked for deletion")
	}
	if e.req.Value != nil && e.f.replica == nil {
		number, ok, err := numberOf(tx, e.f.Secret, h, e.req.VersionID)
		if err != nil {
			return err
		}
		if ok {
			v, err := getVersion(tx, e.f.Secret, h.Suffix, number)
			if err != nil {
				return err
			}
			if e.value.same(v) {
				tx.NothingToDo()
				e.out = Written{ARN: e.f.arn(), Name: e.f.Name, VersionID: v.ID, Number: number, Labels: h.labelsOf(number), Replicas: h.Replicas}
				return nil
			}
		}
	}
	return errs.Coded(errs.Exists, CodeSecret, "the secret exists already")
}

// region refuses labels that this server does not serve.
func (s *Service) region(region string) error {
	for _, r := range s.regions {
		if r == region {
			return nil
		}
	}
	return &errs.Error{Kind: errs.Invalid, Code: CodeRegion, Field: "Region", Msg: "the region is not one of this server's"}
}

// refuse records a request that was refused before the store was asked.
func (s *Service) refuse(ctx context.Context, who caller.Caller, op policy.Op, resource string, err error) error {
	rec := gate.NewRecord(who, op, "")
	if name.SecretName(resource) == nil {
		rec.Resource = resource
	}
	return s.gate.Finish(ctx, &rec, err)
}

// checkTexts bounds what describes a secret; nil means not given.
func checkTexts(description, kmsKey, typ *string) error {
	for _, t := range []struct {
		field string
		text  *string
		limit int
	}{{"Description", description, name.MaxDescription}, {"KmsKeyId", kmsKey, 2048}, {"Type", typ, 256}} {
		if t.text == nil {
			continue
		}
		if err := name.Text(t.field, *t.text, t.limit); err != nil {
			return err
		}
	}
	return nil
}

func checkTags(tags []Tag) error {
	if len(tags) > name.MaxTags {
		return &errs.Error{Kind: errs.Limit, Code: CodeTags, Field: "Tags", Msg: "a secret has at most 50 tags"}
	}
	seen := map[string]bool{}
	for _, t := range tags {
		if err := name.TagKey(t.Key); err != nil {
			return err
		}
		if err := name.TagValue(t.Value); err != nil {
			return err
		}
		if seen[t.Key] {
			return errs.InvalidField("Tags", "a tag key is given twice")
		}
		seen[t.Key] = true
	}
	return nil
}

// tagPairs are the condition keys of the tags in a request.
func tagPairs(tags []Tag) (pairs []policy.Pair) {
	for _, t := range tags {
		pairs = append(pairs, policy.Pair{Key: policy.KeyRequestTagPrefix + t.Key, Value: t.Value},
			policy.Pair{Key: policy.KeyTagKeys, Value: t.Key})
	}
	return pairs
}
