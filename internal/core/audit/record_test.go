package audit

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"countersign/internal/caller"

	"github.com/google/go-cmp/cmp"
)

// full is a record with every member set.
func full() Record {
	return Record{
		Seq: 42, ID: "01HZX0000000000000000000AB", Time: epoch.Add(123456789), Duration: 1500 * time.Microsecond,
		RequestID: "req-1", Account: "000000000001",
		Principal: Principal{Kind: "machine", Name: "ci", KeyID: "AKIA", Proof: "sigv4", Account: "000000000002"},
		Front:     "native", Operation: "WriteValue", Resource: "/prod/db", Region: "eu-1", Version: 7,
		Keys: []string{"user", "", "pass\nword"}, KeysOmitted: 3, Change: "c-1", Source: "2001:db8::1", Agent: "curl/8 \"x\"",
		Outcome: Denied, Error: "denied/policy",
		Decision: &Decision{ID: "D1", Effect: "no-match", Action: "secretsmanager:PutSecretValue", Resource: "arn:aws:x",
			Policy: "p", Statement: "#1", Missing: []string{"a statement that allows it"}},
	}
}

// line is a record's line up to the chain.
func line(r *Record) []byte {
	b, _ := r.MarshalJSON()
	return b[:len(b)-1]
}

func TestSchema(t *testing.T) {
	r := full()
	want := `{"seq":42,"id":"01HZX0000000000000000000AB","time":"2026-03-01T12:00:00.123456789Z","duration_ns":1500000,` +
		`"request_id":"req-1","account":"000000000001","principal":{"kind":"machine","name":"ci","key_id":"AKIA",` +
		`"proof":"sigv4","account":"000000000002"},"front":"native","operation":"WriteValue","resource":"/prod/db",` +
		`"region":"eu-1","version":7,"keys":["user","","pass\u000aword"],"keys_omitted":3,"change":"c-1",` +
		`"source":"2001:db8::1","agent":"curl/8 \"x\"","outcome":"denied","error":"denied/policy","decision":{"id":"D1",` +
		`"effect":"no-match","action":"secretsmanager:PutSecretValue","resource":"arn:aws:x","policy":"p",` +
		`"statement":"#1","missing":["a statement that allows it"]}`
	if diff := cmp.Diff(want, string(line(&r))); diff != "" {
		t.Error(diff)
	}
	empty := Record{Seq: 1}
	if got := string(line(&empty)); got != `{"seq":1,"id":"","time":"0001-01-01T00:00:00.000000000Z"` {
		t.Error(got)
	}
}

func TestRoundTrip(t *testing.T) {
	tests := map[string]Record{
		"full": full(), "empty": {Seq: 1}, "empty-decision": {Seq: 1, Decision: &Decision{}},
		"only-missing":   {Seq: 1, Decision: &Decision{Missing: []string{"x", ""}}},
		"only-proof":     {Seq: 1, Principal: Principal{Proof: "sigv4"}},
		"escapes":        {Seq: 1, Agent: "\x00\x1b[31m\"\\/\x7f\u0085\u2028\u2029\u202e\U000e0001é世😀"},
		"last-year":      {Seq: 1, Time: time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)},
		"largest-number": {Seq: 1<<64 - 1, Version: 1<<64 - 1},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := decodeRecord(line(&want))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			var api Record
			b, err := json.MarshalIndent(want, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &api); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, api); diff != "" {
				t.Errorf("as JSON: %s", diff)
			}
		})
	}
}

