package robustness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/core/audit"
)

// TestKillReview kills the server at random moments while changes to protected
// secrets are proposed, approved and rejected. After each start every
// acknowledged step has been taken and none halfway: what was applied has its
// version, what waits has its own under its label and can be decided, and the
// log has one record of each step.
func TestKillReview(t *testing.T) {
	kills := 20
	if n, err := strconv.Atoi(os.Getenv("KILLS")); err == nil && n > 0 {
		kills = n
	}
	s := newStore(t, t.TempDir(), "")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d kills", seed, kills)
	rng := rand.New(rand.NewPCG(seed, 0))
	p := s.start(t)
	o := newOffice(t, p)
	for round := range kills {
		if round%5 == 4 { // while it starts
			p = s.spawn(t)
			<-time.After(time.Duration(rng.IntN(25)) * time.Millisecond)
			p.kill()
			continue
		}
		if round > 0 {
			p = s.start(t)
			o.check(t, p)
		}
		o.load(t, p, time.Duration(20+rng.IntN(400))*time.Millisecond, rng.Uint64())
		s.mustFsck(t)
		if t.Failed() {
			return
		}
	}
	p = s.start(t)
	o.check(t, p)
	if code := p.stop(t); code != 0 {
		t.Errorf("the server ended with %d: %s", code, p.log)
	}
	s.mustFsck(t)
	s.mustVerify(t)
	o.checkLog(t, s.audit())
	proposed, applied, rejected := 0, 0, 0
	for _, d := range o.desks {
		for _, c := range d.changes {
			proposed++
			switch c.ended {
			case "applied":
				applied++
			case "rejected":
				rejected++
			}
		}
	}
	t.Logf("%d proposals, of which %d applied and %d rejected; %d steps of unknown outcome", proposed, applied, rejected, o.unknown)
	if applied < kills || rejected < kills/4 {
		t.Error("hardly anything was decided, so nothing was tested")
	}
}

// reviewOffice is what the people at their desks know.
type reviewOffice struct {
	desks []*desk

	mu      sync.Mutex
	unknown int
	asked   map[string]bool // request ids of steps that succeeded
}

// desk is one protected secret, with somebody who proposes values for it and
// somebody else who decides.
type desk struct {
	name     string
	approver string // token
	sent     int    // values proposed
	changes  map[string]*step
	approved bool // one was, since the start: what else waits may be at odds with it
}

// step is what is known of a change.
type step struct {
	ended string // applied or rejected, once that was acknowledged
	asked string // what was asked for when no answer came
}

const desks = 6

func newOffice(t *testing.T, p *server) *reviewOffice {
	t.Helper()
	o := &reviewOffice{asked: map[string]bool{}}
	call := func(method, path string, body any) answer {
		t.Helper()
		return must(t)(p.native(method, path, body))
	}
	for i := range desks {
		n := fmt.Sprint("approver-", i)
		call(http.MethodPost, "/users", map[string]any{"name": n})
		call(http.MethodPut, "/policies/Approver/attachments", map[string]any{"user": n})
		var k struct{ Token string }
		call(http.MethodPost, "/keys", map[string]any{"owner": n}).into(t, &k)
		d := &desk{name: fmt.Sprintf("guarded/desk-%d", i), approver: k.Token, changes: map[string]*step{}}
		call(http.MethodPost, "/secret", map[string]any{"name": d.name, "value": value(0)})
		o.desks = append(o.desks, d)
	}
	call(http.MethodPost, "/protection", map[string]any{"set": map[string]any{"name": "guarded", "match": []string{"guarded/*"},
		"approvals": []any{map[string]any{"count": 1}}}})
	return o
}

// load works at every desk until the server was killed.
func (o *reviewOffice) load(t *testing.T, p *server, d time.Duration, seed uint64) {
	var wg sync.WaitGroup
	for i, desk := range o.desks {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			for o.work(t, p, desk, rng) {
			}
		})
	}
	<-time.After(d)
	p.kill()
	wg.Wait()
}

// work proposes one or two values and decides on them, and tells whether the
// server still answers.
func (o *reviewOffice) work(t *testing.T, p *server, d *desk, rng *rand.Rand) bool {
	var ids []string
	for range 1 + rng.IntN(2) {
		id, ok := o.propose(t, p, d, rng.IntN(2) == 0)
		if !ok {
			return false
		}
		ids = append(ids, id)
	}
	for i, id := range ids {
		approve := i == 0 && rng.IntN(4) > 0 // the second is then at odds with the first
		if !o.decide(t, p, d, id, approve) {
			return false
		}
	}
	return true
}

