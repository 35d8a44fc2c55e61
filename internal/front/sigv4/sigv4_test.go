package sigv4

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"countersign/internal/errs"

	"github.com/google/go-cmp/cmp"
)

var service = Call{Services: []string{"service"}, Secure: true}

// base is a signed POST of a JSON body, or its presigned twin.
func base(presigned bool) message {
	return signed(message{method: "POST", path: "/", host: "example.amazonaws.com", body: "{}",
		header: map[string]string{"x-amz-target": "T.Op", "content-type": "application/x-amz-json-1.1"}}, presigned)
}

func request(t *testing.T, m message) *http.Request {
	t.Helper()
	r, ok := m.received()
	if !ok {
		t.Fatalf("%q is no request", m)
	}
	return r
}

// refused runs all four steps and compares the refusal.
func refused(t *testing.T, r *http.Request, call Call, body, code, text string) {
	t.Helper()
	err := verify(suiteVerifier(t), call, r, []byte(body), suiteKey())
	if err == nil {
		t.Fatal("verified")
	}
	e := errs.As(err)
	if e.Code != code {
		t.Errorf("code %q, want %q", e.Code, code)
	}
	if !strings.Contains(e.Msg, text) {
		t.Errorf("message %q, want %q in it", e.Msg, text)
	}
	if want := map[string]errs.Kind{CodeMissing: errs.Unauthenticated, CodeIncomplete: errs.Invalid, CodeInvalid: errs.Unauthenticated}[code]; e.Kind != want {
		t.Errorf("kind %v, want %v", e.Kind, want)
	}
}

func TestParse(t *testing.T) {
	for _, presigned := range []bool{false, true} {
		m := base(presigned)
		got, err := Parse(request(t, m))
		if err != nil {
			t.Fatal(err)
		}
		claim := []any{got.AccessKeyID, got.Date, got.Region, got.Service, got.Token, got.Time, got.Presigned, got.Expires}
		expires := time.Duration(0)
		if presigned {
			expires = time.Minute
		}
		want := []any{"AKIDEXAMPLE", "20150830", "us-east-1", "service", "", suiteTime, presigned, expires}
		if diff := cmp.Diff(want, claim); diff != "" {
			t.Errorf("presigned %v (-want +got):\n%s", presigned, diff)
		}
		if diff := cmp.Diff(KeyID{"AKIDEXAMPLE", "7", "20150830", "us-east-1", "service"}, got.KeyID("7")); diff != "" {
			t.Errorf("KeyID (-want +got):\n%s", diff)
		}
	}
}

func TestSigned(t *testing.T) {
	tests := []struct {
		name, auth, query string
		want              bool
	}{
		{"nothing", "", "", false},
		{"bearer", "Bearer x", "", false},
		{"header", "AWS4-HMAC-SHA256 x", "", true},
		{"query", "", "a=b&X-Amz-Algorithm=x", true},
		{"encoded-query", "", "X%2dAmz-Signature", true},
		{"other-query", "", "X-Amz-Date=x", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &http.Request{URL: &url.URL{RawQuery: tt.query}, Header: http.Header{}}
			if tt.auth != "" {
				r.Header.Set("Authorization", tt.auth)
			}
			if got := Signed(r); got != tt.want {
				t.Errorf("Signed: %v, want %v", got, tt.want)
			}
		})
	}
}

