package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// Codes of errors.
const (
	CodeTarget  = "notify-target" // NotFound: there is no such target
	CodeLetter  = "dead-letter"   // NotFound: there is no such dead letter
	CodeNoSMTP  = "no-smtp"       // Precondition: the server cannot send mail
	CodeMistype = "target-type"   // Precondition: the target is of another type
)

// Bounds of a signing key, in bytes.
const (
	minKey = 16
	maxKey = 256
)

// edit is one write. do may run twice.
type edit struct {
	op       policy.Op
	target   change.Target
	resource string
	do       func(tx *change.Tx) error
}

func (e *edit) Target() change.Target { return e.target }
func (e *edit) Operation() policy.Op  { return e.op }
func (e *edit) Apply(tx *change.Tx) error {
	return e.do(tx)
}

func (e *edit) Allow(a *gate.Access) error {
	return a.Allow(&policy.Request{Op: e.op, Resource: e.resource, Account: e.target.Account}, nil)
}

// submit runs a write on a target of the caller's account.
func (s *Service) submit(ctx context.Context, who caller.Caller, op policy.Op, n, reason string, do func(tx *change.Tx) error) error {
	if err := name.Principal("name", n); err != nil {
		rec := gate.NewRecord(who, op, "")
		return s.Gate.Finish(ctx, &rec, err)
	}
	_, err := s.Changes.Submit(ctx, who, change.Request{Reason: reason, Edit: &edit{op: op, resource: policy.NotifyTargetARN(who.Account, n), do: do,
		target: change.Target{Account: who.Account, Noun: "notify-target", Name: n}}})
	return err
}

// PutRequest creates or changes a target. What is nil or empty stays as it was;
// of a new target, URL is required unless it is of type email, which has To
// instead.
type PutRequest struct {
	Name  string
	Type  Type // of one that is there: empty, or what it is
	Kinds *[]string
	Names *[]string
	URL   sensitive.Bytes
	// Secret signs, for webhooks; another one than before takes its place as if
	// Rotate were given. Empty: the server makes one when there is none.
	Secret sensitive.Bytes
	Rotate bool // make a new key, or take Secret; the one before signs too, for Overlap
	To     *[]string
	Reason string
}

// PutResult is the target as it is now.
type PutResult struct {
	Target
	// Secret is the signing key when the server made it. It is not shown again.
	Secret sensitive.Bytes
}

// Put creates or changes a target. What is on its way to it already is delivered
// by what the target is then.
func (s *Service) Put(ctx context.Context, who caller.Caller, req PutRequest) (PutResult, error) {
	var out PutResult
	fresh := newKey()
	err := s.submit(ctx, who, policy.PutNotifyTarget, req.Name, req.Reason, func(tx *change.Tx) error {
		out = PutResult{}
		t, err := getTarget(tx, who.Account, req.Name)
		if err != nil {
			return err
		}
		if t == nil {
			if t, err = s.makeTarget(tx, who, req); err != nil {
				return err
			}
		}
		if err := s.alter(t, req, fresh, tx, &out); err != nil {
			return err
		}
		t.Changed, t.By = tx.Now.UnixMicro(), tx.Who.ARN()
		if err := record.Put(tx, targetKey(who.Account, req.Name), t); err != nil {
			return err
		}
		q, _, err := record.Get[queue](tx, place{who.Account, req.Name}.queueKey())
		out.Target = show(named{req.Name, *t}, q, tx.Now)
		return err
	})
	if err != nil {
		return PutResult{}, err
	}
	return out, nil
}

func newKey() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return []byte("whsec_" + base64.RawURLEncoding.EncodeToString(b))
}

// makeTarget begins a target that is not there.
func (s *Service) makeTarget(tx *change.Tx, who caller.Caller, req PutRequest) (*target, error) {
	list, err := targets(tx, who.Account)
	switch {
	case err != nil:
		return nil, err
	case len(list) >= MaxTargets:
		return nil, errs.New(errs.Limit, "an account has at most %d targets", MaxTargets)
	case req.Type == "":
		return nil, errs.InvalidField("type", "there is no target of that name; for a new one say whether it is a webhook, slack, teams or email")
	}
	return &target{Type: req.Type, Made: tx.Now.UnixMicro()}, nil
}

