package rotation_test

import (
	"strings"
	"testing"
	"time"

	"countersign/internal/core/coretest"
	"countersign/internal/core/rotation"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/rotator"
)

func told(r rotation.Report) string {
	var out []string
	for _, s := range r.Steps {
		text := s.Step
		if s.Failure != nil {
			text += "!" + s.Failure.Class
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func TestDryRun(t *testing.T) {
	inBubble(t, true, func(f *fixture) {
		db := coretest.ID(t, "db")
		if _, err := f.Rotation.DryRun(f.t.Context(), f.Admin, db, nil); errs.As(err) == nil || errs.As(err).Code != secret.CodeNoRotation {
			t.Errorf("nothing is configured: %v", err)
		}
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Days, r.Later = 7, true })
		f.must(err)
		time.Sleep(time.Minute) // the engine has begun, and kept the time
		before := f.Dump(t)
		rep, err := f.Rotation.DryRun(f.t.Context(), f.Admin, db, nil)
		f.must(err)
		if !rep.OK || told(rep) != "settings secrets create current" || rep.Previous != "it stays valid until the rotation after" {
			t.Errorf("%+v", rep)
		}
		if f.x.Called() != "create test" || f.x.Users() != "app" {
			t.Error("it altered the target")
		}
		f.x.users["app"] = "changed outside"
		rep, err = f.Rotation.DryRun(f.t.Context(), f.Admin, db, nil)
		f.must(err)
		if rep.OK || told(rep) != "settings secrets create current!credentials" {
			t.Errorf("%+v", rep)
		}
		f.x.users["app"] = "first"
		for k, v := range f.Dump(t) {
			if string(before[k]) != string(v) {
				t.Errorf("it altered %q", k)
			}
		}
		dev, _ := f.User(t, "dev", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["secretsmanager:GetSecretValue","secretsmanager:DescribeSecret"],"Resource":"*"}]}`)
		if _, err := f.Rotation.DryRun(f.t.Context(), dev, db, nil); !errs.Is(err, errs.Denied) {
			t.Errorf("who may not rotate: %v", err)
		}
	})
}

func TestRehearse(t *testing.T) {
	inBubble(t, true, func(f *fixture) {
		db, scratch := coretest.ID(t, "db"), coretest.ID(t, "scratch")
		f.create("scratch", `{"username":"trial","password":"t"}`)
		f.x.users["trial"] = "t"
		for _, n := range []string{"db", "scratch"} {
			_, err := f.rotate(n, with("test"), func(r *secret.RotateRequest) { r.Days, r.Later = 7, true })
			f.must(err)
		}
		rep, err := f.Rotation.DryRun(f.t.Context(), f.Admin, db, &scratch)
		f.must(err)
		if !rep.OK || !strings.HasSuffix(told(rep), "rehearse-create rehearse-set rehearse-test rehearse-finish rehearse-undo") {
			t.Errorf("%s: %+v", told(rep), rep)
		}
		if f.x.Users() != "app trial" || !f.x.Accepts(first) || !f.x.Accepts(`{"username":"trial","password":"t"}`) {
			t.Errorf("users %s are left", f.x.Users())
		}
		// one that fails is taken back too
		f.x.fails = func(s string, done bool) error {
			if s == "set" && done {
				return rotator.Fail(rotator.Rejected, errScripted, "no")
			}
			return nil
		}
		rep, err = f.Rotation.DryRun(f.t.Context(), f.Admin, db, &scratch)
		f.must(err)
		if rep.OK || !strings.HasSuffix(told(rep), "rehearse-set!rejected rehearse-undo") || f.x.Users() != "app trial" {
			t.Errorf("%s, users %s", told(rep), f.x.Users())
		}
		if _, err := f.Rotation.DryRun(f.t.Context(), f.Admin, db, &db); !errs.Is(err, errs.Invalid) {
			t.Errorf("on itself: %v", err)
		}
		f.create("other", "x")
		_, err = f.rotate("other", with("random"))
		f.must(err)
		other := coretest.ID(t, "other")
		if _, err := f.Rotation.DryRun(f.t.Context(), f.Admin, db, &other); !errs.Is(err, errs.Invalid) {
			t.Errorf("on one of another kind: %v", err)
		}
		settle()
	})
}

func TestCalendar(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.create("weekly", "v")
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Schedule, r.Later = "0 12 * * *", true })
		f.must(err)
		_, err = f.rotate("weekly", with("random"), func(r *secret.RotateRequest) {
			r.Days, r.Later, r.Blackout = 7, true, []string{"2000-01-08/2000-01-09"}
		})
		f.must(err)
		stranger, _ := f.Stranger(t)
		list, more, err := f.Rotation.Calendar(f.t.Context(), f.Admin, time.Now().AddDate(0, 0, 11))
		f.must(err)
		var got []string
		for _, p := range list {
			got = append(got, p.At.Format("02T15")+" "+p.Name)
		}
		const want = "01T12 db, 02T12 db, 03T12 db, 04T12 db, 05T12 db, 06T12 db, 07T12 db, 08T12 db, 09T12 db, 10T00 weekly, 10T12 db, 11T12 db"
		if more || strings.Join(got, ", ") != want {
			t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
		}
		list, _, err = f.Rotation.Calendar(f.t.Context(), stranger, time.Now().AddDate(0, 0, 11))
		if err != nil || len(list) != 0 {
			t.Errorf("another account sees %v, %v", list, err)
		}
	})
}