// TestAccepted holds what may differ between the signer's spelling and ours.
func TestAccepted(t *testing.T) {
	auth := func(f func(credential, headers, signature string) string) func(*http.Request) {
		return func(r *http.Request) {
			p := strings.FieldsFunc(r.Header.Get("Authorization"), func(c rune) bool { return c == ' ' || c == ',' })
			r.Header.Set("Authorization", f(p[1], p[2], p[3]))
		}
	}
	tests := []struct {
		name   string
		change func(*http.Request)
	}{
		{"no-blanks", auth(func(c, h, s string) string { return Algorithm + " " + c + "," + h + "," + s })},
		{"blanks-alone", auth(func(c, h, s string) string { return Algorithm + " " + c + " " + h + " " + s })},
		{"other-order", auth(func(c, h, s string) string { return Algorithm + "  " + s + " ,\t" + c + ", " + h + "," })},
		{"host-case", func(r *http.Request) { r.Host = "EXAMPLE.amazonaws.com" }},
		{"host-default-port", func(r *http.Request) { r.Host = "example.amazonaws.com:443" }},
		{"host-empty-port", func(r *http.Request) { r.Host = "example.amazonaws.com:" }},
		{"path-slashes", func(r *http.Request) { r.RequestURI = "//./x/.." }},
		{"absolute-form", func(r *http.Request) { r.RequestURI = "https://example.amazonaws.com" }},
		{"absolute-form-path", func(r *http.Request) { r.RequestURI = "https://example.amazonaws.com/?" }},
		{"empty-parameter", func(r *http.Request) { r.RequestURI = "/?&" }},
		{"no-wire", func(r *http.Request) { r.RequestURI = "" }},
		{"unsigned-header", func(r *http.Request) { r.Header.Set("X-Forwarded-For", "10.0.0.1") }},
		{"cloudfront", func(r *http.Request) { r.Header.Set("X-Amz-Cf-Id", "x") }},
		{"target-blanks", func(r *http.Request) { r.Header.Set("X-Amz-Target", " T.Op\t") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := base(false)
			r := request(t, m)
			tt.change(r)
			if err := verify(suiteVerifier(t), service, r, []byte(m.body), suiteKey()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestRefusedHeaders(t *testing.T) {
	replace := func(old, now string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, now, 1))
		}
	}
	set := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	names := "host;" + strings.Repeat("x", maxHeaderName+1)
	many := strings.Repeat("!;", maxSignedHeaders) + "host"
	tests := []struct {
		name       string
		change     func(*http.Request)
		code, text string
	}{
		{"none", func(r *http.Request) { r.Header.Del("Authorization") }, CodeMissing, "Missing Authentication Token"},
		{"bearer", set("Authorization", "Bearer x"), CodeMissing, "Missing Authentication Token"},
		{"twice", set("Authorization", "AWS4-HMAC-SHA256 a=b", "AWS4-HMAC-SHA256 a=b"), CodeIncomplete, "more than once"},
		{"both", func(r *http.Request) { r.RequestURI = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256" }, CodeInvalid, "Found both 'X-Amz-Algorithm'"},
		{"too-long", set("Authorization", Algorithm+" "+strings.Repeat("a", maxAuthorization)), CodeIncomplete, "longer than 4096"},
		{"algorithm", replace("HMAC-SHA256", "ECDSA-P256-SHA256"), CodeIncomplete, "Unsupported AWS 'algorithm'"},
		{"algorithm-glued", replace("HMAC-SHA256 ", "HMAC-SHA256"), CodeIncomplete, "Unsupported AWS 'algorithm'"},
		{"no-equal-sign", replace("Credential=", "Credential "), CodeIncomplete, "missing equal-sign"},
		{"unknown", replace("Signature=", "signature="), CodeIncomplete, "unknown parameter"},
		{"repeated", replace("Signature=", "Signature=a,Signature="), CodeIncomplete, "'Signature' more than once"},
		{"empty", set("Authorization", Algorithm), CodeIncomplete, "Authorization header requires 'Credential' parameter. " +
			"Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter."},
		{"no-date", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, CodeIncomplete,
			"Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."},
		{"two-dates", set("X-Amz-Date", "20150830T123600Z", "20150830T123600Z"), CodeIncomplete, "more than once"},
		{"bad-date", set("X-Amz-Date", "2015-08-30T12:36"), CodeIncomplete, "Date must be in ISO-8601 'basic format'. Got '2015-08-30T12:36'."},
		{"bad-month", set("X-Amz-Date", "20151330T123600Z"), CodeIncomplete, "Date must be in ISO-8601"},
		{"fraction", set("X-Amz-Date", "20150830T123600.5Z"), CodeIncomplete, "Date must be in ISO-8601"},
		{"four-elements", replace("/us-east-1", ""), CodeIncomplete, "Credential must have exactly 5 slash-delimited elements"},
		{"secret-as-key", replace("AKIDEXAMPLE", "wJalr/XUtn"), CodeIncomplete, "Credential must have exactly 5"},
		{"no-key", replace("AKIDEXAMPLE", ""), CodeIncomplete, "Credential must have exactly 5"},
		{"control-in-key", replace("AKIDEXAMPLE", "AKID\x01"), CodeIncomplete, "Credential must have exactly 5"},
		{"region", replace("us-east-1", "eu-west-1"), CodeInvalid, "Credential should be scoped to a valid region."},
		{"service", replace("/service/", "/s3/"), CodeInvalid, "Credential should be scoped to correct service: 'service'."},
		{"terminator", replace("aws4_request", "aws5"), CodeInvalid, "valid terminator: 'aws4_request', not 'aws5'."},
		{"scope-date", replace("/20150830/", "/20150829/"), CodeInvalid,
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20150829' != '20150830', from '20150830T123600Z'."},
		{"short-signature", replace("Signature=", "Signature=0"), CodeInvalid, mismatchText},
		{"upper-signature", func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:len(a)-64]+strings.ToUpper(a[len(a)-64:]))
		}, CodeInvalid, mismatchText},
		{"no-hex", func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:len(a)-1]+"g")
		}, CodeInvalid, mismatchText},
		{"upper-header", replace("=content-type;host", "=Host"), CodeIncomplete, "list of lower-case header names"},
		{"empty-header", replace("content-type;host", "content-type;;host"), CodeIncomplete, "list of lower-case header names"},
		{"unsorted", replace("content-type;host", "host;content-type"), CodeIncomplete, "sorted"},
		{"repeated-header", replace("host;", "host;host;"), CodeIncomplete, "each header once"},
		{"long-header", replace("content-type;host", names), CodeIncomplete, "list of lower-case header names"},
		{"many-headers", replace("content-type;host", many), CodeIncomplete, "sorted"},
		{"host-unsigned", replace("content-type;host", "content-type"), CodeInvalid, "'Host' or ':authority' must be a 'SignedHeader'"},
		{"target-unsigned", replace(";x-amz-target", ""), CodeInvalid, "which were not signed: 'X-Amz-Target'."},
		{"date-unsigned", replace(";x-amz-date", ""), CodeInvalid, "which were not signed: 'X-Amz-Date'."},
		{"token-unsigned", set("X-Amz-Security-Token", "x"), CodeInvalid, "not signed: 'X-Amz-Security-Token'."},
		{"hash-unsigned", set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), CodeInvalid, "not signed: 'X-Amz-Content-Sha256'."},
		{"target-twice", set("X-Amz-Target", "T.Op", "T.Other"), CodeInvalid, "Header 'X-Amz-Target' is present more than once."},
		{"absent-header", replace("content-type;host", "content-type;happy;host"), CodeIncomplete,
			"'happy' is named as a SignedHeader, but it does not exist in the HTTP request."},
		{"long-query", func(r *http.Request) { r.RequestURI = "/?" + strings.Repeat("a", maxQuery+1) }, CodeIncomplete, "longer than 16384"},
		{"many-parameters", func(r *http.Request) { r.RequestURI = "/?" + strings.Repeat("a&", maxParams+1) }, CodeIncomplete, "more than 256"},
		{"bad-escape", func(r *http.Request) { r.RequestURI = "/?a=%4" }, CodeIncomplete, "escape % pattern"},
		{"bad-escape-name", func(r *http.Request) { r.RequestURI = "/?%zz" }, CodeIncomplete, "escape % pattern"},
		{"semicolon", func(r *http.Request) { r.RequestURI = "/?a;b" }, CodeIncomplete, "';'"},
		{"no-path", func(r *http.Request) { r.RequestURI, r.URL.Path, r.Method = "", "", "PUT" }, CodeInvalid, mismatchText},
		{"no-host", func(r *http.Request) { r.Host = "" }, CodeInvalid, mismatchText},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := base(false)
			r := request(t, m)
			tt.change(r)
			refused(t, r, service, m.body, tt.code, tt.text)
		})
	}
}

