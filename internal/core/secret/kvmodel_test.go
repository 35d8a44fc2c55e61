package secret_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// model is one secret as the documentation of both protocols has it, in maps.
type model struct {
	there, marked bool
	versions      map[uint64]*modelVersion
	labels        map[string]uint64
	last, limit   uint64
	strict        bool // cas is required
}

type modelVersion struct {
	id, value          string
	deleted, destroyed bool
	wasCurrent         bool
}

func (v *modelVersion) live() bool { return v != nil && !v.deleted && !v.destroyed }

func (m *model) current() uint64 { return m.labels[name.Current] }

func (m *model) attach(label string, n uint64) {
	if from, ok := m.labels[label]; ok && label == name.Current && from != n {
		m.labels[name.Previous] = from
	}
	m.labels[label] = n
	if label == name.Current {
		m.versions[n].wasCurrent = true
		if m.labels[name.Previous] == n {
			delete(m.labels, name.Previous)
		}
	}
}

// write adds a version and prunes.
func (m *model) write(id, value, label string) {
	if !m.there {
		*m = model{there: true, versions: map[uint64]*modelVersion{}, labels: map[string]uint64{}}
	}
	m.last++
	m.versions[m.last] = &modelVersion{id: id, value: value}
	m.attach(label, m.last)
	if m.current() == 0 {
		m.attach(name.Current, m.last)
	}
	for _, n := range slices.Sorted(maps.Keys(m.versions)) {
		if m.limit != 0 && uint64(len(m.versions)) > m.limit && !slices.Contains(slices.Collect(maps.Values(m.labels)), n) {
			delete(m.versions, n)
		}
	}
}

// cas is what a write under check-and-set comes to: "" when it may go on.
func (m *model) cas(cas *uint64) string {
	switch {
	case m.there && m.marked:
		return "precondition/marked-for-deletion"
	case cas != nil && *cas != m.current():
		return "conflict/cas-mismatch"
	case cas == nil && m.strict:
		return "precondition/cas-required"
	}
	return ""
}

// view is everything that either front shows.
func (m *model) view() string {
	var b strings.Builder
	for n := uint64(1); n <= m.last; n++ {
		v := m.versions[n]
		kv, aws := "(not-found/version)", "(not-found/version)"
		switch {
		case v == nil:
		case v.destroyed:
			kv = "(destroyed)"
		case v.deleted || m.marked:
			kv = "(deleted)"
		default:
			kv, aws = v.value, v.value
		}
		if m.marked {
			aws = "(precondition/marked-for-deletion)"
		}
		fmt.Fprintf(&b, "%d %s %s\n", n, kv, aws)
	}
	for _, l := range slices.Sorted(maps.Keys(m.labels)) {
		aws, v := "(not-found/label)", m.versions[m.labels[l]]
		switch {
		case m.marked:
			aws = "(precondition/marked-for-deletion)"
		case v.live():
			aws = v.value
		}
		fmt.Fprintf(&b, "%s %d %s\n", l, m.labels[l], aws)
	}
	return b.String()
}

// shown is the same of the service; token ids are those of the model.
func (f *fixture) shown(m *model) string {
	var b strings.Builder
	d, err := f.Secrets.KVDescribe(f.ctx, f.Admin, id("s"))
	if !m.there {
		f.expect(err, "not-found/secret")
		return ""
	}
	f.must(err)
	if d.Current != m.current() || len(d.Versions) != len(m.versions) {
		f.t.Errorf("described as %+v", d)
	}
	for n := uint64(1); n <= m.last; n++ {
		info, there := d.Versions[n]
		v := m.versions[n]
		if there != (v != nil) || there && (info.Destroyed != v.destroyed || !v.destroyed && info.Deleted.IsZero() == (v.deleted || m.marked)) {
			f.t.Errorf("version %d is described as %+v", n, info)
		}
		vid := token(999)
		if v != nil {
			vid = v.id
		}
		fmt.Fprintf(&b, "%d %s %s\n", n, f.kvRead("s", n), f.read(secret.ReadRequest{ID: id("s"), VersionID: vid}))
	}
	vs, err := f.Secrets.ListVersions(f.ctx, f.Admin, secret.VersionsRequest{ID: id("s"), Unlabeled: true, Destroyed: true})
	f.must(err)
	labels := map[string]uint64{}
	for _, v := range vs.Versions {
		for _, l := range v.Labels {
			labels[l] = v.Number
		}
	}
	for _, l := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&b, "%s %d %s\n", l, labels[l], f.read(secret.ReadRequest{ID: id("s"), Label: l}))
	}
	return b.String()
}

