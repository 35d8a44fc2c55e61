package robustness

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"countersign/internal/core/audit"
)

// TestKill kills the server at random moments under writers and readers. After
// each start every acknowledged write is there, what was under way is there
// wholly or not at all, and the log has exactly one record of every request
// that was answered, and of every version that exists.
func TestKill(t *testing.T) {
	kills := 20
	if n, err := strconv.Atoi(os.Getenv("KILLS")); err == nil && n > 0 {
		kills = n
	}
	s := newStore(t, t.TempDir(), "")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d kills", seed, kills)
	rng := rand.New(rand.NewPCG(seed, 0))
	m := newModel()
	for round := range kills {
		if round%5 == 4 { // while it starts
			p := s.spawn(t)
			<-time.After(time.Duration(rng.IntN(25)) * time.Millisecond)
			p.kill()
			continue
		}
		p := s.start(t)
		m.check(t, p)
		m.load(p, time.Duration(20+rng.IntN(500))*time.Millisecond, rng.Uint64())
		s.mustFsck(t)
		if t.Failed() {
			return
		}
	}
	p := s.start(t)
	m.check(t, p)
	exist := m.list(t, p)
	if code := p.stop(t); code != 0 {
		t.Errorf("the server ended with %d: %s", code, p.log)
	}
	s.mustFsck(t)
	s.mustVerify(t)
	m.checkLog(t, s.audit(), exist)
	t.Logf("%d writes and %d reads were acknowledged, %d of unknown outcome", m.writes, m.reads, m.unknown)
	if m.writes < kills || m.reads < kills {
		t.Error("hardly anything was acknowledged, so nothing was tested")
	}
}

// model is what the clients know.
type model struct {
	mu       sync.Mutex
	secrets  []*known
	answered map[string]bool // request ids of answers; true when the answer was 200

	writes, reads, unknown int
}

// known is a secret as its one writer knows it. It may be at any of the values
// from the acknowledged one to the last that was sent.
type known struct {
	name        string
	native      bool // written through the native API, otherwise through AWS's
	acked, sent int  // numbers of values; the secret exists from 1 on
}

const (
	writers       = 8
	readers       = 4
	secretsOfEach = 3
)

func newModel() *model {
	m := &model{answered: map[string]bool{}}
	for w := range writers {
		for i := range secretsOfEach {
			m.secrets = append(m.secrets, &known{name: fmt.Sprintf("kill/writer-%d/secret-%d", w, i), native: w%2 == 1})
		}
	}
	return m
}

// load writes and reads until the server was killed.
func (m *model) load(p *server, d time.Duration, seed uint64) {
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for m.write(p, m.secrets[w*secretsOfEach+rng.IntN(secretsOfEach)]) {
			}
		})
	}
	for r := range readers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(100+r)))
			for m.read(p, m.secrets[rng.IntN(len(m.secrets))], rng.IntN(2) == 0) {
			}
		})
	}
	<-time.After(d)
	p.kill()
	wg.Wait()
}

func value(n int) string { return fmt.Sprintf(`{"n":"%d","password":"pw-%d"}`, n, n) }

// write stores the next value of a secret, and tells whether the server still
// answers.
func (m *model) write(p *server, k *known) bool {
	m.mu.Lock()
	k.sent++
	n, fresh := k.sent, k.acked == 0
	m.mu.Unlock()
	var a answer
	var err error
	switch {
	case k.native:
		a, err = p.native(http.MethodPut, "/secret/value?name="+url.QueryEscape(k.name),
			map[string]any{"value": value(n), "version_id": version(n), "create": true})
	case fresh:
		a, err = p.aws("CreateSecret", map[string]any{"Name": k.name, "ClientRequestToken": version(n), "SecretString": value(n)})
		if err == nil && a.status == http.StatusBadRequest { // it was made before a kill, unacknowledged
			m.note(a)
			a, err = p.aws("PutSecretValue", map[string]any{"SecretId": k.name, "ClientRequestToken": version(n), "SecretString": value(n)})
		}
	default:
		a, err = p.aws("PutSecretValue", map[string]any{"SecretId": k.name, "ClientRequestToken": version(n), "SecretString": value(n)})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.unknown++
		return false
	}
	m.answered[a.requestID] = a.status == http.StatusOK
	if a.status != http.StatusOK {
		panic(fmt.Sprintf("writing %s was answered with %d: %s", k.name, a.status, a.body))
	}
	k.acked = n
	m.writes++
	return true
}

func (m *model) note(a answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answered[a.requestID] = a.status == http.StatusOK
}

