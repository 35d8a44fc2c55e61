package keypair_test

import (
	"context"
	"strings"
	"testing"

	"countersign/internal/errs"
	"countersign/internal/rotator"
	"countersign/internal/rotator/keypair"
	"countersign/internal/rotator/keys"
	"countersign/internal/rotator/rotatetest"
)

func rotate(t *testing.T, typ, current string) (rotator.Value, error) {
	t.Helper()
	j := rotator.Job{Options: map[string]string{"type": typ}, Current: rotator.Text(current)}
	made, err := keypair.Kind().New(rotator.Env{}).Create(t.Context(), j)
	return made.Value, err
}

func TestSuite(t *testing.T) {
	for name, current := range map[string]string{"empty": "", "object": `{"issuer":"billing"}`} {
		t.Run(name, func(t *testing.T) {
			rotatetest.Run(t, func(t *testing.T) *rotatetest.Target {
				return &rotatetest.Target{Kind: keypair.Kind(), Rotator: keypair.Kind().New(rotator.Env{}),
					Job: rotator.Job{Options: map[string]string{"type": "ec-p256"}, Current: rotator.Text(current)}}
			})
		})
	}
}

func TestTypes(t *testing.T) {
	r := keypair.Kind().New(rotator.Env{})
	for _, typ := range append(keys.Types(), "") {
		v, err := rotate(t, typ, `{"issuer":"billing", "key_id": 7, "n":1.50}`)
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		if err := r.Test(t.Context(), rotator.Job{Pending: v}); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
		text := string(v.Data.Reveal())
		if !strings.HasPrefix(text, `{"issuer":"billing","key_id":"`) || !strings.Contains(text, `"n":1.50,"private_key":"-----BEGIN PRIVATE KEY-----\n`) {
			t.Errorf("%s: the other members did not stay", typ)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, current := range []string{"text", "[]", "{", `{"a":1,"a":2}`} {
		if _, err := rotate(t, "ed25519", current); err == nil {
			t.Errorf("%q was thrown away", current)
		}
	}
	_, err := rotate(t, "ed25519", `{"note":"`+strings.Repeat("x", rotator.MaxValue)+`"}`)
	if class, _ := rotator.Why(err); class != rotator.Unsuitable {
		t.Errorf("a value that is too long: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := keypair.Kind().New(rotator.Env{}).Create(ended, rotator.Job{}); err == nil {
		t.Error("a key was made after the end")
	}
	k := keypair.Kind()
	if err := k.Check(map[string]string{"type": "rsa-1024"}); !errs.Is(err, errs.Invalid) {
		t.Errorf("a type that there is not: %v", err)
	}
}

func TestTest(t *testing.T) {
	v, err := rotate(t, "ed25519", "")
	if err != nil {
		t.Fatal(err)
	}
	other, err := rotate(t, "ed25519", "")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := rotator.ParseObject(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, alter := range map[string]func(o *rotator.Object){
		"no-private":    func(o *rotator.Object) { o.Set("private_key", "") },
		"no-public":     func(o *rotator.Object) { o.Set("public_key", "") },
		"bad-private":   func(o *rotator.Object) { o.Set("private_key", "hunter2") },
		"bad-public":    func(o *rotator.Object) { o.Set("public_key", "hunter2") },
		"other-private": func(o *rotator.Object) { o.Set("private_key", foreign.Get("private_key")) },
		"other-id":      func(o *rotator.Object) { o.Set("key_id", foreign.Get("key_id")) },
	} {
		o, err := rotator.ParseObject(v)
		if err != nil {
			t.Fatal(err)
		}
		alter(o)
		err = keypair.Kind().New(rotator.Env{}).Test(t.Context(), rotator.Job{Pending: o.Value()})
		if class, _ := rotator.Why(err); class != rotator.Unsuitable && class != rotator.Rejected || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := keypair.Kind().New(rotator.Env{}).Test(t.Context(), rotator.Job{}); err == nil {
		t.Error("nothing passes")
	}
}
