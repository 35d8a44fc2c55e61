package notify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/coretest"
	"countersign/internal/core/notice"
	"countersign/internal/core/notify"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/fsck"
	"countersign/internal/sensitive"
)

// posted is one request that a poster was asked to make.
type posted struct {
	at     time.Time
	url    string
	header map[string]string
	body   string
}

// poster answers as the test says.
type poster struct {
	mu     sync.Mutex
	got    []posted
	answer func(ctx context.Context, url string, n int) (int, time.Duration, error)
	calls  map[string]int
}

func (p *poster) Check(url string) error {
	if !strings.HasPrefix(url, "https://") {
		return errs.InvalidField("url", "a URL begins with https://")
	}
	return nil
}

func (p *poster) Post(ctx context.Context, url string, header map[string]string, body []byte) (int, time.Duration, error) {
	p.mu.Lock()
	if p.calls == nil {
		p.calls = map[string]int{}
	}
	p.calls[url]++
	n := p.calls[url]
	p.got = append(p.got, posted{time.Now(), url, header, string(body)})
	answer := p.answer
	p.mu.Unlock()
	if answer == nil {
		return 200, 0, nil
	}
	return answer(ctx, url, n)
}

func (p *poster) all() []posted {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// answers sets what is answered from now on; nil: 200.
func (p *poster) answers(f func(ctx context.Context, url string, n int) (int, time.Duration, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

// ids lists the delivery ids posted to a URL.
func (p *poster) ids(url string) (out []string) {
	for _, g := range p.all() {
		if g.url == url {
			out = append(out, g.header[notify.HeaderDelivery])
		}
	}
	return out
}

// mailbox keeps mail.
type mailbox struct {
	mu   sync.Mutex
	mail []notify.Mail
	err  error
}

func (m *mailbox) Send(_ context.Context, msg notify.Mail) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mail = append(m.mail, msg)
	return m.err
}

func (m *mailbox) all() []notify.Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mail)
}

// counts is an observer.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) Notified(target, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[target+" "+outcome]++
}

func (c *counts) of(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[what]
}

type fixture struct {
	*coretest.Core
	*notify.Service
	t      *testing.T
	poster *poster
	box    *mailbox
	counts *counts
	log    *strings.Builder
	seq    int
}

func start(t *testing.T, c coretest.Config) *fixture {
	t.Helper()
	f := &fixture{t: t, poster: &poster{}, box: &mailbox{}, counts: &counts{}, log: &strings.Builder{}}
	f.Core = coretest.New(t, c)
	f.Service = f.service(f.poster)
	t.Cleanup(f.sound)
	return f
}

// service is the service as one process has it.
func (f *fixture) service(p notify.Poster) *notify.Service {
	return notify.New(notify.Config{Gate: f.Gate, Changes: f.Changes, Poster: p, Mailer: f.box, People: f.Authn, PublicURL: "https://secrets.example.com", Observer: f.counts,
		Logger: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Jitter: func() float64 { return 0.5 }})
}

// run delivers until the returned function is called.
func run(t *testing.T, s *notify.Service) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	return func() { cancel(); <-done }
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) update(do func(tx kv.Txn) error) {
	f.t.Helper()
	_, err := f.DB.Update(f.t.Context(), do)
	must(f.t, err)
}

// happens puts a notice into the outbox and returns its id.
func (f *fixture) happens(n notice.Notice) string {
	f.t.Helper()
	if n.Account == "" {
		n.Account = coretest.Home
	}
	if n.Kind == "" {
		n.Kind = notice.ChangeApplied
	}
	f.seq++
	n.ID, n.Time = fmt.Sprintf("%s-%d", audit.NewID(time.Now()), f.seq), time.Now().UnixMicro()
	f.update(func(tx kv.Txn) error { return notice.Put(tx, n) })
	return n.ID
}

func ptr[T any](v T) *T { return &v }

