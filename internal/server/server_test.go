package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"countersign/internal/config"
)

// buffer is a writer that a running server and a test share.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const testAccount = "111111111111"

func parse(t *testing.T, dir, more string) config.Config {
	t.Helper()
	cfg, err := config.Parse([]byte("data: data\naccount: \""+testAccount+"\"\nlisten: 127.0.0.1:0\nlog: {level: debug, format: text}\n"+more), dir)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// start runs a server until the test ends or stop is called.
func start(t *testing.T, cfg config.Config) (s *Server, log *buffer, stop func() error) {
	t.Helper()
	log = &buffer{}
	if _, err := Init(t.Context(), cfg, log); err != nil && !errors.Is(err, ErrInitialized) {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), cfg, Options{Stderr: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() { done <- s.Serve(ctx, func() { close(ready) }) }()
	<-ready
	var once sync.Once
	var result error
	stop = func() error {
		once.Do(func() { cancel(); result = <-done })
		return result
	}
	t.Cleanup(func() { _ = stop() })
	return s, log, stop
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestServes(t *testing.T) {
	s, _, stop := start(t, parse(t, t.TempDir(), ""))
	for _, tt := range []struct {
		path   string
		status int
		want   string
	}{
		{"/healthz", 200, "ok\n"},
		{"/readyz", 200, "ok"},
		{"/metrics", 200, "countersign_audit_sequence"},
		{"/", 200, "<title>Countersign</title>"},
		{"/nothing", 404, "no such address"},
		{"//", 404, "no such address"},
		{"/../etc/passwd", 404, "no such address"},
	} {
		t.Run(strings.Trim(strings.ReplaceAll(tt.path, "/", "_"), "."), func(t *testing.T) {
			status, body := get(t, http.DefaultClient, s.URL()+tt.path)
			if status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("GET %s: %d %.80q, want %d with %q", tt.path, status, body, tt.status, tt.want)
			}
		})
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if _, err := http.Get(s.URL() + "/healthz"); err == nil {
		t.Error("it still answers after it stopped")
	}
}

func TestInitOnceAndServeAfter(t *testing.T) {
	cfg := parse(t, t.TempDir(), "")
	if _, err := Open(t.Context(), cfg, Options{Stderr: io.Discard}); err == nil || !strings.Contains(err.Error(), "server init") {
		t.Errorf("opening a store without an account: %v, want the hint to init", err)
	}
	key, err := Init(t.Context(), cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if key.Account != testAccount || key.User != "admin" || len(key.ID) != 20 || len(key.Secret) != 40 || !strings.HasPrefix(key.Token, "cst_"+key.ID) {
		t.Errorf("first key is of account %q, user %q, id %q", key.Account, key.User, key.ID)
	}
	if _, err := Init(t.Context(), cfg, io.Discard); !errors.Is(err, ErrInitialized) {
		t.Errorf("Init again: %v", err)
	}
	rep, err := Fsck(t.Context(), cfg)
	if err != nil || len(rep.Problems) != 0 || rep.Pairs == 0 {
		t.Errorf("Fsck: %+v, %v", rep, err)
	}
}

func TestKeyFileOthersCanReadIsRefused(t *testing.T) {
	cfg := parse(t, t.TempDir(), "")
	if _, err := Init(t.Context(), cfg, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(cfg.Seal.Keyfile, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), cfg, Options{Stderr: io.Discard}); err == nil || !strings.Contains(err.Error(), "root.key") {
		t.Errorf("Open: %v, want a refusal that names the file", err)
	}
}

func TestPassphraseSeal(t *testing.T) {
	t.Setenv("TEST_PASSPHRASE", "correct horse battery staple")
	dir := t.TempDir()
	cfg := parse(t, dir, "seal: {passphrase: {env: TEST_PASSPHRASE}}")
	if _, err := Init(t.Context(), cfg, io.Discard); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_PASSPHRASE", "wrong")
	if _, err := Open(t.Context(), cfg, Options{Stderr: io.Discard}); err == nil || strings.Contains(err.Error(), "wrong\"") {
		t.Errorf("Open with a wrong passphrase: %v", err)
	}
}

func TestFsckFindsDamage(t *testing.T) {
	cfg := parse(t, t.TempDir(), "")
	if _, err := Init(t.Context(), cfg, io.Discard); err != nil {
		t.Fatal(err)
	}
	path := storePath(cfg.Data)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("principal")) {
		t.Fatal("the store holds no principal")
	}
	text = bytes.ReplaceAll(text, []byte("principal"), []byte("principam")) // in free pages too
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	rep, err := Fsck(t.Context(), cfg)
	if err == nil && len(rep.Problems) == 0 {
		t.Error("a changed byte was not found")
	}
}

func TestAuditOfAStoppedServerVerifies(t *testing.T) {
	cfg := parse(t, t.TempDir(), "")
	_, _, stop := start(t, cfg)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	rep, err := VerifyAudit(t.Context(), cfg.Audit.Dir, "", "", false)
	if err != nil || !rep.OK() || rep.Records == 0 || rep.Unsigned != 0 {
		t.Fatalf("VerifyAudit: %+v, %v", rep, err)
	}
	head := fmt.Sprintf("%d:%s", rep.Head.Seq, rep.Head.Hash)
	if rep, err := VerifyAudit(t.Context(), cfg.Audit.Dir, filepath.Join(cfg.Audit.Dir, "audit.pub"), head, false); err != nil || !rep.OK() {
		t.Errorf("with its own head: %+v, %v", rep, err)
	}
	late := fmt.Sprintf("%d:%s", rep.Head.Seq+10, rep.Head.Hash)
	if rep, err := VerifyAudit(t.Context(), cfg.Audit.Dir, "", late, false); err == nil && rep.OK() {
		t.Error("a log that ends before a trusted head passed")
	}
	for _, bad := range []string{"x", "1", "1:zz"} {
		if _, err := VerifyAudit(t.Context(), cfg.Audit.Dir, "", bad, false); err == nil {
			t.Errorf("head %q was accepted", bad)
		}
	}
}

func TestTLSReload(t *testing.T) {
	dir := t.TempDir()
	roots := x509.NewCertPool()
	first := writeCertificate(t, dir, roots, 1)
	c, err := loadCertificates(config.TLS{Cert: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem")}, newLogger(config.Log{}, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Int64()
	}
	if serial() != first {
		t.Fatal("another certificate than in the file")
	}
	second := writeCertificate(t, dir, roots, 2)
	c.looked = c.looked.Add(-lookEvery) // as if time had passed
	if got := serial(); got != second {
		t.Errorf("serial %d after the file changed, want %d", got, second)
	}
	if err := os.WriteFile(filepath.Join(dir, "c.pem"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.looked = c.looked.Add(-lookEvery)
	if got := serial(); got != second {
		t.Errorf("serial %d after the file broke, want the old one, %d", got, second)
	}
}

func TestHTTPS(t *testing.T) {
	dir := t.TempDir()
	roots := x509.NewCertPool()
	writeCertificate(t, dir, roots, 7)
	s, _, _ := start(t, parse(t, dir, "tls: {cert: c.pem, key: k.pem}"))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	if status, body := get(t, client, s.URL()+"/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("over TLS: %d %q", status, body)
	}
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS11}}}
	if _, err := old.Get(s.URL() + "/healthz"); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

// writeCertificate writes a self-signed certificate for 127.0.0.1.
func writeCertificate(t *testing.T, dir string, roots *x509.CertPool, serial int64) int64 {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"c.pem": {Type: "CERTIFICATE", Bytes: der}, "k.pem": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(cert)
	return serial
}

func TestSystemdIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	_, _, stop := start(t, parse(t, t.TempDir(), ""))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		b := make([]byte, 100)
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(b)
		if err != nil || string(b[:n]) != want {
			t.Errorf("told %q, %v, want %q", b[:n], err, want)
		}
	}
}

func TestOldAuditSegmentsAreMoved(t *testing.T) {
	dir := t.TempDir()
	cfg := parse(t, dir, "audit: {retain_for: 1ms, export_dir: archive}")
	s, _, stop := start(t, cfg)
	if err := s.core.log.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.core.exportLog(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if first := s.core.log.Stats().First; first < 2 {
		t.Errorf("the log still begins with record %d", first)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{cfg.Audit.Dir, filepath.Join(dir, "archive")} {
		rep, err := VerifyAudit(t.Context(), folder, filepath.Join(cfg.Audit.Dir, "audit.pub"), "", false)
		if err != nil || !rep.OK() {
			t.Errorf("%s: %+v, %v", folder, rep, err)
		}
	}
}

func TestStopEndsStreams(t *testing.T) {
	cfg := parse(t, t.TempDir(), "shutdown_timeout: 60s")
	key, err := Init(t.Context(), cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s, _, stop := start(t, cfg)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/api/v1/audit?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := res.Body.Read(make([]byte, 1)); err != nil || res.StatusCode != 200 {
		t.Fatalf("following: %d, %v", res.StatusCode, err)
	}
	begin := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("a stream held the server for %v", took)
	}
}

func TestEncryptedBackupIsRestored(t *testing.T) {
	dir := t.TempDir()
	cfg := parse(t, dir, "")
	key, err := Init(t.Context(), cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s, _, stop := start(t, cfg)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/api/v1/backup",
		strings.NewReader(`{"recipients":["`+id.Recipient().String()+`"]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key.Token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || !bytes.HasPrefix(body, []byte("age-encryption.org/")) {
		t.Fatalf("backup: %d, %v, %.80q", res.StatusCode, err, body)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	backup, identity := filepath.Join(dir, "b.age"), filepath.Join(dir, "id.txt")
	for path, text := range map[string]string{backup: string(body), identity: id.String() + "\n", filepath.Join(dir, "bad.txt"): "AGE-SECRET-KEY-1NO\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "restored")
	if _, err := RestoreBackup(t.Context(), backup, "", data); err == nil {
		t.Error("an encrypted backup was restored without an identity")
	}
	if _, err := RestoreBackup(t.Context(), backup, filepath.Join(dir, "bad.txt"), data); err == nil || strings.Contains(err.Error(), "AGE-SECRET") {
		t.Errorf("with a broken identity: %v", err)
	}
	if rep, err := RestoreBackup(t.Context(), backup, identity, data); err != nil || rep.Files < 3 || rep.Created.IsZero() {
		t.Fatalf("RestoreBackup: %+v, %v", rep, err)
	}
	again := parse(t, dir, "seal: {keyfile: data/root.key}")
	again.Data, again.Audit.Dir = data, filepath.Join(data, "audit")
	if rep, err := Fsck(t.Context(), again); err != nil || len(rep.Problems) > 0 {
		t.Errorf("Fsck of the restored store: %+v, %v", rep, err)
	}
	if _, err := Init(t.Context(), again, io.Discard); !errors.Is(err, ErrInitialized) {
		t.Errorf("the restored store has no account: %v", err)
	}
}
