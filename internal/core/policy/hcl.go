package policy

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf8"

	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/token"
)

// Limits of a document of the HCL dialect, beside MaxBytes.
const (
	MaxRules    = 512  // path blocks in a document
	maxPath     = 1024 // bytes of a path, as written and with its templates filled
	maxBrackets = 48   // opening brackets before their closing ones, wherever they stand
)

// textDialect says which dialect a text is written in, which it need not be
// well-formed for: what begins like a JSON value is one. A JSON object is of the
// HCL dialect when it has paths and no statements.
func textDialect(data []byte) Dialect {
	data = bytes.TrimLeft(data, " \t\r\n")
	if len(data) == 0 || bytes.IndexByte([]byte(`{["-0123456789`), data[0]) >= 0 && data[0] != '"' || jsonWord(data) {
		return IAM
	}
	return HCL
}

// jsonWord reports whether a text is one of the three words that are JSON.
func jsonWord(data []byte) bool {
	switch string(bytes.TrimRight(data, " \t\r\n")) {
	case "null", "true", "false":
		return true
	}
	return false
}

// inHCL reports whether a JSON object is a document of the HCL dialect.
func (n *node) inHCL() bool {
	paths := false
	for i := range n.members {
		switch n.members[i].name {
		case "Statement":
			return false
		case "path":
			paths = true
		}
	}
	return paths
}

// readHCL reads a document in HCL 1, which the tools for policies write, as the
// same nodes that JSON is read as: a block is an object in a member of its name,
// and its labels are objects in between. Members may come several times.
func readHCL(data []byte) (root node, err error) {
	if len(data) > MaxBytes {
		return node{}, malformed("the document has %d bytes; the most is %d", len(data), MaxBytes)
	}
	if !utf8.Valid(data) {
		return node{}, malformed("the document is not UTF-8 text")
	}
	if open(data) > maxBrackets {
		return node{}, malformed("the document has more than %d brackets open at once", maxBrackets)
	}
	// The parser gives up with a panic on some texts that it scans without one.
	defer func() {
		if recover() != nil {
			root, err = node{}, malformed("the document is not HCL")
		}
	}()
	file, err := parser.Parse(data)
	if err != nil {
		var at *parser.PosError
		if errors.As(err, &at) {
			return node{}, malformed("the document is not HCL: line %d, column %d", at.Pos.Line, at.Pos.Column)
		}
		return node{}, malformed("the document is not HCL")
	}
	return fromHCL(file.Node, 1)
}

// open is the greatest number of brackets that are open at once, strings and
// comments counted too. It bounds how deep the parser descends.
func open(data []byte) (most int) {
	n := 0
	for _, c := range data {
		switch c {
		case '{', '[':
			n++
			most = max(most, n)
		case '}', ']':
			n = max(0, n-1)
		}
	}
	return most
}

func fromHCL(n ast.Node, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, malformed("the document is nested deeper than %d levels", maxDepth)
	}
	switch n := n.(type) {
	case *ast.ObjectType:
		return fromHCL(n.List, depth)
	case *ast.ObjectList:
		return fromItems(n.Items, depth)
	case *ast.ListType:
		out := node{shape: isArray}
		for _, it := range n.List {
			v, err := fromHCL(it, depth+1)
			if err != nil {
				return node{}, err
			}
			out.items = append(out.items, v)
		}
		return out, nil
	case *ast.LiteralType:
		return fromToken(n.Token), nil
	}
	return node{}, malformed("the document is not HCL")
}

func fromItems(items []*ast.ObjectItem, depth int) (node, error) {
	out := node{shape: isObject}
	for _, it := range items {
		if len(it.Keys) == 0 || depth+len(it.Keys) > maxDepth {
			return node{}, malformed("the document is nested deeper than %d levels", maxDepth)
		}
		v, err := fromHCL(it.Val, depth+len(it.Keys))
		if err != nil {
			return node{}, err
		}
		for i := len(it.Keys) - 1; i > 0; i-- {
			v = node{shape: isObject, members: []member{{keyText(it.Keys[i]), v}}}
		}
		out.members = append(out.members, member{keyText(it.Keys[0]), v})
	}
	return out, nil
}

func keyText(k *ast.ObjectKey) string { return k.Token.Value().(string) }

func fromToken(t token.Token) node {
	switch v := t.Value().(type) {
	case string:
		return node{shape: isString, text: v}
	case int64:
		return node{shape: isNumber, text: strconv.FormatInt(v, 10)}
	case float64:
		return node{shape: isNumber, text: strconv.FormatFloat(v, 'g', -1, 64)}
	case bool:
		return node{shape: isBool, text: strconv.FormatBool(v)}
	}
	return node{shape: isNull}
}
