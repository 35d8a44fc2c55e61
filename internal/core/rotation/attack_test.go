package rotation_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/core/coretest"
	"countersign/internal/core/rotation"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
)

// TestAdminSecretOfTheAccount: who may rotate a secret of another account names admin
// secrets of that account, and not such as they have themselves.
func TestAdminSecretOfTheAccount(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.create("admin", `{"username":"root","password":"r"}`)
		stranger, _ := f.Stranger(t)
		db := coretest.ID(t, "db")
		d, err := f.Secrets.Describe(f.t.Context(), f.Admin, db)
		f.must(err)
		_, err = f.Secrets.PutResourcePolicy(f.t.Context(), f.Admin, db, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+coretest.Other+`:root"},"Action":"secretsmanager:RotateSecret","Resource":"*"}]}`, false, "")
		f.must(err)
		_, err = f.Secrets.Create(f.t.Context(), stranger, secret.CreateRequest{Name: "admin", VersionID: f.id()})
		f.must(err)
		req := secret.RotateRequest{ID: coretest.ID(t, d.ARN), VersionID: f.id(), Rotator: "test", Options: map[string]string{"admin": "admin"}, Native: true}
		if _, err := f.Secrets.Rotate(f.t.Context(), stranger, req); !errs.Is(err, errs.Denied) {
			t.Errorf("with an admin secret of this account: %v", err)
		}
		req.Options = nil
		if _, err := f.Secrets.Rotate(f.t.Context(), stranger, req); err != nil {
			t.Errorf("without: %v", err)
		}
		settle()
		f.clean()
	})
}

// TestRecordOfSettings: the record of settings is about the secret that they are of.
func TestRecordOfSettings(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.create("admin", `{"username":"root","password":"r"}`)
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Options, r.Later = map[string]string{"admin": "admin"}, true })
		f.must(err)
		for _, r := range f.Records(t) {
			if r.Operation == "Rotate" && r.Resource != "db" {
				t.Errorf("the record is about %q", r.Resource)
			}
		}
	})
}

// TestPurgedInTheMiddle: a secret whose window is over stays until its target is as it
// was.
func TestPurgedInTheMiddle(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.x.fails = func(s string, done bool) error {
			if s == "test" || s == "undo" {
				return down()
			}
			return nil
		}
		_, err := f.rotate("db", with("test"))
		f.must(err)
		time.Sleep(time.Minute)
		_, err = f.Secrets.Delete(f.t.Context(), f.Admin, secret.DeleteRequest{ID: coretest.ID(t, "db"), Window: 7})
		f.must(err)
		f.stop()
		time.Sleep(8 * days)
		f.must(f.Secrets.Purge(f.t.Context()))
		if f.status("db").Run == nil || f.x.Accepts(first) {
			t.Fatal("nothing is to be undone")
		}
		f.x.heal()
		f.run()
		settle()
		if !f.x.Accepts(first) {
			t.Error("the target has a password that nobody knows")
		}
		f.must(f.Secrets.Purge(f.t.Context()))
		if _, err := f.Rotation.Status(f.t.Context(), f.Admin, coretest.ID(t, "db")); !errs.Is(err, errs.NotFound) {
			t.Errorf("it is still there: %v", err)
		}
	})
}

// TestRehearsalBySettingsOfTheTarget: who may rotate two secrets does not by a rehearsal
// use the login of one under what the other lets it do.
func TestRehearsalBySettingsOfTheTarget(t *testing.T) {
	inBubble(t, true, func(f *fixture) {
		f.create("scratch", `{"username":"trial","password":"t"}`)
		f.create("admin", "a")
		f.x.users["trial"] = "t"
		for n, o := range map[string]map[string]string{"db": {"mode": "m", "password_length": "40"}, "scratch": {"username": "trial", "admin": "admin", "mode": "other"}} {
			_, err := f.rotate(n, with("test"), func(r *secret.RotateRequest) { r.Days, r.Later, r.Options = 7, true, o })
			f.must(err)
		}
		scratch := coretest.ID(t, "scratch")
		rep, err := f.Rotation.DryRun(f.t.Context(), f.Admin, coretest.ID(t, "db"), &scratch)
		f.must(err)
		want := map[string]string{"mode": "m", "password_length": "40", "username": "trial", "admin": "admin"}
		if !rep.OK || !maps.Equal(f.x.got, want) {
			t.Errorf("%+v with %v", rep, f.x.got)
		}
	})
}

