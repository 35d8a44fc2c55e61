package records_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/audit/records"
	"countersign/internal/cli/streams"
	"countersign/internal/client"
)

func TestResolve(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	f := records.Filter{Since: "1h", Until: "2026-11-23T07:30:00Z", Query: client.AuditQuery{Principal: "p", Outcome: "denied"}}
	got, err := f.Resolve(now)
	if err != nil {
		t.Fatal(err)
	}
	want := client.AuditQuery{Since: now.Add(-time.Hour), Until: now.Add(-30 * time.Minute), Principal: "p", Outcome: "denied"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestForPeople shows the columns, and that nothing in a record reaches the
// terminal as it is when it could move the cursor.
func TestForPeople(t *testing.T) {
	var b bytes.Buffer
	p := records.Printer{Streams: &streams.Streams{Out: &b, OutTerminal: true}}
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.Local)
	for _, r := range []client.Record{
		{Time: at, Principal: client.Principal{Name: "alice"}, Operation: "ReadValue", Resource: "myapp/database", Version: 3, Outcome: "ok", Source: "10.0.0.9", Front: "native"},
		{Time: at, Operation: "ReadValue", Resource: "x\x1b[2Jy", Outcome: "denied", Error: "denied", Decision: &client.Decision{ID: "D1"}, Front: "aws"},
		{Time: at, Principal: client.Principal{Name: "bob", Account: "222222222222"}, Operation: "PutValue", Resource: "a", Outcome: "refused", Error: "conflict", Keys: []string{"k", "l"}, Front: "native"},
	} {
		if err := p.Print(r); err != nil {
			t.Fatal(err)
		}
	}
	want := `TIME                 PRINCIPAL         OPERATION           RESOURCE                          VER   OUTCOME   DETAIL
2026-11-23 08:00:00  alice             ReadValue           myapp/database                    3     ok        from 10.0.0.9 native
2026-11-23 08:00:00  -                 ReadValue           x\x1b[2Jy                               denied    decision D1; from aws
2026-11-23 08:00:00  222222222222/bob  PutValue            a                                       refused   conflict; keys k,l; from native
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}
