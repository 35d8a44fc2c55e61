package vault

import (
	"log/slog"
	"net/http"

	"countersign/internal/core/change"
	"countersign/internal/core/login"
	"countersign/internal/core/mount"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/front/httpx"
)

// Codes of refusals of this front.
const (
	codeNoToken   = "no-token"
	codeMethod    = "method"
	codePath      = "path"
	codeRoute     = "no-route"
	codePreflight = "preflight" // Denied, in a client's words
	codeNotFound  = "not-found" // so, too, where Vault has words for what is not there
)

// status is the one mapping of kinds to HTTP. What clients know by another number
// is in statusOf.
func status(k errs.Kind) int {
	switch k {
	case errs.Invalid, errs.Exists, errs.Conflict, errs.Precondition:
		return http.StatusBadRequest
	case errs.Unauthenticated, errs.Denied:
		return http.StatusForbidden
	case errs.NotFound:
		return http.StatusNotFound
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

func statusOf(e *errs.Error) int {
	switch {
	case e.Code == codeMethod:
		return http.StatusMethodNotAllowed
	case e.Code == change.CodeAwaits:
		return http.StatusForbidden
	case e.Code == login.CodeRefused:
		return http.StatusBadRequest
	case e.Kind == errs.Limit && e.Code != httpx.CodeBody:
		return http.StatusBadRequest
	}
	return status(e.Kind)
}

// texts says an error in Vault's words; none for what is just not there.
func texts(e *errs.Error) []string {
	switch {
	case e.Kind == errs.Internal:
		return []string{"internal error: the server's log has the reason under the request id"}
	case e.Code == login.CodeRefused:
		return []string{e.Msg}
	case e.Kind == errs.Unauthenticated:
		if e.Code == codeNoToken {
			return []string{"missing client token"}
		}
		return []string{"permission denied"}
	case e.Code == codePreflight || e.Code == codeNotFound:
		return []string{e.Msg}
	case e.Kind == errs.Denied:
		if e.Decision != "" {
			return []string{"permission denied (decision " + e.Decision + ")"}
		}
		return []string{"permission denied"}
	case e.Kind == errs.NotFound && (e.Code == secret.CodeSecret || e.Code == secret.CodeLabel || e.Code == secret.CodeVersion || e.Code == codePath || e.Code == ""):
		return nil
	case e.Code == mount.CodeMount && e.Kind == errs.NotFound:
		return []string{"no mount at " + e.Field + "/"}
	}
	msg := e.Msg
	if msg == "" {
		msg = e.Kind.String()
	}
	if e.Field != "" && e.Kind == errs.Invalid {
		msg = e.Field + ": " + msg
	}
	return []string{msg}
}

// refuse answers with an error. The text of an internal one goes to the log.
func (f *front) refuse(w http.ResponseWriter, c *call, err error) {
	e := errs.As(err)
	if e.Kind == errs.Internal || e.Kind == errs.Unavailable {
		f.Logger.Error("request failed", slog.String("front", Front), slog.String("path", c.path),
			slog.String("request_id", c.meta.RequestID), slog.Any("error", err))
	}
	code := statusOf(e)
	if code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests {
		w.Header()["Retry-After"] = []string{"1"}
	}
	b := []byte(`{"errors":[`)
	for i, t := range texts(e) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, t)
	}
	b = append(b, "]}\n"...)
	write(w, code, b)
}

func write(w http.ResponseWriter, code int, b []byte) {
	h := w.Header()
	h["Content-Type"] = isJSON
	httpx.SetLength(h, len(b))
	w.WriteHeader(code)
	_, _ = w.Write(b) // a client that is gone is no failure of the server
}
