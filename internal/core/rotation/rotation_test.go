package rotation_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/notice"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/core/rotation"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/rotator"
	"countersign/internal/rotator/random"
	"countersign/internal/sensitive"
)

// fixture is a core with a secret "db" that a target in memory has the login of.
type fixture struct {
	*coretest.Core
	t    *testing.T
	x    *target
	stop func() // kills the service that rotates
	n    int
}

func start(t *testing.T, x *target, conf coretest.Config) *fixture {
	t.Helper()
	conf.Kinds = append(conf.Kinds, x.kind(), random.Kind())
	f := &fixture{Core: coretest.New(t, conf), t: t, x: x}
	f.create("db", first)
	f.run()
	t.Cleanup(func() { f.stop() })
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) create(n, value string) {
	f.t.Helper()
	f.n++
	_, err := f.Secrets.Create(f.t.Context(), f.Admin, secret.CreateRequest{Name: n, VersionID: f.id(), Value: &secret.Input{Data: sensitive.FromString(value)}})
	f.must(err)
}

func (f *fixture) id() string {
	f.n++
	return fmt.Sprintf("00000000-0000-4000-8000-%012d", f.n)
}

// run starts a service, as a server does.
func (f *fixture) run() {
	s := f.Rotator(rotation.Config{Kinds: f.kinds(), Attempts: 3, Every: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	f.Rotation, f.stop = s, func() { cancel(); <-done }
}

func (f *fixture) kinds() rotator.Kinds { return rotator.Kinds{f.x.kind(), random.Kind()} }

func (f *fixture) rotate(n string, alter ...func(*secret.RotateRequest)) (secret.Written, error) {
	req := secret.RotateRequest{ID: coretest.ID(f.t, n), VersionID: f.id(), Native: true}
	for _, a := range alter {
		a(&req)
	}
	return f.Secrets.Rotate(f.t.Context(), f.Admin, req)
}

// with sets the rotator.
func with(kind string) func(*secret.RotateRequest) {
	return func(r *secret.RotateRequest) { r.Rotator = kind }
}

func (f *fixture) read(n, label string) string {
	f.t.Helper()
	v, err := f.Secrets.ReadValue(f.t.Context(), f.Admin, secret.ReadRequest{ID: coretest.ID(f.t, n), Label: label})
	if errs.Is(err, errs.NotFound) {
		return ""
	}
	f.must(err)
	return string(v.Data.Reveal())
}

func (f *fixture) status(n string) rotation.Status {
	f.t.Helper()
	st, err := f.Rotation.Status(f.t.Context(), f.Admin, coretest.ID(f.t, n))
	f.must(err)
	return st
}

// notices are the kinds of those that were put, in their order.
func (f *fixture) notices() string {
	f.t.Helper()
	var out []string
	f.must(f.DB.View(f.t.Context(), func(r kv.Reader) error {
		out = nil
		for e, err := range record.Scan[notice.Notice](r, kv.Prefix(notice.Prefix())) {
			if err != nil {
				return err
			}
			if n := e.Value; strings.HasPrefix(string(n.Kind), "rotation.") {
				out = append(out, strings.TrimSpace(string(n.Kind)+" "+n.Facts["step"]))
			}
		}
		return nil
	}))
	return strings.Join(out, ", ")
}

// works holds what always has to be so: the current credential works, and nothing is
// left over.
func (f *fixture) works() {
	f.t.Helper()
	if v := f.read("db", name.Current); !f.x.Accepts(v) {
		f.t.Fatal("the current credential does not work")
	}
}

func (f *fixture) clean() {
	f.t.Helper()
	f.works()
	if f.read("db", name.Pending) != "" || f.status("db").Run != nil {
		f.t.Fatal("a rotation is left")
	}
	f.sound()
}

// sound checks the records against each other.
func (f *fixture) sound() {
	f.t.Helper()
	f.must(f.DB.View(f.t.Context(), func(r kv.Reader) error {
		return secret.Refer(f.Ring)(r, func(k kv.Key, problem string) { f.t.Errorf("%q: %s", k, problem) })
	}))
}

func inBubble(t *testing.T, pair bool, do func(*fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { do(start(t, newTarget(pair), coretest.Config{})) })
}

func settle() { time.Sleep(2 * time.Second); synctest.Wait() }

func TestRotateOnDemand(t *testing.T) {
	for _, pair := range []bool{false, true} {
		t.Run(fmt.Sprintf("pair-%t", pair), func(t *testing.T) {
			inBubble(t, pair, func(f *fixture) {
				out, err := f.rotate("db", with("test"))
				f.must(err)
				settle()
				f.clean()
				if got := f.x.Called(); got != "create set test finish" {
					t.Errorf("called %s", got)
				}
				if f.read("db", name.Previous) != first {
					t.Error("AWSPREVIOUS is not the first value")
				}
				if f.x.Accepts(first) != pair {
					t.Errorf("the previous credential works: %t", !pair)
				}
				st := f.status("db")
				if st.State != rotation.Idle || len(st.History) != 1 || st.History[0].Result != secret.RotationDone || st.History[0].Version != out.VersionID {
					t.Errorf("status %+v", st)
				}
				// once more, and the user of the pair is the first again
				_, err = f.rotate("db")
				f.must(err)
				settle()
				f.clean()
				if want := map[bool]string{false: "app", true: "app app_clone"}[pair]; f.x.Users() != want {
					t.Errorf("users %s", f.x.Users())
				}
				if got := f.notices(); got != "rotation.done, rotation.done" {
					t.Errorf("notices %s", got)
				}
				var steps []string
				for _, r := range f.Records(t) {
					if r.Principal.Name == "rotation" {
						steps = append(steps, r.Operation)
					}
				}
				const once = "RotationCreate RotationSet RotationTest RotationFinish"
				if got := strings.Join(steps, " "); !strings.HasPrefix(got, once+" "+once) {
					t.Errorf("records of %s", got)
				}
			})
		})
	}
}

func TestRepeatedRequest(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.x.took = time.Second
		id := f.id()
		same := func(r *secret.RotateRequest) { r.VersionID = id }
		_, err := f.rotate("db", with("test"), same)
		f.must(err)
		if _, err := f.rotate("db", same); err != nil {
			t.Errorf("the same request while it is under way: %v", err)
		}
		if _, err := f.rotate("db"); errs.As(err) == nil || errs.As(err).Code != secret.CodeRotating {
			t.Errorf("another while one is under way: %v", err)
		}
		time.Sleep(10 * time.Second)
		out, err := f.rotate("db", same)
		f.must(err)
		settle()
		if out.VersionID != id || f.x.Called() != "create set test finish" {
			t.Error("the same request rotated twice")
		}
	})
}

