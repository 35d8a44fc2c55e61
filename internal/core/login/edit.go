package login

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
)

// request is what an edit of a role or a method says, as it is written down while
// it waits.
type request struct {
	Accessor string   `cbor:"1,keyasint"`
	Type     string   `cbor:"2,keyasint"` // of the mount
	Mount    string   `cbor:"3,keyasint"` // its path without "auth/"
	Role     string   `cbor:"4,keyasint,omitempty"`
	Set      set      `cbor:"5,keyasint,omitempty"`
	Reset    []string `cbor:"6,keyasint,omitempty"`
	MustBe   bool     `cbor:"7,keyasint,omitempty"` // no role is made
	// Of a list of revoked certificates; without Revoked it is taken away.
	CRL     string       `cbor:"8,keyasint,omitempty"`
	Revoked *revocations `cbor:"9,keyasint,omitempty"`
}

// edit is every write to the configuration of a login method.
type edit struct {
	s       *Service
	op      policy.Op
	account string
	request
}

func (e *edit) Target() change.Target {
	t := change.Target{Account: e.account, Noun: NounMethod, Name: e.Mount}
	if e.Role != "" {
		t.Noun, t.Name = NounRole, e.Mount+"/"+e.Role
	}
	return t
}

func (e *edit) Operation() policy.Op    { return e.op }
func (e *edit) Encode() ([]byte, error) { return record.Encode(e.request) }

// arn is the resource that policy is asked about.
func (e *edit) arn() string {
	if e.Role != "" {
		return policy.LoginRoleARN(e.account, e.Mount, e.Role)
	}
	return policy.LoginMethodARN(e.account, e.Mount)
}

func (e *edit) Allow(a *gate.Access) error {
	return a.Allow(&policy.Request{Op: e.op, Resource: e.arn(), Account: e.account}, nil)
}

func (e *edit) Apply(tx *change.Tx) error {
	if _, err := mustBeMounted(tx, e.account, e.Accessor); err != nil {
		return err
	}
	switch {
	case e.op == policy.PutLoginConfig && e.CRL != "":
		return e.putCRL(tx)
	case e.op == policy.PutLoginConfig:
		return e.putMethod(tx)
	case e.op == policy.DeleteLoginRole:
		return e.deleteRole(tx)
	}
	return e.putRole(tx)
}

// base tells votes on what the edit rests: a later state is not what was
// reviewed.
func base(tx *change.Tx, is any, revision uint64) error {
	b, err := record.Encode(is)
	if err != nil {
		return err
	}
	tx.Wrote(revision, revision+1, nil)
	tx.Produced(b)
	return nil
}

func (e *edit) putRole(tx *change.Tx) error {
	will, old, err := e.before(tx)
	if err != nil {
		return err
	}
	fresh, err := newRole(kindOf(e.Type))
	if err != nil {
		return err
	}
	if err := e.Set.apply(will.fields()); err != nil {
		return err
	}
	if err := reset(will.fields(), fresh.fields(), e.Reset); err != nil {
		return err
	}
	if will.AppRole != nil {
		if will.AppRole.RoleID == "" {
			will.AppRole.RoleID = e.drawn(tx, "role-id")
		}
		if err := e.index(tx, old, will.AppRole.RoleID); err != nil {
			return err
		}
	}
	if err := will.check(); err != nil {
		return err
	}
	will.Revision++
	return record.Put(tx, roleKey(e.account, e.Accessor, e.Role), will)
}

