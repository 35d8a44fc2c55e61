// Package words says in plain words how policy decided.
package words

import (
	"fmt"
	"strings"

	"countersign/internal/client"
)

// Decision spells a decision: what it was, which statement made it, and what
// would have had to be different, one sentence each.
func Decision(d client.Decision) []string {
	asked := "this"
	if d.Action != "" {
		asked = d.Action
	}
	if d.Resource != "" {
		asked += " on " + d.Resource
	}
	by := "a policy"
	if d.Policy != "" {
		by = fmt.Sprintf("policy %q", d.Policy)
	}
	switch {
	case isPath(d.Statement):
		by = fmt.Sprintf("rule %q of %s", d.Statement, by)
	case d.Statement != "":
		by = fmt.Sprintf("statement %s of %s", d.Statement, by)
	}
	var out []string
	switch d.Effect {
	case "allow":
		out = append(out, fmt.Sprintf("%s allows %s.", upper(by), asked))
	case "explicit-deny":
		out = append(out, fmt.Sprintf("%s denies %s, and a denial wins over every permission.", upper(by), asked))
	case "no-match":
		out = append(out, fmt.Sprintf("No statement allows %s, and what nothing allows is denied.", asked))
	default:
		out = append(out, fmt.Sprintf("Policy decided %q about %s.", d.Effect, asked))
	}
	for _, m := range d.Missing {
		out = append(out, "Missing: "+m)
	}
	return out
}

// isPath reports whether what decided is a rule of the HCL dialect, which its
// path names. A statement is named by letters and digits, or its number.
func isPath(s string) bool { return strings.ContainsAny(s, "/*+{}-_.") }

func upper(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}