func TestFailures(t *testing.T) {
	for _, pair := range []bool{false, true} {
		for _, step := range []string{"create", "set", "test", "finish"} {
			for _, done := range []bool{false, true} {
				t.Run(fmt.Sprintf("pair-%t-%s-done-%t", pair, step, done), func(t *testing.T) {
					inBubble(t, pair, func(f *fixture) {
						users := f.x.Users()
						f.x.fails = func(s string, d bool) error {
							if s == step && d == done {
								return down()
							}
							return nil
						}
						_, err := f.rotate("db", with("test"))
						f.must(err)
						time.Sleep(time.Minute)
						f.clean()
						if f.read("db", name.Current) != first {
							t.Error("the current value is another")
						}
						if f.x.Users() != users {
							t.Errorf("users %s are left", f.x.Users())
						}
						st := f.status("db")
						if st.State != rotation.Failed || st.Failure == nil || st.Failure.Step != step || st.Failure.Class != "unreachable" ||
							st.History[0].Result != secret.RotationUndone {
							t.Errorf("status %+v, %+v", st, st.Failure)
						}
						if got := f.notices(); got != "rotation.failed "+step {
							t.Errorf("notices %s", got)
						}
						for _, r := range f.Records(t) {
							if r.Outcome == audit.Failed && r.Error != "rotation/unreachable" {
								t.Errorf("a record with %s", r.Error)
							}
						}
						// and then it works
						f.x.heal()
						_, err = f.rotate("db")
						f.must(err)
						settle()
						f.clean()
						if st := f.status("db"); st.Failure != nil || f.read("db", name.Current) == first {
							t.Error("it did not rotate after a failure")
						}
					})
				})
			}
		}
	}
}

// TestStuck: an undo that fails goes on until it does not.
func TestStuck(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.x.fails = func(s string, d bool) error {
			if s == "test" || s == "undo" {
				return down()
			}
			return nil
		}
		_, err := f.rotate("db", with("test"))
		f.must(err)
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if st := f.status("db"); st.State != rotation.Undoing || st.Run == nil || f.notices() != "rotation.failed undo" {
			t.Errorf("state %s, notices %s", st.State, f.notices())
		}
		f.x.heal()
		time.Sleep(2 * time.Hour)
		f.clean()
		if f.read("db", name.Current) != first {
			t.Error("the current value is another")
		}
	})
}

