package native

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"sync"
	"time"

	"countersign/internal/core/audit"
	"countersign/internal/core/inspect"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

func auditRows() []route {
	log := row(route{method: "GET", path: "/audit", op: policy.QueryAudit, params: []param{
		{name: "since", kind: instant}, {name: "until", kind: instant}, {name: "principal", kind: text},
		{name: "operation", kind: text}, {name: "secret", kind: text}, {name: "outcome", kind: text},
		{name: "decision", kind: text}, {name: "key", kind: text}, {name: "change", kind: text}, limit, page,
		{name: "follow", kind: boolean}}}, queryAudit)
	log.out = reflect.TypeFor[list[audit.Record]]() // when it is not followed
	return []route{
		log,
		row(route{method: "GET", path: "/audit/verify", op: policy.VerifyAudit, deadline: long},
			func(a *api, c *call, _ *none) func(context.Context) (audit.Report, error) {
				return func(ctx context.Context) (audit.Report, error) {
					out, err := a.Inspect.Verify(ctx, c.who)
					out.Keys = some(out.Keys)
					return out, err
				}
			}),
		row(route{method: "GET", path: "/decisions/{id}", op: policy.ExplainDecision, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (explanation, error) {
				return func(ctx context.Context) (explanation, error) {
					out, err := a.Inspect.Explain(ctx, c.who, c.vars[0])
					return explanation{out}, err
				}
			}),
	}
}

func queryAudit(a *api, c *call, _ *none) func(context.Context) (any, error) {
	req := inspect.QueryRequest{Since: c.time("since"), Until: c.time("until"), Principal: c.string("principal"),
		Operation: c.string("operation"), Secret: c.string("secret"), Outcome: c.string("outcome"),
		Decision: c.string("decision"), Key: c.string("key"), Change: c.string("change"),
		Limit: c.int("limit", 1, inspect.MaxLimit), Page: c.string("page")}
	if c.bool("follow") {
		for _, p := range []string{"until", "limit", "page"} {
			if _, given := c.get(p); given {
				c.fail(p, "a stream has no end and no pages")
			}
		}
		return func(ctx context.Context) (any, error) {
			ctx, end := context.WithCancel(ctx)
			if a.Draining != nil {
				context.AfterFunc(a.Draining, end)
			}
			seq, err := a.Inspect.Follow(ctx, c.who, req)
			return following{seq, end}, err
		}
	}
	return func(ctx context.Context) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, long)
		defer cancel()
		out, err := a.Inspect.Query(ctx, c.who, req)
		return listOf(out.Records, out.Next), err
	}
}

// explanation is a record with its text.
type explanation struct{ inspect.Explanation }

// MarshalJSON adds the text to the members of the record.
func (e explanation) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(e.Record)
	if err != nil {
		return nil, err
	}
	b = append(b[:len(b)-1], `,"text":`...)
	return append(appendQuoted(b, []byte(e.Text)), '}'), nil
}

// Timing of streams: how long one write may take, and how often an idle one
// shows that it lives.
const (
	writeWithin = 30 * time.Second
	aliveEvery  = 15 * time.Second
)

// following is the log as it grows: a record a line, and an empty line when
// there was none for a while.
type following struct {
	seq iter.Seq2[audit.Record, error]
	end context.CancelFunc
}

func (f following) send(ctx context.Context, w http.ResponseWriter) error {
	w.Header()["Content-Type"] = []string{"application/x-ndjson"}
	out := &lines{w: w, rc: http.NewResponseController(w)}
	ctx, stop := context.WithCancel(ctx)
	var alive sync.WaitGroup
	alive.Go(func() { out.keepAlive(ctx) })
	defer func() { f.end(); stop(); alive.Wait() }()
	err := out.line(nil) // the client knows that it has not missed what comes now
	for r, e := range f.seq {
		if err != nil {
			break
		}
		if e != nil {
			err = e
			break
		}
		b, e := json.Marshal(r)
		if e != nil {
			err = e
			break
		}
		err = out.line(b)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // so that the client sees that it is not whole
	}
	return nil
}

// lines writes lines from two goroutines.
type lines struct {
	mu sync.Mutex
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (l *lines) line(b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.rc.SetWriteDeadline(time.Now().Add(writeWithin)) // a writer that has none is none of a socket
	if _, err := l.w.Write(append(b, '\n')); err != nil {
		return errs.Wrap(errs.Canceled, err, "the client is gone")
	}
	if err := l.rc.Flush(); err != nil {
		return fmt.Errorf("flushing a line: %w", err)
	}
	return nil
}

func (l *lines) keepAlive(ctx context.Context) {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if l.line(nil) != nil {
				return // the next record will find out as well
			}
		}
	}
}
