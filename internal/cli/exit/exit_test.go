package exit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"countersign/internal/cli/exit"
	"countersign/internal/client"
	"countersign/internal/errs"
)

func TestEveryKindHasACode(t *testing.T) {
	want := map[errs.Kind]exit.Code{
		errs.Internal: exit.Failed, errs.Invalid: exit.Usage, errs.Unauthenticated: exit.Denied, errs.Denied: exit.Denied,
		errs.NotFound: exit.NotFound, errs.Exists: exit.Conflict, errs.Conflict: exit.Conflict, errs.Precondition: exit.Conflict,
		errs.Limit: exit.Usage, errs.Throttled: exit.Unavailable, errs.Unavailable: exit.Unavailable, errs.Canceled: exit.Interrupted,
	}
	for _, k := range errs.Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			code, ok := want[k]
			if got := exit.Of(t.Context(), fmt.Errorf("doing: %w", &client.Error{Kind: k})); !ok || got != code {
				t.Errorf("kind %s exits with %d, want %d", k, got, code)
			}
		})
	}
}

func TestOf(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		want exit.Code
		says string
	}{
		{"ok", t.Context(), nil, exit.OK, ""},
		{"plain", t.Context(), errors.New("x"), exit.Failed, "x"},
		{"usage", t.Context(), exit.Usagef("a %q", "b"), exit.Usage, `a "b"`},
		{"silent", t.Context(), exit.Silently(exit.Denied), exit.Denied, ""},
		{"interrupted", gone, errors.New("x"), exit.Interrupted, "interrupted"},
		{"interrupted-but-said", gone, exit.With(exit.Damaged, errors.New("x")), exit.Damaged, "x"},
		{"denied", t.Context(), &client.Error{Kind: errs.Denied, Message: "no", Decision: "D1"}, exit.Denied,
			"no; an administrator sees why with: countersign policy explain D1"},
		{"field", t.Context(), &client.Error{Kind: errs.Invalid, Message: "too long", Field: "name"}, exit.Usage, "name: too long"},
		{"unreachable", t.Context(), &client.Error{Kind: errs.Unavailable, Message: "cannot reach A"}, exit.Unavailable,
			"cannot reach A; is the server running? COUNTERSIGN_ADDR and --address say where"},
		{"internal", t.Context(), &client.Error{Kind: errs.Internal, Message: "m", RequestID: "R"}, exit.Failed,
			"m; the server's log has more under request R"},
		{"no-token", t.Context(), &client.Error{Kind: errs.Unauthenticated, Message: "m"}, exit.Denied,
			"m; run \"countersign login\", set COUNTERSIGN_TOKEN, or give --token-file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := exit.Of(tt.ctx, tt.err); got != tt.want {
				t.Errorf("code %d, want %d", got, tt.want)
			}
			if got := exit.Message(tt.ctx, tt.err); got != tt.says {
				t.Errorf("says %q, want %q", got, tt.says)
			}
		})
	}
}

func TestHelpNamesEveryCode(t *testing.T) {
	for _, c := range []exit.Code{exit.OK, exit.Failed, exit.Usage, exit.NotFound, exit.Denied, exit.Conflict, exit.Unavailable, exit.Damaged, exit.Interrupted} {
		if !strings.Contains(exit.Help, fmt.Sprintf("\n  %-3d  ", c)) {
			t.Errorf("help lacks code %d", c)
		}
	}
}
