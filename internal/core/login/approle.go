package login

import (
	"context"
	"crypto/subtle"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// appRole is what a role of AppRole says beside its terms.
type appRole struct {
	RoleID       string        `cbor:"1,keyasint"`
	BindSecretID bool          `cbor:"2,keyasint,omitempty"`
	CIDRs        []string      `cbor:"3,keyasint,omitempty"` // from where logins come
	Uses         int           `cbor:"4,keyasint,omitempty"` // of a secret id; 0: not counted
	TTL          time.Duration `cbor:"5,keyasint,omitempty"` // of a secret id; 0: it does not expire
	Local        bool          `cbor:"6,keyasint,omitempty"` // kept for clients; every secret id is here
}

func (a *appRole) fields() []Field {
	return []Field{
		text("role_id", &a.RoleID).hidden(),
		flag("bind_secret_id", &a.BindSecretID),
		list("secret_id_bound_cidrs", &a.CIDRs).old("bound_cidr_list"),
		count("secret_id_num_uses", &a.Uses),
		span("secret_id_ttl", &a.TTL),
		flag("local_secret_ids", &a.Local),
	}
}

func (a *appRole) check(t *terms) (err error) {
	if a.RoleID == "" || len(a.RoleID) > maxText || name.Text("role_id", a.RoleID, maxText) != nil {
		return errs.InvalidField("role_id", "a role id is 1 to %d characters of text", maxText)
	}
	if a.Uses < 0 || a.Uses > maxUses {
		return errs.InvalidField("secret_id_num_uses", "secret_id_num_uses cannot be negative or too large")
	}
	if err := checkSpan("secret_id_ttl", a.TTL); err != nil {
		return err
	}
	if a.CIDRs, err = checkCIDRs("secret_id_bound_cidrs", a.CIDRs); err != nil {
		return err
	}
	if !a.BindSecretID && len(a.CIDRs) == 0 && len(t.CIDRs) == 0 {
		return errs.InvalidField("bind_secret_id", "at least one constraint should be enabled on the role")
	}
	return nil
}

// roleAt says which role has a role id.
type roleAt struct {
	Name string `cbor:"1,keyasint"`
}

func (s *Service) roleIDKey(acct, accessor, id string) kv.Key {
	return kv.K(acct, "login-role-id", accessor, string(s.hash("role-id", acct, accessor, id)))
}

// index leads from the role id to the role.
func (e *edit) index(tx *change.Tx, old, id string) error {
	if old == id {
		return nil
	}
	if old != "" {
		if err := tx.Delete(e.s.roleIDKey(e.account, e.Accessor, old)); err != nil {
			return err
		}
	}
	key := e.s.roleIDKey(e.account, e.Accessor, id)
	other, err := record.Find[roleAt](tx, key)
	if err != nil {
		return err
	}
	if other != nil && other.Name != e.Role {
		return &errs.Error{Kind: errs.Exists, Field: "role_id", Msg: "the role id is another role's"}
	}
	return record.Put(tx, key, roleAt{e.Role})
}

// GetRoleID returns the id by which clients name a role.
func (s *Service) GetRoleID(ctx context.Context, who caller.Caller, m *mount.Mount, n string) (string, error) {
	id := ""
	err := s.aboutRole(ctx, who, policy.GetRoleID, m, n, func(_ *gate.Access, r *role) error {
		id = r.AppRole.RoleID
		return nil
	})
	return id, err
}

// PutRoleID sets it. Secret ids stay.
func (s *Service) PutRoleID(ctx context.Context, who caller.Caller, m *mount.Mount, n, id string) (change.Result, error) {
	if id == "" {
		return change.Result{}, s.refuse(ctx, who, policy.PutRoleID, m, roleName(m, n), errs.InvalidField("role_id", "missing role_id"))
	}
	return s.putRole(ctx, who, policy.PutRoleID, m, n, Patch{"role_id": id}, nil, true)
}

// AppRoleLogin is a login by AppRole.
type AppRoleLogin struct {
	RoleID   string
	SecretID sensitive.Bytes
}

func badAppRole() error { return refused("invalid role or secret ID") }

// LoginAppRole gives a token to who shows a role id and, where the role wants one,
// a secret id. A wrong one is answered alike, after as much work, whichever it is.
func (s *Service) LoginAppRole(ctx context.Context, nobody caller.Caller, m *mount.Mount, req AppRoleLogin) (Entered, error) {
	w, err := s.proveAppRole(ctx, nobody, m, req)
	return s.finish(ctx, nobody, m, "", w, err)
}

func (s *Service) proveAppRole(ctx context.Context, nobody caller.Caller, m *mount.Mount, req AppRoleLogin) (*way, error) {
	if err := s.begin(nobody); err != nil {
		return nil, err
	}
	id, secret := strings.TrimSpace(req.RoleID), strings.TrimSpace(string(req.SecretID.Reveal()))
	switch {
	case id == "":
		return nil, errs.InvalidField("role_id", "missing role_id")
	case len(id) > maxText || len(secret) > maxText:
		return nil, badAppRole()
	}
	now := time.Now()
	var shown *shownSecret
	err := s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		shown, err = s.show(r, nobody, m, id, secret)
		return err
	})
	if err == nil {
		err = shown.judge(nobody, micros(now))
	}
	if err != nil {
		return nil, err
	}
	meta := map[string]string{"role_name": shown.name}
	w := &way{mount: m, role: shown.name, terms: &shown.role.Terms, proof: caller.ProofAppRole,
		alias: shown.role.AppRole.RoleID, label: shown.name, display: short(m), meta: meta}
	if shown.secret != nil {
		for k, v := range shown.secret.Meta {
			if k != "role_name" {
				meta[k] = v
			}
		}
		if len(shown.secret.TokenCIDRs) > 0 {
			w.cidrs = shown.secret.TokenCIDRs
		}
	}
	w.settle = func(tx *change.Tx) error { return s.spend(tx, nobody, m, id, secret, shown) }
	return w, nil
}

