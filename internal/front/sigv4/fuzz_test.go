package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"countersign/internal/errs"
)

// message is a request in the words of the AWS documentation, for a signer that
// shares no code with the verifier.
type message struct {
	method, path, query, host string
	header                    map[string]string // lower-case names; all of them are signed
	body                      string
}

var spaces = regexp.MustCompile(" +")

// docEncode is UriEncode of the documentation.
func docEncode(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// docPath is the CanonicalURI: normalized and encoded.
func docPath(p string) string {
	var out []string
	for _, seg := range strings.Split(p, "/") {
		switch {
		case seg == "" || seg == ".":
		case seg == "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, docEncode(seg))
		}
	}
	s := "/" + strings.Join(out, "/")
	if len(out) > 0 && strings.HasSuffix(p, "/") {
		s += "/"
	}
	return s
}

// docQuery is the CanonicalQueryString; ok is false when net/url cannot read q.
func docQuery(q string) (canonical string, ok bool) {
	values, err := url.ParseQuery(q)
	if err != nil {
		return "", false
	}
	delete(values, "X-Amz-Signature")
	var pairs [][2]string
	for name, list := range values {
		for _, value := range list {
			pairs = append(pairs, [2]string{docEncode(name), docEncode(value)})
		}
	}
	slices.SortFunc(pairs, func(x, y [2]string) int {
		if c := strings.Compare(x[0], y[0]); c != 0 {
			return c
		}
		return strings.Compare(x[1], y[1])
	})
	var out []string
	for _, p := range pairs {
		out = append(out, p[0]+"="+p[1])
	}
	return strings.Join(out, "&"), true
}

func docHost(h string) string {
	return strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(h), ":443"), ":")
}

func docMAC(key []byte, s string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(s))
	return m.Sum(nil)
}

// docSign returns SignedHeaders and Signature of m at suiteTime.
func docSign(m message) (signedHeaders, signature string) {
	header := maps.Clone(m.header)
	header["host"] = m.host
	names := slices.Sorted(maps.Keys(header))
	signedHeaders = strings.Join(names, ";")
	query, _ := docQuery(m.query)
	sum := sha256.Sum256([]byte(m.body))
	lines := []string{m.method, docPath(m.path), query}
	for _, name := range names {
		lines = append(lines, name+":"+strings.Trim(spaces.ReplaceAllString(header[name], " "), " "))
	}
	lines = append(lines, "", signedHeaders, hex.EncodeToString(sum[:]))
	return signedHeaders, docSignature(strings.Join(lines, "\n"))
}

// docSignature signs a canonical request.
func docSignature(canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + suiteSecret)
	for _, part := range []string{suiteDate, "us-east-1", "service", "aws4_request"} {
		key = docMAC(key, part)
	}
	return hex.EncodeToString(docMAC(key, strings.Join([]string{"AWS4-HMAC-SHA256", "20150830T123600Z",
		suiteDate + "/us-east-1/service/aws4_request", hex.EncodeToString(sum[:])}, "\n")))
}

// signed returns m with its signature added to the header or the query.
func signed(m message, presigned bool) message {
	const credential = "AKIDEXAMPLE/" + suiteDate + "/us-east-1/service/aws4_request"
	m.header = maps.Clone(m.header)
	if presigned {
		names := slices.Sorted(maps.Keys(m.header))
		i, _ := slices.BinarySearch(names, "host")
		list := strings.Join(slices.Insert(names, i, "host"), ";")
		m.query = strings.TrimPrefix(m.query+"&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="+url.QueryEscape(credential)+
			"&X-Amz-Date=20150830T123600Z&X-Amz-Expires=60&X-Amz-SignedHeaders="+url.QueryEscape(list), "&")
		_, signature := docSign(m)
		m.query += "&X-Amz-Signature=" + signature
		return m
	}
	m.header["x-amz-date"] = "20150830T123600Z"
	list, signature := docSign(m)
	m.header["authorization"] = "AWS4-HMAC-SHA256 Credential=" + credential + ", SignedHeaders=" + list + ", Signature=" + signature
	return m
}

// received is m as a server has it; ok is false when no server would.
func (m message) received() (*http.Request, bool) {
	uri := m.path
	if m.query != "" {
		uri += "?" + m.query
	}
	u, err := url.ParseRequestURI(uri)
	if err != nil {
		return nil, false
	}
	r := &http.Request{Method: m.method, URL: u, RequestURI: uri, Host: m.host, Header: http.Header{}, ContentLength: int64(len(m.body))}
	for name, value := range m.header {
		r.Header.Set(name, strings.Trim(value, " "))
	}
	return r, true
}

