package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// requests makes what clients send, as bytes.
type requests struct {
	addr        string
	credentials aws.Credentials
	token       string
	signer      *v4.Signer
	puts        *atomic.Uint64 // version ids must not repeat
}

// plain is the request to the bare server.
func plain(addr string) []byte {
	return []byte("GET / HTTP/1.1\r\nHost: " + addr + "\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
}

// get is a GetSecretValue with the headers that the aws CLI sends.
func (q requests) get(secret int) ([]byte, error) {
	return q.signed("GetSecretValue", fmt.Sprintf(`{"SecretId": %q}`, secretName(secret)))
}

// put is a PutSecretValue of a new version.
func (q requests) put(secret int) ([]byte, error) {
	n := q.puts.Add(1)
	return q.signed("PutSecretValue", fmt.Sprintf(`{"SecretId": %q, "ClientRequestToken": "10000000-0000-4000-8000-%012d", "SecretString": %q}`,
		secretName(secret), n, secretValue(int(n))))
}

// signed is one call, signed by the AWS SDK's own signer.
func (q requests) signed(operation, body string) ([]byte, error) {
	r, err := http.NewRequest(http.MethodPost, "http://"+q.addr+"/", strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	r.Header.Set("Accept-Encoding", "identity")
	r.Header.Set("X-Amz-Target", "secretsmanager."+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	sum := sha256.Sum256([]byte(body))
	err = q.signer.SignHTTP(context.Background(), q.credentials, r, hex.EncodeToString(sum[:]), "secretsmanager", region, time.Now())
	if err != nil {
		return nil, fmt.Errorf("signing a request: %w", err)
	}
	r.Header.Set("User-Agent", "aws-cli/2.31.0 md/prompt#off ua/2.1 os/linux#6.1 md/arch#x86_64 lang/python#3.13 cfg/retry-mode#standard md/command#secretsmanager.get-secret-value")
	var out bytes.Buffer
	fmt.Fprintf(&out, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", q.addr, len(body))
	if err := r.Header.Write(&out); err != nil {
		return nil, fmt.Errorf("writing a request: %w", err)
	}
	out.WriteString("\r\n" + body)
	return out.Bytes(), nil
}

// bearer is a read through the native API.
func (q requests) bearer(secret int) []byte {
	return []byte("GET /api/v1/secret/value?name=" + url.QueryEscape(secretName(secret)) + " HTTP/1.1\r\nHost: " + q.addr +
		"\r\nUser-Agent: bench\r\nAccept: application/json\r\nAuthorization: Bearer " + q.token + "\r\n\r\n")
}

// signedReads prepares signed reads of the first n secrets.
func (q requests) signedReads(n int) ([][]byte, error) {
	out := make([][]byte, n)
	for i := range out {
		var err error
		if out[i], err = q.get(i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// writes is a source of new versions of any of n secrets. They are signed as
// they are sent: the generator waits for the server's disk anyway.
func (q requests) writes(n int) source {
	return func(rng *rand.Rand) []byte {
		b, err := q.put(rng.IntN(n))
		if err != nil {
			panic(err) // a request that was signed a moment ago with another id
		}
		return b
	}
}
