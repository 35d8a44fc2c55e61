// Package reading fetches a change as its reviewer sees it: the review that the
// server gives, and, for who may read the values, the values on both sides,
// compared here.
//
// The digest of a review commits to what would take effect. So the values must
// be those of the same moment: when somebody's change was applied between the
// review and the reading of the values, all of it is fetched again.
package reading

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	"countersign/internal/cli/object"
	"countersign/internal/client"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// Reviewed is a change for review.
type Reviewed struct {
	client.Review
	// Values are how each key changes, sorted; nil where the values are not
	// shown. A value that is no JSON object is one entry without a key.
	Values []Value
	Hidden string // why the values are not shown; empty when they are, or there are none
}

// Value is one key on both sides.
type Value struct {
	Key      string
	Change   string // added, removed, changed, same
	Old, New *Side  // nil where the key is absent
}

// Side is a value on one side.
type Side struct {
	Data   sensitive.Bytes
	Binary bool // no text
}

// attempts is how often a review is fetched that moves while it is.
const attempts = 5

// Fetch gets a change by its id, or as much of it as is unique.
func Fetch(ctx context.Context, c *client.Client, id string) (Reviewed, error) {
	for range attempts {
		r, err := c.GetChange(ctx, id)
		if err != nil {
			return Reviewed{}, err
		}
		out, moved, err := reveal(ctx, c.In(r.Region), r)
		if err != nil || !moved {
			return out, err
		}
	}
	return Reviewed{}, &client.Error{Kind: errs.Unavailable, Status: 503, Message: "other changes are applied faster than this one can be read"}
}

// Hide leaves the values out, as for who may not read them.
func Hide(ctx context.Context, c *client.Client, id string) (Reviewed, error) {
	r, err := c.GetChange(ctx, id)
	return Reviewed{Review: r}, err
}

// reveal adds the values. moved tells that they are not of the review.
func reveal(ctx context.Context, c *client.Client, r client.Review) (out Reviewed, moved bool, err error) {
	out.Review = r
	switch {
	case r.Noun != "secret" || len(r.Diff) == 0:
		return out, false, nil
	case !r.Reveals:
		out.Hidden = "you may not read them"
		return out, false, nil
	case r.Conflict != "":
		out.Hidden = "the change cannot take effect"
		return out, false, nil
	}
	old, now, moved, err := sides(ctx, c, r)
	switch {
	case moved:
		return out, true, nil
	case client.Is(err, errs.Denied):
		out.Hidden = "you may not read them"
		return out, false, nil
	case client.Is(err, errs.NotFound), client.Is(err, errs.Precondition):
		out.Hidden = "they are no longer kept"
		return out, false, nil
	case err != nil:
		return out, false, err
	}
	out.Values = Compare(old, now)
	return out, false, nil
}

// sides reads what the value is or was, and what it becomes or became.
func sides(ctx context.Context, c *client.Client, r client.Review) (old, now *Side, moved bool, err error) {
	if !client.Open(r.Status) {
		if old, err = version(ctx, c, r.Name, r.Base); err != nil {
			return nil, nil, false, err
		}
		now, err = version(ctx, c, r.Name, r.Version)
		return old, now, false, err
	}
	p, base, err := c.Proposed(ctx, r.ID)
	var e *client.Error
	switch {
	case errors.As(err, &e) && (e.Kind == errs.Conflict || e.Kind == errs.NotFound): // it conflicts or has ended meanwhile
		return nil, nil, true, nil
	case err != nil:
		return nil, nil, false, err
	case base != r.Current:
		return nil, nil, true, nil
	}
	old, err = version(ctx, c, r.Name, base)
	return old, &Side{p.Data, p.Binary}, false, err
}

// version reads one version; 0 is none.
func version(ctx context.Context, c *client.Client, name string, number uint64) (*Side, error) {
	if number == 0 {
		return nil, nil
	}
	v, err := c.ReadValue(ctx, name, client.Which{Version: number})
	if err != nil {
		return nil, err
	}
	return &Side{v.Data, v.Binary}, nil
}

// Compare lists how each key changes, sorted; of values that are no JSON objects
// as a whole.
func Compare(old, now *Side) []Value {
	a, whole := keys(old)
	b, whole2 := keys(now)
	if whole || whole2 {
		return []Value{value("", old, now)}
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	var out []Value
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, value(k, a[k], b[k]))
	}
	return out
}

// keys splits an object; whole tells that it is none.
func keys(s *Side) (of map[string]*Side, whole bool) {
	of = map[string]*Side{}
	if s == nil {
		return of, false
	}
	ms, err := object.Members(s.Data.Reveal())
	if s.Binary || err != nil {
		return nil, true
	}
	for _, m := range ms {
		of[m.Key] = &Side{Data: m.Value}
	}
	return of, false
}

func value(key string, old, now *Side) Value {
	v := Value{Key: key, Old: old, New: now, Change: "changed"}
	switch {
	case old == nil:
		v.Change = "added"
	case now == nil:
		v.Change = "removed"
	case bytes.Equal(old.Data.Reveal(), now.Data.Reveal()) && old.Binary == now.Binary:
		v.Change = "same"
	}
	return v
}

// JSON is the review as it is printed for programs: everything that the server
// gave, and where the values are shown, those.
func (r Reviewed) JSON() any {
	out := struct {
		client.Review
		Values []wireValue `json:"values,omitempty"`
	}{Review: r.Review}
	for _, v := range r.Values {
		w := wireValue{Key: v.Key, Change: v.Change}
		w.Old, w.OldBinary = v.Old.wire()
		w.New, w.NewBinary = v.New.wire()
		out.Values = append(out.Values, w)
	}
	return out
}

// wireValue is a Value as JSON: text, or base64 of bytes that are none.
type wireValue struct {
	Key       string  `json:"key"`
	Change    string  `json:"change"`
	Old       *string `json:"old,omitempty"`
	New       *string `json:"new,omitempty"`
	OldBinary []byte  `json:"old_binary,omitempty"`
	NewBinary []byte  `json:"new_binary,omitempty"`
}

func (s *Side) wire() (text *string, binary []byte) {
	switch {
	case s == nil:
		return nil, nil
	case s.Binary:
		return nil, s.Data.Reveal()
	}
	t := string(s.Data.Reveal())
	return &t, nil
}
