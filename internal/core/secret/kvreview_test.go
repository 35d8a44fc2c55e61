package secret_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/secret"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// protect puts a rule that asks for one approval, which may be the author's.
func (f *fixture) protect(kinds ...protect.Kind) {
	f.t.Helper()
	_, err := f.Changes.PutRules(f.ctx, f.Admin, change.RuleChange{Set: &protect.Rule{Name: "guard", Match: []string{"guarded/*"}, Kinds: kinds,
		Approvals: []protect.Approval{{Count: 1}}, AllowAuthor: true}}, "", change.Options{})
	f.must(err)
}

// waiting returns the changes that wait, for review.
func (f *fixture) waiting() (out []change.Review) {
	f.t.Helper()
	list, err := f.Changes.List(f.ctx, f.Admin, change.ListRequest{Statuses: []change.Status{change.Pending, change.Conflicted}})
	f.must(err)
	for _, c := range list.Changes {
		r, err := f.Changes.Get(f.ctx, f.Admin, c.Record.ID)
		f.must(err)
		out = append(out, r)
	}
	return out
}

// approve votes for a change.
func (f *fixture) approve(r change.Review) error {
	f.t.Helper()
	digest, err := hex.DecodeString(r.Digest)
	f.must(err)
	d, err := f.Changes.Vote(f.ctx, f.Admin, change.VoteRequest{ID: r.Record.ID, Approve: true, Digest: digest})
	if err == nil && d.Record.Status != change.Applied {
		f.t.Errorf("approved, the change is %s", d.Record.Status)
	}
	return err
}

// kvWrites are the writes by versions, each with what its review says and what
// becomes of guarded/s by it: the versions 1 to 3 and the current one.
var kvWrites = []struct {
	name  string
	op    policy.Op
	kind  protect.Kind
	do    func(f *fixture) (change.Result, error)
	lines []string
	then  string
}{
	{"put", policy.PutValue, protect.Edit, func(f *fixture) (change.Result, error) {
		w, err := f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id("guarded/s"), Value: *text(`{"c":"3"}`)})
		return change.Result{ID: w.Change, Status: w.Status}, err
	}, nil, `(deleted) {"b":"2"} {"c":"3"} | {"c":"3"}`},
	{"put-with-cas", policy.PutValue, protect.Edit, func(f *fixture) (change.Result, error) {
		w, err := f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id("guarded/s"), Value: *text(`{"c":"3"}`), CAS: ptr[uint64](2), Defaults: secret.KVSettings{DeleteAfter: ptr(time.Hour)}})
		return change.Result{ID: w.Change, Status: w.Status}, err
	}, []string{"takes effect only while version 2 is current", "the version is deleted by itself after 1h0m0s"}, `(deleted) {"b":"2"} {"c":"3"} | {"c":"3"}`},
	{"patch", policy.PatchValue, protect.Edit, func(f *fixture) (change.Result, error) {
		w, err := f.Secrets.KVPatch(f.ctx, f.Admin, secret.KVPatch{ID: id("guarded/s"), Patch: sensitive.FromString(`{"c":"3"}`)})
		return change.Result{ID: w.Change, Status: w.Status}, err
	}, nil, `(deleted) {"b":"2"} {"b":"2","c":"3"} | {"b":"2","c":"3"}`},
	{"delete", policy.DeleteCurrent, protect.Delete, func(f *fixture) (change.Result, error) {
		return f.Secrets.DeleteVersions(f.ctx, f.Admin, secret.KVVersions{ID: id("guarded/s")})
	}, []string{"deletes version 2; it can be undeleted"}, `(deleted) (deleted) (not-found/version) | (deleted)`},
	{"delete-versions", policy.DeleteVersion, protect.Delete, func(f *fixture) (change.Result, error) {
		return f.Secrets.DeleteVersions(f.ctx, f.Admin, secret.KVVersions{ID: id("guarded/s"), Numbers: []uint64{2, 1}})
	}, []string{"deletes versions 1, 2; they can be undeleted"}, `(deleted) (deleted) (not-found/version) | (deleted)`},
	{"undelete", policy.UndeleteVersion, protect.Edit, func(f *fixture) (change.Result, error) {
		return f.Secrets.UndeleteVersions(f.ctx, f.Admin, secret.KVVersions{ID: id("guarded/s"), Numbers: []uint64{1}})
	}, []string{"undeletes version 1"}, `{"a":"1"} {"b":"2"} (not-found/version) | {"b":"2"}`},
	{"destroy", policy.DestroyVersion, protect.Delete, func(f *fixture) (change.Result, error) {
		return f.Secrets.DestroyVersions(f.ctx, f.Admin, secret.KVVersions{ID: id("guarded/s"), Numbers: []uint64{2}})
	}, []string{"destroys what is stored as version 2, for good"}, `(deleted) (destroyed) (not-found/version) | (destroyed)`},
	{"set", policy.UpdateSecret, protect.Edit, func(f *fixture) (change.Result, error) {
		return f.Secrets.KVSet(f.ctx, f.Admin, secret.KVSet{ID: id("guarded/s"), MaxVersions: ptr[uint64](1), CASRequired: ptr(true), DeleteAfter: ptr(time.Hour), Tags: map[string]*string{"k": ptr("v")}})
	}, []string{"keeps 1 versions: older ones are removed when one is written", "has the Vault protocol's writes say which version they replace",
		"has new versions deleted after 1h0m0s", "sets tag k=v", "removes tag old"}, `(deleted) {"b":"2"} (not-found/version) | {"b":"2"}`},
}

