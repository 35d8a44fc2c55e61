package certificate

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/errs"
	"countersign/internal/rotator"
	"countersign/internal/rotator/keys"
	"countersign/internal/rotator/rotatetest"
)

func env(ago time.Duration) rotator.Env {
	return rotator.Env{Now: func() time.Time { return time.Now().Add(ago) }}
}

func job(options map[string]string, ca, current rotator.Value) rotator.Job {
	j := rotator.Job{Name: "tls", Options: options, Current: current}
	if !ca.Empty() {
		o := map[string]string{"ca": "pki/ca"}
		for n, v := range options {
			o[n] = v
		}
		j.Options, j.Related = o, map[string]rotator.Value{"ca": ca}
	}
	return j
}

func create(t *testing.T, options map[string]string, ca rotator.Value) (rotator.Value, error) {
	t.Helper()
	made, err := Kind().New(env(0)).Create(t.Context(), job(options, ca, rotator.Value{}))
	return made.Value, err
}

func must(t *testing.T, options map[string]string, ca rotator.Value) rotator.Value {
	t.Helper()
	v, err := create(t, options, ca)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func object(t *testing.T, v rotator.Value) *rotator.Object {
	t.Helper()
	o, err := rotator.ParseObject(v)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func leaf(t *testing.T, v rotator.Value) *x509.Certificate {
	t.Helper()
	list, err := parseCertificates(object(t, v).Get("certificate"))
	if err != nil || len(list) != 1 {
		t.Fatalf("%d certificates, %v", len(list), err)
	}
	return list[0]
}

var authorityOptions = map[string]string{"is_ca": "true", "common_name": "Test root", "organization": "Example", "days": "825"}

// foreign is the secret of a CA that somebody else made.
func foreign(t *testing.T, alter func(c *x509.Certificate)) rotator.Value {
	t.Helper()
	key, err := keys.Generate(t.Context(), "ec-p384")
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{Subject: pkix.Name{CommonName: "Foreign"}, SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(1000 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	alter(c)
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return secret(t, der, key)
}

func secret(t *testing.T, der []byte, key crypto.Signer) rotator.Value {
	t.Helper()
	private, _, err := keys.PEM(key)
	if err != nil {
		t.Fatal(err)
	}
	o := rotator.NewObject()
	o.Set("certificate", keys.Block("CERTIFICATE", der))
	o.Set("private_key", private)
	return o.Value()
}

func TestSuite(t *testing.T) {
	root := must(t, authorityOptions, rotator.Value{})
	for name, j := range map[string]rotator.Job{
		"self-signed": job(map[string]string{"dns": "localhost, *.example.com", "ip": "127.0.0.1"}, rotator.Value{}, rotator.Value{}),
		"signed":      job(map[string]string{"ip": "::1,10.0.0.1", "usage": "both"}, root, rotator.Text(`{"owner":"web"}`)),
		"client":      job(map[string]string{"common_name": "worker 7", "usage": "client"}, root, rotator.Value{}),
		"root":        job(authorityOptions, rotator.Value{}, rotator.Value{}),
		"subordinate": job(map[string]string{"is_ca": "true", "common_name": "Sub"}, root, rotator.Value{}),
	} {
		t.Run(name, func(t *testing.T) {
			rotatetest.Run(t, func(t *testing.T) *rotatetest.Target {
				return &rotatetest.Target{Kind: Kind(), Rotator: Kind().New(env(0)), Job: j}
			})
		})
	}
}

func TestKeys(t *testing.T) {
	root := must(t, map[string]string{"is_ca": "true", "common_name": "RSA root", "key": "rsa-2048"}, rotator.Value{})
	for _, typ := range keys.Types() {
		for _, ca := range []rotator.Value{{}, root} {
			options := map[string]string{"key": typ, "dns": "localhost", "usage": "both", "days": "1"}
			v := must(t, options, ca)
			if err := Kind().New(env(0)).Test(t.Context(), rotator.Job{Options: job(options, ca, v).Options, Related: map[string]rotator.Value{"ca": ca}, Pending: v}); err != nil {
				t.Errorf("%s: %v", typ, err)
			}
			if c := leaf(t, v); (c.KeyUsage&x509.KeyUsageKeyEncipherment != 0) != strings.HasPrefix(typ, "rsa") {
				t.Errorf("%s: key usage %b", typ, c.KeyUsage)
			}
		}
	}
}

func TestValue(t *testing.T) {
	root := must(t, authorityOptions, rotator.Value{})
	sub := must(t, map[string]string{"is_ca": "true", "common_name": "Sub"}, root)
	options := map[string]string{"dns": "WWW.Example.com,bücher.example,*.a.example", "ip": "10.0.0.1,::ffff:10.0.0.1,2001:db8::1", "organization": "Example, Inc.", "days": "30"}
	made, err := Kind().New(env(0)).Create(t.Context(), job(options, sub, rotator.Text(`{"owner":"web","serial":1}`)))
	if err != nil {
		t.Fatal(err)
	}
	o, c := object(t, made.Value), leaf(t, made.Value)
	if got := strings.Join(c.DNSNames, " "); got != "www.example.com xn--bcher-kva.example *.a.example" {
		t.Errorf("names %s", got)
	}
	if len(c.IPAddresses) != 2 || !c.IPAddresses[0].Equal(net.IPv4(10, 0, 0, 1)) {
		t.Errorf("addresses %v", c.IPAddresses)
	}
	if got := c.NotAfter.Sub(c.NotBefore); got != 30*24*time.Hour-time.Second {
		t.Errorf("valid for %s", got)
	}
	if ago := time.Since(c.NotBefore); ago < 9*time.Minute || ago > 11*time.Minute {
		t.Errorf("it begins %s ago", ago)
	}
	if c.IsCA || !c.BasicConstraintsValid || len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth {
		t.Error("its constraints")
	}
	if len(c.AuthorityKeyId) == 0 || !bytes.Equal(c.AuthorityKeyId, leaf(t, sub).SubjectKeyId) {
		t.Error("it does not name the key that signed it")
	}
	if n, ok := new(big.Int).SetString(o.Get("serial"), 16); !ok || n.Cmp(c.SerialNumber) != 0 || len(o.Get("serial")) != 32 {
		t.Errorf("serial %s", o.Get("serial"))
	}
	if o.Get("not_after") != c.NotAfter.Format(time.RFC3339) || o.Get("subject") != `CN=www.example.com,O=Example\, Inc.` || o.Get("owner") != "web" {
		t.Errorf("%s, %s, %s", o.Get("not_after"), o.Get("subject"), o.Get("owner"))
	}
	if o.Get("chain") != object(t, sub).Get("certificate") || o.Get("ca") != object(t, root).Get("certificate") {
		t.Error("chain and ca are not the CA and its root")
	}
	if so := object(t, sub); so.Get("chain") != "" || so.Get("ca") != o.Get("ca") {
		t.Error("chain and ca of the CA below the root")
	}
	if s := leaf(t, sub); !s.MaxPathLenZero || s.MaxPathLen != 0 || s.KeyUsage&x509.KeyUsageCertSign == 0 {
		t.Error("the CA below the root may have CAs below it")
	}
	opensslVerifies(t, made.Value)
}

// opensslVerifies asks another implementation, where there is one.
func opensslVerifies(t *testing.T, v rotator.Value) {
	t.Helper()
	tool, err := exec.LookPath("openssl")
	if err != nil {
		t.Log("there is no openssl")
		return
	}
	dir := t.TempDir()
	o := object(t, v)
	for _, n := range []string{"certificate", "chain", "ca"} {
		if err := os.WriteFile(filepath.Join(dir, n), []byte(o.Get(n)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(tool, "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "x.a.example", "-CAfile", "ca", "-untrusted", "chain", "certificate")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %s", err, out)
	}
}

func TestAuthorities(t *testing.T) {
	server := map[string]string{"dns": "www.example.com", "days": "10"}
	permit := func(domains ...string) rotator.Value {
		return foreign(t, func(c *x509.Certificate) { c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, domains })
	}
	root := must(t, authorityOptions, rotator.Value{})
	sub := must(t, map[string]string{"is_ca": "true", "common_name": "Sub"}, root)
	for name, tt := range map[string]struct {
		ca      rotator.Value
		options map[string]string
		why     string // "" when it signs
	}{
		"good":         {foreign(t, func(*x509.Certificate) {}), server, ""},
		"sub":          {sub, server, ""},
		"no-ca":        {must(t, server, rotator.Value{}), server, "is not a CA's"},
		"no-cert-sign": {foreign(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), server, "keyCertSign"},
		"no-key-usage": {foreign(t, func(c *x509.Certificate) { c.KeyUsage = 0 }), server, "keyCertSign"},
		"expired":      {foreign(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), server, "has expired"},
		"early":        {foreign(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), server, "not valid yet"},
		"outlived":     {foreign(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(200 * time.Hour) }), server, "set fewer days"},
		"permitted":    {permit("example.com"), server, ""},
		"constrained":  {permit("example.org"), server, "name constraints"},
		"constrained-ip": {foreign(t, func(c *x509.Certificate) {
			c.ExcludedIPRanges = []*net.IPNet{{IP: net.IP{10, 0, 0, 0}, Mask: net.CIDRMask(8, 32)}}
		}), map[string]string{"ip": "10.1.2.3", "days": "10"}, "name constraints"},
		"constrained-one": {permit("example.com"), map[string]string{"dns": "a.example.com,b.example.org", "days": "10"}, "name constraints"},
		"for-clients":     {foreign(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), server, "does not permit this usage"},
		"for-servers":     {foreign(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), map[string]string{"dns": "a.example.com", "usage": "both", "days": "10"}, "does not permit this usage"},
		"below-sub":       {sub, map[string]string{"is_ca": "true", "common_name": "Subsub", "days": "10"}, "path length"},
		"below-root":      {root, map[string]string{"is_ca": "true", "common_name": "Sub"}, ""},
		"below-one":       {foreign(t, func(c *x509.Certificate) { c.MaxPathLen = 1 }), map[string]string{"is_ca": "true", "common_name": "Sub", "days": "10"}, ""},
		"empty":           {rotator.Text(" "), server, "not a JSON object"},
		"text":            {rotator.Text("hunter2"), server, "not a JSON object"},
		"object":          {rotator.Text(`{"certificate":"hunter2"}`), server, "no certificate"},
		"other-key":       {mixed(t, root, sub), server, "not that of its certificate"},
		"bad-key":         {with(t, root, "private_key", "hunter2"), server, "no private key"},
		"bad-chain":       {with(t, root, "chain", "hunter2"), server, "its member chain"},
		"key-as-chain":    {with(t, root, "chain", object(t, root).Get("private_key")), server, "its member chain"},
		"long-chain":      {with(t, root, "chain", strings.Repeat(object(t, root).Get("certificate"), 11)), server, "its member chain"},
		"gap":             {with(t, with(t, sub, "ca", ""), "chain", ""), server, ""}, // trusted as it is
		"stranger":        {with(t, sub, "ca", object(t, must(t, authorityOptions, rotator.Value{})).Get("certificate")), server, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := create(t, tt.options, tt.ca)
			if tt.why == "" {
				if err != nil {
					t.Fatal(err)
				}
				j := job(tt.options, tt.ca, rotator.Value{})
				j.Pending = v
				if err := Kind().New(env(0)).Test(t.Context(), j); err != nil {
					t.Error(err)
				}
				return
			}
			if class, msg := rotator.Why(err); class != rotator.Unsuitable || !strings.Contains(msg, tt.why) || strings.Contains(msg, "hunter2") {
				t.Errorf("%s: %v", class, err)
			}
		})
	}
	j := job(server, root, rotator.Value{})
	j.Related = nil
	if _, err := Kind().New(env(0)).Create(t.Context(), j); err == nil || !strings.Contains(err.Error(), "has no value") {
		t.Errorf("without a value of the CA: %v", err)
	}
}

func with(t *testing.T, v rotator.Value, member, text string) rotator.Value {
	t.Helper()
	o := object(t, v)
	o.Set(member, text)
	return o.Value()
}

func mixed(t *testing.T, cert, key rotator.Value) rotator.Value {
	t.Helper()
	return with(t, cert, "private_key", object(t, key).Get("private_key"))
}

func TestTest(t *testing.T) {
	root := must(t, authorityOptions, rotator.Value{})
	options := map[string]string{"dns": "www.example.com"}
	good := must(t, options, root)
	test := func(e rotator.Env, options map[string]string, ca, v rotator.Value) error {
		j := job(options, ca, rotator.Value{})
		j.Pending = v
		return Kind().New(e).Test(t.Context(), j)
	}
	if err := test(env(0), options, root, good); err != nil {
		t.Fatal(err)
	}
	sub := must(t, map[string]string{"is_ca": "true", "common_name": "Sub"}, root)
	below := must(t, map[string]string{"dns": "www.example.com", "days": "80"}, sub)
	asCA := map[string]string{"is_ca": "true", "common_name": "x"}
	for name, err := range map[string]error{
		"empty":        test(env(0), options, root, rotator.Value{}),
		"no-member":    test(env(0), options, root, rotator.Text(`{"private_key":"hunter2"}`)),
		"no-pem":       test(env(0), options, root, rotator.Text(`{"private_key":"hunter2","certificate":"hunter2"}`)),
		"bad-key":      test(env(0), options, root, with(t, good, "private_key", "hunter2")),
		"other-key":    test(env(0), options, root, mixed(t, good, root)),
		"bad-chain":    test(env(0), options, root, with(t, good, "chain", "hunter2")),
		"other-ca":     test(env(0), options, must(t, authorityOptions, rotator.Value{}), good),
		"gap":          test(env(0), options, sub, with(t, below, "chain", "")),
		"not-self":     test(env(0), options, rotator.Value{}, good),
		"other-name":   test(env(0), map[string]string{"dns": "www.example.com,b.example.com"}, root, good),
		"other-ip":     test(env(0), map[string]string{"ip": "10.0.0.1"}, root, good),
		"other-usage":  test(env(0), map[string]string{"dns": "www.example.com", "usage": "both"}, root, good),
		"no-ca":        test(env(0), asCA, root, good),
		"later":        test(env(91*24*time.Hour), options, root, good),
		"before":       test(env(-time.Hour), options, must(t, authorityOptions, rotator.Value{}), good),
		"no-options":   test(env(0), map[string]string{"days": "0"}, root, good),
		"ca-is-broken": test(env(0), options, rotator.Text("hunter2"), good),
	} {
		if class, msg := rotator.Why(err); class != rotator.Unsuitable && class != rotator.Rejected || strings.Contains(msg, "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := test(env(0), options, sub, below); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	options := map[string]string{"dns": "a.example.com"}
	for _, current := range []string{"text", "[]", `{"a":1,"a":2}`, `{"note":"` + strings.Repeat("x", 64<<10) + `"}`} {
		_, err := Kind().New(env(0)).Create(t.Context(), job(options, rotator.Value{}, rotator.Text(current)))
		if class, _ := rotator.Why(err); class != rotator.Unsuitable {
			t.Errorf("%.20s: %v", current, err)
		}
	}
	if made, err := Kind().New(rotator.Env{}).Create(t.Context(), job(options, rotator.Value{}, rotator.Value{})); err != nil || made.Value.Empty() {
		t.Errorf("without a clock of its own: %v", err)
	}
}

func TestOptions(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, tt := range []struct {
		field   string // "" when it is good
		options map[string]string
	}{
		{"", map[string]string{"dns": "localhost"}},
		{"", map[string]string{"dns": long + "." + long + ".example"}},
		{"", map[string]string{"ip": "127.0.0.1", "days": "825", "key": "ed25519", "organization": "Größe & Co."}},
		{"", map[string]string{"common_name": "me", "usage": "client"}},
		{"", map[string]string{"dns": "xn--bcher-kva.example,*.EXAMPLE.com", "is_ca": "false"}},
		{"", map[string]string{"is_ca": "true", "common_name": "Root"}},
		{"dns", map[string]string{}},
		{"dns", map[string]string{"common_name": "www.example.com"}},
		{"common_name", map[string]string{"usage": "client"}},
		{"common_name", map[string]string{"dns": "a", "common_name": strings.Repeat("x", 65)}},
		{"common_name", map[string]string{"dns": "a", "common_name": "a\nb"}},
		{"common_name", map[string]string{"is_ca": "true"}},
		{"organization", map[string]string{"dns": "a", "organization": " x"}},
		{"days", map[string]string{"dns": "a", "days": "0"}},
		{"days", map[string]string{"dns": "a", "days": "826"}},
		{"days", map[string]string{"dns": "a", "days": "x"}},
		{"key", map[string]string{"dns": "a", "key": "dsa"}},
		{"usage", map[string]string{"dns": "a", "usage": "email"}},
		{"is_ca", map[string]string{"dns": "a", "is_ca": "yes"}},
		{"dns", map[string]string{"is_ca": "true", "common_name": "x", "dns": "a"}},
		{"usage", map[string]string{"is_ca": "true", "common_name": "x", "usage": "client"}},
		{"ip", map[string]string{"ip": "localhost"}},
		{"ip", map[string]string{"ip": "fe80::1%eth0"}},
		{"ip", map[string]string{"ip": "0.0.0.0"}},
		{"ip", map[string]string{"ip": "10.0.0.1,"}},
		{"ip", map[string]string{"ip": "224.0.0.1"}},
	} {
		err := Kind().Check(tt.options)
		switch {
		case tt.field == "" && err != nil:
			t.Errorf("%v: %v", tt.options, err)
		case tt.field != "" && (!errs.Is(err, errs.Invalid) || errs.As(err).Field != tt.field):
			t.Errorf("%v: %v", tt.options, err)
		}
	}
	for _, n := range []string{"*", "*.com", "a.*.com", "*a.example.com", "a*.example.com", "*.*.example.com", "a,,b", " ", "a.", "*.example.com.", "a b", "a_b.example.com",
		"-a.example.com", "a-.example.com", "ab--c.example.com", "xn--a", "10.0.0.1", "a.7", "a..b", ".a", "https://a", "a:80", long + "a.b", strings.Repeat("a.", 127) + "bb", "\xff", "a\x00b"} {
		if err := Kind().Check(map[string]string{"dns": n}); !errs.Is(err, errs.Invalid) || errs.As(err).Field != "dns" {
			t.Errorf("%q: %v", n, err)
		}
	}
	if err := Kind().Check(map[string]string{"dns": strings.TrimSuffix(strings.Repeat("a.b,", 101), ",")}); err != nil {
		t.Errorf("the same name over and over: %v", err)
	}
	var many []string
	for i := range 101 {
		many = append(many, "h"+big.NewInt(int64(i)).String())
	}
	if err := Kind().Check(map[string]string{"dns": strings.Join(many, ",")}); err == nil {
		t.Error("101 names are taken")
	}
}

// A name that is taken stands in a certificate as a verifier compares it.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"www.example.com", "*.Bücher.example", "xn--bcher-kva.de", "a..b", "127.0.0.1", "ａ.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := host(text)
		if err != nil {
			return
		}
		again, err := host(n)
		if err != nil || again != n {
			t.Fatalf("%q became %q and that %q, %v", text, n, again, err)
		}
		c := &x509.Certificate{DNSNames: []string{n}}
		s := settings{dns: []string{n}}
		if err := c.VerifyHostname(s.hosts()[0]); err != nil {
			t.Fatalf("%q: %v", n, err)
		}
	})
}

// Whatever stands in the secret of a CA, it signs what verifies or says why not.
func FuzzAuthority(f *testing.F) {
	key, err := keys.Generate(f.Context(), "ec-p256")
	if err != nil {
		f.Fatal(err)
	}
	t0 := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1e6 * time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, PermittedDNSDomains: []string{"example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, t0, t0, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	private, _, err := keys.PEM(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der, []byte{}, false)
	f.Add(der, der, true)
	f.Fuzz(func(t *testing.T, der, chain []byte, isCA bool) {
		o := rotator.NewObject()
		o.Set("certificate", keys.Block("CERTIFICATE", der))
		o.Set("private_key", private)
		o.Set("chain", keys.Block("CERTIFICATE", chain))
		options := map[string]string{"dns": "a.example.com"}
		if isCA {
			options = map[string]string{"is_ca": "true", "common_name": "Sub"}
		}
		j := job(options, o.Value(), rotator.Value{})
		made, err := Kind().New(env(0)).Create(t.Context(), j)
		if err != nil {
			if class, _ := rotator.Why(err); class != rotator.Unsuitable {
				t.Fatal(err)
			}
			return
		}
		j.Pending = made.Value
		if err := Kind().New(env(0)).Test(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	})
}
