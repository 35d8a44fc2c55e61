package seal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"countersign/internal/sensitive"
)

func TestOwner(t *testing.T) {
	if err := sameOwner(7, 7); err != nil {
		t.Errorf("own file refused: %v", err)
	}
	if err := sameOwner(7, 8); err == nil {
		t.Error("somebody else's file accepted")
	}
}

func TestForeignFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving a file away needs root")
	}
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Skipf("giving a file away: %v", err)
	}
	if _, err := ReadPrivate(path, 10); !errors.Is(err, ErrSecret) {
		t.Errorf("ReadPrivate: %v, want ErrSecret", err)
	}
}

func TestReadPrivateUnreadable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := ReadPrivate(path, 10); err != nil || string(b.Reveal()) != "0123456789" {
		t.Errorf("ReadPrivate at the limit: %v", err)
	}
	if _, err := ReadPrivate(path, 9); !errors.Is(err, ErrSecret) {
		t.Errorf("ReadPrivate over the limit: %v, want ErrSecret", err)
	}
}

// A secret shared by two kinds of seal does not make their blobs one.
func TestKindIsBound(t *testing.T) {
	secret := make([]byte, KeySize)
	blob, err := Encrypt(nil, "one", secret, sensitive.FromString("k"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decrypt("two", secret, blob, nil); !errors.Is(err, ErrOpen) {
		t.Errorf("Decrypt under another kind: %v, want ErrOpen", err)
	}
	if _, err := Decrypt("one", secret[1:], blob, nil); err == nil {
		t.Error("Decrypt took a short key")
	}
	if _, err := Encrypt(nil, "one", nil, sensitive.FromString("k"), nil); err == nil {
		t.Error("Encrypt took a short key")
	}
}
