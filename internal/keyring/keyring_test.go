package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/memkv"
	"countersign/internal/kv/sealed"
	"countersign/internal/seal"
	"countersign/internal/seal/keyfile"
	"countersign/internal/sensitive"
)

const (
	acct  = "123456789012"
	acct2 = "210987654321"
)

func newSeal(t testing.TB) seal.Seal {
	t.Helper()
	s, err := keyfile.New(keyfile.Config{Path: filepath.Join(t.TempDir(), "root.key")})
	check(t, err)
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, db kv.DB, s seal.Seal) *Ring {
	t.Helper()
	r, err := Open(context.Background(), db, s, Config{})
	check(t, err)
	return r
}

// newRing is a ring over an empty store with two accounts.
func newRing(t testing.TB) (*Ring, kv.DB, seal.Seal) {
	t.Helper()
	db, s := memkv.New(memkv.Config{}), newSeal(t)
	r := open(t, db, s)
	check(t, r.EnsureAccount(context.Background(), acct))
	check(t, r.EnsureAccount(context.Background(), acct2))
	return r, db, s
}

// raw reads one stored record; put writes one.
func raw(t testing.TB, db kv.DB, key []byte) (value []byte) {
	t.Helper()
	check(t, db.View(context.Background(), func(r kv.Reader) error {
		v, err := r.Get(key)
		value = bytes.Clone(v)
		return err
	}))
	return value
}

func put(t testing.TB, db kv.DB, key, value []byte) {
	t.Helper()
	_, err := db.Update(context.Background(), func(tx kv.Txn) error { return tx.Put(key, value) })
	check(t, err)
}

func must(t testing.TB) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		check(t, err)
		return b
	}
}

func TestSurvivesRestart(t *testing.T) {
	r, db, s := newRing(t)
	m := must(t)
	record := m(r.Seal(nil, []byte("record"), []byte("key"), acct))
	wrapped := m(r.NewDataKey(acct))
	id := ValueID{Account: acct, Kind: "secret", Region: "eu-west-1", Name: "myapp/database", Suffix: "AbCdEf", Version: 1}
	value := m(r.SealValue(wrapped, id, []byte("value")))

	again := open(t, db, s)
	if got := m(again.Open(nil, record, []byte("key"), acct)); string(got) != "record" {
		t.Errorf("record is %q", got)
	}
	if got := m(again.OpenValue(wrapped, id, value)); string(got) != "value" {
		t.Errorf("value is %q", got)
	}
	if again.Fingerprint(acct, []byte("v")) != r.Fingerprint(acct, []byte("v")) {
		t.Error("the fingerprint key changed")
	}
	if again.LookupHash("access-key", "AKIA") != r.LookupHash("access-key", "AKIA") {
		t.Error("the lookup key changed")
	}
	if !again.AuditKey().Equal(r.AuditKey()) {
		t.Error("the audit key changed")
	}
	if a, b := r.Info(), again.Info(); a != b || a.Accounts != 2 || a.Seal != "key-file" || a.Generation != 1 || len(a.StoreID) != 32 {
		t.Errorf("info %+v and then %+v", a, b)
	}
}

func TestUnknownAccount(t *testing.T) {
	r, _, _ := newRing(t)
	const nobody = "999999999999"
	id := ValueID{Account: nobody}
	_, sealErr := r.Seal(nil, nil, nil, nobody)
	_, keyErr := r.NewDataKey(nobody)
	_, sealValueErr := r.SealValue(make([]byte, WrappedKeySize), id, nil)
	_, rewrapErr := r.RewrapDataKey(nobody, nil)
	_, infoErr := r.Account(nobody)
	_, walkErr := r.Rewrap(t.Context(), nobody, Walk{DB: memkv.New(memkv.Config{})})
	for i, err := range []error{sealErr, keyErr, sealValueErr, rewrapErr, infoErr, walkErr, r.RotateAccount(t.Context(), nobody)} {
		if !errors.Is(err, ErrUnknownAccount) {
			t.Errorf("call %d: %v, want ErrUnknownAccount", i, err)
		}
	}
	for _, name := range []string{"", "meta", "A", "a\x00", "a/b", strings.Repeat("1", 65)} {
		if err := r.EnsureAccount(t.Context(), name); errs.KindOf(err) != errs.Invalid {
			t.Errorf("EnsureAccount(%q): %v, want Invalid", name, err)
		}
	}
}

