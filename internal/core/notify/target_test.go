package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/internal/core/coretest"
	"countersign/internal/core/notice"
	"countersign/internal/core/notify"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/sensitive"
)

func TestWhatPutRefuses(t *testing.T) {
	f := start(t, coretest.Config{})
	f.hook("there")
	s := sensitive.FromString
	for _, x := range []struct {
		name string
		req  notify.PutRequest
		want string
	}{
		{"bad-name", notify.PutRequest{Name: "a/b", Type: notify.Webhook, URL: s(url("x"))}, "name"},
		{"no-type", notify.PutRequest{Name: "a", URL: s(url("x"))}, "type"},
		{"bad-type", notify.PutRequest{Name: "a", Type: "pager", URL: s(url("x"))}, "type"},
		{"no-url", notify.PutRequest{Name: "a", Type: notify.Webhook}, "url"},
		{"bad-url", notify.PutRequest{Name: "a", Type: notify.Slack, URL: s("ftp://s3cr3t")}, "url"},
		{"other-type", notify.PutRequest{Name: "there", Type: notify.Slack}, "precondition/target-type"},
		{"unknown-kind", notify.PutRequest{Name: "a", Type: notify.Webhook, URL: s(url("x")), Kinds: ptr([]string{"change.aplied"})}, "kinds"},
		{"many-kinds", notify.PutRequest{Name: "a", Type: notify.Webhook, URL: s(url("x")), Kinds: ptr(make([]string, 51))}, "limit"},
		{"bad-pattern", notify.PutRequest{Name: "a", Type: notify.Webhook, URL: s(url("x")), Names: ptr([]string{"a b"})}, "names"},
		{"short-secret", notify.PutRequest{Name: "a", Type: notify.Webhook, URL: s(url("x")), Secret: s("s3cr3t")}, "secret"},
		{"long-secret", notify.PutRequest{Name: "a", Type: notify.Webhook, URL: s(url("x")), Secret: s(strings.Repeat("s3cr3t", 100))}, "secret"},
		{"slack-signed", notify.PutRequest{Name: "a", Type: notify.Slack, URL: s(url("x")), Secret: s(strings.Repeat("s3cr3t", 5))}, "secret"},
		{"webhook-with-recipients", notify.PutRequest{Name: "a", Type: notify.Webhook, URL: s(url("x")), To: ptr([]string{"a@example.com"})}, "to"},
		{"mail-with-url", notify.PutRequest{Name: "a", Type: notify.Email, URL: s(url("x")), To: ptr([]string{"a@example.com"})}, "url"},
		{"mail-to-nobody", notify.PutRequest{Name: "a", Type: notify.Email}, "to"},
		{"mail-to-name", notify.PutRequest{Name: "a", Type: notify.Email, To: ptr([]string{"anna"})}, "to"},
		{"mail-twice", notify.PutRequest{Name: "a", Type: notify.Email, To: ptr([]string{"a@example.com", "a@example.com"})}, "to"},
		{"mail-two-lines", notify.PutRequest{Name: "a", Type: notify.Email, To: ptr([]string{"a@example.com\nBcc: b@example.com"})}, "to"},
		{"reason", notify.PutRequest{Name: "there", Reason: "a\x00"}, "Reason"},
	} {
		t.Run(x.name, func(t *testing.T) {
			before := f.Dump(t)
			_, err := f.Put(t.Context(), f.Admin, x.req)
			e := errs.As(err)
			if e == nil {
				t.Fatal("it was taken")
			}
			got := e.Field
			if e.Kind != errs.Invalid {
				got = e.Kind.String()
				if e.Code != "" {
					got += "/" + e.Code
				}
			}
			if got != x.want || strings.Contains(e.Error(), "s3cr3t") {
				t.Errorf("%q (%v), want %q", got, err, x.want)
			}
			if after := f.Dump(t); len(after) != len(before) {
				t.Error("something was written")
			}
		})
	}
	without := notify.New(notify.Config{Gate: f.Gate, Changes: f.Changes, Poster: f.poster})
	_, err := without.Put(t.Context(), f.Admin, notify.PutRequest{Name: "m", Type: notify.Email, To: ptr([]string{"a@example.com"})})
	if e := errs.As(err); e == nil || e.Code != notify.CodeNoSMTP {
		t.Errorf("mail without a server: %v", err)
	}
}