func (f *fixture) hook(name string) notify.PutResult {
	f.t.Helper()
	out, err := f.Put(f.t.Context(), f.Admin, notify.PutRequest{Name: name, Type: notify.Webhook, URL: sensitive.FromString(url(name))})
	must(f.t, err)
	return out
}

func url(name string) string { return "https://" + name + ".example/secret-path" }

func (f *fixture) target(name string) notify.Target {
	f.t.Helper()
	list, err := f.List(f.t.Context(), f.Admin)
	must(f.t, err)
	for _, t := range list {
		if t.Name == name {
			return t
		}
	}
	return notify.Target{}
}

func (f *fixture) letters() []notify.Letter {
	f.t.Helper()
	out, _, err := f.Letters(f.t.Context(), f.Admin, "", 5000)
	must(f.t, err)
	return out
}

// sound holds the store against the rules of the packages whenever a test ends.
func (f *fixture) sound() {
	rules := map[string]fsck.Rule{}
	for _, r := range append(notify.Rules(), notice.Rules()...) {
		rules[r.Kind] = r
	}
	for k, v := range f.Dump(f.t) {
		strs, _, err := kv.Key(k).Parts("ss")
		if err != nil {
			strs = strings.Split(k, "\x00\x01")
		}
		if r, ok := rules[strs[1]]; ok {
			if _, _, err := kv.Key(k).Parts(r.Shape); err != nil {
				f.t.Error(err)
			}
			if r.Decode != nil && r.Decode(kv.Key(k), v) != nil {
				f.t.Errorf("%q is no record of its kind", k)
			}
		} else if strings.HasPrefix(strs[1], "noti") {
			f.t.Errorf("%q is of no known kind", k)
		}
	}
	err := f.DB.View(context.Background(), func(r kv.Reader) error {
		return notify.Refer(r, func(k kv.Key, problem string) { f.t.Errorf("%q: %s", []byte(k), problem) })
	})
	if err != nil {
		f.t.Error(err)
	}
}

// bubble runs a test on its own clock.
func bubble(t *testing.T, do func(t *testing.T, f *fixture)) {
	synctest.Test(t, func(t *testing.T) { do(t, start(t, coretest.Config{})) })
}

func TestFanOut(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		f.hook("all")
		for _, n := range []string{"carol@example.com", "dan"} {
			f.User(t, n, "")
		}
		_, err := f.Authn.CreateGroup(ctx, f.Admin, "approvers")
		must(t, err)
		for _, n := range []string{"carol@example.com", "dan"} {
			_, err := f.Authn.AddToGroup(ctx, f.Admin, "approvers", n)
			must(t, err)
		}
		for _, r := range []notify.PutRequest{
			{Name: "kinds", Type: notify.Slack, URL: sensitive.FromString(url("kinds")), Kinds: ptr([]string{"change.proposed", "break_glass.*"})},
			{Name: "names", Type: notify.Teams, URL: sensitive.FromString(url("names")), Names: ptr([]string{"*/production"})},
			{Name: "mail", Type: notify.Email, To: ptr([]string{"ops@example.com", notify.Audience}), Kinds: ptr([]string{"change.reminder"})},
			{Name: "audience", Type: notify.Email, To: ptr([]string{notify.Audience})},
		} {
			_, err := f.Put(ctx, f.Admin, r)
			must(t, err)
		}
		defer run(t, f.Service)()
		f.happens(notice.Notice{Kind: notice.ChangeProposed, Name: "app/production"})
		f.happens(notice.Notice{Kind: notice.ChangeApplied, Name: "app/staging"})
		f.happens(notice.Notice{Kind: notice.BreakGlassOpened, Name: "x"})
		f.happens(notice.Notice{Kind: notice.ChangeReminder, Name: "app/staging", Audience: []string{caller.UserARN(coretest.Home, "anna@example.com"), "bob", "group:approvers", "group:none", "anna@example.com", caller.UserARN(coretest.Other, "eve@example.com"), "evil@example.com\r\nBcc: x@y"}})
		f.happens(notice.Notice{Account: coretest.Other, Name: "app/production"})
		time.Sleep(3 * time.Second)
		got := map[string]int{}
		for _, p := range f.poster.all() {
			got[p.url]++
		}
		if got[url("all")] != 4 || got[url("kinds")] != 2 || got[url("names")] != 1 || len(got) != 3 {
			t.Errorf("posted %v", got)
		}
		var to []string
		for _, m := range f.box.all() {
			to = append(to, strings.Join(m.To, "+"))
		}
		slices.Sort(to)
		if want := []string{"anna@example.com+carol@example.com", "ops@example.com+anna@example.com+carol@example.com"}; !slices.Equal(to, want) {
			t.Errorf("mailed %q, want %q", to, want)
		}
		if w, dead, err := f.Totals(ctx); w != 0 || dead != 0 || err != nil {
			t.Errorf("%d wait, %d dead, %v", w, dead, err)
		}
		for k := range f.Dump(t) {
			if strings.Contains(k, "notice-outbox") || strings.Contains(k, "notify-due") || strings.Contains(k, "notify-delivery") {
				t.Errorf("%q is left", k)
			}
		}
		if f.counts.of("webhook delivered") != 4 || f.counts.of("email delivered") != 2 {
			t.Error("the attempts were counted otherwise")
		}
	})
}

