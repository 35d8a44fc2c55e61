package login

import (
	"encoding/json"
	"testing"
	"time"
)

// Steps lists the steps that logins take from now on, until done is called.
func Steps(s *Service) (done func() []string) {
	var steps []string
	s.worked = func(step string) { steps = append(steps, step) }
	return func() []string { s.worked = func(string) {}; return steps }
}

// PrincipalName is the name of a principal that is made.
var PrincipalName = principalName

// Glob is the matcher of patterns.
var Glob = glob

// Forget lets so much time pass for the keys that are kept.
func Forget(s *Service, d time.Duration) {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	for _, set := range s.keys.m {
		set.mu.Lock()
		set.fetched, set.tried = set.fetched.Add(-d), set.tried.Add(-d)
		set.mu.Unlock()
	}
}

// CheckTimes holds claims against a time.
func CheckTimes(t testing.TB, exp, nbf, skew time.Duration, c map[string]any, now time.Time) bool {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parseClaims(b)
	if err != nil {
		t.Fatal(err)
	}
	return (&times{exp, nbf, skew}).check(parsed, now) == nil
}

// ReadClaim reads a claim and looks whether it is one of some.
func ReadClaim(b []byte, pointer string) {
	c, err := parseClaims(b)
	if err != nil {
		return
	}
	v := c.get(pointer)
	want, _ := wanted(b)
	holds(v, want, true)
	c.audiences()
	c.number(pointer)
}

// GroupsIn reads the groups that claims name.
func GroupsIn(claim string, b []byte) ([]string, bool) {
	c, err := parseClaims(b)
	if err != nil {
		return nil, false
	}
	names, _, ok := (&jwtRole{GroupsClaim: claim}).groups(c)
	return names, ok
}
