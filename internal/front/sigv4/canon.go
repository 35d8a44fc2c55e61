package sigv4

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"countersign/internal/errs"
)

// Verify tells whether req was signed with key and came as it was signed, body
// included. A nil return is the proof; any other means that nothing about req
// is known. The error of a signature that differs is the same whatever differed.
func (v *Verifier) Verify(req *Request, body []byte, key *Key) error {
	if !req.checked || key == nil {
		return errs.New(errs.Internal, "verifying a request that was not checked")
	}
	sum := sha256.Sum256(body)
	if req.payload != "" && req.payload != unsignedPayload && !declares(req.payload, &sum) {
		return mismatch()
	}
	s := scratches.Get().(*scratch)
	defer s.release()
	for _, host := range hosts(req.http.Host, req.secure) {
		if host == "" {
			continue
		}
		for _, normal := range [...]bool{true, false} {
			if !normal && clean(req.path) {
				continue // both forms are the same
			}
			if err := s.canonical(req, host, normal, &sum); err != nil {
				return err
			}
			if s.matches(req, key) {
				return nil
			}
		}
	}
	return mismatch()
}

// declares reports whether a declared payload hash is sum. The hash is no
// secret, so the comparison need not be constant-time.
func declares(declared string, sum *[32]byte) bool {
	if len(declared) != 64 {
		return false
	}
	var text [64]byte
	var got [32]byte
	copy(text[:], declared)
	if _, err := hex.Decode(got[:], text[:]); err != nil {
		return false
	}
	return got == *sum
}

// hosts are the spellings of the received host that a client may have signed:
// as received and, where that differs, in lower case without the scheme's
// default port or an empty one (RFC 9110 section 4.2.3 holds them equal). No
// request without a host verifies.
func hosts(host string, secure bool) [2]string {
	other := strings.ToLower(host)
	port := ":80"
	if secure {
		port = ":443"
	}
	if !strings.HasSuffix(other, "]") {
		other = strings.TrimSuffix(strings.TrimSuffix(other, port), ":")
	}
	if other == host {
		other = ""
	}
	return [2]string{host, other}
}

// scratch is the memory of one verification.
type scratch struct {
	canon  []byte  // the canonical request
	sts    []byte  // the string to sign
	mac    []byte  // its HMAC
	params []param // of the query
	text   []byte  // their names and values
}

// param is one query parameter, as offsets into text: name from a to b, value
// from b to c, both encoded.
type param struct{ a, b, c int }

var scratches = sync.Pool{New: func() any { return &scratch{canon: make([]byte, 0, 1024), sts: make([]byte, 0, 192)} }}

// release gives the memory back, unless an unusual request made it large.
func (s *scratch) release() {
	if cap(s.canon)+cap(s.text) <= 32<<10 {
		scratches.Put(s)
	}
}

// matches signs the canonical request and compares.
func (s *scratch) matches(req *Request, key *Key) bool {
	sum := sha256.Sum256(s.canon)
	b := append(s.sts[:0], Algorithm+"\n"...)
	b = append(b, req.stamp...)
	b = append(b, '\n')
	b = append(b, req.Date...)
	b = append(b, '/')
	b = append(b, req.Region...)
	b = append(b, '/')
	b = append(b, req.Service...)
	b = append(b, "/"+terminator+"\n"...)
	s.sts = hex.AppendEncode(b, sum[:])
	s.mac = key.sign(s.mac[:0], s.sts)
	return subtle.ConstantTimeCompare(s.mac, req.signature[:]) == 1
}

// canonical builds the canonical request.
func (s *scratch) canonical(req *Request, host string, normal bool, sum *[32]byte) error {
	b := append(s.canon[:0], req.http.Method...)
	b = append(b, '\n')
	if normal {
		b = appendNormalPath(b, req.path)
	} else {
		b = appendPath(b, req.path)
	}
	b = append(b, '\n')
	b, err := s.appendQuery(b, req.query, req.Presigned)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if b, err = appendHeaders(b, req, host); err != nil {
		return err
	}
	b = append(b, '\n')
	b = append(b, req.signedHeaders...)
	b = append(b, '\n')
	if req.payload != "" {
		b = append(b, req.payload...)
	} else {
		b = hex.AppendEncode(b, sum[:])
	}
	s.canon = b
	return nil
}

// appendHeaders appends the signed headers, one a line.
func appendHeaders(b []byte, req *Request, host string) ([]byte, error) {
	for rest, more := req.signedHeaders, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, ";")
		b = append(b, name...)
		b = append(b, ':')
		values := headerValues(req.http.Header, name)
		switch {
		case name == "host":
			b = appendValue(b, host)
		case len(values) > 0:
			for i, v := range values {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendValue(b, v)
			}
		case name == "content-length" && req.http.ContentLength >= 0:
			b = strconv.AppendInt(b, req.http.ContentLength, 10)
		default:
			return nil, incomplete("'%s' is named as a SignedHeader, but it does not exist in the HTTP request.", shown(name))
		}
		b = append(b, '\n')
	}
	return b, nil
}

// headerValues looks up a lower-case name without allocating its canonical form.
func headerValues(h http.Header, name string) []string {
	var key [maxHeaderName]byte
	upper := true
	for i := range len(name) {
		c := name[i]
		if upper && c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		key[i] = c
		upper = c == '-'
	}
	return h[string(key[:len(name)])]
}

