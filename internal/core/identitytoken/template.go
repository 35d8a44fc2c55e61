package identitytoken

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// reserved are the claims that no template says. Case does not tell them apart:
// there are readers for which it does not.
var reserved = []string{"iss", "sub", "aud", "exp", "iat", "namespace", "nonce", "auth_time", "at_hash", "c_hash"}

func isReserved(claim string) bool {
	return slices.ContainsFunc(reserved, func(r string) bool { return strings.EqualFold(r, claim) })
}

// subject is who a token is about. The zero value has nothing.
type subject struct {
	who     caller.Caller
	aliases map[string]policy.Alias
	now     time.Time
}

// template is JSON with placeholders: text, and what follows it. The last one has
// no placeholder.
type template []struct {
	text  string
	value func(s *subject) any // nil for none
}

// parseTemplate reads a template. A placeholder stands for a whole JSON value.
func parseTemplate(text string) (template, error) {
	var t template
	for {
		head, rest, found := strings.Cut(text, "{{")
		if strings.Contains(head, "}}") {
			return nil, errs.InvalidField("template", "}} without {{")
		}
		t = append(t, struct {
			text  string
			value func(s *subject) any
		}{text: head})
		if !found {
			return t, nil
		}
		inner, after, closed := strings.Cut(rest, "}}")
		if !closed || strings.Contains(inner, "{{") {
			return nil, errs.InvalidField("template", "{{ without }}")
		}
		value, err := placeholder(strings.TrimSpace(inner))
		if err != nil {
			return nil, err
		}
		t[len(t)-1].value, text = value, after
	}
}

// placeholder reads what stands between braces.
func placeholder(s string) (func(*subject) any, error) {
	if rest, ok := strings.CutPrefix(s, "identity.entity."); ok {
		if v := entityValue(rest); v != nil {
			return v, nil
		}
	}
	if rest, ok := strings.CutPrefix(s, "time.now"); ok {
		if v := timeValue(rest); v != nil {
			return v, nil
		}
	}
	return nil, errs.InvalidField("template", "%s is no placeholder", strconv.QuoteToASCII("{{"+clip(s)+"}}"))
}

func entityValue(s string) func(*subject) any {
	switch s {
	case "id":
		return func(s *subject) any { return s.id() }
	case "name":
		return func(s *subject) any { return s.who.Name }
	case "metadata":
		return func(s *subject) any { return orEmpty(s.who.Tags) }
	case "groups.names":
		return func(s *subject) any { return append([]string{}, s.who.Groups...) }
	case "groups.ids":
		return func(s *subject) any { return s.groupIDs() }
	}
	if k, ok := strings.CutPrefix(s, "metadata."); ok && k != "" {
		return func(s *subject) any { return s.who.Tags[k] }
	}
	s, ok := strings.CutPrefix(s, "aliases.")
	accessor, field, dotted := strings.Cut(s, ".")
	if !ok || !dotted || accessor == "" {
		return nil
	}
	return aliasValue(accessor, field)
}

func aliasValue(accessor, field string) func(*subject) any {
	switch field {
	case "id":
		return func(s *subject) any { return s.aliases[accessor].ID }
	case "name":
		return func(s *subject) any { return s.aliases[accessor].Name }
	case "metadata":
		return func(s *subject) any { return orEmpty(s.aliases[accessor].Metadata) }
	case "custom_metadata": // no alias has any
		return func(*subject) any { return map[string]string{} }
	}
	if k, ok := strings.CutPrefix(field, "metadata."); ok && k != "" {
		return func(s *subject) any { return s.aliases[accessor].Metadata[k] }
	}
	if k, ok := strings.CutPrefix(field, "custom_metadata."); ok && k != "" {
		return func(*subject) any { return "" }
	}
	return nil
}

// timeValue is what follows "time.now": nothing, or ".plus.1h", ".minus.90".
func timeValue(s string) func(*subject) any {
	var off time.Duration
	if s != "" {
		sign := time.Duration(1)
		rest, ok := strings.CutPrefix(s, ".plus.")
		if !ok {
			if rest, ok = strings.CutPrefix(s, ".minus."); !ok {
				return nil
			}
			sign = -1
		}
		d, err := time.ParseDuration(rest)
		if n, nerr := strconv.ParseInt(rest, 10, 32); nerr == nil {
			d, err = seconds(n), nil
		}
		if err != nil {
			return nil
		}
		off = sign * d
	}
	return func(s *subject) any { return s.now.Add(off).Unix() }
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func (s *subject) id() string {
	if s.who.Name == "" {
		return ""
	}
	return caller.EntityID(s.who.Account, s.who.Name)
}

func (s *subject) groupIDs() []string {
	ids := []string{}
	for _, g := range s.who.Groups {
		ids = append(ids, caller.GroupID(s.who.Account, g))
	}
	return ids
}

// claims are what a template says of somebody. As each placeholder is a whole JSON
// value and not a part of one, no value of it says anything beyond itself.
func (t template) claims(s *subject) (map[string]json.RawMessage, error) {
	return t.with(func(value func(*subject) any) any { return value(s) })
}

// with are the claims with something in each place.
func (t template) with(in func(value func(*subject) any) any) (map[string]json.RawMessage, error) {
	var b []byte
	for _, p := range t {
		b = append(b, p.text...)
		if p.value == nil {
			continue
		}
		v, err := json.Marshal(in(p.value))
		if err != nil {
			return nil, err
		}
		b = append(b, v...)
	}
	if len(b) == 0 {
		return nil, nil
	}
	var out map[string]json.RawMessage
	err := json.Unmarshal(b, &out)
	return out, err
}

// something is a value of the kind that a placeholder stands for, of somebody who
// has one.
func something(value func(*subject) any) any {
	switch v := value(&subject{}).(type) {
	case string:
		return "a"
	case []string:
		return []string{"a"}
	case map[string]string:
		return map[string]string{"a": "b"}
	default:
		return v
	}
}

// checkTemplate refuses what makes no claims, or says what is reserved.
func checkTemplate(text string) error {
	if len(text) > maxTemplate {
		return errs.InvalidField("template", "it has more than %d bytes", maxTemplate)
	}
	t, err := parseTemplate(text)
	if err != nil {
		return err
	}
	claims, err := t.claims(&subject{})
	if err == nil { // what nobody has may fit where what somebody has does not: "{}" is a text
		_, err = t.with(something)
	}
	if err != nil {
		return errs.InvalidField("template", "it is not a JSON object in which each placeholder is a value")
	}
	for k := range claims {
		if isReserved(k) {
			return errs.InvalidField("template", "top level key %s not allowed. Restricted keys: %s", strconv.QuoteToASCII(clip(k)), strings.Join(reserved, ", "))
		}
	}
	return nil
}
