package sshkey_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"countersign/internal/errs"
	"countersign/internal/rotator"
	"countersign/internal/rotator/rotatetest"
	"countersign/internal/rotator/sshkey"
)

func rotate(t *testing.T, options map[string]string, current string) (*rotator.Object, error) {
	t.Helper()
	j := rotator.Job{Name: "deploy/key", Options: options, Current: rotator.Text(current)}
	made, err := sshkey.Kind().New(rotator.Env{}).Create(t.Context(), j)
	if err != nil {
		return nil, err
	}
	o, err := rotator.ParseObject(made.Value)
	if err != nil {
		t.Fatal(err)
	}
	return o, nil
}

func test(t *testing.T, o *rotator.Object) error {
	t.Helper()
	return sshkey.Kind().New(rotator.Env{}).Test(t.Context(), rotator.Job{Pending: o.Value()})
}

func TestSuite(t *testing.T) {
	for name, current := range map[string]string{"empty": "", "object": `{"host":"build"}`} {
		t.Run(name, func(t *testing.T) {
			rotatetest.Run(t, func(t *testing.T) *rotatetest.Target {
				return &rotatetest.Target{Kind: sshkey.Kind(), Rotator: sshkey.Kind().New(rotator.Env{}),
					Job: rotator.Job{Name: "deploy", Options: map[string]string{"comment": "deploy key"}, Current: rotator.Text(current)}}
			})
		})
	}
}

func TestTypes(t *testing.T) {
	for typ, name := range map[string]string{"": ssh.KeyAlgoED25519, "ed25519": ssh.KeyAlgoED25519, "ecdsa-p256": ssh.KeyAlgoECDSA256,
		"ecdsa-p384": ssh.KeyAlgoECDSA384, "rsa-3072": ssh.KeyAlgoRSA, "rsa-4096": ssh.KeyAlgoRSA} {
		o, err := rotate(t, map[string]string{"type": typ}, `{"host":"build"}`)
		if err != nil {
			t.Fatalf("%q: %v", typ, err)
		}
		if err := test(t, o); err != nil {
			t.Errorf("%q: %v", typ, err)
		}
		if pub := o.Get("public_key"); !strings.HasPrefix(pub, name+" ") || !strings.HasSuffix(pub, " deploy/key") {
			t.Errorf("%q: public key %s", typ, pub)
		}
		if o.Get("host") != "build" || o.Get("previous_public_key") != "" {
			t.Errorf("%q: %s", typ, o.Value().Data)
		}
		opensshReads(t, o)
	}
}

// opensshReads asks ssh-keygen, where there is one, for the public half of the key.
func opensshReads(t *testing.T, o *rotator.Object) {
	t.Helper()
	tool, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Log("there is no ssh-keygen")
		return
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(o.Get("private_key")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "-y", "-f", file).Output()
	if err != nil || strings.TrimSpace(string(out)) != o.Get("public_key") {
		t.Errorf("ssh-keygen -y: %q, %v", out, err)
	}
	out, err = exec.Command(tool, "-l", "-f", file).Output()
	if err != nil || !strings.Contains(string(out), o.Get("fingerprint")) {
		t.Errorf("ssh-keygen -l: %q, %v", out, err)
	}
}

func TestPrevious(t *testing.T) {
	first, err := rotate(t, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := rotate(t, map[string]string{"comment": "x y"}, string(first.Value().Data.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	if second.Get("previous_public_key") != first.Get("public_key") || !strings.HasSuffix(second.Get("public_key"), " x y") {
		t.Error("the previous public key is not carried over")
	}
	// options of authorized_keys and further lines are not
	pub := first.Get("public_key")
	first.Set("private_key", "")
	first.Set("public_key", `command="rm -rf /" `+pub+"\nssh-ed25519 more")
	if third, err := rotate(t, nil, string(first.Value().Data.Reveal())); err != nil || third.Get("previous_public_key") != pub {
		t.Errorf("carried over: %v", err)
	}
	// the private key counts
	second.Set("public_key", pub)
	fourth, err := rotate(t, nil, string(second.Value().Data.Reveal()))
	if err != nil || strings.HasPrefix(fourth.Get("previous_public_key"), strings.TrimSuffix(pub, " deploy/key")) {
		t.Errorf("the previous key is that beside the private one: %v", err)
	}
	for _, current := range []string{`{"public_key":"hunter2"}`, `{"private_key":"hunter2"}`, "text"} {
		_, err := rotate(t, nil, current)
		if class, msg := rotator.Why(err); class != rotator.Unsuitable || strings.Contains(msg, "hunter2") {
			t.Errorf("%s: %v", current, err)
		}
	}
}

func TestTest(t *testing.T) {
	o, err := rotate(t, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	other, err := rotate(t, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	good := o.Value()
	for member, texts := range map[string][]string{
		"private_key": {"", "hunter2", other.Get("private_key"), strings.Repeat("\n", 1<<16) + o.Get("private_key")},
		"public_key":  {"", "hunter2", other.Get("public_key"), o.Get("public_key") + "\n" + o.Get("public_key")},
		"fingerprint": {"", other.Get("fingerprint")},
	} {
		for i, text := range texts {
			o, err := rotator.ParseObject(good)
			if err != nil {
				t.Fatal(err)
			}
			o.Set(member, text)
			err = test(t, o)
			if class, msg := rotator.Why(err); class != rotator.Unsuitable && class != rotator.Rejected || strings.Contains(msg, "hunter2") {
				t.Errorf("%s %d: %v", member, i, err)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	k := sshkey.Kind()
	for _, o := range []map[string]string{{"type": "dsa"}, {"comment": "a\nb"}, {"comment": " a"}, {"comment": strings.Repeat("x", 257)}, {"comment": "\xff"}} {
		if err := k.Check(o); !errs.Is(err, errs.Invalid) {
			t.Errorf("%v: %v", o, err)
		}
	}
	if err := k.Check(map[string]string{"type": "rsa-4096", "comment": "größe @ host"}); err != nil {
		t.Error(err)
	}
}

// Whatever the current value is, the previous public key is one line with one key.
func FuzzPrevious(f *testing.F) {
	f.Add(`ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS me`, "")
	f.Add("command=\"x\" ssh-rsa AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----\n")
	f.Fuzz(func(t *testing.T, public, private string) {
		o := rotator.NewObject()
		o.Set("public_key", public)
		o.Set("private_key", private)
		made, err := sshkey.Kind().New(rotator.Env{}).Create(t.Context(), rotator.Job{Name: "n", Current: o.Value()})
		if err != nil {
			if class, _ := rotator.Why(err); class != rotator.Unsuitable {
				t.Fatal(err)
			}
			return
		}
		o, err = rotator.ParseObject(made.Value)
		if err != nil {
			t.Fatal(err)
		}
		prev := o.Get("previous_public_key")
		if prev == "" {
			return
		}
		if strings.ContainsAny(prev, "\r\n") {
			t.Fatalf("%q has lines", prev)
		}
		if _, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(prev)); err != nil || len(options) > 0 || len(rest) > 0 {
			t.Fatalf("%q: options %q, rest %q, %v", prev, options, rest, err)
		}
	})
}
