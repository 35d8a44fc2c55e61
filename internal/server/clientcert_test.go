package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestLoginByCertificate holds that a client is known by the certificate of its
// connection, and that one without a certificate is served like any other.
func TestLoginByCertificate(t *testing.T) {
	dir := t.TempDir()
	roots := x509.NewCertPool()
	writeCertificate(t, dir, roots, 7)
	cfg := parse(t, dir, "tls: {cert: c.pem, key: k.pem}")
	first, err := Init(t.Context(), cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s, _, _ := start(t, cfg)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "web"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	mine := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	send := func(certs []tls.Certificate, token, path string, body map[string]string) (int, string) {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certs}}}
		defer client.CloseIdleConnections()
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequest("POST", s.URL()+"/v1/"+path, strings.NewReader(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Vault-Token", token)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	if code, text := send(nil, first.Token, "sys/auth/cert", map[string]string{"type": "cert"}); code != 204 {
		t.Fatalf("%d %s", code, text)
	}
	trusted := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	if code, text := send(nil, first.Token, "auth/cert/certs/web", map[string]string{"certificate": trusted}); code != 204 {
		t.Fatalf("%d %s", code, text)
	}
	if code, text := send(mine, "", "auth/cert/login", nil); code != 200 || !strings.Contains(text, `"common_name":"web"`) {
		t.Errorf("%d %s", code, text)
	}
	if code, text := send(nil, "", "auth/cert/login", nil); code != 400 {
		t.Errorf("%d %s", code, text)
	}
}