// TestCannotUndo: a rotation that fails and cannot be undone stops, and the next
// goes on with what it made, and with nothing else.
func TestCannotUndo(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.x.goesOn = true
		f.x.fails = func(s string, d bool) error {
			switch s {
			case "test":
				return down()
			case "undo":
				return rotator.Fail(rotator.Unsuitable, rotator.ErrCannotUndo, "it cannot be undone")
			}
			return nil
		}
		out, err := f.rotate("db", with("test"))
		f.must(err)
		time.Sleep(time.Hour)
		made := f.read("db", name.Pending)
		if st := f.status("db"); st.State != rotation.Failed || st.History[0].Result != secret.RotationStopped || st.Failure.Step != "test" ||
			made == "" || f.read("db", name.Current) != first || f.notices() != "rotation.failed test" {
			t.Fatalf("%+v, %+v, notices %s, a value is pending: %t", st.History, st.Failure, f.notices(), made != "")
		}
		db := coretest.ID(t, "db")
		move := func(from, to string) {
			_, err := f.Secrets.MoveLabel(f.t.Context(), f.Admin, secret.LabelRequest{ID: db, Label: name.Pending, From: from, To: to, Infer: true})
			f.must(err)
		}
		other := f.id()
		_, err = f.Secrets.PutValue(f.t.Context(), f.Admin, secret.PutRequest{ID: db, VersionID: other, Labels: []string{"other"}, Value: secret.Input{Data: sensitive.FromString(`{"username":"app","password":"chosen"}`)}})
		f.must(err)
		move(out.VersionID, other)
		if _, err := f.rotate("db"); !errs.Is(err, errs.Precondition) {
			t.Fatalf("what somebody put in its place is gone on with: %v", err)
		}
		move(other, out.VersionID)
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

// TestPatience: a kind may give its steps more time than the server does.
func TestPatience(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.x.took = 2 * time.Minute
		f.x.patience = 3 * time.Minute
		_, err := f.rotate("db", with("test"))
		f.must(err)
		time.Sleep(time.Hour)
		f.clean()
		if f.read("db", name.Current) == first {
			t.Errorf("it did not rotate: %+v", f.status("db").Failure)
		}
	})
}

// TestNotForAccount: settings that an account may not have are refused when they are
// saved.
func TestNotForAccount(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Options = map[string]string{"admin": "elsewhere"} })
		if e := errs.As(err); !errs.Is(err, errs.Invalid) || e.Field != "admin" {
			t.Errorf("%v", err)
		}
	})
}

// TestOnlyForward: what cannot be undone, and works, becomes current.
func TestOnlyForward(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		tests := 0
		f.x.fails = func(s string, d bool) error {
			switch s {
			case "test":
				if tests++; tests <= 3 {
					return down()
				}
			case "undo":
				return rotator.Fail(rotator.Permission, nil, "it may not")
			}
			return nil
		}
		_, err := f.rotate("db", with("test"))
		f.must(err)
		time.Sleep(time.Minute)
		f.clean()
		if f.read("db", name.Current) == first {
			t.Error("it did not go forward")
		}
	})
}

func TestCancel(t *testing.T) {
	for _, pair := range []bool{false, true} {
		for _, at := range []string{"create", "set", "test", "finish"} {
			t.Run(fmt.Sprintf("pair-%t-%s", pair, at), func(t *testing.T) {
				inBubble(t, pair, func(f *fixture) {
					users := f.x.Users()
					f.x.took = 10 * time.Second
					_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Days = 7 })
					f.must(err)
					for n, step := range []string{"create", "set", "test", "finish"} {
						if step == at {
							time.Sleep(time.Duration(n)*10*time.Second + 5*time.Second)
						}
					}
					_, err = f.Secrets.CancelRotation(f.t.Context(), f.Admin, coretest.ID(t, "db"), "")
					f.must(err)
					time.Sleep(time.Minute)
					f.clean()
					st := f.status("db")
					if at == "finish" {
						if st.History[0].Result != secret.RotationDone && st.History[0].Result != secret.RotationCancelled {
							t.Errorf("it ended as %s", st.History[0].Result)
						}
					} else if st.History[0].Result != secret.RotationCancelled || f.read("db", name.Current) != first || f.x.Users() != users {
						t.Errorf("it ended as %s, users %s", st.History[0].Result, f.x.Users())
					}
					if st.Enabled || !st.Next.IsZero() {
						t.Error("the schedule goes on")
					}
				})
			})
		}
	}
}

func TestSchedule(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		began := time.Now()
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Days, r.Later = 7, true })
		f.must(err)
		next := f.status("db").Next
		if want := began.UTC().Truncate(24*time.Hour).AddDate(0, 0, 7); !next.Equal(want) {
			t.Errorf("next %s, want %s", next, want)
		}
		time.Sleep(time.Until(next) - time.Second)
		if f.x.Called() != "" {
			t.Error("it began early")
		}
		settle()
		f.clean()
		if got := f.x.Called(); got != "create set test finish" {
			t.Errorf("called %s", got)
		}
		if got := f.status("db").Next; !got.Equal(next.AddDate(0, 0, 7)) {
			t.Errorf("next %s", got)
		}
		// a value put by hand counts as a rotation
		time.Sleep(72 * time.Hour)
		_, err = f.Secrets.PutValue(f.t.Context(), f.Admin, secret.PutRequest{ID: coretest.ID(t, "db"), VersionID: f.id(),
			Value: secret.Input{Data: sensitive.FromString(first)}})
		f.must(err)
		f.x.users["app"] = "first"
		if got := f.status("db").Next; !got.Equal(next.AddDate(0, 0, 10)) {
			t.Errorf("next %s after a value was put", got)
		}
		// what was missed while the server was down is caught up once
		f.stop()
		time.Sleep(15 * 24 * time.Hour)
		f.run()
		settle()
		time.Sleep(time.Minute)
		f.clean()
		if got := f.x.Called(); got != "create set test finish" {
			t.Errorf("caught up by %s", got)
		}
		if got := f.notices(); !strings.Contains(got, "rotation.overdue") {
			t.Errorf("notices %s", got)
		}
	})
}

