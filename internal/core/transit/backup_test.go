package transit_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/kwp/subtle"

	"countersign/internal/core/transit"
	"countersign/internal/errs"
)

// TestBackupAndRestore takes a key of each type through a backup.
func TestBackupAndRestore(t *testing.T) {
	for _, typ := range transit.Types() {
		t.Run(string(typ), func(t *testing.T) {
			if typ == transit.RSA3072 || typ == transit.RSA4096 {
				t.Skip("as RSA2048, and slow to make")
			}
			b := start(t)
			k := b.create(transit.CreateRequest{Key: "k", Type: typ, Derived: typ.Derives(), Convergent: typ.Derives() && typ.Encrypts(),
				Exportable: true, PlaintextBackup: true, RotateEvery: 24 * time.Hour})
			for range 3 {
				b.rotate("k")
			}
			b.config(transit.ConfigRequest{Key: "k", MinDecryption: ptr(uint64(3)), MinEncryption: ptr(uint64(3))})
			mac := transit.MACRequest{Key: "k", Items: []transit.Message{{Data: []byte("m")}}, Version: 3}
			code, err := b.Transit.MAC(ctx, b.Admin, mac)
			if err != nil {
				t.Fatal(err)
			}
			for _, trimmed := range []bool{false, true} {
				if trimmed {
					if _, err := b.Transit.Trim(ctx, b.Admin, transit.TrimRequest{Key: "k", MinAvailable: 2}); err != nil {
						t.Fatal(err)
					}
				}
				bundle, err := b.Transit.Backup(ctx, b.Admin, "k")
				if err != nil {
					t.Fatal(err)
				}
				text, err := transit.EncodeBackup(bundle)
				if err != nil {
					t.Fatal(err)
				}
				if bundle, err = transit.ParseBackup(string(text.Reveal())); err != nil || bundle.Name() != "k" {
					t.Fatalf("read again: %v", err)
				}
				name := map[bool]string{false: "all", true: "trimmed"}[trimmed]
				out, err := b.Transit.Restore(ctx, b.Admin, transit.RestoreRequest{Key: name, Bundle: bundle})
				if err != nil || out.Latest != 4 || out.MinDecryption != 3 || out.Type != typ || out.Derived != k.Derived || out.Convergent != k.Convergent ||
					len(out.Versions) != 2 || out.RotateEvery != 24*time.Hour || out.NextRotation.IsZero() || out.RestoredVersion != 4 {
					t.Fatalf("restored %+v %v", out, err)
				}
				check := transit.MACRequest{Key: name, Items: []transit.Message{{Data: []byte("m"), Version: 3, Code: code[0].Data}}}
				if ok, err := b.Transit.VerifyMAC(ctx, b.Admin, check); err != nil || !ok[0].Valid {
					t.Errorf("a code of before: %+v %v", ok, err)
				}
				if typ.Encrypts() {
					it := plain("x")
					it.Context = []byte("c")
					one, err := b.seal("k", it)
					if err != nil {
						t.Fatal(err)
					}
					if got, err := b.open(name, transit.Cipher{Version: one.Version, Data: one.Data, Context: it.Context}); got != "x" || err != nil {
						t.Errorf("decrypted %q %v", got, err)
					}
				}
				if typ.Signs() {
					req := transit.SignRequest{Key: "k", Items: []transit.Signed{{Data: []byte("x"), Context: []byte("c")}}}
					sig, err := b.Transit.Sign(ctx, b.Admin, req)
					if err != nil {
						t.Fatal(err)
					}
					req.Key, req.Items[0].Version, req.Items[0].Signature = name, sig[0].Version, sig[0].Data
					if ok, err := b.Transit.Verify(ctx, b.Admin, req); err != nil || !ok[0].Valid {
						t.Errorf("verified %+v %v", ok, err)
					}
				}
				if _, err := b.Transit.Restore(ctx, b.Admin, transit.RestoreRequest{Key: name, Bundle: bundle}); !says(err, errs.Exists, "already exists") {
					t.Errorf("once more: %v", err)
				}
				if _, err := b.Transit.Restore(ctx, b.Admin, transit.RestoreRequest{Key: name, Bundle: bundle, Force: true}); err != nil {
					t.Errorf("by force: %v", err)
				}
				if found := b.refer(); len(found) > 0 {
					t.Errorf("the check of the store: %q", found)
				}
			}
			// What was archived when the backup was taken is there too.
			b.config(transit.ConfigRequest{Key: "all", MinDecryption: ptr(uint64(1))})
			if k, err := b.Transit.Get(ctx, b.Admin, "all", nil); err != nil || len(k.Versions) != 4 {
				t.Errorf("with the archive: %+v %v", k, err)
			}
		})
	}
}

