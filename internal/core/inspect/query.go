package inspect

import (
	"context"
	"encoding/binary"
	"strings"
	"time"
	"unicode/utf8"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// QueryRequest selects records. Every field that is set must hold.
type QueryRequest struct {
	Since     time.Time // at or after
	Until     time.Time // before
	Principal string    // name of a user, machine or job
	Operation string    // canonical name: "ReadValue"
	Secret    string    // name of the secret or other thing; a prefix when it ends with *
	Outcome   string    // ok, denied, refused or failed
	Decision  string    // id
	Key       string    // id of the access key used
	Change    string    // id
	Limit     int       // 1 to MaxLimit; default DefaultLimit
	Page      string    // token of the page before
}

// Records is a page of records, newest first. Next is empty on the last.
//
// Records of other accounts than the home account have no Seq, which counts what
// every account did.
type Records struct {
	Records []audit.Record
	Next    string
}

// Query returns records of the caller's account.
func (s *Service) Query(ctx context.Context, who caller.Caller, req QueryRequest) (Records, error) {
	var out Records
	err := s.Gate.Do(ctx, who, "", onLog(who, policy.QueryAudit), func(*audit.Record) error {
		var err error
		out, err = s.query(ctx, who, req)
		return err
	})
	if err != nil {
		return Records{}, err
	}
	return out, nil
}

func (s *Service) query(ctx context.Context, who caller.Caller, req QueryRequest) (Records, error) {
	switch {
	case req.Limit == 0:
		req.Limit = DefaultLimit
	case req.Limit < 1 || req.Limit > MaxLimit:
		return Records{}, errs.InvalidField("limit", "the limit is 1 to %d", MaxLimit)
	}
	if err := req.check(); err != nil {
		return Records{}, err
	}
	scope := scopeOf("audit", who.Account, req.Since.UnixNano(), req.Until.UnixNano(), req.Principal, req.Operation,
		req.Secret, req.Outcome, req.Decision, req.Key, req.Change)
	at, err := s.openToken(who.Account, scope, req.Page)
	if err != nil {
		return Records{}, err
	}
	if err := s.Relay.Flush(ctx); err != nil {
		return Records{}, err
	}
	f := s.filter(who, req)
	f.Order = audit.NewestFirst
	if len(at) == 8 {
		f.Before = binary.BigEndian.Uint64(at)
	}
	var out Records
	var last uint64
	for r, err := range s.Log.Query(ctx, f) {
		if err != nil {
			return Records{}, err
		}
		if !s.sees(who, &r) {
			continue
		}
		if len(out.Records) == req.Limit {
			out.Next, err = s.sealToken(who.Account, scope, binary.BigEndian.AppendUint64(nil, last))
			return out, err
		}
		last = r.Seq
		out.Records = append(out.Records, s.show(who, r))
	}
	return out, nil
}

// filter is the request as the log takes it. Whoever reads its records asks
// sees about each.
func (s *Service) filter(who caller.Caller, req QueryRequest) audit.Filter {
	f := audit.Filter{Account: who.Account, Since: req.Since, Until: req.Until, Principal: req.Principal,
		Operation: req.Operation, Resource: req.Secret, Outcome: audit.Outcome(req.Outcome), Decision: req.Decision,
		Key: req.Key, Change: req.Change}
	// Records of nobody have neither account nor name.
	if who.Account == s.Identities.Home() && req.Principal == "" {
		f.Account = ""
	}
	return f
}

// sees reports whether a record is for the caller's account.
func (s *Service) sees(who caller.Caller, r *audit.Record) bool {
	return r.Account == who.Account || r.Account == "" && who.Account == s.Identities.Home()
}

// show leaves out of a record what tells about other accounts.
func (s *Service) show(who caller.Caller, r audit.Record) audit.Record {
	if who.Account != s.Identities.Home() {
		r.Seq = 0
	}
	return r
}

// check refuses what no record can have, so that a misspelt question is not
// answered with nothing.
func (req *QueryRequest) check() error {
	for _, t := range []struct {
		field, text string
		limit       int
	}{{"principal", req.Principal, 256}, {"operation", req.Operation, 64}, {"secret", req.Secret, 2048},
		{"decision", req.Decision, 26}, {"key", req.Key, 128}, {"change", req.Change, 26}} {
		if len(t.text) > t.limit || !utf8.ValidString(t.text) || strings.ContainsFunc(t.text, control) {
			return errs.InvalidField(t.field, "at most %d characters, none of them a control character", t.limit)
		}
	}
	switch audit.Outcome(req.Outcome) {
	case "", audit.OK, audit.Denied, audit.Refused, audit.Failed:
	default:
		return errs.InvalidField("outcome", "the outcomes are ok, denied, refused and failed")
	}
	if !req.Until.IsZero() && req.Until.Before(req.Since) {
		return errs.InvalidField("until", "the end is before the beginning")
	}
	for field, id := range map[string]string{"decision": req.Decision, "change": req.Change} {
		if id == "" {
			continue
		}
		if _, err := audit.ParseIDTime(id); err != nil {
			return errs.InvalidField(field, "an id has 26 letters and digits")
		}
	}
	return nil
}

func control(r rune) bool { return r < 0x20 || r == 0x7f }
