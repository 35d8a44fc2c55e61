package aws

import (
	"testing"

	"countersign/internal/core/authn"
	"countersign/internal/errs"
	"countersign/internal/front/httpx"
	"countersign/internal/front/sigv4"
)

// TestCommon holds what every service answers alike.
func TestCommon(t *testing.T) {
	for name, c := range map[string]struct {
		err    errs.Error
		status int
		typ    string
	}{
		"expired-key":   {errs.Error{Kind: errs.Unauthenticated, Code: authn.CodeExpiredKey}, 400, "ExpiredTokenException"},
		"unknown-key":   {errs.Error{Kind: errs.Unauthenticated, Code: authn.CodeUnknownKey}, 400, "UnrecognizedClientException"},
		"session-token": {errs.Error{Kind: errs.Unauthenticated, Code: CodeSessionToken}, 400, "UnrecognizedClientException"},
		"no-signature":  {errs.Error{Kind: errs.Unauthenticated, Code: sigv4.CodeMissing, Msg: "m"}, 400, "MissingAuthenticationTokenException"},
		"bad-signature": {errs.Error{Kind: errs.Unauthenticated, Code: sigv4.CodeInvalid, Msg: "m"}, 400, "InvalidSignatureException"},
		"half":          {errs.Error{Kind: errs.Invalid, Code: sigv4.CodeIncomplete, Msg: "m"}, 400, "IncompleteSignatureException"},
		"json":          {errs.Error{Kind: errs.Invalid, Code: CodeSerialization, Msg: "m"}, 400, "SerializationException"},
		"constraint":    {errs.Error{Kind: errs.Invalid, Code: CodeValidation, Msg: "m"}, 400, "ValidationException"},
		"target":        {errs.Error{Kind: errs.Invalid, Code: CodeUnknownOperation, Msg: "m"}, 400, "UnknownOperationException"},
		"body":          {errs.Error{Kind: errs.Limit, Code: httpx.CodeBody, Msg: "m"}, 413, "RequestEntityTooLargeException"},
		"throttled":     {errs.Error{Kind: errs.Throttled}, 400, "ThrottlingException"},
		"unavailable":   {errs.Error{Kind: errs.Unavailable, Code: "audit-unwritable", Msg: "m"}, 503, "ServiceUnavailable"},
		"canceled":      {errs.Error{Kind: errs.Canceled, Msg: "m"}, 503, "ServiceUnavailable"},
		"internal":      {errs.Error{Kind: errs.Internal, Msg: "inner"}, 500, "InternalFailure"},
	} {
		t.Run(name, func(t *testing.T) {
			f := fallback(&c.err)
			if f.Status != c.status || f.Type != c.typ || f.Message == "" || f.Message == "inner" {
				t.Errorf("got %+v", f)
			}
		})
	}
}
