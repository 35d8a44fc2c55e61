package errs_test

import (
	"errors"
	"fmt"
	"testing"

	"countersign/internal/errs"
)

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for i, k := range errs.Kinds() {
		if int(k) != i {
			t.Errorf("kind %d stands at place %d", k, i)
		}
		if seen[k.String()] || k.String() == "" {
			t.Errorf("the name %q is taken or empty", k)
		}
		seen[k.String()] = true
	}
	if got := errs.Kind(len(errs.Kinds())).String(); got != "internal" {
		t.Errorf("a kind that is none is %q: the list of kinds is not complete", got)
	}
	if got := new(errs.Error).Kind; got != errs.Internal {
		t.Errorf("an error that nobody classified is %s", got)
	}
}

func TestText(t *testing.T) {
	cause := errors.New("cause")
	for _, x := range []struct {
		name string
		err  error
		want string
		kind errs.Kind
	}{
		{"message", errs.New(errs.NotFound, "no %s", "thing"), "no thing", errs.NotFound},
		{"code", errs.Coded(errs.Exists, "code", "taken"), "taken", errs.Exists},
		{"field", errs.InvalidField("Name", "bad"), "bad", errs.Invalid},
		{"wrapped", errs.Wrap(errs.Unavailable, cause, "not now"), "not now: cause", errs.Unavailable},
		{"wrapped-without-message", errs.Wrap(errs.Limit, cause, ""), "cause", errs.Limit},
		{"nothing", &errs.Error{Kind: errs.Denied}, "denied", errs.Denied},
		{"plain", cause, "cause", errs.Internal},
		{"deep", fmt.Errorf("doing: %w", errs.New(errs.Conflict, "moved")), "doing: moved", errs.Conflict},
		{"outermost-counts", errs.Wrap(errs.Internal, errs.New(errs.NotFound, "inner"), "outer"), "outer: inner", errs.Internal},
	} {
		t.Run(x.name, func(t *testing.T) {
			if got := x.err.Error(); got != x.want {
				t.Errorf("text %q, want %q", got, x.want)
			}
			if got := errs.KindOf(x.err); got != x.kind || !errs.Is(x.err, x.kind) {
				t.Errorf("kind %s, want %s", got, x.kind)
			}
		})
	}
	if err := errs.Wrap(errs.Limit, nil, "msg"); err != nil {
		t.Errorf("nil was wrapped to %v", err)
	}
	if errs.As(nil) != nil || errs.Is(nil, errs.Internal) {
		t.Error("nil is an error")
	}
	if errs.KindOf(nil) != errs.Internal {
		t.Error("the kind of nil is told")
	}
	if !errors.Is(errs.Wrap(errs.Limit, cause, "x"), cause) {
		t.Error("the cause is lost")
	}
}
