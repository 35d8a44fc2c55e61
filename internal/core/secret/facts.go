package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"countersign/internal/core/change"
	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// What a reviewer learns of values without seeing them: classes of length and
// format, and which are equal to which. Classes are wide, so that they narrow a
// guess by little; equality is told of secrets alone that the reviewer may know
// of. None of it is a value or a fingerprint.

// Bounds of the search for equal values.
const (
	maxSearched = 2000 // secrets looked at for one review
	maxNoted    = 5    // secrets named for one value
	maxCompared = 50   // versions of the secret itself
)

// side is one side of a diff.
type side struct {
	members map[string]json.RawMessage // nil: no JSON object
	whole   []byte
	there   bool
}

// Diff implements change.Values.
func (s *Service) Diff(r kv.Reader, t change.Target, base, number uint64, content []byte, now time.Time, may func(string, map[string]string) (bool, error)) ([]change.KeyDiff, error) {
	n := name.Secret{Account: t.Account, Region: t.Region, Name: t.Name}
	f, err := s.load(r, n, "")
	if err != nil {
		return nil, err
	}
	old, err := s.side(r, f, base, nil, now)
	if err != nil {
		return nil, err
	}
	proposed, err := s.side(r, f, number, content, now)
	if err != nil || !old.there && !proposed.there {
		return nil, err
	}
	diffs := compare(old, proposed)
	return diffs, s.note(r, f, proposed, diffs, number, now, may)
}

// side reads the value of a version, or takes content. Nothing is told of a value
// that was deleted.
func (s *Service) side(r kv.Reader, f *found, number uint64, content []byte, now time.Time) (side, error) {
	if content == nil {
		if number == 0 || f.head == nil {
			return side{}, nil
		}
		v, ok, err := record.Get[version](r, versionKey(f.home, f.head.Suffix, number))
		if err != nil || !ok || !v.readable(now) {
			return side{}, err
		}
		data, err := s.value(r, f, number)
		if err != nil {
			return side{}, err
		}
		content = data.Reveal()
	}
	out := side{whole: content, there: true}
	if ms, ok := object(content); ok {
		out.members = index(ms)
	}
	return out, nil
}

// compare lists the differences by key, sorted; of values that are no objects,
// as a whole.
func compare(old, now side) (out []change.KeyDiff) {
	if old.there && old.members == nil || now.there && now.members == nil {
		return []change.KeyDiff{diffOf("", old.there, now.there, old.whole, now.whole, bytes.Equal(old.whole, now.whole))}
	}
	keys := maps.Clone(old.members)
	if keys == nil {
		keys = map[string]json.RawMessage{}
	}
	maps.Copy(keys, now.members)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		a, inOld := old.members[k]
		b, inNow := now.members[k]
		same := inOld && inNow && bytes.Equal(compact(a), compact(b))
		out = append(out, diffOf(k, inOld, inNow, textOf(a), textOf(b), same))
	}
	return out
}

func diffOf(key string, inOld, inNow bool, old, now []byte, same bool) change.KeyDiff {
	d := change.KeyDiff{Key: key, Change: "changed"}
	if inOld {
		d.Old = factsOf(old)
	}
	if inNow {
		d.New = factsOf(now)
	}
	switch {
	case !inOld:
		d.Change = "added"
	case !inNow:
		d.Change = "removed"
	case same:
		d.Change = "same"
	}
	return d
}

// textOf is the text in a JSON string, and other JSON as it is.
func textOf(v json.RawMessage) []byte {
	var s string
	if len(v) > 0 && v[0] == '"' && json.Unmarshal(v, &s) == nil {
		return []byte(s)
	}
	return compact(v)
}

func factsOf(v []byte) *change.Facts {
	return &change.Facts{Length: lengthClass(len(v)), Format: formatClass(v)}
}

// lengthClass is the power of two that a length, in bytes, is within.
func lengthClass(n int) string {
	switch {
	case n == 0:
		return "empty"
	case n > 1024:
		return "over 1024"
	}
	low, high := 1, 8
	for n > high {
		low, high = high+1, high*2
	}
	return fmt.Sprintf("%d-%d", low, high)
}

// formatClass says what a value looks like.
func formatClass(v []byte) string {
	s := string(v)
	switch {
	case len(v) == 0:
		return "empty"
	case !utf8.Valid(v):
		return "binary"
	case s == "true" || s == "false":
		return "boolean"
	case onlyBytes(s, "0123456789", 0):
		return "digits"
	case isUUID(s):
		return "uuid"
	case strings.HasPrefix(s, "-----BEGIN "):
		return "pem"
	case strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") == 2 && onlyBytes(s, base64url+".", 20):
		return "jwt"
	case strings.HasPrefix(s, "{") && json.Valid(v), strings.HasPrefix(s, "[") && json.Valid(v):
		return "json"
	case isURL(s):
		return "url"
	case isAddress(s):
		return "e-mail address"
	case len(v)%2 == 0 && isHex(s):
		return "hexadecimal"
	case isBase64(s):
		return "base64"
	case strings.ContainsFunc(s, func(r rune) bool { return r == '\n' }):
		return "text of several lines"
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "text with unprintable characters"
	}
	if lead, trail := strings.TrimLeft(s, " \t") != s, strings.TrimRight(s, " \t") != s; lead || trail {
		return "text with space around it"
	}
	return "text"
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func onlyBytes(s, set string, least int) bool {
	return len(s) >= least && s != "" && strings.Trim(s, set) == ""
}

func isUUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' && isHex(strings.ReplaceAll(s, "-", ""))
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) >= 8
}