// step does one thing at random to both. It returns what, and the code that came
// of it and that should have.
func (f *fixture) step(r *rand.Rand, m *model, seq int) (what, got, want string) {
	value := fmt.Sprintf(`{"k":"%d"}`, r.IntN(4))
	number := uint64(1 + r.IntN(int(m.last)+1))
	target := m.versions[number]
	tid := token(999)
	if target != nil {
		tid = target.id
	}
	absent := func(otherwise string) string {
		switch {
		case !m.there:
			return "not-found/secret"
		case m.marked:
			return "precondition/marked-for-deletion"
		}
		return otherwise
	}
	alter := func(do func(v *modelVersion)) {
		for _, n := range []uint64{number, number + 1} {
			if v := m.versions[n]; v != nil && !v.destroyed {
				do(v)
			}
		}
	}
	numbers := secret.KVVersions{ID: id("s"), Numbers: []uint64{number + 1, number}}
	switch op := r.IntN(15); op {
	case 0, 1, 2:
		req := secret.KVWrite{ID: id("s"), Value: *text(value)}
		switch r.IntN(4) {
		case 0:
			req.CAS = ptr(m.current())
		case 1:
			req.CAS = &number
		}
		want = m.cas(req.CAS)
		w, err := f.Secrets.KVPut(f.ctx, f.Admin, req)
		if want == "" {
			m.write(w.VersionID, value, name.Current)
		}
		return "kv put " + value, code(err), want
	case 3, 4:
		label := []string{name.Current, "L"}[r.IntN(2)]
		want = absent("")
		_, err := f.Secrets.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: id("s"), VersionID: token(seq), Value: *text(value), Labels: []string{label}})
		if want == "" {
			m.write(token(seq), value, label)
		}
		return "put " + label, code(err), want
	case 5:
		req := secret.KVPatch{ID: id("s"), Patch: sensitive.FromString(fmt.Sprintf(`{"j":"%d"}`, r.IntN(4)))}
		if m.strict {
			req.CAS = ptr(m.current())
		}
		w, err := f.Secrets.KVPatch(f.ctx, f.Admin, req)
		if want = absent(""); want == "" && !m.versions[m.current()].live() {
			want = "not-found/label"
		}
		if want == "" {
			merged := map[string]string{}
			f.must(json.Unmarshal([]byte(m.versions[m.current()].value), &merged))
			f.must(json.Unmarshal(req.Patch.Reveal(), &merged))
			out, _ := json.Marshal(merged)
			m.write(w.VersionID, f.read(secret.ReadRequest{ID: id("s")}), name.Current)
			if v := m.versions[m.current()].value; len(v) != len(out) {
				f.t.Errorf("patched to %s, want the members of %s", v, out)
			}
		}
		return "kv patch", code(err), want
	case 6:
		_, err := f.Secrets.DeleteVersions(f.ctx, f.Admin, secret.KVVersions{ID: id("s")})
		if v := m.versions[m.current()]; !m.marked && v.live() {
			v.deleted = true
		}
		return "kv delete", code(err), ""
	case 7:
		_, err := f.Secrets.DeleteVersions(f.ctx, f.Admin, numbers)
		if !m.marked {
			alter(func(v *modelVersion) { v.deleted = true })
		}
		return fmt.Sprintf("kv delete %d %d", number, number+1), code(err), ""
	case 8, 9:
		_, err := f.Secrets.UndeleteVersions(f.ctx, f.Admin, numbers)
		m.marked = false
		alter(func(v *modelVersion) { v.deleted = false })
		return fmt.Sprintf("kv undelete %d %d", number, number+1), code(err), ""
	case 10:
		_, err := f.Secrets.DestroyVersions(f.ctx, f.Admin, secret.KVVersions{ID: id("s"), Numbers: []uint64{number}})
		if target != nil {
			target.destroyed = true
		}
		return fmt.Sprintf("kv destroy %d", number), code(err), ""
	case 11:
		label := []string{name.Current, "L"}[r.IntN(2)]
		_, err := f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: label, To: tid, Infer: true})
		if want = absent(""); want == "" && !target.live() {
			want = "not-found/version"
		}
		if want == "" {
			m.attach(label, number)
		}
		return fmt.Sprintf("move %s to %d", label, number), code(err), want
	case 12:
		_, err := f.Secrets.Rollback(f.ctx, f.Admin, secret.RollbackRequest{ID: id("s"), Version: number})
		if want = absent(""); want == "" && (!target.live() || !target.wasCurrent) {
			want = "precondition/" + secret.CodeNoRollback
		}
		if c := m.versions[m.current()]; want == "" && (!c.live() || c.value != target.value) {
			v, err := f.Secrets.ReadValue(f.ctx, f.Admin, secret.ReadRequest{ID: id("s")})
			f.must(err)
			m.write(v.VersionID, target.value, name.Current)
		}
		return fmt.Sprintf("roll back to %d", number), code(err), want
	case 13:
		if r.IntN(4) == 0 {
			_, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("s"), Force: true})
			*m = model{}
			return "delete for good", code(err), ""
		}
		_, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("s")})
		if want = absent(""); want == "" {
			m.marked = true
		}
		return "mark for deletion", code(err), want
	}
	limit, strict := uint64(r.IntN(6)), r.IntN(4) == 0
	_, err := f.Secrets.KVSet(f.ctx, f.Admin, secret.KVSet{ID: id("s"), Merge: true, MaxVersions: &limit, CASRequired: &strict})
	if want = absent(""); want == "" {
		m.limit, m.strict = limit, strict
	}
	return fmt.Sprintf("keep %d", limit), code(err), want
}

// TestBothFrontsAgree does things at random through the writes of either protocol,
// and holds after each what both show to a model of them.
func TestBothFrontsAgree(t *testing.T) {
	for seed := range uint64(40) {
		f := start(t, coretest.Config{})
		r := rand.New(rand.NewPCG(seed, 1))
		m := &model{}
		var done []string
		for seq := 1; seq <= 60 && !t.Failed(); seq++ {
			what, got, want := f.step(r, m, seq)
			done = append(done, what+": "+got)
			if want == "" {
				want = "ok"
			}
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if diff := cmp.Diff(m.view(), f.shown(m)); diff != "" {
				t.Error(diff)
			}
		}
		f.sound()
		if t.Failed() {
			t.Fatalf("seed %d: %s", seed, strings.Join(done, "\n"))
		}
	}
}
