package record_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/memkv"
)

type old struct {
	Name string `cbor:"1,keyasint"`
}

type rec struct {
	Name  string            `cbor:"1,keyasint"`
	Bytes []byte            `cbor:"2,keyasint,omitempty"`
	List  []string          `cbor:"3,keyasint,omitempty"`
	Map   map[string][]byte `cbor:"4,keyasint,omitempty"`
	Time  time.Time         `cbor:"5,keyasint,omitzero"`
	Sub   *rec              `cbor:"6,keyasint,omitempty"`
}

func full() rec {
	return rec{Name: "n", Bytes: []byte("bytes"), List: []string{"a", "b"}, Map: map[string][]byte{"k": []byte("v"), "j": []byte("w")},
		Time: time.Unix(1_700_000_000, 123_456_789).UTC(), Sub: &rec{Name: "sub"}}
}

// memkv overwrites what it handed out when a transaction ends: nothing of it may
// live on in a record.
func TestRecordOutlivesItsTransaction(t *testing.T) {
	db, key := memkv.New(memkv.Config{}), kv.K("acct", "kind", "name")
	if _, err := db.Update(t.Context(), func(tx kv.Txn) error { return record.Put(tx, key, full()) }); err != nil {
		t.Fatal(err)
	}
	var got []rec
	err := db.View(t.Context(), func(r kv.Reader) error {
		got = nil
		v, ok, err := record.Get[rec](r, key)
		if err != nil || !ok {
			t.Errorf("got %v, %v", ok, err)
		}
		got = append(got, v)
		if _, ok, err := record.Get[rec](r, kv.K("acct", "none")); ok || err != nil {
			t.Errorf("what is absent: %v, %v", ok, err)
		}
		for e, err := range record.Scan[rec](r, kv.Range{}) {
			if err != nil || !bytes.Equal(e.Key, key) {
				t.Errorf("scanned %q, %v", e.Key, err)
			}
			got = append(got, e.Value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]rec{full(), full()}, got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
		t.Error(diff)
	}
}

func TestReleasesReadEachOther(t *testing.T) {
	b, err := record.Encode(full())
	if err != nil {
		t.Fatal(err)
	}
	var o old
	if err := record.Decode(b, &o); err != nil || o.Name != "n" {
		t.Errorf("a newer record: %+v, %v", o, err)
	}
	if b, err = record.Encode(old{"x"}); err != nil {
		t.Fatal(err)
	}
	var n rec
	if err := record.Decode(b, &n); err != nil || n.Name != "x" || n.List != nil {
		t.Errorf("an older record: %+v, %v", n, err)
	}
}

func TestWhatIsNoRecord(t *testing.T) {
	good, err := record.Encode(full())
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"nothing":          {},
		"cut":              good[:len(good)-1],
		"trailing":         append(bytes.Clone(good), 0),
		"key-twice":        {0xa2, 1, 0x61, 'a', 1, 0x61, 'b'},
		"indefinite":       {0xbf, 1, 0x61, 'a', 0xff},
		"tagged":           {0xc1, 0xa1, 1, 0x61, 'a'},
		"of-another-shape": {0x01},
		"text-not-utf8":    {0xa1, 1, 0x61, 0xff},
		"nested-too-deep":  append(bytes.Repeat([]byte{0x81}, 40), 0),
		"length-of-a-lie":  {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			var r rec
			if err := record.Decode(b, &r); !errs.Is(err, errs.Internal) {
				t.Errorf("decoded %+v, %v", r, err)
			}
		})
	}
	if _, err := record.Encode(func() {}); err == nil {
		t.Error("a function was encoded")
	}
}

// broken is a reader that fails.
type broken struct{ kv.Reader }

var errBroken = errors.New("broken")

func (broken) Get([]byte) ([]byte, error) { return nil, errBroken }

func TestGetKeepsTheCause(t *testing.T) {
	if _, _, err := record.Get[rec](broken{}, kv.K("x")); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	b, err := record.Encode(full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0xa2, 1, 0x61, 'a', 1, 0x61, 'b'})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r rec
		if record.Decode(b, &r) != nil {
			return
		}
		again, err := record.Encode(r)
		if err != nil {
			t.Skip() // a time that cannot be written
		}
		var s rec
		if err := record.Decode(again, &s); err != nil {
			t.Fatalf("what was encoded does not decode: %v", err)
		}
		twice, err := record.Encode(s)
		if err != nil || !bytes.Equal(again, twice) {
			t.Errorf("%x and then %x, %v", again, twice, err)
		}
	})
}

// own is a record that reads itself.
type own struct {
	Name  string   `cbor:"1,keyasint"`
	Count uint64   `cbor:"2,keyasint,omitempty"`
	When  int64    `cbor:"3,keyasint,omitempty"`
	On    bool     `cbor:"4,keyasint,omitempty"`
	Raw   []byte   `cbor:"5,keyasint,omitempty"`
	List  []string `cbor:"6,keyasint,omitempty"`
	Late  string   `cbor:"7,keyasint,omitempty"` // which Member does not know
}

func (o *own) Member(key uint64, s *record.Source) {
	switch key {
	case 1:
		o.Name = s.String()
	case 2:
		o.Count = s.Uint()
	case 3:
		o.When = s.Int()
	case 4:
		o.On = s.True()
	case 5:
		o.Raw = s.Bytes()
	case 6:
		o.List = make([]string, s.Len())
		for i := range o.List {
			o.List[i] = s.String()
		}
	default:
		s.Fail()
	}
}

func TestRecordReadsItself(t *testing.T) {
	db, key := memkv.New(memkv.Config{}), kv.K("acct", "kind", "name")
	for name, want := range map[string]own{
		"small":      {Name: "n"},
		"all":        {Name: "n", Count: 1 << 63, When: 1 << 40, On: true, Raw: []byte("raw"), List: []string{"a", "b"}},
		"negative":   {Name: "n", When: -1},
		"not-known":  {Name: "n", Count: 256, Late: "later"},
		"long-texts": {Name: string(bytes.Repeat([]byte("n"), 70000)), Raw: make([]byte, 300)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := db.Update(t.Context(), func(tx kv.Txn) error { return record.Put(tx, key, want) }); err != nil {
				t.Fatal(err)
			}
			var got own
			err := db.View(t.Context(), func(r kv.Reader) error {
				got = own{}
				ok, err := record.Load(r, key, &got)
				if !ok {
					t.Error("there is none")
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" { // after the transaction: nothing of it is kept
				t.Error(diff)
			}
		})
	}
}
