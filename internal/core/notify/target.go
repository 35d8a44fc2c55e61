package notify

import (
	"net/mail"
	"slices"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/notice"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Type is the kind of a target.
type Type string

// The types of targets.
const (
	Webhook Type = "webhook"
	Slack   Type = "slack"
	Teams   Type = "teams"
	Email   Type = "email"
)

// Types lists every Type.
func Types() []Type { return []Type{Webhook, Slack, Teams, Email} }

// Audience stands among recipients for the persons whom a notice concerns.
const Audience = "audience"

// target is where notices go. It holds secrets.
type target struct {
	Type  Type     `cbor:"1,keyasint"`
	Kinds []string `cbor:"2,keyasint,omitempty"` // none: all
	Names []string `cbor:"3,keyasint,omitempty"` // patterns; none: all
	URL   []byte   `cbor:"4,keyasint,omitempty"`
	Keys  []key    `cbor:"5,keyasint,omitempty"` // that sign, the newest first
	To    []string `cbor:"6,keyasint,omitempty"`
	// Made tells a target from one of the same name before it.
	Made    int64  `cbor:"7,keyasint"`
	Changed int64  `cbor:"8,keyasint"`
	By      string `cbor:"9,keyasint"` // ARN of who changed it last
}

// key signs.
type key struct {
	Secret []byte `cbor:"1,keyasint"`
	Made   int64  `cbor:"2,keyasint"`
	Until  int64  `cbor:"3,keyasint,omitempty"` // of one that was rotated; 0: for good
}

// signing are the keys that sign at a time.
func (t *target) signing(now time.Time) (out [][]byte) {
	for _, k := range t.Keys {
		if k.Until == 0 || k.Until > now.UnixMicro() {
			out = append(out, k.Secret)
		}
	}
	return out
}

// wants reports whether a notice is for this target.
func (t *target) wants(n *notice.Notice) bool {
	kind := len(t.Kinds) == 0 || slices.ContainsFunc(t.Kinds, func(k string) bool { return protect.Glob(k, string(n.Kind)) })
	named := len(t.Names) == 0 || slices.ContainsFunc(t.Names, func(p string) bool { return protect.Glob(p, n.Name) })
	return kind && named
}

// People knows who is in a group.
type People interface {
	// Members lists the names in a group of an account, sorted; none when there is
	// no such group.
	Members(r kv.Reader, account, group string) ([]string, error)
}

// recipients are the addresses that a notice is mailed to, each once. Of the
// audience these are the persons, also those in groups, whose names are addresses.
func (s *Service) recipients(r kv.Reader, t *target, n *notice.Notice) (out []string, err error) {
	add := func(a string) {
		if address(a) && !slices.Contains(out, a) && len(out) < MaxRecipients {
			out = append(out, a)
		}
	}
	for _, to := range t.To {
		if to != Audience {
			add(to)
			continue
		}
		for _, whom := range n.Audience {
			group, is := strings.CutPrefix(whom, "group:")
			if !is {
				add(strings.TrimPrefix(whom, caller.UserARN(n.Account, "")))
				continue
			}
			if s.People == nil {
				continue
			}
			names, err := s.People.Members(r, n.Account, group)
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				add(name)
			}
		}
	}
	return out, nil
}

// address reports whether s is one plain address, which can be put into a header
// and an envelope as it is.
func address(s string) bool {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > 254 {
		return false
	}
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f || strings.IndexByte(`<>"\(),;:`, s[i]) >= 0 {
			return false
		}
	}
	return true
}

// checkFilters refuses filters that could match nothing.
func checkFilters(kinds, names []string) error {
	if len(kinds) > MaxFilters || len(names) > MaxFilters {
		return errs.New(errs.Limit, "a target has at most %d kinds and %d names", MaxFilters, MaxFilters)
	}
	for _, k := range kinds {
		if !slices.ContainsFunc(notice.Kinds(), func(is notice.Kind) bool { return protect.Glob(k, string(is)) }) {
			var all []string
			for _, is := range notice.Kinds() {
				all = append(all, string(is))
			}
			return errs.InvalidField("kinds", "a kind is one of %s, or a pattern such as change.*", strings.Join(all, ", "))
		}
	}
	for _, p := range names {
		if name.SecretName(strings.NewReplacer("*", "x", "?", "x").Replace(p)) != nil {
			return errs.InvalidField("names", "a pattern of names holds what names hold, and * and ?")
		}
	}
	return nil
}

func checkRecipients(to []string) error {
	if len(to) == 0 || len(to) > MaxRecipients {
		return errs.InvalidField("to", "name 1 to %d recipients: addresses, or audience", MaxRecipients)
	}
	for i, a := range to {
		if a != Audience && !address(a) || slices.Contains(to[:i], a) {
			return errs.InvalidField("to", "recipient %d is not an address such as anna@example.com, or given twice", i+1)
		}
	}
	return nil
}

func targetKey(account, n string) kv.Key { return kv.K(account, "notify-target", n) }

func getTarget(r kv.Reader, account, n string) (*target, error) {
	return record.Find[target](r, targetKey(account, n))
}

// named is a target with its name.
type named struct {
	name string
	target
}

// targets lists an account's targets by name.
func targets(r kv.Reader, account string) (out []named, err error) {
	for e, err := range record.Scan[target](r, kv.Prefix(kv.K(account, "notify-target"))) {
		if err != nil {
			return nil, err
		}
		strs, _, err := e.Key.Parts("sss")
		if err != nil {
			return nil, err
		}
		out = append(out, named{strs[2], e.Value})
	}
	return out, nil
}
