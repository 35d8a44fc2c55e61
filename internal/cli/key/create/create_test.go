package create_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/env"
	"countersign/internal/cli/key/create"
	"countersign/internal/client"
)

func TestParse(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	tests := []struct {
		line string
		want client.CreateKeyRequest
	}{
		{"--owner u", client.CreateKeyRequest{Owner: "u"}},
		{"--owner u --expires 30d", client.CreateKeyRequest{Owner: "u", Expires: now.AddDate(0, 0, 30)}},
		{"--owner u --expires 2027-01-01", client.CreateKeyRequest{Owner: "u", Expires: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{"--owner u --policy p --policy q --description d", client.CreateKeyRequest{Owner: "u", Policies: []string{"p", "q"}, Description: "d"}},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.line, " ", "_"), func(t *testing.T) {
			var got *create.Options
			cmd := create.NewCmd(&env.Env{Now: func() time.Time { return now }}, func(_ context.Context, o *create.Options) error { got = o; return nil })
			cmd.SetArgs(strings.Fields(tt.line))
			if err := cmd.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.CreateKeyRequest); diff != "" {
				t.Error(diff)
			}
		})
	}
}
