package vault

import (
	"bytes"
	"encoding/base64"
	"encoding/json"

	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// The members that stand for what the key-value engine cannot say: a value that
// is text and no JSON object, and one that is bytes. They are called as AWS
// clients know them.
const (
	memberText   = "SecretString"
	memberBinary = "SecretBinary"
)

// toInput is the value that data is kept as: the object as text, as it was sent
// but for the space between its parts. An object whose only member is
// SecretString or SecretBinary, with a text, is what that text says.
func toInput(data json.RawMessage) (secret.Input, error) {
	if name, text, ok := onlyMember(data); ok {
		if name == memberText {
			return secret.Input{Data: sensitive.New([]byte(text))}, nil
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return secret.Input{}, errs.InvalidField(memberBinary, "it is not base64")
		}
		return secret.Input{Data: sensitive.New(raw), Binary: true}, nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil || b.Len() == 0 || b.Bytes()[0] != '{' {
		return secret.Input{}, errs.InvalidField("data", "it is not an object")
	}
	return secret.Input{Data: sensitive.New(b.Bytes())}, nil
}

// onlyMember returns the one member of an object that has just one of the two
// names and is a text.
func onlyMember(data []byte) (name, text string, ok bool) {
	if !bytes.Contains(data, []byte("Secret")) && !bytes.Contains(data, []byte(`\u`)) {
		return "", "", false // without looking further, as of nearly all
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return "", "", false
	}
	k, err := dec.Token()
	if err != nil || k != memberText && k != memberBinary {
		return "", "", false
	}
	v, err := dec.Token()
	if err != nil {
		return "", "", false
	}
	if text, ok = v.(string); !ok || dec.More() {
		return "", "", false
	}
	return k.(string), text, true
}

// toData is how the engine shows a value, so that toInput makes the same value of
// it again.
func toData(v secret.Input) json.RawMessage {
	b := v.Data.Reveal()
	switch {
	case v.Binary:
		return append(append([]byte(`{"`+memberBinary+`":"`), base64.StdEncoding.EncodeToString(b)...), `"}`...)
	case isObject(b):
		return b
	}
	out := []byte(`{"` + memberText + `":`)
	return append(appendValue(out, string(b)), '}')
}

// shownData is toData of a version, which may be known to be an object.
func shownData(v secret.KVVersion) json.RawMessage {
	if b := v.Data.Reveal(); v.Object {
		if _, _, special := onlyMember(b); !special {
			return b
		}
	}
	return toData(secret.Input{Data: v.Data, Binary: v.Binary})
}

// isObject reports whether text is a JSON object that can be shown as it is.
func isObject(b []byte) bool {
	t := bytes.TrimLeft(b, " \t\r\n")
	if len(t) == 0 || t[0] != '{' || !json.Valid(b) {
		return false
	}
	_, _, special := onlyMember(b)
	return !special
}

// appendValue writes a JSON string without escaping more than JSON asks for.
func appendValue(b []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}
