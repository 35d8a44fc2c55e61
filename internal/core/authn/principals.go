package authn

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Principal is a user or machine as it is shown.
type Principal struct {
	Name     string            `json:"name"`
	Kind     caller.Kind       `json:"kind"`
	ARN      string            `json:"arn"`
	Person   string            `json:"person,omitempty"` // the human behind
	Groups   []string          `json:"groups"`
	Policies []string          `json:"policies"`
	Tags     map[string]string `json:"tags,omitempty"`
	Created  time.Time         `json:"created,omitzero"`
	Disabled bool              `json:"disabled,omitempty"`
	// Of the answer to a write: the change, and whether it was applied. While it
	// waits, the rest is what is proposed.
	Change string        `json:"change,omitempty"`
	Status change.Status `json:"status,omitempty"`
}

func show(acct, n string, p principal) Principal {
	return Principal{Name: n, Kind: p.Kind, ARN: caller.UserARN(acct, n), Person: p.Person, Groups: p.Groups, Policies: p.Policies,
		Tags: p.Tags, Created: when(p.Created), Disabled: p.Disabled}
}

// showNow is show with the groups that logins put it into.
func showNow(r kv.Reader, acct, n string, p principal) (out Principal, err error) {
	out = show(acct, n, p)
	out.Groups, err = groupsOf(r, acct, n, &p)
	return out, err
}

// showWritten is the answer to a write.
func showWritten(acct, n string, p principal, res change.Result) Principal {
	out := show(acct, n, p)
	out.Change, out.Status = res.ID, res.Status
	return out
}

// CreateUserRequest asks for a user, or for a machine.
type CreateUserRequest struct {
	Name    string
	Machine bool
	Tags    map[string]string
	Person  string // the human behind: printable ASCII without spaces, as a mail address; case does not count
}

type createUser struct {
	Machine  bool              `cbor:"1,keyasint,omitempty"`
	Tags     map[string]string `cbor:"2,keyasint,omitempty"`
	Person   string            `cbor:"3,keyasint,omitempty"`
	Disabled bool              `cbor:"4,keyasint,omitempty"`

	out principal
}

func (d *createUser) noun() string { return nounUser }

// asks for the permission to tag too where there are tags, since policies may
// refer to them.
func (d *createUser) asks(string) []question {
	pairs := tagPairs(d.Tags)
	qs := []question{{policy.CreateUser, pairs}}
	if len(d.Tags) > 0 {
		qs = append(qs, question{policy.TagUser, pairs})
	}
	return qs
}

func (d *createUser) kind() caller.Kind {
	if d.Machine {
		return caller.Machine
	}
	return caller.User
}

func (d *createUser) says(n string) []string {
	lines := []string{"create " + string(d.kind()) + " " + n}
	if d.Person != "" {
		lines = append(lines, saysPerson(d.Person))
	}
	if d.Disabled {
		lines = append(lines, "disable "+n)
	}
	return append(lines, saysTags(d.Tags)...)
}

func (d *createUser) rests(change.Target) []kv.Key { return nil }

func (d *createUser) apply(_ *Service, tx *change.Tx, t change.Target) error {
	if err := checkTags(d.Tags); err != nil {
		return err
	}
	if err := checkPerson(d.Person); err != nil {
		return err
	}
	if err := absent(tx, principalKey(t.Account, t.Name), "user"); err != nil {
		return err
	}
	d.out = principal{Kind: d.kind(), Tags: d.Tags, Person: d.Person, Disabled: d.Disabled, Created: micros(tx.Now)}
	return record.Put(tx, principalKey(t.Account, t.Name), d.out)
}

// CreateUser makes a principal without any policy. Tags need the permission to
// tag too.
func (s *Service) CreateUser(ctx context.Context, who caller.Caller, req CreateUserRequest) (Principal, error) {
	d := &createUser{Machine: req.Machine, Tags: req.Tags, Person: personal(req.Person)}
	res, err := s.perform(ctx, who, req.Name, d)
	if err != nil {
		return Principal{}, err
	}
	if res.Status != change.Applied {
		d.out.Created = 0
	}
	return showWritten(who.Account, req.Name, d.out, res), nil
}

// maxPerson is that of a mail address.
const maxPerson = 254

// personal is the one spelling of a person. Letters beyond ASCII stay, to be
// refused: some have an ASCII letter as their lower case.
func personal(p string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}, p)
}

// checkPerson refuses what could spell one person in two ways.
func checkPerson(p string) error {
	if len(p) > maxPerson {
		return errs.InvalidField("Person", "a person has at most %d characters", maxPerson)
	}
	if strings.ContainsFunc(p, func(c rune) bool { return c <= ' ' || c >= 0x7f || c >= 'A' && c <= 'Z' }) {
		return errs.InvalidField("Person", "a person is said in printable ASCII without spaces, as a mail address")
	}
	return nil
}