// TestWindow: a rotation that fails is tried again in its window, and then waits for
// the next.
func TestWindow(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.x.fails = func(s string, d bool) error {
			if s == "set" {
				return down()
			}
			return nil
		}
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Days, r.Window, r.Later = 1, "3h", true })
		f.must(err)
		next := f.status("db").Next
		time.Sleep(time.Until(next) + 3*time.Hour + time.Minute)
		synctest.Wait()
		tries := strings.Count(f.x.Called(), "create")
		if tries < 4 || tries > 12 {
			t.Errorf("it was tried %d times", tries)
		}
		if got := f.notices(); got != "rotation.failed set, rotation.failed set, rotation.overdue set" {
			t.Errorf("notices %s", got)
		}
		f.clean()
		time.Sleep(12 * time.Hour)
		if f.x.Called() != "" {
			t.Error("it was tried outside of its window")
		}
		f.x.heal()
		time.Sleep(12 * time.Hour)
		f.clean()
		if st := f.status("db"); st.State != rotation.Idle || f.read("db", name.Current) == first {
			t.Errorf("state %s", st.State)
		}
	})
}

// TestDaysWithout: on the days that the settings name no rotation begins, not one that
// was missed before them either. What is due in them happens once, after them.
func TestDaysWithout(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		midnight := time.Now().UTC().Truncate(24 * time.Hour)
		first, last := midnight.AddDate(0, 0, 5), midnight.AddDate(0, 0, 14)
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) {
			r.Schedule, r.Window, r.Later = "0 12 * * *", "2h", true
			r.Blackout = []string{first.Format(time.DateOnly) + "/" + last.Format(time.DateOnly)}
		})
		f.must(err)
		time.Sleep(time.Until(midnight.AddDate(0, 0, 4)))
		if got := strings.Count(f.x.Called(), "finish"); got != 4 {
			t.Errorf("it was rotated %d times in four days", got)
		}
		f.stop() // from before the last date until the middle of the days without
		time.Sleep(time.Until(first.AddDate(0, 0, 3)))
		f.run()
		settle()
		if got := f.x.Called(); got != "" {
			t.Errorf("on a day without rotations it called %s", got)
		}
		if st := f.status("db"); !st.Next.Equal(last.AddDate(0, 0, 1)) || !st.Closes.Equal(st.Next.Add(2*time.Hour)) {
			t.Errorf("next %s until %s", st.Next, st.Closes)
		}
		if got := f.notices(); !strings.Contains(got, "rotation.overdue") {
			t.Errorf("notices %s", got)
		}
		time.Sleep(time.Until(last.AddDate(0, 0, 1)) - time.Second)
		if got := f.x.Called(); got != "" {
			t.Errorf("on a day without rotations it called %s", got)
		}
		time.Sleep(2 * time.Hour)
		f.clean()
		if got := f.x.Called(); got != "create set test finish" {
			t.Errorf("afterwards it called %s", got)
		}
		if got := f.status("db").Next; !got.Equal(last.AddDate(0, 0, 1).Add(12 * time.Hour)) {
			t.Errorf("then next %s", got)
		}
	})
}

// TestRetryIsOffAfterAPut: a value put by hand counts as the rotation that was to be
// tried again.
func TestRetryIsOffAfterAPut(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.x.fails = func(s string, d bool) error {
			if s == "set" {
				return down()
			}
			return nil
		}
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Days, r.Later = 1, true })
		f.must(err)
		next := f.status("db").Next
		time.Sleep(time.Until(next) + 2*time.Hour)
		synctest.Wait()
		f.clean()
		if got := f.status("db").Next; !got.Before(next.Add(23 * time.Hour)) {
			t.Fatalf("it is not tried again before %s", got)
		}
		_, err = f.Secrets.PutValue(f.t.Context(), f.Admin, secret.PutRequest{ID: coretest.ID(t, "db"), VersionID: f.id(),
			Value: secret.Input{Data: sensitive.FromString(strings.Replace(first, "first", "by-hand", 1))}})
		f.must(err)
		f.x.users["app"] = "by-hand"
		if got := f.status("db").Next; !got.Equal(next.AddDate(0, 0, 1)) {
			t.Errorf("next %s", got)
		}
		f.clean()
	})
}