// alter applies a request to a target and checks what comes of it.
func (s *Service) alter(t *target, req PutRequest, fresh []byte, tx *change.Tx, out *PutResult) error {
	if req.Type != "" && req.Type != t.Type {
		return errs.Coded(errs.Precondition, CodeMistype, "the target is of type %s; delete it first", t.Type)
	}
	if req.Kinds != nil {
		t.Kinds = *req.Kinds
	}
	if req.Names != nil {
		t.Names = *req.Names
	}
	if err := checkFilters(t.Kinds, t.Names); err != nil {
		return err
	}
	if t.Type != Webhook && (req.Secret.Len() > 0 || req.Rotate) {
		return errs.InvalidField("secret", "only webhooks are signed")
	}
	switch t.Type {
	case Email:
		return s.alterMail(t, req)
	case Webhook:
		if err := alterKeys(t, req, fresh, tx.Now, out); err != nil {
			return err
		}
	case Slack, Teams:
	default:
		return errs.InvalidField("type", "a target is a webhook, slack, teams or email")
	}
	if req.To != nil {
		return errs.InvalidField("to", "only targets of type email have recipients")
	}
	if req.URL.Len() > 0 {
		t.URL = bytes.Clone(req.URL.Reveal())
		if err := s.Poster.Check(string(t.URL)); err != nil {
			return err
		}
	}
	if len(t.URL) == 0 {
		return errs.InvalidField("url", "a new target needs a URL")
	}
	return nil
}

func (s *Service) alterMail(t *target, req PutRequest) error {
	switch {
	case req.URL.Len() > 0:
		return errs.InvalidField("url", "a target of type email has recipients and no URL")
	case s.Mailer == nil:
		return errs.Coded(errs.Precondition, CodeNoSMTP, "the server has no smtp in its configuration")
	}
	if req.To != nil {
		t.To = *req.To
	}
	return checkRecipients(t.To)
}

// alterKeys adds a signing key when there is none, or when it is rotated.
func alterKeys(t *target, req PutRequest, fresh []byte, now time.Time, out *PutResult) error {
	given := req.Secret.Reveal()
	if len(given) > 0 && (len(given) < minKey || len(given) > maxKey) {
		return errs.InvalidField("secret", "a signing key has %d to %d bytes", minKey, maxKey)
	}
	if len(t.Keys) > 0 {
		same := len(given) > 0 && req.Secret.Equal(sensitive.New(t.Keys[0].Secret))
		if same || len(given) == 0 && !req.Rotate {
			return nil
		}
		t.Keys = t.Keys[:1] // of older ones none is left: two sign at most
		t.Keys[0].Until = now.Add(Overlap).UnixMicro()
	}
	k := key{Secret: bytes.Clone(given), Made: now.UnixMicro()}
	if len(given) == 0 {
		k.Secret, out.Secret = fresh, sensitive.New(bytes.Clone(fresh))
	}
	t.Keys = append([]key{k}, t.Keys...)
	return nil
}

// Delete removes a target. What is on its way to it is dropped; its dead letters
// stay.
func (s *Service) Delete(ctx context.Context, who caller.Caller, n, reason string) error {
	err := s.submit(ctx, who, policy.DeleteNotifyTarget, n, reason, func(tx *change.Tx) error {
		t, err := getTarget(tx, who.Account, n)
		if err != nil {
			return err
		}
		if t == nil {
			return noTarget()
		}
		if err := tx.Delete(targetKey(who.Account, n)); err != nil {
			return err
		}
		p := place{who.Account, n}
		q, _, err := record.Get[queue](tx, p.queueKey())
		if err != nil {
			return err
		}
		if q.Waiting == 0 {
			return tx.Delete(p.queueKey())
		}
		if now := tx.Now.UnixMicro(); q.Due > now { // to be dropped now
			if err := q.moveDue(tx, p, now); err != nil {
				return err
			}
		}
		return record.Put(tx, p.queueKey(), q)
	})
	if err == nil {
		s.wake()
	}
	return err
}

func noTarget() error { return errs.Coded(errs.NotFound, CodeTarget, "there is no such target") }