func guardedKV(t *testing.T) *fixture {
	f := start(t, coretest.Config{})
	f.create("guarded/s", `{"a":"1"}`)
	f.put("guarded/s", 2, `{"b":"2"}`)
	f.versions("delete", "guarded/s", 1)
	_, err := f.Secrets.Tag(f.ctx, f.Admin, id("guarded/s"), []secret.Tag{{Key: "old", Value: "1"}}, "")
	f.must(err)
	return f
}

func (f *fixture) stands() string {
	return strings.Join([]string{f.kvRead("guarded/s", 1), f.kvRead("guarded/s", 2), f.kvRead("guarded/s", 3), "|", f.kvRead("guarded/s", 0)}, " ")
}

// TestNothingMovesCurrent: of a protected secret no write by versions changes what
// is read, until it is approved.
func TestNothingMovesCurrent(t *testing.T) {
	const before = `(deleted) {"b":"2"} (not-found/version) | {"b":"2"}`
	for _, x := range kvWrites {
		t.Run(x.name, func(t *testing.T) {
			f := guardedKV(t)
			f.protect()
			described := func() secret.KVMetadata {
				m, err := f.Secrets.KVDescribe(f.ctx, f.Admin, id("guarded/s"))
				f.must(err)
				m.Updated = time.Time{} // a value that waits touches it
				return m
			}
			was := described()
			res, err := x.do(f)
			f.must(err)
			if res.Status != change.Pending || res.ID == "" {
				t.Fatalf("it became %+v", res)
			}
			if got := f.stands(); got != before {
				t.Errorf("while it waits: %s", got)
			}
			if diff := cmp.Diff(was, described()); diff != "" {
				t.Errorf("while it waits it is described as: %s", diff)
			}
			f.sound()
			again, err := x.do(f) // by a client that saw no answer
			f.must(err)
			if again != res {
				t.Errorf("once more: %+v, before %+v", again, res)
			}
			waits := f.waiting()
			if len(waits) != 1 {
				t.Fatalf("%d changes wait", len(waits))
			}
			if r := waits[0]; r.Record.Operation != x.op.String() || r.Record.Kind != string(x.kind) || r.Conflict != "" {
				t.Errorf("it waits as %+v: %s", r.Record, r.Conflict)
			}
			if diff := cmp.Diff(x.lines, waits[0].Lines); diff != "" {
				t.Errorf("its review says: %s", diff)
			}
			f.must(f.approve(waits[0]))
			if got := f.stands(); got != x.then {
				t.Errorf("approved: %s, want %s", got, x.then)
			}
			f.sound()
		})
	}
	t.Run("withdrawn", func(t *testing.T) {
		f := guardedKV(t)
		f.protect()
		kept := f.labels("guarded/s")
		for _, x := range kvWrites {
			res, err := x.do(f)
			f.must(err)
			_, err = f.Changes.Withdraw(f.ctx, f.Admin, res.ID, "")
			f.must(err)
		}
		if got := f.stands(); got != before {
			t.Errorf("all withdrawn: %s", got)
		}
		if got := f.labels("guarded/s"); got != kept {
			t.Errorf("all withdrawn, the versions are %q, before %q", got, kept)
		}
		f.sound()
	})
}

// A rule about deletions holds these, and what has versions deleted by another
// name; one about edits holds what is none of both.
func TestKindsOfKVWrites(t *testing.T) {
	for _, x := range kvWrites {
		deletes := x.kind == protect.Delete || x.name == "put-with-cas" || x.name == "set"
		for kind, holds := range map[protect.Kind]bool{protect.Delete: deletes, protect.Edit: x.kind == protect.Edit} {
			f := guardedKV(t)
			f.protect(kind)
			res, err := x.do(f)
			f.must(err)
			if held := res.Status == change.Pending; held != holds {
				t.Errorf("%s became %s under a rule about %s", x.name, res.Status, kind)
			}
		}
	}
}

