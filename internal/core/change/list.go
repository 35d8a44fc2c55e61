package change

import (
	"context"
	"slices"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Limits of a listing.
const (
	DefaultLimit = 50
	MaxLimit     = 1000
	maxLooked    = 20000 // records looked at for one page
)

// ListRequest selects changes, newest first. Empty members select all.
type ListRequest struct {
	Noun, Region, Name string   // Name needs Noun; Region goes with secrets
	Prefix             string   // of names
	Statuses           []Status // any of them
	Author             string   // name of a principal
	Since, Until       time.Time
	Limit              int    // default DefaultLimit
	After              string // id of the last change of the page before
}

// Listed is a change in a list.
type Listed struct {
	Record
	Short string
}

// List is a page of changes. Next is empty on the last; a page may be short, even
// empty, before it.
type List struct {
	Changes []Listed
	Next    string
}

// List returns the changes that the caller may read.
func (s *Service) List(ctx context.Context, who caller.Caller, req ListRequest) (List, error) {
	var out List
	err := s.gate.View(ctx, who, policy.ListChanges, "", func(a *gate.Access) error {
		out = List{}
		err := a.Allow(&policy.Request{Op: policy.ListChanges, Resource: policy.AnyResource, Account: who.Account}, nil)
		if err != nil {
			return err
		}
		if err := req.check(); err != nil {
			return err
		}
		return s.list(a, req, &out)
	})
	if err != nil {
		return List{}, err
	}
	return out, nil
}

func (req *ListRequest) check() error {
	if req.Limit == 0 {
		req.Limit = DefaultLimit
	}
	switch {
	case req.Limit < 1 || req.Limit > MaxLimit:
		return errs.InvalidField("limit", "the limit is 1 to %d", MaxLimit)
	case req.After != "" && len(req.After) != 26:
		return errs.InvalidField("page", "the page token is not valid")
	case req.Name != "" && req.Noun == "":
		return errs.InvalidField("name", "a name is of a secret or another noun: say which")
	}
	for _, st := range req.Statuses {
		if !slices.Contains(Statuses(), st) {
			return errs.InvalidField("status", "%q is no state of a change", string(st))
		}
	}
	return nil
}

func (s *Service) list(a *gate.Access, req ListRequest, out *List) error {
	looked, last := 0, ""
	for id, err := range req.ids(a, a.Who.Account) {
		if err != nil {
			return err
		}
		if len(out.Changes) == req.Limit || looked == maxLooked {
			out.Next = last
			return nil
		}
		looked++
		last = id
		made, err := audit.ParseIDTime(id)
		if err != nil {
			return err
		}
		if made.Before(req.Since.Truncate(time.Millisecond)) {
			return nil
		}
		e, err := find(a, a.Who.Account, id)
		if err != nil {
			return err
		}
		if e == nil || !req.selects(e.rec) {
			continue
		}
		ok, err := a.May(&policy.Request{Resource: e.resource(), Account: a.Who.Account}, policy.ReadChange, nil)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		short, err := Short(a, a.Who.Account, id)
		if err != nil {
			return err
		}
		out.Changes = append(out.Changes, Listed{*e.rec, short})
	}
	return nil
}

func (req *ListRequest) selects(r *Record) bool {
	author := req.Author == "" || strings.HasSuffix(r.Author, "/"+req.Author)
	status := len(req.Statuses) == 0 || slices.Contains(req.Statuses, r.Status)
	target := (req.Noun == "" || r.Noun == req.Noun) && (req.Name == "" || r.Name == req.Name) &&
		(req.Region == "" || r.Region == req.Region) && strings.HasPrefix(r.Name, req.Prefix)
	until := req.Until.IsZero() || r.Time <= req.Until.UnixMicro()
	return author && status && target && until
}

// ids yields the ids to look at, newest first: of one thing, of open changes, or
// of all.
func (req *ListRequest) ids(r kv.Reader, account string) func(func(string, error) bool) {
	prefix, shape := kv.K(account, "change-place"), "sss"
	switch {
	case req.Name != "" && (req.Region != "" || req.Noun != "secret"):
		prefix, shape = kv.K(account, "change", req.Noun, req.Region, req.Name), "ssssss"
	case len(req.Statuses) > 0 && !slices.ContainsFunc(req.Statuses, func(s Status) bool { return !s.Open() }):
		prefix = kv.K(account, "change-open")
	}
	rng := kv.Prefix(prefix)
	rng.Reverse = true
	if req.After != "" {
		rng.End = append(kv.Key{}, prefix...).Str(req.After)
	}
	return func(yield func(string, error) bool) {
		for p, err := range r.Scan(rng) {
			id := ""
			if err == nil {
				var strs []string
				if strs, _, err = kv.Key(p.Key).Parts(shape); err == nil {
					id = strs[len(strs)-1]
				}
			}
			if !yield(id, err) || err != nil {
				return
			}
		}
	}
}

// History returns the records of the changes to one target, newest first: at
// most limit of them, those before the change of that id when it is not empty.
// It asks nobody: the caller has authorized the reader to see them.
// The order is that of ids: changes of one millisecond are in any order.
func History(r kv.Reader, t Target, before string, limit int) ([]Record, error) {
	rng := kv.Prefix(kv.K(t.Account, "change", t.Noun, t.Region, t.Name))
	rng.Reverse = true
	if before != "" {
		rng.End = recordKey(t, before)
	}
	var out []Record
	for e, err := range record.Scan[Record](r, rng) {
		if err != nil {
			return nil, err
		}
		if len(out) == limit {
			break
		}
		out = append(out, e.Value)
	}
	return out, nil
}
