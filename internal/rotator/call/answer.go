package call

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"countersign/internal/rotator"
	"countersign/internal/sensitive"
)

// Answer is what create can be answered with.
type Answer struct {
	Value rotator.Value // empty: there is none
	Note  string
}

// Errors of answers. Their text holds nothing of what was answered.
var (
	errNoObject = errors.New("the answer is not a JSON object, or has a member twice")
	errBoth     = errors.New("the answer has a value and a value in base64")
	errText     = errors.New("the value in the answer is not a text of whole characters")
	errBase64   = errors.New("the value in the answer is not base64")
	errEmpty    = errors.New("the value in the answer is empty")
	errLong     = errors.New("the value in the answer is longer than 65536 bytes")
	errNote     = errors.New("the note in the answer is not a text of at most 1024 bytes")
)

// ParseAnswer reads an answer to create:
//
//	{"value": TEXT} or {"value_base64": BYTES}, and "note": TEXT beside
//
// Other members are let be. Nothing at all is an Answer without a value. The text of
// an error is safe to show.
func ParseAnswer(b []byte) (Answer, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return Answer{}, nil
	}
	o, err := rotator.ParseObject(rotator.Value{Data: sensitive.New(b)})
	if err != nil {
		return Answer{}, errNoObject
	}
	var a Answer
	if a.Value, err = Pick(o, "value", "value_base64"); err != nil {
		return Answer{}, err
	}
	if raw := member(o, "note"); raw != nil {
		if a.Note, err = Text(raw); err != nil || len(a.Note) > rotator.MaxNote {
			return Answer{}, errNote
		}
	}
	return a, nil
}

// member is a member that is there and not null.
func member(o *rotator.Object, n string) json.RawMessage {
	raw := o.JSON(n)
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// Pick takes a value out of an answer: a member of text, or one of base64. It is
// empty when there is neither.
func Pick(o *rotator.Object, text, binary string) (rotator.Value, error) {
	asText, asBytes := member(o, text), member(o, binary)
	var v rotator.Value
	switch {
	case asText == nil && asBytes == nil:
		return v, nil
	case asText != nil && asBytes != nil:
		return v, errBoth
	case asText != nil:
		s, err := Text(asText)
		if err != nil {
			return v, errText
		}
		v = rotator.Text(s)
	default:
		s, err := Text(asBytes)
		if err != nil {
			return v, errBase64
		}
		b, err := base64.StdEncoding.Strict().DecodeString(s)
		if err != nil {
			return v, errBase64
		}
		v = rotator.Value{Data: sensitive.New(b), Binary: true}
	}
	switch n := v.Data.Len(); {
	case n == 0:
		return rotator.Value{}, errEmpty
	case n > rotator.MaxValue:
		return rotator.Value{}, errLong
	}
	return v, nil
}

// Text is a JSON string. It fails on one that does not come over as it was meant:
// what is no character would silently become another, and the value one that the
// target does not have.
func Text(raw json.RawMessage) (string, error) {
	var s string
	if len(raw) == 0 || raw[0] != '"' || !utf8.Valid(raw) || json.Unmarshal(raw, &s) != nil || strings.ContainsRune(s, utf8.RuneError) {
		return "", errText
	}
	return s, nil
}

// Refusal is what a call that failed can be answered with.
type Refusal struct {
	Class       rotator.Class // "" when it says none
	Code        string        // as Code cleans it
	Unsupported bool
}

// classes that what is called can give.
var classes = map[string]rotator.Class{
	string(rotator.Unreachable): rotator.Unreachable,
	string(rotator.Credentials): rotator.Credentials,
	string(rotator.Permission):  rotator.Permission,
	string(rotator.Unsuitable):  rotator.Unsuitable,
	string(rotator.Rejected):    rotator.Rejected,
}

// ParseRefusal reads the body of a failure, which may be anything:
//
//	{"class": CLASS, "code": CODE, "unsupported": true}
func ParseRefusal(b []byte) (r Refusal) {
	o, err := rotator.ParseObject(rotator.Value{Data: sensitive.New(b)})
	if err != nil {
		return Refusal{}
	}
	return Refusal{Class: classes[o.Get("class")], Code: Code(o.Get("code")), Unsupported: string(o.JSON("unsupported")) == "true"}
}

// maxCode is how much of a code is shown, in bytes.
const maxCode = 64

// Code is what may be shown of a code that was answered: its first letters, digits
// and .:_$- up to 64, "" when there are others before.
func Code(s string) string {
	s = s[:min(len(s), maxCode)]
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte(".:_$-", c) < 0 {
			return s[:i]
		}
	}
	return s
}

// Shown is a code with a space before it and in brackets, "" when there is none, or
// when it is a part of a value of the job or the other way round: then something was
// put there that nobody may see.
func Shown(code string, j rotator.Job) string {
	if code == "" {
		return ""
	}
	secrets := []sensitive.Bytes{j.Token, j.Current.Data, j.Pending.Data, j.Previous.Data}
	for _, v := range j.Related {
		secrets = append(secrets, v.Data)
	}
	for _, s := range secrets {
		b := s.Reveal()
		if bytes.Contains(b, []byte(code)) || len(b) > 0 && bytes.Contains([]byte(code), b) {
			return ""
		}
	}
	return " (" + code + ")"
}