// What removes versions is held by a rule about deletions, and what keeps more of
// them, or as many as was decided before, is not.
func TestDeletionsBySettings(t *testing.T) {
	set := func(s secret.KVSet) func(f *fixture) (change.Result, error) {
		s.ID = id("guarded/s")
		return func(f *fixture) (change.Result, error) { return f.Secrets.KVSet(f.ctx, f.Admin, s) }
	}
	put := func(d secret.KVSettings) func(f *fixture) (change.Result, error) {
		return func(f *fixture) (change.Result, error) {
			w, err := f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id("guarded/s"), Value: *text(`{"c":"3"}`), Defaults: d})
			return change.Result{ID: w.Change, Status: w.Status}, err
		}
	}
	for _, x := range []struct {
		name string
		was  secret.KVSet
		do   func(f *fixture) (change.Result, error)
		held bool
	}{
		{"fewer", secret.KVSet{MaxVersions: ptr[uint64](5)}, set(secret.KVSet{MaxVersions: ptr[uint64](4)}), true},
		{"more", secret.KVSet{MaxVersions: ptr[uint64](5)}, set(secret.KVSet{MaxVersions: ptr[uint64](6)}), false},
		{"as many", secret.KVSet{MaxVersions: ptr[uint64](5)}, set(secret.KVSet{MaxVersions: ptr[uint64](5), CASRequired: ptr(true)}), false},
		{"those of the mount", secret.KVSet{MaxVersions: ptr[uint64](5)}, set(secret.KVSet{MaxVersions: ptr[uint64](0)}), true},
		{"bounded", secret.KVSet{}, set(secret.KVSet{MaxVersions: ptr[uint64](100)}), true},
		{"sooner", secret.KVSet{DeleteAfter: ptr(time.Hour)}, set(secret.KVSet{DeleteAfter: ptr(time.Minute)}), true},
		{"later", secret.KVSet{DeleteAfter: ptr(time.Hour)}, set(secret.KVSet{DeleteAfter: ptr(2 * time.Hour)}), false},
		{"never", secret.KVSet{DeleteAfter: ptr(time.Hour)}, set(secret.KVSet{DeleteAfter: ptr[time.Duration](0)}), false},
		{"tags", secret.KVSet{}, set(secret.KVSet{Tags: map[string]*string{"k": ptr("v")}}), false},
		{"a put over the mount's limit", secret.KVSet{}, put(secret.KVSettings{MaxVersions: ptr[uint64](1)}), true},
		{"a put within the mount's limit", secret.KVSet{}, put(secret.KVSettings{MaxVersions: ptr[uint64](10)}), false},
		{"a put over the secret's own limit", secret.KVSet{MaxVersions: ptr[uint64](1)}, put(secret.KVSettings{MaxVersions: ptr[uint64](1)}), false},
		{"a put that the mount ends", secret.KVSet{}, put(secret.KVSettings{DeleteAfter: ptr(time.Hour)}), true},
		{"a put that the mount ends sooner", secret.KVSet{DeleteAfter: ptr(time.Hour)}, put(secret.KVSettings{DeleteAfter: ptr(time.Minute)}), true},
		{"a put that the secret's own setting ends", secret.KVSet{DeleteAfter: ptr(time.Minute)}, put(secret.KVSettings{DeleteAfter: ptr(time.Hour)}), false},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := guardedKV(t)
			_, err := set(x.was)(f)
			f.must(err)
			f.protect(protect.Delete)
			res, err := x.do(f)
			f.must(err)
			if held := res.Status == change.Pending; held != x.held {
				t.Errorf("it became %s", res.Status)
			}
			if x.held {
				f.must(f.approve(f.waiting()[0]))
				f.sound()
			}
		})
	}
}

// A version that waits is none to the key-value engine.
func TestWaitingVersionIsNone(t *testing.T) {
	f := guardedKV(t)
	f.protect(protect.Edit)
	w, err := f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id("guarded/s"), Value: *text("new")})
	f.must(err)
	label := name.PendingPrefix + w.Change
	if got := f.read(secret.ReadRequest{ID: id("guarded/s"), Label: label}); got != "new" {
		t.Errorf("under its label it reads %s", got)
	}
	f.unchanged(func() {
		for _, op := range []string{"delete", "undelete"} {
			if res := f.versions(op, "guarded/s", 3); res.ID != "" {
				t.Errorf("%s: %+v", op, res)
			}
		}
		if res := f.versions("destroy", "guarded/s", 3); res.ID != "" {
			t.Errorf("destroy: %+v", res)
		}
	})
	m, err := f.Secrets.KVDescribe(f.ctx, f.Admin, id("guarded/s"))
	f.must(err)
	if _, there := m.Versions[3]; there || m.Current != 2 || len(m.Versions) != 2 {
		t.Errorf("described as %+v", m)
	}
	f.must(f.approve(f.waiting()[0]))
	if got := f.kvRead("guarded/s", 0); got != "new" {
		t.Errorf("approved it reads %s", got)
	}
}

