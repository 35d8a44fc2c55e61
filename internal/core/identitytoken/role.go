package identitytoken

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Role is a role as it is shown.
type Role struct {
	Key      string
	Client   string // the audience of its tokens
	TTL      time.Duration
	Template string
}

// RoleRequest says what a role is to be; nil leaves a thing as it is. A new role
// needs a key; its tokens count for a day, and its client's id is drawn.
type RoleRequest struct {
	Name     string
	Key      *string
	Client   *string
	TTL      *time.Duration // at most the verification time of the key
	Template *string        // a JSON object with placeholders; see claims
}

type putRole struct {
	Key      *string `cbor:"1,keyasint,omitempty"`
	Client   *string `cbor:"2,keyasint,omitempty"`
	TTL      *int64  `cbor:"3,keyasint,omitempty"`
	Template *string `cbor:"4,keyasint,omitempty"`
}

// PutRole makes a role or changes it.
func (s *Service) PutRole(ctx context.Context, who caller.Caller, req RoleRequest) (change.Result, error) {
	var bad error
	if req.Template != nil {
		bad = checkTemplate(*req.Template)
	}
	return s.submit(ctx, who, policy.PutIdentityRole, req.Name, &putRole{Key: req.Key, Client: req.Client, TTL: inSeconds(req.TTL), Template: req.Template}, bad)
}

func (d *putRole) noun() string { return NounRole }

func (d *putRole) apply(tx *change.Tx, t change.Target) error {
	is, err := record.Find[role](tx, roleKey(t.Account, t.Name))
	if err == nil {
		err = produced(tx, is)
	}
	if err != nil {
		return err
	}
	if is == nil {
		if err := room(tx, t.Account, "identity-role", MaxRoles); err != nil {
			return err
		}
		is = &role{TTL: day}
	}
	v := *is
	d.lay(&v)
	if v.Client == "" {
		v.Client = drawn(t, tx.Change.ID)
	}
	if err := v.check(tx, t.Account); err != nil {
		return err
	}
	if v == *is {
		tx.NothingToDo()
		return nil
	}
	tx.Wrote(v.Revision, v.Revision+1, nil)
	v.Revision++
	return record.Put(tx, roleKey(t.Account, t.Name), v)
}

func (d *putRole) lay(v *role) {
	if d.Key != nil {
		v.Key = *d.Key
	}
	if d.Client != nil {
		v.Client = *d.Client
	}
	if d.TTL != nil {
		v.TTL = *d.TTL
	}
	if d.Template != nil {
		v.Template = *d.Template
	}
}

// drawn is the id of a client that nobody named. It is no secret, and no other
// change gives the same.
func drawn(t change.Target, id string) string {
	sum := sha256.Sum256([]byte("identity client\x00" + t.Account + "\x00" + t.Name + "\x00" + id))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:26])
}

func (v *role) check(r kv.Reader, account string) error {
	if v.Key == "" {
		return errs.InvalidField("key", "the key parameter is required")
	}
	if err := checkClient("client_id", v.Client); err != nil {
		return err
	}
	k, err := record.Find[key](r, keyKey(account, v.Key))
	switch {
	case err != nil:
		return err
	case k == nil:
		return errs.InvalidField("key", "cannot find key %q", clip(v.Key))
	case v.TTL <= 0 || v.TTL > k.Verification:
		return errs.InvalidField("ttl", "a role's token ttl is at least a second, and not longer than the verification_ttl of the key it references")
	}
	return nil
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64]
	}
	return s
}

func (d *putRole) says(n string) []string {
	lines := []string{"put role " + n + " of identity tokens"}
	if d.Key != nil {
		lines = append(lines, "sign with key "+*d.Key)
	}
	if d.Client != nil {
		lines = append(lines, "for client "+*d.Client)
	}
	if d.TTL != nil {
		lines = append(lines, "tokens count for "+seconds(*d.TTL).String())
	}
	if d.Template != nil {
		lines = append(append(lines, "claims:"), strings.Split(*d.Template, "\n")...)
	}
	return lines
}

type deleteRole struct{}

// DeleteRole removes a role; one that is not there is no error. Tokens that were
// issued count until they end.
func (s *Service) DeleteRole(ctx context.Context, who caller.Caller, n string) (change.Result, error) {
	return s.submit(ctx, who, policy.DeleteIdentityRole, n, &deleteRole{}, nil)
}

func (d *deleteRole) noun() string { return NounRole }

func (d *deleteRole) apply(tx *change.Tx, t change.Target) error {
	is, err := record.Find[role](tx, roleKey(t.Account, t.Name))
	if err == nil {
		err = produced(tx, is)
	}
	if err != nil {
		return err
	}
	if is == nil {
		tx.NothingToDo()
		return nil
	}
	tx.Wrote(is.Revision, 0, nil)
	return tx.Delete(roleKey(t.Account, t.Name))
}

func (d *deleteRole) says(n string) []string {
	return []string{"delete role " + n + " of identity tokens"}
}

// GetRole returns a role.
func (s *Service) GetRole(ctx context.Context, who caller.Caller, n string) (out Role, err error) {
	err = s.view(ctx, who, policy.GetIdentityRole, NounRole, n, func(a *gate.Access) error {
		v, err := record.Find[role](a, roleKey(who.Account, n))
		if v == nil {
			return cmp.Or(err, missingRole())
		}
		out = Role{Key: v.Key, Client: v.Client, TTL: seconds(v.TTL), Template: v.Template}
		return nil
	})
	return out, err
}

// ListRoles lists the names of the account's roles.
func (s *Service) ListRoles(ctx context.Context, who caller.Caller) ([]string, error) {
	return s.list(ctx, who, policy.ListIdentityRoles, "identity-role")
}

func eachRole(r kv.Reader, account string, f func(n string, v *role) error) error {
	prefix := kv.K(account, "identity-role")
	for e, err := range record.Scan[role](r, kv.Prefix(prefix)) {
		if err != nil {
			return err
		}
		strs, _, err := e.Key[len(prefix):].Parts("s")
		if err != nil {
			return err
		}
		if err := f(strs[0], &e.Value); err != nil {
			return err
		}
	}
	return nil
}
