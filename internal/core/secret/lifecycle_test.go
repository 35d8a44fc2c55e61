package secret_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
	"countersign/internal/kv"
	"countersign/internal/kv/faulty"
	"countersign/internal/name"
)

// leftOf lists the keys of the store that hold something of a secret beside its
// changes, which stay.
func (f *fixture) leftOf(n string) (keys []string) {
	for k := range f.Dump(f.t) {
		if strings.Contains(k, n) && !strings.Contains(k, "\x00\x01change\x00\x01") {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func TestDelete(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", "v")
	f.create("replicated", "v")
	_, err := f.Secrets.Replicate(f.ctx, f.Admin, id("replicated"), []secret.Replica{{Region: coretest.Second}}, false, "")
	f.must(err)
	for _, x := range []struct {
		name string
		req  secret.DeleteRequest
		want string
	}{
		{"window-and-force", secret.DeleteRequest{ID: id("s"), Window: 7, Force: true}, "invalid@RecoveryWindowInDays"},
		{"short-window", secret.DeleteRequest{ID: id("s"), Window: 6}, "invalid@RecoveryWindowInDays"},
		{"long-window", secret.DeleteRequest{ID: id("s"), Window: 31}, "invalid@RecoveryWindowInDays"},
		{"negative-window", secret.DeleteRequest{ID: id("s"), Window: -7}, "invalid@RecoveryWindowInDays"},
		{"missing", secret.DeleteRequest{ID: id("none")}, "not-found/secret"},
		{"missing-by-force", secret.DeleteRequest{ID: id("none"), Force: true}, "ok"},
		{"replicated", secret.DeleteRequest{ID: id("replicated")}, "precondition/has-replicas"},
		{"replicated-by-force", secret.DeleteRequest{ID: id("replicated"), Force: true}, "precondition/has-replicas"},
	} {
		t.Run(x.name, func(t *testing.T) {
			f.unchanged(func() {
				_, err := f.Secrets.Delete(f.ctx, f.Admin, x.req)
				f.expect(err, x.want)
			})
		})
	}
}

func TestMarkedForDeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, coretest.Config{})
		w := f.create("s", "v")
		del, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("s"), Window: 7})
		f.must(err)
		if want := time.Now().AddDate(0, 0, 7); !del.When.Equal(want) || del.ARN != w.ARN {
			t.Errorf("deleted %+v, want when %s", del, want)
		}
		str := "d"
		for op, do := range map[string]func() error{
			"read": func() error {
				_, err := f.Secrets.ReadValue(f.ctx, f.Admin, secret.ReadRequest{ID: id("s")})
				return err
			},
			"put": func() error {
				_, err := f.Secrets.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: id("s"), VersionID: token(1), Value: *text("v")})
				return err
			},
			"update": func() error {
				_, err := f.Secrets.Update(f.ctx, f.Admin, secret.UpdateRequest{ID: id("s"), Description: &str})
				return err
			},
			"delete": func() error {
				_, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("s")})
				return err
			},
			"label": func() error {
				_, err := f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: "A", To: token(1)})
				return err
			},
			"tag": func() error {
				_, err := f.Secrets.Tag(f.ctx, f.Admin, id("s"), []secret.Tag{{Key: "a"}}, "")
				return err
			},
			"untag":         func() error { _, err := f.Secrets.Untag(f.ctx, f.Admin, id("s"), []string{"a"}, ""); return err },
			"get-policy":    func() error { _, err := f.Secrets.GetResourcePolicy(f.ctx, f.Admin, id("s")); return err },
			"delete-policy": func() error { _, err := f.Secrets.DeleteResourcePolicy(f.ctx, f.Admin, id("s"), ""); return err },
			"rotate": func() error {
				_, err := f.Secrets.Rotate(f.ctx, f.Admin, secret.RotateRequest{ID: id("s"), VersionID: token(2), Function: "f"})
				return err
			},
			"cancel": func() error { _, err := f.Secrets.CancelRotation(f.ctx, f.Admin, id("s"), ""); return err },
			"replicate": func() error {
				_, err := f.Secrets.Replicate(f.ctx, f.Admin, id("s"), []secret.Replica{{Region: coretest.Second}}, false, "")
				return err
			},
		} {
			f.unchanged(func() {
				if got := code(do()); got != "precondition/marked-for-deletion" {
					t.Errorf("%s: %s", op, got)
				}
			})
		}
		d, err := f.Secrets.Describe(f.ctx, f.Admin, id("s"))
		f.must(err)
		if !d.Purge.Equal(del.When) || !d.Deleted.Equal(time.Now()) {
			t.Errorf("described %+v", d)
		}
		for deleted, want := range map[bool]int{false: 0, true: 1} {
			p, err := f.Secrets.List(f.ctx, f.Admin, secret.ListRequest{Deleted: deleted})
			f.must(err)
			if len(p.Secrets) != want {
				t.Errorf("deleted %v: %d listed, want %d", deleted, len(p.Secrets), want)
			}
		}
		_, err = f.Secrets.Restore(f.ctx, f.Admin, id("s"), "")
		f.must(err)
		if got := f.read(secret.ReadRequest{ID: id("s")}); got != "v" {
			t.Errorf("restored, it reads %s", got)
		}
		time.Sleep(8 * 24 * time.Hour) // fake time
		f.must(f.Secrets.Purge(f.ctx))
		if got := f.read(secret.ReadRequest{ID: id("s")}); got != "v" {
			t.Errorf("purged although restored: %s", got)
		}
		again, err := f.Secrets.Restore(f.ctx, f.Admin, id("s"), "")
		f.must(err)
		if again.Change != "" {
			t.Errorf("there was nothing to restore: %+v", again)
		}
	})
}

func TestPurgeInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, coretest.Config{})
		old := f.create("gone", "v")
		for n := 2; n <= 70; n++ {
			f.put("gone", n, fmt.Sprint("v", n))
		}
		f.create("later", "v")
		for n, days := range map[string]int{"gone": 7, "later": 30} {
			_, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id(n), Window: days})
			f.must(err)
		}
		running, stop := context.WithCancel(f.ctx)
		done := make(chan struct{})
		go func() { defer close(done); f.Secrets.Run(running) }()
		time.Sleep(7*24*time.Hour - time.Minute) // fake time
		if got := f.read(secret.ReadRequest{ID: id("gone")}); got != "(precondition/marked-for-deletion)" {
			t.Errorf("before its time: %s", got)
		}
		time.Sleep(3 * time.Minute)
		if got := f.read(secret.ReadRequest{ID: id("gone")}); got != "(not-found/secret)" {
			t.Errorf("after its time: %s", got)
		}
		if left := f.leftOf("gone"); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		if got := f.read(secret.ReadRequest{ID: id("later")}); got != "(precondition/marked-for-deletion)" {
			t.Errorf("the other: %s", got)
		}
		if again := f.create("gone", "new"); again.ARN == old.ARN || f.labels("gone") != "1:AWSCURRENT" {
			t.Errorf("created anew: %+v, versions %s", again, f.labels("gone"))
		}
		stop()
		<-done
		var purges int
		for _, r := range f.Records(t) {
			if r.Operation == "DeleteSecret" && r.Principal.Kind == "system" && r.Resource == "gone" {
				purges++
			}
		}
		if purges != 1 {
			t.Errorf("%d records of the purge, want 1", purges)
		}
	})
}

func TestPurgeResumesAfterFailure(t *testing.T) {
	var flaky *faulty.DB
	f := start(t, coretest.Config{Wrap: func(db kv.DB) kv.DB { flaky = faulty.New(db); return flaky }})
	f.create("gone", "v")
	for n := 2; n <= 100; n++ {
		f.put("gone", n, "v")
	}
	f.create("stays", "v")
	_, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("gone"), Force: true})
	f.must(err)
	f.create("gone", "new") // meanwhile the name is used again
	for nth := 1; nth <= 8; nth++ {
		flaky.Set(faulty.Fault{Op: faulty.Update, Nth: nth, When: faulty.When(nth % 3)})
		_ = f.Secrets.Purge(f.ctx)
		flaky.Set()
		if got := f.read(secret.ReadRequest{ID: id("gone")}); got != "new" {
			t.Fatalf("failure %d: the successor reads %s", nth, got)
		}
	}
	f.must(f.Secrets.Purge(f.ctx))
	for k := range f.Dump(t) {
		if strings.Contains(k, token(2)) {
			t.Errorf("left: %q", k)
		}
	}
	if got := f.read(secret.ReadRequest{ID: id("stays")}); got != "v" {
		t.Errorf("the other reads %s", got)
	}
}

func TestPurgeGoesOnPastWhatItCannotDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, coretest.Config{})
		for _, n := range []string{"broken", "sound"} {
			f.create(n, "v")
			_, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id(n), Window: 7})
			f.must(err)
		}
		_, err := f.DB.Update(f.ctx, func(tx kv.Txn) error {
			return tx.Put(secret.HeadKey(name.Secret{Account: coretest.Home, Region: coretest.Region, Name: "broken"}), []byte{0xff})
		})
		f.must(err)
		time.Sleep(8 * 24 * time.Hour) // fake time
		if err := f.Secrets.Purge(f.ctx); err == nil {
			t.Error("nothing was said of the record that cannot be read")
		}
		if left := f.leftOf("sound"); len(left) > 0 {
			t.Errorf("left of the other: %q", left)
		}
	})
}