// appendValue appends a header value without the blanks around it and with
// each run of spaces within it as one.
func appendValue(b []byte, v string) []byte {
	v = strings.Trim(v, " \t\r\n")
	if !strings.Contains(v, "  ") {
		return append(b, v...)
	}
	for i := range len(v) {
		if v[i] != ' ' || v[i-1] != ' ' { // v begins with no space
			b = append(b, v[i])
		}
	}
	return b
}

// clean reports whether a path has neither dot segments nor empty ones, so
// that its normal form is itself.
func clean(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	for i := 0; ; {
		end := strings.IndexByte(path[i+1:], '/')
		if end < 0 {
			segment := path[i+1:]
			return segment != "." && segment != ".."
		}
		switch segment := path[i+1 : i+1+end]; segment {
		case "", ".", "..":
			return false
		}
		i += 1 + end
	}
}

// appendNormalPath appends the path without dot segments and empty segments,
// each byte that is not unreserved encoded, those of percent-encodings included:
// every service but S3 encodes twice. A trailing slash stays.
func appendNormalPath(b []byte, path string) []byte {
	if clean(path) {
		return appendPath(b, path)
	}
	start := len(b)
	b = append(b, '/')
	for rest, more := path, true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		switch segment {
		case "", ".":
		case "..":
			if len(b) > start+1 {
				b = b[:start+bytes.LastIndexByte(b[start:len(b)-1], '/')+1]
			}
		default:
			b = append(appendEscaped(b, segment), '/')
		}
	}
	if len(b) > start+1 && !strings.HasSuffix(path, "/") {
		b = b[:len(b)-1]
	}
	return b
}

// appendPath appends the path as received, encoded.
func appendPath(b []byte, path string) []byte {
	if path == "" {
		return append(b, '/')
	}
	for rest, more := path, true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		b = appendEscaped(b, segment)
		if more {
			b = append(b, '/')
		}
	}
	return b
}

// appendQuery appends the parameters in the order of their encoded names, then
// values, without the signature of a presigned URL.
func (s *scratch) appendQuery(b []byte, query string, presigned bool) ([]byte, error) {
	if query == "" {
		return b, nil
	}
	s.params, s.text = s.params[:0], s.text[:0]
	for n := 0; query != ""; n++ {
		if n == maxParams {
			return nil, tooManyParams()
		}
		var segment string
		segment, query, _ = strings.Cut(query, "&")
		if segment == "" {
			continue
		}
		if strings.Contains(segment, ";") { // net/url drops such a parameter, so it may not verify
			return nil, incomplete("The query string has a ';' that is not encoded.")
		}
		name, value, _ := strings.Cut(segment, "=")
		p := param{a: len(s.text)}
		var ok bool
		if s.text, ok = appendRecoded(s.text, name); !ok {
			return nil, badEscape()
		}
		p.b = len(s.text)
		if s.text, ok = appendRecoded(s.text, value); !ok {
			return nil, badEscape()
		}
		p.c = len(s.text)
		if presigned && string(s.text[p.a:p.b]) == "X-Amz-Signature" {
			continue
		}
		s.params = append(s.params, p)
	}
	text := s.text
	slices.SortFunc(s.params, func(x, y param) int {
		if c := bytes.Compare(text[x.a:x.b], text[y.a:y.b]); c != 0 {
			return c
		}
		return bytes.Compare(text[x.b:x.c], text[y.b:y.c])
	})
	for i, p := range s.params {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, text[p.a:p.b]...)
		b = append(b, '=')
		b = append(b, text[p.b:p.c]...)
	}
	return b, nil
}

const upperHex = "0123456789ABCDEF"

// unreserved are the characters that are never encoded, RFC 3986 section 2.3.
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

func appendByte(b []byte, c byte) []byte {
	if unreserved(c) {
		return append(b, c)
	}
	return append(b, '%', upperHex[c>>4], upperHex[c&15])
}

// appendEscaped encodes every byte of s that is not unreserved.
func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		b = appendByte(b, s[i])
	}
	return b
}

// decode reads the character of a query at s[i] as net/url does, and how many
// bytes it takes: none when its percent-encoding is broken.
func decode(s string, i int) (c byte, n int) {
	switch s[i] {
	case '+':
		return ' ', 1
	case '%':
		if i+2 >= len(s) {
			return 0, 0
		}
		hi, lo := fromHex(s[i+1]), fromHex(s[i+2])
		if hi > 15 || lo > 15 {
			return 0, 0
		}
		return hi<<4 | lo, 3
	}
	return s[i], 1
}

// appendRecoded decodes one name or value of a query and encodes it in the
// canonical way. It reports false for a broken percent-encoding.
func appendRecoded(b []byte, s string) ([]byte, bool) {
	for i := 0; i < len(s); {
		c, n := decode(s, i)
		if n == 0 {
			return b, false
		}
		b = appendByte(b, c)
		i += n
	}
	return b, true
}

func fromHex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// unescape decodes one name or value of a query.
func unescape(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		c, n := decode(s, i)
		if n == 0 {
			return "", false
		}
		b = append(b, c)
		i += n
	}
	return string(b), true
}
