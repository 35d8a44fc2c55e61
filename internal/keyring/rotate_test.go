package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/faulty"
	"countersign/internal/kv/sealed"
	"countersign/internal/seal"
)

// killed fails every Update from the n-th on, as a process that is gone: the n-th
// itself is committed or not.
type killed struct {
	kv.DB
	left      int
	committed bool
}

var errKilled = errors.New("killed")

func (d *killed) Update(ctx context.Context, f func(kv.Txn) error) (kv.Revision, error) {
	d.left--
	if d.left > 0 {
		return d.DB.Update(ctx, f)
	}
	if d.left == 0 && d.committed {
		if rev, err := d.DB.Update(ctx, f); err != nil {
			return rev, err
		}
	}
	return 0, errKilled
}

// A record of the tests: a wrapped data key and a value under it.
const records = 150

func recordKey(i int) kv.Key       { return kv.K(acct, "secret").Num(uint64(i)) }
func recordID(i int) ValueID       { return ValueID{Account: acct, Kind: "secret", Version: uint64(i)} }
func recordValue(i int) []byte     { return fmt.Appendf(nil, "value %d", i) }
func holdsDataKey(key []byte) bool { return bytes.HasPrefix(key, kv.K(acct, "secret")) }

// unversioned takes off the byte that the sealed database puts before a ciphertext.
func unversioned(stored []byte) ([]byte, error) {
	if len(stored) == 0 {
		return nil, errors.New("empty")
	}
	return stored[1:], nil
}

func dataKeys(key, value []byte, visit func([]byte) ([]byte, error)) ([]byte, error) {
	if !holdsDataKey(key) {
		return value, nil
	}
	fresh, err := visit(value[:WrappedKeySize])
	if err != nil {
		return nil, err
	}
	return append(bytes.Clone(fresh), value[WrappedKeySize:]...), nil
}

func fill(t testing.TB, r *Ring, db kv.DB) {
	t.Helper()
	over := sealed.New(db, r)
	for i := range records {
		wrapped := must(t)(r.NewDataKey(acct))
		ct := must(t)(r.SealValue(wrapped, recordID(i), recordValue(i)))
		put(t, over, recordKey(i), append(wrapped, ct...))
	}
	put(t, over, kv.K(acct, "other"), []byte("no data key"))
	put(t, over, kv.K(acct2, "other"), []byte("another account"))
}

// readAll checks that every record opens.
func readAll(t testing.TB, r *Ring, db kv.DB) {
	t.Helper()
	over := sealed.New(db, r)
	for i := range records {
		b := raw(t, over, recordKey(i))
		got, err := r.OpenValue(b[:WrappedKeySize], recordID(i), b[WrappedKeySize:])
		if err != nil || !bytes.Equal(got, recordValue(i)) {
			t.Fatalf("record %d: %q, %v", i, got, err)
		}
	}
	if b := raw(t, over, kv.K(acct2, "other")); string(b) != "another account" {
		t.Fatalf("record of the other account is %q", b)
	}
}

func TestRotateAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, db, s := newRing(t)
		fill(t, r, db)
		before, err := r.Account(acct)
		check(t, err)
		old := must(t)(r.Seal(nil, []byte("x"), nil, acct))
		check(t, r.RotateAccount(t.Context(), acct))
		readAll(t, r, db)
		after, err := r.Account(acct)
		check(t, err)
		if after.Primary == before.Primary || !cmp.Equal(after.Old, []uint32{before.Primary}) || after.Generation != 2 {
			t.Errorf("keys %+v after %+v", after, before)
		}
		if id, _ := KeyID(must(t)(r.Seal(nil, nil, nil, acct))); id != after.Primary {
			t.Error("a new record is not under the new key")
		}

		var last Progress
		steps := 0
		proof, err := r.Rewrap(t.Context(), acct, Walk{DB: sealed.New(db, r), Ciphertext: unversioned, DataKeys: dataKeys, Progress: func(p Progress) {
			if p.Done < last.Done || p.Done > p.Total {
				t.Errorf("progress %+v after %+v", p, last)
			}
			last, steps = p, steps+1
		}})
		check(t, err)
		want := Proof{Account: acct, Primary: after.Primary, Records: records + 1, DataKeys: records, Destroyed: []uint32{before.Primary}}
		if d := cmp.Diff(want, proof); d != "" {
			t.Errorf("proof (-want +got):\n%s", d)
		}
		if last.Done != records+1 || last.Cursor != nil || steps < 3 {
			t.Errorf("last progress %+v after %d steps", last, steps)
		}
		if _, err := r.Open(nil, old, nil, acct); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("a record under the old key: %v, want ErrUnknownKey", err)
		}
		readAll(t, r, db)
		readAll(t, open(t, db, s), db)

		again, err := r.Rewrap(t.Context(), acct, Walk{DB: sealed.New(db, r), Ciphertext: unversioned, DataKeys: dataKeys})
		if err != nil || again.Destroyed != nil || again.Records != records+1 {
			t.Errorf("re-wrapping with nothing to do: %+v, %v", again, err)
		}
	})
}

