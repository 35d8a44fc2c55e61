package sdktest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/internal/front/sigv4"
	"countersign/internal/sensitive"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

var update = flag.Bool("update", false, "rewrite ../testdata/sdk-go-v2.json")

const (
	keyID  = "AKIDEXAMPLE"
	secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	region = "eu-central-1"
)

var at = time.Date(2026, 2, 28, 23, 59, 58, 0, time.UTC)

// vector is one signed request, as the product's own test reads it.
type vector struct {
	Method  string
	URI     string
	Host    string
	Header  [][2]string
	Body    string
	Time    time.Time
	Secret  string
	Region  string
	Service string
	Secure  bool
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// randomURL has odd segments and parameters. Parameters begin with a unique
// prefix, because the SDK sorts them by their decoded names and AWS by their
// encoded ones.
func randomURL(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("https://")
	b.WriteString(pick(r, "secretsmanager.eu-central-1.amazonaws.com", "localhost:8200", "[::1]:8200", "host.example:443", "127.0.0.1:80"))
	for range r.IntN(5) {
		b.WriteByte('/')
		b.WriteString(pick(r, "", ".", "..", "a", "a%20b", "%C3%A9", "a%2Fb", "a%2fb", "~x", "a+b", "a:b@c", "(x)'!*", "%E1%88%B4", "%25", "x=y&z", "$,;"))
	}
	if b.Len() > 0 && r.IntN(3) == 0 {
		b.WriteByte('/')
	}
	sep := "?"
	for i := range r.IntN(5) {
		fmt.Fprintf(&b, "%s%c%d%s", sep, 'a'+rune(r.IntN(4)), i, pick(r, "", "+", "%20", "%2B", "-x", "%C3%A9", "%2f", "~", ".", "%3D"))
		if r.IntN(4) > 0 {
			fmt.Fprintf(&b, "=%d%s", i, pick(r, "", "+v", "%20v", "%2Bv", "v", "%e1%88%b4", "/", "%2F", "=", "a=b", "*"))
		}
		sep = "&"
	}
	return b.String()
}

func randomRequest(t *testing.T, r *rand.Rand) (*http.Request, string) {
	t.Helper()
	body := ""
	if r.IntN(4) > 0 {
		body = `{"SecretId":"` + strings.Repeat("x", r.IntN(200)) + `"}`
	}
	req, err := http.NewRequest(pick(r, "POST", "POST", "GET", "PUT", "DELETE"), randomURL(r), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if req.URL.Path == "" {
		req.URL.Path = "/"
	}
	for _, h := range [][2]string{
		{"Content-Type", "application/x-amz-json-1.1"}, {"X-Amz-Target", "secretsmanager.GetSecretValue"},
		{"Accept-Encoding", "identity"}, {"X-Odd", "  a   b \"c   d\"  "}, {"User-Agent", "aws-sdk/1.0"},
		{"X-Amz-User-Agent", "x  y"}, {"Amz-Sdk-Request", "attempt=1; max=3"},
	} {
		if r.IntN(3) > 0 {
			req.Header.Set(h[0], h[1])
		}
	}
	if r.IntN(3) == 0 {
		req.Header["X-Many"] = []string{"b", "a ", " b"}
	}
	return req, body
}

// sign signs req at random in its header or its query, and returns the request
// as a server would have it.
func sign(t *testing.T, r *rand.Rand, req *http.Request, body string) *http.Request {
	t.Helper()
	creds := aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}
	if r.IntN(3) == 0 {
		creds.SessionToken = "tok/en+" + strconv.Itoa(r.IntN(1000)) + "=="
	}
	sum := sha256.Sum256([]byte(body))
	hash := hex.EncodeToString(sum[:])
	if r.IntN(3) == 0 {
		req.Header.Set("X-Amz-Content-Sha256", hash)
	}
	signer, ctx := v4.NewSigner(), context.Background()
	if r.IntN(3) > 0 {
		if err := signer.SignHTTP(ctx, creds, req, hash, "secretsmanager", region, at); err != nil {
			t.Fatal(err)
		}
		return req
	}
	if r.IntN(2) == 0 {
		q := req.URL.Query()
		q.Set("X-Amz-Expires", "3600")
		req.URL.RawQuery = q.Encode()
	}
	uri, signed, err := signer.PresignHTTP(ctx, creds, req, hash, "secretsmanager", region, at)
	if err != nil {
		t.Fatal(err)
	}
	out, err := http.NewRequest(req.Method, uri, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range signed {
		if name != "Host" {
			out.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	out.Host = signed.Get("Host")
	return out
}

// serverSide is what arrives: the host as the client's transport sends it.
func serverSide(req *http.Request) *http.Request {
	in := req.Clone(context.Background())
	in.RequestURI = req.URL.RequestURI()
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	return in
}

func TestSDKSigner(t *testing.T) {
	v, err := sigv4.New(sigv4.Config{Regions: []string{region}, Now: func() time.Time { return at.Add(time.Minute) }})
	if err != nil {
		t.Fatal(err)
	}
	key := sigv4.DeriveKey(sensitive.FromString(secret), at.Format("20060102"), region, "secretsmanager")
	r := rand.New(rand.NewPCG(4, 2026))
	var vectors []vector
	for i := range 600 {
		req, body := randomRequest(t, r)
		in := serverSide(sign(t, r, req, body))
		parsed, err := sigv4.Parse(in)
		if err == nil {
			err = v.Check(&parsed, sigv4.Call{Services: []string{"secretsmanager"}, Secure: true})
		}
		if err == nil {
			err = v.Verify(&parsed, []byte(body), key)
		}
		if err != nil {
			t.Errorf("request %d: %s %s %q: %v", i, in.Method, in.RequestURI, in.Header, err)
		}
		if v.Verify(&parsed, []byte(body+"x"), key) == nil {
			t.Errorf("request %d verifies with another body", i)
		}
		if i < 120 {
			vectors = append(vectors, record(in, body))
		}
	}
	if *update {
		write(t, vectors)
	}
}

func record(in *http.Request, body string) vector {
	out := vector{Method: in.Method, URI: in.RequestURI, Host: in.Host, Body: body, Time: at,
		Secret: secret, Region: region, Service: "secretsmanager", Secure: true}
	for _, name := range slices.Sorted(maps.Keys(in.Header)) {
		for _, value := range in.Header[name] {
			out.Header = append(out.Header, [2]string{name, value})
		}
	}
	return out
}

func write(t *testing.T, vectors []vector) {
	t.Helper()
	var b strings.Builder
	b.WriteString("[\n")
	for i, v := range vectors {
		line, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			b.WriteString(",\n")
		}
		b.Write(line)
	}
	b.WriteString("\n]\n")
	if err := os.WriteFile("../testdata/sdk-go-v2.json", []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
