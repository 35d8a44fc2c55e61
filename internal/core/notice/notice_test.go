package notice_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/audit"
	"countersign/internal/core/notice"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/memkv"
)

func put(t *testing.T, n notice.Notice) (notice.Notice, error) {
	t.Helper()
	db := memkv.New(memkv.Config{})
	var out notice.Notice
	_, err := db.Update(t.Context(), func(tx kv.Txn) error { return notice.Put(tx, n) })
	if err != nil {
		return out, err
	}
	err = db.View(t.Context(), func(r kv.Reader) error {
		for e, err := range record.Scan[notice.Notice](r, kv.Prefix(notice.Prefix())) {
			if err != nil {
				return err
			}
			out = e.Value
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, nil
}

func TestPut(t *testing.T) {
	n := notice.Notice{ID: audit.NewID(time.Now()), Account: "111111111111", Time: 1_700_000_000_000_000, Kind: notice.ChangeProposed,
		Change: "C", Noun: "secret", Region: "us-east-1", Name: "app/production", Operation: "PutValue", Actor: "arn", Author: "arn2", Text: "no", Reason: "because",
		Status: "pending", Keys: []string{"A", "B"}, Facts: map[string]string{"rule": "prod"}, Audience: []string{"group:approvers", "anna@example.com"}}
	got, err := put(t, n)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(n, got); diff != "" {
		t.Error(diff)
	}
	if got.When() != time.Unix(1_700_000_000, 0).UTC() {
		t.Errorf("it is of %s", got.When())
	}
}

func TestWhatIsTooLongIsCut(t *testing.T) {
	many := func(n int, s string) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("%03d%s", i, s))
		}
		return out
	}
	facts := map[string]string{}
	for _, k := range many(100, strings.Repeat("k", 500)) {
		facts[k] = strings.Repeat("v", 5000)
	}
	long := strings.Repeat("ü", 5000)
	in := notice.Notice{ID: "A", Account: "111111111111", Kind: "x.y", Change: long, Noun: long, Region: long, Name: long, Operation: long, Actor: long, Author: long, Text: long,
		Reason: long + "\xff", Status: long, Keys: many(80, long), Facts: facts, Audience: many(80, long)}
	before := slices.Clone(in.Keys)
	got, err := put(t, in)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, in.Keys) {
		t.Error("what the writer gave was altered")
	}
	if len(got.Keys) != notice.MaxKeys || got.KeysLeft != 30 || len(got.Audience) != notice.MaxAudience || len(got.Facts) != notice.MaxFacts {
		t.Errorf("%d keys and %d left, %d in the audience, %d facts", len(got.Keys), got.KeysLeft, len(got.Audience), len(got.Facts))
	}
	if n := len(got.Reason); n < notice.MaxText-3 || n > notice.MaxText || !strings.HasSuffix(got.Reason, "…") || !utf8.ValidString(got.Reason) {
		t.Errorf("the reason has %d bytes", n)
	}
	b, err := record.Encode(got)
	if err != nil || len(b) > kv.MaxBytes/25 {
		t.Errorf("it takes %d bytes, %v: 25 copies do not fit into a transaction", len(b), err)
	}
}

func TestWhatIsNoNotice(t *testing.T) {
	good := notice.Notice{ID: "A1", Account: "111111111111", Kind: notice.ChangeApplied}
	for name, alter := range map[string]func(n *notice.Notice){
		"no-id":       func(n *notice.Notice) { n.ID = "" },
		"id-line":     func(n *notice.Notice) { n.ID = "A\n" },
		"id-long":     func(n *notice.Notice) { n.ID = strings.Repeat("A", 65) },
		"no-account":  func(n *notice.Notice) { n.Account = "" },
		"sys":         func(n *notice.Notice) { n.Account = "sys" },
		"no-kind":     func(n *notice.Notice) { n.Kind = "" },
		"kind-spaced": func(n *notice.Notice) { n.Kind = "change. applied" },
	} {
		t.Run(name, func(t *testing.T) {
			n := good
			alter(&n)
			if _, err := put(t, n); !errs.Is(err, errs.Internal) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := put(t, good); err != nil {
		t.Error(err)
	}
}

func TestKinds(t *testing.T) {
	for _, k := range append(notice.Kinds(), notice.Test) {
		if !k.Valid() {
			t.Errorf("kind %q", k)
		}
	}
}

// Nobody can put a value into a notice: it has no field of bytes.
func TestNoRoomForValues(t *testing.T) {
	typ := reflect.TypeFor[notice.Notice]()
	for i := range typ.NumField() {
		switch f := typ.Field(i); f.Type.Kind() {
		case reflect.String, reflect.Int, reflect.Int64:
		case reflect.Slice, reflect.Map:
			if f.Type.Elem().Kind() != reflect.String {
				t.Errorf("field %s is a %s", f.Name, f.Type)
			}
		default:
			t.Errorf("field %s is a %s", f.Name, f.Type)
		}
	}
}