// TestRestoreOverAnother: after a restore by force the material of before counts no
// more, also where it was in memory.
func TestRestoreOverAnother(t *testing.T) {
	b := start(t)
	b.create(transit.CreateRequest{Key: "k"})
	one, err := b.seal("k", plain("x"))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := transit.ParseBackup(vaultBackup)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Transit.Restore(ctx, b.Admin, transit.RestoreRequest{Key: "k", Bundle: bundle, Force: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.open("k", transit.Cipher{Version: 1, Data: one.Data}); !says(err, errs.Invalid, "authentication failed") {
		t.Errorf("of the key before: %v", err)
	}
	if got, err := b.openText("k", vaultText, nil, nil); got != "test" || err != nil {
		t.Errorf("decrypted %q %v", got, err)
	}
}

// TestBadBackups: what is no backup, or of a key that there cannot be here.
func TestBadBackups(t *testing.T) {
	good := map[string]any{"key": make([]byte, 32), "hmac_key": []byte("x")}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mixed := append([]byte{}, private...)
	mixed[40] ^= 1
	for name, x := range map[string]struct {
		policy map[string]any
		entry  map[string]any
		text   string
	}{
		"type":         {map[string]any{"type": 99}, good, "its type"},
		"managed":      {map[string]any{"type": 10}, good, "its type"},
		"counter-mode": {map[string]any{"type": 0, "derived": true, "kdf": 0}, good, "counter mode"},
		"convergent-2": {map[string]any{"type": 0, "derived": true, "kdf": 1, "convergent_encryption": true, "convergent_version": 2}, good, "before 3"},
		"deleted":      {map[string]any{"type": 0, "soft_deleted": true}, good, "deleted"},
		"no-version":   {map[string]any{"type": 0, "latest_version": 2}, good, "cannot be backed up or restored"},
		"many":         {map[string]any{"type": 0, "latest_version": 5000, "keys": map[string]any{"5000": good}}, good, "cannot be backed up or restored"},
		"length":       {map[string]any{"type": 8}, good, "its length"},
		"minimum":      {map[string]any{"type": 0, "min_decryption_version": 7}, good, "contradict"},
		"period":       {map[string]any{"type": 0, "auto_rotate_period": time.Second}, good, "period of rotation"},
		"ed25519":      {map[string]any{"type": 2}, map[string]any{"key": mixed}, "halves"},
		"ecdsa":        {map[string]any{"type": 1}, map[string]any{"ec_x": 1, "ec_y": 2, "ec_d": 3}, "public key"},
		"ecdsa-none":   {map[string]any{"type": 1}, map[string]any{}, "public key"},
		"rsa":          {map[string]any{"type": 3}, map[string]any{"rsa_key": map[string]any{"N": 15, "E": 3, "D": 3, "Primes": []int{3, 5}}}, "private key"},
		"rsa-none":     {map[string]any{"type": 3}, map[string]any{}, "public key"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			all := map[string]any{"name": "k", "latest_version": 1, "min_decryption_version": 1, "keys": map[string]any{"1": x.entry}}
			for k, v := range x.policy {
				all[k] = v
			}
			raw, err := json.Marshal(map[string]any{"policy": all})
			if err != nil {
				t.Fatal(err)
			}
			bundle, err := transit.ParseBackup(base64.StdEncoding.EncodeToString(raw))
			if err == nil {
				_, err = b.Transit.Restore(ctx, b.Admin, transit.RestoreRequest{Key: "k", Bundle: bundle})
			}
			if errs.KindOf(err) != errs.Invalid && errs.KindOf(err) != errs.Limit || !strings.Contains(errs.As(err).Msg, x.text) {
				t.Errorf("got %v", err)
			}
		})
	}
	for name, text := range map[string]string{"empty": "", "not-base64": "%", "not-json": base64.StdEncoding.EncodeToString([]byte("{")), "null": base64.StdEncoding.EncodeToString([]byte("null")), "long": strings.Repeat("A", 1<<20+4)} {
		if _, err := transit.ParseBackup(text); err == nil || errs.KindOf(err) == errs.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// wrap wraps a key for import, as Vault's clients do.
func wrap(t testing.TB, public string, h hash.Hash, key []byte) []byte {
	t.Helper()
	p, _ := pem.Decode([]byte(public))
	if p == nil {
		t.Fatalf("no PEM block: %q", public)
	}
	parsed, err := x509.ParsePKIXPublicKey(p.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	ephemeral := make([]byte, 32)
	_, _ = rand.Read(ephemeral)
	out, err := rsa.EncryptOAEP(h, rand.Reader, parsed.(*rsa.PublicKey), ephemeral, nil)
	if err != nil {
		t.Fatal(err)
	}
	kwp, err := subtle.NewKWP(ephemeral)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := kwp.Wrap(key)
	if err != nil {
		t.Fatal(err)
	}
	return append(out, inner...)
}

func pkcs8(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func public(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// TestImport brings keys from elsewhere.
func TestImport(t *testing.T) {
	b := start(t)
	key, err := b.Transit.WrappingKey(ctx, b.Admin, "")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := b.Transit.WrappingKey(ctx, b.Admin, ""); err != nil || again != key {
		t.Errorf("asked again: another key, %v", err)
	}
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for typ, raw := range map[transit.Type][]byte{transit.AES256: secret, transit.ChaCha20: secret, transit.HMAC: append(secret, secret...), transit.Ed25519: pkcs8(t, ed), transit.ECDSAP256: pkcs8(t, ec)} {
		out, err := b.Transit.Import(ctx, b.Admin, transit.ImportRequest{Key: string(typ), Type: typ, Wrapped: wrap(t, key, sha256.New(), raw), Exportable: true})
		if err != nil || !out.Imported || out.Latest != 1 {
			t.Errorf("%s: %+v %v", typ, out, err)
		}
	}
	got, err := b.Transit.Export(ctx, b.Admin, transit.ExportRequest{Key: "aes256-gcm96", What: transit.EncryptionKey})
	if err != nil || string(got.Keys[1].Reveal()) != base64.StdEncoding.EncodeToString(secret) {
		t.Errorf("exported %v", err)
	}
	one := func(n string, req transit.ImportRequest) error {
		req.Key = n
		return second(b.Transit.Import(ctx, b.Admin, req))
	}
	good := wrap(t, key, sha256.New(), secret)
	flipped := append([]byte{}, good...)
	flipped[600-len(flipped)%7-80] ^= 1
	b.create(transit.CreateRequest{Key: "ours", Type: transit.ECDSAP256})
	for name, x := range map[string]struct {
		err  error
		kind errs.Kind
		text string
	}{
		"there":         {one("hmac", transit.ImportRequest{Wrapped: good}), errs.Exists, "cannot be used with an existing key"},
		"nothing":       {one("x", transit.ImportRequest{}), errs.Invalid, "is required"},
		"both":          {one("x", transit.ImportRequest{Wrapped: good, PublicKey: "x"}), errs.Invalid, "only one of"},
		"hash":          {one("x", transit.ImportRequest{Wrapped: good, OAEPHash: "MD5"}), errs.Invalid, "unknown hash function"},
		"another-hash":  {one("x", transit.ImportRequest{Wrapped: good, OAEPHash: "SHA1"}), errs.Invalid, "wrapped with this mount's wrapping key"},
		"another-type":  {one("x", transit.ImportRequest{Wrapped: good, Type: transit.AES128}), errs.Invalid, "wrapped with this mount's wrapping key"},
		"another-mount": {one("t2/x", transit.ImportRequest{Wrapped: good}), errs.Invalid, "wrapped with this mount's wrapping key"},
		"not-pkcs8":     {one("x", transit.ImportRequest{Wrapped: good, Type: transit.Ed25519}), errs.Invalid, "wrapped with this mount's wrapping key"},
		"curve":         {one("x", transit.ImportRequest{Wrapped: wrap(t, key, sha256.New(), pkcs8(t, ec)), Type: transit.ECDSAP384}), errs.Invalid, "wrapped with this mount's wrapping key"},
		"flipped":       {one("x", transit.ImportRequest{Wrapped: flipped}), errs.Invalid, "wrapped with this mount's wrapping key"},
		"short":         {one("x", transit.ImportRequest{Wrapped: good[:512]}), errs.Invalid, "too short"},
		"long":          {one("x", transit.ImportRequest{Wrapped: make([]byte, 17<<10)}), errs.Limit, "16384"},
		"rotation":      {one("x", transit.ImportRequest{Wrapped: good, RotateEvery: time.Hour}), errs.Invalid, "allow_rotation must be set"},
		"public-aes":    {one("x", transit.ImportRequest{PublicKey: public(t, ec)}), errs.Invalid, "does not support public_key import"},
		"public-text":   {one("x", transit.ImportRequest{PublicKey: "x", Type: transit.ECDSAP256}), errs.Invalid, "not in PEM format"},
		"public-curve":  {one("x", transit.ImportRequest{PublicKey: public(t, ec), Type: transit.ECDSAP384}), errs.Invalid, "not a public key of type"},
		"more-none":     {one("x", transit.ImportRequest{Wrapped: good, More: true}), errs.NotFound, "no key found"},
		"more-ours":     {one("ours", transit.ImportRequest{PublicKey: public(t, ec), More: true}), errs.Precondition, "only be used with an imported key"},
		"rotated":       {second(b.Transit.Rotate(ctx, b.Admin, transit.RotateRequest{Key: "hmac"})), errs.Precondition, "does not allow rotation"},
		"period":        {second(b.Transit.Config(ctx, b.Admin, transit.ConfigRequest{Key: "hmac", RotateEvery: ptr(time.Hour)})), errs.Precondition, "does not allow rotation"},
		"derived":       {one("x", transit.ImportRequest{Wrapped: good, Type: transit.HMAC, Derived: true}), errs.Invalid, "not supported"},
	} {
		if !says(x.err, x.kind, x.text) {
			t.Errorf("%s: %v, %v", name, errs.KindOf(x.err), x.err)
		}
	}
	if found := b.refer(); len(found) > 0 {
		t.Errorf("the check of the store: %q", found)
	}
	sha1Key := wrap(t, key, sha1.New(), secret)
	if out, err := b.Transit.Import(ctx, b.Admin, transit.ImportRequest{Key: "sha1", Wrapped: sha1Key, OAEPHash: "sha1", AllowRotation: true, RotateEvery: time.Hour}); err != nil || !out.AllowRotation {
		t.Errorf("with SHA-1: %+v %v", out, err)
	}
	b.rotate("sha1")
	if k, err := b.Transit.Get(ctx, b.Admin, "sha1", nil); err != nil || k.Imported || k.Latest != 2 {
		t.Errorf("rotated here: %+v %v", k, err)
	}
}

// TestImportOfHalves: a public key is imported first, and its private half later.
func TestImportOfHalves(t *testing.T) {
	b := start(t)
	wrapping, err := b.Transit.WrappingKey(ctx, b.Admin, "")
	if err != nil {
		t.Fatal(err)
	}
	first, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	next, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	do := func(req transit.ImportRequest) error {
		req.Key, req.Type = "k", transit.ECDSAP384
		return second(b.Transit.Import(ctx, b.Admin, req))
	}
	sign := func() (transit.Signature, error) {
		out, err := b.Transit.Sign(ctx, b.Admin, transit.SignRequest{Key: "k", Version: 1, Items: []transit.Signed{{Data: []byte("x")}}})
		if err != nil {
			return transit.Signature{}, err
		}
		return out[0], nil
	}
	if err := do(transit.ImportRequest{PublicKey: public(t, first)}); err != nil {
		t.Fatal(err)
	}
	if _, err := sign(); !says(err, errs.Precondition, "does not contain a private part") {
		t.Errorf("signed with a public key: %v", err)
	}
	digest := sha256.Sum256([]byte("x"))
	sig, err := ecdsa.SignASN1(rand.Reader, first, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	ok, err := b.Transit.Verify(ctx, b.Admin, transit.SignRequest{Key: "k", Items: []transit.Signed{{Data: []byte("x"), Version: 1, Signature: sig}}})
	if err != nil || !ok[0].Valid {
		t.Errorf("verified %+v %v", ok, err)
	}
	if err := do(transit.ImportRequest{More: true, PublicKey: public(t, next)}); err != nil {
		t.Fatal(err)
	}
	if err := do(transit.ImportRequest{More: true, Version: 1, Wrapped: wrap(t, wrapping, sha256.New(), pkcs8(t, next))}); !says(err, errs.Invalid, "key pair does not match") {
		t.Errorf("another private half: %v", err)
	}
	if err := do(transit.ImportRequest{More: true, Version: 3, Wrapped: wrap(t, wrapping, sha256.New(), pkcs8(t, next))}); !says(err, errs.Invalid, "no such key version") {
		t.Errorf("of no version: %v", err)
	}
	if err := do(transit.ImportRequest{More: true, Version: 1, Wrapped: wrap(t, wrapping, sha256.New(), pkcs8(t, first))}); err != nil {
		t.Fatal(err)
	}
	if out, err := sign(); err != nil || out.Version != 1 {
		t.Errorf("signed with the private half, which counts at once: %+v %v", out, err)
	}
	if err := do(transit.ImportRequest{More: true, Version: 1, Wrapped: wrap(t, wrapping, sha256.New(), pkcs8(t, first))}); !says(err, errs.Precondition, "cannot be updated") {
		t.Errorf("once more: %v", err)
	}
	if err := do(transit.ImportRequest{More: true, Wrapped: wrap(t, wrapping, sha256.New(), pkcs8(t, next))}); err != nil {
		t.Fatal(err)
	}
	k, err := b.Transit.Get(ctx, b.Admin, "k", nil)
	if err != nil || k.Latest != 2 {
		t.Errorf("the private half of the latest makes no version: %+v %v", k, err)
	}
	if found := b.refer(); len(found) > 0 {
		t.Errorf("the check of the store: %q", found)
	}
}
