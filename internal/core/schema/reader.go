package schema

import (
	"encoding/json"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// node is a schema within the schema, as far as the work of it goes.
type node struct {
	own        int     // what each use costs
	insts      int     // instructions of its pattern
	text       bool    // it looks at all of a text
	unique     bool    // it compares items with each other
	here       []*node // about the same thing
	props      map[string]*node
	patterned  []*node // of keys by a pattern
	keyInsts   int     // instructions of those patterns
	additional []*node // of other keys
	names      []*node // of the keys themselves
	prefix     []*node
	items      []*node
	loose      bool // it asks for what others have not looked at

	chain int // longest way through here; 0: not yet known
	on    bool
}

// reader reads a schema keyword by keyword.
type reader struct {
	defs  map[string]*node
	names map[string]bool
	nodes int
	insts int
	loose bool
	known map[string]keyword
}

const (
	numberCost = 12 // of reckoning with one number
	draft      = "https://json-schema.org/draft/2020-12/schema"
)

// formats are those that the library decides, and that are of use here. The time of
// each is linear.
var formats = map[string]bool{"date-time": true, "date": true, "time": true, "duration": true, "email": true, "hostname": true, "ipv4": true,
	"ipv6": true, "uri": true, "uri-reference": true, "uuid": true, "json-pointer": true}

// document reads the outermost schema.
func (r *reader) document(doc any) (*node, error) {
	if obj, ok := doc.(map[string]any); ok {
		defs, err := object("", obj, "$defs")
		if err != nil {
			return nil, err
		}
		for name := range defs {
			if !defName.MatchString(name) {
				return nil, refuse("/$defs", "a name here has letters, digits and the signs . _ -")
			}
			r.defs[name] = &node{}
		}
		for _, name := range sorted(defs) {
			if err := r.schema(r.defs[name], defs[name], "/$defs/"+name); err != nil {
				return nil, err
			}
		}
	}
	root := &node{}
	if err := r.schema(root, doc, ""); err != nil {
		return nil, err
	}
	for _, n := range append(slices.Collect(maps.Values(r.defs)), root) {
		if err := n.bounded(); err != nil {
			return nil, err
		}
	}
	if r.loose {
		root.spread(map[*node]bool{})
	}
	return root, nil
}

var defName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func sorted(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// bounded refuses circles, and chains that are too long.
func (n *node) bounded() error {
	switch {
	case n.on:
		return refuse("/$defs", "a schema that leads to itself is not taken")
	case n.chain != 0:
		return nil
	}
	n.on = true
	longest := 0
	for _, c := range n.children() {
		if err := c.bounded(); err != nil {
			return err
		}
	}
	for _, c := range n.here {
		longest = max(longest, c.chain)
	}
	n.on, n.chain = false, longest+1
	if n.chain > maxChain {
		return refuse("", "more than "+strconv.Itoa(maxChain)+" schemas in a chain are about the same thing")
	}
	return nil
}

func (n *node) children() []*node {
	return slices.Concat(n.here, slices.Collect(maps.Values(n.props)), n.patterned, n.additional, n.names, n.prefix, n.items)
}

// spread marks all schemas of a document in which it is noted what was looked at.
func (n *node) spread(seen map[*node]bool) {
	if seen[n] {
		return
	}
	seen[n], n.loose = true, true
	for _, c := range n.children() {
		c.spread(seen)
	}
}

// schema reads one schema.
func (r *reader) schema(n *node, doc any, at string) error {
	if r.nodes++; r.nodes > maxNodes {
		return refuse("", "there are more than "+strconv.Itoa(maxNodes)+" schemas in it")
	}
	n.own = 2
	switch doc := doc.(type) {
	case bool:
		return nil
	case map[string]any:
		for _, k := range sorted(doc) {
			read, ok := r.known[k]
			if !ok {
				return refuse(at, "a keyword is not known or not taken: "+quoted(k))
			}
			if err := read(r, n, doc[k], at+"/"+escape(k)); err != nil {
				return err
			}
		}
		return nil
	}
	return refuse(at, "a schema is an object, or true or false")
}

// keyword reads what stands under a keyword.
type keyword func(r *reader, n *node, v any, at string) error

// keywords are all that are taken.
func keywords() map[string]keyword {
	here := func(n *node) *[]*node { return &n.here }
	additional := func(n *node) *[]*node { return &n.additional }
	items := func(n *node) *[]*node { return &n.items }
	t := map[string]keyword{
		"$schema": (*reader).dialect, "$defs": ignored, "$ref": (*reader).ref,
		"type": costs(1), "const": (*reader).listed, "enum": (*reader).listed,
		"multipleOf": costs(numberCost), "maximum": costs(numberCost), "minimum": costs(numberCost),
		"exclusiveMaximum": costs(numberCost), "exclusiveMinimum": costs(numberCost),
		"pattern": (*reader).pattern, "format": (*reader).format, "uniqueItems": (*reader).unique,
		"required": (*reader).required, "dependentRequired": (*reader).dependent,
		"allOf": many(here), "anyOf": many(here), "oneOf": many(here), "not": one(here), "if": one(here), "then": one(here), "else": one(here),
		"dependentSchemas": (*reader).dependentSchemas, "properties": (*reader).properties, "patternProperties": (*reader).patterned,
		"additionalProperties": one(additional), "unevaluatedProperties": loosely(one(additional)),
		"propertyNames": one(func(n *node) *[]*node { return &n.names }),
		"prefixItems":   many(func(n *node) *[]*node { return &n.prefix }),
		"items":         one(items), "contains": one(items), "unevaluatedItems": loosely(one(items)),
	}
	for _, k := range []string{"minLength", "maxLength"} {
		t[k] = counts(true)
	}
	for _, k := range []string{"minItems", "maxItems", "minContains", "maxContains", "minProperties", "maxProperties"} {
		t[k] = counts(false)
	}
	for _, k := range []string{"title", "description", "$comment", "deprecated", "readOnly", "writeOnly"} {
		t[k] = ignored
	}
	for _, k := range []string{"default", "examples"} {
		t[k] = valued
	}
	return t
}

// valued refuses what is there for a value. Who may see the schema need not be who
// may see the value.
func valued(_ *reader, _ *node, _ any, at string) error {
	return refuse(at, "a schema holds no value of a secret, nor an example of one")
}

func ignored(*reader, *node, any, string) error { return nil }

func costs(c int) keyword {
	return func(_ *reader, n *node, _ any, _ string) error {
		n.own += c
		return nil
	}
}

// counts reads a number of things, which the library keeps as an int.
func counts(text bool) keyword {
	return func(_ *reader, n *node, v any, at string) error {
		num, ok := v.(json.Number)
		c, err := strconv.Atoi(num.String())
		if !ok || err != nil || c < 0 || c > maxCount {
			return refuse(at, "this is a whole number from 0 to "+strconv.Itoa(maxCount))
		}
		n.own++
		n.text = n.text || text
		return nil
	}
}

func one(of func(*node) *[]*node) keyword {
	return func(r *reader, n *node, v any, at string) error {
		c := &node{}
		to := of(n)
		*to = append(*to, c)
		return r.schema(c, v, at)
	}
}

func many(of func(*node) *[]*node) keyword {
	return func(r *reader, n *node, v any, at string) error {
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			return refuse(at, "this is a list of schemas")
		}
		for i, v := range list {
			if err := one(of)(r, n, v, at+"/"+strconv.Itoa(i)); err != nil {
				return err
			}
		}
		return nil
	}
}

func loosely(k keyword) keyword {
	return func(r *reader, n *node, v any, at string) error {
		r.loose = true
		return k(r, n, v, at)
	}
}

func (r *reader) dialect(_ *node, v any, at string) error {
	if v != draft || at != "/$schema" {
		return refuse(at, "the one that is known is "+draft+", at the top")
	}
	return nil
}

func (r *reader) ref(n *node, v any, at string) error {
	text, _ := v.(string)
	name, local := strings.CutPrefix(text, "#/$defs/")
	to := r.defs[name]
	if !local || to == nil {
		return refuse(at, "a reference leads to #/$defs/NAME at the top of this schema, and nowhere else")
	}
	n.here = append(n.here, to)
	return nil
}

func (r *reader) listed(n *node, v any, _ string) error {
	n.own += size(v)
	return nil
}

// compiled reads a pattern.
func (r *reader) compiled(text, at string) (int, error) {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0, refuse(at, "this pattern is none of RE2")
	}
	size := instructions(tree)
	if r.insts += size; r.insts > maxInsts {
		return 0, refuse(at, "the patterns are too large together")
	}
	return size, nil
}