func TestPutKeepsWhatIsNotGiven(t *testing.T) {
	f := start(t, coretest.Config{})
	ctx := t.Context()
	_, err := f.Put(ctx, f.Admin, notify.PutRequest{Name: "a", Type: notify.Webhook, URL: sensitive.FromString(url("a")), Kinds: ptr([]string{"change.*"}), Names: ptr([]string{"app/*"})})
	must(t, err)
	out, err := f.Put(ctx, f.Admin, notify.PutRequest{Name: "a", Names: ptr([]string{})})
	must(t, err)
	if len(out.Names) != 0 || len(out.Kinds) != 1 || out.Host != "https://a.example/…" || out.Secret.Len() != 0 || out.By != f.Admin.ARN() {
		t.Errorf("got %+v", out)
	}
	f.hook("b")
	list, err := f.List(ctx, f.Admin)
	if err != nil || len(list) != 2 || list[0].Name != "a" || list[1].Name != "b" {
		t.Errorf("listed %+v, %v", list, err)
	}
}

// verify is what docs/notifications.md tells receivers to do.
func TestRotation(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		one := f.hook("a").Secret
		if one.Len() < 32 {
			t.Fatalf("a key of %d bytes was made", one.Len())
		}
		try := func(want ...sensitive.Bytes) {
			t.Helper()
			res, err := f.Try(ctx, f.Admin, "a")
			if err != nil || !res.Delivered {
				t.Fatalf("tried %+v, %v", res, err)
			}
			all := f.poster.all()
			p := all[len(all)-1]
			sigs := strings.Split(p.header[notify.HeaderSignature], ",")
			if len(sigs) != len(want) || !strings.Contains(p.body, `"kind":"notify.test"`) {
				t.Errorf("%d signatures, want %d, of %s", len(sigs), len(want), p.body)
			}
			for i, k := range want {
				h := map[string]string{"a": p.header[notify.HeaderSignature]}
				if !verify(k.Reveal(), p.header[notify.HeaderTimestamp], h["a"], []byte(p.body), time.Now()) {
					t.Errorf("key %d does not verify", i)
				}
				if verify(k.Reveal(), p.header[notify.HeaderTimestamp], h["a"], []byte(p.body+" "), time.Now()) ||
					verify(k.Reveal(), p.header[notify.HeaderTimestamp], h["a"], []byte(p.body), time.Now().Add(6*time.Minute)) {
					t.Error("another body, or an old one, verifies")
				}
			}
		}
		try(one)
		same, err := f.Put(ctx, f.Admin, notify.PutRequest{Name: "a", Secret: sensitive.New(bytes.Clone(one.Reveal()))})
		if err != nil || !same.Overlap.IsZero() {
			t.Errorf("the same key again: %+v, %v", same, err)
		}
		out, err := f.Put(ctx, f.Admin, notify.PutRequest{Name: "a", Rotate: true})
		must(t, err)
		two := out.Secret
		if two.Len() == 0 || two.Equal(one) || out.Overlap.IsZero() {
			t.Fatalf("rotated %+v", out)
		}
		try(two, one)
		three := sensitive.FromString("a key that the receiver has chosen")
		out, err = f.Put(ctx, f.Admin, notify.PutRequest{Name: "a", Secret: three})
		if err != nil || out.Secret.Len() != 0 {
			t.Fatalf("a given key is shown: %v", err)
		}
		try(three, two)
		time.Sleep(notify.Overlap + time.Second)
		try(three)
		if tgt := f.target("a"); !tgt.Overlap.IsZero() || tgt.Rotated.IsZero() {
			t.Errorf("target %+v", tgt)
		}
	})
}