// What waits is merged onto what came meanwhile, unless it asked for a version.
func TestWaitingMeetsAnother(t *testing.T) {
	f := guardedKV(t)
	f.kvPut("guarded/s", `{"a":"1","b":"1"}`) // version 3
	f.protect(protect.Edit)
	_, err := f.Secrets.KVPatch(f.ctx, f.Admin, secret.KVPatch{ID: id("guarded/s"), Patch: sensitive.FromString(`{"b":"2"}`)})
	f.must(err)
	patch := f.waiting()[0]
	_, err = f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id("guarded/s"), Value: *text(`{}`), CAS: ptr[uint64](3)})
	f.must(err)
	_, err = f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id("guarded/s"), Value: *text(`{"a":"5","b":"1"}`)})
	f.must(err)
	put := f.waiting()[0]
	f.must(f.approve(put)) // a becomes 5
	if got := f.kvRead("guarded/s", 0); got != `{"a":"5","b":"1"}` {
		t.Errorf("approved it reads %s", got)
	}
	for _, r := range f.waiting() {
		if r.Record.ID == patch.Record.ID {
			f.must(f.approve(r))
			continue
		}
		if err := f.approve(r); code(err) != "conflict/conflict" {
			t.Errorf("a write that asked for version 3 is %v", err)
		}
	}
	if got := f.kvRead("guarded/s", 0); got != `{"a":"5","b":"2"}` {
		t.Errorf("merged it reads %s", got)
	}
	f.sound()
}

// The current version that was to be deleted is the one that its author saw.
func TestWaitingDeletionIsOfItsVersion(t *testing.T) {
	f := guardedKV(t)
	f.protect(protect.Delete)
	_, err := f.Secrets.DeleteVersions(f.ctx, f.Admin, secret.KVVersions{ID: id("guarded/s")})
	f.must(err)
	f.kvPut("guarded/s", "new")
	if err := f.approve(f.waiting()[0]); code(err) != "conflict/conflict" {
		t.Errorf("approved after another version came: %v", err)
	}
	if got := f.kvRead("guarded/s", 0); got != "new" {
		t.Errorf("reads %s", got)
	}
}

// A creation waits with its value, and comes late when another was faster.
func TestWaitingCreation(t *testing.T) {
	f := start(t, coretest.Config{})
	f.protect(protect.Create)
	w, err := f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id("guarded/new"), Value: *text(`{"a":"1"}`), CAS: ptr[uint64](0)})
	f.must(err)
	again, err := f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id("guarded/new"), Value: *text(`{"a":"1"}`), CAS: ptr[uint64](0)})
	f.must(err)
	if again.Change != w.Change || w.Status != change.Pending {
		t.Errorf("%+v, once more %+v", w, again)
	}
	for _, cas := range []*uint64{nil, ptr[uint64](0)} {
		_, err = f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id("guarded/new"), Value: *text(`{"a":"2"}`), CAS: cas})
		f.must(err)
	}
	_, err = f.Secrets.KVSet(f.ctx, f.Admin, secret.KVSet{ID: id("guarded/other"), Tags: map[string]*string{"k": ptr("v")}})
	f.must(err)
	if got := f.kvRead("guarded/new", 0); got != "(not-found/secret)" {
		t.Errorf("while it waits it reads %s", got)
	}
	waits := f.waiting()
	if len(waits) != 4 {
		t.Fatalf("%d changes wait", len(waits))
	}
	for _, r := range waits {
		if r.Record.Kind != string(protect.Create) {
			t.Errorf("waits as %+v", r.Record)
		}
		if r.Record.ID == w.Change || r.Record.Name == "guarded/other" {
			f.must(f.approve(r))
		}
	}
	for _, r := range f.waiting() {
		if err := f.approve(r); code(err) != "conflict/conflict" || r.Conflict == "" {
			t.Errorf("a creation that came late: %v, %q", err, r.Conflict)
		}
	}
	if got := f.kvRead("guarded/new", 0); got != `{"a":"1"}` {
		t.Errorf("approved it reads %s", got)
	}
	m, err := f.Secrets.KVDescribe(f.ctx, f.Admin, id("guarded/other"))
	if err != nil || m.Settings.Tags["k"] != "v" || m.Current != 0 {
		t.Errorf("described as %+v %v", m, err)
	}
	f.sound()
}