// propose puts a value through one of the fronts.
func (o *reviewOffice) propose(t *testing.T, p *server, d *desk, native bool) (string, bool) {
	d.sent++
	var a answer
	var err error
	if native {
		a, err = p.native(http.MethodPut, "/secret/value?name="+url.QueryEscape(d.name), map[string]any{"value": value(d.sent), "version_id": version(d.sent)})
	} else {
		a, err = p.aws("PutSecretValue", map[string]any{"SecretId": d.name, "ClientRequestToken": version(d.sent), "SecretString": value(d.sent)})
	}
	if err != nil {
		o.lost()
		return "", false
	}
	var got struct {
		Change, Status string
		VersionStages  []string
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &got) != nil {
		t.Errorf("proposing was answered with %d: %s", a.status, a.body)
		return "", false
	}
	if !native {
		got.Change, got.Status = strings.TrimPrefix(strings.Join(got.VersionStages, " "), "PENDING-"), "pending"
	}
	if got.Change == "" || got.Status != "pending" {
		t.Errorf("a proposal was answered with %s", a.body)
		return "", false
	}
	o.done(a)
	d.changes[got.Change] = &step{}
	return got.Change, true
}

// decide approves or rejects a change.
func (o *reviewOffice) decide(t *testing.T, p *server, d *desk, id string, approve bool) bool {
	verb, want := "reject", "rejected"
	body := map[string]any{}
	if approve {
		verb, want = "approve", "applied"
		var review struct{ Digest string }
		a, ok := o.limited(t, p, d, http.MethodGet, "/changes/"+id, nil)
		if !ok {
			return false
		}
		if a.status != http.StatusOK || json.Unmarshal(a.body, &review) != nil {
			t.Errorf("reviewing was answered with %d: %s", a.status, a.body)
			return false
		}
		body["digest"] = review.Digest
	}
	d.changes[id].asked = want
	a, ok := o.limited(t, p, d, http.MethodPost, "/changes/"+id+"/"+verb, body)
	if !ok {
		o.lost()
		return false
	}
	var got struct{ Status string }
	if a.status != http.StatusOK || json.Unmarshal(a.body, &got) != nil || got.Status != want {
		t.Errorf("%s was answered with %d: %s", verb, a.status, a.body)
		return false
	}
	d.changes[id].ended = want
	return true
}

// limited makes a call of the approver, again when it was one too many.
func (o *reviewOffice) limited(t *testing.T, p *server, d *desk, method, path string, members any) (answer, bool) {
	for {
		b, err := json.Marshal(members)
		if err != nil {
			t.Error(err)
			return answer{}, false
		}
		var a answer
		if members == nil {
			a, err = p.nativeRaw(d.approver, method, path, nil)
		} else {
			a, err = p.nativeRaw(d.approver, method, path, bytes.NewReader(b))
		}
		switch {
		case err != nil:
			return answer{}, false
		case a.status != http.StatusTooManyRequests:
			if a.status == http.StatusOK {
				o.done(a)
			}
			return a, true
		}
		<-time.After(100 * time.Millisecond)
	}
}

func (o *reviewOffice) done(a answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked[a.requestID] = true
}

func (o *reviewOffice) lost() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unknown++
}

// changeRecord is what is told of a change.
type changeRecord struct {
	ID, Status, Operation string
	Version               uint64
}

// versionRecord is what is told of a version.
type versionRecord struct {
	Number     uint64
	ID, Change string
	Labels     []string
}

// all reads every page of a listing.
func all[T any](t *testing.T, p *server, path string) (out []T) {
	t.Helper()
	for page, more := "", true; more; {
		var list struct {
			Items []T
			Next  string
		}
		must(t)(p.native(http.MethodGet, path+page, nil)).into(t, &list)
		out = append(out, list.Items...)
		page, more = "&page="+url.QueryEscape(list.Next), list.Next != ""
	}
	return out
}

