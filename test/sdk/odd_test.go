package sdk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// odd is a request that no SDK sends, made with the SDK's own signer. The zero
// values of its fields are those of a good request.
type odd struct {
	operation string
	body      string
	key       string
	secret    string
	token     string
	region    string
	service   string
	skew      time.Duration
	presign   bool
	unsigned  bool
	hash      string              // of the body, as the signature has it
	alter     func(*http.Request) // after signing
}

// answer is a response to an odd request.
type answer struct {
	status int
	header http.Header
	typ    string // of an error
	text   string // message of an error, in either spelling
	body   string
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (o odd) send(t *testing.T, s *server) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/", strings.NewReader(o.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "secretsmanager."+orElse(o.operation, "ListSecrets"))
	if !o.unsigned {
		req = o.sign(t, s, req)
	}
	if o.alter != nil {
		o.alter(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(b)}
	var fault struct {
		Type    string `json:"__type"`
		Message string
	}
	if json.Unmarshal(b, &fault) == nil { // "message" and "Message" are one to it
		a.typ, a.text = fault.Type, fault.Message
	}
	return a
}

func (o odd) sign(t *testing.T, s *server, req *http.Request) *http.Request {
	t.Helper()
	cred := aws.Credentials{AccessKeyID: orElse(o.key, s.env["AWS_ACCESS_KEY_ID"]),
		SecretAccessKey: orElse(o.secret, s.env["AWS_SECRET_ACCESS_KEY"]), SessionToken: o.token}
	sum := sha256.Sum256([]byte(o.body))
	hash, service, region := orElse(o.hash, hex.EncodeToString(sum[:])), orElse(o.service, "secretsmanager"), orElse(o.region, "us-east-1")
	at := time.Now().Add(o.skew)
	if !o.presign {
		if err := v4.NewSigner().SignHTTP(context.Background(), cred, req, hash, service, region, at); err != nil {
			t.Fatal(err)
		}
		return req
	}
	q := req.URL.Query()
	q.Set("X-Amz-Expires", "60")
	req.URL.RawQuery = q.Encode()
	url, header, err := v4.NewSigner().PresignHTTP(context.Background(), cred, req, hash, service, region, at,
		func(so *v4.SignerOptions) { so.DisableHeaderHoisting = true })
	if err != nil {
		t.Fatal(err)
	}
	again, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(o.body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		if k != "Host" && k != "Content-Length" {
			again.Header[k] = v
		}
	}
	return again
}

// TestSignatures sends requests whose signature is in order, or is not.
func TestSignatures(t *testing.T) {
	t.Parallel()
	s := start(t)
	const mismatch = "The request signature we calculated does not match the signature you provided."
	change := func(header, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(header, value) }
	}
	for _, c := range []struct {
		name string
		odd  odd
		typ  string // empty: the request is good
		text string
	}{
		{"good", odd{body: `{}`}, "", ""},
		{"presigned", odd{body: `{}`, presign: true}, "", ""},
		{"slow-clock", odd{body: `{}`, skew: -14 * time.Minute}, "", ""},
		{"fast-clock", odd{body: `{}`, skew: 14 * time.Minute}, "", ""},
		{"other-region", odd{body: `{}`, region: "eu-west-1"}, "", ""},
		{"unsigned", odd{body: `{}`, unsigned: true}, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{"unknown-key", odd{body: `{}`, key: "AKIAIOSFODNN7EXAMPLE"}, "UnrecognizedClientException", "The security token included in the request is invalid."},
		{"wrong-secret", odd{body: `{}`, secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}, "InvalidSignatureException", mismatch},
		{"presigned-with-a-wrong-secret", odd{body: `{}`, presign: true, secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}, "InvalidSignatureException", mismatch},
		{"presigned-and-expired", odd{body: `{}`, presign: true, skew: -2 * time.Minute}, "InvalidSignatureException", "Signature expired: "},
		{"expired", odd{body: `{}`, skew: -16 * time.Minute}, "InvalidSignatureException", "Signature expired: "},
		{"not-yet", odd{body: `{}`, skew: 16 * time.Minute}, "InvalidSignatureException", "Signature not yet current: "},
		{"unknown-region", odd{body: `{}`, region: "ap-south-1"}, "InvalidSignatureException", "Credential should be scoped to a valid region"},
		{"wrong-service", odd{body: `{}`, service: "s3"}, "InvalidSignatureException", "Credential should be scoped to correct service"},
		{"session-token", odd{body: `{}`, token: "FwoGZXIvYXdzEXAMPLE"}, "UnrecognizedClientException", "The security token included in the request is invalid."},
		{"changed-body", odd{body: `{}`, alter: func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(`{"MaxResults":9}`)), 16
			r.GetBody = nil
		}}, "InvalidSignatureException", mismatch},
		{"unsigned-body", odd{body: `{}`, hash: "UNSIGNED-PAYLOAD"}, "InvalidSignatureException", mismatch},
		{"changed-target", odd{body: `{}`, alter: change("X-Amz-Target", "secretsmanager.GetRandomPassword")}, "InvalidSignatureException", mismatch},
		{"changed-date", odd{body: `{}`, alter: change("X-Amz-Date", time.Now().Add(time.Minute).UTC().Format("20060102T150405Z"))}, "InvalidSignatureException", mismatch},
		{"added-parameter", odd{body: `{}`, alter: func(r *http.Request) { r.URL.RawQuery = "a=b" }}, "InvalidSignatureException", mismatch},
		{"half-a-header", odd{body: `{}`, alter: change("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/secretsmanager/aws4_request")}, "IncompleteSignature", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := c.odd.send(t, s)
			if a.header.Get("Content-Type") != "application/x-amz-json-1.1" || a.header.Get("X-Amzn-Requestid") == "" {
				t.Errorf("the headers are %v", a.header)
			}
			want := http.StatusOK
			if c.typ != "" {
				want = http.StatusBadRequest
			}
			// AWS's gateway leaves the suffix of this one out; some SDKs accept both.
			typ := a.typ
			if c.typ == "IncompleteSignature" {
				typ = strings.TrimSuffix(typ, "Exception")
			}
			if a.status != want || typ != c.typ || !strings.HasPrefix(a.text, c.text) {
				t.Errorf("got %d %s %q, want %d %s %q", a.status, a.typ, a.text, want, c.typ, c.text)
			}
		})
	}
}