// read reads a secret and holds the answer against what is possible.
func (m *model) read(p *server, k *known, native bool) bool {
	m.mu.Lock()
	least := k.acked
	m.mu.Unlock()
	got, a, err := p.value(k.name, native)
	if err != nil {
		return false
	}
	m.note(a)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if a.status != http.StatusOK && least > 0 || a.status == http.StatusOK && !k.possible(got, least) {
		panic(fmt.Sprintf("reading %s: status %d, %q, which is not one of the values %d to %d", k.name, a.status, got, least, k.sent))
	}
	return true
}

// possible tells whether a value is one of those from least to the last sent.
func (k *known) possible(got string, least int) bool {
	for n := max(least, 1); n <= k.sent; n++ {
		if got == value(n) {
			return true
		}
	}
	return false
}

// value reads the current value of a secret.
func (p *server) value(name string, native bool) (string, answer, error) {
	var got struct {
		SecretString string
		Value        string `json:"value"`
	}
	var a answer
	var err error
	if native {
		a, err = p.native(http.MethodGet, "/secret/value?name="+url.QueryEscape(name), nil)
	} else {
		a, err = p.aws("GetSecretValue", map[string]any{"SecretId": name})
	}
	if err == nil && a.status == http.StatusOK {
		err = json.Unmarshal(a.body, &got)
	}
	return got.SecretString + got.Value, a, err
}

// check reads everything after a start, and settles what was unknown.
func (m *model) check(t *testing.T, p *server) {
	t.Helper()
	for _, k := range m.secrets {
		got, a, err := p.value(k.name, k.native)
		if err != nil {
			t.Fatal(err)
		}
		m.answered[a.requestID] = a.status == http.StatusOK
		switch {
		case a.status == http.StatusOK && k.possible(got, k.acked):
			for k.acked = k.sent; got != value(k.acked); k.acked-- {
			}
		case a.status != http.StatusOK && k.acked == 0:
		default:
			t.Errorf("%s: after a kill status %d, value %q; value %d was acknowledged, %d sent", k.name, a.status, got, k.acked, k.sent)
		}
	}
}

// list returns the versions of every secret.
func (m *model) list(t *testing.T, p *server) map[string]map[uint64]bool {
	t.Helper()
	exist := map[string]map[uint64]bool{}
	for _, k := range m.secrets {
		exist[k.name] = map[uint64]bool{}
		for page, more := "", true; more; {
			var list struct {
				Items []struct{ Number uint64 }
				Next  string
			}
			a := must(t)(p.native(http.MethodGet, "/secret/versions?all=true&limit=1000&name="+url.QueryEscape(k.name)+page, nil))
			m.note(a)
			a.into(t, &list)
			for _, v := range list.Items {
				exist[k.name][v.Number] = true
			}
			page, more = "&page="+url.QueryEscape(list.Next), list.Next != ""
		}
		if n := len(exist[k.name]); n < 1 || n > k.sent {
			t.Errorf("%s: %d versions after %d writes", k.name, n, k.sent)
		}
	}
	return exist
}

// checkLog holds the log against what was answered, and against the versions
// that exist: one record for each.
func (m *model) checkLog(t *testing.T, dir string, exist map[string]map[uint64]bool) {
	t.Helper()
	done, refused := map[string]int{}, map[string]int{}
	recorded := map[string]map[uint64]int{}
	for r, err := range audit.Query(t.Context(), dir, audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Outcome != audit.OK {
			refused[r.RequestID]++
			continue
		}
		done[r.RequestID]++
		if r.Operation == "PutValue" || r.Operation == "CreateSecret" {
			if recorded[r.Resource] == nil {
				recorded[r.Resource] = map[uint64]int{}
			}
			recorded[r.Resource][r.Version]++
		}
	}
	for id, ok := range m.answered {
		// A put that may create the secret is refused as a put first.
		if ok && (done[id] != 1 || refused[id] > 1) || !ok && (done[id] != 0 || refused[id] != 1) {
			t.Errorf("request %s was answered (success: %v), and the log has %d records of success and %d of refusal",
				id, ok, done[id], refused[id])
		}
	}
	for name, numbers := range exist {
		for n := range numbers {
			if got := recorded[name][n]; got != 1 {
				t.Errorf("%s: %d records of version %d", name, got, n)
			}
		}
		for n := range recorded[name] {
			if !numbers[n] {
				t.Errorf("%s: a record of version %d, which does not exist", name, n)
			}
		}
	}
}