func TestTooManySignedHeaders(t *testing.T) {
	var names []string
	for i := range maxSignedHeaders + 1 {
		names = append(names, "a"+strings.Repeat("b", i))
	}
	var req Request
	if err := req.parseSignature(strings.Join(names[:maxSignedHeaders], ";"), strings.Repeat("0", 64)); err != nil {
		t.Errorf("%d names: %v", maxSignedHeaders, err)
	}
	if err := req.parseSignature(strings.Join(names, ";"), strings.Repeat("0", 64)); err == nil {
		t.Errorf("%d names were taken", len(names))
	}
}

func TestRefusedQueries(t *testing.T) {
	replace := func(old, now string) func(*http.Request) {
		return func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, old, now, 1) }
	}
	tests := []struct {
		name       string
		change     func(*http.Request)
		code, text string
	}{
		{"half", func(r *http.Request) { r.RequestURI = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=x" }, CodeIncomplete,
			"AWS query-string parameters must include 'X-Amz-Credential'. AWS query-string parameters must include 'X-Amz-Signature'. " +
				"AWS query-string parameters must include 'X-Amz-SignedHeaders'. Re-examine the query-string parameters."},
		{"algorithm", replace("HMAC-SHA256", "RSA"), CodeIncomplete, "Unsupported AWS 'algorithm'"},
		{"twice", replace("&X-Amz-Date", "&X-Amz-Date=1&X-Amz-Date"), CodeIncomplete, "'X-Amz-Date' is present more than once"},
		{"twice-encoded", replace("&X-Amz-Date", "&X-Amz-%44ate=1&X-Amz-Date"), CodeIncomplete, "'X-Amz-Date' is present more than once"},
		{"date", replace("20150830T", "20150830 "), CodeIncomplete, "Date must be in ISO-8601"},
		{"expires-zero", replace("Expires=60", "Expires=0"), CodeIncomplete, "X-Amz-Expires must be from 1 to 604800"},
		{"expires-week", replace("Expires=60", "Expires=604801"), CodeIncomplete, "X-Amz-Expires must be from 1 to 604800"},
		{"expires-negative", replace("Expires=60", "Expires=-1"), CodeIncomplete, "X-Amz-Expires should be a number"},
		{"expires-empty", replace("Expires=60", "Expires="), CodeIncomplete, "X-Amz-Expires should be a number"},
		{"expires-huge", replace("Expires=60", "Expires=99999999999999999999"), CodeIncomplete, "X-Amz-Expires should be a number"},
		{"expires-altered", replace("Expires=60", "Expires=600"), CodeInvalid, mismatchText},
		{"escape", replace("Expires=60", "Expires=%6"), CodeIncomplete, "escape % pattern"},
		{"signature", replace("X-Amz-Signature=", "X-Amz-Signature=0"), CodeInvalid, mismatchText},
		{"escape-name", func(r *http.Request) { r.RequestURI += "&%zz" }, CodeIncomplete, "escape % pattern"},
		{"hash-header", func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }, CodeInvalid, "not signed: 'X-Amz-Content-Sha256'."},
		{"parameters", func(r *http.Request) { r.RequestURI += strings.Repeat("&a", maxParams) }, CodeIncomplete, "more than 256 parameters"},
		{"both-tokens", func(r *http.Request) {
			r.RequestURI += "&X-Amz-Security-Token=x"
			r.Header.Set("X-Amz-Security-Token", "x")
		}, CodeIncomplete, "Found 'X-Amz-Security-Token' both"},
		{"both-hashes", func(r *http.Request) {
			r.RequestURI += "&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"
			r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		}, CodeIncomplete, "Found 'X-Amz-Content-Sha256' both"},
		{"unsigned-payload", func(r *http.Request) { r.RequestURI += "&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD" }, CodeInvalid, "not accepted in a presigned URL"},
		{"target-unsigned", replace("%3Bx-amz-target", ""), CodeInvalid, "not signed: 'X-Amz-Target'."},
		{"header-too", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, CodeInvalid, "Found both"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := base(true)
			r := request(t, m)
			tt.change(r)
			refused(t, r, service, m.body, tt.code, tt.text)
		})
	}
}

