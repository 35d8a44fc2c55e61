// Package httpx is what the fronts share that is no dialect: the facts of a
// request, bounded bodies, and the observer that counts answers.
//
// It trusts nothing that a client sends. The client's address is the
// connection's, or what a configured proxy says of it; the user agent is cut
// and cleaned; request ids are made here.
package httpx

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/errs"
)

// CodeBody is the code of the error for a body over its limit.
const CodeBody = "body-too-large"

// maxAgent bounds the user agent that is kept.
const maxAgent = 256

// Meta is the facts of one request.
type Meta struct {
	RequestID string // a random UUID
	Source    netip.Addr
	Agent     string
	Secure    bool
	Time      time.Time
}

// Proxies are the addresses whose X-Forwarded-For and X-Forwarded-Proto are
// believed. None are by default.
type Proxies []netip.Prefix

func (p Proxies) trusts(a netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// Meta reads the facts of a request.
func (p Proxies) Meta(r *http.Request) Meta {
	m := Meta{RequestID: NewID(), Secure: r.TLS != nil, Time: time.Now(), Agent: agent(r.UserAgent())}
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		m.Source = at.Addr().Unmap()
	}
	if len(p) > 0 && p.trusts(m.Source) {
		if proto := last(r.Header.Values("X-Forwarded-Proto")); proto != "" {
			m.Secure = strings.EqualFold(proto, "https")
		}
		m.Source = p.client(m.Source, r.Header.Values("X-Forwarded-For"))
	}
	return m
}

// last is the last member of a list header: what the nearest proxy added. What
// comes before it is the client's word.
func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	v := values[len(values)-1]
	return strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:])
}

// client walks the forwarding chain from its end, past trusted proxies.
func (p Proxies) client(at netip.Addr, chain []string) netip.Addr {
	hops := strings.Split(strings.Join(chain, ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return at
		}
		if at = a.Unmap().WithZone(""); !p.trusts(at) { // a zone would be free text
			return at
		}
	}
	return at
}

// agent cuts a user agent and replaces what is not printable ASCII.
func agent(s string) string {
	if len(s) > maxAgent {
		s = s[:maxAgent]
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return strings.Map(func(r rune) rune {
				if r < 0x20 || r > 0x7e {
					return '?'
				}
				return r
			}, s)
		}
	}
	return s
}

// Fill adds the circumstances of the request to an authenticated caller.
func (m Meta) Fill(who caller.Caller, front, region string) caller.Caller {
	who.Front, who.Region, who.RequestID = front, region, m.RequestID
	who.Source, who.Agent, who.Secure, who.Time = m.Source, m.Agent, m.Secure, m.Time
	return who
}

// Nobody is the caller of a request that proved nothing, for the record of its
// refusal.
func (m Meta) Nobody(front string) caller.Caller { return m.Fill(caller.Caller{}, front, "") }

// NewID returns a random UUID (RFC 9562, version 4). It is unique and not
// secret, so the runtime's ChaCha8 generator, which the system seeds, is enough.
func NewID() string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// ReadBody reads a whole body of at most limit bytes. A larger one is
// errs.Limit with CodeBody, and its rest is not read.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	tooLarge := &errs.Error{Kind: errs.Limit, Code: CodeBody, Msg: "the request body is too large"}
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	if n := r.ContentLength; n >= 0 { // net/http reads no more than that
		buf := make([]byte, n)
		if _, err := io.ReadFull(r.Body, buf); err != nil {
			return nil, errs.Wrap(errs.Canceled, err, "the request body ended early")
		}
		return buf, nil
	}
	buf, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case err != nil:
		return nil, errs.Wrap(errs.Canceled, err, "the request body ended early")
	}
	return buf, nil
}

// Observer counts answers. It is safe for concurrent use.
type Observer interface {
	// Answered is told of each answer: operation is a name from a fixed table,
	// or empty; outcome is "ok" or an errs.Kind slug.
	Answered(front, operation, outcome string, d time.Duration)
}

// ownLength is from how many bytes of body on net/http does not count them by
// itself.
const ownLength = 2048

// SetLength says in the header how long the body is, which is written next, at
// once and last. A short one is left to net/http, which is cheaper.
func SetLength(h http.Header, n int) {
	if n >= ownLength {
		h["Content-Length"] = []string{strconv.Itoa(n)}
	}
}
