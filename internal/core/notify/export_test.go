package notify

import (
	"context"
	"encoding/json"
	"time"

	"countersign/internal/core/notice"
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// FillQueue makes a target's queue say that so many wait.
func FillQueue(tx kv.Txn, account, name string, n uint64) error {
	p := place{account, name}
	q, _, err := record.Get[queue](tx, p.queueKey())
	if err != nil {
		return err
	}
	q.Waiting = n
	return record.Put(tx, p.queueKey(), q)
}

// Bury makes a dead letter.
func Bury(tx kv.Txn, account, target, id string, died time.Time) error {
	return bury(tx, account, letter{Target: target, Type: Webhook, Died: died.UnixMicro(), Delivery: delivery{ID: id, Notice: notice.Notice{ID: id, Account: account, Kind: notice.ChangeApplied}}})
}

// FanOut empties the outbox and delivers nothing.
func (s *Service) FanOut(ctx context.Context) error { return s.fanOutAll(ctx) }

// Format is a notice in the format of a type.
func (s *Service) Format(t Type, n notice.Notice) ([]byte, Mail) {
	d := &delivery{ID: "D", Notice: n, To: []string{"a@example.com"}}
	var v any
	switch t {
	case Slack:
		v = s.slack(&n)
	case Teams:
		v = s.teams(&n)
	case Webhook:
		v = s.webhook(d)
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b, s.message(d)
}

// Line and Prose clean text.
var (
	Line    = line
	Prose   = prose
	Escape  = escape
	Address = address
)