func TestTags(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", "v")
	set := func(tags ...secret.Tag) error { _, err := f.Secrets.Tag(f.ctx, f.Admin, id("s"), tags, ""); return err }
	tags := func() []secret.Tag {
		d, err := f.Secrets.Describe(f.ctx, f.Admin, id("s"))
		f.must(err)
		return d.Tags
	}
	f.must(set(secret.Tag{Key: "a", Value: "1"}, secret.Tag{Key: "b", Value: "2"}))
	f.must(set(secret.Tag{Key: "a", Value: "3"}, secret.Tag{Key: "c"}))
	if got, want := fmt.Sprint(tags()), "[{a 3} {b 2} {c }]"; got != want {
		t.Errorf("tags %s, want %s", got, want)
	}
	f.unchanged(func() { f.must(set(secret.Tag{Key: "a", Value: "3"})) })
	_, err := f.Secrets.Untag(f.ctx, f.Admin, id("s"), []string{"a", "none"}, "")
	f.must(err)
	if got, want := fmt.Sprint(tags()), "[{b 2} {c }]"; got != want {
		t.Errorf("tags %s, want %s", got, want)
	}
	f.unchanged(func() {
		f.expect(set(), "invalid@Tags")
		f.expect(set(secret.Tag{Key: "aws:x"}), "invalid@Tags")
		var many []secret.Tag
		for i := range 49 {
			many = append(many, secret.Tag{Key: fmt.Sprint("k", i)})
		}
		f.expect(set(many...), "limit/tags")
		_, err := f.Secrets.Untag(f.ctx, f.Admin, id("s"), nil, "")
		f.expect(err, "invalid@TagKeys")
		_, err = f.Secrets.Tag(f.ctx, f.Admin, id("none"), []secret.Tag{{Key: "a"}}, "")
		f.expect(err, "not-found/secret")
	})
}

