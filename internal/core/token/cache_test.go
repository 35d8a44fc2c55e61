package token_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/core/authn"
	"countersign/internal/core/token"
	"countersign/internal/errs"
)

// What is kept in memory never changes an answer: after each of many random
// operations every token is as valid to a service that knows it as to one that
// was just started.
func TestMemoryChangesNothing(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { walk(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func walk(t *testing.T, rnd *rand.Rand) {
	w := newWorld(t)
	users := []string{"ann", "bob"}
	for _, n := range users {
		w.user(n)
	}
	keys := map[string]authn.NewKey{"ann": w.key("ann"), "bob": w.key("bob")}
	var all []token.Issued
	alive := func() (out []token.Issued) {
		for _, i := range all {
			if w.alive(i) {
				out = append(out, i)
			}
		}
		return out
	}
	for step := range 120 {
		n := users[rnd.IntN(2)]
		live := alive()
		var one token.Issued
		if len(live) > 0 {
			one = live[rnd.IntN(len(live))]
		}
		batch := func(r *token.CreateRequest) {
			if r.TTL = time.Duration(1+rnd.IntN(100)) * time.Minute; rnd.IntN(5) == 0 {
				r.Type = "batch"
			}
		}
		switch op := rnd.IntN(12); {
		case op < 2 || len(live) == 0:
			if i, err := w.put(token.Spec{Account: w.Admin.Account, Principal: n, Of: w.of(w.Admin.Account, n), TTL: time.Hour}); err == nil {
				all = append(all, i)
			}
		case op < 3:
			if cred, err := w.Authn.Lookup(t.Context(), keys[n].ID, time.Now()); err == nil {
				_ = cred
				if i, err := w.create(w.As(t, keys[n]), batch); err == nil {
					all = append(all, i)
				}
			}
		case op < 6:
			if one.Type == token.KindService {
				all = append(all, w.child(w.as(one), batch))
			}
		case op < 7:
			_ = w.Tokens.Revoke(t.Context(), w.Admin, token.Ref{Token: text(one)})
		case op < 8:
			_ = w.Tokens.RevokeAlone(t.Context(), w.Admin, token.Ref{Token: text(one)})
		case op < 9:
			_, _ = w.Tokens.Renew(t.Context(), w.Admin, token.Ref{Token: text(one)}, time.Hour)
		case op < 10:
			time.Sleep(time.Duration(rnd.IntN(15)) * time.Minute)
		case op < 11 && step%3 == 0:
			_, err := w.Authn.UpdateUser(t.Context(), w.Admin, authn.UpdateUserRequest{Name: n, Disabled: new(rnd.IntN(3) == 0)})
			w.ok(err)
		case step%20 == 0:
			if _, err := w.Authn.RevokeKey(t.Context(), w.Admin, n, keys[n].ID); err == nil {
				keys[n] = w.key(n)
			}
		default:
			w.ok(w.Tokens.Due(t.Context()))
		}
		fresh := token.New(token.Config{Gate: w.Gate, Changes: w.Changes, Vault: w.Ring})
		for k, i := range all {
			who, err := w.try(text(i))
			other, otherErr := fresh.Authenticate(t.Context(), text(i), time.Now(), loopback)
			if (err == nil) != (otherErr == nil) || who.Name != other.Name || who.KeyID != other.KeyID || who.Generation != other.Generation {
				t.Fatalf("step %d, token %d: %+v, %v; without memory %+v, %v", step, k, who, err, other, otherErr)
			}
			if err != nil && !errs.Is(err, errs.Unauthenticated) {
				t.Fatal(err)
			}
		}
		if step%10 == 0 {
			w.sound()
		}
	}
}