func TestGrace(t *testing.T) {
	inBubble(t, true, func(f *fixture) {
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Grace = time.Hour })
		f.must(err)
		time.Sleep(59 * time.Minute)
		f.clean()
		if !f.x.Accepts(first) {
			t.Error("the previous credential ended before its grace")
		}
		_, err = f.rotate("db")
		if errs.As(err) == nil || errs.As(err).Code != secret.CodeInGrace {
			t.Errorf("a rotation within the grace: %v", err)
		}
		time.Sleep(2 * time.Minute)
		f.clean()
		if f.x.Accepts(first) {
			t.Error("the previous credential outlived its grace")
		}
		second := f.read("db", name.Current)
		_, err = f.rotate("db", func(r *secret.RotateRequest) { r.Revoke = true })
		f.must(err)
		settle()
		f.clean()
		if f.x.Accepts(second) {
			t.Error("the previous credential was not revoked")
		}
		if got := f.status("db").History[0].Result; got != secret.RotationRetired {
			t.Errorf("the last outcome is %s", got)
		}
	})
}

// TestReadersAreWaitedFor: a credential that somebody still uses stays.
func TestReadersAreWaitedFor(t *testing.T) {
	inBubble(t, true, func(f *fixture) {
		var mu sync.Mutex
		readers := map[string]uint64{"one": 1, "two": 1}
		reads := func(who string, version uint64) {
			mu.Lock()
			defer mu.Unlock()
			readers[who] = version
		}
		f.stop()
		s := f.Rotator(rotation.Config{Kinds: f.kinds(), Readers: func(context.Context, name.Secret, []string, time.Time) (map[string]uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			return maps.Clone(readers), nil
		}})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		f.Rotation, f.stop = s, func() { cancel(); <-done }
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Grace, r.Readers, r.Deadline = time.Hour, 24*time.Hour, 10*time.Hour })
		f.must(err)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if st := f.status("db"); !f.x.Accepts(first) || len(st.Retiring) != 1 || st.Retiring[0].Waits != 2 {
			t.Errorf("it did not wait: %+v", st.Retiring)
		}
		reads("one", 2)
		reads("two", 2)
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if f.x.Accepts(first) {
			t.Error("it waits for nobody")
		}
		reads("one", 1)
		second := f.read("db", name.Current)
		_, err = f.rotate("db")
		f.must(err)
		time.Sleep(9 * time.Hour)
		if !f.x.Accepts(second) {
			t.Error("it ended before its deadline")
		}
		time.Sleep(2 * time.Hour)
		if f.x.Accepts(second) {
			t.Error("it outlived its deadline")
		}
	})
}

