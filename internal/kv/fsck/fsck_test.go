package fsck_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
	"countersign/internal/kv/fsck"
	"countersign/internal/kv/kvtest"
	"countersign/internal/kv/sealed"
)

const account = "000000000001"

// config is what the sample stores are held against.
func config() fsck.Config {
	return fsck.Config{
		Cipher: new(kvtest.Cipher),
		Rules: []fsck.Rule{
			{Kind: "secret", Shape: "sss"},
			{Kind: "version", Shape: "sssn", Decode: func(_ kv.Key, value []byte) error {
				if !bytes.HasPrefix(value, []byte("value")) {
					return errors.New("has no prefix")
				}
				return nil
			}},
			{Kind: "root", Shape: "ss"},
		},
		Refers: []fsck.Refer{func(r kv.Reader, report func(kv.Key, string)) error {
			for p, err := range r.Scan(kv.Prefix(kv.K(account, "version"))) {
				if err != nil {
					return err
				}
				parts, _, err := kv.Key(p.Key).Parts("sssn")
				if err != nil {
					return err
				}
				if _, err := r.Get(kv.K(account, "secret", parts[2])); err != nil {
					report(p.Key, "version without a secret")
				}
			}
			return nil
		}},
	}
}

func openStore(t testing.TB, path string) kv.DB {
	t.Helper()
	db, err := boltkv.Open(boltkv.Config{Path: path})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return sealed.New(db, new(kvtest.Cipher))
}

