package signin_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/core/coretest"
	"countersign/internal/core/signin"
)

func TestGuessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.member("ann")
		home := w.enter("ann").Device
		if home.Len() == 0 {
			t.Fatal("no device token")
		}
		guess := func(user string) (answers []string) {
			for range 8 {
				_, err := w.login(signin.LoginRequest{User: user, Password: text("a guess")})
				answers = append(answers, code(err))
			}
			return answers
		}
		known, unknown := guess("ann"), guess("nobody")
		if !slices.Equal(known, unknown) || known[5] != signin.CodeBadCredentials || known[6] != signin.CodeWait || known[7] != signin.CodeWait {
			t.Errorf("known %q, unknown %q", known, unknown)
		}
		_, err := w.login(signin.LoginRequest{User: "ann", Password: text(passphrase)})
		w.want(err, signin.CodeWait)
		tk, err := w.login(signin.LoginRequest{User: "ann", Password: text(passphrase), Device: home})
		w.ok(err)
		if tk.Device.Len() != 0 {
			t.Error("a known device gets another token")
		}
		w.enter("ann") // a success forgets the guesses
		// One who guesses from one address does not take another's turn.
		guess("ann")
		person := w.nobody()
		person.Source = netip.MustParseAddr("10.0.0.9")
		_, err = w.SignIn.Login(t.Context(), person, signin.LoginRequest{User: "ann", Password: text(passphrase)})
		w.ok(err)
		// Somebody who goes on as fast as allowed.
		tries := 0
		for start := time.Now(); time.Since(start) < 24*time.Hour; time.Sleep(30 * time.Second) {
			if _, err := w.login(signin.LoginRequest{User: "ann", Password: text("a guess")}); code(err) == signin.CodeBadCredentials {
				tries++
			}
		}
		if tries < 180 || tries > 220 {
			t.Errorf("%d guesses in a day", tries)
		}
		_, err = w.login(signin.LoginRequest{User: "ann", Password: text(passphrase), Device: home})
		w.ok(err) // and the person still signs in
		for range 20 {
			_, _ = w.login(signin.LoginRequest{User: "ann", Password: text("a guess")})
		}
		time.Sleep(15 * time.Minute)
		w.enter("ann") // nobody has to unlock it
		// A device token that was stolen is no way around for long.
		for range 10 {
			_, err = w.login(signin.LoginRequest{User: "ann", Password: text("a guess"), Device: home})
			w.want(err, signin.CodeBadCredentials)
		}
		guess("ann")
		_, err = w.login(signin.LoginRequest{User: "ann", Password: text(passphrase), Device: home})
		w.want(err, signin.CodeWait)
	})
}

func TestGuessesAtOnce(t *testing.T) {
	w := newWorld(t)
	w.member("ann")
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]int{}
	for range 30 {
		wg.Go(func() {
			_, err := w.login(signin.LoginRequest{User: "ann", Password: text("a guess")})
			mu.Lock()
			defer mu.Unlock()
			got[code(err)]++
		})
	}
	wg.Wait()
	if got[signin.CodeBadCredentials] > 7 || got[signin.CodeBadCredentials]+got[signin.CodeWait] != 30 {
		t.Errorf("%v", got)
	}
}

func TestSourcesAreLimited(t *testing.T) {
	w := newWorld(t)
	s := signin.New(signin.Config{Gate: w.Gate, Changes: w.Changes, Vault: w.Ring, Home: coretest.Home, Burst: 3, Every: time.Hour,
		Params: signin.Params{Memory: 64, Time: 1, Threads: 1}})
	for i := range 5 {
		_, err := s.Login(t.Context(), w.nobody(), signin.LoginRequest{User: "nobody" + strings.Repeat("x", i), Password: text("a guess")})
		if want := map[bool]string{true: signin.CodeBadCredentials, false: signin.CodeWait}[i < 3]; code(err) != want {
			t.Errorf("attempt %d: %v", i, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Login(ctx, w.nobody(), signin.LoginRequest{User: "nobody"})
	w.want(err, signin.CodeWait)
}
