package authn

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/generation"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// Admin is the user that a new account begins with.
const Admin = "admin"

const adminPolicy = "AdministratorAccess"

// Account is a tenant as it is shown.
type Account struct {
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	Home    bool      `json:"home,omitempty"`
	Created time.Time `json:"created"`
}

// AtHome refuses callers of other accounts than the one that manages the
// server, as a denial.
func (s *Service) AtHome(ctx context.Context, who caller.Caller, op policy.Op) error {
	if who.Account == s.home {
		return nil
	}
	rec := gate.NewRecord(who, op, "")
	rec.Decision = &audit.Decision{ID: rec.ID, Effect: "explicit-deny", Action: op.Action(),
		Resource: policy.AccountARN(who.Account), Missing: []string{"only account " + s.home + " manages the server"}}
	return s.gate.Finish(ctx, &rec, &errs.Error{Kind: errs.Denied, Code: CodeNotHome, Decision: rec.ID,
		Msg: who.ARN() + " is not authorized to perform " + op.Action() + " (decision " + rec.ID + ")"})
}

// CreateAccount makes an account with a first administrator, and returns that
// user's access key.
func (s *Service) CreateAccount(ctx context.Context, who caller.Caller, id, label string) (NewKey, error) {
	if err := s.AtHome(ctx, who, policy.CreateAccount); err != nil {
		return NewKey{}, err
	}
	err := name.Account(id)
	if err == nil {
		err = name.Text("Name", label, 64)
	}
	if err != nil {
		rec := gate.NewRecord(who, policy.CreateAccount, "")
		return NewKey{}, s.gate.Finish(ctx, &rec, err)
	}
	return s.newAccount(ctx, who, id, label)
}

// Bootstrap makes the home account with its administrator. It fails with
// Exists when the account is there.
func (s *Service) Bootstrap(ctx context.Context) (NewKey, error) {
	now := time.Now()
	return s.newAccount(ctx, caller.ForSystem(s.home, "bootstrap", audit.NewID(now), now), s.home, "")
}

// Bootstrapped reports whether the home account is there.
func (s *Service) Bootstrapped(ctx context.Context) (ok bool, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		_, ok, err = record.Get[account](r, accountKey(s.home))
		return err
	})
	return ok, err
}

func (s *Service) newAccount(ctx context.Context, who caller.Caller, id, label string) (NewKey, error) {
	// The keys of the account are made outside of the transaction, so policy is
	// asked before; what it refuses is refused, and recorded, by the write.
	allowed, err := s.mayCreate(ctx, who)
	if err == nil && allowed {
		err = s.vault.EnsureAccount(ctx, id)
	}
	if err != nil {
		rec := gate.NewRecord(who, policy.CreateAccount, "")
		return NewKey{}, s.gate.Finish(ctx, &rec, err)
	}
	keyID, secret := keyPrefix+random(keyLen-len(keyPrefix), keyAlphabet), random(secretLen, base62)
	k := accessKey{Principal: Admin, Secret: []byte(secret), Description: "first key of the account"}
	e := &once{op: policy.CreateAccount, target: change.Target{Account: who.Account, Noun: "account", Name: id},
		resource: policy.AccountARN(who.Account)}
	e.do = func(tx *change.Tx) error {
		if err := absent(tx, accountKey(id), "account"); err != nil {
			return err
		}
		k.Created = micros(tx.Now)
		if err := record.Put(tx, accountKey(id), account{Name: label, Created: k.Created}); err != nil {
			return err
		}
		admin := principal{Kind: caller.User, Policies: []string{adminPolicy}, Created: k.Created}
		if err := record.Put(tx, principalKey(id, Admin), admin); err != nil {
			return err
		}
		if err := s.addKey(tx, id, keyID, k); err != nil {
			return err
		}
		return generation.Raise(tx, id)
	}
	if _, err := s.changes.Submit(ctx, who, change.Request{Edit: e}); err != nil {
		return NewKey{}, err
	}
	return NewKey{KeyInfo: showKey(keyID, k, 0), Secret: sensitive.FromString(secret)}, nil
}

// mayCreate asks policy, without a record, whether who may create accounts.
func (s *Service) mayCreate(ctx context.Context, who caller.Caller) (allowed bool, err error) {
	if who.Kind == caller.System {
		return true, nil
	}
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		d, err := s.Authorize(r, 0, &policy.Request{Caller: who, Op: policy.CreateAccount,
			Resource: policy.AccountARN(who.Account), Account: who.Account}, nil)
		allowed = d.Allowed
		return err
	})
	return allowed, err
}

// ListAccounts lists the accounts of the server.
func (s *Service) ListAccounts(ctx context.Context, who caller.Caller) ([]Account, error) {
	if err := s.AtHome(ctx, who, policy.ListAccounts); err != nil {
		return nil, err
	}
	var out []Account
	err := s.view(ctx, who, policy.ListAccounts, "", policy.AnyResource, func(r kv.Reader) error {
		return list(r, kv.K("sys", "account"), "", 1<<30, func(id string, a account) {
			out = append(out, Account{ID: id, Name: a.Name, Home: id == s.home, Created: when(a.Created)})
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
