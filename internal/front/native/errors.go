package native

import (
	"log/slog"
	"net/http"
	"strings"

	"countersign/internal/errs"
	"countersign/internal/front/httpx"
)

// status is the one mapping of kinds to HTTP.
func status(k errs.Kind) int {
	switch k {
	case errs.Invalid:
		return http.StatusBadRequest
	case errs.Unauthenticated:
		return http.StatusUnauthorized
	case errs.Denied:
		return http.StatusForbidden
	case errs.NotFound:
		return http.StatusNotFound
	case errs.Exists, errs.Conflict, errs.Precondition:
		return http.StatusConflict
	case errs.Limit:
		return http.StatusRequestEntityTooLarge
	case errs.Throttled:
		return http.StatusTooManyRequests
	case errs.Unavailable, errs.Canceled:
		return http.StatusServiceUnavailable
	case errs.Internal:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// refuse answers with an error. The text of an internal one goes to the log.
func (a *api) refuse(w http.ResponseWriter, meta httpx.Meta, operation string, err error) {
	e := errs.As(err)
	if e.Kind == errs.Internal || e.Kind == errs.Unavailable {
		a.Logger.Error("request failed", slog.String("front", Front), slog.String("operation", operation),
			slog.String("request_id", meta.RequestID), slog.Any("error", err))
	}
	code := status(e.Kind)
	h := w.Header()
	switch {
	case e.Code == codeMethod:
		code = http.StatusMethodNotAllowed
	case code == http.StatusUnauthorized:
		h["Www-Authenticate"] = []string{`Bearer realm="countersign"`}
	case code == http.StatusServiceUnavailable, code == http.StatusTooManyRequests:
		h["Retry-After"] = []string{"1"}
	}
	b := appendError(make([]byte, 0, 512), e, meta.RequestID)
	h["Content-Type"] = isJSON
	httpx.SetLength(h, len(b))
	w.WriteHeader(code)
	_, _ = w.Write(b) // a client that is gone is no failure of the server
}

// appendError writes the body of an error.
func appendError(b []byte, e *errs.Error, requestID string) []byte {
	b = append(b, `{"error":{"kind":"`...)
	b = append(b, e.Kind.String()...)
	b = append(b, '"')
	member := func(name, value string) {
		if value != "" {
			b = append(b, `,"`...)
			b = append(b, name...)
			b = append(b, `":`...)
			b = appendQuoted(b, []byte(value))
		}
	}
	msg := e.Msg
	if e.Kind == errs.Internal {
		msg = "the server failed; its log has the reason under the request id"
	} else {
		member("code", e.Code)
		member("field", field(e))
	}
	if msg == "" {
		msg = e.Kind.String()
	}
	member("message", msg)
	member("decision", e.Decision)
	member("request_id", requestID)
	return append(b, "}}\n"...)
}

// fields are the core's names of request members, which are AWS's, in the words
// of this API. The core's own front-neutral ones pass as they are.
var fields = map[string]string{
	"SecretId": "name", "Name": "name", "ClientRequestToken": "version_id", "VersionId": "version_id",
	"VersionStage": "label", "MoveToVersionId": "to", "KmsKeyId": "kms_key", "SecretString": "value",
	"ScheduleExpression": "schedule", "Duration": "window", "AutomaticallyAfterDays": "days", "RotationRules": "days", "RotationLambdaARN": "function",
	"RecoveryWindowInDays": "window", "TagKeys": "key", "NextToken": "page", "ResourcePolicy": "document",
	"PasswordLength": "length", "ExcludeCharacters": "exclude", "AddReplicaRegions": "replicas", "RemoveReplicaRegions": "replica",
	"Filters": "filter", "SortBy": "sort",
}

// field names the member at fault. Of an error that is about state, not about
// form, the core puts there what was not found or is at odds.
func field(e *errs.Error) string {
	if e.Kind != errs.Invalid && e.Kind != errs.Limit {
		return e.Field
	}
	if n, ok := fields[e.Field]; ok {
		return n
	}
	return strings.ToLower(e.Field)
}