func isBase64(s string) bool {
	if len(s) < 16 || !strings.ContainsAny(s, "+/=0123456789") {
		return false
	}
	_, err := base64.StdEncoding.DecodeString(s)
	return err == nil
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && u.Host != "" && !strings.ContainsAny(s, " \n\t")
}

func isAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}

// note adds what new values are equal to.
func (s *Service) note(r kv.Reader, f *found, proposed side, diffs []change.KeyDiff, number uint64, now time.Time, may func(string, map[string]string) (bool, error)) error {
	prints := map[string][]byte{}
	print := s.printer(f.Account)
	for i := range diffs {
		if d := &diffs[i]; d.Change == "added" || d.Change == "changed" {
			if d.Key == "" {
				prints[""] = s.fingerprint(f.Account, proposed.whole)
			} else {
				prints[d.Key] = print(proposed.members[d.Key])
			}
		}
	}
	if len(prints) == 0 {
		return nil
	}
	if err := s.noteOwn(r, f, prints, diffs, number); err != nil {
		return err
	}
	return s.noteOthers(r, f, prints, diffs, now, may)
}

// noteOwn says which earlier version of the secret had the same value.
func (s *Service) noteOwn(r kv.Reader, f *found, prints map[string][]byte, diffs []change.KeyDiff, number uint64) error {
	if f.head == nil {
		return nil
	}
	rng := kv.Prefix(kv.K(f.home.Account, "version", f.home.Region, f.home.Name, f.head.Suffix))
	rng.Reverse = true
	looked := 0
	noted := map[string]bool{}
	for en, err := range record.Scan[version](r, rng) {
		if err != nil {
			return err
		}
		_, nums, err := en.Key.Parts("sssssn")
		if err != nil {
			return err
		}
		if looked++; looked > maxCompared {
			return nil
		}
		if nums[0] == number || en.Value.Current == 0 {
			continue
		}
		for i := range diffs {
			d := &diffs[i]
			p, changed := prints[d.Key]
			if changed && !noted[d.Key] && en.Value.has(d.Key, p) {
				noted[d.Key] = true
				d.Notes = append(d.Notes, fmt.Sprintf("same as version %d", nums[0]))
			}
		}
	}
	return nil
}

// has reports whether a version has that value under a key, or as a whole.
func (v *version) has(key string, print []byte) bool {
	if key == "" {
		return bytes.Equal(v.Print, print)
	}
	return bytes.Equal(v.Keys[key], print)
}

// noteOthers says which other secrets hold the same values now, as far as the
// reviewer may know of them.
func (s *Service) noteOthers(r kv.Reader, f *found, prints map[string][]byte, diffs []change.KeyDiff, now time.Time, may func(string, map[string]string) (bool, error)) error {
	places := map[string][]string{}
	looked := 0
	for en, err := range record.Scan[head](r, kv.Prefix(headPrefix(f.Account, f.Region))) {
		if err != nil {
			return err
		}
		strs, _, err := en.Key.Parts("ssss")
		if err != nil {
			return err
		}
		h := &en.Value
		at := h.Labels[name.Current]
		if strs[3] == f.Name || h.Primary != "" || h.Deleted != 0 || at.Number == 0 || !at.readable(now) {
			continue
		}
		if looked++; looked > maxSearched {
			break
		}
		other := name.Secret{Account: f.Account, Region: f.Region, Name: strs[3]}
		raw, err := r.Get(versionKey(other, h.Suffix, at.Number))
		if err != nil {
			return err
		}
		if !containsAny(raw, prints) { // fingerprints stand in the record as they are
			continue
		}
		var v version
		if err := record.Decode(raw, &v); err != nil {
			return err
		}
		for key, p := range prints {
			if !v.holds(key, p) {
				continue
			}
			if ok, err := may(other.ARN(h.Suffix), tagMap(h.Tags)); err != nil || !ok {
				if err != nil {
					return err
				}
				continue
			}
			places[key] = append(places[key], other.Name)
		}
	}
	for i := range diffs {
		d := &diffs[i]
		d.Notes = append(d.Notes, noteOf(f.Name, places[d.Key], looked > maxSearched)...)
	}
	return nil
}

func containsAny(raw []byte, prints map[string][]byte) bool {
	for _, p := range prints {
		if bytes.Contains(raw, p) {
			return true
		}
	}
	return false
}

// holds reports whether a version has the value under that key, or under any.
func (v *version) holds(key string, print []byte) bool {
	if key == "" {
		return bytes.Equal(v.Print, print)
	}
	if bytes.Equal(v.Keys[key], print) {
		return true
	}
	for _, p := range v.Keys {
		if bytes.Equal(p, print) {
			return true
		}
	}
	return false
}

// noteOf words where else a value is. A sibling, whose name differs in its last
// part alone, is another environment of the same project.
func noteOf(own string, places []string, cut bool) (notes []string) {
	dir := own[:strings.LastIndexByte(own, '/')+1]
	others := 0
	for _, p := range places {
		rest, sibling := strings.CutPrefix(p, dir)
		switch {
		case sibling && dir != "" && !strings.Contains(rest, "/") && len(notes) < maxNoted:
			notes = append(notes, "equals "+rest)
		default:
			others++
		}
	}
	switch {
	case others == 1:
		notes = append(notes, "used by 1 other secret that you may see")
	case others > 1:
		notes = append(notes, fmt.Sprintf("used by %d other secrets that you may see", others))
	}
	if cut {
		notes = append(notes, fmt.Sprintf("compared with the first %d secrets only", maxSearched))
	}
	return notes
}
