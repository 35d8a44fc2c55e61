package notify_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/core/coretest"
	"countersign/internal/core/notice"
	"countersign/internal/kv"
	"countersign/internal/kv/faulty"
)

// A store that takes no writes makes a delivery come again, under its id, and not
// as fast as the receiver answers.
func TestWhatCannotBeNotedIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var db *faulty.DB
		f := start(t, coretest.Config{Wrap: func(inner kv.DB) kv.DB { db = faulty.New(inner); return db }})
		f.hook("ops")
		var full sync.Once
		f.poster.answer = func(context.Context, string, int) (int, time.Duration, error) {
			full.Do(func() { db.Set(faulty.Fault{Op: faulty.Update, Err: faulty.ErrNoSpace}) })
			return 200, 0, nil
		}
		defer run(t, f.Service)()
		f.happens(notice.Notice{Name: "app"})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := len(f.poster.ids(url("ops"))); n < 2 || n > 11 {
			t.Errorf("posted %d times in 5 minutes", n)
		}
		db.Set()
		time.Sleep(time.Minute)
		synctest.Wait()
		ids := f.poster.ids(url("ops"))
		for _, id := range ids {
			if id != ids[0] {
				t.Errorf("the same delivery has the ids %q and %q", ids[0], id)
			}
		}
		if tgt := f.target("ops"); tgt.Waiting != 0 || tgt.Last.IsZero() {
			t.Errorf("afterwards %+v", tgt)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(f.poster.ids(url("ops"))); n != len(ids) {
			t.Errorf("posted %d times more", n-len(ids))
		}
	})
}
