package keys_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"countersign/internal/errs"
	"countersign/internal/rotator"
	"countersign/internal/rotator/keys"
)

func TestPairs(t *testing.T) {
	for _, typ := range keys.Types() {
		t.Run(typ, func(t *testing.T) {
			k, err := keys.Generate(t.Context(), typ)
			if err != nil {
				t.Fatal(err)
			}
			private, public, err := keys.PEM(k)
			if err != nil {
				t.Fatal(err)
			}
			again, err := keys.ParsePrivate(private)
			if err != nil {
				t.Fatal(err)
			}
			pub, err := keys.ParsePublic(public)
			if err != nil {
				t.Fatal(err)
			}
			if !keys.Same(again.Public(), pub) || !keys.Same(pub, k.Public()) {
				t.Error("what was read is another key")
			}
			if err := keys.Prove(again, pub); err != nil {
				t.Error(err)
			}
			other, err := keys.Generate(t.Context(), "ec-p256")
			if err != nil {
				t.Fatal(err)
			}
			if keys.Prove(other, pub) == nil || keys.Prove(k, other.Public()) == nil || keys.Same(pub, other.Public()) {
				t.Error("two halves of different pairs belong together")
			}
			if id, err := keys.Thumbprint(pub); err != nil || len(id) != 43 {
				t.Errorf("thumbprint %q, %v", id, err)
			}
		})
	}
}

// The key of RFC 7638, section 3.1.
func TestThumbprint(t *testing.T) {
	const public = `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0vx7agoebGcQSuuPiLJX
ZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tS
oc/BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ/2W+5JsGY4Hc5n9yBXArwl93lqt
7/RN5w6Cf0h4QyQ5v+65YGjQR0/FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0
zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt+bFTWhAI4vMQFh6WeZu0f
M4lFd2NcRwr3XPksINHaQ+G/xBniIqbw0Ls1jF44+csFCur+kEgU8awapJzKnqDK
gwIDAQAB
-----END PUBLIC KEY-----`
	k, err := keys.ParsePublic(public)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := keys.Thumbprint(k); err != nil || id != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("got %q, %v", id, err)
	}
}

func TestGenerate(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := keys.Generate(ended, "ed25519"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := keys.Generate(t.Context(), "dsa"); err == nil {
		t.Error("a key of no type was made")
	}
	if err := keys.Check("type", "dsa", keys.Types()); !errs.Is(err, errs.Invalid) || errs.As(err).Field != "type" {
		t.Errorf("a type that there is not: %v", err)
	}
	if keys.Check("type", "", keys.Types()) != nil || keys.Check("type", "ec-p521", keys.Types()) != nil {
		t.Error("a type that there is was refused")
	}
}

func TestOtherForms(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(e)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"pkcs1": keys.Block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r)),
		"sec1":  keys.Block("EC PARAMETERS", []byte{6, 0}) + keys.Block("EC PRIVATE KEY", sec1),
	} {
		if _, err := keys.ParsePrivate(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefused(t *testing.T) {
	small := `-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALqbHeRLCyOdykC5SDLqI49ArYGYG1mq
aH9/GnWjGavZM02fos4lc2w6tCchcUBNtJvGqKwhC5JEnx3RYoSX2ucCAwEAAQ==
-----END PUBLIC KEY-----`
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(p224)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty": "", "text": "hunter2", "small": small, "p224": keys.Block("PRIVATE KEY", der),
		"encrypted": keys.Block("ENCRYPTED PRIVATE KEY", der), "garbage": keys.Block("PRIVATE KEY", []byte("hunter2")),
		"long": strings.Repeat("\n", keys.MaxPEM) + keys.Block("PRIVATE KEY", der),
	} {
		if _, err := keys.ParsePrivate(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("private, %s: %v", name, err)
		}
		if _, err := keys.ParsePublic(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("public, %s: %v", name, err)
		}
	}
	if keys.Supported("text") || keys.Supported(nil) || keys.Same(nil, nil) {
		t.Error("what is no key is supported")
	}
}

func TestObject(t *testing.T) {
	o, err := keys.Object(rotator.Value{})
	if err != nil || string(o.Value().Data.Reveal()) != "{}" {
		t.Errorf("no value: %v", err)
	}
	if _, err := keys.Object(rotator.Text("text")); err == nil {
		t.Error("a text would be thrown away")
	}
}

func TestStored(t *testing.T) {
	var s keys.Stored
	for _, f := range []func(context.Context, rotator.Job) error{s.Set, s.Finish, s.Undo, s.Retire} {
		if err := f(t.Context(), rotator.Job{}); err != nil {
			t.Error(err)
		}
	}
}

// Whatever is read can be written, read again, and sign.
func FuzzParsePrivate(f *testing.F) {
	for _, typ := range []string{"ec-p256", "ed25519"} {
		k, err := keys.Generate(f.Context(), typ)
		if err != nil {
			f.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("PRIVATE KEY", der)
		if e, ok := k.(*ecdsa.PrivateKey); ok {
			if der, err = x509.MarshalECPrivateKey(e); err != nil {
				f.Fatal(err)
			}
			f.Add("EC PRIVATE KEY", der)
		}
	}
	f.Add("RSA PRIVATE KEY", []byte{0x30, 0})
	f.Fuzz(func(t *testing.T, typ string, der []byte) {
		var b bytes.Buffer
		if pem.Encode(&b, &pem.Block{Type: typ, Bytes: der}) != nil {
			return
		}
		k, err := keys.ParsePrivate(b.String())
		if err != nil {
			return
		}
		private, public, err := keys.PEM(k)
		if err != nil {
			t.Fatal(err)
		}
		again, err := keys.ParsePrivate(private)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := keys.ParsePublic(public)
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.Prove(again, pub); err != nil {
			// A modulus that is a product of something else is only found by use.
			if _, ok := k.Public().(*rsa.PublicKey); !ok {
				t.Fatal(err)
			}
		}
	})
}
