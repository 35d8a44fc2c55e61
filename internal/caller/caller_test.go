package caller_test

import (
	"regexp"
	"testing"
	"time"

	"countersign/internal/caller"
)

func TestARN(t *testing.T) {
	now := time.Unix(1, 0)
	for want, c := range map[string]caller.Caller{
		"arn:aws:iam::111111111111:user/bob":      {Account: "111111111111", Kind: caller.User, Name: "bob"},
		"arn:aws:iam::111111111111:user/ci":       {Account: "111111111111", Kind: caller.Machine, Name: "ci"},
		"arn:aws:iam::111111111111:service/purge": caller.ForSystem("111111111111", "purge", "r", now),
	} {
		if got := c.ARN(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestForSystem(t *testing.T) {
	now := time.Unix(1, 0)
	c := caller.ForSystem("111111111111", "purge", "r", now)
	if c.Kind != caller.System || c.Proof != caller.ProofSystem || !c.Secure || c.RequestID != "r" || !c.Time.Equal(now) || c.KeyID != "" {
		t.Errorf("got %+v", c)
	}
}

func TestDerivedIDs(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for _, id := range []string{
		caller.EntityID("111111111111", "bob"), caller.EntityID("111111111111", "bo"), caller.EntityID("222222222222", "bob"),
		caller.GroupID("111111111111", "bob"),
	} {
		if !form.MatchString(id) || seen[id] {
			t.Errorf("id %q, seen %v", id, seen)
		}
		seen[id] = true
	}
	// Policies hold these: they may never be others.
	if got, want := caller.EntityID("111111111111", "bob"), "ca546a88-f063-8b61-85d9-0ccde18b4a09"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
