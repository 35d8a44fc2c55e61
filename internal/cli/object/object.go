// Package object reads the keys of a value that is a JSON object, and sets one.
//
// Everything else of the object stays byte for byte as it was, numbers beyond
// float64 and the order of keys included. An object with a key twice is
// refused, since readers disagree about what it means. No error quotes the
// value.
package object

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"countersign/internal/sensitive"
)

// ErrNoObject says that the value is no JSON object.
var ErrNoObject = errors.New("the value is no JSON object")

type member struct {
	key string
	raw json.RawMessage
}

// parse splits an object into its members, in their order.
func parse(data []byte) ([]member, error) {
	if !json.Valid(data) { // all of it: the decoder alone stops at the end of the object
		return nil, ErrNoObject
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, ErrNoObject
	}
	var out []member
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return nil, ErrNoObject
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, ErrNoObject
		}
		if strings.ContainsRune(key, utf8.RuneError) { // half of a surrogate pair, which would be lost
			return nil, errors.New("the JSON object has a key that is not valid Unicode")
		}
		if seen[key] {
			return nil, errors.New("the JSON object has a key twice")
		}
		seen[key] = true
		out = append(out, member{key, raw})
	}
	return out, nil
}

// Get returns the value of a key: a string without its quotes, anything else as
// its JSON. ok is false when the object lacks the key.
func Get(data []byte, key string) (value []byte, ok bool, err error) {
	members, err := parse(data)
	if err != nil {
		return nil, false, err
	}
	for _, m := range members {
		if m.key == key {
			return m.text(), true, nil
		}
	}
	return nil, false, nil
}

// text is a string without its quotes, anything else as its JSON.
func (m member) text() []byte {
	var s string
	if m.raw[0] == '"' && json.Unmarshal(m.raw, &s) == nil {
		return []byte(s)
	}
	return m.raw
}

// Member is one key of an object with its value: a string without its quotes,
// anything else as its JSON.
type Member struct {
	Key   string
	Value sensitive.Bytes
}

// Members lists the keys of an object in their order.
func Members(data []byte) ([]Member, error) {
	members, err := parse(data)
	if err != nil {
		return nil, err
	}
	out := make([]Member, len(members))
	for i, m := range members {
		out[i] = Member{m.key, sensitive.New(m.text())}
	}
	return out, nil
}

// Set returns the object with a key set to a string, in place when it is there
// and at the end otherwise. Empty data counts as an empty object.
func Set(data []byte, key string, value []byte) ([]byte, error) {
	var members []member
	if len(data) > 0 {
		var err error
		if members, err = parse(data); err != nil {
			return nil, err
		}
	}
	set := member{key, quote(string(value))}
	found := false
	for i := range members {
		if members[i].key == key {
			members[i], found = set, true
		}
	}
	if !found {
		members = append(members, set)
	}
	out := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, quote(m.key)...), ':'), m.raw...)
	}
	return append(out, '}'), nil
}

// quote spells a string without the escapes that only HTML needs.
func quote(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(s) != nil {
		return []byte(`""`) // a string always encodes
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
