package secret

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"unicode"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// FilterKey names the attribute that a filter looks at. The keys and their
// meaning are those of AWS ListSecrets.
type FilterKey string

const (
	ByDescription   FilterKey = "description" // prefix, any case
	ByName          FilterKey = "name"        // prefix
	ByTagKey        FilterKey = "tag-key"     // prefix
	ByTagValue      FilterKey = "tag-value"   // prefix
	ByPrimaryRegion FilterKey = "primary-region"
	ByOwningService FilterKey = "owning-service"
	ByAll           FilterKey = "all" // words, any case, in any attribute
)

// Filter selects secrets of which the attribute matches one of Values. A value
// that begins with "!" excludes what it matches.
type Filter struct {
	Key    FilterKey
	Values []string
}

// Sort is what a listing is ordered by.
type Sort string

const (
	SortCreated  Sort = "created-date"
	SortName     Sort = "name"
	SortChanged  Sort = "last-changed-date"
	SortAccessed Sort = "last-accessed-date"
)

// ListRequest asks for a page of the secrets of the caller's account in the
// request's region.
type ListRequest struct {
	Filters []Filter
	Deleted bool // also those marked for deletion
	Sort    Sort // default SortCreated
	Desc    bool
	Max     int // at most this many; default 100
	Token   string
}

// Page is a page of a listing. Token is empty on the last. A page may hold
// fewer than asked for, even none, and yet not be the last.
type Page struct {
	Secrets []Description
	Token   string
}

// maxLooked bounds how many secrets one page looks at in an order that is kept
// by an index, so that a filter that matches nothing does not hold a snapshot
// for long.
const maxLooked = 20_000

// List returns a page of secrets, without values.
func (s *Service) List(ctx context.Context, who caller.Caller, req ListRequest) (Page, error) {
	var out Page
	err := s.gate.View(ctx, who, policy.ListSecrets, "", func(a *gate.Access) error {
		if err := a.Allow(anything(policy.ListSecrets, who), nil); err != nil {
			return err
		}
		var err error
		out, err = s.list(a, req, "list")
		return err
	})
	if err != nil {
		return Page{}, err
	}
	return out, nil
}

// pageLimit is the size of a page that a request asks for.
func pageLimit(n int) int {
	if n <= 0 {
		return 100
	}
	return n
}

// anything is the question about an operation on no single secret.
func anything(op policy.Op, who caller.Caller) *policy.Request {
	return &policy.Request{Op: op, Resource: policy.AnyResource, Account: who.Account}
}

// spot is a place in a listing: the bytes order as the listing does.
type spot struct {
	at   kv.Key
	name string
}

func (s *Service) list(a *gate.Access, req ListRequest, purpose string) (Page, error) {
	limit := pageLimit(req.Max)
	account, region := a.Who.Account, a.Who.Region
	scope := pageScope(purpose, account, region, req.Filters, req.Deleted, req.Sort, req.Desc)
	after, err := s.openToken(account, scope, req.Token)
	if err != nil {
		return Page{}, err
	}
	var out Page
	var last kv.Key
	looked := 0
	more := func() (Page, error) {
		out.Token, err = s.sealToken(account, scope, last)
		return out, err
	}
	for sp, err := range s.spots(a, account, region, req, after) {
		if err != nil {
			return Page{}, err
		}
		if looked++; len(out.Secrets) == limit || looked > maxLooked {
			return more()
		}
		f, err := s.load(a, name.Secret{Account: account, Region: region, Name: sp.name}, "")
		if err != nil {
			return Page{}, err
		}
		last = sp.at
		if f.head == nil || f.head.Deleted != 0 && !req.Deleted || !matches(f, req.Filters) {
			continue
		}
		d, err := s.describe(a, f)
		if err != nil {
			return Page{}, err
		}
		out.Secrets = append(out.Secrets, d)
	}
	return out, nil
}

