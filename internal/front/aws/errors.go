package aws

import (
	"net/http"

	"countersign/internal/core/authn"
	"countersign/internal/errs"
	"countersign/internal/front/httpx"
	"countersign/internal/front/sigv4"
)

// Codes of refusals by this package, which are AWS's names of them.
const (
	CodeUnknownOperation = "UnknownOperationException"
	CodeSessionToken     = "UnrecognizedClientException" // a session token, and none was ever given out
)

// Fault is an error as it goes over the wire.
type Fault struct {
	Status  int
	Type    string // AWS's name
	Message string
	// Modelled says that the service's model has the error. Its message is then
	// in the member "Message"; in errors common to all services it is "message".
	Modelled bool
}

// Refusal is a Fault of status 400 that the service's model has.
func Refusal(typ, message string) Fault {
	return Fault{Status: http.StatusBadRequest, Type: typ, Message: message, Modelled: true}
}

// common is a Fault that every service can answer.
func common(status int, typ, message string) Fault {
	return Fault{Status: status, Type: typ, Message: message}
}

// Common maps the errors that mean the same in every service: those of
// authentication, of the envelope, and of a server that cannot answer. It
// covers every code of kinds Unauthenticated, Throttled, Unavailable and
// Canceled, and of other kinds the codes of this package.
func Common(e *errs.Error) (Fault, bool) {
	switch e.Kind {
	case errs.Unauthenticated:
		return unauthenticated(e), true
	case errs.Throttled:
		return common(http.StatusBadRequest, "ThrottlingException", "Rate exceeded"), true
	case errs.Unavailable:
		return common(http.StatusServiceUnavailable, "ServiceUnavailable", Sentence(e.Msg)), true
	case errs.Canceled:
		// The outcome of a write may be unknown. SDKs repeat it on a 503, and with
		// the same ClientRequestToken that is safe.
		return common(http.StatusServiceUnavailable, "ServiceUnavailable", "The request could not be completed in time."), true
	}
	switch e.Code {
	case CodeSerialization:
		return Refusal(CodeSerialization, e.Msg), true
	case CodeValidation, CodeUnknownOperation, sigv4.CodeIncomplete:
		return common(http.StatusBadRequest, e.Code, e.Msg), true
	case httpx.CodeBody:
		return common(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "The request body is larger than 1 MiB."), true
	}
	return Fault{}, false
}

func unauthenticated(e *errs.Error) Fault {
	switch e.Code {
	case authn.CodeExpiredKey:
		return common(http.StatusBadRequest, "ExpiredTokenException", "The security token included in the request is expired")
	case sigv4.CodeMissing, sigv4.CodeInvalid:
		return common(http.StatusBadRequest, e.Code, e.Msg)
	}
	return common(http.StatusBadRequest, CodeSessionToken, "The security token included in the request is invalid.")
}

// Sentence turns a message of package errs into a sentence of AWS's kind.
func Sentence(msg string) string {
	if msg == "" {
		return ""
	}
	if c := msg[0]; c >= 'a' && c <= 'z' {
		msg = string(c-'a'+'A') + msg[1:]
	}
	return msg + "."
}

// fallback is the answer to an error of no service.
func fallback(e *errs.Error) Fault {
	if f, ok := Common(e); ok {
		return f
	}
	return common(http.StatusInternalServerError, "InternalFailure", "The request processing has failed because of an unknown error, exception or failure.")
}