func TestNobodyLocksThemselvesOut(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", "v")
	_, err := f.Secrets.Tag(f.ctx, f.Admin, id("s"), []secret.Tag{{Key: "team", Value: "blue"}}, "")
	f.must(err)
	who, _ := f.User(t, "blue", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*",
		"Condition":{"StringEquals":{"aws:ResourceTag/team":"blue"}}}]}`)
	f.unchanged(func() {
		_, err := f.Secrets.Tag(f.ctx, who, id("s"), []secret.Tag{{Key: "team", Value: "red"}}, "")
		f.expect(err, "denied/lockout")
		_, err = f.Secrets.Untag(f.ctx, who, id("s"), []string{"team"}, "")
		f.expect(err, "denied/lockout")
	})
	_, err = f.Secrets.Tag(f.ctx, who, id("s"), []secret.Tag{{Key: "other", Value: "x"}}, "")
	f.must(err)
}

func TestResourcePolicy(t *testing.T) {
	f := start(t, coretest.Config{})
	w := f.create("s", "v")
	who, _ := f.User(t, "bob", "")
	doc := func(effect, principal string) string {
		return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":%q,"Principal":{"AWS":%q},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`, effect, principal)
	}
	if got := f.readAs(who, secret.ReadRequest{ID: id("s")}); got != "(denied/no-match)" {
		t.Errorf("without a policy: %s", got)
	}
	put := func(text string, block bool) error {
		_, err := f.Secrets.PutResourcePolicy(f.ctx, f.Admin, id("s"), text, block, "")
		return err
	}
	f.must(put(doc("Allow", who.ARN()), true))
	if got := f.readAs(who, secret.ReadRequest{ID: id("s")}); got != "v" {
		t.Errorf("with a policy: %s", got)
	}
	f.unchanged(func() { f.must(put(doc("Allow", who.ARN()), false)) })
	f.must(put(doc("Deny", f.Admin.ARN()), false))
	if got := f.read(secret.ReadRequest{ID: id("s")}); got != "(denied/explicit-deny)" {
		t.Errorf("denied by a policy: %s", got)
	}
	f.unchanged(func() {
		f.expect(put(doc("Allow", "*"), true), "precondition/public-policy")
		f.expect(put("", false), "invalid/too-long")
		f.expect(put(strings.Repeat(" ", secret.MaxPolicy+1), false), "invalid/too-long")
		if got := code(put(`{"Statement":[]}`, false)); !strings.HasPrefix(got, "invalid") {
			t.Errorf("malformed: %s", got)
		}
	})
	p, err := f.Secrets.GetResourcePolicy(f.ctx, f.Admin, coretest.ID(t, w.ARN))
	f.must(err)
	if p.Policy != doc("Deny", f.Admin.ARN()) {
		t.Errorf("policy %s", p.Policy)
	}
	_, err = f.Secrets.DeleteResourcePolicy(f.ctx, f.Admin, id("s"), "")
	f.must(err)
	if got := f.read(secret.ReadRequest{ID: id("s")}); got != "v" {
		t.Errorf("after the policy went: %s", got)
	}
	findings, err := f.Secrets.ValidateResourcePolicy(f.ctx, f.Admin, id("s"), doc("Allow", "*"))
	f.must(err)
	if len(findings) == 0 {
		t.Error("nothing found in a policy for everybody")
	}
	findings, err = f.Secrets.ValidateResourcePolicy(f.ctx, f.Admin, name.SecretID{}, doc("Allow", who.ARN()))
	f.must(err)
	if len(findings) != 0 {
		t.Errorf("found %v", findings)
	}
	_, err = f.Secrets.ValidateResourcePolicy(f.ctx, f.Admin, id("none"), doc("Allow", who.ARN()))
	f.expect(err, "not-found/secret")
}

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, coretest.Config{})
		f.create("s", "v")
		rotate := func(r secret.RotateRequest) error {
			r.ID, r.VersionID = id("s"), token(2)
			_, err := f.Secrets.Rotate(f.ctx, f.Admin, r)
			return err
		}
		f.unchanged(func() {
			for want, r := range map[string]secret.RotateRequest{
				"precondition/no-rotation-function":      {},
				"precondition/function-not-invocable":    {Function: "arn:g", Days: 7},
				"invalid/schedule":                       {Function: coretest.FunctionARN, Later: true},
				"invalid@ExternalSecretRotationMetadata": {External: map[string]string{"a": "\x00"}},
			} {
				f.expect(rotate(r), want)
			}
			for _, r := range []secret.RotateRequest{{Days: 7, Schedule: "rate(4 hours)"}, {Days: 1001}, {Days: -1},
				{Schedule: "rate(1 hour)"}, {Schedule: "often"}, {Days: 7, Window: "25h"}} {
				r.Function, r.Later = coretest.FunctionARN, true
				if r.Window == "25h" {
					r.Window = "x"
				}
				f.expect(rotate(r), "invalid/schedule")
			}
			_, err := f.Secrets.Rotate(f.ctx, f.Admin, secret.RotateRequest{ID: id("s"), Function: "f"})
			f.expect(err, "invalid@ClientRequestToken")
			_, err = f.Secrets.CancelRotation(f.ctx, f.Admin, id("s"), "")
			f.must(err)
		})
		f.must(rotate(secret.RotateRequest{Function: coretest.FunctionARN, Days: 7, Window: "3h", Later: true}))
		d, err := f.Secrets.Describe(f.ctx, f.Admin, id("s"))
		f.must(err)
		if d.Rotation == nil || !d.Rotation.Enabled || d.Rotation.Days != 7 || !d.NextRotation.After(time.Now()) || d.NextRotation.After(time.Now().AddDate(0, 0, 9)) {
			t.Errorf("rotation %+v, next %s", d.Rotation, d.NextRotation)
		}
		f.must(rotate(secret.RotateRequest{Schedule: "rate(10 days)", Later: true}))
		d, err = f.Secrets.Describe(f.ctx, f.Admin, id("s"))
		f.must(err)
		if d.Rotation.Days != 0 || d.Rotation.Schedule != "rate(10 days)" || d.Rotation.Function != coretest.FunctionARN || d.Rotation.Window != "3h" {
			t.Errorf("changed to %+v", d.Rotation)
		}
		_, err = f.Secrets.CancelRotation(f.ctx, f.Admin, id("s"), "")
		f.must(err)
		d, err = f.Secrets.Describe(f.ctx, f.Admin, id("s"))
		f.must(err)
		if d.Rotation.Enabled || d.Rotation.Function != coretest.FunctionARN || !d.NextRotation.IsZero() {
			t.Errorf("cancelled: %+v, next %s", d.Rotation, d.NextRotation)
		}
	})
}

func TestLastUsed(t *testing.T) {
	engines(t, func(t *testing.T, c coretest.Config) {
		f := start(t, c)
		f.create("s", "v")
		f.put("s", 2, "w")
		f.read(secret.ReadRequest{ID: id("s")})
		f.must(secret.FlushUsed(f.Secrets, f.ctx))
		d, err := f.Secrets.Describe(f.ctx, f.Admin, id("s"))
		f.must(err)
		today := time.Now().UTC().Truncate(24 * time.Hour)
		if !d.Accessed.Equal(today) {
			t.Errorf("accessed %s, want %s", d.Accessed, today)
		}
		vs, err := f.Secrets.ListVersions(f.ctx, f.Admin, secret.VersionsRequest{ID: id("s")})
		f.must(err)
		if !vs.Versions[0].Accessed.Equal(today) || !vs.Versions[1].Accessed.IsZero() {
			t.Errorf("versions %+v", vs.Versions)
		}
		f.must(secret.FlushUsed(f.Secrets, f.ctx))
	})
}
