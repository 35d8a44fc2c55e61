package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
)

// Limits of JSON. A number as large as it may be written takes memory without end
// to reckon with.
const (
	maxDigits   = 64  // characters of a number
	maxExponent = 100 // of a number
)

var (
	errDeep   = errors.New("it is nested too deep")
	errTwice  = errors.New("a key is given twice in one object")
	errNumber = errors.New("a number is longer than can be judged")
	errParts  = errors.New("it has too many parts")
)

// parse reads valid JSON into what the library takes. Its errors repeat nothing of
// the text.
func parse(text []byte, depth, parts int) (any, error) {
	p := &parser{d: json.NewDecoder(bytes.NewReader(text)), parts: parts}
	p.d.UseNumber()
	return p.value(depth)
}

type parser struct {
	d     *json.Decoder
	parts int // that may still come
}

func (p *parser) value(depth int) (any, error) {
	t, err := p.d.Token()
	if err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	if p.parts--; p.parts < 0 {
		return nil, errParts
	}
	switch t := t.(type) {
	case json.Number:
		if !fits(t.String()) {
			return nil, errNumber
		}
	case json.Delim:
		if depth == 0 {
			return nil, errDeep
		}
		if t == '{' {
			return p.object(depth - 1)
		}
		return p.array(depth - 1)
	}
	return t, nil
}

func (p *parser) object(depth int) (any, error) {
	out := map[string]any{}
	for p.d.More() {
		t, err := p.d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return nil, io.ErrUnexpectedEOF
		}
		if _, twice := out[key]; twice {
			return nil, errTwice
		}
		if out[key], err = p.value(depth); err != nil {
			return nil, err
		}
	}
	_, err := p.d.Token()
	return out, err
}

func (p *parser) array(depth int) (any, error) {
	out := []any{}
	for p.d.More() {
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := p.d.Token()
	return out, err
}

// fits tells whether a number can be reckoned with.
func fits(number string) bool {
	if len(number) > maxDigits {
		return false
	}
	i := strings.IndexAny(number, "eE")
	if i < 0 {
		return true
	}
	e, err := strconv.Atoi(number[i+1:])
	return err == nil && -maxExponent <= e && e <= maxExponent
}

// size is how many parts a document has.
func size(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for _, m := range v {
			n += size(m)
		}
	case []any:
		for _, m := range v {
			n += size(m)
		}
	case json.Number:
		n = numberCost
	}
	return n
}
