package native

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"countersign/internal/core/secret"
	"countersign/internal/front/httpx"
)

// list is the answer of every listing.
type list[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"` // token of the next page; absent on the last
}

// listOf makes items an empty array rather than null.
func listOf[T any](items []T, next string) list[T] {
	if items == nil {
		items = []T{}
	}
	return list[T]{items, next}
}

// appender is an answer that is encoded without reflection.
type appender interface{ appendJSON(b []byte) []byte }

// stream is an answer that sends itself. An error before it wrote anything is
// answered as one.
type stream interface {
	send(ctx context.Context, w http.ResponseWriter) error
}

// keepBuffer bounds the buffers that are used again.
const keepBuffer = 1 << 17

// answer encodes what an action returned.
func (a *api) answer(ctx context.Context, w http.ResponseWriter, r *http.Request, rt *route, v any) error {
	var b []byte
	switch v := v.(type) {
	case stream:
		w.Header()["Content-Type"] = []string{rt.media}
		return v.send(ctx, w)
	case appender:
		buf := a.buffers.Get().(*[]byte)
		b = v.appendJSON((*buf)[:0])
		defer func() {
			if clear(b); cap(b) <= keepBuffer { // it may be a secret value
				*buf = b
			}
			a.buffers.Put(buf)
		}()
	default:
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			return fmt.Errorf("encoding the answer of %s: %w", rt.name, err)
		}
		b = buf.Bytes()
	}
	h := w.Header()
	if rt.tagged && unchanged(h, r, b) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h["Content-Type"] = isJSON
	httpx.SetLength(h, len(b))
	_, _ = w.Write(b) // a client that is gone is no failure of the server
	return nil
}

// valueAnswer is a version with its value.
type valueAnswer struct{ v secret.Value }

// valueShape says what appendJSON of a valueAnswer writes.
type valueShape struct {
	ARN       string    `json:"arn"`
	Name      string    `json:"name"`
	Version   uint64    `json:"version"`
	VersionID string    `json:"version_id"`
	Labels    []string  `json:"labels"`
	Created   time.Time `json:"created"`
	Value     string    `json:"value,omitempty"`
	Binary    []byte    `json:"binary,omitempty"`
}

func (a *valueAnswer) appendJSON(b []byte) []byte {
	v := &a.v
	data := v.Data.Reveal()
	if need := len(v.ARN) + len(v.Name) + len(data)*3/2 + 512; need > cap(b) {
		b = make([]byte, 0, need)
	}
	b = append(b, `{"arn":`...)
	b = appendQuoted(b, []byte(v.ARN))
	b = append(b, `,"name":`...)
	b = appendQuoted(b, []byte(v.Name))
	b = append(b, `,"version":`...)
	b = strconv.AppendUint(b, v.Number, 10)
	b = append(b, `,"version_id":`...)
	b = appendQuoted(b, []byte(v.VersionID))
	b = append(b, `,"labels":[`...)
	for i, l := range v.Labels {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, []byte(l))
	}
	b = append(b, `],"created":"`...)
	b = v.Created.AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	return append(appendPayload(b, data, v.Binary), "}\n"...)
}

// appendPayload appends the member that holds a value: text, or bytes in base64.
func appendPayload(b, data []byte, binary bool) []byte {
	if binary || !utf8.Valid(data) {
		b = append(b, `,"binary":"`...)
		b = base64.StdEncoding.AppendEncode(b, data)
		return append(b, '"')
	}
	return appendQuoted(append(b, `,"value":`...), data)
}

const hexDigits = "0123456789abcdef"

// plain are the characters that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := range utf8.RuneSelf {
		t[c] = c >= 0x20 && c != '"' && c != '\\'
	}
	return t
}()

// appendQuoted appends s as a JSON string: what RFC 8259 asks to be escaped is,
// and so are the line separators that JavaScript once did not take. Bytes that
// are not UTF-8 become U+FFFD.
func appendQuoted(b, s []byte) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && n == 1 || r == '\u2028' || r == '\u2029' {
			b = append(b, s[start:i]...)
			if n == 1 {
				b = append(b, `\ufffd`...)
			} else {
				b = append(b, `\u202`...)
				b = append(b, hexDigits[r&15])
			}
			start = i + n
		}
		i += n
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// encodePage makes a page token out of the last name of a page.
func encodePage(last string) string { return base64.RawURLEncoding.EncodeToString([]byte(last)) }

// decodePage reads one; the empty token is the first page.
func decodePage(token string) (after string, ok bool) {
	if len(token) > 512 {
		return "", false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	return string(b), err == nil && utf8.Valid(b)
}
