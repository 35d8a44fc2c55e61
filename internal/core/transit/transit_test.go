package transit_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/transit"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// TestRoundTrips encrypts, signs and authenticates with each type and every option
// that it has, and what a type cannot do is refused.
func TestRoundTrips(t *testing.T) {
	for _, typ := range transit.Types() {
		for _, derived := range []bool{false, true} {
			if derived && !typ.Derives() {
				continue
			}
			for _, convergent := range []bool{false, true} {
				if convergent && (!derived || !typ.Encrypts()) {
					continue
				}
				t.Run(fmt.Sprintf("%s-%v-%v", typ, derived, convergent), func(t *testing.T) {
					b := start(t)
					k := b.create(transit.CreateRequest{Key: "k", Type: typ, Derived: derived, Convergent: convergent})
					if k.Latest != 1 || k.MinDecryption != 1 || k.Type != typ || len(k.Versions) != 1 || k.Versions[0].Created.IsZero() {
						t.Errorf("made %+v", k)
					}
					b.encrypts(t, k.Key)
					b.signs(t, k.Key)
					b.authenticates(t)
				})
			}
		}
	}
}

func (b *bench) encrypts(t *testing.T, k transit.Key) {
	it := plain("attack at dawn")
	if k.Derived {
		it.Context = []byte("c1")
	}
	one, err := b.seal("k", it)
	if !k.Type.Encrypts() {
		if !says(err, errs.Invalid, "message encryption not supported for key type "+string(k.Type)) {
			t.Errorf("encrypted: %v", err)
		}
		_, err = b.open("k", transit.Cipher{Version: 1, Data: make([]byte, 64)})
		if !says(err, errs.Invalid, "message decryption not supported for key type "+string(k.Type)) {
			t.Errorf("decrypted: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	back := transit.Cipher{Version: one.Version, Data: one.Data, Context: it.Context}
	if got, err := b.open("k", back); got != "attack at dawn" || err != nil {
		t.Errorf("decrypted %q %v", got, err)
	}
	two, err := b.seal("k", it)
	if err != nil || bytes.Equal(one.Data, two.Data) != k.Convergent {
		t.Errorf("the same once more: %v, equal %v", err, bytes.Equal(one.Data, two.Data))
	}
	if strings.HasPrefix(string(k.Type), "rsa") {
		it.Associated = []byte("a")
		if _, err := b.seal("k", it); !says(err, errs.Invalid, "non-AEAD cipher suite") {
			t.Errorf("associated data: %v", err)
		}
		it.Associated, it.Data = nil, sensitive.New(make([]byte, 512))
		if _, err := b.seal("k", it); !says(err, errs.Invalid, "too long") {
			t.Errorf("a long plaintext: %v", err)
		}
		back.Data = slices.Clone(back.Data)
		back.Data[9] ^= 1
		if _, err := b.open("k", back); !says(err, errs.Invalid, "failed to RSA decrypt") {
			t.Errorf("another ciphertext: %v", err)
		}
		return
	}
	for i := range one.Data {
		bad := back
		bad.Data = slices.Clone(one.Data)
		bad.Data[i] ^= 4
		if _, err := b.open("k", bad); !says(err, errs.Invalid, "message authentication failed") {
			t.Fatalf("with byte %d changed: %v", i, err)
		}
	}
	for n := range len(one.Data) {
		bad := back
		bad.Data = one.Data[:n]
		if _, err := b.open("k", bad); !errs.Is(err, errs.Invalid) {
			t.Fatalf("%d bytes of it: %v", n, err)
		}
	}
	it.Associated = []byte("invoice 7")
	if one, err = b.seal("k", it); err != nil {
		t.Fatal(err)
	}
	back.Data = one.Data
	if _, err := b.open("k", back); !says(err, errs.Invalid, "authentication failed") {
		t.Errorf("without its associated data: %v", err)
	}
	back.Associated = it.Associated
	if got, err := b.open("k", back); got != "attack at dawn" || err != nil {
		t.Errorf("with associated data: %q %v", got, err)
	}
	if !k.Derived {
		return
	}
	back.Context = []byte("c2")
	if _, err := b.open("k", back); !says(err, errs.Invalid, "authentication failed") {
		t.Errorf("in another context: %v", err)
	}
	it.Context = nil
	if _, err := b.seal("k", it); !says(err, errs.Invalid, "missing 'context' for key derivation") {
		t.Errorf("without a context: %v", err)
	}
}

func (b *bench) signs(t *testing.T, k transit.Key) {
	it := transit.Signed{Data: []byte("the treaty")}
	if k.Derived {
		it.Context = []byte("c1")
	}
	if !k.Type.Signs() {
		_, err := b.Transit.Sign(ctx, b.Admin, transit.SignRequest{Key: "k", Items: []transit.Signed{it}})
		if !says(err, errs.Invalid, "key type "+string(k.Type)+" does not support signing") {
			t.Errorf("signed: %v", err)
		}
		_, err = b.Transit.Verify(ctx, b.Admin, transit.SignRequest{Key: "k", Items: []transit.Signed{it}})
		if !says(err, errs.Invalid, "key type "+string(k.Type)+" does not support verification") {
			t.Errorf("verified: %v", err)
		}
		return
	}
	schemes := []transit.Scheme{{}, {Raw: true}, {Hash: "sha3-384"}}
	if strings.HasPrefix(string(k.Type), "rsa") {
		schemes = append(schemes, transit.Scheme{RSA: transit.PKCS1}, transit.Scheme{RSA: transit.PKCS1, Hash: "sha1"}, transit.Scheme{RSA: transit.PKCS1, Hash: "sha3-256"},
			transit.Scheme{Salt: transit.SaltHash}, transit.Scheme{Salt: 20, Hash: "sha2-512"}, transit.Scheme{RSA: transit.PKCS1, Hash: "none", Prehashed: true})
	}
	for _, s := range schemes {
		req := transit.SignRequest{Key: "k", Items: []transit.Signed{it}, Scheme: s}
		out, err := b.Transit.Sign(ctx, b.Admin, req)
		if err != nil {
			t.Errorf("%+v: %v", s, err)
			continue
		}
		if bits := map[transit.Type]int{transit.ECDSAP256: 64, transit.ECDSAP384: 96, transit.ECDSAP521: 132}[k.Type]; s.Raw && bits != 0 && len(out[0].Data) != bits {
			t.Errorf("%+v: %d bytes", s, len(out[0].Data))
		}
		if (len(out[0].Public) > 0) != k.Derived {
			t.Errorf("%+v: public key %x", s, out[0].Public)
		}
		good := it
		good.Version, good.Signature = out[0].Version, out[0].Data
		bad := good
		bad.Data = []byte("the treasure")
		cut := good
		cut.Signature = good.Signature[:len(good.Signature)-2]
		req.Items, req.Batch = []transit.Signed{good, bad, cut}, true
		got, err := b.Transit.Verify(ctx, b.Admin, req)
		if err != nil || !got[0].Valid || got[1].Valid || got[2].Valid {
			t.Errorf("%+v: verified %+v %v", s, got, err)
		}
	}
}

func (b *bench) authenticates(t *testing.T) {
	req := transit.MACRequest{Key: "k", Items: []transit.Message{{Data: []byte("m")}}}
	out, err := b.Transit.MAC(ctx, b.Admin, req)
	if err != nil {
		t.Fatal(err)
	}
	req.Items[0].Version, req.Items[0].Code = out[0].Version, out[0].Data
	if got, err := b.Transit.VerifyMAC(ctx, b.Admin, req); err != nil || !got[0].Valid {
		t.Errorf("the code: %+v %v", got, err)
	}
	req.Items[0].Data = []byte("n")
	if got, err := b.Transit.VerifyMAC(ctx, b.Admin, req); err != nil || got[0].Valid {
		t.Errorf("the code of something else: %+v %v", got, err)
	}
}

// TestPrehashed signs a hash as what it is the hash of.
func TestPrehashed(t *testing.T) {
	b := start(t)
	for _, typ := range []transit.Type{transit.ECDSAP256, transit.RSA2048} {
		n := string(typ)
		b.create(transit.CreateRequest{Key: n, Type: typ})
		sum, err := b.Transit.Hash(ctx, b.Admin, "sha2-384", []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		req := transit.SignRequest{Key: n, Items: []transit.Signed{{Data: sum}}, Scheme: transit.Scheme{Hash: "sha2-384", Prehashed: true}}
		out, err := b.Transit.Sign(ctx, b.Admin, req)
		if err != nil {
			t.Fatal(err)
		}
		req.Scheme.Prehashed = false
		req.Items = []transit.Signed{{Data: []byte("m"), Version: 1, Signature: out[0].Data}}
		if got, err := b.Transit.Verify(ctx, b.Admin, req); err != nil || !got[0].Valid {
			t.Errorf("%s: %+v %v", typ, got, err)
		}
	}
}

// TestVersions holds which versions are taken for new data and for old.
func TestVersions(t *testing.T) {
	b := start(t)
	b.create(transit.CreateRequest{Key: "k"})
	var texts []transit.Sealed
	for v := uint64(1); v <= 4; v++ {
		one, err := b.seal("k", plain("v"))
		if err != nil || one.Version != v {
			t.Fatalf("version %d: %+v %v", v, one, err)
		}
		texts = append(texts, one)
		if v < 4 {
			b.rotate("k")
		}
	}
	b.config(transit.ConfigRequest{Key: "k", MinDecryption: ptr(uint64(2)), MinEncryption: ptr(uint64(3))})
	for v := uint64(1); v <= 5; v++ {
		it := plain("v")
		it.Version = v
		_, err := b.seal("k", it)
		if ok := v == 3 || v == 4; ok != (err == nil) {
			t.Errorf("encrypted with version %d: %v", v, err)
		}
		if v == 5 {
			if _, err := b.open("k", transit.Cipher{Version: 5, Data: texts[0].Data}); !says(err, errs.Invalid, "version is too new") {
				t.Errorf("a version to come: %v", err)
			}
			continue
		}
		_, err = b.open("k", transit.Cipher{Version: v, Data: texts[v-1].Data})
		if v == 1 && !says(err, errs.Invalid, "disallowed by policy (too old)") || v > 1 && err != nil {
			t.Errorf("decrypted version %d: %v", v, err)
		}
	}
	if _, err := b.open("k", transit.Cipher{Version: 3, Data: texts[1].Data}); !says(err, errs.Invalid, "authentication failed") {
		t.Errorf("under another number: %v", err)
	}
	b.config(transit.ConfigRequest{Key: "k", MinDecryption: ptr(uint64(0)), MinEncryption: ptr(uint64(0))}) // both are taken back
	if _, err := b.open("k", transit.Cipher{Version: 1, Data: texts[0].Data}); err != nil {
		t.Errorf("allowed again: %v", err)
	}
	k, err := b.Transit.Get(ctx, b.Admin, "k", nil)
	if err != nil || k.Latest != 4 || len(k.Versions) != 4 {
		t.Errorf("shown %+v %v", k, err)
	}
}

// TestRewrapKeepsThePlaintext, whatever versions are involved.
func TestRewrapKeepsThePlaintext(t *testing.T) {
	b := start(t)
	rng := mathrand.New(mathrand.NewPCG(1, 2))
	for _, req := range []transit.CreateRequest{{Key: "a"}, {Key: "b", Type: transit.ChaCha20, Derived: true}, {Key: "c", Type: transit.XChaCha20, Derived: true, Convergent: true}, {Key: "d", Type: transit.RSA2048}} {
		b.create(req)
		var context []byte
		if req.Derived {
			context = []byte("c")
		}
		latest := uint64(1)
		for range 20 {
			text := make([]byte, rng.IntN(100))
			_, _ = rand.Read(text)
			one, err := b.seal(req.Key, transit.Plain{Data: sensitive.New(text), Context: context, Version: 1 + rng.Uint64N(latest)})
			if err != nil {
				t.Fatal(err)
			}
			if rng.IntN(3) == 0 && latest < 5 {
				b.rotate(req.Key)
				latest++
			}
			to := rng.Uint64N(latest + 1)
			out, err := b.Transit.Rewrap(ctx, b.Admin, transit.DecryptRequest{Key: req.Key, Items: []transit.Cipher{
				{Version: one.Version, Data: one.Data, Context: context, NewVersion: to}}})
			if err != nil {
				t.Fatal(err)
			}
			want := to
			if to == 0 {
				want = latest
			}
			got, err := b.open(req.Key, transit.Cipher{Version: out[0].Version, Data: out[0].Data, Context: context})
			if err != nil || got != string(text) || out[0].Version != want {
				t.Fatalf("%s: got %q %v by version %d, want %q by %d", req.Key, got, err, out[0].Version, text, want)
			}
		}
	}
}

// TestConvergent: equal plaintexts have equal ciphertexts in one context and under
// one version, and nowhere else.
func TestConvergent(t *testing.T) {
	b := start(t)
	b.create(transit.CreateRequest{Key: "k", Derived: true, Convergent: true})
	b.create(transit.CreateRequest{Key: "l", Derived: true, Convergent: true})
	b.rotate("k")
	seen := map[string]string{}
	for _, key := range []string{"k", "l"} {
		for _, context := range []string{"a", "b", "ab"} {
			for _, text := range []string{"", "x", "y", "xy"} {
				for v := uint64(1); v <= 2; v++ {
					if key == "l" && v == 2 {
						continue
					}
					it := plain(text)
					it.Context, it.Version = []byte(context), v
					one, err := b.seal(key, it)
					if err != nil {
						t.Fatal(err)
					}
					again, err := b.seal(key, it)
					if err != nil || !bytes.Equal(one.Data, again.Data) {
						t.Errorf("not the same once more: %v", err)
					}
					which := fmt.Sprint(key, context, text, v)
					if other, ok := seen[string(one.Data)]; ok {
						t.Errorf("%s and %s are the same", which, other)
					}
					seen[string(one.Data)] = which
				}
			}
		}
	}
}

func TestDataKey(t *testing.T) {
	b := start(t)
	b.create(transit.CreateRequest{Key: "k"})
	for _, bits := range []int{0, 128, 256, 512} {
		out, err := b.Transit.GenerateDataKey(ctx, b.Admin, transit.DataKeyRequest{Key: "k", Bits: bits, Plaintext: true, Associated: []byte("a")})
		if err != nil {
			t.Fatal(err)
		}
		want := bits / 8
		if bits == 0 {
			want = 32
		}
		got, err := b.open("k", transit.Cipher{Version: out.Version, Data: out.Data, Associated: []byte("a")})
		if err != nil || got != string(out.Plaintext.Reveal()) || len(got) != want {
			t.Errorf("%d bits: %d bytes %v", bits, len(got), err)
		}
	}
	out, err := b.Transit.GenerateDataKey(ctx, b.Admin, transit.DataKeyRequest{Key: "k"})
	if err != nil || out.Plaintext.Len() > 0 || len(out.Data) == 0 {
		t.Errorf("wrapped: %+v %v", out, err)
	}
	if _, err := b.Transit.GenerateDataKey(ctx, b.Admin, transit.DataKeyRequest{Key: "k", Bits: 192}); !says(err, errs.Invalid, "invalid bit length") {
		t.Errorf("192 bits: %v", err)
	}
}

// TestBatch: items fail one by one, there is one record, and what was asked for
// comes in its order.
func TestBatch(t *testing.T) {
	b := start(t)
	b.create(transit.CreateRequest{Key: "k"})
	b.rotate("k")
	before := len(b.Records(t))
	wrong := errs.InvalidField("plaintext", "not base64")
	req := transit.EncryptRequest{Key: "k", Batch: true, Items: []transit.Plain{plain("a"), {Err: wrong}, {Data: sensitive.FromString("c"), Version: 9}, {Data: sensitive.FromString("d"), Version: 1}}}
	out, err := b.Transit.Encrypt(ctx, b.Admin, req)
	if err != nil {
		t.Fatal(err)
	}
	var versions []uint64
	for _, o := range out.Items {
		versions = append(versions, o.Version)
	}
	if diff := cmp.Diff([]uint64{2, 0, 0, 1}, versions); diff != "" || out.Items[1].Err != wrong || !says(out.Items[2].Err, errs.Invalid, "higher than the latest") {
		t.Errorf("%s %+v", diff, out)
	}
	recs := b.Records(t)[before:]
	if len(recs) != 1 || recs[0].Operation != "Encrypt" || recs[0].Resource != "k" || recs[0].Version != 2 || recs[0].Outcome != "ok" {
		t.Errorf("records %+v", recs)
	}
	dec, err := b.Transit.Decrypt(ctx, b.Admin, transit.DecryptRequest{Key: "k", Batch: true, Items: []transit.Cipher{
		{Version: 1, Data: out.Items[3].Data}, {Version: 2, Data: out.Items[3].Data}, {Version: 2, Data: out.Items[0].Data}}})
	if err != nil || string(dec[0].Data.Reveal()) != "d" || dec[1].Err == nil || string(dec[2].Data.Reveal()) != "a" {
		t.Errorf("decrypted %+v %v", dec, err)
	}
	req.Items = req.Items[1:3]
	if out, err = b.Transit.Encrypt(ctx, b.Admin, req); errs.As(err) == nil || errs.As(err).Code != transit.CodeBatch || len(out.Items) != 2 || out.Items[0].Err != wrong {
		t.Errorf("all fail: %+v %v", out, err)
	}
	if recs = b.Records(t); recs[len(recs)-1].Outcome != "refused" {
		t.Errorf("all fail: recorded %+v", recs[len(recs)-1])
	}
}

// TestRecords: what is recorded names the key and the version, and holds nothing of
// the data.
func TestRecords(t *testing.T) {
	b := start(t)
	b.create(transit.CreateRequest{Key: "t2/k", RotateEvery: 24 * time.Hour})
	one, err := b.seal("t2/k", plain("canary-plaintext"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = b.open("t2/k", transit.Cipher{Version: 1, Data: one.Data})
	b.rotate("t2/k")
	var got []string
	for _, r := range b.Records(t) {
		if strings.HasPrefix(r.Resource, "t2/") {
			got = append(got, fmt.Sprint(r.Operation, " ", r.Version, " ", r.Change != ""))
		}
		if strings.Contains(fmt.Sprintf("%+v", r), "canary") {
			t.Errorf("%+v holds a plaintext", r)
		}
	}
	slices.Sort(got) // a write's record comes by a relay
	if diff := cmp.Diff([]string{"CreateTransitKey 1 true", "Decrypt 1 false", "Encrypt 1 false", "RotateTransitKey 2 true"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestRandom(t *testing.T) {
	b := start(t)
	for n, ok := range map[int]bool{-1: false, 0: false, 1: true, 32: true, transit.MaxRandom: true, transit.MaxRandom + 1: false} {
		out, err := b.Transit.Random(ctx, b.Admin, n)
		if ok != (err == nil) || ok && out.Len() != n {
			t.Errorf("%d bytes: %d %v", n, out.Len(), err)
		}
	}
}

// TestUpsert makes a key for a request to encrypt, of who may make keys.
func TestUpsert(t *testing.T) {
	b := start(t)
	req := transit.EncryptRequest{Key: "new", Items: []transit.Plain{plain("x")}, Create: &transit.CreateRequest{Type: transit.ChaCha20}}
	writer, _ := b.User(t, "writer", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}]}`)
	if _, err := b.Transit.Encrypt(ctx, writer, req); !says(err, errs.NotFound, "encryption key not found") {
		t.Errorf("who may not make keys: %v", err)
	}
	out, err := b.Transit.Encrypt(ctx, b.Admin, req)
	if err != nil || !out.Created || out.Items[0].Version != 1 {
		t.Fatalf("made %+v %v", out, err)
	}
	if out, err = b.Transit.Encrypt(ctx, writer, req); err != nil || out.Created {
		t.Errorf("with the key there: %+v %v", out, err)
	}
	if k, err := b.Transit.Get(ctx, b.Admin, "new", nil); err != nil || k.Type != transit.ChaCha20 {
		t.Errorf("made %+v %v", k, err)
	}
}

// TestConvergentWithAssociatedData: no nonce is used for two texts, and those that
// differ in their associated data are two.
func TestConvergentWithAssociatedData(t *testing.T) {
	for _, typ := range []transit.Type{transit.AES256, transit.ChaCha20, transit.XChaCha20} {
		t.Run(string(typ), func(t *testing.T) {
			b := start(t)
			b.create(transit.CreateRequest{Key: "k", Type: typ, Derived: true, Convergent: true})
			seal := func(data, associated string) string {
				out, err := b.seal("k", transit.Plain{Data: sensitive.FromString(data), Context: []byte("c"), Associated: []byte(associated)})
				if err != nil {
					t.Fatal(err)
				}
				got, err := b.open("k", transit.Cipher{Version: out.Version, Data: out.Data, Context: []byte("c"), Associated: []byte(associated)})
				if err != nil || got != data {
					t.Fatalf("%q with %q: %q %v", data, associated, got, err)
				}
				return string(out.Data)
			}
			nonces := map[string]string{}
			for _, x := range [][2]string{{"text", ""}, {"text", "a"}, {"text", "b"}, {"xtext", "a"}, {"text", "ax"}, {"", "text"}} {
				one := seal(x[0], x[1])
				if one != seal(x[0], x[1]) {
					t.Errorf("%q: not the same ciphertext twice", x)
				}
				if other, taken := nonces[one[:12]]; taken {
					t.Errorf("%q has the nonce of %q", x, other)
				}
				nonces[one[:12]] = x[0] + " with " + x[1]
			}
		})
	}
}
