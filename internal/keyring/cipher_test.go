package keyring

import (
	"bytes"
	"errors"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
)

func TestSealAppends(t *testing.T) {
	r, _, _ := newRing(t)
	m := must(t)
	ct := m(r.Seal([]byte("head"), []byte("plain"), []byte("aad"), acct))
	if !bytes.HasPrefix(ct, []byte("head")) || len(ct) != len("head")+len("plain")+prefixSize+overhead {
		t.Errorf("sealed %d bytes", len(ct))
	}
	if got := m(r.Open([]byte("front-"), ct[4:], []byte("aad"), acct)); string(got) != "front-plain" {
		t.Errorf("opened %q", got)
	}
	if got := m(r.Open(nil, m(r.Seal(nil, nil, nil, acct)), nil, acct)); len(got) != 0 {
		t.Errorf("empty plaintext opened as %q", got)
	}
}

// What the ring seals is what Tink's own primitive over the same keyset opens,
// and the other way round.
func TestTinkOpensRecords(t *testing.T) {
	r, _, _ := newRing(t)
	check(t, r.RotateAccount(t.Context(), acct))
	k, err := r.get(acct)
	check(t, err)
	prim, err := aead.New(k.keys.handle)
	check(t, err)
	aad := append(bound(nil, forRecord), "key"...)
	m := must(t)
	if got := m(prim.Decrypt(m(r.Seal(nil, []byte("plain"), []byte("key"), acct)), aad)); string(got) != "plain" {
		t.Errorf("Tink opened %q", got)
	}
	if got := m(r.Open(nil, m(prim.Encrypt([]byte("plain"), aad)), []byte("key"), acct)); string(got) != "plain" {
		t.Errorf("opened %q", got)
	}
}

func TestRecordIsBound(t *testing.T) {
	r, _, _ := newRing(t)
	other, _, _ := newRing(t)
	ct := must(t)(r.Seal(nil, []byte("plain"), []byte("key"), acct))
	dataKey := must(t)(r.NewDataKey(acct))
	tests := map[string]struct {
		ring    *Ring
		ct, aad []byte
		account string
		want    error
	}{
		"aad":         {r, ct, []byte("kez"), acct, ErrDecrypt},
		"no-aad":      {r, ct, nil, acct, ErrDecrypt},
		"account":     {r, ct, []byte("key"), acct2, ErrUnknownKey},
		"store":       {other, ct, []byte("key"), acct, ErrUnknownKey},
		"no-account":  {r, ct, []byte("key"), "999999999999", ErrUnknownAccount},
		"empty":       {r, nil, []byte("key"), acct, ErrDecrypt},
		"short":       {r, ct[:prefixSize+overhead-1], []byte("key"), acct, ErrDecrypt},
		"cut":         {r, ct[:len(ct)-1], []byte("key"), acct, ErrDecrypt},
		"longer":      {r, append(bytes.Clone(ct), 0), []byte("key"), acct, ErrDecrypt},
		"purpose":     {r, dataKey, nil, acct, ErrDecrypt},
		"purpose-aad": {r, dataKey, []byte(acct), acct, ErrDecrypt},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := tt.ring.Open(nil, tt.ct, tt.aad, tt.account); !errors.Is(err, tt.want) || got != nil {
				t.Errorf("Open: %q, %v, want %v", got, err, tt.want)
			}
		})
	}
	for i := range ct {
		bad := bytes.Clone(ct)
		bad[i] ^= 0x40
		if _, err := r.Open(nil, bad, []byte("key"), acct); !errors.Is(err, ErrDecrypt) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

func TestValueIsBound(t *testing.T) {
	r, _, _ := newRing(t)
	m := must(t)
	id := ValueID{Account: acct, Kind: "secret", Region: "eu-west-1", Name: "app", Suffix: "AbCdEf", Version: 7}
	key, ct := m(r.NewDataKey(acct)), []byte(nil)
	ct = m(r.SealValue(key, id, []byte("value")))
	key2 := m(r.NewDataKey(acct))
	ct2 := m(r.SealValue(key2, id, []byte("other")))

	change := func(f func(*ValueID)) ValueID { c := id; f(&c); return c }
	ids := map[string]ValueID{
		"account": change(func(v *ValueID) { v.Account = acct2 }),
		"kind":    change(func(v *ValueID) { v.Kind = "secreu" }),
		"region":  change(func(v *ValueID) { v.Region = "" }),
		"name":    change(func(v *ValueID) { v.Name = "apq" }),
		"suffix":  change(func(v *ValueID) { v.Suffix = "AbCdEg" }),
		"version": change(func(v *ValueID) { v.Version = 8 }),
		// A byte that moves from one part to the next is another place.
		"shifted": change(func(v *ValueID) { v.Name, v.Suffix = "appA", "bCdEf" }),
	}
	for name, other := range ids {
		t.Run(name, func(t *testing.T) {
			if got, err := r.OpenValue(key, other, ct); !errors.Is(err, ErrDecrypt) || got != nil {
				t.Errorf("%q, %v, want ErrDecrypt", got, err)
			}
		})
	}
	for name, pair := range map[string][2][]byte{
		"swapped-keys":  {key2, ct},
		"swapped-value": {key, ct2},
		"cut-key":       {key[:len(key)-1], ct},
		"no-key":        {nil, ct},
		"cut-value":     {key, ct[:len(ct)-1]},
		"no-value":      {key, nil},
		"version-byte":  {key, append([]byte{2}, ct[1:]...)},
		"record-as-key": {m(r.Seal(nil, make([]byte, keySize), nil, acct)), ct},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := r.OpenValue(pair[0], id, pair[1]); !errors.Is(err, ErrDecrypt) || got != nil {
				t.Errorf("%q, %v, want ErrDecrypt", got, err)
			}
		})
	}
	if got := m(r.OpenValue(key, id, ct)); string(got) != "value" {
		t.Errorf("the untouched value opened as %q", got)
	}
}
