package rotation_test

import (
	"errors"
	"testing"
	"time"

	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

func (f *fixture) verify(n, key, value string) string {
	f.t.Helper()
	v, err := f.Secrets.Verify(f.t.Context(), f.Admin, secret.VerifyRequest{ID: coretest.ID(f.t, n), Key: key, Value: sensitive.FromString(value)})
	f.must(err)
	return string(v.Match)
}

func TestVerify(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.create("key", "first-value")
		f.create("object", `{"token":"a<b","n":7,"m":"\u00fc"}`)
		for _, c := range [][4]string{
			{"key", "", "first-value", "current"}, {"key", "", "first-valu", "none"}, {"key", "", "first-value ", "none"}, {"key", "token", "first-value", "none"},
			{"object", "token", "a<b", "current"}, {"object", "token", "a<c", "none"}, {"object", "n", "7", "current"}, {"object", "m", "ü", "current"},
			{"object", "none", "a<b", "none"}, {"object", "none", "null", "none"}, {"object", "", `{"token":"a<b","n":7,"m":"\u00fc"}`, "current"},
		} {
			if got := f.verify(c[0], c[1], c[2]); got != c[3] {
				t.Errorf("%q of %s, key %q, is %s", c[2], c[0], c[1], got)
			}
		}
		// the previous value counts within the grace that rotation gives it
		_, err := f.rotate("key", with("random"))
		f.must(err)
		settle()
		if got := f.verify("key", "", "first-value"); got != "none" {
			t.Errorf("without a grace the previous value is %s", got)
		}
		second := f.read("key", name.Current)
		_, err = f.rotate("key", func(r *secret.RotateRequest) { r.Grace = time.Hour })
		f.must(err)
		settle()
		third := f.read("key", name.Current)
		if a, b, c := f.verify("key", "", second), f.verify("key", "", third), f.verify("key", "", "first-value"); a != "previous" || b != "current" || c != "none" {
			t.Errorf("within the grace: %s, %s, %s", a, b, c)
		}
		time.Sleep(2 * time.Hour)
		if got := f.verify("key", "", second); got != "none" {
			t.Errorf("after the grace the previous value is %s", got)
		}
		_, err = f.rotate("key", func(r *secret.RotateRequest) { r.Revoke = true })
		f.must(err)
		settle()
		if got := f.verify("key", "", third); got != "none" {
			t.Errorf("a value that was revoked is %s", got)
		}
	})
}

func TestVerifyIsAPermission(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.create("key", "value")
		reader, _ := f.User(t, "reader", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*"}]}`)
		service, _ := f.User(t, "service", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"countersign:VerifySecretValue","Resource":"*"}]}`)
		req := secret.VerifyRequest{ID: coretest.ID(t, "key"), Value: sensitive.FromString("value")}
		if _, err := f.Secrets.Verify(f.t.Context(), reader, req); !errs.Is(err, errs.Denied) {
			t.Errorf("who may read verifies: %v", err)
		}
		if v, err := f.Secrets.Verify(f.t.Context(), service, req); err != nil || v.Match != secret.MatchCurrent || v.Version != 1 {
			t.Errorf("%+v, %v", v, err)
		}
		if _, err := f.Secrets.ReadValue(f.t.Context(), service, secret.ReadRequest{ID: req.ID}); !errs.Is(err, errs.Denied) {
			t.Errorf("who may verify reads: %v", err)
		}
		for _, r := range f.Records(t) {
			if r.Operation == "VerifyValue" && r.Outcome == "ok" && r.Version != 1 {
				t.Errorf("the record has version %d", r.Version)
			}
		}
		// guesses are bounded, those of one do not shut another out, and the bound passes
		req.Value = sensitive.FromString("guess")
		var err error
		n := 0
		for ; err == nil && n < 10_000; n++ {
			_, err = f.Secrets.Verify(f.t.Context(), service, req)
		}
		var e *errs.Error
		if !errors.As(err, &e) || e.Kind != errs.Throttled || n > 300 {
			t.Errorf("after %d guesses: %v", n, err)
		}
		req.Value = sensitive.FromString("value")
		if _, err := f.Secrets.Verify(f.t.Context(), f.Admin, req); err != nil {
			t.Errorf("another is shut out: %v", err)
		}
		time.Sleep(time.Second)
		if v, err := f.Secrets.Verify(f.t.Context(), service, req); err != nil || v.Match != secret.MatchCurrent {
			t.Errorf("after a pause: %+v, %v", v, err)
		}
		for want, r := range map[errs.Kind]secret.VerifyRequest{
			errs.Invalid:  {ID: req.ID},
			errs.NotFound: {ID: coretest.ID(t, "none"), Value: sensitive.FromString("v")},
		} {
			if _, err := f.Secrets.Verify(f.t.Context(), f.Admin, r); !errs.Is(err, want) {
				t.Errorf("%v: %v", want, err)
			}
		}
	})
}

// TestVerifyOfATarget: what the target no longer accepts is not called previous.
func TestVerifyOfATarget(t *testing.T) {
	for _, pair := range []bool{false, true} {
		inBubble(t, pair, func(f *fixture) {
			_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Grace = time.Hour })
			f.must(err)
			settle()
			got := f.verify("db", "", first)
			if want := map[bool]string{false: "none", true: "previous"}[pair]; got != want || f.x.Accepts(first) != pair {
				t.Errorf("%s, want %s", got, want)
			}
			if got := f.verify("db", "", f.read("db", name.Current)); got != "current" {
				t.Errorf("the current value is %s", got)
			}
		})
	}
}

// TestVerifyBoundInEveryRegion: replicas give no more guesses.
func TestVerifyBoundInEveryRegion(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.create("key", "value")
		_, err := f.Secrets.Replicate(f.t.Context(), f.Admin, coretest.ID(t, "key"), []secret.Replica{{Region: coretest.Second}}, false, "")
		f.must(err)
		n := 0
		for _, region := range []string{coretest.Region, coretest.Second} {
			who := f.Admin
			who.Region = region
			for err = nil; err == nil && n < 1000; n++ {
				_, err = f.Secrets.Verify(f.t.Context(), who, secret.VerifyRequest{ID: coretest.ID(t, "key"), Value: sensitive.FromString("guess")})
			}
			if !errs.Is(err, errs.Throttled) {
				t.Errorf("in %s: %v", region, err)
			}
		}
		if n > 210 {
			t.Errorf("%d guesses", n)
		}
	})
}
