package password

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl"
	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/token"

	"countersign/internal/errs"
)

// maxBraces bounds the nesting that the parser is given; a policy needs one level.
const maxBraces = 2 * maxRules * 2

// Parse reads a policy: the length, and rules of the kind "charset" with charset
// and min-chars, in HCL or JSON. Everything else is refused.
func Parse(text string) (p *Policy, err error) {
	defer func() {
		if recover() != nil { // hcl v1 panics on some texts
			p, err = nil, bad("the policy cannot be read")
		}
	}()
	switch {
	case len(text) > MaxBytes:
		return nil, tooMany("bytes", MaxBytes)
	case !utf8.ValidString(text):
		return nil, bad("the policy is not UTF-8 text")
	case strings.Count(text, "{")+strings.Count(text, "[") > maxBraces:
		return nil, tooMany("braces", maxBraces)
	}
	file, err := hcl.Parse(text)
	if err != nil {
		return nil, bad("the policy is not HCL")
	}
	root, ok := file.Node.(*ast.ObjectList)
	if !ok {
		return nil, bad("the policy is not an object")
	}
	p = &Policy{}
	for _, item := range root.Items {
		if err := p.read(item); err != nil {
			return nil, err
		}
	}
	return p, p.check()
}

func bad(format string, args ...any) error { return errs.InvalidField("policy", format, args...) }

// keyOf is a name in the text, without its quotes.
func keyOf(k *ast.ObjectKey) string {
	s, _ := k.Token.Value().(string)
	return s
}

func (p *Policy) read(item *ast.ObjectItem) error {
	switch key := keyOf(item.Keys[0]); {
	case key == "length" && len(item.Keys) == 1:
		if p.Length != 0 {
			return bad("length is given twice")
		}
		n, err := number(item.Val)
		if err != nil {
			return bad("length is not a whole number")
		}
		p.Length = n
		return nil
	case key == "rule" && len(item.Keys) == 2:
		if kind := keyOf(item.Keys[1]); kind != "charset" {
			return bad("there is no rule %q: charset is there", clip(kind))
		}
		return p.readRule(item.Val)
	case key == "rule" && len(item.Keys) == 1: // as JSON has it
		list, err := objects(item.Val)
		if err != nil {
			return err
		}
		for _, o := range list {
			for _, kind := range o.List.Items {
				if keyOf(kind.Keys[0]) != "charset" {
					return bad("there is no rule %q: charset is there", clip(keyOf(kind.Keys[0])))
				}
				if err := p.readRule(kind.Val); err != nil {
					return err
				}
			}
		}
		return nil
	default:
		return bad("%q is no part of a password policy: use length and rule", clip(key))
	}
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40]
	}
	return s
}

// objects is an object, or a list of them.
func objects(v ast.Node) (out []*ast.ObjectType, err error) {
	switch v := v.(type) {
	case *ast.ObjectType:
		return []*ast.ObjectType{v}, nil
	case *ast.ListType:
		for _, it := range v.List {
			o, ok := it.(*ast.ObjectType)
			if !ok {
				return nil, bad("a rule is an object")
			}
			out = append(out, o)
		}
		return out, nil
	}
	return nil, bad("a rule is an object")
}

func number(v ast.Node) (int, error) {
	l, ok := v.(*ast.LiteralType)
	if !ok || l.Token.Type != token.NUMBER {
		return 0, fmt.Errorf("no number")
	}
	n, _ := l.Token.Value().(int64)
	if n < 0 || n > 1<<30 {
		return 0, fmt.Errorf("out of range")
	}
	return int(n), nil
}

func (p *Policy) readRule(v ast.Node) error {
	list, err := objects(v)
	if err != nil {
		return err
	}
	for _, o := range list {
		var r Rule
		for _, item := range o.List.Items {
			switch key := keyOf(item.Keys[0]); key {
			case "charset":
				l, ok := item.Val.(*ast.LiteralType)
				text, isText := "", false
				if ok {
					text, isText = l.Token.Value().(string)
				}
				if !isText {
					return bad("charset is not a text")
				}
				r.Set = []rune(text)
			case "min-chars":
				if r.Min, err = number(item.Val); err != nil {
					return bad("min-chars is not a whole number")
				}
			default:
				return bad("%q is no part of a rule: use charset and min-chars", clip(key))
			}
		}
		if len(r.Set) > maxSet {
			return tooMany("characters in a charset", maxSet)
		}
		slices.Sort(r.Set)
		r.Set = slices.Compact(r.Set)
		p.Rules = append(p.Rules, r)
		if len(p.Rules) > maxRules {
			return tooMany("rules", maxRules)
		}
	}
	return nil
}

// check holds the parts of a policy against each other.
func (p *Policy) check() error {
	if p.Length < MinLength || p.Length > MaxLength {
		return bad("length is %d to %d", MinLength, MaxLength)
	}
	if len(p.Rules) == 0 {
		return bad("at least one rule with a charset is needed")
	}
	least := 0
	for _, r := range p.Rules {
		if len(r.Set) == 0 {
			return bad("a charset is empty")
		}
		for _, c := range r.Set {
			if !unicode.IsPrint(c) {
				return bad("a charset holds a character that cannot be printed")
			}
		}
		p.all = append(p.all, r.Set...)
		least += r.Min
	}
	if least > p.Length {
		return bad("the rules ask for more characters than the length has")
	}
	slices.Sort(p.all)
	p.all = slices.Compact(p.all)
	return nil
}