// However a rotation and its re-wrap are interrupted, everything opens after the
// restart, and running them again ends them.
func TestRotateAccountKilled(t *testing.T) {
	for _, committed := range []bool{false, true} {
		for at := 1; ; at++ {
			finished := false
			t.Run(fmt.Sprintf("update-%d-committed-%t", at, committed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r, db, s := newRing(t)
					fill(t, r, db)
					dying := &killed{DB: db, left: at, committed: committed}
					r, err := Open(t.Context(), dying, s, Config{})
					check(t, err)
					err = r.RotateAccount(t.Context(), acct)
					if err == nil {
						_, err = r.Rewrap(t.Context(), acct, Walk{DB: sealed.New(dying, r), Ciphertext: unversioned, DataKeys: dataKeys})
					}
					if finished = err == nil; !finished && !errors.Is(err, errKilled) {
						t.Fatalf("rotating: %v", err)
					}
					r = open(t, db, s)
					readAll(t, r, db)
					_, err = r.Rewrap(t.Context(), acct, Walk{DB: sealed.New(db, r), Ciphertext: unversioned, DataKeys: dataKeys})
					check(t, err)
					if info, err := r.Account(acct); err != nil || len(info.Old) != 0 {
						t.Errorf("keys after resuming: %+v, %v", info, err)
					}
					readAll(t, open(t, db, s), db)
				})
			})
			if finished || t.Failed() {
				if at < 8 {
					t.Errorf("only %d updates", at)
				}
				break
			}
		}
	}
}

func TestRewrapResumesAtCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, db, s := newRing(t)
		fill(t, r, db)
		check(t, r.RotateAccount(t.Context(), acct))
		ctx, cancel := context.WithCancel(t.Context())
		_, err := r.Rewrap(ctx, acct, Walk{DB: sealed.New(db, r), Ciphertext: unversioned, DataKeys: dataKeys, Progress: func(Progress) { cancel() }})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("Rewrap: %v, want Canceled", err)
		}
		r = open(t, db, s)
		var first *Progress
		_, err = r.Rewrap(t.Context(), acct, Walk{DB: sealed.New(db, r), Ciphertext: unversioned, DataKeys: dataKeys, Progress: func(p Progress) {
			if first == nil {
				first = &p
			}
		}})
		check(t, err)
		if first == nil || first.Done != 2*stepRecords {
			t.Errorf("first progress after resuming is %+v, want %d done", first, 2*stepRecords)
		}
	})
}

// Nothing is destroyed while something is there that the new keyset would not open.
func TestRewrapRefuses(t *testing.T) {
	tests := map[string]struct {
		arrange func(t *testing.T, r *Ring, db kv.DB)
		want    error
	}{
		"foreign-ciphertext": {func(t *testing.T, r *Ring, db kv.DB) {
			put(t, db, kv.K(acct, "zz"), must(t)(r.Seal([]byte{1}, nil, kv.K(acct, "zz"), acct2)))
		}, ErrUnknownKey},
		"plaintext": {func(t *testing.T, r *Ring, db kv.DB) { put(t, db, kv.K(acct, "zz"), []byte("x")) }, ErrUnknownKey},
		"foreign-data-key": {func(t *testing.T, r *Ring, db kv.DB) {
			wrapped := must(t)(r.NewDataKey(acct2))
			put(t, sealed.New(db, r), kv.K(acct, "secret", "zz"), wrapped)
		}, ErrUnknownKey},
		"moved-record": {func(t *testing.T, r *Ring, db kv.DB) {
			put(t, db, kv.K(acct, "secret").Num(3), raw(t, db, kv.K(acct, "secret").Num(4)))
		}, ErrDecrypt},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, db, _ := newRing(t)
				fill(t, r, db)
				tt.arrange(t, r, db)
				check(t, r.RotateAccount(t.Context(), acct))
				_, err := r.Rewrap(t.Context(), acct, Walk{DB: sealed.New(db, r), Ciphertext: unversioned, DataKeys: dataKeys})
				if !errors.Is(err, tt.want) {
					t.Errorf("Rewrap: %v, want %v", err, tt.want)
				}
				if info, err := r.Account(acct); err != nil || len(info.Old) != 1 {
					t.Errorf("keys afterwards: %+v, %v", info, err)
				}
			})
		})
	}
	t.Run("no-database", func(t *testing.T) {
		r, _, _ := newRing(t)
		if _, err := r.Rewrap(t.Context(), acct, Walk{}); err == nil {
			t.Error("Rewrap took no database")
		}
	})
}

