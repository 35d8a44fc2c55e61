package dotenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

var formats = []string{"dotenv", "json", "yaml", "shell"}

// Formats are the names that Format takes.
func Formats() []string { return slices.Clone(formats) }

// Format writes variables in a format by its name.
func Format(format string, pairs []Pair) (sensitive.Bytes, error) {
	switch format {
	case "dotenv":
		return Encode(pairs)
	case "json":
		return JSON(pairs)
	case "yaml":
		return YAML(pairs)
	case "shell":
		return Shell(pairs)
	}
	return sensitive.Bytes{}, errs.InvalidField("format", "%q is none of %s", format, strings.Join(formats, ", "))
}

// Shell writes lines "export KEY='value'", which every POSIX shell reads as
// exactly these values.
func Shell(pairs []Pair) (sensitive.Bytes, error) {
	if err := checkPairs(pairs); err != nil {
		return sensitive.Bytes{}, err
	}
	var out []byte
	for _, p := range pairs {
		out = append(out, "export "+p.Key+"='"...)
		out = append(out, bytes.ReplaceAll(p.Value.Reveal(), []byte("'"), []byte(`'\''`))...)
		out = append(out, "'\n"...)
	}
	return sensitive.New(out), nil
}

// JSON writes one object of strings in the order of pairs. A key may be any
// text.
func JSON(pairs []Pair) (sensitive.Bytes, error) {
	if err := checkText(pairs); err != nil {
		return sensitive.Bytes{}, err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	sep := "{\n  "
	for _, p := range pairs {
		out.WriteString(sep)
		sep = ",\n  "
		if err := encode(e, &out, p.Key); err != nil {
			return sensitive.Bytes{}, err
		}
		out.WriteString(": ")
		if err := encode(e, &out, string(p.Value.Reveal())); err != nil {
			return sensitive.Bytes{}, err
		}
	}
	if len(pairs) == 0 {
		return sensitive.FromString("{}\n"), nil
	}
	out.WriteString("\n}\n")
	return sensitive.New(out.Bytes()), nil
}

// encode takes off the line end that an encoder puts behind a value.
func encode(e *json.Encoder, out *bytes.Buffer, s string) error {
	if err := e.Encode(s); err != nil {
		return errs.New(errs.Internal, "encoding a string as JSON") // without the cause, which could quote it
	}
	out.Truncate(out.Len() - 1)
	return nil
}

// longKey is from where on a YAML key needs the form with "?": readers take at
// most 1024 characters without it.
const longKey = 1000

// YAML writes one mapping of strings in the order of pairs. Keys and values are
// in double quotes with every doubtful character escaped, so that readers of
// YAML 1.1 and 1.2 agree on them: none is a number, a boolean or a date. A key
// may be any text.
func YAML(pairs []Pair) (sensitive.Bytes, error) {
	if err := checkText(pairs); err != nil {
		return sensitive.Bytes{}, err
	}
	if len(pairs) == 0 {
		return sensitive.FromString("{}\n"), nil
	}
	var out []byte
	for _, p := range pairs {
		key := quoteYAML(nil, []byte(p.Key))
		if len(key) > longKey {
			out = append(append(append(out, "? "...), key...), '\n')
		} else {
			out = append(out, key...)
		}
		out = append(quoteYAML(append(out, ": "...), p.Value.Reveal()), '\n')
	}
	return sensitive.New(out), nil
}

// quoteYAML appends a double-quoted scalar (YAML 1.2.2, 7.3.1). Only what is
// printable for everybody stays as it is.
func quoteYAML(out, s []byte) []byte {
	out = append(out, '"')
	for _, r := range string(s) {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\r':
			out = append(out, `\r`...)
		case r == '\t':
			out = append(out, `\t`...)
		case r == ' ' || r <= 0xffff && unicode.IsGraphic(r) && !unicode.IsSpace(r):
			out = utf8.AppendRune(out, r)
		case r <= 0xff:
			out = fmt.Appendf(out, `\x%02X`, r)
		case r <= 0xffff:
			out = fmt.Appendf(out, `\u%04X`, r)
		default:
			out = fmt.Appendf(out, `\U%08X`, r)
		}
	}
	return append(out, '"')
}

// checkText refuses what JSON and YAML cannot hold.
func checkText(pairs []Pair) error {
	seen := make(map[string]bool, len(pairs))
	for _, p := range pairs {
		switch {
		case !utf8.ValidString(p.Key):
			return errs.New(errs.Invalid, "key %q is not UTF-8", p.Key)
		case seen[p.Key]:
			return errs.New(errs.Invalid, "key %q is given twice", p.Key)
		case !utf8.Valid(p.Value.Reveal()):
			return errs.New(errs.Invalid, "%q: the value is not UTF-8", p.Key)
		}
		seen[p.Key] = true
	}
	return nil
}
