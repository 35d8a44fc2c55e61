package change_test

import (
	"strings"
	"testing"

	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
)

// TestKindOfDeletions holds that a rule over deletions holds those of every noun.
func TestKindOfDeletions(t *testing.T) {
	other := map[policy.Op]protect.Kind{
		policy.DeleteResourcePolicy:   protect.Policy, // what may be done with a secret that stays
		policy.DeleteIdentityProvider: protect.Policy, // a setting
		policy.DeleteSchema:           protect.Edit,   // of a secret that stays
		policy.DeleteNotifyTarget:     protect.Edit,
		policy.DeleteSSHKey:           protect.Edit, // of a user
		policy.DeleteCubbyhole:        protect.Edit, // never waits
	}
	for _, op := range policy.Operations() {
		if !strings.HasPrefix(op.String(), "Delete") {
			continue
		}
		want, ok := other[op]
		if !ok {
			want = protect.Delete
		}
		if got := change.KindOf(op); got != want {
			t.Errorf("%s is of kind %s, want %s", op, got, want)
		}
	}
}
