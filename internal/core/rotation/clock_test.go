package rotation_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/core/coretest"
	"countersign/internal/core/notice"
	"countersign/internal/core/record"
	"countersign/internal/core/rotation"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

const days = 24 * time.Hour

// life is a server with a clock of its own over the store that those before it left.
type life struct {
	at time.Duration // that its clock is ahead of the beginning of the year 2000
	do func(*fixture)
}

func live(t *testing.T, pair bool, lives ...life) {
	t.Helper()
	liveIn(t, t.TempDir(), newTarget(pair), lives...)
}

func liveIn(t *testing.T, dir string, x *target, lives ...life) {
	t.Helper()
	_, err := os.Stat(filepath.Join(dir, "store.db"))
	isNew := os.IsNotExist(err)
	for n, l := range lives {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(l.at)
			x.heal()
			x.took = 0
			f := &fixture{Core: coretest.New(t, coretest.Config{Bolt: true, Dir: dir, Kinds: (&fixture{x: x}).kinds()}), t: t, x: x, n: 1000 * n}
			if n == 0 && isNew {
				f.create("db", first)
			}
			x.Called()
			f.run()
			t.Cleanup(func() { f.stop() })
			settle()
			l.do(f)
		})
	}
}

// setBack is a server whose clock is a month behind that of the one before it.
func setBack(t *testing.T, pair bool, before, after func(*fixture)) {
	t.Helper()
	live(t, pair, life{30 * days, before}, life{0, after})
}

// clockNotices are those about the clock: state, and of how many secrets.
func (f *fixture) clockNotices() string {
	f.t.Helper()
	var out []string
	f.must(f.DB.View(f.t.Context(), func(r kv.Reader) error {
		out = nil
		for e, err := range record.Scan[notice.Notice](r, kv.Prefix(notice.Prefix())) {
			if err != nil {
				return err
			}
			if n := e.Value; n.Kind == notice.RotationClock {
				out = append(out, n.Facts["state"]+" "+n.Facts["secrets"])
			}
		}
		return nil
	}))
	return strings.Join(out, ", ")
}

// TestClockSetBackInTheMiddle: a rotation under way goes on, whatever its journal says
// of when.
func TestClockSetBackInTheMiddle(t *testing.T) {
	for _, pair := range []bool{false, true} {
		for n, step := range []string{"create", "set", "test", "finish"} {
			t.Run(fmt.Sprintf("pair-%t-%s", pair, step), func(t *testing.T) {
				setBack(t, pair, func(f *fixture) {
					f.x.took = 10 * time.Second
					_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Days = 7 })
					f.must(err)
					time.Sleep(time.Duration(n)*10*time.Second + 5*time.Second)
					f.stop()
					if f.status("db").State != rotation.Running {
						t.Fatal("it is over")
					}
				}, func(f *fixture) {
					f.clean()
					if f.read("db", name.Current) == first || f.clockNotices() != "behind 1" {
						t.Errorf("it did not go on; notices %q", f.clockNotices())
					}
				})
			})
		}
	}
}

// TestClockSetBackInAPause: an attempt that is to be made after a pause is made.
func TestClockSetBackInAPause(t *testing.T) {
	for _, step := range []string{"create", "set", "undo"} {
		t.Run(step, func(t *testing.T) {
			setBack(t, false, func(f *fixture) {
				f.x.fails = func(s string, done bool) error {
					if s == step || step == "undo" && s == "test" {
						return down()
					}
					return nil
				}
				_, err := f.rotate("db", with("test"))
				f.must(err)
				time.Sleep(2 * time.Second)
				if step == "undo" {
					time.Sleep(20 * time.Hour)
				}
				f.stop()
				if f.status("db").Run == nil {
					t.Fatal("it is over")
				}
			}, func(f *fixture) {
				f.clean()
				if (f.read("db", name.Current) == first) != (step == "undo") {
					t.Error("it did not end as it should have")
				}
			})
		})
	}
}