func TestClock(t *testing.T) {
	tests := []struct {
		name      string
		presigned bool
		now       time.Duration // after the request's time
		text      string
	}{
		{"skew-behind", false, 15 * time.Minute, ""},
		{"expired", false, 15*time.Minute + time.Second,
			"Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T125101Z - 15 min.)"},
		{"skew-ahead", false, -15 * time.Minute, ""},
		{"not-yet", false, -15*time.Minute - time.Second,
			"Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T122059Z + 15 min.)"},
		{"presigned-lives", true, time.Minute, ""},
		{"presigned-expired", true, time.Minute + time.Second,
			"Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T123701Z - 1 min.)"},
		{"presigned-not-yet", true, -16 * time.Minute, "Signature not yet current: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := New(Config{Regions: []string{"us-east-1"}, Now: func() time.Time { return suiteTime.Add(tt.now) }})
			if err != nil {
				t.Fatal(err)
			}
			m := base(tt.presigned)
			err = verify(v, service, request(t, m), []byte(m.body), suiteKey())
			if tt.text == "" && err == nil {
				return
			}
			e := errs.As(err)
			if tt.text == "" || e == nil || e.Code != CodeInvalid || !strings.HasPrefix(e.Msg, tt.text) {
				t.Errorf("got %v, want %q", err, tt.text)
			}
		})
	}
}

