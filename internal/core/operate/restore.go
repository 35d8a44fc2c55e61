package operate

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"countersign/internal/errs"
)

// maxManifest bounds the two entries that are read into memory.
const maxManifest = 16 << 20

// ageIntro begins every file that age encrypted (age-encryption.org/v1).
const ageIntro = "age-encryption.org/"

// RestoreBackup writes the store and the audit log of a backup into a folder,
// which must be absent or empty, without a server: store.db and audit/, each file
// for this user only. identities open an encrypted backup; they may be nil for
// one that is not.
//
// Everything is written under another name first and takes its place once the
// whole of it was read and has the sizes and digests of the manifest; store.db
// comes last, so that a folder with a store in it is complete. On an error
// nothing is left, but for what a crash leaves: a folder ".restore".
//
// The key file or passphrase of the seal must be brought along: it is in no
// backup.
func RestoreBackup(r io.Reader, identities []age.Identity, dir string) (Manifest, error) {
	m, err := restore(r, identities, dir)
	if err != nil {
		return Manifest{}, fmt.Errorf("restoring a backup: %w", err)
	}
	return m, nil
}

func restore(r io.Reader, identities []age.Identity, dir string) (m Manifest, err error) {
	switch entries, err := os.ReadDir(dir); {
	case errors.Is(err, os.ErrNotExist):
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return m, err
		}
	case err != nil:
		return m, err
	case len(entries) > 0:
		return m, errs.New(errs.Precondition, "the folder %q is not empty", dir)
	}
	if r, err = opened(r, identities); err != nil {
		return m, err
	}
	tmp := filepath.Join(dir, ".restore")
	if err := os.MkdirAll(filepath.Join(tmp, auditFolder), 0o700); err != nil {
		return m, err
	}
	defer os.RemoveAll(tmp)
	if m, err = unpack(r, tmp); err != nil {
		return m, err
	}
	for _, d := range []string{filepath.Join(tmp, auditFolder), tmp} {
		if err := syncDir(d); err != nil {
			return m, err
		}
	}
	for _, n := range []string{auditFolder, storeName} {
		err := os.Rename(filepath.Join(tmp, n), filepath.Join(dir, n))
		if err == nil {
			err = syncDir(dir)
		}
		if err != nil {
			os.RemoveAll(filepath.Join(dir, storeName))
			os.RemoveAll(filepath.Join(dir, auditFolder))
			return m, err
		}
	}
	return m, nil
}

// opened decrypts a backup that is encrypted.
func opened(r io.Reader, identities []age.Identity) (io.Reader, error) {
	br := bufio.NewReader(r)
	intro, err := br.Peek(len(ageIntro))
	if err != nil && err != io.EOF {
		return nil, err
	}
	if string(intro) != ageIntro {
		return br, nil
	}
	if len(identities) == 0 {
		return nil, errs.New(errs.Precondition, "the backup is encrypted: give the age identity that opens it")
	}
	plain, err := age.Decrypt(br, identities...)
	if err != nil {
		return nil, fmt.Errorf("decrypting: %w", err)
	}
	return plain, nil
}

// unpack writes the files of an archive under dir and holds them against the
// manifest at its end.
func unpack(r io.Reader, dir string) (Manifest, error) {
	var got []File
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return Manifest{}, errs.New(errs.Invalid, "the backup is cut: it has no manifest")
		}
		if err != nil {
			return Manifest{}, fmt.Errorf("reading the archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			return Manifest{}, errs.New(errs.Invalid, "entry %q is not a plain file", h.Name)
		}
		if h.Name == manifestName {
			m, err := readManifest(tr, got)
			if err != nil {
				return Manifest{}, err
			}
			return m, ended(tr, r)
		}
		f, err := unpackOne(tr, h, dir, len(got) == 0)
		if err != nil {
			return Manifest{}, err
		}
		for _, old := range got {
			if old.Name == f.Name {
				return Manifest{}, errs.New(errs.Invalid, "entry %q stands there twice", f.Name)
			}
		}
		got = append(got, f)
	}
}

// ended reads to the end: of the archive, which the manifest closes, and of the
// stream, whose last part age authenticates.
func ended(tr *tar.Reader, r io.Reader) error {
	if _, err := tr.Next(); err != io.EOF {
		return errs.New(errs.Invalid, "the backup goes on after its manifest")
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("reading the end: %w", err)
	}
	return nil
}

func unpackOne(r io.Reader, h *tar.Header, dir string, first bool) (File, error) {
	f := File{Name: h.Name, Size: h.Size}
	if first != (h.Name == formatName) {
		return f, errs.New(errs.Invalid, "this is not a backup of this program")
	}
	sum := sha256.New()
	if first {
		data, err := readSmall(io.TeeReader(r, sum))
		if err != nil {
			return f, err
		}
		f.SHA256 = hexSum(sum)
		return f, checkHead(data)
	}
	file, inLog := strings.CutPrefix(h.Name, auditFolder+"/")
	if h.Name != storeName && !(inLog && auditFiles.MatchString(file)) {
		return f, errs.New(errs.Invalid, "entry %q is not one of a backup", h.Name)
	}
	out, err := os.OpenFile(filepath.Join(dir, filepath.FromSlash(h.Name)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return f, err
	}
	_, err = io.Copy(io.MultiWriter(out, sum), r)
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return f, fmt.Errorf("writing %q: %w", h.Name, err)
	}
	f.SHA256 = hexSum(sum)
	return f, nil
}

func readSmall(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err == nil && len(data) > maxManifest {
		err = errs.New(errs.Limit, "the description of the backup is too large")
	}
	return data, err
}

// checkHead refuses another format before anything else is read. Members that
// are unknown are allowed: a format that means something else has another number.
func checkHead(data []byte) error {
	var h Head
	if err := json.Unmarshal(data, &h); err != nil {
		return errs.New(errs.Invalid, "this is not a backup of this program")
	}
	if h.Format != Format {
		return errs.New(errs.Invalid, "the backup has format %d, and this program reads %d", h.Format, Format)
	}
	return nil
}

// readManifest reads the manifest, which must name exactly what was read.
func readManifest(r io.Reader, got []File) (Manifest, error) {
	var m Manifest
	data, err := readSmall(r)
	if err != nil {
		return m, fmt.Errorf("reading the manifest: %w", err)
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&m); err != nil {
		return m, errs.New(errs.Invalid, "the manifest of the backup cannot be read")
	}
	if m.Format != Format || len(m.Files) != len(got) {
		return m, errs.New(errs.Invalid, "the backup is not what its manifest says")
	}
	store := false
	for i, f := range got {
		if m.Files[i] != f {
			return m, errs.New(errs.Invalid, "entry %q of the backup is damaged", f.Name)
		}
		store = store || f.Name == storeName
	}
	if !store {
		return m, errs.New(errs.Invalid, "the backup holds no store")
	}
	return m, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