// check holds what is there after a start against what is known, and decides
// what waits.
func (o *reviewOffice) check(t *testing.T, p *server) {
	t.Helper()
	for _, d := range o.desks {
		changes, versions := o.read(t, p, d)
		d.approved = false
		for id, c := range changes {
			k := d.changes[id]
			if k == nil && c.Operation == "PutValue" { // proposed, and the answer lost
				k = &step{}
				d.changes[id] = k
			}
			o.checkChange(t, p, d, c, k, versions)
		}
		for id := range d.changes {
			if changes[id].ID == "" {
				t.Errorf("%s: change %s was acknowledged and is not there", d.name, id)
			}
		}
		for _, v := range versions {
			if c := changes[v.Change]; c.Status == "rejected" || c.ID == "" || c.Status == "applied" && c.Version != v.Number {
				t.Errorf("%s: version %d is of change %s, which is %q with version %d", d.name, v.Number, v.Change, c.Status, c.Version)
			}
		}
	}
}

// read returns the changes to a secret and its versions, by their ids.
func (o *reviewOffice) read(t *testing.T, p *server, d *desk) (map[string]changeRecord, map[uint64]versionRecord) {
	t.Helper()
	query := "?limit=1000&name=" + url.QueryEscape(d.name)
	changes, versions := map[string]changeRecord{}, map[uint64]versionRecord{}
	for _, c := range all[changeRecord](t, p, "/secret/changes"+query) {
		changes[c.ID] = c
	}
	for _, v := range all[versionRecord](t, p, "/secret/versions"+query+"&all=true") {
		versions[v.Number] = v
	}
	return changes, versions
}

func (o *reviewOffice) checkChange(t *testing.T, p *server, d *desk, c changeRecord, k *step, versions map[uint64]versionRecord) {
	t.Helper()
	switch c.Status {
	case "applied":
		if v := versions[c.Version]; v.Change != c.ID {
			t.Errorf("%s: change %s wrote version %d, which is of change %q", d.name, c.ID, c.Version, v.Change)
		}
	case "rejected":
	case "pending", "conflicted":
		held := 0
		for _, v := range versions {
			for _, l := range v.Labels {
				if l == "PENDING-"+c.ID {
					held++
				}
			}
		}
		if held != 1 {
			t.Errorf("%s: change %s waits, and %d versions have its label", d.name, c.ID, held)
		}
	default:
		t.Errorf("%s: change %s is %q", d.name, c.ID, c.Status)
	}
	if k == nil { // the creation, before there was a rule
		return
	}
	open := c.Status == "pending" || c.Status == "conflicted"
	switch {
	case k.ended != "" && c.Status != k.ended:
		t.Errorf("%s: change %s was acknowledged as %s and is %s", d.name, c.ID, k.ended, c.Status)
	case !open && k.ended == "" && c.Status != k.asked:
		t.Errorf("%s: change %s is %s, and only %q was asked for", d.name, c.ID, c.Status, k.asked)
	case !open:
		k.ended = c.Status
	default:
		approve := c.Status == "pending" && !d.approved
		d.approved = d.approved || approve
		if !o.decide(t, p, d, c.ID, approve) {
			t.Errorf("%s: change %s could not be decided", d.name, c.ID)
		}
	}
}

// checkLog holds the log against the changes: one record of each proposal and of
// each decision, and of one that applied, with the version.
func (o *reviewOffice) checkLog(t *testing.T, dir string) {
	t.Helper()
	proposed, decided, answered := map[string]int{}, map[string][]audit.Record{}, map[string]int{}
	for r, err := range audit.Query(t.Context(), dir, audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Outcome != audit.OK {
			continue
		}
		answered[r.RequestID]++
		switch r.Operation {
		case "PutValue":
			proposed[r.Change]++
		case "ReviewChange":
			decided[r.Change] = append(decided[r.Change], r)
		}
	}
	for id := range o.asked {
		if answered[id] != 1 {
			t.Errorf("request %s was answered, and the log has %d records of it", id, answered[id])
		}
	}
	known := map[string]bool{}
	for _, d := range o.desks {
		for id, c := range d.changes {
			known[id] = true
			if proposed[id] != 1 {
				t.Errorf("change %s: %d records of its proposal", id, proposed[id])
			}
			if len(decided[id]) != 1 || (decided[id][0].Version != 0) != (c.ended == "applied") {
				t.Errorf("change %s was %s, and its decision is recorded as %+v", id, c.ended, decided[id])
			}
		}
	}
	for id := range decided {
		if !known[id] {
			t.Errorf("the log has a decision on change %s, which does not exist", id)
		}
	}
	for id := range proposed {
		if !known[id] {
			t.Errorf("the log has a proposal of change %s, which does not exist", id)
		}
	}
}
