// Package convention checks that names keep to a convention such as
//
//	/{environment}/{service}/{secret-type}/{secret-name}
//
// which is parts between slashes. A part is a fixed text, or a {placeholder} that
// stands for exactly one part that is not empty; what a placeholder may be can be
// restricted to a list. The server checks what is created, and the command line what
// files declare.
//
// A convention says nothing of which characters a name has: package name does.
package convention

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Limits of a convention.
const (
	maxText   = 512 // bytes of the template
	maxParts  = 32
	maxValues = 256 // of one placeholder
)

// Convention is what names have to be like. The zero value and nil ask for nothing.
type Convention struct {
	text  string
	parts []part
}

// part is what stands between two slashes.
type part struct {
	text  string   // fixed; or, with a placeholder, its name
	holds bool     // it is a placeholder
	may   []string // what it may be; nil for anything
}

var (
	placeholder = regexp.MustCompile(`^\{([a-z][a-z0-9-]{0,39})\}$`)
	fixed       = regexp.MustCompile(`^[A-Za-z0-9_+=.@!-]+$`)
)

// Parse reads a template. values are what its placeholders may be, by their names;
// one that has no list may be anything.
func Parse(text string, values map[string][]string) (*Convention, error) {
	if text == "" {
		return nil, errors.New("the convention is empty; one is like /{environment}/{service}/{secret-name}")
	}
	words := strings.Split(text, "/")
	if len(text) > maxText || len(words) > maxParts {
		return nil, fmt.Errorf("a convention has at most %d bytes and %d parts", maxText, maxParts)
	}
	c := &Convention{text: text, parts: make([]part, len(words))}
	known := map[string]bool{}
	for i, w := range words {
		m := placeholder.FindStringSubmatch(w)
		switch {
		case m != nil && known[m[1]]:
			return nil, fmt.Errorf("the convention has {%s} twice", m[1])
		case m != nil:
			known[m[1]] = true
			c.parts[i] = part{text: m[1], holds: true}
		case w == "" && i > 0:
			return nil, errors.New("the convention has an empty part")
		case w == "." || w == "..", w != "" && !fixed.MatchString(w):
			return nil, fmt.Errorf("part %q of the convention is neither a text that a name can have nor a {placeholder} of lower-case letters, digits and -", w)
		default:
			c.parts[i] = part{text: w}
		}
	}
	if len(known) == 0 {
		return nil, errors.New("the convention has no {placeholder}, so one name alone would keep to it")
	}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if !known[k] {
			return nil, fmt.Errorf("values are given for {%s}, which the convention has not", strings.Trim(strconv.Quote(k), `"`))
		}
		if err := c.restrict(k, values[k]); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// restrict says what a placeholder may be.
func (c *Convention) restrict(k string, may []string) error {
	if len(may) == 0 || len(may) > maxValues {
		return fmt.Errorf("{%s} has 1 to %d values, or is left out so that it may be anything", k, maxValues)
	}
	for i, v := range may {
		if !fixed.MatchString(v) || v == "." || v == ".." {
			return fmt.Errorf("value %q of {%s} is no part of a name", v, k)
		}
		if slices.Contains(may[:i], v) {
			return fmt.Errorf("value %q of {%s} is given twice", v, k)
		}
	}
	for i := range c.parts {
		if c.parts[i].holds && c.parts[i].text == k {
			c.parts[i].may = slices.Clone(may)
		}
	}
	return nil
}

// String is the template.
func (c *Convention) String() string {
	if c == nil {
		return ""
	}
	return c.text
}

// Check says which part of a name does not keep to the convention.
func (c *Convention) Check(name string) error {
	if c == nil || len(c.parts) == 0 {
		return nil
	}
	if why := c.wrong(strings.Split(name, "/")); why != "" {
		return fmt.Errorf("the name does not keep to %s: %s", c.text, why)
	}
	return nil
}

// maxShown bounds what is repeated of a part of a name, in bytes.
const maxShown = 64

// shown quotes a part of a name.
func shown(s string) string {
	if len(s) > maxShown {
		s = s[:maxShown] + "..."
	}
	return strconv.Quote(s)
}

func (c *Convention) wrong(got []string) string {
	switch has, asks := len(got) > 1 && got[0] == "", c.parts[0].blank(); {
	case asks && !has:
		return "it does not begin with a slash"
	case has && !asks:
		return "it begins with a slash"
	}
	for i, p := range c.parts {
		switch {
		case i >= len(got):
			return p.String() + " is missing"
		case got[i] == "" && !p.blank():
			return p.String() + " is empty"
		case !p.holds && got[i] != p.text:
			return fmt.Sprintf("%s is in the place of %q", shown(got[i]), p.text)
		case p.may != nil && !slices.Contains(p.may, got[i]):
			return fmt.Sprintf("%s is %s, and has to be %s", p, shown(got[i]), either(p.may))
		}
	}
	if len(got) > len(c.parts) {
		return fmt.Sprintf("%s is a part too many", shown(got[len(c.parts)]))
	}
	return ""
}

// blank is what stands before a slash at the beginning.
func (p part) blank() bool { return p.text == "" }

// String is the part as the template has it.
func (p part) String() string {
	if p.holds {
		return "{" + p.text + "}"
	}
	return strconv.Quote(p.text)
}

// most is how many values are told.
const most = 20

// either lists what a placeholder may be.
func either(may []string) string {
	switch {
	case len(may) == 1:
		return may[0]
	case len(may) > most:
		return fmt.Sprintf("%s or one of %d more", strings.Join(may[:most], ", "), len(may)-most)
	}
	return strings.Join(may[:len(may)-1], ", ") + " or " + may[len(may)-1]
}
