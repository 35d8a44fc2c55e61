package caller_test

import (
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