func TestRetries(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.hook("down")
		f.poster.answer = func(context.Context, string, int) (int, time.Duration, error) { return 503, 0, nil }
		stop := run(t, f.Service)
		begun := time.Now()
		f.happens(notice.Notice{Name: "app"})
		time.Sleep(23 * time.Hour)
		synctest.Wait()
		got := f.poster.all()
		if len(got) != notify.MaxAttempts {
			t.Fatalf("%d attempts", len(got))
		}
		pause := 30 * time.Second
		for i, p := range got[1:] {
			if d := p.at.Sub(got[i].at); d < pause || d > pause+2*time.Second {
				t.Errorf("attempt %d came after %s, want %s", i+2, d, pause)
			}
			pause = min(2*pause, 4*time.Hour)
			if p.header[notify.HeaderDelivery] != got[0].header[notify.HeaderDelivery] || p.body != got[0].body {
				t.Error("an attempt is another delivery")
			}
			if p.header[notify.HeaderTimestamp] == got[i].header[notify.HeaderTimestamp] || p.header[notify.HeaderSignature] == got[i].header[notify.HeaderSignature] {
				t.Error("an attempt is not signed anew")
			}
		}
		if got[len(got)-1].at.Sub(begun) > notify.GiveUpAfter {
			t.Error("the last attempt came after it should have been given up")
		}
		dead := f.letters()
		if len(dead) != 1 || dead[0].Attempts != notify.MaxAttempts || dead[0].Why != "it answered with status 503" || dead[0].Target != "down" || dead[0].Name != "app" {
			t.Fatalf("dead letters %+v", dead)
		}
		if st := f.target("down"); st.Waiting != 0 || st.Fails != notify.MaxAttempts || st.Why == "" || st.Failed.IsZero() {
			t.Errorf("target %+v", st)
		}
		if f.counts.of("webhook failed") != notify.MaxAttempts-1 || f.counts.of("webhook dead") != 1 {
			t.Error("the attempts were counted otherwise")
		}

		f.poster.answers(nil) // it is up again
		again, err := f.Replay(t.Context(), f.Admin, dead[0].ID[:24], "up again")
		if err != nil || again.ID != dead[0].ID {
			t.Fatalf("replayed %+v, %v", again, err)
		}
		time.Sleep(2 * time.Second)
		all := f.poster.ids(url("down"))
		if len(all) != notify.MaxAttempts+1 || all[len(all)-1] != dead[0].ID || len(f.letters()) != 0 {
			t.Errorf("after the replay: %d attempts, %d dead", len(all), len(f.letters()))
		}
		if st := f.target("down"); st.Fails != 0 || st.Why != "" || st.Last.IsZero() {
			t.Errorf("target %+v", st)
		}
		stop()
	})
}

