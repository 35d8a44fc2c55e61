package vault

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"countersign/internal/errs"
)

// answer is what a row returns. The zero value, and nil, is 204 without a body.
type answer struct {
	code     int // default 200 with a body, 204 without
	data     any // of the envelope, encoded as JSON; a json.RawMessage stands as it is
	auth     any // of a login
	wrap     any // of a wrapped answer
	warnings []string
	lease    lease
	raw      []byte // the whole body as it is, without an envelope
	media    string // of raw; default application/json
	bare     bool   // data is the whole body, without an envelope
	plain    bool   // data stands beside the envelope's members too, as in sys/mounts
	empty    bool   // the body is an envelope though there is no data
}

// lease is what an answer says of how long it counts.
type lease struct {
	id        string
	renewable bool
	seconds   int64
}

// warn says which parameters of the body nobody read, as Vault does where an answer
// has a body: a misspelt one would go unnoticed, and a token have policies that
// were not meant.
func (a *answer) warn(c *call) {
	if len(c.row.params) == 0 || a == nil || a.data == nil && a.auth == nil && !a.empty {
		return
	}
	var ignored []string
	for name := range c.body {
		if !slices.Contains(c.row.params, name) {
			ignored = append(ignored, clip(name))
		}
	}
	if len(ignored) == 0 {
		return
	}
	slices.Sort(ignored)
	a.warnings = append(a.warnings, fmt.Sprintf("Endpoint ignored these unrecognized parameters: %v", ignored[:min(len(ignored), maxIgnored)]))
}

// maxIgnored is how many of them an answer names.
const maxIgnored = 20

// ok is an answer with data.
func ok(data any) *answer { return &answer{data: data} }

// send writes an answer.
func (f *front) send(w http.ResponseWriter, c *call, a *answer) {
	if a == nil {
		a = &answer{}
	}
	code := a.code
	if a.raw != nil {
		if a.media != "" {
			w.Header()["Content-Type"] = []string{a.media}
		}
		if code == 0 {
			code = http.StatusOK
		}
		h := w.Header()
		if a.media == "" {
			h["Content-Type"] = isJSON
		}
		h["Content-Length"] = []string{strconv.Itoa(len(a.raw))}
		w.WriteHeader(code)
		if c.r.Method != http.MethodHead {
			_, _ = w.Write(a.raw)
		}
		return
	}
	if a.data == nil && a.auth == nil && a.wrap == nil && len(a.warnings) == 0 && !a.empty {
		if code == 0 {
			code = http.StatusNoContent
		}
		w.WriteHeader(code)
		return
	}
	if code == 0 {
		code = http.StatusOK
	}
	buf := f.buffers.Get().(*[]byte)
	b, err := a.encode(c, (*buf)[:0])
	if err != nil {
		f.refuse(w, c, errs.Wrap(errs.Internal, err, "encoding an answer"))
		return
	}
	write(w, code, b)
	if clear(b); cap(b) <= maxKept { // nothing of it is left to the next
		*buf = b
		f.buffers.Put(buf)
	}
}

// maxKept is the size of the largest buffer that is kept for the next answer.
const maxKept = 64 << 10

// encode writes the body: Vault's envelope around the data.
func (a *answer) encode(c *call, b []byte) ([]byte, error) {
	if a.bare {
		b, err := appendJSON(b, a.data)
		return append(b, '\n'), err
	}
	b = append(b, `{"request_id":"`...)
	b = append(b, c.meta.RequestID...)
	b = append(b, `","lease_id":`...)
	b = appendText(b, a.lease.id)
	b = append(b, `,"renewable":`...)
	b = strconv.AppendBool(b, a.lease.renewable)
	b = append(b, `,"lease_duration":`...)
	b = strconv.AppendInt(b, a.lease.seconds, 10)
	b = append(b, `,"data":`...)
	at := len(b)
	b, err := appendJSON(b, a.data)
	if err != nil {
		return nil, err
	}
	end := len(b)
	if a.wrap == nil && a.auth == nil && len(a.warnings) == 0 {
		b = append(b, `,"wrap_info":null,"warnings":null,"auth":null`...)
	} else {
		rest, err := json.Marshal(struct {
			Wrap     any      `json:"wrap_info"`
			Warnings []string `json:"warnings"`
			Auth     any      `json:"auth"`
		}{a.wrap, a.warnings, a.auth})
		if err != nil {
			return nil, err
		}
		b = append(append(b, ','), rest[1:len(rest)-1]...)
	}
	b = append(b, `,"mount_type":`...)
	b = appendText(b, c.mountType())
	if a.plain && end-at > 2 { // the members of data beside it
		b = append(append(b, ','), b[at+1:end-1]...)
	}
	return append(b, "}\n"...), nil
}

// appender writes itself as JSON.
type appender interface{ appendJSON(b []byte) []byte }

func appendJSON(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case json.RawMessage:
		return append(b, v...), nil
	case appender:
		return v.appendJSON(b), nil
	}
	raw, err := json.Marshal(v)
	return append(b, raw...), err
}

// appendText writes a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			q, _ := json.Marshal(s) // a string always encodes
			return append(b, q...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// mountType is what the envelope says of the engine.
func (c *call) mountType() string {
	if c.mount != nil {
		return c.mount.Type
	}
	return c.kind
}
