package token

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/record"
)

// What a token hangs on, as it stands in records and keys.
const (
	onPrincipal = "p" // an orphan; the id is the principal and when it was made
	onKey       = "k" // an access key
	onSession   = "s"
	onToken     = "t" // the id is the parent's hash
)

// stored is a token. Times are microseconds since 1970, spans microseconds.
type stored struct {
	Principal string `cbor:"1,keyasint"`
	Of        int64  `cbor:"2,keyasint"` // when the principal was made
	Kind      Kind   `cbor:"3,keyasint,omitempty"`
	Accessor  string `cbor:"4,keyasint,omitempty"`
	Created   int64  `cbor:"5,keyasint"`
	Expires   int64  `cbor:"6,keyasint,omitempty"` // 0: never
	TTL       int64  `cbor:"7,keyasint,omitempty"` // when it was made
	On        string `cbor:"8,keyasint"`
	OnID      []byte `cbor:"9,keyasint,omitempty"`
	Depth     uint64 `cbor:"10,keyasint,omitempty"` // tokens above it, at most

	Granted    []string          `cbor:"11,keyasint,omitempty"` // sorted
	Narrowed   []string          `cbor:"12,keyasint,omitempty"` // sorted
	IsNarrowed bool              `cbor:"13,keyasint,omitempty"`
	Display    string            `cbor:"14,keyasint,omitempty"`
	Path       string            `cbor:"15,keyasint,omitempty"`
	Meta       map[string]string `cbor:"16,keyasint,omitempty"`

	MaxTTL   int64    `cbor:"17,keyasint,omitempty"`
	Explicit int64    `cbor:"18,keyasint,omitempty"` // explicit max TTL
	Period   int64    `cbor:"19,keyasint,omitempty"`
	Fixed    bool     `cbor:"20,keyasint,omitempty"` // not renewable
	Uses     uint64   `cbor:"21,keyasint,omitempty"` // left; 0: not counted
	Spent    bool     `cbor:"22,keyasint,omitempty"` // the last use was taken
	CIDRs    []string `cbor:"23,keyasint,omitempty"`
	Role     string   `cbor:"24,keyasint,omitempty"`
	Queue    bool     `cbor:"25,keyasint,omitempty"`
	Renewed  int64    `cbor:"26,keyasint,omitempty"`
	Alone    bool     `cbor:"27,keyasint,omitempty"` // revoked; its children live on, as orphans
	Entries  uint64   `cbor:"28,keyasint,omitempty"` // in its cubbyhole
	Link     string   `cbor:"29,keyasint,omitempty"` // see Spec.Link
}

var _ record.Direct = (*stored)(nil)

// Member reads a member, as every request with a token reads a record or more.
func (t *stored) Member(key uint64, s *record.Source) {
	switch key {
	case 1:
		t.Principal = s.String()
	case 2:
		t.Of = s.Int()
	case 3:
		t.Kind = Kind(s.Uint())
	case 4:
		t.Accessor = s.String()
	case 5:
		t.Created = s.Int()
	case 6:
		t.Expires = s.Int()
	case 7:
		t.TTL = s.Int()
	case 8:
		t.On = s.String()
	case 9:
		t.OnID = s.Bytes()
	case 10:
		t.Depth = s.Uint()
	case 11:
		t.Granted = texts(s)
	case 12:
		t.Narrowed = texts(s)
	case 13:
		t.IsNarrowed = s.True()
	case 14:
		t.Display = s.String()
	case 15:
		t.Path = s.String()
	case 16:
		t.Meta = make(map[string]string, 4)
		for range s.Pairs() {
			k := s.String()
			t.Meta[k] = s.String()
		}
	default:
		t.late(key, s)
	}
}

// late reads the members that few tokens have.
func (t *stored) late(key uint64, s *record.Source) {
	switch key {
	case 17:
		t.MaxTTL = s.Int()
	case 18:
		t.Explicit = s.Int()
	case 19:
		t.Period = s.Int()
	case 20:
		t.Fixed = s.True()
	case 21:
		t.Uses = s.Uint()
	case 22:
		t.Spent = s.True()
	case 23:
		t.CIDRs = texts(s)
	case 24:
		t.Role = s.String()
	case 25:
		t.Queue = s.True()
	case 26:
		t.Renewed = s.Int()
	case 27:
		t.Alone = s.True()
	case 28:
		t.Entries = s.Uint()
	case 29:
		t.Link = s.String()
	default:
		s.Fail()
	}
}

func texts(s *record.Source) []string {
	out := make([]string, s.Len())
	for i := range out {
		out[i] = s.String()
	}
	return out
}

// over reports whether it has come to its end by itself.
func (t *stored) over(now int64) bool {
	return t.Spent || t.Alone || t.Expires != 0 && now >= t.Expires
}

// hangsOn is the part of the index in which it stands.
func (t *stored) hangsOn() (on, id string) { return t.On, string(t.OnID) }

func (t *stored) key(acct, hash string) (under []byte) {
	on, id := t.hangsOn()
	return underKey(acct, on, id, hash)
}

// principalID is the id of a principal in the index: a later one of the same name
// has another.
func principalID(n string, of int64) string { return n + "/" + strconv.FormatInt(of, 10) }

// token is what it adds to the principal's caller.
func (t *stored) token() *caller.Token {
	out := &caller.Token{Accessor: t.Accessor, Granted: t.Granted, Meta: t.Meta, Queue: t.Queue}
	if t.IsNarrowed {
		if out.Narrowed = t.Narrowed; out.Narrowed == nil {
			out.Narrowed = []string{}
		}
	}
	out.Key = spellPolicies(t.Granted, out.Narrowed)
	return out
}

// spellPolicies writes both lists as one text. Names of policies have no slash.
func spellPolicies(granted, narrowed []string) string {
	if narrowed == nil {
		return strings.Join(granted, "/")
	}
	return strings.Join(granted, "/") + "//" + strings.Join(narrowed, "/")
}

// prefixes reads what Prefix.String wrote. What cannot be read lets nobody in.
func prefixes(texts []string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(texts))
	for _, s := range texts {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			p = netip.Prefix{}
		}
		out = append(out, p)
	}
	return out
}

// fits reports whether an address is in one of the prefixes; without any, every
// one is.
func fits(bound []netip.Prefix, from netip.Addr) bool {
	from = from.Unmap().WithZone("")
	return len(bound) == 0 || slices.ContainsFunc(bound, func(p netip.Prefix) bool { return p.Contains(from) })
}
