package authn

import (
	"errors"
	"testing"

	"countersign/internal/caller"
	"countersign/internal/core/generation"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/kv/memkv"
)

// TestUncommittedPoliciesAreNotKept holds that what a write transaction showed
// and then lost does not decide once its generation is given out again.
func TestUncommittedPoliciesAreNotKept(t *testing.T) {
	const acct = "111111111111"
	db := memkv.New(memkv.Config{})
	defer db.Close()
	put := func(tx kv.Txn, policies ...string) error {
		if err := record.Put(tx, principalKey(acct, "ann"), principal{Kind: caller.User, Policies: policies}); err != nil {
			return err
		}
		return generation.Raise(tx, acct)
	}
	var a Authorizer
	req := func() *policy.Request {
		return &policy.Request{Caller: caller.Caller{Account: acct, Name: "ann", Kind: caller.User, Generation: 1},
			Op: policy.ListSecrets, Resource: policy.AnyResource, Account: acct}
	}
	if _, err := db.Update(t.Context(), func(tx kv.Txn) error { return put(tx) }); err != nil {
		t.Fatal(err)
	}
	lost := errors.New("lost")
	_, err := db.Update(t.Context(), func(tx kv.Txn) error {
		if err := put(tx, adminPolicy); err != nil {
			return err
		}
		if d, err := a.Authorize(tx, 0, req(), nil); err != nil || !d.Allowed {
			t.Errorf("within the transaction: %+v, %v", d, err)
		}
		return lost
	})
	if !errors.Is(err, lost) {
		t.Fatal(err)
	}
	// Another change takes the generation that was never committed.
	if _, err := db.Update(t.Context(), func(tx kv.Txn) error { return put(tx, "SecurityAudit") }); err != nil {
		t.Fatal(err)
	}
	ask := req()
	ask.Op, ask.Caller.Generation = policy.RandomPassword, 2
	err = db.View(t.Context(), func(r kv.Reader) error {
		d, err := a.Authorize(r, db.Revision(), ask, nil)
		if err == nil && d.Allowed {
			t.Error("policies of a transaction that was lost still allow")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
