package words_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/policy/words"
	"countersign/internal/client"
)

func TestDecision(t *testing.T) {
	tests := []struct {
		name string
		d    client.Decision
		want []string
	}{
		{"allow", client.Decision{Effect: "allow", Action: "A", Resource: "R", Policy: "p", Statement: "#1"},
			[]string{`Statement #1 of policy "p" allows A on R.`}},
		{"by-path", client.Decision{Effect: "explicit-deny", Action: "A", Policy: "p", Statement: "secret/data/*"},
			[]string{`Rule "secret/data/*" of policy "p" denies A, and a denial wins over every permission.`}},
		{"deny-by-key", client.Decision{Effect: "explicit-deny", Action: "A", Policy: "p"},
			[]string{`Policy "p" denies A, and a denial wins over every permission.`}},
		{"nothing", client.Decision{Effect: "no-match", Missing: []string{"m", "n"}},
			[]string{"No statement allows this, and what nothing allows is denied.", "Missing: m", "Missing: n"}},
		{"new-effect", client.Decision{Effect: "later"}, []string{`Policy decided "later" about this.`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, words.Decision(tt.d)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
