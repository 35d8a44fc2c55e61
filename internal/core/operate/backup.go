package operate

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// Format is the version of a backup. Another is refused.
const Format = 1

// Names in a backup, in the order in which they stand.
const (
	formatName   = "countersign-backup.json"
	storeName    = "store.db"
	auditFolder  = "audit"
	manifestName = "manifest.json"
)

// auditFiles are the files of the log that a backup holds.
var auditFiles = regexp.MustCompile(`^([0-9]{20}\.log|HEAD|audit\.pub)$`)

// Limits on what is asked for.
const (
	maxRecipients = 32
	maxRecipient  = 4096 // bytes; a hybrid one has about 2000
	spareSpace    = 64 << 20
)

// Head is the first entry of a backup.
type Head struct {
	Format  int       `json:"format"`
	Created time.Time `json:"created"`
	Version string    `json:"version"`  // of the program that wrote it
	StoreID string    `json:"store_id"` // of the keyring
	Log     string    `json:"log"`      // id of the audit log
}

// Manifest is the last entry of a backup.
type Manifest struct {
	Head
	Files []File `json:"files"` // every other entry, in order
}

// File is one entry of a backup.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // 64 hexadecimal digits
}

// Backup is a backup that is ready to be sent.
type Backup struct {
	s     *Service
	who   caller.Caller
	to    []age.Recipient
	head  Head
	store *os.File
	size  int64
}

// Backup copies the store and returns a backup to be written: once, and then
// closed whatever came of it. recipients are age recipients; with none the
// backup is not encrypted further (see the package comment). One is made at a
// time. The record is in the log when Backup returns.
func (s *Service) Backup(ctx context.Context, who caller.Caller, recipients []string) (*Backup, error) {
	b := &Backup{s: s, who: who}
	err := s.do(ctx, who, policy.Backup, func() (err error) {
		if b.to, err = parseRecipients(recipients); err != nil {
			return err
		}
		if s.Store == nil {
			return errs.Coded(errs.Unavailable, CodeNoBackup, "the store of this server has no file to copy")
		}
		if !s.copying.TryLock() {
			return errs.Coded(errs.Throttled, CodeBusy, "a backup is being made already")
		}
		if err = b.copyStore(); err == nil {
			err = s.Relay.Flush(ctx)
		}
		if err != nil {
			b.Close()
		}
		return err
	})
	if err != nil {
		if b.store != nil { // the copy was made, and its record could not be written
			b.Close()
		}
		return nil, err
	}
	return b, nil
}

func parseRecipients(list []string) ([]age.Recipient, error) {
	bad := func(n int) error {
		return &errs.Error{Kind: errs.Invalid, Code: CodeRecipient, Field: "recipients",
			Msg: fmt.Sprintf("recipient %d is not an age recipient (age1...)", n+1)}
	}
	if len(list) > maxRecipients {
		return nil, errs.InvalidField("recipients", "at most %d recipients", maxRecipients)
	}
	var out []age.Recipient
	for i, text := range list {
		// The parser takes comments and several lines; here one is one.
		if len(text) > maxRecipient || !strings.HasPrefix(text, "age1") || strings.ContainsAny(text, "\r\n") {
			return nil, bad(i)
		}
		got, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil || len(got) != 1 {
			return nil, bad(i)
		}
		out = append(out, got[0])
	}
	return out, nil
}

// copyStore puts a copy of the store into a file that has no name. A client
// that reads slowly then holds up nothing.
func (b *Backup) copyStore() error {
	s := b.s
	size, err := s.Store.Size()
	if err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(s.Spool, &fs); err != nil {
		return fmt.Errorf("asking for room for a backup: %w", err)
	}
	if free := int64(fs.Bavail) * int64(fs.Bsize); free < size+spareSpace {
		return errs.Coded(errs.Unavailable, CodeSpace, "there is too little room to copy the store: %d bytes are free, %d needed", free, size+spareSpace)
	}
	f, err := os.CreateTemp(s.Spool, ".backup-*") // mode 0600
	if err != nil {
		return fmt.Errorf("copying the store for a backup: %w", err)
	}
	b.store = f
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("copying the store for a backup: %w", err)
	}
	if err := s.Store.Snapshot(f); err != nil {
		return fmt.Errorf("copying the store for a backup: %w", err)
	}
	if b.size, err = f.Seek(0, io.SeekCurrent); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("copying the store for a backup: %w", err)
	}
	b.head = Head{Format: Format, Created: time.Now().UTC(), Version: s.Version, StoreID: s.Keyring.Info().StoreID, Log: s.Log.ID()}
	return nil
}

