package keyfile

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"countersign/internal/seal"
	"countersign/internal/seal/sealtest"
	"countersign/internal/sensitive"
)

func open(t testing.TB, path string) *Seal {
	t.Helper()
	s, err := New(Config{Path: path})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return s
}

func TestContract(t *testing.T) {
	sealtest.Run(t, sealtest.Config{New: func(t testing.TB) sealtest.Open {
		path := filepath.Join(t.TempDir(), "root.key")
		return func() seal.Seal { return open(t, path) }
	}})
}

func TestNoPath(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("New took an empty path")
	}
}

func TestCreatesOnFirstWrapOnly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "root.key")
	s := open(t, path)
	if _, err := s.Unwrap(context.Background(), []byte{blobVersion, 2, 3}, nil); !errors.Is(err, seal.ErrSecret) {
		t.Errorf("Unwrap without a file: %v, want ErrSecret", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Unwrap created the file: %v", err)
	}
	if _, err := s.Wrap(context.Background(), sensitive.FromString("k"), nil); err != nil {
		t.Fatalf("Wrap: %v", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(first, []byte("countersign-key-file-v1 ")) || bytes.Count(first, []byte("\n")) != 1 {
		t.Error("the file is not the one line that is documented")
	}
	if err := create(path); err != nil {
		t.Fatalf("creating a second time: %v", err)
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(first, again) {
		t.Errorf("the file was overwritten (%v)", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %d entries (%v), want the key file alone", len(entries), err)
	}
}

func TestWrapWithoutFolder(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "absent", "root.key"))
	if _, err := s.Wrap(context.Background(), sensitive.FromString("k"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Wrap: %v, want ErrNotExist", err)
	}
}

func TestRefusedFiles(t *testing.T) {
	good := format(bytes.Repeat([]byte{7}, seal.KeySize))
	put := func(mode fs.FileMode, b []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, b, mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(mode fs.FileMode) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			put(mode, good)(t, path+".target")
			if err := os.Symlink(path+".target", path); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := map[string]struct {
		make func(*testing.T, string)
		want error
	}{
		"good":              {put(0o600, good), nil},
		"read-only":         {put(0o400, good), nil},
		"no-line-end":       {put(0o600, bytes.TrimSpace(good)), nil},
		"link-to-good":      {link(0o600), nil},
		"group-reads":       {put(0o640, good), seal.ErrSecret},
		"others-read":       {put(0o604, good), seal.ErrSecret},
		"group-writes":      {put(0o620, good), seal.ErrSecret},
		"link-to-open":      {link(0o644), seal.ErrSecret},
		"dangling-link":     {func(t *testing.T, p string) { check(t, os.Symlink(p+".gone", p)) }, seal.ErrSecret},
		"folder":            {func(t *testing.T, p string) { check(t, os.Mkdir(p, 0o700)) }, seal.ErrSecret},
		"named-pipe":        {func(t *testing.T, p string) { check(t, syscall.Mkfifo(p, 0o600)) }, seal.ErrSecret},
		"too-large":         {put(0o600, bytes.Repeat(good, 20)), seal.ErrSecret},
		"empty":             {put(0o600, nil), seal.ErrFormat},
		"unknown-version":   {put(0o600, bytes.Replace(good, []byte("v1"), []byte("v2"), 1)), seal.ErrFormat},
		"longer-version":    {put(0o600, bytes.Replace(good, []byte("v1"), []byte("v1.1"), 1)), seal.ErrFormat},
		"other-text":        {put(0o600, []byte("hunter2\n")), seal.ErrFormat},
		"short-key":         {put(0o600, format(make([]byte, seal.KeySize-1))), seal.ErrFormat},
		"long-key":          {put(0o600, format(make([]byte, seal.KeySize+1))), seal.ErrFormat},
		"two-lines":         {put(0o600, append(bytes.Clone(good), '\n')), seal.ErrFormat},
		"line-end-in-key":   {put(0o600, bytes.Replace(good, []byte("Bw"), []byte("B\nw"), 1)), seal.ErrFormat},
		"url-safe-alphabet": {put(0o600, []byte("countersign-key-file-v1 "+strings.Repeat("_", 43)+"=\n")), seal.ErrFormat},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "root.key")
			tt.make(t, path)
			s := open(t, path)
			_, err := s.load()
			if !errors.Is(err, tt.want) {
				t.Fatalf("loading: %v, want %v", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("the error holds the file's content")
			}
		})
	}
}

func TestWrapDoesNotReplaceRefusedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	check(t, os.WriteFile(path, nil, 0o600))
	if _, err := open(t, path).Wrap(context.Background(), sensitive.FromString("k"), nil); !errors.Is(err, seal.ErrFormat) {
		t.Errorf("Wrap over an empty file: %v, want ErrFormat", err)
	}
	if b, err := os.ReadFile(path); err != nil || len(b) != 0 {
		t.Errorf("the file was replaced (%v)", err)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What parse accepts is exactly one spelling of a key, but for the line end.
func FuzzParse(f *testing.F) {
	f.Add(format(bytes.Repeat([]byte{7}, seal.KeySize)))
	f.Add([]byte("countersign-key-file-v2 AAAA"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parse(b)
		if err != nil {
			if !errors.Is(err, seal.ErrFormat) || k != nil {
				t.Fatalf("error %v with %d bytes", err, len(k))
			}
			return
		}
		want := strings.TrimSuffix(string(format(k)), "\n")
		if got := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"); got != want {
			t.Fatalf("accepted another spelling: %q", got)
		}
	})
}
