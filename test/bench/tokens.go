package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"countersign/internal/core/authn"
	"countersign/internal/core/token"
	"countersign/internal/kv"
)

// Names of figures of a store with many tokens.
const (
	startTokens  = "start with live tokens to the first answer"
	memoryTokens = "resident memory, idle, with live tokens"
)

// tokensAtOnce is how many tokens one transaction makes.
const tokensAtOnce = 25

// manyTokens makes a store with that many live tokens, and measures a start of it.
func (b *bench) manyTokens(ctx context.Context) error {
	if b.o.tokens == 0 {
		return nil
	}
	dir := filepath.Join(b.store.dir, "tokens")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	var some [][]byte
	s, err := makeStore(ctx, dir, b.addr, func(_ *store, w wired) (err error) {
		some, err = b.makeTokens(ctx, w)
		return err
	})
	if err != nil {
		return err
	}
	b.report.Tokens = b.o.tokens
	st, err := b.started(ctx, s, some[0], some[:100])
	if err != nil {
		return err
	}
	b.value(startTokens, median(st.took), "ms", fmt.Sprintf("%d tokens; the first answer is a look-up of a token by itself", b.o.tokens))
	b.value(memoryTokens, median(st.all), "MB", "VmRSS after a start and 100 look-ups; this is what the budget counts")
	b.value("of it the process's own, with tokens", median(st.anon), "MB", "RssAnon")
	return nil
}

// makeTokens makes tokens as logins do, and returns look-ups by some of them.
func (b *bench) makeTokens(ctx context.Context, w wired) (some [][]byte, err error) {
	tokens := token.New(token.Config{Gate: w.gate, Changes: w.changes, Vault: w.ring})
	var of int64
	err = w.db.View(ctx, func(r kv.Reader) error {
		id, ok, err := authn.FindIdentity(r, account, authn.Admin)
		if err == nil && !ok {
			err = fmt.Errorf("there is no administrator")
		}
		of = id.Created
		return err
	})
	if err != nil {
		return nil, err
	}
	const writers = 64
	var mu sync.Mutex
	var jobs sync.WaitGroup
	for range writers {
		jobs.Go(func() {
			for range b.o.tokens/tokensAtOnce/writers + 1 {
				issued, e := makeSome(ctx, tokens, w.db, of)
				mu.Lock()
				if e != nil && err == nil {
					err = e
				}
				if len(some) < 1000 && e == nil {
					v := vaultClient{addr: b.addr, token: string(issued.Token.Reveal())}
					some = append(some, v.raw("GET", "auth/token/lookup-self", ""))
				}
				mu.Unlock()
				if e != nil {
					return
				}
			}
		})
	}
	jobs.Wait()
	return some, err
}

// makeSome makes the tokens of one transaction, and returns one of them.
func makeSome(ctx context.Context, tokens *token.Service, db kv.DB, of int64) (token.Issued, error) {
	fresh := make([]*token.Fresh, tokensAtOnce)
	for i := range fresh {
		var err error
		fresh[i], err = tokens.Draw(token.Spec{Account: account, Principal: authn.Admin, Of: of, Path: "auth/approle/login", Display: "approle",
			Meta: map[string]string{"role_name": "bench"}, Granted: []string{"bench"}, TTL: 24 * time.Hour}, time.Now())
		if err != nil {
			return token.Issued{}, err
		}
	}
	_, err := db.Update(ctx, func(tx kv.Txn) error {
		for _, f := range fresh {
			if err := f.Put(tx); err != nil {
				return err
			}
		}
		return nil
	})
	return fresh[0].Issued(), err
}
