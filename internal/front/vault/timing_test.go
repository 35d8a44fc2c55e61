package vault

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/core/coretest"
	"countersign/internal/core/signin"
)

// way is a request that is refused, said for the i-th time.
type way struct {
	name string
	do   func(i int) *httptest.ResponseRecorder
}

// medians runs the ways in turn, in an order drawn anew for each round, and returns
// what each takes in the middle.
func medians(t *testing.T, from, rounds int, ways []way) []time.Duration {
	t.Helper()
	took := make([][]time.Duration, len(ways))
	for i := range rounds {
		for _, w := range rand.Perm(len(ways)) {
			start := time.Now()
			got := ways[w].do(from + i)
			took[w] = append(took[w], time.Since(start))
			if got.Code < 400 {
				t.Fatalf("%s: %d %s", ways[w].name, got.Code, got.Body)
			}
		}
	}
	out := make([]time.Duration, len(ways))
	for w := range took {
		slices.Sort(took[w])
		out[w] = took[w][rounds/2]
	}
	return out
}

// TestTimingTellsNothing holds that of refusals which are to tell nothing none
// takes longer than another, as the middle of many requests in turn. A machine that
// is busy with something else makes one run differ: all of several have to. It fails
// when a denial is not held back (package gate), as a secret with many tags takes
// longer to find than none, and when a login leaves out the work for a user that is
// not there. Smaller differences are hidden by what every denial takes at least.
func TestTimingTellsNothing(t *testing.T) {
	const runs = 4
	for name, x := range map[string]struct {
		rounds int
		apart  float64 // of the quickest, at most
		ways   func(t *testing.T, s *server, from func(i int) string) []way
	}{
		"approle":  {150, 0.15, appRoleWays},
		"userpass": {30, 0.30, userpassWays},
		"token":    {150, 0.15, tokenWays},
		"key":      {150, 0.15, keyWays},
		"denied":   {150, 0.15, deniedWays},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, coretest.Config{Bolt: true, Passwords: signin.Params{Memory: 4 << 10, Time: 1, Threads: 1}})
			ways := x.ways(t, s, func(i int) string { return fmt.Sprintf("10.%d.%d.%d:1000", i>>16&255, i>>8&255, i&255) })
			medians(t, 1<<20, 10, ways)
			var said []string
			for run := range runs {
				m := medians(t, run*x.rounds, x.rounds, ways)
				least, most := slices.Min(m), slices.Max(m)
				var line strings.Builder
				for i, w := range ways {
					fmt.Fprintf(&line, " %s %s", w.name, m[i])
				}
				said = append(said, line.String())
				if float64(most-least) <= x.apart*float64(least) {
					t.Log(strings.Join(said, "\n"))
					return
				}
			}
			t.Errorf("what is refused is told by how long it takes:\n%s", strings.Join(said, "\n"))
		})
	}
}

// ask sends a request from an address of its own, so that none is refused for the
// others.
func (s *server) ask(token, method, path, body, from string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, Base+path, strings.NewReader(body))
	req.RemoteAddr = from
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	return w
}

func appRoleWays(t *testing.T, s *server, from func(int) string) []way {
	_, role, enter := s.appRole(t, "ci")
	enter()
	none, wrong := "01234567-89ab-4def-8123-456789abcdef", "fedcba98-7654-4210-8edc-ba9876543210"
	login := func(role, secret string) func(i int) *httptest.ResponseRecorder {
		return func(i int) *httptest.ResponseRecorder {
			return s.ask("", "POST", "auth/approle/login", `{"role_id":"`+role+`","secret_id":"`+secret+`"}`, from(i))
		}
	}
	return []way{{"unknown-role", login(none, wrong)}, {"wrong-secret", login(role, wrong)}}
}

// strangers is how many users have a password guessed, so few times each that
// nobody has to wait.
const strangers = 60

func userpassWays(t *testing.T, s *server, from func(int) string) []way {
	s.enable(t, "userpass")
	for i := range strangers {
		s.want(t, 204, "POST", fmt.Sprintf("auth/userpass/users/user%03d", i), `{"password":"a long enough password 1"}`)
	}
	login := func(prefix string) func(i int) *httptest.ResponseRecorder {
		return func(i int) *httptest.ResponseRecorder {
			return s.ask("", "POST", fmt.Sprintf("auth/userpass/login/%s%03d", prefix, i%strangers), `{"password":"another password 12"}`, from(i))
		}
	}
	return []way{{"unknown-user", login("none")}, {"wrong-password", login("user")}}
}

func tokenWays(t *testing.T, s *server, from func(int) string) []way {
	revoked := make([]string, 50)
	for i := range revoked {
		revoked[i] = at(t, s.want(t, 200, "POST", "auth/token/create", `{}`), "auth.client_token").(string)
		s.want(t, 204, "POST", "auth/token/revoke", `{"token":"`+revoked[i]+`"}`)
	}
	lookup := func(token func(i int) string) func(i int) *httptest.ResponseRecorder {
		return func(i int) *httptest.ResponseRecorder {
			return s.ask(token(i), "GET", "auth/token/lookup-self", "", from(i))
		}
	}
	letters := strings.Split("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef", "")
	return []way{
		{"revoked", lookup(func(i int) string { return revoked[i%len(revoked)] })},
		{"unknown", lookup(func(i int) string { // the last letters of a real one, but for the last, which has bits that must be zero
			r := revoked[i%len(revoked)]
			return r[:len(r)-9] + letters[i&31] + letters[i>>5&31] + letters[i>>10&31] + r[len(r)-6:]
		})},
		{"malformed", lookup(func(i int) string { return revoked[i%len(revoked)][:30] + letters[i&31] })},
		{"vaults", lookup(func(i int) string { return "hvs." + revoked[i%len(revoked)][4:] })},
	}
}

func keyWays(t *testing.T, s *server, from func(int) string) []way {
	_, key := s.User(t, "alice", "")
	token := tokenOf(key)
	wrong := token[:len(token)-4] + "AAAA"
	lookup := func(token string) func(i int) *httptest.ResponseRecorder {
		return func(i int) *httptest.ResponseRecorder {
			return s.ask(token, "GET", "auth/token/lookup-self", "", from(i))
		}
	}
	return []way{{"wrong-secret", lookup(wrong)}, {"unknown-id", lookup("cst_AKIAAAAAAAAAAAAAAAAA" + wrong[24:])}}
}

func deniedWays(t *testing.T, s *server, from func(int) string) []way {
	s.want(t, 200, "POST", "secret/data/there", `{"data":{"a":"b"}}`)

	tags := make([]string, 50)
	for i := range tags {
		tags[i] = fmt.Sprintf(`"tag%02d":"%s"`, i, strings.Repeat("x", 250))
	}
	s.want(t, 200, "POST", "secret/data/large", `{"data":{"a":"b"}}`)
	s.want(t, 204, "POST", "secret/metadata/large", `{"custom_metadata":{`+strings.Join(tags, ",")+`}}`)
	_, key := s.User(t, "alice", "")
	read := func(method, path, body string) func(i int) *httptest.ResponseRecorder {
		return func(i int) *httptest.ResponseRecorder { return s.ask(tokenOf(key), method, path, body, from(i)) }
	}
	return []way{{"there", read("GET", "secret/data/there", "")}, {"absent", read("GET", "secret/data/thero", "")}, {"large", read("GET", "secret/data/large", "")}}
}