func TestPauses(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.hook("busy")
		f.hook("gone")
		f.poster.answer = func(_ context.Context, u string, n int) (int, time.Duration, error) {
			switch {
			case u == url("gone"):
				return 410, 0, nil
			case n == 1:
				return 429, 10 * time.Minute, nil
			case n == 2:
				return 0, 0, errors.New("it took too long")
			}
			return 204, 0, nil
		}
		defer run(t, f.Service)()
		f.happens(notice.Notice{})
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		var busy []time.Time
		for _, p := range f.poster.all() {
			if p.url == url("busy") {
				busy = append(busy, p.at)
			}
		}
		if len(busy) != 3 || busy[1].Sub(busy[0]) < 10*time.Minute || busy[2].Sub(busy[1]) > 2*time.Minute {
			t.Errorf("attempts at %v", busy)
		}
		if dead := f.letters(); len(dead) != 1 || dead[0].Target != "gone" || dead[0].Attempts != 1 {
			t.Errorf("dead letters %+v", dead)
		}
	})
}

// One target that hangs holds up no other, and not more than a few of its own.
func TestSlowTarget(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.hook("slow")
		f.hook("quick")
		var mu sync.Mutex
		now, most := 0, 0
		f.poster.answer = func(ctx context.Context, u string, _ int) (int, time.Duration, error) {
			if u != url("slow") {
				return 200, 0, nil
			}
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			now--
			mu.Unlock()
			return 0, 0, errors.New("it took too long")
		}
		stop := run(t, f.Service)
		for range 50 {
			f.happens(notice.Notice{})
		}
		time.Sleep(5 * time.Second)
		if n := len(f.poster.ids(url("quick"))); n != 50 {
			t.Errorf("%d of 50 were delivered to the quick one", n)
		}
		time.Sleep(2 * time.Minute)
		mu.Lock()
		if most == 0 || most > 4 {
			t.Errorf("%d at once to the slow one", most)
		}
		mu.Unlock()
		stop() // does not wait for the slow one's pleasure
		if st := f.target("slow"); st.Waiting != 50 || st.Fails == 0 {
			t.Errorf("target %+v", st)
		}
	})
}

// A process ends after the fan-out, then another in the middle of an attempt; the
// third delivers, under the same id.
func TestCrash(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.hook("a")
		id := f.happens(notice.Notice{Name: "app"})
		must(t, f.FanOut(t.Context())) // and no more
		must(t, f.FanOut(t.Context()))
		if w, _, _ := f.Totals(t.Context()); w != 1 {
			t.Fatalf("%d wait", w)
		}
		second := &poster{}
		reached := make(chan struct{})
		second.answer = func(ctx context.Context, _ string, _ int) (int, time.Duration, error) {
			close(reached)
			<-ctx.Done() // the receiver has it, and the process ends before it knows
			return 0, 0, ctx.Err()
		}
		stop := run(t, f.service(second))
		<-reached
		stop()
		if st := f.target("a"); st.Waiting != 1 || st.Fails != 0 {
			t.Errorf("an attempt that was given up counts: %+v", st)
		}
		stop = run(t, f.service(f.poster))
		time.Sleep(2 * time.Second)
		stop()
		first, last := second.ids(url("a")), f.poster.ids(url("a"))
		if len(first) != 1 || !slices.Equal(first, last) || !strings.HasPrefix(first[0], id+".") {
			t.Errorf("delivered as %q, then as %q", first, last)
		}
	})
}