// spots yields the names of a region in the order of the request, beginning
// behind the given place.
func (s *Service) spots(r kv.Reader, account, region string, req ListRequest, after []byte) func(func(spot, error) bool) {
	prefix, shape := kv.K(account, "secret-created", region), "sssns"
	switch req.Sort {
	case SortName:
		prefix, shape = headPrefix(account, region), "ssss"
	case SortChanged, SortAccessed:
		return s.sorted(r, account, region, req, after)
	}
	rng := kv.Prefix(prefix)
	rng.Reverse = req.Desc
	switch {
	case after == nil:
	case req.Desc:
		rng.End = after
	default:
		rng.Start = append(slices.Clone(after), 0)
	}
	return func(yield func(spot, error) bool) {
		for p, err := range r.Scan(rng) {
			var sp spot
			if err == nil {
				var strs []string
				if strs, _, err = kv.Key(p.Key).Parts(shape); err == nil {
					sp = spot{at: slices.Clone(p.Key), name: strs[len(strs)-1]}
				}
			}
			if !yield(sp, err) || err != nil {
				return
			}
		}
	}
}

// sorted yields names in an order that no index keeps: it looks at every
// secret of the region for each page.
func (s *Service) sorted(r kv.Reader, account, region string, req ListRequest, after []byte) func(func(spot, error) bool) {
	return func(yield func(spot, error) bool) {
		var all []spot
		for e, err := range record.Scan[head](r, kv.Prefix(headPrefix(account, region))) {
			var strs []string
			if err == nil {
				strs, _, err = e.Key.Parts("ssss")
			}
			if err != nil {
				yield(spot{}, err)
				return
			}
			n := name.Secret{Account: account, Region: region, Name: strs[3]}
			by := e.Value.Changed
			if req.Sort == SortAccessed {
				if by, _, err = record.Get[int64](r, usedKey(n, e.Value.Suffix, 0)); err != nil {
					yield(spot{}, err)
					return
				}
			}
			all = append(all, spot{at: kv.K().Num(uint64(by)).Str(n.Name), name: n.Name})
		}
		slices.SortFunc(all, func(a, b spot) int {
			if req.Desc {
				a, b = b, a
			}
			return slices.Compare(a.at, b.at)
		})
		for _, sp := range all {
			if after != nil {
				if order := slices.Compare(sp.at, after); order == 0 || (order < 0) != req.Desc {
					continue
				}
			}
			if !yield(sp, nil) {
				return
			}
		}
	}
}

// matches reports whether every filter selects the secret.
func matches(f *found, filters []Filter) bool {
	for _, flt := range filters {
		if !flt.selects(f) {
			return false
		}
	}
	return true
}

func (flt Filter) selects(f *found) bool {
	hit, positive := false, false
	for _, v := range flt.Values {
		v, negated := strings.CutPrefix(v, "!")
		m := flt.match(f, v)
		switch {
		case negated && m:
			return false
		case !negated:
			positive, hit = true, hit || m
		}
	}
	return hit || !positive
}

func (flt Filter) match(f *found, v string) bool {
	h := f.head
	switch flt.Key {
	case ByDescription:
		return hasPrefixFold(h.Description, v)
	case ByName:
		return strings.HasPrefix(f.Name, v)
	case ByTagKey:
		return slices.ContainsFunc(h.Tags, func(t Tag) bool { return strings.HasPrefix(t.Key, v) })
	case ByTagValue:
		return slices.ContainsFunc(h.Tags, func(t Tag) bool { return strings.HasPrefix(t.Value, v) })
	case ByPrimaryRegion:
		return strings.HasPrefix(cmp.Or(f.home.Region, f.Region), v)
	case ByOwningService:
		return v == "" // nothing here is owned by another service
	case ByAll:
		return matchAll(f, v)
	}
	return false
}

// matchAll looks for every word of v at the beginning of a word of any
// attribute.
func matchAll(f *found, v string) bool {
	var have []string
	add := func(s string) { have = append(have, words(s)...) }
	add(f.Name)
	add(f.head.Description)
	add(f.home.Region)
	for _, t := range f.head.Tags {
		add(t.Key)
		add(t.Value)
	}
	for _, w := range words(v) {
		if !slices.ContainsFunc(have, func(h string) bool { return strings.HasPrefix(h, w) }) {
			return false
		}
	}
	return true
}

func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// Validate refuses filters that name no known key or too many values.
func (flt Filter) Validate() error {
	switch flt.Key {
	case ByDescription, ByName, ByTagKey, ByTagValue, ByPrimaryRegion, ByOwningService, ByAll:
	default:
		return errs.InvalidField("Filters", "unknown filter key")
	}
	if len(flt.Values) < 1 || len(flt.Values) > 10 {
		return errs.InvalidField("Filters", "a filter has 1 to 10 values")
	}
	return nil
}