// instructions is how many a pattern will have at most. It is reckoned on the tree,
// because repetitions are written out only when it is compiled.
func instructions(re *syntax.Regexp) int {
	n := 2
	for _, sub := range re.Sub {
		n = min(n+instructions(sub), 2*maxInsts)
	}
	switch re.Op {
	case syntax.OpLiteral:
		n += len(re.Rune)
	case syntax.OpCharClass:
		n += len(re.Rune) / 8
	case syntax.OpRepeat:
		n *= max(re.Min+1, re.Max) // without an upper bound, the last one is repeated
	}
	return min(n, 2*maxInsts)
}

func (r *reader) pattern(n *node, v any, at string) (err error) {
	text, ok := v.(string)
	if !ok {
		return refuse(at, "a pattern is a text")
	}
	n.insts, err = r.compiled(text, at)
	return err
}

func (r *reader) format(n *node, v any, at string) error {
	text, _ := v.(string)
	if !formats[text] {
		return refuse(at, "the formats are "+strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
	}
	n.text = true
	return nil
}

func (r *reader) unique(n *node, v any, at string) error {
	is, ok := v.(bool)
	if !ok {
		return refuse(at, "this is true or false")
	}
	n.unique = is
	return nil
}

// say notes the names of keys.
func (r *reader) say(v any) int {
	list, _ := v.([]any)
	for _, k := range list {
		if s, ok := k.(string); ok {
			r.names[s] = true
		}
	}
	return len(list)
}

func (r *reader) required(n *node, v any, _ string) error {
	n.own += r.say(v)
	return nil
}

func object(at string, in map[string]any, key string) (map[string]any, error) {
	v, there := in[key]
	m, ok := v.(map[string]any)
	if there && !ok {
		return nil, refuse(at+"/"+key, "this is an object")
	}
	return m, nil
}

// each calls for the members of an object.
func each(v any, at string, do func(key string, v any, at string) error) error {
	m, ok := v.(map[string]any)
	if !ok {
		return refuse(at, "this is an object")
	}
	for _, k := range sorted(m) {
		if err := do(k, m[k], at+"/"+escape(k)); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) dependent(n *node, v any, at string) error {
	return each(v, at, func(key string, v any, _ string) error {
		r.names[key] = true
		n.own += 1 + r.say(v)
		return nil
	})
}

func (r *reader) dependentSchemas(n *node, v any, at string) error {
	return each(v, at, func(key string, v any, at string) error {
		r.names[key] = true
		c := &node{}
		n.here = append(n.here, c)
		return r.schema(c, v, at)
	})
}

func (r *reader) properties(n *node, v any, at string) error {
	n.props = map[string]*node{}
	return each(v, at, func(key string, v any, at string) error {
		r.names[key] = true
		c := &node{}
		n.props[key] = c
		return r.schema(c, v, at)
	})
}

func (r *reader) patterned(n *node, v any, at string) error {
	return each(v, at, func(key string, v any, at string) error {
		insts, err := r.compiled(key, at)
		if err != nil {
			return err
		}
		n.keyInsts += insts
		c := &node{}
		n.patterned = append(n.patterned, c)
		return r.schema(c, v, at)
	})
}
