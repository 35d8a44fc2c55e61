package sigv4

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// TestDeriveKey compares with an independent HMAC chain, keyed twice so that a
// pooled hash is used again.
func TestDeriveKey(t *testing.T) {
	want := []byte("AWS4" + suiteSecret)
	for _, part := range []string{"20150830", "us-east-1", "iam", "aws4_request"} {
		want = docMAC(want, part)
	}
	// The example of the AWS General Reference, "Deriving the signing key".
	if got := hex.EncodeToString(want); got != "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9" {
		t.Fatalf("the test derives %s", got)
	}
	key := DeriveKey(sensitive.FromString(suiteSecret), "20150830", "us-east-1", "iam")
	for _, msg := range []string{"", "one", "two", strings.Repeat("x", 500)} {
		if got, want := hex.EncodeToString(key.sign(nil, []byte(msg))), hex.EncodeToString(docMAC(want, msg)); got != want {
			t.Errorf("signing %q: got %s, want %s", msg, got, want)
		}
	}
}

func TestKeyPrintsNothing(t *testing.T) {
	key := suiteKey()
	j, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{fmt.Sprint(key), fmt.Sprintf("%+v %x %#v", key, key, key), string(j), key.String(), key.LogValue().String()} {
		if strings.Trim(strings.ReplaceAll(got, sensitive.Redacted, ""), ` "`) != "" {
			t.Errorf("key prints as %q", got)
		}
	}
}

func TestKeyCache(t *testing.T) {
	c, err := NewKeyCache(4)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	secret := func() (sensitive.Bytes, error) { asked++; return sensitive.FromString("s"), nil }
	get := func(id KeyID) *Key {
		t.Helper()
		k, err := c.Key(id, secret)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	base := KeyID{AccessKeyID: "A", Generation: "1", Date: "20150830", Region: "r", Service: "s"}
	first := get(base)
	if get(base) != first || asked != 1 {
		t.Errorf("the second look-up derived again: asked %d times", asked)
	}
	for _, other := range []KeyID{
		{"B", "1", "20150830", "r", "s"}, {"A", "2", "20150830", "r", "s"}, {"A", "1", "20150831", "r", "s"},
		{"A", "1", "20150830", "q", "s"}, {"A", "1", "20150830", "r", "t"},
	} {
		if get(other) == first {
			t.Errorf("%v shares a key with %v", other, base)
		}
	}
	for i := range 1000 {
		get(KeyID{AccessKeyID: strconv.Itoa(i)})
		if i%3 == 0 && get(base) != first {
			t.Fatal("a key in use was dropped")
		}
		if n := len(c.young) + len(c.old); n > 8 {
			t.Fatalf("the cache holds %d keys", n)
		}
	}
}

func TestKeyCacheErrors(t *testing.T) {
	if _, err := NewKeyCache(0); !errs.Is(err, errs.Invalid) {
		t.Errorf("a cache of no keys: %v", err)
	}
	c, err := NewKeyCache(1)
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	if _, err := c.Key(KeyID{}, func() (sensitive.Bytes, error) { return sensitive.Bytes{}, gone }); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	if len(c.young) != 0 {
		t.Error("a failed derivation was kept")
	}
}

func TestKeyCacheConcurrent(t *testing.T) {
	c, err := NewKeyCache(8)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 300 {
				id := KeyID{AccessKeyID: strconv.Itoa((i * (g + 1)) % 20)}
				key, err := c.Key(id, func() (sensitive.Bytes, error) { return sensitive.FromString(id.AccessKeyID), nil })
				if err != nil {
					t.Error(err)
					return
				}
				want := DeriveKey(sensitive.FromString(id.AccessKeyID), "", "", "").sign(nil, []byte("m"))
				if string(key.sign(nil, []byte("m"))) != string(want) {
					t.Errorf("key of %s is another's", id.AccessKeyID)
				}
			}
		})
	}
	wg.Wait()
}