// A record that a slow transaction commits under the old key, behind the cursor,
// is found by the proof and moved in another pass.
func TestRewrapFindsLateWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, db, _ := newRing(t)
		fill(t, r, db)
		put(t, sealed.New(db, r), kv.K(acct, "a"), []byte("late"))
		late := raw(t, db, kv.K(acct, "a"))
		_, err := db.Update(t.Context(), func(tx kv.Txn) error { return tx.Delete(kv.K(acct, "a")) })
		check(t, err)
		check(t, r.RotateAccount(t.Context(), acct))
		once := false
		proof, err := r.Rewrap(t.Context(), acct, Walk{DB: sealed.New(db, r), Ciphertext: unversioned, DataKeys: dataKeys, Progress: func(p Progress) {
			if !once && p.Cursor != nil {
				once = true
				put(t, db, kv.K(acct, "a"), late)
			}
		}})
		check(t, err)
		if proof.Records != records+2 {
			t.Errorf("proof over %d records, want %d", proof.Records, records+2)
		}
		if b := raw(t, sealed.New(db, r), kv.K(acct, "a")); string(b) != "late" {
			t.Errorf("the late record is %q", b)
		}
	})
}

func TestRewrapEndsAtRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, db, _ := newRing(t)
		fill(t, r, db)
		check(t, r.RotateAccount(t.Context(), acct))
		walk := Walk{DB: sealed.New(db, r), Ciphertext: unversioned, DataKeys: dataKeys}
		walk.Progress = func(p Progress) {
			if p.Cursor != nil && p.Done < 70 {
				check(t, r.RotateAccount(context.Background(), acct))
			}
		}
		if _, err := r.Rewrap(t.Context(), acct, walk); errs.KindOf(err) != errs.Conflict {
			t.Errorf("Rewrap: %v, want Conflict", err)
		}
		walk.Progress = nil
		proof, err := r.Rewrap(t.Context(), acct, walk)
		if err != nil || len(proof.Destroyed) != 2 {
			t.Errorf("Rewrap again: %+v, %v", proof, err)
		}
		readAll(t, r, db)
	})
}

// Large records fit the limits of a transaction.
func TestRewrapLargeRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, db, _ := newRing(t)
		over := sealed.New(db, r)
		for i := range 5 {
			put(t, over, kv.K(acct, "large").Num(uint64(i)), make([]byte, 1<<20))
		}
		check(t, r.RotateAccount(t.Context(), acct))
		proof, err := r.Rewrap(t.Context(), acct, Walk{DB: over, Ciphertext: unversioned})
		if err != nil || proof.Records != 5 || len(proof.Destroyed) != 1 {
			t.Errorf("Rewrap: %+v, %v", proof, err)
		}
	})
}

func TestTooManyKeys(t *testing.T) {
	r, _, _ := newRing(t)
	var err error
	for range maxKeys {
		if err = r.RotateAccount(t.Context(), acct); err != nil {
			break
		}
	}
	if errs.KindOf(err) != errs.Precondition {
		t.Errorf("rotating %d times: %v, want Precondition", maxKeys, err)
	}
}

func TestReseal(t *testing.T) {
	r, db, s := newRing(t)
	ct := must(t)(r.Seal(nil, []byte("x"), nil, acct))
	next := newSeal(t)
	check(t, r.Reseal(t.Context(), next))
	if _, err := Open(t.Context(), db, s, Config{}); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("opening with the old seal: %v, want ErrOpen", err)
	}
	again := open(t, db, next)
	must(t)(again.Open(nil, ct, nil, acct))
	if g := again.Info().Generation; g != 2 {
		t.Errorf("generation %d, want 2", g)
	}
	check(t, r.RotateRoot(t.Context())) // with the new seal
	must(t)(open(t, db, next).Open(nil, ct, nil, acct))
}

