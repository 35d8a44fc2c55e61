package operate_test

import (
	"archive/tar"
	"bytes"
	"os"
	"testing"

	"countersign/internal/core/operate"
)

// FuzzRestore restores any bytes: what has no true manifest leaves nothing, and
// nothing is ever written outside of the folder.
func FuzzRestore(f *testing.F) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, e := range []entry{
		{"countersign-backup.json", []byte(`{"format":1}`), tar.TypeReg}, {"store.db", []byte("x"), tar.TypeReg},
		{"audit/HEAD", nil, tar.TypeReg}, {"manifest.json", []byte(`{"format":1,"files":[]}`), tar.TypeReg},
	} {
		if err := tw.WriteHeader(&tar.Header{Name: e.name, Size: int64(len(e.data)), Mode: 0o600, Typeflag: e.kind}); err != nil {
			f.Fatal(err)
		}
		if _, err := tw.Write(e.data); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes())
	f.Add([]byte("age-encryption.org/v1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		dir := parent + "/data"
		m, err := operate.RestoreBackup(bytes.NewReader(data), nil, dir)
		got, readErr := os.ReadDir(dir)
		switch {
		case err != nil && len(got) > 0:
			t.Fatalf("left %v after %v", got, err)
		case err == nil && (readErr != nil || len(got) != 2 || len(m.Files) < 2):
			t.Fatalf("restored %v, manifest %+v", got, m)
		}
		if all, err := os.ReadDir(parent); err != nil || len(all) > 1 {
			t.Fatalf("wrote outside: %v, %v", all, err)
		}
	})
}
