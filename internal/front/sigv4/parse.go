package sigv4

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxAuthorization = 4096  // bytes of the Authorization header
	maxQuery         = 16384 // bytes of the query string
	maxParams        = 256   // parameters of the query string
	maxSignedHeaders = 64    // names in SignedHeaders
	maxHeaderName    = 128   // bytes of one such name
	maxCredential    = 512   // bytes of a credential
	maxKeyID         = 128   // bytes of an access key id, as in AWS's IAM

	unsignedPayload = "UNSIGNED-PAYLOAD"
)

// Request is what a signed request claims. Until Verify has returned nil it is
// a stranger's word.
type Request struct {
	AccessKeyID string
	Date        string // of the credential's scope, YYYYMMDD
	Region      string // of the credential's scope
	Service     string // of the credential's scope
	Token       string // X-Amz-Security-Token; empty when none was sent
	Time        time.Time
	Presigned   bool          // signed in the query
	Expires     time.Duration // X-Amz-Expires of a presigned URL; zero when it has none

	http          *http.Request
	path, query   string // as received on the wire
	terminator    string // last element of the scope
	signedHeaders string // lower case, sorted, each once, separated by ";"
	stamp         string // Time in the form it is signed in
	payload       string // declared hash of the body; empty when none is
	signature     [32]byte
	checked       bool // Check has passed
	secure        bool // as told to Check
}

// KeyID names the derived key that this request is signed with. Generation is
// the caller's: whatever changes when the secret of the access key does.
func (req *Request) KeyID(generation string) KeyID {
	return KeyID{AccessKeyID: req.AccessKeyID, Generation: generation, Date: req.Date, Region: req.Region, Service: req.Service}
}

// Parse reads the signature of r from its header or its query, without judging
// it. The Request refers to r, whose header, Host and URL must not be changed
// before Verify. It fails with CodeMissing when r has no Signature Version 4,
// and with CodeIncomplete or CodeInvalid when it has one that is not
// well-formed or more than one.
func Parse(r *http.Request) (Request, error) {
	req := Request{http: r}
	req.path, req.query = target(r)
	if len(req.query) > maxQuery {
		return Request{}, incomplete("The query string is longer than %d bytes.", maxQuery)
	}
	auth := r.Header["Authorization"]
	inQuery := queryAuth(req.query)
	var err error
	switch {
	case len(auth) > 0 && inQuery:
		err = invalidSignature("Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.")
	case len(auth) > 1:
		err = incomplete("'Authorization' is present more than once as HTTP header.")
	case len(auth) == 1:
		err = req.parseHeader(auth[0])
	case inQuery:
		err = req.parseQuery()
	default:
		err = missing()
	}
	if err != nil {
		return Request{}, err
	}
	return req, nil
}

// target returns the path and the query as they stood on the request line,
// which URL's own fields do not keep. A request that came over no wire has its
// URL's encoded ones.
func target(r *http.Request) (path, query string) {
	uri := r.RequestURI
	if uri == "" {
		return r.URL.EscapedPath(), r.URL.RawQuery
	}
	path, query, _ = strings.Cut(uri, "?")
	if !strings.HasPrefix(path, "/") { // absolute form, RFC 9112 section 3.2.2
		if _, rest, ok := strings.Cut(path, "://"); ok {
			if i := strings.IndexByte(rest, '/'); i >= 0 {
				path = rest[i:]
			} else {
				path = "/"
			}
		}
	}
	return path, query
}

// parseHeader reads the Authorization header: the algorithm, then Credential,
// SignedHeaders and Signature in any order, separated by commas, blanks or both.
func (req *Request) parseHeader(auth string) error {
	if len(auth) > maxAuthorization {
		return incomplete("The Authorization header is longer than %d bytes.", maxAuthorization)
	}
	if !strings.HasPrefix(auth, "AWS4-") {
		return missing()
	}
	rest, ok := strings.CutPrefix(auth, Algorithm)
	if !ok || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return incomplete("Unsupported AWS 'algorithm': only %s is accepted.", Algorithm)
	}
	var credential, signedHeaders, signature string
	for {
		rest = strings.TrimLeft(rest, ", \t")
		if rest == "" {
			break
		}
		pair := rest
		if i := strings.IndexAny(rest, ", \t"); i >= 0 {
			pair, rest = rest[:i], rest[i:]
		} else {
			rest = ""
		}
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return incomplete("Not a valid key=value pair (missing equal-sign) in Authorization header.")
		}
		var dst *string
		switch name {
		case "Credential":
			dst = &credential
		case "SignedHeaders":
			dst = &signedHeaders
		case "Signature":
			dst = &signature
		default:
			return incomplete("Authorization header has an unknown parameter.")
		}
		if *dst != "" {
			return incomplete("Authorization header has parameter '%s' more than once.", name)
		}
		*dst = value
	}
	dates, err := req.headerDate()
	if err != nil {
		return err
	}
	if credential == "" || signature == "" || signedHeaders == "" || !dates {
		return headerLacks(credential, signature, signedHeaders, dates)
	}
	if err := req.parseSignature(signedHeaders, signature); err != nil {
		return err
	}
	req.Token = req.http.Header.Get("X-Amz-Security-Token")
	req.payload = req.http.Header.Get("X-Amz-Content-Sha256")
	return req.parseCredential(credential)
}