func TestWrongSeal(t *testing.T) {
	_, db, _ := newRing(t)
	before := dump(t, db)
	other := newSeal(t)
	if _, err := Open(t.Context(), db, other, Config{}); !errors.Is(err, seal.ErrSecret) {
		t.Errorf("key file gone: %v, want ErrSecret", err)
	}
	_, err := other.Wrap(t.Context(), sensitive.FromString("k"), nil)
	check(t, err)
	if _, err := Open(t.Context(), db, other, Config{}); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("other key file: %v, want ErrOpen", err)
	}
	if _, err := Open(t.Context(), db, renamed{other}, Config{}); errs.KindOf(err) != errs.Precondition {
		t.Errorf("other kind: %v, want Precondition", err)
	}
	if !bytes.Equal(before, dump(t, db)) {
		t.Error("a refused opening wrote to the store")
	}
}

type renamed struct{ seal.Seal }

func (renamed) Kind() string { return "other" }

func dump(t testing.TB, db kv.DB) []byte {
	t.Helper()
	var out []byte
	check(t, db.View(context.Background(), func(r kv.Reader) error {
		out = nil
		for p, err := range r.Scan(kv.Prefix(nil)) {
			if err != nil {
				return err
			}
			out = fmt.Appendf(out, "%x=%x\n", p.Key, p.Value)
		}
		return nil
	}))
	return out
}

// Any change to what lies in the database is noticed, at the latest at the use of
// the account.
func TestTamperedStore(t *testing.T) {
	_, db, s := newRing(t)
	tries := func(t *testing.T, key []byte, bad []byte) error {
		good := raw(t, db, key)
		put(t, db, key, bad)
		defer put(t, db, key, good)
		r, err := Open(t.Context(), db, s, Config{})
		if err == nil {
			_, err = r.Seal(nil, nil, nil, acct)
		}
		return err
	}
	for name, key := range map[string]kv.Key{
		"root":        ringKey(partRoot),
		"account":     ringKey(partAccount, acct),
		"fingerprint": ringKey(partKey, keyFingerprint),
		"audit":       ringKey(partKey, keyAudit),
	} {
		good := raw(t, db, key)
		t.Run(name+"-version", func(t *testing.T) {
			if err := tries(t, key, append([]byte{Format + 1}, good[1:]...)); !errors.Is(err, ErrFormat) {
				t.Errorf("%v, want ErrFormat", err)
			}
		})
		t.Run(name+"-empty", func(t *testing.T) {
			if err := tries(t, key, nil); !errors.Is(err, ErrFormat) {
				t.Errorf("%v, want ErrFormat", err)
			}
		})
		t.Run(name+"-bytes", func(t *testing.T) {
			for i := range good {
				bad := bytes.Clone(good)
				bad[i] ^= 1
				if err := tries(t, key, bad); err == nil {
					t.Errorf("byte %d of %d changed: no error", i, len(good))
				}
			}
		})
	}
	t.Run("swapped-accounts", func(t *testing.T) {
		if err := tries(t, ringKey(partAccount, acct), raw(t, db, ringKey(partAccount, acct2))); !errors.Is(err, ErrDecrypt) {
			t.Errorf("%v, want ErrDecrypt", err)
		}
	})
	t.Run("swapped-keys", func(t *testing.T) {
		if err := tries(t, ringKey(partKey, keyLookup), raw(t, db, ringKey(partKey, keyAudit))); !errors.Is(err, ErrDecrypt) {
			t.Errorf("%v, want ErrDecrypt", err)
		}
	})
	t.Run("unknown-record", func(t *testing.T) {
		put(t, db, ringKey("later", "x"), []byte{1})
		if _, err := Open(t.Context(), db, s, Config{}); !errors.Is(err, ErrFormat) {
			t.Errorf("%v, want ErrFormat", err)
		}
	})
}

