package keyring

import (
	"bytes"
	"errors"
	"testing"
)

// canonical holds that decode accepts what encode gives, and nothing else.
func canonical[T stored](t *testing.T, b []byte) {
	t.Helper()
	v, err := decode[T](b)
	if err != nil {
		if !errors.Is(err, ErrFormat) {
			t.Fatalf("error %v, want ErrFormat", err)
		}
		return
	}
	again, err := encode(v)
	if err != nil || !bytes.Equal(again, b) {
		t.Fatalf("%x was accepted and is spelled %x (%v)", b, again, err)
	}
}

func FuzzDecode(f *testing.F) {
	seed := func(b []byte, err error) {
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append([]byte{2}, b[1:]...))
	}
	seed(encode(envelope{Store: make([]byte, 16), Created: 1, Generation: 1, Seal: "key-file", Blob: []byte{1}, Keyset: []byte{2}}))
	seed(encode(accountRecord{Generation: 1, Changed: -1, Keyset: []byte{1, 2}}))
	seed(encode(keyRecord{Wrapped: []byte{1}}))
	seed(encode(rewrapRecord{Generation: 3, Cursor: []byte("x"), Done: 1 << 40}))
	f.Fuzz(func(t *testing.T, b []byte) {
		canonical[envelope](t, b)
		canonical[accountRecord](t, b)
		canonical[keyRecord](t, b)
		canonical[rewrapRecord](t, b)
	})
}

// Whatever is not what the ring sealed does not open, and opens to nothing.
func FuzzOpen(f *testing.F) {
	r, _, _ := newRing(f)
	aad := []byte("key")
	ct := must(f)(r.Seal(nil, []byte("plain"), aad, acct))
	wrapped := must(f)(r.NewDataKey(acct))
	id := ValueID{Account: acct}
	value := must(f)(r.SealValue(wrapped, id, []byte("plain")))
	f.Add(ct, wrapped, value)
	f.Add([]byte{1}, []byte{1}, []byte{1})
	f.Fuzz(func(t *testing.T, c, w, v []byte) {
		if out, err := r.Open(nil, c, aad, acct); (err == nil) != bytes.Equal(c, ct) || err != nil && out != nil {
			t.Fatalf("record opened: %v", err)
		}
		good := bytes.Equal(w, wrapped) && bytes.Equal(v, value)
		if out, err := r.OpenValue(w, id, v); (err == nil) != good || err != nil && out != nil {
			t.Fatalf("value opened: %v", err)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	good, err := encode(rewrapRecord{Generation: 1})
	check(t, err)
	for name, b := range map[string][]byte{
		"empty":           nil,
		"version-0":       append([]byte{0}, good[1:]...),
		"version-2":       append([]byte{2}, good[1:]...),
		"no-cbor":         {Format},
		"trailing":        append(bytes.Clone(good), 0),
		"unknown-member":  {Format, 0xa1, 0x09, 0x00},
		"duplicate":       {Format, 0xa2, 0x01, 0x00, 0x01, 0x00},
		"indefinite":      {Format, 0xbf, 0xff},
		"tagged":          {Format, 0xc1, 0xa0},
		"missing-members": {Format, 0xa0},
		"text-key":        {Format, 0xa1, 0x61, 'a', 0x00},
		"long-integer":    bytes.Replace(good, []byte{1, 1}, []byte{1, 0x18, 1}, 1),
		"huge-claim":      {Format, 0xa1, 0x02, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"too-long":        append([]byte{Format}, make([]byte, maxRecord)...),
	} {
		t.Run(name, func(t *testing.T) {
			if v, err := decode[rewrapRecord](b); !errors.Is(err, ErrFormat) {
				t.Errorf("%+v, %v, want ErrFormat", v, err)
			}
		})
	}
}
