package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"time"
)

// Record is one entry of the audit log.
type Record struct {
	Seq         uint64        `json:"seq"`
	ID          string        `json:"id"`
	Time        time.Time     `json:"time"`
	Duration    time.Duration `json:"duration_ns,omitempty"`
	RequestID   string        `json:"request_id,omitempty"`
	Account     string        `json:"account,omitempty"`
	Principal   Principal     `json:"principal,omitzero"`
	Front       string        `json:"front,omitempty"`
	Operation   string        `json:"operation,omitempty"`
	Resource    string        `json:"resource,omitempty"`
	Region      string        `json:"region,omitempty"`
	Version     uint64        `json:"version,omitempty"`
	Keys        []string      `json:"keys,omitempty"`
	KeysOmitted uint64        `json:"keys_omitted,omitempty"`
	Change      string        `json:"change,omitempty"`
	Source      string        `json:"source,omitempty"`
	Agent       string        `json:"agent,omitempty"`
	Outcome     string        `json:"outcome,omitempty"` // ok, denied, refused, failed
	Error       string        `json:"error,omitempty"`
	Decision    *Decision     `json:"decision,omitempty"`
}

// Principal is who did what a record says.
type Principal struct {
	Kind    string `json:"kind,omitempty"`
	Name    string `json:"name,omitempty"`
	KeyID   string `json:"key_id,omitempty"`
	Proof   string `json:"proof,omitempty"`
	Account string `json:"account,omitempty"`
}

// Decision is how policy decided.
type Decision struct {
	ID        string   `json:"id,omitempty"`
	Effect    string   `json:"effect"` // allow, explicit-deny, no-match
	Action    string   `json:"action,omitempty"`
	Resource  string   `json:"resource,omitempty"`
	Policy    string   `json:"policy,omitempty"`
	Statement string   `json:"statement,omitempty"`
	Missing   []string `json:"missing,omitempty"`
}

// AuditQuery selects records; an empty member asks for nothing.
type AuditQuery struct {
	Since, Until time.Time
	Principal    string
	Operation    string
	Secret       string
	Outcome      string
	Decision     string
	Key          string // id of the access key
	Change       string // id of the change
	Limit        int
	Page         string
}

func (a AuditQuery) values() []string {
	return []string{"since", stamp(a.Since), "until", stamp(a.Until), "principal", a.Principal, "operation", a.Operation,
		"secret", a.Secret, "outcome", a.Outcome, "decision", a.Decision, "key", a.Key, "change", a.Change}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// QueryAudit returns one page of records, newest first.
func (c *Client) QueryAudit(ctx context.Context, a AuditQuery) (Page[Record], error) {
	v := q(append(a.values(), "limit", number(a.Limit), "page", a.Page)...)
	var out Page[Record]
	return out, c.call(ctx, request{method: "GET", path: "/audit", query: v}, &out)
}

// maxRecordLine bounds one line of the stream: the log's own lines are at most
// half of it.
const maxRecordLine = 1 << 20

// FollowAudit opens a stream of the records to come and yields them until ctx
// ends, the server closes it (then the sequence ends), or the consumer stops.
// The stream is open when FollowAudit returns, so that what is queried after it
// and what is followed together miss nothing. The sequence is used once.
func (c *Client) FollowAudit(ctx context.Context, a AuditQuery) (iter.Seq2[Record, error], error) {
	v := q(append(a.values(), "follow", "true")...)
	ctx, cancel := context.WithCancel(ctx)
	res, err := c.send(ctx, request{method: "GET", path: "/audit", query: v, accept: "application/x-ndjson, application/json"})
	if err != nil {
		cancel()
		return nil, err
	}
	return func(yield func(Record, error) bool) {
		defer cancel()
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, maxRecordLine)
		for lines.Scan() {
			if len(lines.Bytes()) == 0 {
				continue // kept alive
			}
			var r Record
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				yield(Record{}, fmt.Errorf("decoding audit record: %w", err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Record{}, c.cut(ctx, "the stream of records", err))
		}
	}, nil
}

// Explain returns the record of a decision by its id.
func (c *Client) Explain(ctx context.Context, id string) (Record, error) {
	var out Record
	return out, c.call(ctx, request{method: "GET", path: "/decisions/" + segment(id)}, &out)
}

// AuditReport is what a verification of the log found. Without a Problem the
// log is whole.
type AuditReport struct {
	Log         string        `json:"log"`
	Segments    int           `json:"segments"`
	Records     uint64        `json:"records"`
	Checkpoints uint64        `json:"checkpoints"`
	First       uint64        `json:"first"`
	Last        uint64        `json:"last"`
	Signed      uint64        `json:"signed"` // last record under a signature
	Unsigned    uint64        `json:"unsigned"`
	FirstTime   time.Time     `json:"first_time,omitzero"`
	LastTime    time.Time     `json:"last_time,omitzero"`
	Keys        []string      `json:"keys"`
	Head        AuditHead     `json:"head"` // to be kept elsewhere
	Problem     *AuditProblem `json:"problem,omitempty"`
}

// AuditHead is a signed place in the log.
type AuditHead struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

// AuditProblem is the first thing that is wrong with the log.
type AuditProblem struct {
	Kind    string `json:"kind"`
	Segment string `json:"segment,omitempty"`
	Line    int    `json:"line,omitempty"`
	Seq     uint64 `json:"seq"` // last record before it that is good
	Text    string `json:"text"`
}

// VerifyAudit has the server verify its own log. Verifying the files offline
// proves more, since it does not ask the one who is checked.
func (c *Client) VerifyAudit(ctx context.Context) (AuditReport, error) {
	long := *c
	long.timeout = max(c.timeout, 10*time.Minute)
	var out AuditReport
	return out, long.call(ctx, request{method: "GET", path: "/audit/verify"}, &out)
}

// Backup asks for a backup and copies it to w as it arrives. With recipients
// (age1…) it is encrypted to them. An error means that what was written is not
// a whole backup.
func (c *Client) Backup(ctx context.Context, recipients []string, w io.Writer) (int64, error) {
	body := struct {
		Recipients []string `json:"recipients,omitempty"`
	}{recipients}
	res, err := c.send(ctx, request{method: "POST", path: "/backup", body: body, accept: "application/octet-stream, application/json"})
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	n, err := io.Copy(w, res.Body)
	if err != nil {
		return n, c.cut(ctx, "the backup", err)
	}
	return n, nil
}
