package sigv4

import (
	"net/http"
	"strings"
	"testing"

	"countersign/internal/sensitive"
)

// sdkRequest is what a current SDK sends to read a secret: a body of about 100
// bytes, eight headers of which six are signed.
func sdkRequest(b *testing.B) (*http.Request, []byte) {
	m := signed(message{method: "POST", path: "/", host: "127.0.0.1:8200",
		body: `{"SecretId":"` + strings.Repeat("x", 85) + `"}`,
		header: map[string]string{"content-type": "application/x-amz-json-1.1", "x-amz-target": "secretsmanager.GetSecretValue",
			"amz-sdk-invocation-id": "3b7b6ea7-6f2c-4a53-9a6e-4a9d5f1b2c3d", "amz-sdk-request": "attempt=1; max=3"}}, false)
	r, ok := m.received()
	if !ok {
		b.Fatal("no request")
	}
	r.Header.Set("User-Agent", "aws-sdk-go-v2/1.47 ua/2.1 os/linux lang/go")
	r.Header.Set("Accept-Encoding", "identity")
	r.Header.Set("Content-Length", "100")
	return r, []byte(m.body)
}

func BenchmarkVerify(b *testing.B) {
	r, body := sdkRequest(b)
	v := suiteVerifier(b)
	cache, err := NewKeyCache(1024)
	if err != nil {
		b.Fatal(err)
	}
	secret := func() (sensitive.Bytes, error) { return sensitive.FromString(suiteSecret), nil }
	b.ReportAllocs()
	for b.Loop() {
		req, err := Parse(r)
		if err == nil {
			err = v.Check(&req, service)
		}
		if err != nil {
			b.Fatal(err)
		}
		key, err := cache.Key(req.KeyID("1"), secret)
		if err != nil {
			b.Fatal(err)
		}
		if err := v.Verify(&req, body, key); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyPresigned(b *testing.B) {
	m := base(true)
	r, _ := m.received()
	v, key := suiteVerifier(b), suiteKey()
	b.ReportAllocs()
	for b.Loop() {
		if err := verify(v, service, r, []byte(m.body), key); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDeriveKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		suiteKey()
	}
}

// TestVerifyAllocates holds the hot path to its pools. It needs no allocation;
// the race detector empties pools at random, hence the limit.
func TestVerifyAllocates(t *testing.T) {
	m := base(false)
	r := request(t, m)
	v, key, body := suiteVerifier(t), suiteKey(), []byte(m.body)
	allocs := testing.AllocsPerRun(100, func() {
		if err := verify(v, service, r, body, key); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 8 {
		t.Errorf("a verification allocates %v times", allocs)
	}
}
