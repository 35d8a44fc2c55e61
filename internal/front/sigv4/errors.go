package sigv4

import (
	"strings"

	"countersign/internal/errs"
)

// The names AWS's JSON protocols give to the refusals of this package, as they
// stand in Code. (AWS's query protocol spells the first two without
// "Exception", and the third SignatureDoesNotMatch.)
const (
	CodeMissing    = "MissingAuthenticationTokenException"
	CodeIncomplete = "IncompleteSignatureException"
	CodeInvalid    = "InvalidSignatureException"
)

const mismatchText = "The request signature we calculated does not match the signature you provided. " +
	"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

// missing says that the request has no Signature Version 4.
func missing() error {
	return errs.Coded(errs.Unauthenticated, CodeMissing, "Missing Authentication Token")
}

// incomplete says that the signature's own form is wrong.
func incomplete(format string, args ...any) error {
	return errs.Coded(errs.Invalid, CodeIncomplete, format, args...)
}

// invalidSignature says that the signature is well-formed and not accepted.
func invalidSignature(format string, args ...any) error {
	return errs.Coded(errs.Unauthenticated, CodeInvalid, format, args...)
}

// mismatch is the one answer to a signature that differs, whatever the cause.
func mismatch() error { return invalidSignature("%s", mismatchText) }

// shown is what of a stranger's short text may stand in a message: printable
// ASCII without quotes, at most 64 bytes.
func shown(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == '\'' || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, s)
}
