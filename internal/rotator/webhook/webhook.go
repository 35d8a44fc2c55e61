// Package webhook rotates by a signed request to an address of the operator's.
//
// The server's configuration names webhooks; the option webhook of a secret chooses
// one. A request is a POST of the document of package call, over HTTPS but for
// addresses that the configuration allows, to the URL as it is configured: nothing of
// a secret or of its settings goes into it. No redirect is followed.
//
// Each request has a signature as the webhooks of notices have, over the time and the
// body, and an id of its own: its receiver refuses what is older than five minutes
// and an id that it has seen. The key is read from its file for each request.
//
// An answer of 200 or 204 is success; what it holds counts in create alone. Any other
// is a failure, which may say its class.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"countersign/internal/rotator"
	"countersign/internal/rotator/call"
	"countersign/internal/sensitive"
)

// Option names the webhook.
const Option = "webhook"

// Headers, which are those of webhooks of notices.
const (
	HeaderID        = "Countersign-Delivery"
	HeaderTimestamp = "Countersign-Timestamp"
	HeaderSignature = "Countersign-Signature"
)

// MaxAnswer is how long an answer may be, in bytes.
const MaxAnswer = call.MaxAnswer

// Webhook is one of the configuration. What else stands in Called says package call.
type Webhook struct {
	call.Called
	URL string
	// Keys reads the file with the keys that sign.
	Keys func() (sensitive.Bytes, error)
}

// Config configures Kind.
type Config struct{ Webhooks []Webhook }

// Kind is the row of the list of rotators.
func Kind(c Config) rotator.Kind {
	var list []call.Called
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		called := w.Called
		called.Bind = func(env rotator.Env) call.Do {
			return func(ctx context.Context, j rotator.Job, d *call.Document) (call.Answer, error) {
				return w.post(ctx, env, j, d)
			}
		}
		list = append(list, called)
	}
	return call.Kind(rotator.Kind{Name: "webhook", Help: "whatever a webhook of yours changes"}, Option, list)
}

// post makes one call.
func (w *Webhook) post(ctx context.Context, env rotator.Env, j rotator.Job, d *call.Document) (call.Answer, error) {
	what := fmt.Sprintf("the webhook %q", w.Name)
	body, err := d.Bytes()
	if err != nil {
		return call.Answer{}, err
	}
	file, err := w.Keys()
	if err != nil {
		return call.Answer{}, rotator.Fail(rotator.Unsuitable, err, "the key of %s cannot be read", what)
	}
	keys, err := ParseKeys(file)
	if err != nil {
		return call.Answer{}, rotator.Fail(rotator.Unsuitable, err, "the key of %s is unusable: %s", what, err)
	}
	req, err := call.NewRequest(ctx, w.URL, body)
	if err != nil {
		return call.Answer{}, err
	}
	stamp := strconv.FormatInt(now(env).Unix(), 10)
	for k, v := range map[string]string{"Content-Type": "application/json; charset=utf-8", HeaderID: d.ID, HeaderTimestamp: stamp, HeaderSignature: signature(keys, stamp, body)} {
		req.Header.Set(k, v)
	}
	status, _, body, err := call.Send(env.HTTP, req, what, MaxAnswer)
	if err != nil {
		return call.Answer{}, err
	}
	if status != http.StatusOK && status != http.StatusNoContent {
		return call.Answer{}, refused(what, j, status, body)
	}
	if d.Step != call.Create {
		return call.Answer{}, nil
	}
	a, err := call.ParseAnswer(body)
	if err != nil {
		return call.Answer{}, rotator.Fail(rotator.Unsuitable, nil, "%s answered create with what is no value: %s", what, err)
	}
	return a, nil
}

func now(env rotator.Env) time.Time {
	if env.Now == nil {
		return time.Now()
	}
	return env.Now()
}

// refused is a status other than success.
func refused(what string, j rotator.Job, status int, body []byte) error {
	r := call.ParseRefusal(body)
	if r.Unsupported && (status == http.StatusNotFound || status == http.StatusNotImplemented) {
		return call.ErrUnsupported
	}
	class := call.ClassOf(status)
	if r.Class != "" && status >= 400 {
		class = r.Class
	}
	return rotator.Fail(class, nil, "%s answered with status %d%s", what, status, call.Shown(r.Code, j))
}

// signature is one "v1=…" for each key, separated by commas.
func signature(keys [][]byte, stamp string, body []byte) string {
	var out []string
	for _, k := range keys {
		m := hmac.New(sha256.New, k)
		m.Write([]byte(stamp + "."))
		m.Write(body)
		out = append(out, "v1="+hex.EncodeToString(m.Sum(nil)))
	}
	return strings.Join(out, ",")
}

// Limits of a key, in bytes.
const (
	minKey = 16
	maxKey = 1024
)

// ParseKeys reads the file with the key: one on a line, at most two. The text of the
// error is safe to show.
func ParseKeys(file sensitive.Bytes) ([][]byte, error) {
	var keys [][]byte
	for line := range bytes.Lines(file.Reveal()) {
		if k := bytes.TrimSpace(line); len(k) > 0 {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 || len(keys) > 2 {
		return nil, errors.New("the file holds one key on a line, or two while one replaces the other")
	}
	for _, k := range keys {
		if len(k) < minKey || len(k) > maxKey {
			return nil, errors.New("a key has 16 to 1024 bytes")
		}
	}
	return keys, nil
}
