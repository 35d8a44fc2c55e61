package file

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Naming is a convention for names: parts between slashes, each of which is a fixed
// text or a {placeholder} that stands for one part that is not empty.
type Naming struct {
	text   string
	parts  []string
	values map[string][]string // what a placeholder may be; absent: anything
}

const maxParts = 32

var placeholder = regexp.MustCompile(`^\{([a-z][a-z0-9-]{0,40})\}$`)

// ParseNaming reads a convention such as /{environment}/{service}/{secret-name}.
func ParseNaming(text string, values map[string][]string) (*Naming, error) {
	n := &Naming{text: text, parts: strings.Split(text, "/"), values: values}
	if len(n.parts) > maxParts || len(text) > 512 {
		return nil, fmt.Errorf("a naming has at most %d parts", maxParts)
	}
	seen := map[string]bool{}
	for i, p := range n.parts {
		m := placeholder.FindStringSubmatch(p)
		switch {
		case m != nil && seen[m[1]]:
			return nil, errors.New("a placeholder stands in the naming twice")
		case m != nil:
			seen[m[1]] = true
		case p == "" && i > 0, p != "" && !namePattern.MatchString(p):
			return nil, errors.New("a naming is parts between slashes, each a text or a {placeholder} of small letters, digits and -")
		}
	}
	if len(seen) == 0 {
		return nil, errors.New("the naming has no {placeholder}")
	}
	for k := range values {
		if !seen[k] {
			return nil, errors.New("values are given for a placeholder that the naming has not")
		}
	}
	return n, nil
}

// Check says which part of a name does not fit.
func (n *Naming) Check(name string) error {
	got := strings.Split(name, "/")
	for i, want := range n.parts {
		if i >= len(got) {
			return fmt.Errorf("%s is missing; names are %s", want, n.text)
		}
		m := placeholder.FindStringSubmatch(want)
		switch {
		case m == nil && want == "" && got[i] != "":
			return fmt.Errorf("it begins with no slash; names are %s", n.text)
		case m == nil && got[i] != want:
			return fmt.Errorf("part %d is %q, and has to be %q; names are %s", i, got[i], want, n.text)
		case m == nil:
		case got[i] == "" && i == 0:
			return fmt.Errorf("it begins with a slash; names are %s", n.text)
		case got[i] == "":
			return fmt.Errorf("%s is empty; names are %s", want, n.text)
		default:
			if may, ok := n.values[m[1]]; ok && !slices.Contains(may, got[i]) {
				return fmt.Errorf("%s is %q, and may be %s", want, got[i], strings.Join(may, ", "))
			}
		}
	}
	if len(got) > len(n.parts) {
		return fmt.Errorf("%q is one part too many; names are %s", got[len(n.parts)], n.text)
	}
	return nil
}

func (r *reader) naming(template, values *yaml.Node) *Naming {
	if template == nil {
		if values != nil {
			r.fail(values, "naming_values without naming")
		}
		return nil
	}
	var text string
	had := len(r.refused)
	r.filled(&text)(template)
	may := map[string][]string{}
	if values != nil {
		if values.Kind != yaml.MappingNode {
			r.fail(values, "naming_values is a mapping of lists")
			return nil
		}
		for i := 0; i+1 < len(values.Content); i += 2 {
			var list []string
			r.texts(&list)(values.Content[i+1])
			may[values.Content[i].Value] = list
		}
	}
	if len(r.refused) > had {
		return nil
	}
	n, err := ParseNaming(text, may)
	if err != nil {
		r.fail(template, "%s", err)
		return nil
	}
	return n
}