func TestRotateRoot(t *testing.T) {
	r, db, s := newRing(t)
	for i := range 120 {
		check(t, r.EnsureAccount(t.Context(), fmt.Sprintf("a-%d", i)))
	}
	fresh := open(t, db, s) // has opened no account yet
	fill(t, r, db)
	was := r.root.Load().keys.primary.id
	lookup, key := r.LookupHash("k", "i"), r.AuditKey()
	check(t, fresh.RotateRoot(t.Context()))
	readAll(t, fresh, db)
	again := open(t, db, s)
	readAll(t, again, db)
	root := again.root.Load()
	if root.keys.primary.id == was || len(root.keys.all) != 1 {
		t.Errorf("root keys %v after %d", root.keys.all[0].id, was)
	}
	if again.LookupHash("k", "i") != lookup || !again.AuditKey().Equal(key) {
		t.Error("the rotation changed keys of the ring")
	}
	// The ring that did not rotate must not write under what was destroyed.
	if err := r.EnsureAccount(t.Context(), "late"); errs.KindOf(err) != errs.Conflict {
		t.Errorf("creating under the old root: %v, want Conflict", err)
	}
	if err := r.RotateAccount(t.Context(), acct); errs.KindOf(err) != errs.Conflict {
		t.Errorf("rotating under the old root: %v, want Conflict", err)
	}
}

func TestRotateRootKilled(t *testing.T) {
	for _, committed := range []bool{false, true} {
		for at := 1; ; at++ {
			r, db, s := newRing(t)
			fill(t, r, db)
			for i := range 60 {
				check(t, r.EnsureAccount(t.Context(), fmt.Sprintf("a-%d", i)))
			}
			was := r.root.Load().keys.primary.id
			r, err := Open(t.Context(), &killed{DB: db, left: at, committed: committed}, s, Config{})
			check(t, err)
			err = r.RotateRoot(t.Context())
			finished := err == nil
			if !finished && !errors.Is(err, errKilled) {
				t.Fatalf("update %d: %v", at, err)
			}
			r = open(t, db, s)
			readAll(t, r, db)
			check(t, r.RotateRoot(t.Context()))
			r = open(t, db, s)
			readAll(t, r, db)
			if r.Info().RootKeys != 1 || r.root.Load().keys.has(was) {
				t.Errorf("update %d: the old root key is still there", at)
			}
			if finished {
				break
			}
		}
	}
}

// A change by another process is noticed, not overwritten.
func TestRotateAccountConflict(t *testing.T) {
	r, db, s := newRing(t)
	other := open(t, db, s)
	check(t, other.RotateAccount(t.Context(), acct))
	if err := r.RotateAccount(t.Context(), acct); errs.KindOf(err) != errs.Conflict {
		t.Errorf("RotateAccount: %v, want Conflict", err)
	}
}

// A process whose commit's outcome was unknown goes on without a restart.
func TestUnknownOutcome(t *testing.T) {
	for nth := 1; nth <= 12; nth++ {
		t.Run(fmt.Sprintf("update-%d", nth), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, db, s := newRing(t)
				fill(t, r, db)
				flaky := faulty.New(db, faulty.Fault{Op: faulty.Update, Nth: nth, When: faulty.AfterCommit})
				r, err := Open(t.Context(), flaky, s, Config{})
				check(t, err)
				run := func() error {
					return errors.Join(r.RotateRoot(t.Context()), r.RotateAccount(t.Context(), acct))
				}
				if err := run(); err != nil && !errors.Is(err, kv.ErrUnknown) {
					t.Errorf("rotating: %v", err)
				}
				walk := Walk{DB: sealed.New(flaky, r), Ciphertext: unversioned, DataKeys: dataKeys}
				if _, err := r.Rewrap(t.Context(), acct, walk); err != nil && !errors.Is(err, kv.ErrUnknown) {
					t.Errorf("re-wrapping: %v", err)
				}
				readAll(t, r, db)
				check(t, run())
				_, err = r.Rewrap(t.Context(), acct, walk)
				check(t, err)
				readAll(t, r, db)
				readAll(t, open(t, db, s), db)
			})
		})
	}
}