// TestClockSetBackBetween: dates wait for the clock to be there again, but not for
// longer than a day; and who asks for a rotation does not wait.
func TestClockSetBackBetween(t *testing.T) {
	next := time.Date(2000, 2, 2, 0, 0, 0, 0, time.UTC)
	begun := func(f *fixture) {
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Days = 2 })
		f.must(err)
		settle()
		f.stop()
		if got := f.status("db").Next; !got.Equal(next) || f.clockNotices() != "" {
			f.t.Errorf("next %s, notices %s", got, f.clockNotices())
		}
	}
	t.Run("believed", func(t *testing.T) {
		setBack(t, false, begun, func(f *fixture) {
			f.stop()
			f.run() // which begins nothing anew
			time.Sleep(23 * time.Hour)
			if got := f.status("db").Next; !got.Equal(next) || f.x.Called() != "" || f.clockNotices() != "behind 1" {
				t.Errorf("next %s, called %q, notices %s", got, f.x.Called(), f.clockNotices())
			}
			time.Sleep(2 * time.Hour)
			if f.x.Called() != "" || f.clockNotices() != "behind 1, believed 1" {
				t.Errorf("called %q, notices %s", f.x.Called(), f.clockNotices())
			}
			want := time.Date(2000, 1, 4, 0, 0, 0, 0, time.UTC) // two days after the day on which it was believed
			st := f.status("db")
			if !st.Next.Equal(want) || st.Settings.Last > time.Now().UnixMicro() {
				t.Errorf("next %s, last %s", st.Next, st.Last)
			}
			time.Sleep(time.Until(want) + time.Minute)
			if got := f.x.Called(); got != "create set test finish" {
				t.Errorf("called %q", got)
			}
			f.clean()
			time.Sleep(3 * days)
			if got := f.x.Called(); got != "create set test finish" || f.clockNotices() != "behind 1, believed 1" {
				t.Errorf("called %q, notices %s", got, f.clockNotices())
			}
			f.clean()
		})
	})
	t.Run("corrected", func(t *testing.T) { // a machine whose clock is behind for a while after its start
		live(t, false, life{30 * days, begun}, life{0, func(f *fixture) { time.Sleep(10 * time.Minute) }}, life{31*days + 23*time.Hour, func(f *fixture) {
			time.Sleep(30 * time.Minute)
			if f.x.Called() != "" {
				t.Error("it rotated before its date")
			}
			time.Sleep(time.Hour)
			if got := f.x.Called(); got != "create set test finish" || f.clockNotices() != "behind 1" {
				t.Errorf("called %q, notices %s", got, f.clockNotices())
			}
			f.clean()
		}})
	})
	t.Run("asked", func(t *testing.T) {
		setBack(t, false, begun, func(f *fixture) {
			_, err := f.rotate("db")
			f.must(err)
			settle()
			f.clean()
			if got, want := f.status("db").Next, time.Date(2000, 1, 3, 0, 0, 0, 0, time.UTC); !got.Equal(want) || f.x.Called() != "create set test finish" {
				t.Errorf("next %s, want %s", got, want)
			}
		})
	})
	t.Run("later", func(t *testing.T) { // one that has no date is in no index
		setBack(t, false, func(f *fixture) {
			_, err := f.rotate("db", with("test"))
			f.must(err)
			settle()
		}, func(f *fixture) {
			_, err := f.rotate("db", func(r *secret.RotateRequest) { r.Days, r.Later = 7, true })
			f.must(err)
			if got, want := f.status("db").Next, time.Date(2000, 1, 8, 0, 0, 0, 0, time.UTC); !got.Equal(want) {
				t.Errorf("next %s, want %s", got, want)
			}
		})
	})
}

// TestClockSetBackInAGrace: what was promised holds, and for a day longer at most.
func TestClockSetBackInAGrace(t *testing.T) {
	setBack(t, true, func(f *fixture) {
		f.create("key", "one")
		for _, n := range []string{"db", "key"} {
			kind := map[string]string{"db": "test", "key": "random"}[n]
			_, err := f.rotate(n, with(kind), func(r *secret.RotateRequest) { r.Grace, r.Readers, r.Deadline = 10*time.Hour, time.Hour, 12*time.Hour })
			f.must(err)
		}
		settle()
		f.stop()
	}, func(f *fixture) {
		now := time.Now()
		at := func(h float64) {
			time.Sleep(time.Until(now.Add(time.Duration(h * float64(time.Hour)))))
			synctest.Wait()
		}
		holds := func(want bool) {
			t.Helper()
			if f.works(); f.x.Accepts(first) != want || (f.verify("key", "", "one") == "previous") != want {
				t.Errorf("after %s: target %t, %s", time.Since(now), f.x.Accepts(first), f.verify("key", "", "one"))
			}
		}
		holds(true)
		if _, err := f.rotate("db"); errs.As(err) == nil || errs.As(err).Code != secret.CodeInGrace {
			t.Errorf("within the grace: %v", err)
		}
		at(23)
		holds(true)
		at(33)
		holds(true)
		at(37)
		holds(false)
		f.clean()
		if st := f.status("db"); len(st.Retiring) != 0 {
			t.Errorf("%+v", st.Retiring)
		}
	})
}