func TestBounds(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		f.hook("full")
		f.update(func(tx kv.Txn) error { return notify.FillQueue(tx, coretest.Home, "full", notify.MaxQueue) })
		f.happens(notice.Notice{})
		must(t, f.FanOut(ctx))
		dead := f.letters()
		if len(dead) != 1 || dead[0].Why != "the target's queue is full" {
			t.Fatalf("dead letters %+v", dead)
		}
		if _, err := f.Replay(ctx, f.Admin, dead[0].ID, ""); !errs.Is(err, errs.Limit) {
			t.Errorf("replayed into a full queue: %v", err)
		}
		f.update(func(tx kv.Txn) error { return notify.FillQueue(tx, coretest.Home, "full", 0) })
		for i := range notify.MaxDead + 5 {
			f.update(func(tx kv.Txn) error {
				return notify.Bury(tx, coretest.Home, "full", fmt.Sprintf("L%06d", i), time.Now())
			})
			time.Sleep(time.Millisecond)
		}
		dead = f.letters()
		if len(dead) != notify.MaxDead || dead[0].ID != "L001004" || dead[len(dead)-1].ID != "L000005" {
			t.Errorf("%d dead letters, from %s to %s", len(dead), dead[0].ID, dead[len(dead)-1].ID)
		}
		var paged []notify.Letter
		for mark := ""; ; {
			page, next, err := f.Letters(ctx, f.Admin, mark, 300)
			must(t, err)
			paged = append(paged, page...)
			if mark = next; mark == "" {
				break
			}
		}
		if !slices.Equal(paged, dead) {
			t.Errorf("%d in pages", len(paged))
		}
		time.Sleep(notify.KeepDead - time.Minute)
		must(t, f.Step(ctx))
		if len(f.letters()) != notify.MaxDead {
			t.Error("dead letters are gone before their time")
		}
		time.Sleep(2 * time.Minute)
		must(t, f.Step(ctx))
		if n := len(f.letters()); n != 0 {
			t.Errorf("%d dead letters are left", n)
		}
		if _, dead, _ := f.Totals(ctx); dead != 0 {
			t.Errorf("counted %d dead", dead)
		}
	})
}