func TestLostKeyring(t *testing.T) {
	for name, key := range map[string]kv.Key{"data-before": kv.K(acct, "x"), "data-after": kv.K("sys", "x"), "own": ringKey(partAccount, acct)} {
		t.Run(name, func(t *testing.T) {
			db, path := memkv.New(memkv.Config{}), filepath.Join(t.TempDir(), "root.key")
			put(t, db, key, []byte{1})
			s, err := keyfile.New(keyfile.Config{Path: path})
			check(t, err)
			if _, err := Open(t.Context(), db, s, Config{}); errs.KindOf(err) != errs.Precondition {
				t.Errorf("%v, want Precondition", err)
			}
		})
	}
	t.Run("other-meta-is-fine", func(t *testing.T) {
		db := memkv.New(memkv.Config{})
		put(t, db, kv.K("meta", "format"), []byte{1})
		open(t, db, newSeal(t))
	})
	t.Run("own-key", func(t *testing.T) {
		_, db, s := newRing(t)
		_, err := db.Update(t.Context(), func(tx kv.Txn) error { return tx.Delete(ringKey(partKey, keyLookup)) })
		check(t, err)
		if _, err := Open(t.Context(), db, s, Config{}); !errors.Is(err, ErrFormat) {
			t.Errorf("%v, want ErrFormat", err)
		}
	})
}

// Two processes that start at once over an empty store agree.
func TestRacedCreation(t *testing.T) {
	db, s := memkv.New(memkv.Config{}), newSeal(t)
	rings := make([]*Ring, 4)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			r, err := Open(context.Background(), db, s, Config{})
			if err == nil {
				err = r.EnsureAccount(context.Background(), acct)
			}
			if err != nil {
				t.Errorf("opening: %v", err)
			}
			rings[i] = r
		})
	}
	wg.Wait()
	ct := must(t)(rings[0].Seal(nil, []byte("x"), nil, acct))
	for _, r := range rings[1:] {
		must(t)(r.Open(nil, ct, nil, acct))
	}
}

func TestDerived(t *testing.T) {
	r, _, _ := newRing(t)
	seen := map[[32]byte]string{}
	add := func(name string, sum [32]byte) {
		if was, ok := seen[sum]; ok {
			t.Errorf("%s is the same as %s", name, was)
		}
		seen[sum] = name
	}
	add("fingerprint", r.Fingerprint(acct, []byte("v")))
	add("fingerprint of other value", r.Fingerprint(acct, []byte("w")))
	add("fingerprint in other account", r.Fingerprint(acct2, []byte("v")))
	add("fingerprint in no account", r.Fingerprint("999999999999", []byte("v")))
	add("lookup", r.LookupHash("v", ""))
	add("lookup of other kind", r.LookupHash("", "v"))
	add("lookup shifted", r.LookupHash("vv", ""))
	for range 3 {
		if _, ok := seen[r.Fingerprint(acct, []byte("v"))]; !ok {
			t.Error("the fingerprint is not stable")
		}
		if _, ok := seen[r.LookupHash("v", "")]; !ok {
			t.Error("the lookup hash is not stable")
		}
	}
	key := r.AuditKey()
	key[0] ^= 1
	if key.Equal(r.AuditKey()) {
		t.Error("the audit key can be changed through what is handed out")
	}
}

func TestConcurrentUse(t *testing.T) {
	r, db, _ := newRing(t)
	over := sealed.New(db, r)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 30 {
				account := fmt.Sprintf("00000000%04d", j/10)
				if err := r.EnsureAccount(context.Background(), account); err != nil {
					t.Errorf("EnsureAccount: %v", err)
					return
				}
				key := kv.K(account, "x").Num(uint64(100*i + j))
				wrapped, err := r.NewDataKey(account)
				if err == nil {
					_, err = over.Update(context.Background(), func(tx kv.Txn) error { return tx.Put(key, wrapped) })
				}
				if err != nil {
					t.Errorf("writing: %v", err)
				}
				id := ValueID{Account: account, Version: uint64(j)}
				ct, err := r.SealValue(wrapped, id, key)
				if err != nil {
					t.Errorf("SealValue: %v", err)
				}
				if got, err := r.OpenValue(wrapped, id, ct); err != nil || !bytes.Equal(got, key) {
					t.Errorf("OpenValue: %v", err)
				}
				r.Fingerprint(account, key)
				r.LookupHash("k", account)
			}
		})
	}
	wg.Go(func() {
		for range 3 {
			if err := r.RotateAccount(context.Background(), acct); err != nil {
				t.Errorf("RotateAccount: %v", err)
			}
			if err := r.RotateRoot(context.Background()); err != nil {
				t.Errorf("RotateRoot: %v", err)
			}
		}
	})
	wg.Wait()
}