// before is the role as it is, or a new one, and the role id that it has.
func (e *edit) before(tx *change.Tx) (will *role, roleID string, err error) {
	is, err := findRole(tx, e.account, e.Accessor, e.Role)
	if err != nil {
		return nil, "", err
	}
	var user *userRole
	if kindOf(e.Type) == mount.Userpass {
		if is, user, err = e.ofUser(tx, is); err != nil {
			return nil, "", err
		}
	} else if is == nil && e.MustBe {
		return nil, "", noRole()
	}
	if is != nil {
		if is.AppRole != nil {
			roleID = is.AppRole.RoleID
		}
		return is, roleID, base(tx, is, is.Revision)
	}
	if err := base(tx, nil, 0); err != nil {
		return nil, "", err
	}
	if err := e.room(tx); err != nil {
		return nil, "", err
	}
	if will, err = newRole(kindOf(e.Type)); err != nil {
		return nil, "", err
	}
	will.Instance, will.Created = e.drawn(tx, "instance"), micros(tx.Now)
	if user != nil {
		will.User = user
	}
	return will, "", nil
}

// drawn is a UUID that nobody can guess, the same each time that the edit runs.
func (e *edit) drawn(tx *change.Tx, kind string) string {
	return spellUUID(e.s.hash(kind, e.account, e.Accessor, tx.Change.ID), 0x80)
}

// room refuses a role more than a mount may have.
func (e *edit) room(tx *change.Tx) error {
	n := 0
	for _, err := range tx.Scan(prefixOf(e.account, "login-role", e.Accessor)) {
		if err != nil {
			return err
		}
		if n++; n >= MaxRoles {
			return errs.New(errs.Limit, "a login method has at most %d roles", MaxRoles)
		}
	}
	return nil
}

func (e *edit) deleteRole(tx *change.Tx) error {
	key := roleKey(e.account, e.Accessor, e.Role)
	is, err := record.Find[role](tx, key)
	if err != nil {
		return err
	}
	if is == nil {
		tx.NothingToDo() // as in Vault
		return nil
	}
	if err := base(tx, is, is.Revision); err != nil {
		return err
	}
	if is.AppRole != nil {
		if err := tx.Delete(e.s.roleIDKey(e.account, e.Accessor, is.AppRole.RoleID)); err != nil {
			return err
		}
		if err := tx.Put(dropKey(e.account, e.Accessor, is.Instance), []byte{1}); err != nil { // its secret ids follow
			return err
		}
	}
	return tx.Delete(key)
}

// edited makes an edit below a mount. Names are checked by submit.
func (s *Service) edited(who caller.Caller, op policy.Op, m *mount.Mount, roleOf string) *edit {
	return &edit{s: s, op: op, account: who.Account,
		request: request{Accessor: m.Accessor, Type: m.Type, Mount: short(m), Role: roleOf}}
}

func (s *Service) submit(ctx context.Context, who caller.Caller, e *edit) (change.Result, error) {
	return s.changes.Submit(ctx, who, change.Request{Edit: e})
}

// refuse records a request of somebody known that does not get as far as policy.
func (s *Service) refuse(ctx context.Context, who caller.Caller, op policy.Op, m *mount.Mount, n string, err error) error {
	rec := gate.NewRecord(who, op, short(m))
	if checkName(n) == nil {
		rec.Resource += "/" + n
	}
	return s.gate.Finish(ctx, &rec, err)
}

// PutRole makes a role, or changes what a patch names of one.
func (s *Service) PutRole(ctx context.Context, who caller.Caller, m *mount.Mount, n string, p Patch) (change.Result, error) {
	return s.putRole(ctx, who, policy.PutLoginRole, m, n, p, nil, false)
}

// PatchRole is PutRole of a role that is there.
func (s *Service) PatchRole(ctx context.Context, who caller.Caller, m *mount.Mount, n string, p Patch) (change.Result, error) {
	return s.putRole(ctx, who, policy.PutLoginRole, m, n, p, nil, true)
}

// ResetRole puts settings of a role back to what they are in a new one.
func (s *Service) ResetRole(ctx context.Context, who caller.Caller, m *mount.Mount, n string, names ...string) (change.Result, error) {
	return s.putRole(ctx, who, policy.PutLoginRole, m, n, nil, names, true)
}