func TestNormalization(t *testing.T) {
	many := make([]string, maxKeys+10)
	for i := range many {
		many[i] = "k"
	}
	tests := []struct {
		name     string
		in, want Record
	}{
		{"invalid-utf8", Record{Agent: "a\xffb\xc3"}, Record{Agent: "a\ufffdb\ufffd"}},
		{"agent-cut", Record{Agent: strings.Repeat("a", 300)}, Record{Agent: strings.Repeat("a", 256)}},
		{"cut-between-characters", Record{Agent: strings.Repeat("a", 255) + "é"}, Record{Agent: strings.Repeat("a", 255)}},
		{"cut-after-replacing", Record{Agent: strings.Repeat("\xff", 100)}, Record{Agent: strings.Repeat("\ufffd", 85)}},
		{"resource-cut", Record{Resource: strings.Repeat("r", 5000)}, Record{Resource: strings.Repeat("r", 2048)}},
		{"many-keys", Record{Keys: many, KeysOmitted: 1}, Record{Keys: many[:maxKeys], KeysOmitted: 11}},
		{"large-keys", Record{Keys: slices.Repeat([]string{strings.Repeat("x", 1000)}, 200)},
			Record{Keys: slices.Repeat([]string{strings.Repeat("x", 256)}, 128), KeysOmitted: 72}},
		{"many-missing", Record{Decision: &Decision{Missing: many}}, Record{Decision: &Decision{Missing: many[:maxMissings]}}},
		{"zone", Record{Time: epoch.In(time.FixedZone("x", 3600))}, Record{Time: epoch}},
		{"year-out-of-range", Record{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, Record{}},
		{"negative-duration", Record{Duration: -1}, Record{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Seq, tt.want.Seq = 1, 1
			got, err := decodeRecord(line(&tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestLargestRecord holds a line under maxLine, whatever is in the record.
func TestLargestRecord(t *testing.T) {
	big := strings.Repeat("\x01", 1<<17)
	p := Principal{big, big, big, big, big}
	list := slices.Repeat([]string{big}, 1000)
	r := Record{Seq: 1<<64 - 1, ID: big, RequestID: big, Account: big, Principal: p, Front: big, Operation: big, Resource: big,
		Region: big, Version: 1<<64 - 1, Keys: list, Change: big, Source: big, Agent: big, Outcome: Outcome(big), Error: big,
		Decision: &Decision{big, big, big, big, big, big, list}}
	if n := len(line(&r)) + chainLen + 1; n > maxLine {
		t.Errorf("a line of %d bytes", n)
	}
}

func TestNoInjection(t *testing.T) {
	for r := range rune(utf8.MaxRune + 1) {
		if !utf8.ValidRune(r) {
			continue
		}
		got := string(appendText(nil, string(r), maxText))
		if strings.ContainsAny(got, "\n\r\x1b\x7f\u0085\u009b\u2028\u2029\u202e\u2066") {
			t.Fatalf("%U is written as it is", r)
		}
		var back string
		if err := json.Unmarshal([]byte(`"`+got+`"`), &back); err != nil || back != string(r) {
			t.Fatalf("%U is written as %q, which reads as %q: %v", r, got, back, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	const head = `{"seq":1,"id":"","time":"2026-03-01T12:00:00.000000000Z"`
	for name, in := range map[string]string{
		"empty": "", "no-seq": `{"id":""`, "zero-seq": strings.Replace(head, ":1,", ":0,", 1),
		"leading-zero": strings.Replace(head, ":1,", ":01,", 1), "large-seq": strings.Replace(head, ":1,", ":99999999999999999999,", 1),
		"space": strings.Replace(head, ",", ", ", 1), "short-time": strings.Replace(head, ".000000000Z", "Z", 1),
		"no-such-day": strings.Replace(head, "03-01", "02-30", 1), "zone": strings.Replace(head, "00Z", "00+", 1),
		"order": head + `,"operation":"a","front":"b"`, "twice": head + `,"front":"a","front":"b"`, "unknown": head + `,"x":"a"`,
		"empty-member": head + `,"front":""`, "zero-number": head + `,"version":0`, "empty-principal": head + `,"principal":{}`,
		"other-escape": head + `,"front":"\u0041"`, "slash": head + `,"front":"\/"`, "newline-escape": head + `,"front":"\n"`,
		"upper-hex": head + `,"front":"\u001B"`, "raw-control": head + ",\"front\":\"\x1b\"", "raw-separator": head + ",\"front\":\"\u2028\"",
		"invalid-utf8": head + ",\"front\":\"\xff\"", "lone-surrogate": head + `,"front":"\ud800"`, "half-escape": head + `,"front":"\u00`,
		"open-string": head + `,"front":"a`, "open-escape": head + `,"front":"a\`, "long": head + `,"front":"` + strings.Repeat("a", 257) + `"`,
		"open-list": head + `,"keys":["a"`, "empty-list": head + `,"keys":[]`, "trailing": head + `}`,
		"open-decision": head + `,"decision":{"id":"a"`, "long-duration": head + `,"duration_ns":9223372036854775808`,
		"decision-comma": head + `,"decision":{,"id":"a"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := decodeRecord([]byte(in)); err == nil {
				t.Errorf("%s gave %+v", in, r)
			}
		})
	}
}

// FuzzDecode: a line that is accepted is exactly what its record is written
// as, so no two lines mean the same and none means two things.
func FuzzDecode(f *testing.F) {
	r := full()
	f.Add(line(&r))
	f.Add(line(&Record{Seq: 1, Agent: "\u2028\U000e0001", Decision: &Decision{}}))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := decodeRecord(in)
		if err != nil {
			return
		}
		if got := line(&r); string(got) != string(in) {
			t.Errorf("%q is accepted and written as %q", in, got)
		}
		if !json.Valid(append(in, '}')) {
			t.Errorf("%q is accepted and is not JSON", in)
		}
	})
}

// FuzzEncode: whatever is in a record, its line decodes, to a record that is
// written the same.
func FuzzEncode(f *testing.F) {
	f.Add("name", "agent\xff", int64(1), int64(5), uint64(3), true)
	f.Fuzz(func(t *testing.T, name, text string, sec, dur int64, n uint64, decided bool) {
		r := Record{Seq: n | 1, ID: name, Time: time.Unix(sec, dur), Duration: time.Duration(dur), Agent: text, Resource: name,
			Keys: []string{text, name}, Version: n, Principal: Principal{Name: text}}
		if decided {
			r.Decision = &Decision{Missing: []string{name, text}, Policy: text}
		}
		in := line(&r)
		got, err := decodeRecord(in)
		if err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		if again := line(&got); string(again) != string(in) {
			t.Errorf("%q became %q", in, again)
		}
		var std map[string]any
		if err := json.Unmarshal(append(in, '}'), &std); err != nil || std["id"] != got.ID {
			t.Errorf("%q reads as %v: %v", in, std, err)
		}
	})
}

// FuzzUnseal: a control line that is accepted has one spelling.
func FuzzUnseal(f *testing.F) {
	b, err := seal(kindCheckpoint, "log", checkpoint{Head: Head{Seq: 1}, Time: epoch, Key: "k"}, testKey("test"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, in []byte) {
		var c checkpoint
		s, err := unseal(kindCheckpoint, in, &c)
		if err != nil {
			return
		}
		inner, err := json.Marshal(c)
		if err != nil || string(s.signed) != `{"checkpoint":`+string(inner[:len(inner)-1]) {
			t.Errorf("%q is accepted and written as %s, %v", in, inner, err)
		}
	})
}

func TestIDs(t *testing.T) {
	at := epoch
	var ids []string
	for range 1000 {
		id := NewID(at)
		if got, err := ParseIDTime(id); err != nil || !got.Equal(at) {
			t.Fatalf("%s: %v, %v", id, got, err)
		}
		ids = append(ids, id)
		at = at.Add(time.Millisecond)
	}
	if !slices.IsSorted(ids) {
		t.Error("not in the order of time")
	}
	if a, b := NewID(epoch), NewID(epoch); a == b {
		t.Error("not unique")
	}
	if got := NewID(time.Unix(-5, 0)); got[:10] != "0000000000" {
		t.Errorf("before 1970: %s", got)
	}
	for _, bad := range []string{"", "01", strings.Repeat("Z", 26), strings.Repeat("0", 27), "0000000000000000000000000U",
		"0000000000000000000000000a", "é000000000000000000000000"} {
		if got, err := ParseIDTime(bad); err == nil {
			t.Errorf("%q gave %v", bad, got)
		}
	}
}

func TestFromCaller(t *testing.T) {
	who := caller.Caller{Account: "000000000001", Kind: caller.User, Name: "alice", KeyID: "AKIA", Proof: caller.ProofSigV4,
		Front: "native", Region: "eu-1", RequestID: "r", Source: netip.MustParseAddr("192.0.2.1"), Agent: "a", Time: epoch}
	got := FromCaller(who, "ReadValue")
	want := Record{ID: got.ID, Time: epoch, RequestID: "r", Account: "000000000001",
		Principal: Principal{Kind: "user", Name: "alice", KeyID: "AKIA", Proof: "sigv4"},
		Front:     "native", Operation: "ReadValue", Region: "eu-1", Source: "192.0.2.1", Agent: "a"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if at, err := ParseIDTime(got.ID); err != nil || !at.Equal(epoch) {
		t.Errorf("the id is of %v, %v", at, err)
	}
	if got := FromCaller(caller.Caller{}, "X"); got.Time.IsZero() || got.Source != "" {
		t.Errorf("of nobody: %+v", got)
	}
}