func saysPerson(p string) string {
	if p == "" {
		return "forget which person is behind it"
	}
	return "the person behind it is " + p
}

func saysTags(tags map[string]string) (lines []string) {
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		lines = append(lines, "set tag "+k+"="+tags[k])
	}
	return lines
}

func checkTags(tags map[string]string) error {
	if len(tags) > name.MaxTags {
		return errs.New(errs.Limit, "a principal has at most %d tags", name.MaxTags)
	}
	for k, v := range tags {
		if err := name.TagKey(k); err != nil {
			return err
		}
		if err := name.TagValue(v); err != nil {
			return err
		}
	}
	return nil
}

func tagPairs(tags map[string]string) (out []policy.Pair) {
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, policy.Pair{Key: policy.KeyRequestTagPrefix + k, Value: tags[k]}, policy.Pair{Key: policy.KeyTagKeys, Value: k})
	}
	return out
}

// UpdateUserRequest changes a principal; nil leaves a thing as it is.
type UpdateUserRequest struct {
	Name     string
	Disabled *bool             // a disabled principal proves nothing and is allowed nothing
	SetTags  map[string]string // set or replaced
	Untag    []string
	Person   *string // see CreateUserRequest; empty: nobody is known to be behind it
}

type updateUser struct {
	Disabled *bool             `cbor:"1,keyasint,omitempty"`
	SetTags  map[string]string `cbor:"2,keyasint,omitempty"`
	Untag    []string          `cbor:"3,keyasint,omitempty"`
	Person   *string           `cbor:"4,keyasint,omitempty"`
	Attach   []string          `cbor:"5,keyasint,omitempty"` // policies, with which nothing else changes
	Detach   []string          `cbor:"6,keyasint,omitempty"`

	out principal
}

func (d *updateUser) noun() string { return nounUser }

// asks for each thing that changes, at least one.
func (d *updateUser) asks(acct string) (qs []question) {
	if len(d.SetTags) > 0 {
		qs = append(qs, question{policy.TagUser, tagPairs(d.SetTags)})
	}
	if len(d.Untag) > 0 {
		q := question{op: policy.UntagUser}
		for _, k := range d.Untag {
			q.extra = append(q.extra, policy.Pair{Key: policy.KeyTagKeys, Value: k})
		}
		qs = append(qs, q)
	}
	if d.Disabled != nil || d.Person != nil || len(qs) == 0 {
		qs = append(qs, question{op: policy.UpdateUser})
	}
	qs = append(qs, askEach(acct, policy.AttachPolicy, d.Attach)...)
	return append(qs, askEach(acct, policy.DetachPolicy, d.Detach)...)
}

// permits tells changes of what the principal may do from the others, since rules
// may hold one kind and not the other.
func (d *updateUser) permits() bool { return len(d.Attach)+len(d.Detach) > 0 }

func (d *updateUser) says(n string) (lines []string) {
	if d.Disabled != nil && *d.Disabled {
		lines = append(lines, "disable "+n)
	} else if d.Disabled != nil {
		lines = append(lines, "enable "+n)
	}
	if d.Person != nil {
		lines = append(lines, "of "+n+": "+saysPerson(*d.Person))
	}
	lines = append(lines, saysTags(d.SetTags)...)
	for _, k := range d.Untag {
		lines = append(lines, "remove tag "+k)
	}
	lines = append(lines, saysEach("attach policy ", d.Attach, " to user "+n)...)
	return append(lines, saysEach("detach policy ", d.Detach, " from user "+n)...)
}

func (d *updateUser) rests(t change.Target) []kv.Key {
	return append([]kv.Key{principalKey(t.Account, t.Name)}, policyKeys(t.Account, d.Attach)...)
}

func (d *updateUser) apply(_ *Service, tx *change.Tx, t change.Target) error {
	if d.permits() && (d.Disabled != nil || d.Person != nil || len(d.SetTags)+len(d.Untag) > 0) {
		return errs.New(errs.Internal, "an edit of a user is of two kinds")
	}
	p, err := must[principal](tx, principalKey(t.Account, t.Name), "user")
	if err != nil {
		return err
	}
	if len(d.says("")) == 0 {
		tx.NothingToDo()
	}
	if p.Tags == nil {
		p.Tags = map[string]string{}
	}
	maps.Copy(p.Tags, d.SetTags)
	maps.DeleteFunc(p.Tags, func(k, _ string) bool { return slices.Contains(d.Untag, k) })
	if d.Disabled != nil {
		p.Disabled = *d.Disabled
	}
	if err := checkTags(p.Tags); err != nil {
		return err
	}
	if d.Person != nil {
		p.Person = *d.Person
		if err := checkPerson(p.Person); err != nil {
			return err
		}
	}
	if p.Policies, err = altered(tx, t.Account, p.Policies, d.Attach, d.Detach); err != nil {
		return err
	}
	d.out = p
	return record.Put(tx, principalKey(t.Account, t.Name), p)
}