// shownSecret is what a role id and a secret id lead to.
type shownSecret struct {
	name   string // of the role
	role   *role
	secret *secretID // nil when the role wants none
	key    kv.Key    // of the secret
	ok     bool
}

// show looks a role id and a secret id up. It takes the same steps whatever there
// is: two keyed hashes, three records, one comparison.
func (s *Service) show(r kv.Reader, nobody caller.Caller, m *mount.Mount, id, secret string) (*shownSecret, error) {
	out := &shownSecret{}
	at, err := record.Find[roleAt](r, s.roleIDKey(nobody.Account, m.Accessor, id))
	if err != nil {
		return nil, err
	}
	found := at != nil
	if !found {
		at = &roleAt{Name: nowhere}
	}
	out.name = at.Name
	if out.role, err = findRole(r, nobody.Account, m.Accessor, at.Name); err != nil {
		return nil, err
	}
	if out.role == nil || out.role.AppRole == nil {
		found = false
		if out.role, err = s.decoy(); err != nil {
			return nil, err
		}
	}
	hash := s.hash("secret-id", nobody.Account, m.Accessor, out.role.Instance, secret)
	out.key = secretKey(nobody.Account, m.Accessor, out.role.Instance, hash)
	if out.secret, err = record.Find[secretID](r, out.key); err != nil {
		return nil, err
	}
	have := make([]byte, len(hash))
	if out.secret != nil {
		have = out.secret.Hash
	}
	s.worked("compare")
	same := subtle.ConstantTimeCompare(have, hash) == 1 && out.secret != nil
	if !out.role.AppRole.BindSecretID {
		out.secret, out.key, same = nil, nil, true
	}
	out.ok = found && same
	return out, nil
}

// nowhere is the name of a role that cannot be.
const nowhere = "/"

// decoy is a role to do the same work with where there is none.
func (s *Service) decoy() (*role, error) {
	var r role
	err := record.Decode(s.decoyRole, &r)
	return &r, err
}

// newDecoy writes it down.
func newDecoy() []byte {
	r := role{Instance: newUUID(), Created: 1, Revision: 1, Terms: terms{Policies: []string{"default"}, Type: typeDefault, TTL: time.Hour},
		AppRole: &appRole{RoleID: newUUID(), BindSecretID: true}}
	b, err := record.Encode(r)
	if err != nil {
		return nil // a role always encodes
	}
	return b
}

// judge decides about what was shown.
func (x *shownSecret) judge(nobody caller.Caller, now int64) error {
	switch {
	case !x.ok:
		return badAppRole()
	case x.secret != nil && x.secret.over(now):
		return badAppRole()
	case x.secret != nil && (!within(x.secret.CIDRs, x.role.AppRole.CIDRs) || !within(x.secret.TokenCIDRs, x.role.Terms.CIDRs)):
		return refused("the secret ID allows addresses that its role does not")
	case x.secret != nil && !from(nobody.Source, x.secret.CIDRs), !from(nobody.Source, x.role.AppRole.CIDRs):
		return refused("the login is not allowed from this address")
	}
	return nil
}

// spend judges once more, in the transaction, and uses the secret id up by one.
func (s *Service) spend(tx *change.Tx, nobody caller.Caller, m *mount.Mount, id, secret string, was *shownSecret) error {
	x, err := s.show(tx, nobody, m, id, secret)
	if err != nil {
		return err
	}
	if err := x.judge(nobody, micros(tx.Now)); err != nil {
		return err
	}
	if x.role.Instance != was.role.Instance || x.role.Revision != was.role.Revision {
		return errs.New(errs.Conflict, "the role was changed meanwhile")
	}
	if x.secret == nil || x.secret.Uses == 0 {
		return nil
	}
	place := secretPlace{acct: nobody.Account, accessor: m.Accessor, instance: x.role.Instance, hash: x.secret.Hash}
	if x.secret.Uses == 1 {
		return dropSecret(tx, place, x.secret)
	}
	x.secret.Uses--
	x.secret.Updated = micros(tx.Now)
	return record.Put(tx, x.key, x.secret)
}
