package rotation_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/protect"
	"countersign/internal/core/rotation"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/faulty"
	"countersign/internal/name"
	"countersign/internal/rotator"
	"countersign/internal/sensitive"
)

// function is a rotation function that keeps its values in the store itself, as one
// written for AWS does, by requests of the user "rotator".
type function struct {
	*target
	f       *fixture
	as      *caller.Caller // who calls back; nil: a user of its own
	returns bool           // the value in the answer instead of putting it
	lazy    bool           // it leaves the last step to the server
	whole   bool           // it goes by the letter of the older functions, and puts no value at all
	token   bool           // its puts carry the rotation's token
}

func (x *function) kind() rotator.Kind {
	k := x.target.kind()
	k.Name, k.Undoes, k.Fate, k.Stores = secret.KindFunction, false, rotator.Unknown, true
	k.Options = []rotator.Option{{Name: secret.OptionFunction, Help: "h", Require: true}}
	k.User = func(account string, options map[string]string) string {
		if account == coretest.Home && options[secret.OptionFunction] == coretest.FunctionARN {
			return "rotator"
		}
		return ""
	}
	k.New = func(rotator.Env) rotator.Rotator { return x }
	return k
}

func (x *function) put(ctx context.Context, j rotator.Job, value rotator.Value) error {
	req := secret.PutRequest{ID: coretest.ID(x.f.t, j.ARN), VersionID: j.VersionID, Labels: []string{name.Pending},
		Value: secret.Input{Data: value.Data}}
	if x.token {
		req.RotationToken = string(j.Token.Reveal())
	}
	out, err := x.f.Secrets.PutValue(ctx, *x.as, req)
	if err == nil && out.Status != change.Applied {
		err = errs.New(errs.Precondition, "the value waits for review")
	}
	return err
}

func (x *function) Create(ctx context.Context, j rotator.Job) (rotator.Created, error) {
	made, err := x.target.Create(ctx, j)
	switch {
	case err != nil || x.whole:
		return rotator.Created{}, err
	case x.returns:
		return rotator.Created{Value: made.Value}, nil
	case !j.Pending.Empty(): // it was made before
		return rotator.Created{}, nil
	}
	if err := x.put(ctx, j, made.Value); err != nil {
		return rotator.Created{}, rotator.Fail(rotator.Rejected, err, "the function failed")
	}
	return rotator.Created{}, nil
}

func (x *function) Finish(ctx context.Context, j rotator.Job) error {
	if err := x.target.Finish(ctx, j); err != nil || x.lazy {
		return err
	}
	out, err := x.f.Secrets.MoveLabel(ctx, *x.as, secret.LabelRequest{ID: coretest.ID(x.f.t, j.ARN), Label: name.Current, To: j.VersionID, Infer: true})
	if err != nil || out.Status != change.Applied {
		return rotator.Fail(rotator.Rejected, err, "the function failed")
	}
	return nil
}

const rotatorPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["secretsmanager:DescribeSecret","secretsmanager:GetSecretValue","secretsmanager:PutSecretValue","secretsmanager:UpdateSecretVersionStage"],"Resource":"*"}]}`

// withFunction runs a test with a function that rotates "db".
func withFunction(t *testing.T, x *function, do func(f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x.target = newTarget(false)
		f := &fixture{Core: coretest.New(t, coretest.Config{Kinds: rotator.Kinds{x.kind()}}), t: t, x: x.target}
		x.f = f
		f.create("db", first)
		own, _ := f.User(t, "rotator", rotatorPolicy)
		if x.as == nil {
			x.as = &own
		}
		s := f.Rotator(rotation.Config{Kinds: rotator.Kinds{x.kind()}, Attempts: 3, Every: time.Minute})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		f.Rotation, f.stop = s, func() { cancel(); <-done }
		t.Cleanup(func() { f.stop() })
		do(f)
	})
}

func byFunction(r *secret.RotateRequest) { r.Function = coretest.FunctionARN }

func protectDB(f *fixture) {
	f.t.Helper()
	_, err := f.Changes.PutRules(f.t.Context(), f.Admin, change.RuleChange{Set: &protect.Rule{Name: "prod", Match: []string{"*"},
		Approvals: []protect.Approval{{Count: 1}}}}, "", change.Options{})
	f.must(err)
}

func TestFunction(t *testing.T) {
	for what, x := range map[string]*function{"stores": {}, "returns": {returns: true, lazy: true}, "lazy": {lazy: true}, "token": {token: true}} {
		for _, protected := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s-protected-%t", what, protected), func(t *testing.T) {
				x := *x
				withFunction(t, &x, func(f *fixture) {
					_, err := f.rotate("db", byFunction, func(r *secret.RotateRequest) { r.Days, r.Later = 1, true })
					f.must(err)
					if protected {
						protectDB(f)
					}
					out, err := f.rotate("db")
					f.must(err)
					settle()
					f.clean()
					if st := f.status("db"); st.History[0].Result != secret.RotationDone || st.History[0].Version != out.VersionID || f.read("db", name.Previous) != first {
						t.Errorf("%+v, %+v", st.History, st.Failure)
					}
				})
			})
		}
	}
}

func TestFunctionPutsNothing(t *testing.T) {
	withFunction(t, &function{whole: true}, func(f *fixture) {
		_, err := f.rotate("db", byFunction)
		f.must(err)
		time.Sleep(time.Minute)
		st := f.status("db")
		if st.Failure == nil || st.Failure.Class != "unsuitable" || f.read("db", name.Current) != first {
			t.Errorf("%+v", st.Failure)
		}
	})
}

// TestFunctionGoesOn: a function cannot undo, so the next attempt takes up what the
// last one made.
func TestFunctionGoesOn(t *testing.T) {
	x := &function{}
	withFunction(t, x, func(f *fixture) {
		f.x.fails = func(s string, done bool) error {
			if s == "test" {
				return down()
			}
			return nil
		}
		out, err := f.rotate("db", byFunction)
		f.must(err)
		time.Sleep(time.Minute)
		made := f.read("db", name.Pending)
		if st := f.status("db"); st.History[0].Result != secret.RotationStopped || made == "" || !f.x.Accepts(made) {
			t.Fatalf("%+v, pending %t", st.History, made != "")
		}
		f.x.heal()
		again, err := f.rotate("db")
		f.must(err)
		settle()
		f.clean()
		if again.VersionID != out.VersionID || f.read("db", name.Current) != made {
			t.Error("it did not go on with the version that it had made")
		}
	})
}

// TestImpostor: nobody else's requests pass as the rotator's, and the rotator's own
// not beyond its rotation.
func TestImpostor(t *testing.T) {
	x := &function{}
	withFunction(t, x, func(f *fixture) {
		_, err := f.rotate("db", byFunction, func(r *secret.RotateRequest) { r.Days, r.Later = 1, true })
		f.must(err)
		protectDB(f)
		db := coretest.ID(t, "db")
		dev, _ := f.User(t, "dev", rotatorPolicy)
		held := func(what string, out secret.Written, err error) {
			t.Helper()
			if err == nil && out.Status == change.Applied {
				t.Errorf("%s was applied without a signature", what)
			}
		}
		value := secret.Input{Data: sensitive.FromString("chosen")}
		put := func(what string, who caller.Caller, id, label, token string) {
			t.Helper()
			out, err := f.Secrets.PutValue(f.t.Context(), who, secret.PutRequest{ID: db, VersionID: id, Labels: []string{label}, Value: value, RotationToken: token})
			held(what, out, err)
		}
		put("the rotator without a rotation", *x.as, f.id(), name.Pending, "")
		f.x.took = 20 * time.Second
		out, err := f.rotate("db")
		f.must(err)
		time.Sleep(10 * time.Second) // in create
		put("somebody's value for the version that is made", dev, out.VersionID, name.Pending, "")
		put("somebody's value with another token", dev, out.VersionID, name.Pending, secret.NewRotationToken())
		put("the rotator's value for another version", *x.as, f.id(), name.Pending, "")
		put("the rotator's current value", *x.as, out.VersionID, name.Current, "")
		move := func(what string, who caller.Caller, label, from, to string) {
			t.Helper()
			out, err := f.Secrets.MoveLabel(f.t.Context(), who, secret.LabelRequest{ID: db, Label: label, From: from, To: to, Infer: true})
			held(what, out, err)
		}
		move("the rotator makes it current before its time", *x.as, name.Current, "", out.VersionID)
		time.Sleep(60 * time.Second) // in finish
		if st := f.status("db"); st.Run == nil || st.Run.Step != secret.StepFinish {
			t.Fatalf("it is at %+v", st.Run)
		}
		move("somebody makes it current", dev, name.Current, "", out.VersionID)
		put("the rotator's value too late", *x.as, out.VersionID, name.Pending, "")
		for id := range f.description("db").Labels {
			if id != out.VersionID {
				move("the rotator moves another label", *x.as, "mine", "", id)
			}
		}
		time.Sleep(time.Minute)
		f.clean()
		if f.read("db", name.Current) == first || f.read("db", name.Current) == "chosen" {
			t.Error("it did not rotate to the value that it made")
		}
	})
}

func (f *fixture) description(n string) secret.Description {
	f.t.Helper()
	d, err := f.Secrets.Describe(f.t.Context(), f.Admin, coretest.ID(f.t, n))
	f.must(err)
	return d
}

// TestDiskFull: what cannot be written down is not done outside every second, and
// the rotation goes on once it can be.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTarget(false)
		var broken *faulty.DB
		f := start(t, x, coretest.Config{Wrap: func(db kv.DB) kv.DB { broken = faulty.New(db); return broken }})
		full := false
		x.fails = func(s string, done bool) error {
			if s == "set" && done && !full {
				full = true
				broken.Set(faulty.Fault{Op: faulty.Update, When: faulty.AtCommit, Err: faulty.ErrNoSpace})
			}
			return nil
		}
		_, err := f.rotate("db", with("test"))
		f.must(err)
		time.Sleep(10 * time.Minute)
		if n := len(f.x.calls); n < 5 || n > 20 {
			t.Errorf("%d steps in ten minutes of a full disk", n)
		}
		broken.Set()
		time.Sleep(10 * time.Minute)
		f.clean()
		if f.read("db", name.Current) == first {
			t.Error("it did not go on")
		}
	})
}