// Every target of an account may want a notice, and each queue may be full, within
// one transaction.
func TestManyTargets(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		for i := range notify.MaxTargets {
			f.hook(fmt.Sprintf("t%02d", i))
		}
		_, err := f.Put(ctx, f.Admin, notify.PutRequest{Name: "more", Type: notify.Webhook, URL: sensitive.FromString(url("more"))})
		if !errs.Is(err, errs.Limit) {
			t.Errorf("one target more: %v", err)
		}
		long := strings.Repeat("ü", 4000)
		big := notice.Notice{Name: long, Reason: long, Actor: long, Change: long}
		for range 100 {
			big.Keys, big.Audience = append(big.Keys, long), append(big.Audience, long)
		}
		f.happens(big)
		must(t, f.FanOut(ctx))
		time.Sleep(time.Second)
		if w, _, _ := f.Totals(ctx); w != notify.MaxTargets {
			t.Errorf("%d wait", w)
		}
		f.update(func(tx kv.Txn) error {
			for i := range notify.MaxTargets {
				if err := notify.FillQueue(tx, coretest.Home, fmt.Sprintf("t%02d", i), notify.MaxQueue); err != nil {
					return err
				}
			}
			return nil
		})
		for i := range notify.MaxDead {
			f.update(func(tx kv.Txn) error {
				return notify.Bury(tx, coretest.Home, "t00", fmt.Sprintf("L%06d", i), time.Now().Add(-time.Duration(notify.MaxDead-i)*time.Second))
			})
		}
		f.happens(big)
		must(t, f.FanOut(ctx))
		if dead := f.letters(); len(dead) != notify.MaxDead || dead[notify.MaxTargets-1].Why == "" {
			t.Errorf("%d dead letters", len(dead))
		}
		f.update(func(tx kv.Txn) error {
			for i := range notify.MaxTargets {
				if err := notify.FillQueue(tx, coretest.Home, fmt.Sprintf("t%02d", i), 1); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func TestDelete(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		f.hook("a")
		f.poster.answer = func(context.Context, string, int) (int, time.Duration, error) { return 500, 0, nil }
		stop := run(t, f.Service)
		for range 5 {
			f.happens(notice.Notice{})
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		before := len(f.poster.all())
		must(t, f.Delete(ctx, f.Admin, "a", "no longer"))
		f.hook("a") // of the same name: what was meant for the other one is not its
		f.poster.answers(nil)
		time.Sleep(time.Hour)
		if w, _, _ := f.Totals(ctx); w != 0 || len(f.poster.all()) != before {
			t.Errorf("%d wait, %d posted after it was gone", w, len(f.poster.all())-before)
		}
		f.happens(notice.Notice{})
		time.Sleep(2 * time.Second)
		if n := len(f.poster.all()) - before; n != 1 {
			t.Errorf("%d posted to the new one", n)
		}
		must(t, f.Delete(ctx, f.Admin, "a", ""))
		time.Sleep(time.Hour)
		stop()
		for k := range f.Dump(t) {
			if strings.Contains(k, "notify-queue") || strings.Contains(k, "notify-target\x00\x01a") && !strings.Contains(k, "\x00\x01change\x00\x01") {
				t.Errorf("%q is left", k)
			}
		}
		if err := f.Delete(ctx, f.Admin, "a", ""); !errs.Is(err, errs.NotFound) {
			t.Errorf("deleting what is gone: %v", err)
		}
	})
}

func TestWhoMay(t *testing.T) {
	f := start(t, coretest.Config{})
	ctx := t.Context()
	f.hook("a")
	f.update(func(tx kv.Txn) error { return notify.Bury(tx, coretest.Home, "a", "L1", time.Now()) })
	stranger, _ := f.Stranger(t)
	calls := map[string]func(who caller.Caller) error{
		"PutNotifyTarget": func(who caller.Caller) error {
			_, err := f.Put(ctx, who, notify.PutRequest{Name: "a", Kinds: ptr([]string{"change.*"})})
			return err
		},
		"TestNotifyTarget":   func(who caller.Caller) error { _, err := f.Try(ctx, who, "a"); return err },
		"ListNotifyTargets":  func(who caller.Caller) error { _, err := f.List(ctx, who); return err },
		"ListDeadLetters":    func(who caller.Caller) error { _, _, err := f.Letters(ctx, who, "", 10); return err },
		"ReplayDeadLetter":   func(who caller.Caller) error { _, err := f.Replay(ctx, who, "L1", ""); return err },
		"DeleteNotifyTarget": func(who caller.Caller) error { return f.Delete(ctx, who, "a", "") },
	}
	nobody, _ := f.User(t, "nobody", "")
	for _, op := range []string{"PutNotifyTarget", "TestNotifyTarget", "ListNotifyTargets", "ListDeadLetters", "ReplayDeadLetter", "DeleteNotifyTarget"} {
		resource := "*"
		if !strings.HasPrefix(op, "List") && op != "ReplayDeadLetter" {
			resource = "arn:aws:countersign::" + coretest.Home + ":notify-target/a"
		}
		allowed, _ := f.User(t, "may-"+op, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"countersign:`+op+`","Resource":"`+resource+`"}]}`)
		if err := calls[op](nobody); !errs.Is(err, errs.Denied) {
			t.Errorf("%s by nobody: %v", op, err)
		}
		switch err := calls[op](stranger); {
		case strings.HasPrefix(op, "List") && err != nil:
			t.Errorf("%s by a stranger in their own account: %v", op, err)
		case !strings.HasPrefix(op, "List") && (err == nil || errs.Is(err, errs.Denied)):
			t.Errorf("%s by a stranger reaches something: %v", op, err)
		}
		if err := calls[op](allowed); err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
	seen := map[string]int{}
	for _, r := range f.Records(t) {
		seen[r.Operation+" "+string(r.Outcome)]++
	}
	for op := range calls {
		if seen[op+" ok"] < 1 || seen[op+" denied"] != 1 {
			t.Errorf("%s: records %v", op, seen)
		}
	}
}