// alter changes one part of a signed message and says whether that changed its
// meaning.
func alter(m message, part uint8, with string) (message, bool) {
	was := m
	m.header = maps.Clone(m.header)
	header := func(name string) bool {
		old, ok := m.header[name]
		m.header[name] = with
		norm := func(s string) string { return strings.Trim(spaces.ReplaceAllString(s, " "), " ") }
		return ok && norm(old) != norm(with)
	}
	switch part % 8 {
	case 0:
		m.method = with
		return m, m.method != was.method
	case 1:
		m.path = "/" + with
		return m, docPath(m.path) != docPath(was.path)
	case 2:
		m.query = with
		x, okX := docQuery(m.query)
		y, okY := docQuery(was.query)
		return m, okX != okY || x != y
	case 3:
		m.query = was.query + "&" + with
		x, okX := docQuery(m.query)
		y, okY := docQuery(was.query)
		return m, okX != okY || x != y
	case 4:
		m.host = with
		return m, docHost(m.host) != docHost(was.host)
	case 5:
		m.body = with
		return m, m.body != was.body
	case 6:
		return m, header("x-amz-target")
	default:
		return m, header("x-odd")
	}
}

// plain keeps what can stand in a request line or a header value.
func plain(s, not string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(not, r) {
			return -1
		}
		return r
	}, s)
}

func FuzzAlteredRequest(f *testing.F) {
	for part := range uint8(8) {
		f.Add(part, part%2 == 0, "POST", "", "", "secretsmanager.GetSecretValue", "a  b", "{}", "x")
		f.Add(part, part%2 == 1, "GET", "a/../%2e//b", "b=2&a=1+1&a=%20&c", "T", " ", "", "a=1")
	}
	f.Add(uint8(1), false, "POST", "v1/secret", "", "T", "", "", "v1/../v1/other")
	f.Add(uint8(2), false, "POST", "", "a=%3B", "T", "", "", "a=;")
	f.Add(uint8(2), false, "POST", "", "a=%2B", "T", "", "", "a=+")
	f.Add(uint8(4), false, "POST", "", "", "T", "", "", "example.amazonaws.com:80")
	f.Fuzz(func(t *testing.T, part uint8, presigned bool, method, path, query, target, odd, body, with string) {
		m := message{method: plain(method, " "), path: "/" + plain(path, " ?"), query: plain(query, " "), host: "example.amazonaws.com",
			header: map[string]string{"x-amz-target": plain(target, ""), "x-odd": plain(odd, "")}, body: body}
		if part%8 != 5 {
			with = plain(with, "")
		}
		if _, ok := docQuery(m.query); !ok || strings.Contains(m.query, "X-Amz-") || len(m.query) > 2000 || strings.Count(m.query, "&") > 200 {
			t.Skip()
		}
		m = signed(m, presigned)
		r, ok := m.received()
		if !ok {
			t.Skip()
		}
		v, key, call := suiteVerifier(t), suiteKey(), Call{Services: []string{"service"}, Secure: true}
		if err := verify(v, call, r, []byte(m.body), key); err != nil {
			t.Fatalf("as signed: %q: %v", m, err)
		}
		altered, differs := alter(m, part, with)
		if r, ok = altered.received(); !ok || !differs {
			t.Skip()
		}
		if err := verify(v, call, r, []byte(altered.body), key); err == nil {
			t.Fatalf("signed %q\naltered %q verifies", m, altered)
		}
	})
}

func FuzzParse(f *testing.F) {
	const auth = "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature="
	sig := strings.Repeat("0a", 32)
	f.Add(auth+sig, "20150830T123600Z", "", "/")
	f.Add(auth+sig, "Sun, 30 Aug 2015 12:36:00 GMT", "a=%zz&;", "/a/../..")
	f.Add("", "", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20150830%2Fus-east-1%2Fservice%2Faws4_request"+
		"&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=1&X-Amz-Signature="+sig, "//")
	f.Add("AWS4-HMAC-SHA256 ,,Credential", "2", "X-Amz-Expires=-1&X%2DAmz-Signature", "")
	f.Fuzz(func(t *testing.T, auth, date, query, path string) {
		r := &http.Request{Method: "POST", URL: &url.URL{Path: path, RawQuery: query}, RequestURI: path + "?" + query,
			Host: "example.amazonaws.com", Header: http.Header{"X-Amz-Date": {date}, "Date": {date}}}
		if auth != "" {
			r.Header["Authorization"] = []string{auth}
		}
		v, key := suiteVerifier(t), suiteKey()
		req, err := Parse(r)
		if err == nil {
			names := strings.Split(req.signedHeaders, ";")
			if len(names) > maxSignedHeaders || !slices.IsSorted(names) || len(slices.Compact(names)) != len(names) {
				t.Fatalf("took SignedHeaders %q", req.signedHeaders)
			}
			if req.AccessKeyID == "" || len(req.AccessKeyID) > maxKeyID || req.Time.IsZero() || req.Expires < 0 || req.Expires > MaxExpires {
				t.Fatalf("took %+v", req)
			}
			err = v.Check(&req, Call{Services: []string{"service"}})
		}
		if err == nil {
			err = v.Verify(&req, nil, key)
		}
		var e *errs.Error
		if !errors.As(err, &e) {
			t.Fatalf("error %v is no refusal", err)
		}
		if e.Code != CodeMissing && e.Code != CodeIncomplete && e.Code != CodeInvalid {
			t.Errorf("code %q", e.Code)
		}
		if len(e.Msg) > 1024 || len(auth) > 64 && strings.Contains(e.Msg, auth) {
			t.Errorf("message %q", e.Msg)
		}
	})
}
