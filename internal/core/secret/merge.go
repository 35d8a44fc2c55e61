package secret

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// member is one key of a JSON object with its value as it was written.
type member struct {
	key   string
	value json.RawMessage
}

// maxKeys is how many keys of a JSON object are looked at one by one; an
// object with more is treated as one opaque value.
const maxKeys = 4096

// object reads the members of a JSON object in their order. ok is false for
// anything else: another JSON value, a key given twice, too many keys, text
// that is not JSON.
func object(b []byte) (members []member, ok bool) {
	if !utf8.Valid(b) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		key, isKey := t.(string)
		if err != nil || !isKey || seen[key] || len(members) == maxKeys || strings.ContainsRune(key, utf8.RuneError) {
			return nil, false // a half of a surrogate pair is read as RuneError and could not be written back
		}
		m := member{key: key}
		if err := d.Decode(&m.value); err != nil {
			return nil, false
		}
		seen[key] = true
		members = append(members, m)
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return nil, false
	}
	if _, err := d.Token(); err == nil || d.InputOffset() != int64(len(bytes.TrimRight(b, " \t\r\n"))) {
		return nil, false
	}
	return members, true
}

// printer takes the fingerprint of one value of a JSON object; values are the
// same when their compact JSON is.
type printer func(json.RawMessage) []byte

// merge carries what changed from base to proposed over to current, key by
// key: a three-way merge of JSON objects. Of base the fingerprints are enough. It
// fails when current or proposed is no JSON object, or when both sides changed a
// key differently; keys are then the ones at odds, sorted. Keys keep the order of
// current; new ones follow.
func (print printer) merge(was map[string][]byte, current, proposed []byte) (merged []byte, keys []string, ok bool) {
	c, okC := object(current)
	p, okP := object(proposed)
	if !okC || !okP || was == nil {
		return nil, nil, false
	}
	is, want := index(c), index(p)
	out := make([]member, 0, len(c)+len(p))
	for _, m := range c {
		v, err := print.pick(was[m.key], m.value, want[m.key])
		if err {
			keys = append(keys, m.key)
		} else if v != nil {
			out = append(out, member{m.key, v})
		}
	}
	for _, m := range p {
		if _, there := is[m.key]; there {
			continue
		}
		v, err := print.pick(was[m.key], nil, m.value)
		if err {
			keys = append(keys, m.key)
		} else if v != nil {
			out = append(out, member{m.key, v})
		}
	}
	if len(keys) > 0 {
		slices.Sort(keys)
		return nil, keys, false
	}
	return encodeObject(out), nil, true
}

// pick is the three-way rule for one key; nil means absent.
func (print printer) pick(was []byte, is, want json.RawMessage) (_ json.RawMessage, conflict bool) {
	printIs, printWant := print.of(is), print.of(want)
	switch {
	case bytes.Equal(was, printWant), bytes.Equal(printIs, printWant):
		return is, false
	case bytes.Equal(was, printIs):
		return want, false
	}
	return nil, true
}

func (print printer) of(v json.RawMessage) []byte {
	if v == nil {
		return nil
	}
	return print(v)
}

func compact(v json.RawMessage) []byte {
	var out bytes.Buffer
	if json.Compact(&out, v) != nil {
		return v
	}
	return out.Bytes()
}

func index(ms []member) map[string]json.RawMessage {
	out := make(map[string]json.RawMessage, len(ms))
	for _, m := range ms {
		out[m.key] = m.value
	}
	return out
}

func encodeObject(ms []member) []byte {
	out := []byte{'{'}
	for i, m := range ms {
		if i > 0 {
			out = append(out, ',')
		}
		var key bytes.Buffer
		enc := json.NewEncoder(&key)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(m.key) // a string always encodes
		out = append(out, bytes.TrimSpace(key.Bytes())...)
		out = append(out, ':')
		out = append(out, m.value...)
	}
	return append(out, '}')
}

// fingerprint is the keyed hash of a whole value.
func (s *Service) fingerprint(account string, value []byte) []byte {
	sum := s.vault.Fingerprint(account, value)
	return sum[:]
}

// keyPrints are the fingerprints of a JSON object's values by key, 16 bytes
// each, or nil when the value is no JSON object.
func (s *Service) keyPrints(account string, value []byte) map[string][]byte {
	if t := bytes.TrimLeft(value, " \t\r\n"); len(t) == 0 || t[0] != '{' {
		return nil
	}
	ms, ok := object(value)
	if !ok {
		return nil
	}
	out := make(map[string][]byte, len(ms))
	print := s.printer(account)
	for _, m := range ms {
		out[m.key] = print(m.value)
	}
	return out
}

// printer takes the fingerprints of single values, of 16 bytes.
func (s *Service) printer(account string) printer {
	return func(v json.RawMessage) []byte { return s.fingerprint(account, compact(v))[:16] }
}

// maxNamed bounds how many keys a record names.
const maxNamed = 100

// differing names the keys whose fingerprints are not the same, sorted.
func differing(old, now map[string][]byte) (keys []string) {
	for k, p := range now {
		if !bytes.Equal(old[k], p) {
			keys = append(keys, k)
		}
	}
	for k := range old {
		if _, ok := now[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys[:min(len(keys), maxNamed)]
}

func quoteKeys(keys []string) string {
	quoted := make([]string, min(len(keys), maxNamed))
	for i := range quoted {
		quoted[i] = strconv.Quote(keys[i])
	}
	return strings.Join(quoted, ", ")
}
