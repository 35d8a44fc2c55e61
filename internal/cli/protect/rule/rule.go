// Package rule spells protection rules: from a document of them, and as the rows
// of a table.
package rule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"countersign/internal/client"
)

// Document is a list of rules as a file holds it.
type Document struct {
	Rules    []client.Rule `json:"rules"`
	Revision uint64        `json:"revision,omitempty"` // of the list that it was made from
}

// Parse reads a list of rules, or an object with "rules", in YAML or, which is a
// part of that, in JSON. A field that no rule has is refused.
func Parse(text string) (Document, error) {
	d := yaml.NewDecoder(strings.NewReader(text))
	var v any
	if err := d.Decode(&v); err != nil {
		if errors.Is(err, io.EOF) {
			return Document{}, errors.New("the file holds no rules; [] is the empty list")
		}
		return Document{}, fmt.Errorf("the file is no YAML: %w", err)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Document{}, errors.New("the file holds more than one document")
	}
	if list, ok := v.([]any); ok {
		v = map[string]any{"rules": list}
	}
	o, ok := v.(map[string]any)
	if !ok {
		return Document{}, errors.New("the file holds no list of rules")
	}
	if _, ok := o["rules"].([]any); !ok {
		return Document{}, errors.New(`the file holds no list of rules, neither alone nor as "rules"`)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return Document{}, errors.New("the file has a mapping whose keys are no texts")
	}
	var out Document
	j := json.NewDecoder(bytes.NewReader(b))
	j.DisallowUnknownFields()
	if err := j.Decode(&out); err != nil {
		return Document{}, errors.New(strings.ReplaceAll(strings.TrimPrefix(err.Error(), "json: "), "Go struct field ", ""))
	}
	return out, nil
}

// Approvals says in words what a rule asks for.
func Approvals(r client.Rule) string {
	if len(r.Approvals) == 0 {
		return "none"
	}
	var parts []string
	for _, a := range r.Approvals {
		from := "anybody"
		if len(a.Groups) > 0 {
			from = strings.Join(a.Groups, " or ")
		}
		parts = append(parts, fmt.Sprintf("%d from %s", a.Count, from))
	}
	return strings.Join(parts, " and ")
}

// Options says in words what else a rule asks for.
func Options(r client.Rule) []string {
	var out []string
	for _, k := range slices.Sorted(func(yield func(string) bool) {
		for k := range r.Tags {
			if !yield(k) {
				return
			}
		}
	}) {
		out = append(out, "tag "+k+"="+r.Tags[k])
	}
	for _, o := range []struct {
		is   bool
		text string
	}{
		{r.AllowAuthor, "the author may approve"}, {r.MFA, "second factor"}, {r.Signed, "signed"},
		{len(r.Machines) > 0, "machines " + strings.Join(r.Machines, " ")}, {r.Hours != "", "hours " + r.Hours},
		{r.ExpiryDays > 0, fmt.Sprintf("expires after %dd", r.ExpiryDays)}, {r.BreakGlass != "", "break-glass " + r.BreakGlass},
	} {
		if o.is {
			out = append(out, o.text)
		}
	}
	return out
}