func TestMaxExpires(t *testing.T) {
	v, err := New(Config{Regions: []string{"us-east-1"}, MaxExpires: 59 * time.Second, Skew: 90 * time.Second, Now: func() time.Time { return suiteTime.Add(2 * time.Minute) }})
	if err != nil {
		t.Fatal(err)
	}
	for presigned, text := range map[bool]string{true: "X-Amz-Expires must be at most 59 seconds", false: "- 90 sec.)"} {
		m := base(presigned)
		if err := verify(v, service, request(t, m), []byte(m.body), suiteKey()); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %q", err, text)
		}
	}
}

func TestDefaultClock(t *testing.T) {
	v, err := New(Config{Regions: []string{"us-east-1"}})
	if err != nil {
		t.Fatal(err)
	}
	m := base(false)
	if err := verify(v, service, request(t, m), []byte(m.body), suiteKey()); err == nil || !strings.Contains(err.Error(), "Signature expired") {
		t.Errorf("a request of 2015: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no-region":    {},
		"empty-region": {Regions: []string{""}},
		"skew":         {Regions: []string{"r"}, Skew: -1},
		"expires":      {Regions: []string{"r"}, MaxExpires: MaxExpires + 1},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(cfg); !errs.Is(err, errs.Invalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestStepsInOrder holds that no step can be left out.
func TestStepsInOrder(t *testing.T) {
	v, m := suiteVerifier(t), base(false)
	var none Request
	if err := v.Check(&none, service); !errs.Is(err, errs.Internal) {
		t.Errorf("checking nothing: %v", err)
	}
	req, err := Parse(request(t, m))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Verify(&req, []byte(m.body), suiteKey()); !errs.Is(err, errs.Internal) {
		t.Errorf("verifying before checking: %v", err)
	}
	if err := v.Check(&req, Call{}); !errs.Is(err, errs.Internal) {
		t.Errorf("checking for no service: %v", err)
	}
	if err := v.Check(&req, service); err != nil {
		t.Fatal(err)
	}
	if err := v.Verify(&req, []byte(m.body), nil); !errs.Is(err, errs.Internal) {
		t.Errorf("verifying without a key: %v", err)
	}
	if err := v.Check(&req, Call{Services: []string{"other"}}); err == nil {
		t.Error("checked for another service")
	}
	if err := v.Verify(&req, []byte(m.body), suiteKey()); !errs.Is(err, errs.Internal) {
		t.Errorf("verifying after a failed check: %v", err)
	}
}

// TestNothingEchoed holds that a refusal repeats neither what a stranger may
// have sent by mistake nor what would help to forge.
func TestNothingEchoed(t *testing.T) {
	m := base(false)
	r := request(t, m)
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "AKIDEXAMPLE", suiteSecret, 1))
	err := verify(suiteVerifier(t), service, r, []byte(m.body), suiteKey())
	if err == nil || strings.Contains(err.Error(), suiteSecret[:8]) {
		t.Errorf("got %v", err)
	}
	if got := shown("a'b\"c\\d\n\u00e9" + strings.Repeat("x", 100)); strings.ContainsAny(got, "'\"\\\n\u00e9") || len(got) > 64 {
		t.Errorf("shown %q", got)
	}
}