func TestTry(t *testing.T) {
	f := start(t, coretest.Config{})
	ctx := t.Context()
	f.hook("a")
	f.poster.answer = func(context.Context, string, int) (int, time.Duration, error) { return 302, 0, nil }
	if res, err := f.Try(ctx, f.Admin, "a"); err != nil || res.Delivered || res.Why != "it answered with status 302" || res.Delivery == "" {
		t.Errorf("tried %+v, %v", res, err)
	}
	if _, err := f.Try(ctx, f.Admin, "none"); !errs.Is(err, errs.NotFound) {
		t.Errorf("got %v", err)
	}
	_, err := f.Put(ctx, f.Admin, notify.PutRequest{Name: "m", Type: notify.Email, To: ptr([]string{notify.Audience})})
	must(t, err)
	if res, err := f.Try(ctx, f.Admin, "m"); err != nil || res.Delivered || res.Why != "it has no recipient" {
		t.Errorf("tried %+v, %v", res, err)
	}
	_, err = f.Put(ctx, f.Admin, notify.PutRequest{Name: "m", To: ptr([]string{"a@example.com"})})
	must(t, err)
	if res, err := f.Try(ctx, f.Admin, "m"); err != nil || !res.Delivered || len(f.box.all()) != 1 {
		t.Errorf("tried %+v, %v", res, err)
	}
	if w, dead, _ := f.Totals(ctx); w != 0 || dead != 0 {
		t.Error("a test was queued")
	}
}

// Neither URL nor signing key is in anything that leaves the service or that it
// writes unencrypted.
func TestCanary(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		const inURL, inKey = "canary-url-7d1e", "canary-signing-key-91ab"
		var seen strings.Builder
		see := func(v any, err error) {
			b, _ := json.Marshal(v)
			fmt.Fprintf(&seen, "%s %+v %#v %v %+v\n", b, v, v, err, err)
		}
		for _, typ := range []notify.Type{notify.Webhook, notify.Slack, notify.Teams} {
			req := notify.PutRequest{Name: string(typ), Type: typ, URL: sensitive.FromString("https://host.example/" + inURL + "?t=" + inURL)}
			if typ == notify.Webhook {
				req.Secret = sensitive.FromString(inKey)
			}
			out, err := f.Put(ctx, f.Admin, req)
			must(t, err)
			see(out, err)
		}
		see(f.Put(ctx, f.Admin, notify.PutRequest{Name: "bad", Type: notify.Webhook, URL: sensitive.FromString(inURL), Secret: sensitive.FromString(inKey)}))
		see(f.Put(ctx, f.Admin, notify.PutRequest{Name: "webhook", Secret: sensitive.FromString(inKey + inKey), Type: notify.Slack}))
		f.poster.answer = func(_ context.Context, u string, n int) (int, time.Duration, error) {
			if n%2 == 0 {
				return 0, 0, errors.New("it took too long")
			}
			return 500, 0, nil
		}
		stop := run(t, f.Service)
		f.happens(notice.Notice{Name: "app"})
		time.Sleep(23 * time.Hour)
		stop()
		see(f.Try(ctx, f.Admin, "slack"))
		see(f.List(ctx, f.Admin))
		dead, _, err := f.Letters(ctx, f.Admin, "", 10)
		see(dead, err)
		if len(dead) != 3 {
			t.Errorf("%d dead letters", len(dead))
		}
		see(f.Replay(ctx, f.Admin, dead[0].ID, "again"))
		see(nil, f.Delete(ctx, f.Admin, "slack", "bye"))
		see(f.Records(t), nil)
		see(f.log.String(), nil)
		if f.log.Len() == 0 {
			t.Error("a dead letter is not in the log")
		}
		for _, p := range f.poster.all() {
			see(p.body, nil)
			see(p.header, nil)
		}
		see(f.box.all(), nil)
		err = f.Engine.View(ctx, func(r kv.Reader) error {
			for p, err := range r.Scan(kv.Range{}) {
				if err != nil {
					return err
				}
				seen.Write(p.Key)
				seen.Write(p.Value)
			}
			return nil
		})
		must(t, err)
		for _, canary := range []string{inURL, inKey} {
			if i := strings.Index(seen.String(), canary); i >= 0 {
				t.Errorf("%q is in %q", canary, seen.String()[max(0, i-200):i+50])
			}
		}
	})
}