// TestBodies sends signed requests that no SDK would send.
func TestBodies(t *testing.T) {
	t.Parallel()
	s := start(t)
	value := `"SecretString":"` + plant("raw") + `"`
	if a := (odd{operation: "CreateSecret", body: `{"Name":"raw/there","ClientRequestToken":"` + tokenA + `",` + value + `}`}).send(t, s); a.status != http.StatusOK {
		t.Fatalf("got %d %s", a.status, a.typ)
	}
	const noToken = "You must provide a ClientRequestToken value. We recommend a UUID-type value."
	many := strings.Repeat(`{"Key":"k","Value":"v"},`, 10000)
	for _, c := range []struct {
		name      string
		operation string
		body      string
		types     []string
		text      string
	}{
		{"create-without-a-token", "CreateSecret", `{"Name":"raw/new",` + value + `}`, []string{"InvalidRequestException"}, noToken},
		{"put-without-a-token", "PutSecretValue", `{"SecretId":"raw/there",` + value + `}`, []string{"InvalidRequestException"}, noToken},
		{"update-without-a-token", "UpdateSecret", `{"SecretId":"raw/there",` + value + `}`, []string{"InvalidRequestException"}, noToken},
		{"rotate-without-a-token", "RotateSecret", `{"SecretId":"raw/there"}`, []string{"InvalidParameterException"}, noToken},
		{"nothing", "GetSecretValue", ``, []string{"ValidationException", "InvalidParameterException", "SerializationException"}, ""},
		{"no-id", "GetSecretValue", `{}`, []string{"ValidationException", "InvalidParameterException"}, ""},
		{"null-id", "GetSecretValue", `{"SecretId":null}`, []string{"ValidationException", "InvalidParameterException"}, ""},
		{"empty-id", "GetSecretValue", `{"SecretId":""}`, []string{"ValidationException", "InvalidParameterException"}, ""},
		{"number-for-an-id", "GetSecretValue", `{"SecretId":7}`, []string{"SerializationException"}, ""},
		{"no-object", "GetSecretValue", `[]`, []string{"SerializationException"}, ""},
		{"no-json", "GetSecretValue", `{"SecretId":"raw/there"`, []string{"SerializationException"}, ""},
		{"more-behind-it", "GetSecretValue", `{"SecretId":"raw/there"}{}`, []string{"SerializationException"}, ""},
		{"no-utf8", "GetSecretValue", "{\"SecretId\":\"raw/\xff\xfe\"}", []string{"SerializationException", "ValidationException"}, ""},
		{"nul-in-a-name", "GetSecretValue", `{"SecretId":"raw/\u0000"}`, []string{"ValidationException", "InvalidParameterException"}, ""},
		{"deep", "GetSecretValue", `{"SecretId":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, []string{"SerializationException"}, ""},
		{"deep-where-nobody-looks", "GetSecretValue", `{"SecretId":"raw/there","Other":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, []string{"SerializationException"}, ""},
		{"no-base64", "PutSecretValue", `{"SecretId":"raw/there","ClientRequestToken":"` + tokenB + `","SecretBinary":"***"}`, []string{"SerializationException"}, ""},
		{"10000-tags", "TagResource", `{"SecretId":"raw/there","Tags":[` + strings.TrimSuffix(many, ",") + `]}`, []string{"InvalidParameterException", "ValidationException", "LimitExceededException"}, ""},
		{"no-operation", "MakeCoffee", `{}`, []string{"UnknownOperationException"}, ""},
		{"other-service", "../kms.Encrypt", `{}`, []string{"UnknownOperationException"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := odd{operation: c.operation, body: c.body}.send(t, s)
			if a.status != http.StatusBadRequest || !slices.Contains(c.types, a.typ) || !strings.HasPrefix(a.text, c.text) {
				t.Errorf("got %d %s %q, want 400 and one of %v %q", a.status, a.typ, a.text, c.types, c.text)
			}
			if strings.Contains(a.body, canary) {
				t.Error("the refusal repeats the value")
			}
		})
	}
	t.Run("unknown-member", func(t *testing.T) {
		t.Parallel()
		if a := (odd{operation: "DescribeSecret", body: `{"SecretId":"raw/there","Unheard":{"Of":[1,2.5e3,true,null]}}`}).send(t, s); a.status != http.StatusOK {
			t.Errorf("got %d %s %q", a.status, a.typ, a.text)
		}
	})
	t.Run("too-large", func(t *testing.T) {
		t.Parallel()
		a := odd{operation: "GetSecretValue", body: `{"SecretId":"` + strings.Repeat("a", 1<<20) + `"}`}.send(t, s)
		if a.status < 400 || a.status > 499 || a.typ == "" {
			t.Errorf("got %d %s", a.status, a.typ)
		}
	})
	t.Run("nothing-changed", func(t *testing.T) {
		a := odd{operation: "ListSecretVersionIds", body: `{"SecretId":"raw/there","IncludeDeprecated":true}`}.send(t, s)
		if a.status != http.StatusOK || strings.Count(a.body, `"VersionId"`) != 1 {
			t.Errorf("got %d and %d versions", a.status, strings.Count(a.body, `"VersionId"`))
		}
		a = odd{operation: "GetSecretValue", body: `{"SecretId":"raw/new"}`}.send(t, s)
		if a.typ != "ResourceNotFoundException" {
			t.Errorf("got %d %s", a.status, a.typ)
		}
	})
}

// TestBrowser opens the endpoint as a person would.
func TestBrowser(t *testing.T) {
	t.Parallel()
	s := start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || !bytes.Contains(bytes.ToLower(b), []byte("countersign")) {
		t.Errorf("got %d, %s, %d bytes", resp.StatusCode, resp.Header.Get("Content-Type"), len(b))
	}
}