// TestReadersOfTheLog: who reads is known from the audit log.
func TestReadersOfTheLog(t *testing.T) {
	inBubble(t, true, func(f *fixture) {
		const reads = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
		one, _ := f.User(t, "one", reads)
		two, _ := f.User(t, "two", reads)
		never, _ := f.User(t, "never", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`)
		read := func(who caller.Caller, version string) {
			who.Time = time.Now()
			_, _ = f.Secrets.ReadValue(f.t.Context(), who, secret.ReadRequest{ID: coretest.ID(t, "db"), Label: version})
		}
		f.create("other", first)
		f.must(f.Relay.Flush(f.t.Context()))
		_, _ = f.Secrets.ReadValue(f.t.Context(), never, secret.ReadRequest{ID: coretest.ID(t, "db")})
		two.Time = time.Now()
		_, err := f.Secrets.ReadValue(f.t.Context(), two, secret.ReadRequest{ID: coretest.ID(t, "other")})
		f.must(err)
		time.Sleep(48 * time.Hour)
		_, err = f.Secrets.Replicate(f.t.Context(), f.Admin, coretest.ID(t, "db"), []secret.Replica{{Region: coretest.Second}}, false, "")
		f.must(err)
		one.Region = coretest.Second // it reads the replica
		read(one, "")
		read(never, "")
		_, err = f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Grace, r.Readers = time.Hour, 24*time.Hour })
		f.must(err)
		settle()
		read(two, name.Previous) // it asks for the old one by its label
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if st := f.status("db"); !f.x.Accepts(first) || len(st.Retiring) != 1 || st.Retiring[0].Waits != 2 {
			t.Errorf("it waits for %+v", st.Retiring)
		}
		read(one, "")
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if st := f.status("db"); !f.x.Accepts(first) || len(st.Retiring) != 1 || st.Retiring[0].Waits != 1 {
			t.Errorf("then it waits for %+v", st.Retiring)
		}
		read(two, "")
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		f.works()
		if f.x.Accepts(first) {
			t.Error("it waits for nobody")
		}
	})
}

// TestSettingsOfARun: a rotation ends by the settings that it began with.
func TestSettingsOfARun(t *testing.T) {
	inBubble(t, true, func(f *fixture) {
		f.x.took = 10 * time.Second
		_, err := f.rotate("db", with("test"))
		f.must(err)
		time.Sleep(25 * time.Second) // the target knows the new value
		for what, alter := range map[string]func(*secret.RotateRequest){
			"rotator": func(r *secret.RotateRequest) { r.Rotator, r.Later = "random", true },
			"all":     func(r *secret.RotateRequest) { r.Rotator, r.Later, r.Replace = "random", true, true },
			"options": func(r *secret.RotateRequest) { r.Options, r.Later = map[string]string{"password_length": "40"}, true },
		} {
			if _, err := f.rotate("db", alter); errs.As(err) == nil || errs.As(err).Code != secret.CodeRotating {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := f.rotate("db", func(r *secret.RotateRequest) { r.Days, r.Later = 3, true }); err != nil {
			t.Errorf("the schedule alone: %v", err)
		}
		time.Sleep(time.Minute)
		f.clean()
		if _, err := f.rotate("db", func(r *secret.RotateRequest) { r.Rotator, r.Later = "random", true }); err != nil {
			t.Error(err)
		}
		if st := f.status("db"); len(st.Retiring) > 0 {
			t.Errorf("another rotator is to end %+v", st.Retiring)
		}
	})
}

// TestSuperseded: a value that somebody puts meanwhile is what holds.
func TestSuperseded(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.x.took = 10 * time.Second
		_, err := f.rotate("db", with("test"))
		f.must(err)
		time.Sleep(25 * time.Second)
		const byHand = `{"username":"app","password":"by-hand"}`
		_, err = f.Secrets.PutValue(f.t.Context(), f.Admin, secret.PutRequest{ID: coretest.ID(t, "db"), VersionID: f.id(),
			Value: secret.Input{Data: sensitive.FromString(byHand)}})
		f.must(err)
		time.Sleep(time.Minute)
		f.clean()
		if f.read("db", name.Current) != byHand {
			t.Error("the value put by hand is not current")
		}
		if st := f.status("db"); st.Failure == nil || st.Failure.Class != "superseded" {
			t.Errorf("failure %+v", st.Failure)
		}
	})
}

// TestNobodyElse: nobody writes to the version that a rotation makes.
func TestNobodyElse(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.x.took = 20 * time.Second
		out, err := f.rotate("db", with("test"))
		f.must(err)
		time.Sleep(30 * time.Second)
		db := coretest.ID(t, "db")
		token := f.DumpToken()
		for what, do := range map[string]func() error{
			"put": func() error {
				_, err := f.Secrets.PutValue(f.t.Context(), f.Admin, secret.PutRequest{ID: db, VersionID: out.VersionID, Labels: []string{name.Pending},
					RotationToken: token, Value: secret.Input{Data: sensitive.FromString("mine")}})
				return err
			},
			"put-pending": func() error {
				_, err := f.Secrets.PutValue(f.t.Context(), f.Admin, secret.PutRequest{ID: db, VersionID: f.id(), Labels: []string{name.Pending},
					Value: secret.Input{Data: sensitive.FromString("mine")}})
				return err
			},
			"make-current": func() error {
				_, err := f.Secrets.MoveLabel(f.t.Context(), f.Admin, secret.LabelRequest{ID: db, Label: name.Current, To: out.VersionID, Infer: true})
				return err
			},
			"take-off": func() error {
				_, err := f.Secrets.MoveLabel(f.t.Context(), f.Admin, secret.LabelRequest{ID: db, Label: name.Pending, From: out.VersionID})
				return err
			},
			"delete": func() error {
				_, err := f.Secrets.Delete(f.t.Context(), f.Admin, secret.DeleteRequest{ID: db, Force: true})
				return err
			},
		} {
			if err := do(); errs.As(err) == nil || errs.As(err).Code != secret.CodeBusy {
				t.Errorf("%s: %v", what, err)
			}
		}
		res, err := f.Secrets.DestroyVersions(f.t.Context(), f.Admin, secret.KVVersions{ID: db, Numbers: []uint64{2}})
		if err != nil || res.ID != "" {
			t.Errorf("destroyed the version that is made: %v, %+v", err, res)
		}
		time.Sleep(10 * time.Minute)
		f.clean()
		if f.read("db", name.Current) == first {
			t.Error("it did not rotate")
		}
	})
}

// DumpToken is some token; built-in rotators have none that anybody could use.
func (f *fixture) DumpToken() string { return secret.NewRotationToken() }

// TestMarkedForDeletion: the rotation under way is taken back.
func TestMarkedForDeletion(t *testing.T) {
	inBubble(t, true, func(f *fixture) {
		f.x.took = 10 * time.Second
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Days = 1 })
		f.must(err)
		time.Sleep(25 * time.Second)
		_, err = f.Secrets.Delete(f.t.Context(), f.Admin, secret.DeleteRequest{ID: coretest.ID(t, "db"), Window: 7})
		f.must(err)
		time.Sleep(10 * time.Minute)
		if f.x.Users() != "app" || !f.x.Accepts(first) {
			t.Errorf("users %s are left", f.x.Users())
		}
		f.x.Called()
		time.Sleep(3 * 24 * time.Hour)
		if f.x.Called() != "" {
			t.Error("a secret that is marked for deletion rotates")
		}
		_, err = f.Secrets.Restore(f.t.Context(), f.Admin, coretest.ID(t, "db"), "")
		f.must(err)
		time.Sleep(10 * time.Minute)
		f.clean()
		if f.read("db", name.Current) == first {
			t.Error("what was missed was not caught up")
		}
	})
}

func TestProtected(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		dev, _ := f.User(t, "dev", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["secretsmanager:*"],"Resource":"*"}]}`)
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Days, r.Later = 1, true })
		f.must(err)
		rule := &protect.Rule{Name: "prod", Match: []string{"db"}, Approvals: []protect.Approval{{Count: 1}}}
		_, err = f.Changes.PutRules(f.t.Context(), f.Admin, change.RuleChange{Set: rule}, "", change.Options{})
		f.must(err)
		// settings are a change like any other
		out, err := f.Secrets.Rotate(f.t.Context(), dev, secret.RotateRequest{ID: coretest.ID(t, "db"), VersionID: f.id(), Days: 30, Native: true})
		f.must(err)
		if out.Status == change.Applied {
			t.Error("settings of a protected secret were changed without a signature")
		}
		// the rotator applies what it made itself, on demand and by schedule
		_, err = f.Secrets.Rotate(f.t.Context(), dev, secret.RotateRequest{ID: coretest.ID(t, "db"), VersionID: f.id(), Native: true})
		f.must(err)
		settle()
		f.clean()
		second := f.read("db", name.Current)
		if second == first {
			t.Error("a rotation on demand was held")
		}
		time.Sleep(48 * time.Hour)
		f.clean()
		if f.read("db", name.Current) == second {
			t.Error("the schedule was held")
		}
		// a rule that names rotations holds those on demand
		f.create("turned", first)
		_, err = f.rotate("turned", with("test"), func(r *secret.RotateRequest) { r.Days, r.Later = 1, true })
		f.must(err)
		_, err = f.Changes.PutRules(f.t.Context(), f.Admin, change.RuleChange{Set: &protect.Rule{Name: "turns", Match: []string{"turned"},
			Kinds: []protect.Kind{protect.Rotate}, Approvals: []protect.Approval{{Count: 1}}}}, "", change.Options{})
		f.must(err)
		f.x.Called()
		out, err = f.Secrets.Rotate(f.t.Context(), dev, secret.RotateRequest{ID: coretest.ID(t, "turned"), VersionID: f.id(), Native: true})
		f.must(err)
		settle()
		if out.Status == change.Applied || f.x.Called() != "" {
			t.Errorf("a rotation on demand was not held by a rule about rotations: %s", out.Status)
		}
	})
}