func (s *Service) putRole(ctx context.Context, who caller.Caller, op policy.Op, m *mount.Mount, n string, p Patch, names []string, mustBe bool) (change.Result, error) {
	n = roleName(m, n)
	e := s.edited(who, op, m, n)
	e.Reset, e.MustBe = names, mustBe
	err := checkName(n)
	if err == nil {
		e.Set, err = p.encode(RoleFields(m.Type))
	}
	if err != nil {
		return change.Result{}, s.refuse(ctx, who, op, m, n, err)
	}
	return s.submit(ctx, who, e)
}

// DeleteRole removes a role with its secret ids. Tokens of its logins live on. A
// role that is not there is no error, as in Vault.
func (s *Service) DeleteRole(ctx context.Context, who caller.Caller, m *mount.Mount, n string) (change.Result, error) {
	n = roleName(m, n)
	if err := checkName(n); err != nil {
		return change.Result{}, s.refuse(ctx, who, policy.DeleteLoginRole, m, n, err)
	}
	defer s.woken.Ring()
	return s.submit(ctx, who, s.edited(who, policy.DeleteLoginRole, m, n))
}

// DecodeEdit reads back an edit that was written down; see change.Decoder. Bytes
// that say more than this release understands are refused.
func (s *Service) DecodeEdit(_ caller.Caller, op policy.Op, t change.Target, data []byte) (change.Edit, error) {
	e := &edit{s: s, op: op, account: t.Account}
	switch op {
	case policy.PutLoginRole, policy.PutRoleID, policy.DeleteLoginRole, policy.PutLoginConfig:
	default:
		return nil, errs.New(errs.Internal, "%s is no stored edit of a login method", op)
	}
	if err := record.Decode(data, &e.request); err != nil {
		return nil, err
	}
	again, err := e.Encode()
	if err != nil {
		return nil, err
	}
	if e.Target() != t || !bytes.Equal(again, data) {
		return nil, errs.Wrap(errs.Internal, fmt.Errorf("the stored %s says something else", op), "")
	}
	return e, nil
}

// Decoders reads back what this package's edits wrote down, by noun.
func (s *Service) Decoders() map[string]change.Decoder {
	return map[string]change.Decoder{NounRole: s.DecodeEdit, NounMethod: s.DecodeEdit}
}

// Lines tell who reviews it what it does.
func (e *edit) Lines() []string {
	where := e.Target().Name
	switch e.op {
	case policy.DeleteLoginRole:
		return []string{"delete login role " + where + "; its secret ids end, tokens live on"}
	case policy.PutLoginConfig:
		if e.CRL != "" && e.Revoked == nil {
			return []string{"take the list " + e.CRL + " of revoked certificates away from " + where}
		} else if e.CRL != "" {
			return []string{"set the list " + e.CRL + " of revoked certificates of " + where + " to " + say(e.Revoked.Serials)}
		}
		return append([]string{"configure login method " + where}, e.settings()...)
	}
	return append([]string{"set login role " + where}, e.settings()...)
}

// settings says each setting that the edit changes, but for secrets.
func (e *edit) settings() (lines []string) {
	var fields []Field
	if e.Role != "" {
		fields = RoleFields(e.Type)
	} else {
		fields = MethodFields(e.Type)
	}
	_ = e.Set.apply(fields) // what cannot be read is said by its name alone
	for _, name := range slices.Sorted(maps.Keys(e.Set)) {
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
		if i < 0 || fields[i].Hidden {
			lines = append(lines, "set "+name)
			continue
		}
		lines = append(lines, "set "+name+" to "+say(fields[i].value()))
	}
	if len(e.Reset) > 0 {
		lines = append(lines, "reset "+strings.Join(e.Reset, ", "))
	}
	return lines
}

// say is a value for people.
func say(v any) string {
	switch v := v.(type) {
	case []string:
		if len(v) == 0 {
			return "nothing"
		}
		return strings.Join(v, ", ")
	case map[string]json.RawMessage:
		var out []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out = append(out, k+"="+string(v[k]))
		}
		return say(out)
	case map[string]string:
		var out []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out = append(out, k+"="+v[k])
		}
		return say(out)
	}
	return fmt.Sprint(v)
}