// TestRehearsalKeepsRotationsOff: the target of a scratch secret is changed by one at a
// time.
func TestRehearsalKeepsRotationsOff(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.create("scratch", `{"username":"trial","password":"t"}`)
		f.x.users["trial"] = "t"
		for _, n := range []string{"db", "scratch"} {
			_, err := f.rotate(n, with("test"), func(r *secret.RotateRequest) { r.Days, r.Later = 7, true })
			f.must(err)
		}
		f.x.took = 10 * time.Second
		done := make(chan rotation.Report)
		scratch := coretest.ID(t, "scratch")
		go func() {
			rep, err := f.Rotation.DryRun(f.t.Context(), f.Admin, coretest.ID(t, "db"), &scratch)
			if err != nil {
				t.Error(err)
			}
			done <- rep
		}()
		time.Sleep(35 * time.Second)
		_, err := f.rotate("scratch")
		f.must(err)
		if rep := <-done; !rep.OK {
			t.Errorf("%+v", rep)
		}
		time.Sleep(5 * time.Minute)
		if !f.x.Accepts(f.read("scratch", "AWSCURRENT")) || f.status("scratch").State != rotation.Idle {
			t.Error("the scratch secret does not work")
		}
	})
}

// TestNobodyChooses: what a rotation makes nobody chooses by what it is drawn from.
func TestNobodyChooses(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.create("key", "v")
		_, err := f.Passwords.Put(f.t.Context(), f.Admin, "p", `length=20 rule "charset" { charset="ab" min-chars=20 }`)
		f.must(err)
		_, err = f.Passwords.Put(f.t.Context(), f.Admin, "q", `length=30 rule "charset" { charset="ab" }`)
		f.must(err)
		var most strings.Builder
		for c := byte('!'); c < 'z'; c++ {
			most.WriteByte(c)
		}
		for _, c := range []struct {
			options map[string]string
			ok      bool
		}{
			{map[string]string{"exclude_characters": most.String(), "password_length": "8"}, false}, // z { | } ~ are left
			{map[string]string{"exclude_characters": most.String() + "{|}~"}, false},
			{map[string]string{"exclude_characters": most.String() + "{|}~", "password_length": "128"}, false},
			{map[string]string{"exclude_characters": secret.Lowercase + secret.Uppercase + secret.Punctuation, "password_length": "8"}, true},
			{map[string]string{"password_policy": "p"}, false},
			{map[string]string{"password_policy": "q"}, true},
		} {
			before := f.read("key", "AWSCURRENT")
			_, err := f.rotate("key", with("random"), func(r *secret.RotateRequest) { r.Options = c.options })
			f.must(err)
			settle()
			failure := f.status("key").Failure
			if (f.read("key", "AWSCURRENT") != before) != c.ok || (failure == nil) != c.ok || failure != nil && failure.Class != "unsuitable" {
				t.Errorf("%v: %+v", c.options, failure)
			}
		}
	})
}

// TestKeptNoMore: settings by which the target keeps nothing cannot end what it kept, and
// it is not said that they did.
func TestKeptNoMore(t *testing.T) {
	inBubble(t, true, func(f *fixture) {
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Grace = time.Hour })
		f.must(err)
		settle()
		_, err = f.rotate("db", func(r *secret.RotateRequest) { r.Options, r.Later = map[string]string{"mode": "single"}, true })
		f.must(err)
		time.Sleep(2 * time.Hour)
		st := f.status("db")
		if len(st.Retiring) > 0 || st.History[0].Result != secret.RotationDone || !f.x.Accepts(first) {
			t.Errorf("%+v, %+v", st.Retiring, st.History[0])
		}
	})
}

// TestRestoredInTheMiddle: a store of before a rotation ended, over a target that has
// rotated twice since, comes to hold again.
func TestRestoredInTheMiddle(t *testing.T) {
	for _, pair := range []bool{false, true} {
		for n, step := range []string{"create", "set", "test", "finish"} {
			t.Run(fmt.Sprintf("pair-%t-%s", pair, step), func(t *testing.T) {
				x, dir, backup := newTarget(pair), t.TempDir(), filepath.Join(t.TempDir(), "backup")
				liveIn(t, dir, x, life{0, func(f *fixture) {
					f.x.took = 10 * time.Second
					_, err := f.rotate("db", with("test"))
					f.must(err)
					time.Sleep(time.Duration(n)*10*time.Second + 5*time.Second)
					f.stop()
					f.must(f.Relay.Flush(f.t.Context()))
					f.must(os.CopyFS(backup, os.DirFS(dir)))
					f.must(os.Chmod(filepath.Join(backup, "root.key"), 0o600))
					f.run()
					time.Sleep(time.Minute)
					for range 2 {
						_, err := f.rotate("db")
						f.must(err)
						time.Sleep(time.Minute)
					}
					f.clean()
				}})
				liveIn(t, backup, x, life{time.Hour, func(f *fixture) {
					time.Sleep(time.Hour)
					f.clean()
				}})
			})
		}
	}
}
