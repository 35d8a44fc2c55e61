package signin

import (
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
)

// Settings are what an account asks of who signs in.
type Settings struct {
	// MFARequired lets a session without a second factor do nothing but set one
	// up or show it, and sign out. It holds for sessions that are open too.
	MFARequired bool `json:"mfa_required"`
}

// GetSettings returns the settings of the caller's account.
func (s *Service) GetSettings(ctx context.Context, who caller.Caller) (out Settings, err error) {
	err = s.gate.View(ctx, who, policy.GetSignInSettings, "", func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: policy.GetSignInSettings, Resource: policy.AccountARN(who.Account), Account: who.Account}, nil); err != nil {
			return err
		}
		v, _, err := record.Get[settings](a, settingsKey(who.Account))
		out = Settings(v)
		return err
	})
	if err != nil {
		return Settings{}, err
	}
	return out, nil
}

// PutSettings replaces the settings of the caller's account.
func (s *Service) PutSettings(ctx context.Context, who caller.Caller, set Settings) error {
	return s.submit(ctx, who, ofAccount(who, policy.PutSignInSettings, func(tx *change.Tx) error {
		return record.Put(tx, settingsKey(who.Account), settings(set))
	}))
}

// ofAccount is an edit of what belongs to the whole account.
func ofAccount(who caller.Caller, op policy.Op, do func(tx *change.Tx) error) *edit {
	return &edit{op: op, arn: policy.AccountARN(who.Account), do: do,
		target: change.Target{Account: who.Account, Noun: "account", Name: who.Account}}
}
