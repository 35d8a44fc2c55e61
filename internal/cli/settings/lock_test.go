package settings_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/cli/settings"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// signIn makes a file with a session of these tokens.
func signIn(t *testing.T, access, refresh string) settings.Store {
	t.Helper()
	s := store(t, filepath.Join(t.TempDir(), "c.json"))
	err := s.Update(t.Context(), func(g *settings.Global) error {
		g.Session = &settings.Session{Address: good, User: "alice", AccessToken: sensitive.FromString(access), RefreshToken: sensitive.FromString(refresh)}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func session(t *testing.T, s settings.Store) settings.Session {
	t.Helper()
	g, _, err := s.Load()
	if err != nil || g.Session == nil {
		t.Fatalf("loading: %v, %v", g.Session, err)
	}
	return *g.Session
}

// tokens is a server whose refresh tokens can be used once.
type tokens struct {
	mu      sync.Mutex
	current int
	calls   int
}

func (s *tokens) refresh(_ context.Context, old settings.Session) (settings.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if string(old.RefreshToken.Reveal()) != fmt.Sprintf("r%d", s.current) {
		return settings.Session{}, errs.New(errs.Unauthenticated, "the refresh token was used already")
	}
	s.current++
	return settings.Session{
		Address: evil, User: "mallory", // what an answer cannot change
		AccessToken:  sensitive.FromString(fmt.Sprintf("a%d", s.current)),
		RefreshToken: sensitive.FromString(fmt.Sprintf("r%d", s.current)),
	}, nil
}

func TestRefreshAtOnce(t *testing.T) {
	s := signIn(t, "a0", "r0")
	stale := session(t, s)
	var server tokens
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			got, err := store(t, s.Path()).Refresh(t.Context(), stale, server.refresh)
			if err != nil || string(got.AccessToken.Reveal()) != "a1" {
				t.Errorf("refreshing: %q, %v", got.AccessToken.Reveal(), err)
			}
		})
	}
	wg.Wait()
	got := session(t, s)
	if server.calls != 1 || string(got.RefreshToken.Reveal()) != "r1" || got.Address != good || got.User != "alice" {
		t.Errorf("%d calls, the file has %q for %s at %s", server.calls, got.RefreshToken.Reveal(), got.User, got.Address)
	}
	if _, err := s.Refresh(t.Context(), got, server.refresh); err != nil || string(session(t, s).RefreshToken.Reveal()) != "r2" {
		t.Errorf("refreshing again: %v", err)
	}
}

func TestRefreshMeanwhile(t *testing.T) {
	never := func(context.Context, settings.Session) (settings.Session, error) {
		t.Error("the server was asked")
		return settings.Session{}, nil
	}
	for name, change := range map[string]func(*settings.Global){
		"signed-out":    func(g *settings.Global) { g.Session = nil },
		"other-server":  func(g *settings.Global) { g.Session.Address = evil },
		"other-user":    func(g *settings.Global) { g.Session.User = "bob" },
		"other-session": func(g *settings.Global) { g.Session.Address, g.Session.AccessToken = evil, sensitive.FromString("x") },
	} {
		t.Run(name, func(t *testing.T) {
			s := signIn(t, "a0", "r0")
			stale := session(t, s)
			if err := s.Update(t.Context(), func(g *settings.Global) error { change(g); return nil }); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Refresh(t.Context(), stale, never); !errs.Is(err, errs.Unauthenticated) || got.AccessToken.Len() > 0 {
				t.Errorf("gives %+v, %v", got, err)
			}
		})
	}
}

func TestRefreshFails(t *testing.T) {
	s := signIn(t, "a0", "r0")
	stale := session(t, s)
	boom := errors.New("boom")
	if _, err := s.Refresh(t.Context(), stale, func(context.Context, settings.Session) (settings.Session, error) { return settings.Session{}, boom }); !errors.Is(err, boom) {
		t.Errorf("the server's refusal became %v", err)
	}
	if !session(t, s).AccessToken.Equal(stale.AccessToken) {
		t.Error("a refused refresh changed the file")
	}
	// A session that cannot be kept is returned all the same.
	var server tokens
	got, err := s.Refresh(t.Context(), stale, func(ctx context.Context, old settings.Session) (settings.Session, error) {
		if err := errors.Join(os.Remove(s.Path()), os.Mkdir(s.Path(), 0o700)); err != nil {
			t.Fatal(err)
		}
		return server.refresh(ctx, old)
	})
	if err == nil || string(got.AccessToken.Reveal()) != "a1" {
		t.Errorf("gives %q, %v", got.AccessToken.Reveal(), err)
	}
}

func TestLockWaits(t *testing.T) {
	s := signIn(t, "a0", "r0")
	err := s.Update(t.Context(), func(*settings.Global) error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		if err := s.Update(ctx, func(*settings.Global) error { t.Error("two at once"); return nil }); !errs.Is(err, errs.Unavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting in vain: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var inside atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := s.Update(t.Context(), func(*settings.Global) error {
				if inside.Add(1) > 1 {
					t.Error("two at once")
				}
				time.Sleep(time.Millisecond)
				inside.Add(-1)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

const envCount = "SETTINGS_TEST_COUNT"

// TestCountInProcess is what the processes of TestProcesses run: it adds to a
// number in the file that envCount names.
func TestCountInProcess(t *testing.T) {
	path := os.Getenv(envCount)
	if path == "" {
		t.Skip("runs within TestProcesses")
	}
	for range 15 {
		err := store(t, path).Update(t.Context(), func(g *settings.Global) error {
			n, err := strconv.Atoi(g.Region)
			g.Region = strconv.Itoa(n + 1)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestProcesses has processes write at once; no write is lost.
func TestProcesses(t *testing.T) {
	s := signIn(t, "a0", "r0")
	if err := s.Update(t.Context(), func(g *settings.Global) error { g.Region = "0"; return nil }); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCountInProcess$", "-test.v")
		cmd.Env = append(os.Environ(), envCount+"="+s.Path())
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestCountInProcess") {
				t.Errorf("process: %v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	g, _, err := s.Load()
	if err != nil || g.Region != "60" || g.Session == nil {
		t.Errorf("after 4 x 15 writes the file says %q, %v", g.Region, err)
	}
}
