package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// Limits of a schema. The server's are lower.
const (
	MaxSchema      = 64 << 10 // bytes of a file
	maxSchemaDepth = 40
)

// scanSchema is scan without a look at the names of members: a schema names the keys
// of a value, of which some hold passwords.
func (r *reader) scanSchema(n *yaml.Node, depth int) {
	switch {
	case depth > maxSchemaDepth:
		r.fail(n, "this is nested too deep")
		return
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.fail(n, "anchors and aliases are not taken")
		return
	case n.Kind == yaml.ScalarNode:
		r.looks(n, n.Value)
	}
	seen := map[string]bool{}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if c.Kind != yaml.ScalarNode || c.Tag == "!!merge" {
				r.fail(c, "the name of a member is a text")
				return
			}
			if seen[c.Value] {
				r.fail(c, "this member is given twice in one mapping")
			}
			seen[c.Value] = true
		}
		r.scanSchema(c, depth+1)
	}
}

// looks refuses a text that is a secret by its looks.
func (r *reader) looks(n *yaml.Node, text string) bool {
	for _, l := range looksSecret {
		if l.is.MatchString(text) {
			r.fail(n, "this looks like %s; %s", l.what, neverText)
			return true
		}
	}
	return false
}

// schema reads a schema: a mapping, the path of a file, or an empty text for none.
func (r *reader) schema(to **string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var text string
		switch n.Kind {
		case yaml.MappingNode:
			var b bytes.Buffer
			if !r.json(&b, n) {
				return
			}
			text = b.String()
		default:
			path := r.text(n)
			if path != "" {
				if text = r.schemaFile(n, path); text == "" {
					return
				}
			}
		}
		*to = &text
	}
}

func (r *reader) schemaFile(n *yaml.Node, path string) string {
	if r.load == nil {
		r.fail(n, "a schema is a mapping here: there is no place from which a file could be found")
		return ""
	}
	if !filepath.IsLocal(path) {
		r.fail(n, "a schema is a mapping, or the path of a JSON file below the directory of this file")
		return ""
	}
	b, err := r.load(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.fail(n, "there is no such file")
		return ""
	case err != nil:
		r.fail(n, "the file cannot be read")
		return ""
	case len(b) > MaxSchema || !json.Valid(b):
		r.fail(n, "the file is no JSON, or is larger than %d bytes", MaxSchema)
		return ""
	case r.looks(n, string(b)):
		return ""
	}
	var out bytes.Buffer
	_ = json.Compact(&out, b) // it is valid
	return out.String()
}

// json writes YAML as JSON, members in their order.
func (r *reader) json(b *bytes.Buffer, n *yaml.Node) bool {
	switch n.Kind {
	case yaml.MappingNode, yaml.SequenceNode:
		open, end, step := byte('['), byte(']'), 1
		if n.Kind == yaml.MappingNode {
			open, end, step = '{', '}', 2
		}
		b.WriteByte(open)
		for i := 0; i+step <= len(n.Content); i += step {
			if i > 0 {
				b.WriteByte(',')
			}
			if step == 2 {
				quote(b, n.Content[i].Value)
				b.WriteByte(':')
			}
			if !r.json(b, n.Content[i+step-1]) {
				return false
			}
		}
		b.WriteByte(end)
		return true
	}
	switch n.Tag {
	case "!!null":
		b.WriteString("null")
	case "!!bool", "!!int", "!!float":
		if !json.Valid([]byte(n.Value)) {
			r.fail(n, "write numbers, true and false as in JSON, and texts in quotes")
			return false
		}
		b.WriteString(n.Value)
	case "!!str", "!!timestamp":
		quote(b, n.Value)
	default:
		r.fail(n, "this has no form in JSON")
		return false
	}
	return true
}

func quote(b *bytes.Buffer, text string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a text always encodes
	b.Truncate(b.Len() - 1)
}
