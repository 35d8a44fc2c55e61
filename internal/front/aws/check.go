package aws

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"countersign/internal/errs"
)

// CodeValidation is the code, and AWS's name, of the refusal of a request that
// breaks constraints of the service's model.
const CodeValidation = "ValidationException"

// Bounds on what a refusal repeats of the request.
const (
	maxBroken = 10
	maxEcho   = 128
)

// Checks collects the constraints that a request breaks, to name them in one
// message as AWS does. Paths are AWS's: "tags.1.member.key".
type Checks struct {
	count  int
	broken []string
	err    error
}

// Err is a ValidationException with the broken constraints, else what was
// given to Fail first, else nil.
func (c *Checks) Err() error {
	switch c.count {
	case 0:
		return c.err
	case 1:
		return errs.Coded(errs.Invalid, CodeValidation, "1 validation error detected: %s", c.broken[0])
	}
	return errs.Coded(errs.Invalid, CodeValidation, "%d validation errors detected: %s", c.count, strings.Join(c.broken, "; "))
}

// Fail keeps an error for the case that no constraint is broken.
func (c *Checks) Fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// Sound reports whether nothing was found so far.
func (c *Checks) Sound() bool { return c.count == 0 && c.err == nil }

// add notes a broken constraint. value is as it is to be shown, with its
// leading space: " null", " 'text'", or empty for what is not repeated.
func (c *Checks) add(value, path, constraint string) {
	if c.count++; c.count <= maxBroken {
		c.broken = append(c.broken, "Value"+value+" at '"+path+"' failed to satisfy constraint: "+constraint)
	}
}

func echo(s string) string {
	if len(s) > maxEcho {
		n := maxEcho
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n] + "..."
	}
	return " '" + s + "'"
}

// Required says that a member must be there.
func (c *Checks) Required(path string, set bool) {
	if !set {
		c.add(" null", path, "Member must not be null")
	}
}

// Length bounds a text, in characters.
func (c *Checks) Length(path string, s String, least, most int) {
	if !s.Set || len(s.Value) >= least && len(s.Value) <= most && least <= 1 {
		return
	}
	switch n := utf8.RuneCountInString(s.Value); {
	case n < least:
		c.add(echo(s.Value), path, "Member must have length greater than or equal to "+strconv.Itoa(least))
	case n > most:
		c.add(echo(s.Value), path, "Member must have length less than or equal to "+strconv.Itoa(most))
	}
}

// Size bounds a secret value, in bytes. It is not repeated.
func (c *Checks) Size(path string, b Blob, most int) {
	if len(b.Data) > most {
		c.add("", path, "Member must have length less than or equal to "+strconv.Itoa(most))
	}
}

// Hidden bounds a text that is a secret, in bytes. It is not repeated.
func (c *Checks) Hidden(path string, s String, least, most int) {
	switch {
	case !s.Set:
	case len(s.Value) < least:
		c.add("", path, "Member must have length greater than or equal to "+strconv.Itoa(least))
	case len(s.Value) > most:
		c.add("", path, "Member must have length less than or equal to "+strconv.Itoa(most))
	}
}

// Count bounds the length of a list of n that is there.
func (c *Checks) Count(path string, set bool, n, least, most int) {
	switch {
	case !set:
	case n < least:
		c.add(" '[]'", path, "Member must have length greater than or equal to "+strconv.Itoa(least))
	case n > most:
		c.add("", path, "Member must have length less than or equal to "+strconv.Itoa(most))
	}
}

// Each applies a check to every element of a list, which may not be null.
func (c *Checks) Each(path string, list Strings, check func(path string, s String)) {
	for i, s := range list.Values {
		at := Element(path, i)
		c.Required(at, s.Set)
		check(at, s)
	}
}

// Element is the path of element i of a list.
func Element(path string, i int) string { return path + "." + strconv.Itoa(i+1) + ".member" }

// Range bounds a number.
func (c *Checks) Range(path string, n Int, least, most int64) {
	switch {
	case !n.Set:
	case n.Value < least:
		c.add(echo(strconv.FormatInt(n.Value, 10)), path, "Member must have value greater than or equal to "+strconv.FormatInt(least, 10))
	case n.Value > most:
		c.add(echo(strconv.FormatInt(n.Value, 10)), path, "Member must have value less than or equal to "+strconv.FormatInt(most, 10))
	}
}

// Enum says that a text is one of a few.
func (c *Checks) Enum(path string, s String, allowed ...string) {
	if !s.Set {
		return
	}
	for _, a := range allowed {
		if s.Value == a {
			return
		}
	}
	c.add(echo(s.Value), path, "Member must satisfy enum value set: ["+strings.Join(allowed, ", ")+"]")
}

// Pattern says whether a text has a form, of which the model's regular
// expression is shown.
func (c *Checks) Pattern(path string, s String, ok func(string) bool, pattern string) {
	if s.Set && !ok(s.Value) {
		c.add(echo(s.Value), path, "Member must satisfy regular expression pattern: "+pattern)
	}
}

// HiddenPattern is Pattern for a text that is not repeated.
func (c *Checks) HiddenPattern(path string, s String, ok func(string) bool, pattern string) {
	if s.Set && !ok(s.Value) {
		c.add("", path, "Member must satisfy regular expression pattern: "+pattern)
	}
}