// Encrypted tells whether the backup is encrypted to recipients.
func (b *Backup) Encrypted() bool { return len(b.to) > 0 }

// Close lets go of the copy. It may be called again.
func (b *Backup) Close() {
	if b.s == nil {
		return
	}
	if b.store != nil {
		b.store.Close()
	}
	b.s.copying.Unlock()
	b.s = nil
}

// Write sends the backup. When it fails what was sent is no backup: it has no
// manifest, and RestoreBackup refuses it; and a record in the log says so.
func (b *Backup) Write(ctx context.Context, w io.Writer) error {
	err := b.write(ctx, w)
	if err == nil {
		return nil
	}
	rec := gate.NewRecord(b.who, policy.Backup, "")
	now := time.Now()
	rec.Time, rec.ID = now, audit.NewID(now)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return b.s.Gate.Finish(last, &rec, fmt.Errorf("sending a backup: %w", err))
}

func (b *Backup) write(ctx context.Context, w io.Writer) error {
	sealed := io.WriteCloser(nopCloser{w})
	if len(b.to) > 0 {
		var err error
		if sealed, err = age.Encrypt(w, b.to...); err != nil {
			return fmt.Errorf("encrypting: %w", err)
		}
	}
	t := &archive{ctx: ctx, tar: tar.NewWriter(sealed), manifest: Manifest{Head: b.head}}
	if err := t.addJSON(formatName, b.head); err != nil {
		return err
	}
	if err := t.add(storeName, b.size, b.store); err != nil {
		return err
	}
	if err := t.addLog(b.s.AuditDir); err != nil {
		return err
	}
	if err := t.addJSON(manifestName, t.manifest); err != nil {
		return err
	}
	if err := t.tar.Close(); err != nil {
		return fmt.Errorf("ending the archive: %w", err)
	}
	return sealed.Close()
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// archive is a backup under way.
type archive struct {
	ctx      context.Context
	tar      *tar.Writer
	manifest Manifest
}

func (t *archive) addJSON(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return t.add(name, int64(len(data)), bytes.NewReader(data))
}

// add puts exactly size bytes of r into the archive.
func (t *archive) add(name string, size int64, r io.Reader) error {
	h := &tar.Header{Name: name, Size: size, Mode: 0o600, Typeflag: tar.TypeReg, ModTime: t.manifest.Created.Truncate(time.Second), Format: tar.FormatPAX}
	if err := t.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("adding %s: %w", name, err)
	}
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(t.tar, sum), &patient{t.ctx, r}, size); err != nil {
		return fmt.Errorf("adding %s: %w", name, err)
	}
	t.manifest.Files = append(t.manifest.Files, File{Name: name, Size: size, SHA256: hexSum(sum)})
	return nil
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// patient is a reader that ends with its context.
type patient struct {
	ctx context.Context
	r   io.Reader
}

func (p *patient) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}

// addLog copies the audit log while it is written to. HEAD and the keys are
// read first, so that the segments hold the place that HEAD names; closed
// segments do not change, and of the open one whole lines are taken, as far as
// it goes when it is reached.
func (t *archive) addLog(dir string) error {
	for _, name := range []string{"HEAD", "audit.pub"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) && name == "HEAD" {
			continue // a log that has signed nothing yet
		}
		if err != nil {
			return fmt.Errorf("copying the audit log: %w", err)
		}
		if err := t.add(path.Join(auditFolder, name), int64(len(data)), bytes.NewReader(data)); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir) // sorted: in the order of the log
	if err != nil {
		return fmt.Errorf("copying the audit log: %w", err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".log" && auditFiles.MatchString(e.Name()) {
			if err := t.addSegment(dir, e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *archive) addSegment(dir, name string) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("copying the audit log: %w", err)
	}
	defer f.Close()
	size, err := wholeLines(f)
	if err != nil {
		return fmt.Errorf("copying segment %s of the audit log: %w", name, err)
	}
	return t.add(path.Join(auditFolder, name), size, f)
}

// wholeLines is the length of a file up to its last line end.
func wholeLines(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	var block [64 << 10]byte
	for end := info.Size(); end > 0; {
		start := max(end-int64(len(block)), 0)
		b := block[:end-start]
		if _, err := f.ReadAt(b, start); err != nil && err != io.EOF {
			return 0, err
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}
