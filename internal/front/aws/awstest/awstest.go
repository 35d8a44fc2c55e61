// Package awstest is a client of the AWS fronts for tests: it signs a request
// with Signature Version 4 and hands it to a handler, without a socket.
//
// It is written against AWS's description of the signature and shares no code
// with the verifier that it exercises. It signs whatever it is told to, also
// what no real client would send.
package awstest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// Client calls a handler as the holder of an access key.
type Client struct {
	Handler     http.Handler
	ID, Secret  string
	Region      string
	Service     string        // in the scope of the signature
	Target      string        // prefix of X-Amz-Target
	Skew        time.Duration // added to the clock
	Token       string        // X-Amz-Security-Token; none when empty
	BreakIt     bool          // spoil the signature
	Unsigned    bool          // send no signature
	OtherMethod string        // instead of POST
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends one request. The operation is put behind the target's prefix.
func (c *Client) Do(operation string, body []byte) Answer {
	w := httptest.NewRecorder()
	c.Handler.ServeHTTP(w, c.Request(operation, body))
	return Answer{Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}
}

// Request makes the signed request that Do sends.
func (c *Client) Request(operation string, body []byte) *http.Request {
	method := "POST"
	if c.OtherMethod != "" {
		method = c.OtherMethod
	}
	r := httptest.NewRequest(method, "http://127.0.0.1:8200/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("User-Agent", "awstest/1")
	r.Header.Set("X-Amz-Target", c.Target+"."+operation)
	now := time.Now().Add(c.Skew).UTC()
	stamp := now.Format("20060102T150405Z")
	r.Header.Set("X-Amz-Date", stamp)
	names := []string{"content-type", "host", "x-amz-date"}
	if c.Token != "" {
		r.Header.Set("X-Amz-Security-Token", c.Token)
		names = append(names, "x-amz-security-token")
	}
	names = append(names, "x-amz-target")
	if c.Unsigned {
		return r
	}
	canonical := method + "\n/\n\n"
	for _, n := range names {
		v := r.Header.Get(n)
		if n == "host" {
			v = r.Host
		}
		canonical += n + ":" + v + "\n"
	}
	sum := sha256.Sum256(body)
	list := strings.Join(names, ";")
	canonical += "\n" + list + "\n" + hex.EncodeToString(sum[:])
	scope := strings.Join([]string{stamp[:8], c.Region, c.Service, "aws4_request"}, "/")
	hash := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + c.Secret)
	for _, part := range strings.Split(scope, "/") {
		key = mac(key, part)
	}
	signature := hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hex.EncodeToString(hash[:])))
	if c.BreakIt {
		signature = strings.Repeat("0", 64)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.ID+"/"+scope+", SignedHeaders="+list+", Signature="+signature)
	return r
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
