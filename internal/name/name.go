// Package name parses and validates what things are called: accounts, region
// labels, secrets, version labels and ids, principals, tags, and Amazon
// Resource Names.
//
// A name that passed here is safe as a key, in a log line and in a path: it
// has no control character, no empty or dot segment, and one spelling only.
// Names are case-sensitive. Every refusal is errs.Invalid with the field; it
// quotes nothing of a name that could hold a control character unescaped.
package name

import (
	"strings"
	"unicode/utf8"

	"countersign/internal/errs"
)

// Limits, from the AWS Secrets Manager API reference (2017-10-17).
const (
	MaxSecret      = 512
	MaxLabel       = 256
	MinToken       = 32 // ClientRequestToken, which becomes a version id
	MaxToken       = 64
	MaxTags        = 50
	MaxTagKey      = 128
	MaxTagValue    = 256
	MaxDescription = 2048
	MaxLabels      = 20 // labels on one version
)

// Labels with a meaning of their own.
const (
	Current  = "AWSCURRENT"
	Previous = "AWSPREVIOUS"
	Pending  = "AWSPENDING"
)

// Codes of refusals that fronts word in their protocol's own text.
const (
	CodeSecretName = "secret-name"
	CodeTooLong    = "too-long"
	CodeTooShort   = "too-short"
)

// Secret identifies a secret: its account, the region label it lives in, and
// its name.
type Secret struct{ Account, Region, Name string }

// Account checks a tenant's number: twelve digits.
func Account(s string) error {
	if len(s) != 12 || !only(s, isDigit) {
		return errs.InvalidField("account", "an account is twelve digits")
	}
	return nil
}

// Region checks a region label, shaped like AWS's: lower-case letters, digits
// and inner hyphens, at most 32.
func Region(s string) error {
	if s == "" || len(s) > 32 || s[0] == '-' || s[len(s)-1] == '-' ||
		!only(s, func(c byte) bool { return c >= 'a' && c <= 'z' || isDigit(c) || c == '-' }) {
		return errs.InvalidField("region", "a region is 1 to 32 lower-case letters, digits and inner hyphens")
	}
	return nil
}

// SecretName checks a secret's name: 1 to 512 characters out of letters,
// digits and /_+=.@-!. So that a name has one spelling at every door, an empty
// segment (except before a leading slash), a trailing slash and the segments
// "." and ".." are refused too.
func SecretName(s string) error {
	switch {
	case s == "":
		return &errs.Error{Kind: errs.Invalid, Code: CodeTooShort, Field: "Name", Msg: "a name has at least one character"}
	case len(s) > MaxSecret:
		return &errs.Error{Kind: errs.Invalid, Code: CodeTooLong, Field: "Name", Msg: "a name has at most 512 characters"}
	case !only(s, isNameByte):
		return badName("a name holds letters, digits and /_+=.@-! only")
	}
	for seg := range strings.SplitSeq(strings.TrimPrefix(s, "/"), "/") {
		switch seg {
		case "":
			return badName("a name has no empty segment")
		case ".", "..":
			return badName("a name has no \".\" or \"..\" segment")
		}
	}
	return nil
}

func badName(msg string) error {
	return &errs.Error{Kind: errs.Invalid, Code: CodeSecretName, Field: "Name", Msg: msg}
}

// Principal checks the name of a user, machine, group or policy: 1 to 64
// characters out of letters, digits and _+=,.@-, as IAM has it.
func Principal(field, s string) error {
	if s == "" || len(s) > 64 || !only(s, func(c byte) bool {
		return isAlnum(c) || strings.IndexByte("_+=,.@-", c) >= 0
	}) {
		return errs.InvalidField(field, "a name is 1 to 64 letters, digits and _+=,.@-")
	}
	return nil
}

// Label checks a version label: 1 to 256 printable characters.
func Label(s string) error {
	if s == "" || utf8.RuneCountInString(s) > MaxLabel || !printable(s) {
		return errs.InvalidField("VersionStage", "a version label is 1 to 256 printable characters")
	}
	return nil
}

// PendingPrefix begins the labels of versions that wait for review. Nobody else
// may set or remove them.
const PendingPrefix = "PENDING-"

// OwnLabel is Label for one that a caller sets or removes.
func OwnLabel(s string) error {
	if strings.HasPrefix(s, PendingPrefix) {
		return errs.InvalidField("VersionStage", "labels that begin with %s belong to changes that wait for review", PendingPrefix)
	}
	return Label(s)
}

// Token checks a version id or request token: 32 to 64 printable ASCII
// characters without a space.
func Token(field, s string) error {
	if len(s) < MinToken || len(s) > MaxToken || !only(s, func(c byte) bool { return c > 0x20 && c < 0x7f }) {
		return errs.InvalidField(field, "a token is 32 to 64 printable ASCII characters")
	}
	return nil
}

// TagKey checks the key of a tag: 1 to 128 printable characters, not beginning
// with "aws:".
func TagKey(s string) error {
	switch {
	case s == "" || utf8.RuneCountInString(s) > MaxTagKey || !printable(s):
		return errs.InvalidField("Tags", "a tag key is 1 to 128 printable characters")
	case len(s) >= 4 && strings.EqualFold(s[:4], "aws:"):
		return errs.InvalidField("Tags", "tag keys that begin with aws: are reserved")
	}
	return nil
}

// TagValue checks the value of a tag: at most 256 printable characters.
func TagValue(s string) error {
	if utf8.RuneCountInString(s) > MaxTagValue || !printable(s) {
		return errs.InvalidField("Tags", "a tag value is at most 256 printable characters")
	}
	return nil
}

// Text checks a description or other free text: valid UTF-8 without control
// characters but tab and line ends, at most limit characters.
func Text(field, s string, limit int) error {
	if !utf8.ValidString(s) {
		return errs.InvalidField(field, "the text is not valid UTF-8")
	}
	if utf8.RuneCountInString(s) > limit {
		return &errs.Error{Kind: errs.Invalid, Code: CodeTooLong, Field: field, Msg: "the text is too long"}
	}
	for _, r := range s {
		if (r < 0x20 && r != '\t' && r != '\n' && r != '\r') || r >= 0x7f && r < 0xa0 {
			return errs.InvalidField(field, "the text holds a control character")
		}
	}
	return nil
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isAlnum(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func isNameByte(c byte) bool { return isAlnum(c) || strings.IndexByte("/_+=.@-!", c) >= 0 }

func only(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}