// TestAdminSecret: who may rotate does not thereby use a secret that they may not read.
func TestAdminSecret(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.create("admin", `{"username":"root","password":"r"}`)
		dev, _ := f.User(t, "dev", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["secretsmanager:*"],"Resource":"arn:aws:secretsmanager:*:*:secret:db-*"}]}`)
		req := secret.RotateRequest{ID: coretest.ID(t, "db"), VersionID: f.id(), Rotator: "test", Options: map[string]string{"admin": "admin"}, Native: true}
		if _, err := f.Secrets.Rotate(f.t.Context(), dev, req); !errs.Is(err, errs.Denied) {
			t.Errorf("who may not read the admin secret: %v", err)
		}
		if _, err := f.Secrets.Rotate(f.t.Context(), f.Admin, req); err != nil {
			t.Error(err)
		}
		settle()
		f.clean()
		read := 0
		for _, r := range f.Records(t) {
			if r.Operation == "ReadValue" && r.Resource == "admin" && r.Principal.Name == "rotation" {
				read++
			}
		}
		if read == 0 {
			t.Error("no record says that the rotation read the admin secret")
		}
	})
}

// TestAnything does what a life does, at random, with a target and a server that
// fail at any point, and holds what always has to be so.
func TestAnything(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, seed%2 == 0, func(f *fixture) { anything(f, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func anything(f *fixture, r *rand.Rand) {
	t := f.t
	_, err := f.rotate("db", with("test"), func(q *secret.RotateRequest) { q.Days, q.Window = 1, "2h" })
	f.must(err)
	for range 30 {
		fail := r.IntN(3) == 0
		chance := rand.New(rand.NewPCG(r.Uint64(), 2))
		f.x.mu.Lock()
		f.x.took = time.Duration(r.IntN(3000)) * time.Millisecond
		f.x.fails = func(s string, d bool) error {
			if fail && chance.IntN(4) == 0 {
				return down()
			}
			return nil
		}
		f.x.mu.Unlock()
		switch r.IntN(6) {
		case 0:
			_, _ = f.rotate("db", func(q *secret.RotateRequest) { q.Revoke = r.IntN(2) == 0 })
		case 1:
			f.stop() // in the middle of whatever it does
			time.Sleep(time.Duration(r.IntN(100)) * time.Hour)
			f.run()
		case 2:
			if _, err := f.Secrets.CancelRotation(f.t.Context(), f.Admin, coretest.ID(t, "db"), ""); err != nil {
				t.Fatal(err)
			}
			_, err := f.rotate("db", func(q *secret.RotateRequest) { q.Days, q.Later = 1, true })
			f.must(err)
		default:
			time.Sleep(time.Duration(r.IntN(20000)) * time.Second)
		}
		time.Sleep(time.Duration(r.IntN(5000)) * time.Millisecond)
	}
	f.x.mu.Lock()
	f.x.took, f.x.fails = 0, func(string, bool) error { return nil }
	f.x.mu.Unlock()
	time.Sleep(2 * time.Hour)
	synctest.Wait()
	f.clean()
	if got := f.x.Users(); got != "app" && got != "app app_clone" {
		t.Errorf("users %s", got)
	}
	if _, err := f.rotate("db", func(q *secret.RotateRequest) { q.Revoke = true }); err != nil {
		t.Error(err)
	}
	settle()
	f.clean()
}

// TestSchema: a value that was made and does not fit the schema ends the rotation
// before the target is touched.
func TestSchema(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		put := func(text string) error {
			_, err := f.Secrets.PutSchema(t.Context(), f.Admin, secret.SchemaRequest{ID: coretest.ID(t, "db"), Text: []byte(text)})
			return err
		}
		f.must(put(`{"properties":{"password":{"type":"string","maxLength":5}}}`))
		_, err := f.rotate("db", with("test"))
		f.must(err)
		settle()
		f.clean()
		if got := f.x.Called(); got != "create" {
			t.Errorf("called %s", got)
		}
		if f.read("db", name.Current) != first || !f.x.Accepts(first) {
			t.Error("the credential is another")
		}
		st := f.status("db")
		if st.Failure == nil || st.Failure.Step != "create" || !strings.Contains(st.Failure.Msg, "at /password, maxLength: it is longer than 5 characters") {
			t.Errorf("the failure is %+v", st.Failure)
		}
		f.must(put(`{"properties":{"password":{"type":"string","maxLength":500}}}`))
		_, err = f.rotate("db")
		f.must(err)
		if err := put(`true`); !errs.Is(err, errs.Precondition) { // the value that it makes was judged by the one before
			t.Errorf("a schema was set while it rotates: %v", err)
		}
		settle()
		f.clean()
		if f.read("db", name.Current) == first {
			t.Error("it did not rotate")
		}
	})
}

// TestSchemaOfWhatStopped: a rotation does not go on with a value that it made before
// when that does not fit the schema any more, since the target would learn of it first.
func TestSchemaOfWhatStopped(t *testing.T) {
	inBubble(t, false, func(f *fixture) {
		f.x.goesOn = true
		f.x.fails = func(s string, d bool) error {
			switch s {
			case "test":
				return down()
			case "undo":
				return rotator.Fail(rotator.Unsuitable, rotator.ErrCannotUndo, "it cannot be undone")
			}
			return nil
		}
		_, err := f.rotate("db", with("test"))
		f.must(err)
		time.Sleep(time.Hour)
		made := f.read("db", name.Pending)
		put := func(text string) {
			_, err := f.Secrets.PutSchema(t.Context(), f.Admin, secret.SchemaRequest{ID: coretest.ID(t, "db"), Text: []byte(text)})
			f.must(err)
		}
		put(`{"properties":{"password":{"maxLength":5}}}`)
		if _, err := f.rotate("db"); !errs.Is(err, errs.Precondition) || errs.As(err).Code != secret.CodeMisfit {
			t.Fatalf("it goes on with what does not fit: %v", err)
		}
		put(`{"properties":{"password":{"maxLength":500}}}`)
		f.x.heal()
		_, err = f.rotate("db")
		f.must(err)
		settle()
		f.clean()
		if made == "" || f.read("db", name.Current) != made {
			t.Error("it did not go on with the version that it had made")
		}
	})
}