// TestClockSetBackInAWindow: a window that lies ahead does not go on for years.
func TestClockSetBackInAWindow(t *testing.T) {
	setBack(t, false, func(f *fixture) {
		f.x.fails = func(s string, done bool) error {
			if s == "set" {
				return down()
			}
			return nil
		}
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Days, r.Window, r.Later = 1, "4h", true })
		f.must(err)
		time.Sleep(time.Until(f.status("db").Next) + time.Hour)
		f.stop()
		if f.status("db").Failure == nil {
			t.Fatal("it did not fail")
		}
	}, func(f *fixture) {
		time.Sleep(25 * time.Hour)
		f.clean()
		if got := f.status("db"); got.Next.After(time.Now().AddDate(0, 0, 2)) {
			t.Errorf("next %s", got.Next)
		}
		time.Sleep(48 * time.Hour)
		f.clean()
		if f.read("db", name.Current) == first {
			t.Error("it did not rotate")
		}
	})
}

// TestClockJumpsAhead: what a year passes is done once, and not all at once.
func TestClockJumpsAhead(t *testing.T) {
	const many = 12
	live(t, true, life{0, func(f *fixture) {
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Days, r.Grace = 7, time.Hour })
		f.must(err)
		for i := range many {
			n := fmt.Sprintf("s%d", i)
			f.create(n, "v")
			_, err := f.rotate(n, with("random"), func(r *secret.RotateRequest) { r.Schedule, r.Later = "0 12 * * *", true })
			f.must(err)
		}
		f.create("still", first)
		_, err = f.rotate("still", with("random"), func(r *secret.RotateRequest) {
			r.Days, r.Later, r.Blackout = 30, true, []string{"2000-12-20/2001-01-03"}
		})
		f.must(err)
		settle()
	}}, life{365*days + 10*time.Hour, func(f *fixture) { // 31 December
		time.Sleep(time.Minute)
		f.clean()
		if f.x.Accepts(first) {
			t.Error("the previous credential outlived its grace")
		}
		if got := f.x.Called(); got != "retire create set test finish" {
			t.Errorf("called %q", got)
		}
		for i := range many {
			st := f.status(fmt.Sprintf("s%d", i))
			if st.Current != 2 || !st.Next.Equal(time.Date(2000, 12, 31, 12, 0, 0, 0, time.UTC)) {
				t.Errorf("version %d, next %s", st.Current, st.Next)
			}
		}
		if st := f.status("still"); st.Current != 1 || !st.Next.Equal(time.Date(2001, 1, 4, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("on a day without rotations: version %d, next %s", st.Current, st.Next)
		}
		if got := strings.Count(f.notices(), "rotation.overdue"); got != many+2 {
			t.Errorf("%d notices of rotations that are overdue", got)
		}
		if f.clockNotices() != "" {
			t.Error("there is a notice of the clock")
		}
	}})
}

// walks counts the looks at the due index.
type walks struct {
	kv.DB
	n *atomic.Int64
}

func (w walks) View(ctx context.Context, do func(kv.Reader) error) error {
	w.n.Add(1)
	return w.DB.View(ctx, do)
}

// TestClockIsLookedAt: timers do not know that the clock was set, so it is not left to
// them when something is due.
func TestClockIsLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		f := start(t, newTarget(false), coretest.Config{Wrap: func(db kv.DB) kv.DB { return walks{db, &n} }})
		_, err := f.rotate("db", with("test"), func(r *secret.RotateRequest) { r.Days, r.Later = 100, true })
		f.must(err)
		settle()
		for range 60 {
			before := n.Load()
			time.Sleep(time.Minute + time.Second)
			if n.Load() == before {
				t.Fatal("nobody looked for a minute")
			}
		}
	})
}
