package env_test

import (
	"bytes"
	"testing"

	"countersign/internal/cli/env"
	"countersign/internal/cli/streams"
	"countersign/internal/client"
)

func TestTold(t *testing.T) {
	const (
		done   = "added 1\n"
		awaits = "not done yet: it awaits approval: countersign review --id C1\n"
	)
	for _, tt := range []struct{ status, want string }{
		{client.Applied, done},
		{"", done}, // a server of before
		{client.Pending, awaits},
		{client.Draft, awaits},
		{client.Approved, "not done yet: change C1 waits for its time\n"},
	} {
		t.Run("is-"+tt.status, func(t *testing.T) {
			var out, talk bytes.Buffer
			e := &env.Env{Streams: &streams.Streams{Out: &out, Err: &talk}}
			e.Told(client.Outcome{Change: "C1", Status: tt.status}, "added %d", 1)
			if talk.String() != tt.want || out.Len() != 0 {
				t.Errorf("said %q, printed %q", talk.String(), out.String())
			}
		})
	}
}
