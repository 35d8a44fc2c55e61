package put_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"countersign/internal/cli/env"
	"countersign/internal/cli/input"
	"countersign/internal/cli/secret/put"
)

func TestParse(t *testing.T) {
	tests := []struct {
		line string
		want put.Options
	}{
		{"a", put.Options{Name: "a"}},
		{"a -f file --trim", put.Options{Name: "a", Source: input.Source{File: "file", Trim: true}}},
		{"a --file -", put.Options{Name: "a", Source: input.Source{File: "-"}}},
		{"a --key k --reason why", put.Options{Name: "a", Key: "k", Reason: "why"}},
		{"a --base 3 --label x --label y --binary", put.Options{Name: "a", Base: 3, Labels: []string{"x", "y"}, Binary: true}},
		{"a --existing --generate 20 --json", put.Options{Name: "a", Existing: true, Generate: 20, JSON: true}},
		{"a --new --description d --tag k=v,w --tag l= --kms-key m", put.Options{Name: "a", New: true, Description: "d",
			Tags: []string{"k=v,w", "l="}, KMSKey: "m"}},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.line, " ", "_"), func(t *testing.T) {
			var got *put.Options
			cmd := put.NewCmd(&env.Env{}, func(_ context.Context, o *put.Options) error { got = o; return nil })
			cmd.SetArgs(strings.Fields(tt.line))
			if err := cmd.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got, cmpopts.IgnoreFields(put.Options{}, "Env")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
