package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// readFile reads a regular file of at most limit bytes. The info is that of the
// file that was read, whatever its name means by now.
func readFile(path string, limit int64) ([]byte, os.FileInfo, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, nil, err // it names the path
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("examining settings: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errs.New(errs.Invalid, "%q is no regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, nil, fmt.Errorf("reading settings: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, nil, errs.New(errs.Limit, "%q is larger than %d bytes", path, limit)
	}
	return b, info, nil
}

// object is a JSON object that keeps its fields in order, those of other
// releases included. encoding/json alone takes "PROJECT" for "project" and the
// last of two.
type object []member

type member struct {
	name string
	raw  sensitive.Bytes // JSON; a token, for all that is known
}

// parseObject never quotes the text.
func parseObject(text []byte) (object, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(text, new(json.RawMessage)); errors.As(err, &syntax) {
		at := max(0, min(int(syntax.Offset), len(text)))
		return nil, fmt.Errorf("it is no valid JSON (line %d)", 1+bytes.Count(text[:at], []byte("\n")))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is no JSON object")
	}
	var out object
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, errors.New("it is no JSON object")
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, errors.New("it is no JSON object")
		}
		if out.find(name) >= 0 {
			return nil, fmt.Errorf("%s: the field is given twice", shown(name))
		}
		out = append(out, member{name, sensitive.New(raw)})
	}
	return out, nil
}

// shown is a field's name for an error. A file of another kind may hold
// anything there.
func shown(name string) string {
	if len(name) > 40 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "a field"
	}
	return name
}

func (o object) find(name string) int {
	return slices.IndexFunc(o, func(m member) bool { return m.name == name })
}

// text reads a field that is a string; absent is empty.
func (o object) text(name string, to *string) error {
	i := o.find(name)
	if i < 0 {
		return nil
	}
	if raw := o[i].raw.Reveal(); raw[0] != '"' || json.Unmarshal(raw, to) != nil {
		return fmt.Errorf("%s: it is no string", name)
	}
	return nil
}

func (o object) secret(name string, to *sensitive.Bytes) error {
	var s string
	err := o.text(name, &s)
	*to = sensitive.FromString(s)
	return err
}

func (o object) time(name string, to *time.Time) error {
	var s string
	if err := o.text(name, &s); err != nil || s == "" {
		return err
	}
	t, err := time.Parse(time.RFC3339, s)
	if y := t.UTC().Year(); err != nil || y < 1 || y > 9999 {
		return fmt.Errorf("%s: it is no time such as 2026-01-02T15:04:05Z", name)
	}
	*to = t
	return nil
}

// set puts a field in its place, or at the end; empty removes it.
func (o *object) set(name, value string) {
	if value == "" {
		o.setRaw(name, nil)
		return
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return // a string always encodes
	}
	o.setRaw(name, raw)
}

func (o *object) setTime(name string, t time.Time) {
	if t.IsZero() {
		o.setRaw(name, nil)
		return
	}
	o.set(name, t.UTC().Format(time.RFC3339Nano))
}

func (o *object) setRaw(name string, raw json.RawMessage) {
	i := o.find(name)
	switch {
	case raw == nil && i >= 0:
		*o = slices.Delete(*o, i, i+1)
	case raw != nil && i >= 0:
		(*o)[i].raw = sensitive.New(raw)
	case raw != nil:
		*o = append(*o, member{name, sensitive.New(raw)})
	}
}

// encode writes the object on one line.
func (o object) encode() (json.RawMessage, error) {
	out := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), m.raw.Reveal()...)
	}
	return append(out, '}'), nil
}