func update(t testing.TB, db kv.DB, f func(kv.Txn) error) {
	t.Helper()
	if _, err := db.Update(t.Context(), f); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

// fill writes what a sample store has: several levels of pages, one value over
// many pages, deletions, free pages.
func fill(t testing.TB, db kv.DB, secrets int) {
	t.Helper()
	update(t, db, func(tx kv.Txn) error {
		return errors.Join(tx.Put(kv.K(sealed.Plain, "root"), []byte("envelope")),
			tx.Put(kv.K(account, "secret", "large"), nil),
			tx.Put(kv.K(account, "version", "large").Num(1), append([]byte("value"), make([]byte, 20_000)...)))
	})
	for i := 0; i < secrets; i += 10 {
		update(t, db, func(tx kv.Txn) error {
			for j := range 10 {
				name := fmt.Sprintf("/prod/app/%05d", (i+j)*7919%secrets)
				if err := errors.Join(tx.Put(kv.K(account, "secret", name), []byte("metadata")),
					tx.Put(kv.K(account, "version", name).Num(1), bytes.Repeat([]byte("value"), 1+j*5))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	update(t, db, func(tx kv.Txn) error {
		for i := range secrets / 10 {
			name := fmt.Sprintf("/prod/app/%05d", i*3)
			if err := errors.Join(tx.Delete(kv.K(account, "secret", name)), tx.Delete(kv.K(account, "version", name).Num(1))); err != nil {
				return err
			}
		}
		return nil
	})
}

func sample(t testing.TB, secrets int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openStore(t, path)
	fill(t, db, secrets)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func findings(r fsck.Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, f.String())
	}
	return out
}

func TestSound(t *testing.T) {
	path := sample(t, 100)
	r, err := fsck.Run(t.Context(), path, config())
	if err != nil || len(r.Findings) > 0 {
		t.Fatalf("Run: %v, findings %q", err, findings(r))
	}
	if r.Pairs != 2*(100-10)+3 || r.Revision != 12 {
		t.Errorf("report of %d pairs at revision %d", r.Pairs, r.Revision)
	}
}

func TestFindings(t *testing.T) {
	for _, x := range []struct {
		name   string
		break_ func(kv.Txn) error // through the wrapper
		below  func(kv.Txn) error // through the engine
		want   string
	}{
		{name: "no-kind", break_: func(tx kv.Txn) error { return tx.Put(kv.K(account), nil) },
			want: "does not begin with an account and a kind"},
		{name: "unknown-kind", break_: func(tx kv.Txn) error { return tx.Put(kv.K(account, "thing"), nil) },
			want: `has the unknown kind "thing"`},
		{name: "wrong-shape", break_: func(tx kv.Txn) error { return tx.Put(kv.K(account, "secret", "a", "b"), nil) },
			want: `does not have the shape of "secret"`},
		{name: "wrong-value", break_: func(tx kv.Txn) error {
			return errors.Join(tx.Put(kv.K(account, "secret", "a"), nil), tx.Put(kv.K(account, "version", "a").Num(1), []byte("secret")))
		}, want: `value is no "version": has no prefix`},
		{name: "reference", break_: func(tx kv.Txn) error { return tx.Put(kv.K(account, "version", "alone").Num(1), []byte("value")) },
			want: "version without a secret"},
		{name: "sealed-for-another-key", below: func(tx kv.Txn) error {
			v, err := tx.Get(kv.K(account, "secret", "large"))
			return errors.Join(err, tx.Put(kv.K(account, "secret", "other"), v))
		}, want: "value does not open"},
		{name: "never-sealed", below: func(tx kv.Txn) error { return tx.Put(kv.K(account, "secret", "a"), []byte("plain")) },
			want: "value does not open"},
	} {
		t.Run(x.name, func(t *testing.T) {
			path := sample(t, 10)
			engine, err := boltkv.Open(boltkv.Config{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			if x.below != nil {
				update(t, engine, x.below)
			} else {
				update(t, sealed.New(engine, new(kvtest.Cipher)), x.break_)
			}
			engine.Close()
			r, err := fsck.Run(t.Context(), path, config())
			if err != nil {
				t.Fatal(err)
			}
			if got := findings(r); len(got) != 1 || !strings.HasSuffix(got[0], x.want) {
				t.Errorf("findings %q, want one that ends in %q", got, x.want)
			}
			for _, f := range findings(r) {
				if strings.Contains(f, "plain") && x.name == "never-sealed" {
					t.Errorf("finding %q has the value", f)
				}
			}
		})
	}
}

func TestCannotCheck(t *testing.T) {
	path := sample(t, 10)
	db := openStore(t, path)
	if _, err := fsck.Run(t.Context(), path, config()); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("file in use: error %v", err)
	}
	db.Close()
	if _, err := fsck.Run(t.Context(), path+".absent", config()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: error %v", err)
	}
}

// dump reads a whole store through the product's own path: every pair by scan
// and again by key.
func dump(t testing.TB, path string) (map[string]string, kv.Revision, error) {
	t.Helper()
	engine, err := boltkv.Open(boltkv.Config{Path: path, ReadOnly: true})
	if err != nil {
		return nil, 0, err
	}
	defer engine.Close()
	out := map[string]string{}
	err = sealed.New(engine, new(kvtest.Cipher)).View(t.Context(), func(r kv.Reader) error {
		for p, err := range r.Scan(kv.Range{}) {
			if err != nil {
				return err
			}
			out[string(p.Key)] = string(p.Value)
		}
		for k, want := range out {
			if v, err := r.Get([]byte(k)); err != nil || string(v) != want {
				return fmt.Errorf("key %q reads otherwise by Get: %w", k, err)
			}
		}
		return nil
	})
	return out, engine.Revision(), err
}

// readUsed reads the part of a file that has pages. Files are grown ahead.
func readUsed(t *testing.T, path string) []byte {
	t.Helper()
	engine, err := boltkv.Open(boltkv.Config{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	size, err := engine.Size()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file[:size]
}

// tampered is one altered file.
type tampered struct {
	name string
	file []byte
}

// check asserts that an altered file is found out, or reads as before. It
// returns whether it was found out.
func check(t *testing.T, path string, x tampered, want map[string]string, rev kv.Revision) bool {
	t.Helper()
	r, err := fsck.Check(t.Context(), bytes.NewReader(x.file), int64(len(x.file)), config())
	if err != nil {
		t.Fatalf("%s: %v", x.name, err)
	}
	if len(r.Findings) > 0 {
		return true
	}
	if err := os.WriteFile(path, x.file, 0o600); err != nil {
		t.Fatal(err)
	}
	got, gotRev, err := dump(t, path)
	if err != nil || gotRev != rev || cmp.Diff(want, got) != "" {
		t.Errorf("%s: not found out, and reads otherwise: revision %d, error %v", x.name, gotRev, err)
	}
	return false
}

func TestTamper(t *testing.T) {
	path := sample(t, 60)
	good := readUsed(t, path)
	want, rev, err := dump(t, path)
	if err != nil {
		t.Fatal(err)
	}
	page, end := os.Getpagesize(), len(good)
	work := filepath.Join(t.TempDir(), "work.db")

	t.Run("flips", func(t *testing.T) {
		found, harmless := 0, 0
		for i := range good {
			// All of each page's head, where structure is, and of the rest
			// as many as there is time for.
			if i%page >= 64 && i%97 != 0 {
				continue
			}
			bad := slices.Clone(good)
			bad[i] ^= 1 << (i % 8)
			if check(t, work, tampered{fmt.Sprintf("flip in byte %d of page %d", i%page, i/page), bad}, want, rev) {
				found++
			} else {
				harmless++
			}
		}
		t.Logf("%d flips: %d found out, %d in nothing that is read", found+harmless, found, harmless)
		if found < 500 {
			t.Error("the sample is not what it is meant to be")
		}
	})
	t.Run("cuts", func(t *testing.T) {
		for n := 0; n < end; n += page / 2 {
			x := tampered{fmt.Sprintf("cut to %d bytes", n), good[:n]}
			if !check(t, work, x, want, rev) {
				t.Errorf("%s: not found out", x.name)
			}
			if err := os.WriteFile(work, x.file, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := boltkv.Open(boltkv.Config{Path: work}); !errors.Is(err, kv.ErrCorrupt) {
				t.Errorf("%s: opening it: %v", x.name, err)
			}
		}
	})
	t.Run("swapped-pages", func(t *testing.T) {
		for i := page; i+page <= end; i += page {
			for j := i + page; j+page <= end; j += 7 * page {
				bad := slices.Clone(good)
				copy(bad[i:i+page], good[j:j+page])
				copy(bad[j:j+page], good[i:i+page])
				check(t, work, tampered{fmt.Sprintf("pages %d and %d swapped", i/page, j/page), bad}, want, rev)
			}
		}
	})
}

// TestSwappedCiphertexts swaps two sealed values of equal length in the file.
func TestSwappedCiphertexts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	engine, err := boltkv.Open(boltkv.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	keys := []kv.Key{kv.K(account, "version", "a").Num(1), kv.K(account, "version", "b").Num(1)}
	update(t, sealed.New(engine, new(kvtest.Cipher)), func(tx kv.Txn) error {
		return errors.Join(tx.Put(keys[0], []byte("value of a")), tx.Put(keys[1], []byte("value of b")))
	})
	var stored [2][]byte
	err = engine.View(t.Context(), func(r kv.Reader) error {
		for i, key := range keys {
			v, err := r.Get(key)
			if err != nil {
				return err
			}
			stored[i] = bytes.Clone(v)
		}
		return nil
	})
	if err := errors.Join(err, engine.Close()); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a, b := bytes.Index(file, stored[0]), bytes.Index(file, stored[1])
	copy(file[a:], stored[1])
	copy(file[b:], stored[0])
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	db := openStore(t, path)
	defer db.Close()
	for _, key := range keys {
		err := db.View(t.Context(), func(r kv.Reader) error { _, err := r.Get(key); return err })
		if !errors.Is(err, kv.ErrCorrupt) {
			t.Errorf("value of %q after the swap: error %v", key, err)
		}
	}
	r, err := fsck.Check(t.Context(), bytes.NewReader(file), int64(len(file)), config())
	if err != nil || len(r.Findings) != 3 { // two values, and the digest of all pairs
		t.Errorf("findings %q, error %v", findings(r), err)
	}
}

// TestOldPage puts single pages back to what they held at an earlier revision.
func TestOldPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db := openStore(t, path)
	fill(t, db, 60)
	var old [][]byte
	for i := range 6 {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		old = append(old, file)
		update(t, db, func(tx kv.Txn) error {
			return errors.Join(tx.Put(kv.K(account, "secret", "large"), fmt.Append(nil, i)),
				tx.Put(kv.K(account, "secret", "/prod/app/00001"), fmt.Append(nil, i)))
		})
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, rev, err := dump(t, path)
	if err != nil {
		t.Fatal(err)
	}
	page, found := os.Getpagesize(), 0
	work := filepath.Join(t.TempDir(), "work.db")
	for v, o := range old {
		for i := 2 * page; i+page <= min(len(o), len(good)); i += page {
			if bytes.Equal(o[i:i+page], good[i:i+page]) {
				continue
			}
			bad := slices.Clone(good)
			copy(bad[i:], o[i:i+page])
			if check(t, work, tampered{fmt.Sprintf("page %d as %d commits ago", i/page, len(old)-v), bad}, want, rev) {
				found++
			}
		}
	}
	if found == 0 {
		t.Error("no page in use was put back")
	}
}

// TestDamagedFileDoesNotEndTheProcess opens and reads what bbolt would trust.
func TestDamagedFileDoesNotEndTheProcess(t *testing.T) {
	good := readUsed(t, sample(t, 60))
	page := os.Getpagesize()
	work := filepath.Join(t.TempDir(), "work.db")
	for i := range good {
		if i%page >= 64 || i%11 != 0 {
			continue
		}
		bad := slices.Clone(good)
		bad[i] ^= 0xff
		if err := os.WriteFile(work, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, _ = dump(t, work)
	}
}
