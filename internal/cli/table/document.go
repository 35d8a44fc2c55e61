package table

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"countersign/internal/cli/streams"
)

// Document prints a JSON object as names and values in its own order, one a
// line. A member of a member is named "outer.inner"; an element of a list of
// objects "outer.1.inner"; a list of plain values is one line.
func Document(s *streams.Streams, raw json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := decode(d)
	if err != nil {
		return err
	}
	o, ok := v.(object)
	if !ok {
		return errors.New("showing answer: it is no JSON object")
	}
	var pairs []any
	flatten(&pairs, "", o)
	return Fields(s, pairs...)
}

// object is a JSON object that keeps its order.
type object []field

type field struct {
	name  string
	value any
}

func decode(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("showing answer: %w", err)
	}
	switch t {
	case json.Delim('{'):
		o := object{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, fmt.Errorf("showing answer: %w", err)
			}
			v, err := decode(d)
			if err != nil {
				return nil, err
			}
			text, _ := name.(string)
			o = append(o, field{text, v})
		}
		_, err = d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := decode(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	return t, nil
}

func flatten(to *[]any, name string, v any) {
	inner := func(part string) string {
		if name == "" {
			return part
		}
		return name + "." + part
	}
	switch v := v.(type) {
	case object:
		for _, f := range v {
			flatten(to, inner(strings.ReplaceAll(f.name, "_", "-")), f.value)
		}
	case []any:
		var plain []string
		for i, e := range v {
			switch e.(type) {
			case object, []any:
				flatten(to, inner(fmt.Sprint(i+1)), e)
			default:
				plain = append(plain, fmt.Sprint(e))
			}
		}
		if len(plain) > 0 {
			*to = append(*to, name, strings.Join(plain, ", "))
		}
	case nil:
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			*to = append(*to, name, at)
		} else {
			*to = append(*to, name, v)
		}
	case bool:
		*to = append(*to, name, map[bool]string{true: "yes", false: "no"}[v])
	default:
		*to = append(*to, name, fmt.Sprint(v))
	}
}