// UpdateUser disables or enables a principal, says who is behind it, or changes
// its tags, all at once or nothing. Tags need permissions of their own, since
// policies may refer to them.
func (s *Service) UpdateUser(ctx context.Context, who caller.Caller, req UpdateUserRequest) (Principal, error) {
	d := &updateUser{Disabled: req.Disabled, SetTags: req.SetTags, Untag: req.Untag}
	if req.Person != nil {
		person := personal(*req.Person)
		d.Person = &person
	}
	res, err := s.perform(ctx, who, req.Name, d)
	if err != nil {
		return Principal{}, err
	}
	return showWritten(who.Account, req.Name, d.out, res), nil
}

type deleteUser struct{}

func (d *deleteUser) noun() string           { return nounUser }
func (d *deleteUser) asks(string) []question { return []question{{op: policy.DeleteUser}} }
func (d *deleteUser) says(n string) []string { return []string{"delete user " + n + " with its keys"} }

func (d *deleteUser) rests(t change.Target) []kv.Key {
	return []kv.Key{principalKey(t.Account, t.Name)}
}

func (d *deleteUser) apply(s *Service, tx *change.Tx, t change.Target) error {
	p, err := must[principal](tx, principalKey(t.Account, t.Name), "user")
	if err != nil {
		return err
	}
	keys, err := keysOf(tx, t.Account, t.Name)
	if err != nil {
		return err
	}
	for _, id := range keys {
		if err := s.dropKey(tx, t.Account, t.Name, id); err != nil {
			return err
		}
	}
	for _, g := range p.Groups {
		if err := tx.Delete(memberKey(t.Account, g, t.Name)); err != nil {
			return err
		}
	}
	for _, k := range []kv.Key{sshKeysKey(t.Account, t.Name), externalKey(t.Account, t.Name)} {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return tx.Delete(principalKey(t.Account, t.Name))
}

// DeleteUser removes a principal with its keys and memberships.
func (s *Service) DeleteUser(ctx context.Context, who caller.Caller, n string) (change.Result, error) {
	return s.perform(ctx, who, n, &deleteUser{})
}

// GetUser returns one principal.
func (s *Service) GetUser(ctx context.Context, who caller.Caller, n string) (Principal, error) {
	var out Principal
	err := s.view(ctx, who, policy.GetUser, safeName(n), caller.UserARN(who.Account, n), func(r kv.Reader) error {
		p, err := must[principal](r, principalKey(who.Account, n), "user")
		if err != nil {
			return err
		}
		out, err = showNow(r, who.Account, n, p)
		return err
	})
	if err != nil {
		return Principal{}, err
	}
	return out, nil
}

// ListUsers lists the account's principals by name, after the given name, at
// most max (default 1000).
func (s *Service) ListUsers(ctx context.Context, who caller.Caller, after string, max int) ([]Principal, error) {
	var out []Principal
	err := s.view(ctx, who, policy.ListUsers, "", policy.AnyResource, func(r kv.Reader) error {
		var bad error
		err := list(r, kv.K(who.Account, "principal"), after, max, func(n string, p principal) {
			one, err := showNow(r, who.Account, n, p)
			out, bad = append(out, one), errors.Join(bad, err)
		})
		return errors.Join(err, bad)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// list walks the records under prefix that are named after a name.
func list[T any](r kv.Reader, prefix kv.Key, after string, limit int, f func(n string, v T)) error {
	if limit <= 0 {
		limit = 1000
	}
	rng := kv.Prefix(prefix)
	if after != "" {
		rng.Start = append(prefix[:len(prefix):len(prefix)].Str(after), 0)
	}
	for e, err := range record.Scan[T](r, rng) {
		if err != nil {
			return err
		}
		if limit--; limit < 0 {
			return nil
		}
		strs, _, err := e.Key[len(prefix):].Parts("s")
		if err != nil {
			return err
		}
		f(strs[0], e.Value)
	}
	return nil
}

// safeName is n where it may stand in a record.
func safeName(n string) string {
	if name.Principal("Name", n) != nil {
		return ""
	}
	return n
}
