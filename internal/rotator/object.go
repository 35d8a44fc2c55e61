package rotator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"countersign/internal/sensitive"
)

// Object is the value of a secret as the JSON object that it is, with its members
// in their order.
type Object struct {
	names  []string
	values map[string]json.RawMessage
}

// NewObject is the object without members.
func NewObject() *Object { return &Object{values: map[string]json.RawMessage{}} }

// ParseObject reads a value. It fails when that is no JSON object, or has a member
// twice: which of the two a reader takes nobody can say.
func ParseObject(v Value) (*Object, error) {
	bad := func(cause error) (*Object, error) {
		return nil, Fail(Unsuitable, cause, "the value of the secret is not a JSON object")
	}
	if v.Empty() {
		return nil, Fail(Unsuitable, nil, "the secret has no value yet")
	}
	d := json.NewDecoder(bytes.NewReader(v.Data.Reveal()))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return bad(err)
	}
	o := NewObject()
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return bad(err)
		}
		n := t.(string) // the decoder lets nothing else be there
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return bad(err)
		}
		if _, twice := o.values[n]; twice {
			return nil, Fail(Unsuitable, nil, "the value of the secret has a member twice")
		}
		o.names, o.values[n] = append(o.names, n), raw
	}
	if _, err := d.Token(); err != nil {
		return bad(err)
	}
	if d.More() {
		return bad(nil)
	}
	return o, nil
}

// Get returns the first of the members that is there, as text: a JSON string's, or a
// number as it is written. It returns "" when none is, or when it is something else.
func (o *Object) Get(names ...string) string {
	for _, n := range names {
		raw, ok := o.values[n]
		if !ok {
			continue
		}
		var s string
		if json.Unmarshal(raw, &s) == nil {
			return s
		}
		if _, err := strconv.ParseFloat(string(raw), 64); err == nil {
			return string(raw)
		}
		return ""
	}
	return ""
}

// Need is Get, and a Failure when there is nothing.
func (o *Object) Need(names ...string) (string, error) {
	if s := o.Get(names...); s != "" {
		return s, nil
	}
	return "", Fail(Unsuitable, nil, "the value of the secret has no member %q", names[0])
}

// Has returns the first of the names that is a member, or the first name.
func (o *Object) Has(names ...string) string {
	for _, n := range names {
		if _, ok := o.values[n]; ok {
			return n
		}
	}
	return names[0]
}

// Set puts a member of text, in the place of the one that is there or at the end.
func (o *Object) Set(member, text string) { o.put(member, encode(text)) }

// JSON returns a member as it is written, nil when there is none. It must not be
// changed.
func (o *Object) JSON(member string) json.RawMessage { return o.values[member] }

// SetJSON puts a member that is any JSON, as Set does one of text. It panics when
// raw is not JSON: what a stranger wrote is parsed before it is put anywhere.
func (o *Object) SetJSON(member string, raw json.RawMessage) {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		panic("setting a member that is not JSON") // the cause may quote it
	}
	o.put(member, b.Bytes())
}

func (o *Object) put(member string, raw json.RawMessage) {
	if _, ok := o.values[member]; !ok {
		o.names = append(o.names, member)
	}
	o.values[member] = raw
}

// Value writes the object out. Members that were not set are as they were written.
func (o *Object) Value() Value {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, n := range o.names {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(encode(n))
		b.WriteByte(':')
		b.Write(o.values[n])
	}
	b.WriteByte('}')
	return Value{Data: sensitive.New(b.Bytes())}
}

// MaxValue is how long a value made by a rotation can be, in bytes: as long as AWS takes
// one. The store holds longer ones.
const MaxValue = 64 << 10

// Created is the object as the new value, if it is not too long.
func (o *Object) Created() (Created, error) {
	v := o.Value()
	if n := v.Data.Len(); n > MaxValue {
		return Created{}, Fail(Unsuitable, nil, "the new value has %d bytes, and a value has at most %d: its other members are too long", n, MaxValue)
	}
	return Created{Value: v}, nil
}

func encode(text string) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a password is to be found as it is
	if err := e.Encode(text); err != nil {
		panic(fmt.Sprintf("encoding a string: %v", err)) // it cannot fail
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