// headerLacks lists all that the Authorization header lacks, as AWS does.
func headerLacks(credential, signature, signedHeaders string, dates bool) error {
	var lacks []string
	for _, p := range [...]struct{ name, value string }{
		{"Credential", credential}, {"Signature", signature}, {"SignedHeaders", signedHeaders},
	} {
		if p.value == "" {
			lacks = append(lacks, "Authorization header requires '"+p.name+"' parameter.")
		}
	}
	if !dates {
		lacks = append(lacks, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	return incomplete("%s", strings.Join(lacks, " "))
}

// headerDate reads the time from X-Amz-Date or, without that, from Date. It
// reports whether there is one.
func (req *Request) headerDate() (bool, error) {
	dates := req.http.Header["X-Amz-Date"]
	if len(dates) == 0 {
		dates = req.http.Header["Date"]
	}
	if len(dates) == 0 || dates[0] == "" {
		return false, nil
	}
	if len(dates) > 1 {
		return false, incomplete("The date is present more than once as HTTP header.")
	}
	if _, amz := req.http.Header["X-Amz-Date"]; !amz {
		if t, err := http.ParseTime(dates[0]); err == nil {
			req.Time = t.UTC()
			req.stamp = req.Time.Format(stampLayout)
			return true, checkStamp(req.stamp)
		}
	}
	return true, req.parseStamp(dates[0])
}

func (req *Request) parseStamp(s string) error {
	if err := checkStamp(s); err != nil {
		return err
	}
	t, err := time.Parse(stampLayout, s)
	if err != nil {
		return badStamp(s)
	}
	req.Time, req.stamp = t, s
	return nil
}

// checkStamp holds a stamp to its sixteen bytes, because time.Parse takes a
// fraction of a second as well and a year of a Date header may have five digits.
func checkStamp(s string) error {
	if len(s) != len(stampLayout) {
		return badStamp(s)
	}
	return nil
}

func badStamp(s string) error {
	return incomplete("Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", shown(s))
}

func (req *Request) parseCredential(s string) error {
	if len(s) > maxCredential || strings.Count(s, "/") != 4 {
		return badCredential()
	}
	req.AccessKeyID, s, _ = strings.Cut(s, "/")
	req.Date, s, _ = strings.Cut(s, "/")
	req.Region, s, _ = strings.Cut(s, "/")
	req.Service, req.terminator, _ = strings.Cut(s, "/")
	if req.AccessKeyID == "" || len(req.AccessKeyID) > maxKeyID {
		return badCredential()
	}
	for i := range len(req.AccessKeyID) {
		if c := req.AccessKeyID[i]; c <= ' ' || c >= 0x7f {
			return badCredential()
		}
	}
	return nil
}

// badCredential does not say what it got: a credential that is not understood
// may well hold the secret key, which has slashes.
func badCredential() error {
	return incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term")
}

func (req *Request) parseSignature(signedHeaders, signature string) error {
	prev, rest, n := "", signedHeaders, 0
	for more := true; more; {
		var name string
		name, rest, more = strings.Cut(rest, ";")
		if n++; n > maxSignedHeaders {
			return incomplete("SignedHeaders has more than %d names.", maxSignedHeaders)
		}
		if name == "" || len(name) > maxHeaderName || !lowerToken(name) {
			return incomplete("SignedHeaders must be a list of lower-case header names, separated by ';'.")
		}
		if name <= prev {
			return incomplete("SignedHeaders must be sorted and name each header once.")
		}
		prev = name
	}
	req.signedHeaders = signedHeaders
	if len(signature) != 64 {
		return mismatch()
	}
	for i := range len(signature) {
		if c := signature[i]; c >= 'A' && c <= 'F' {
			return mismatch()
		}
	}
	var text [64]byte
	copy(text[:], signature)
	if _, err := hex.Decode(req.signature[:], text[:]); err != nil {
		return mismatch()
	}
	return nil
}

// lowerToken reports whether s is a token of RFC 9110 section 5.6.2 without
// upper-case letters.
func lowerToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		case strings.IndexByte("!#$%&'*+^`|~", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// presign are the query parameters of a presigned URL. Each may stand once.
type presign struct {
	algorithm, credential, date, expires, signedHeaders, signature, token, payload string
	has                                                                            [8]bool
}

// field returns where a parameter's value goes, and which it is; nil for a
// parameter that is none of the signature's. Names are case-sensitive.
func (p *presign) field(name string) (*string, int) {
	switch name {
	case "X-Amz-Algorithm":
		return &p.algorithm, 0
	case "X-Amz-Credential":
		return &p.credential, 1
	case "X-Amz-Date":
		return &p.date, 2
	case "X-Amz-Expires":
		return &p.expires, 3
	case "X-Amz-SignedHeaders":
		return &p.signedHeaders, 4
	case "X-Amz-Signature":
		return &p.signature, 5
	case "X-Amz-Security-Token":
		return &p.token, 6
	case "X-Amz-Content-Sha256":
		return &p.payload, 7
	}
	return nil, 0
}

// queryAuth reports whether a query carries a signature, whole or in part.
func queryAuth(query string) bool {
	for query != "" {
		var segment string
		segment, query, _ = strings.Cut(query, "&")
		name, _, _ := strings.Cut(segment, "=")
		name, _ = unescape(name)
		if name == "X-Amz-Algorithm" || name == "X-Amz-Signature" || name == "X-Amz-Credential" {
			return true
		}
	}
	return false
}

// parseQuery reads the signature of a presigned URL.
func (req *Request) parseQuery() error {
	req.Presigned = true
	var p presign
	for query, n := req.query, 0; query != ""; n++ {
		if n == maxParams {
			return tooManyParams()
		}
		var segment string
		segment, query, _ = strings.Cut(query, "&")
		rawName, rawValue, _ := strings.Cut(segment, "=")
		name, ok := unescape(rawName)
		if !ok {
			return badEscape()
		}
		dst, i := p.field(name)
		if dst == nil {
			continue
		}
		if p.has[i] {
			return incomplete("AWS query-string parameter '%s' is present more than once.", name)
		}
		p.has[i] = true
		if *dst, ok = unescape(rawValue); !ok {
			return badEscape()
		}
	}
	return req.take(&p)
}

func (req *Request) take(p *presign) error {
	var lacks []string
	for _, f := range [...]struct{ name, value string }{
		{"X-Amz-Algorithm", p.algorithm}, {"X-Amz-Credential", p.credential}, {"X-Amz-Signature", p.signature},
		{"X-Amz-SignedHeaders", p.signedHeaders}, {"X-Amz-Date", p.date},
	} {
		if f.value == "" {
			lacks = append(lacks, "AWS query-string parameters must include '"+f.name+"'.")
		}
	}
	if len(lacks) > 0 {
		return incomplete("%s Re-examine the query-string parameters.", strings.Join(lacks, " "))
	}
	if p.algorithm != Algorithm {
		return incomplete("Unsupported AWS 'algorithm': only %s is accepted.", Algorithm)
	}
	if err := req.parseStamp(p.date); err != nil {
		return err
	}
	if p.has[3] {
		if err := req.parseExpires(p.expires); err != nil {
			return err
		}
	}
	if err := req.parseSignature(p.signedHeaders, p.signature); err != nil {
		return err
	}
	if _, also := req.http.Header["X-Amz-Security-Token"]; also && p.has[6] {
		return incomplete("Found 'X-Amz-Security-Token' both as a query-string param and as HTTP header.")
	}
	req.Token = p.token
	if !p.has[6] {
		req.Token = req.http.Header.Get("X-Amz-Security-Token")
	}
	declared, also := req.http.Header["X-Amz-Content-Sha256"]
	if also && p.has[7] {
		return incomplete("Found 'X-Amz-Content-Sha256' both as a query-string param and as HTTP header.")
	}
	req.payload = p.payload
	if also && len(declared) > 0 {
		req.payload = declared[0]
	}
	return req.parseCredential(p.credential)
}

func (req *Request) parseExpires(s string) error {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return incomplete("X-Amz-Expires should be a number")
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return incomplete("X-Amz-Expires should be a number")
	}
	if n < 1 || n > int64(MaxExpires/time.Second) {
		return incomplete("X-Amz-Expires must be from 1 to %d seconds", int64(MaxExpires/time.Second))
	}
	req.Expires = time.Duration(n) * time.Second
	return nil
}

func tooManyParams() error {
	return incomplete("The query string has more than %d parameters.", maxParams)
}

func badEscape() error {
	return incomplete("The query string has an incomplete or illegal escape %% pattern.")
}
