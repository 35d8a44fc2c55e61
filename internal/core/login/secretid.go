package login

import (
	"context"
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

// secretID is what is kept of one: all but the secret.
type secretID struct {
	Hash       []byte            `cbor:"1,keyasint"`
	Accessor   string            `cbor:"2,keyasint"`
	Uses       int               `cbor:"3,keyasint,omitempty"` // left; 0: not counted
	TTL        time.Duration     `cbor:"4,keyasint,omitempty"`
	Created    int64             `cbor:"5,keyasint"`
	Updated    int64             `cbor:"6,keyasint"`
	Expires    int64             `cbor:"7,keyasint,omitempty"` // 0: never
	Meta       map[string]string `cbor:"8,keyasint,omitempty"`
	CIDRs      []string          `cbor:"9,keyasint,omitempty"`  // from where it may be shown
	TokenCIDRs []string          `cbor:"10,keyasint,omitempty"` // of the tokens
}

func (x *secretID) over(now int64) bool { return x.Expires != 0 && now >= x.Expires }

// keyed is how much of a hash stands in a key; the record has all of it.
const keyed = 16

func secretKey(acct, accessor, instance string, hash []byte) kv.Key {
	return kv.K(acct, "login-secret", accessor, instance, string(hash[:keyed]))
}

func secretAccessorKey(acct, accessor, instance, of string) kv.Key {
	return kv.K(acct, "login-secret-of", accessor, instance, of)
}

// secretPlace is where a secret id is.
type secretPlace struct {
	acct, accessor, instance string
	hash                     []byte
}

func (p secretPlace) key() kv.Key { return secretKey(p.acct, p.accessor, p.instance, p.hash) }

// SecretID is a secret id as it is shown.
type SecretID struct {
	Accessor                  string
	Uses                      int // left; 0: not counted
	TTL                       time.Duration
	Created, Updated, Expires time.Time // Expires is zero for never
	Meta                      map[string]string
	CIDRs, TokenCIDRs         []string
}

func (x *secretID) shown() SecretID {
	return SecretID{Accessor: x.Accessor, Uses: x.Uses, TTL: x.TTL, Created: when(x.Created), Updated: when(x.Updated), Expires: when(x.Expires),
		Meta: x.Meta, CIDRs: x.CIDRs, TokenCIDRs: x.TokenCIDRs}
}

// NewSecretID is a secret id that was made. The secret is shown this once.
type NewSecretID struct {
	SecretID
	Secret sensitive.Bytes
}

// SecretIDRequest asks for a secret id.
type SecretIDRequest struct {
	Role       string
	Secret     sensitive.Bytes // one of the caller's choice; empty: one is drawn
	Meta       map[string]string
	CIDRs      []string
	TokenCIDRs []string
	Uses       *int           // nil: as the role says
	TTL        *time.Duration // nil: as the role says
}

// CreateSecretID makes a secret id of a role, and keeps no more than a keyed hash
// of it. Exists: the role has that secret already.
func (s *Service) CreateSecretID(ctx context.Context, who caller.Caller, m *mount.Mount, req SecretIDRequest) (NewSecretID, error) {
	op := policy.CreateSecretID
	if req.Secret.Len() > 0 {
		op = policy.PutSecretID
	}
	req.Role = roleName(m, req.Role)
	if err := req.check(); err != nil {
		return NewSecretID{}, s.refuse(ctx, who, op, m, req.Role, err)
	}
	if op == policy.CreateSecretID {
		req.Secret = sensitive.FromString(newUUID())
	}
	fresh := secretID{Accessor: newUUID(), Meta: req.Meta, CIDRs: req.CIDRs, TokenCIDRs: req.TokenCIDRs}
	var made secretID
	err := s.quietly(ctx, who, op, m, req.Role, func(tx *change.Tx, r *role) error {
		made = fresh
		if err := made.limit(r, &req, m); err != nil {
			return err
		}
		made.Created, made.Updated = micros(tx.Now), micros(tx.Now)
		if made.TTL > 0 {
			made.Expires = micros(tx.Now.Add(made.TTL))
		}
		made.Hash = s.hash("secret-id", who.Account, m.Accessor, r.Instance, string(req.Secret.Reveal()))
		return putSecret(tx, secretPlace{who.Account, m.Accessor, r.Instance, made.Hash}, &made)
	})
	if err != nil {
		return NewSecretID{}, err
	}
	return NewSecretID{SecretID: made.shown(), Secret: req.Secret}, nil
}

func (req *SecretIDRequest) check() (err error) {
	if err := checkName(req.Role); err != nil {
		return err
	}
	if req.Secret.Len() > maxText {
		return errs.InvalidField("secret_id", "a secret id has at most %d bytes", maxText)
	}
	if req.Uses != nil && (*req.Uses < 0 || *req.Uses > maxUses) {
		return errs.InvalidField("num_uses", "num_uses cannot be negative or too large")
	}
	if req.TTL != nil {
		if err := checkSpan("ttl", *req.TTL); err != nil {
			return err
		}
	}
	if req.CIDRs, err = checkCIDRs("cidr_list", req.CIDRs); err != nil {
		return err
	}
	if req.TokenCIDRs, err = checkCIDRs("token_bound_cidrs", req.TokenCIDRs); err != nil {
		return err
	}
	return checkMeta(req.Meta)
}

func checkMeta(meta map[string]string) error {
	if len(meta) >= maxMembers { // the method adds one
		return errs.InvalidField("metadata", "more than %d pieces of metadata", maxMembers-1)
	}
	for k, v := range meta {
		if k == "" || len(k) > 128 || len(k)+len(v) > 512 || name.Text("metadata", k, 128) != nil || name.Text("metadata", v, 512) != nil {
			return errs.InvalidField("metadata", "a piece of metadata has a name of up to 128 and both together up to 512 bytes of text")
		}
	}
	return nil
}

// limit takes uses and time from the request or the role, which bounds both, and
// the addresses too.
func (x *secretID) limit(of *role, req *SecretIDRequest, m *mount.Mount) error {
	r := of.AppRole
	x.Uses, x.TTL = r.Uses, r.TTL
	if req.Uses != nil {
		if x.Uses = *req.Uses; r.Uses > 0 && (x.Uses == 0 || x.Uses > r.Uses) {
			return errs.InvalidField("num_uses", "num_uses cannot be higher than the role's secret_id_num_uses")
		}
	}
	if req.TTL != nil {
		if x.TTL = *req.TTL; r.TTL > 0 && (x.TTL == 0 || x.TTL > r.TTL) {
			return errs.InvalidField("ttl", "ttl cannot be longer than the role's secret_id_ttl")
		}
	}
	if most := time.Duration(m.Config.MaxTTL) * time.Second; most > 0 && x.TTL > most {
		x.TTL = most
	}
	if !within(x.CIDRs, r.CIDRs) {
		return errs.InvalidField("cidr_list", "the addresses must be among the role's secret_id_bound_cidrs")
	}
	if !within(x.TokenCIDRs, of.Terms.CIDRs) {
		return errs.InvalidField("token_bound_cidrs", "the addresses must be among the role's token_bound_cidrs")
	}
	return nil
}

func putSecret(tx *change.Tx, p secretPlace, x *secretID) error {
	if is, err := record.Find[secretID](tx, p.key()); err != nil {
		return err
	} else if is != nil {
		if !is.over(micros(tx.Now)) {
			return errs.Coded(errs.Exists, CodeSecretID, "SecretID is already registered")
		}
		if err := dropSecret(tx, p, is); err != nil {
			return err
		}
	}
	if err := record.Put(tx, p.key(), x); err != nil {
		return err
	}
	if x.Expires != 0 {
		if err := tx.Put(dueKey(x.Expires, p), []byte{1}); err != nil {
			return err
		}
	}
	return tx.Put(secretAccessorKey(p.acct, p.accessor, p.instance, x.Accessor), x.Hash)
}

func dropSecret(tx kv.Txn, p secretPlace, x *secretID) error {
	if err := tx.Delete(p.key()); err != nil {
		return err
	}
	if x.Expires != 0 {
		if err := tx.Delete(dueKey(x.Expires, p)); err != nil {
			return err
		}
	}
	return tx.Delete(secretAccessorKey(p.acct, p.accessor, p.instance, x.Accessor))
}

// ByAccessor and BySecret name a secret id of a role.
type SecretIDRef struct {
	Role     string
	Secret   sensitive.Bytes // or
	Accessor string
}

// find reads a secret id, nil when there is none or its time is over.
func (s *Service) find(r kv.Reader, acct string, m *mount.Mount, of *role, ref *SecretIDRef, now time.Time) (secretPlace, *secretID, error) {
	p := secretPlace{acct: acct, accessor: m.Accessor, instance: of.Instance}
	if ref.Accessor == "" {
		p.hash = s.hash("secret-id", acct, m.Accessor, of.Instance, string(ref.Secret.Reveal()))
	} else {
		b, err := getOrNil(r, secretAccessorKey(acct, m.Accessor, of.Instance, ref.Accessor))
		if err != nil || b == nil {
			return p, nil, err
		}
		p.hash = b
	}
	x, err := record.Find[secretID](r, p.key())
	if err != nil || x == nil || x.over(micros(now)) {
		return p, nil, err
	}
	return p, x, nil
}

func (ref *SecretIDRef) check(m *mount.Mount) error {
	ref.Role = roleName(m, ref.Role)
	switch err := checkName(ref.Role); {
	case err != nil:
		return err
	case ref.Accessor == "" && ref.Secret.Len() == 0:
		return errs.InvalidField("secret_id", "missing secret_id, or its accessor")
	case len(ref.Accessor) > maxName || ref.Secret.Len() > maxText:
		return errs.InvalidField("secret_id", "that is no secret id, or no accessor of one")
	}
	return nil
}

// LookupSecretID returns what is known of a secret id. NotFound with CodeSecretID:
// the role has none such.
func (s *Service) LookupSecretID(ctx context.Context, who caller.Caller, m *mount.Mount, ref SecretIDRef) (out SecretID, err error) {
	op := policy.LookupSecretID
	if err := ref.check(m); err != nil {
		return out, s.refuse(ctx, who, op, m, ref.Role, err)
	}
	now := time.Now()
	err = s.aboutRole(ctx, who, op, m, ref.Role, func(a *gate.Access, r *role) error {
		_, x, err := s.find(a, who.Account, m, r, &ref, now)
		if err == nil && x == nil {
			err = noSecretID()
		}
		if err == nil {
			out = x.shown()
		}
		return err
	})
	return out, err
}

func noSecretID() error {
	return errs.Coded(errs.NotFound, CodeSecretID, "the role has no such secret id")
}

// DestroySecretID ends a secret id. By its accessor, one that is not there is
// NotFound with CodeSecretID; by itself, it is no error, as in Vault.
func (s *Service) DestroySecretID(ctx context.Context, who caller.Caller, m *mount.Mount, ref SecretIDRef) error {
	op := policy.DestroySecretID
	if err := ref.check(m); err != nil {
		return s.refuse(ctx, who, op, m, ref.Role, err)
	}
	return s.quietly(ctx, who, op, m, ref.Role, func(tx *change.Tx, r *role) error {
		p, x, err := s.find(tx, who.Account, m, r, &ref, tx.Now)
		switch {
		case err != nil:
			return err
		case x == nil && ref.Accessor != "":
			return noSecretID()
		case x == nil:
			return nil
		}
		return dropSecret(tx, p, x)
	})
}

// ListSecretIDs lists the accessors of a role's secret ids, after the given one, at
// most max (default 10,000).
func (s *Service) ListSecretIDs(ctx context.Context, who caller.Caller, m *mount.Mount, n, after string, max int) (out []string, err error) {
	err = s.aboutRole(ctx, who, policy.ListSecretIDs, m, n, func(a *gate.Access, r *role) (err error) {
		out, err = names(a, kv.K(who.Account, "login-secret-of", m.Accessor, r.Instance), after, max)
		return err
	})
	return out, err
}

// quietly runs an edit about secret ids of a role, of which no change is kept.
func (s *Service) quietly(ctx context.Context, who caller.Caller, op policy.Op, m *mount.Mount, n string, do func(tx *change.Tx, r *role) error) error {
	_, err := s.changes.Submit(ctx, who, change.Request{Edit: &quiet{op: op, account: who.Account, mount: m, role: n, do: do}})
	return err
}

// quiet is an edit about what cannot wait. do may run twice.
type quiet struct {
	op      policy.Op
	account string
	mount   *mount.Mount
	role    string
	do      func(tx *change.Tx, r *role) error
}

func (e *quiet) Target() change.Target {
	return change.Target{Account: e.account, Noun: nounLogin, Name: short(e.mount) + "/" + e.role}
}
func (e *quiet) Operation() policy.Op { return e.op }

func (e *quiet) Allow(a *gate.Access) error {
	return a.Allow(&policy.Request{Op: e.op, Resource: policy.LoginRoleARN(e.account, short(e.mount), e.role), Account: e.account}, nil)
}

func (e *quiet) Apply(tx *change.Tx) error {
	tx.NothingToDo() // the record of it is the audit log's
	r, err := findRole(tx, e.account, e.mount.Accessor, e.role)
	if err != nil {
		return err
	}
	if r == nil || r.AppRole == nil {
		return noRole()
	}
	return e.do(tx, r)
}
