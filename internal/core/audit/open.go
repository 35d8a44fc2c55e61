package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// ErrDamaged is in the chain of Open's error when the end of the log is not
// as the log was written.
var ErrDamaged = errors.New("audit log is damaged")

// ErrBehind is in the chain of Open's error when records are missing that
// HEAD or the anchor knows.
var ErrBehind = errors.New("audit log is behind its anchor")

const verifyHint = `run "countersign audit verify" to see what is affected`

// Open opens the log in cfg.Dir, or begins one. One process at a time can.
//
// Only the end of the last segment is read, back to its last signature, so
// that the time does not depend on the size of the log; Verify reads it all. An
// unfinished last line, which is what a crash leaves of a record nobody was
// answered for, is cut off, and the log says so in a record. Any other damage,
// and a log behind its anchor, is refused unless cfg.AcceptLoss is set.
func Open(cfg Config) (*Log, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening audit log: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	pub := cfg.Key.Public().(ed25519.PublicKey) // checked by setDefaults
	l := &Log{
		cfg: cfg, pub: pub, keyID: KeyID(pub), lock: lock,
		kick: make(chan struct{}, 1), force: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	notes, err := l.load()
	if err != nil {
		if l.f != nil {
			_ = l.f.Close()
		}
		_ = lock.Close()
		return nil, fmt.Errorf("opening audit log in %q: %w", cfg.Dir, err)
	}
	l.seen = l.st
	l.lookAtSpace()
	l.notes = notes
	l.appendNotes()
	go l.background()
	return l, nil
}

// load reads where the log stands and brings the folder in order. It returns
// records that say what was repaired or accepted.
func (l *Log) load() ([]Record, error) {
	if err := removeTemps(l.cfg.Dir); err != nil {
		return nil, err
	}
	ring, err := l.loadKeys()
	if err != nil {
		return nil, err
	}
	segments, err := listSegments(l.cfg.Dir)
	if err != nil {
		return nil, err
	}
	var notes []Record
	if len(segments) > 0 {
		if notes, err = l.resume(segments, ring); err != nil {
			return nil, err
		}
	}
	more, err := l.checkHeads(ring, segments)
	if err != nil {
		return nil, err
	}
	notes = append(notes, more...)
	if len(segments) == 0 {
		err = l.create()
	} else if !bytes.Equal(l.segmentKey, l.pub) {
		err = l.changeKey()
	}
	if err == nil {
		err = l.storeKeys(ring)
	}
	if err != nil {
		return nil, err
	}
	l.count.segments.Add(int64(len(segments)))
	if l.written != l.st.head || l.st.seq == 0 {
		return notes, l.writeHead(l.st.head)
	}
	return notes, nil
}

// create begins a log.
func (l *Log) create() (err error) {
	l.id = NewID(time.Now())
	l.first.Store(1)
	l.count.segments.Store(1)
	l.f, l.st, err = l.newSegment(header{First: 1})
	return err
}

// changeKey begins a segment that the configured key signs. One that has no
// record yet is replaced.
func (l *Log) changeKey() error {
	if l.st.seq >= l.st.first {
		return l.rotate()
	}
	f, st, err := l.newSegment(header{First: l.st.first, Prev: l.prev, Hash: l.st.head.Hash})
	if err != nil {
		return err
	}
	_ = l.f.Close() // nothing was written to it
	l.f, l.st = f, st
	return nil
}

// resume takes up the last segment.
func (l *Log) resume(segments []segment, ring keyring) ([]Record, error) {
	last := segments[len(segments)-1]
	l.first.Store(segments[0].first)
	f, err := l.cfg.disk.open(last.path, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	l.f = f
	info, err := os.Stat(last.path)
	if err != nil {
		return nil, err
	}
	t, err := readTail(f, info.Size(), last, ring)
	if err != nil {
		return nil, err
	}
	l.id, l.st = t.header.Log, t.state
	l.segmentKey, l.prev = t.header.Key, t.header.Prev
	l.synced.Store(t.state.seq)
	l.syncedSigned = t.state.signed
	if !bytes.Equal(t.header.Key, l.pub) && !l.cfg.ChangeKey {
		return nil, fmt.Errorf("the last segment is signed with key %s and the configured key is %s: allow the change of key if it is meant",
			KeyID(t.header.Key), l.keyID)
	}
	var notes []Record
	if len(segments) > 1 {
		err := checkLink(segments[len(segments)-2], t.header)
		if err != nil && !l.cfg.AcceptLoss {
			return nil, fmt.Errorf("%w: %w; %s", ErrDamaged, err, verifyHint)
		}
		if err != nil {
			notes = append(notes, l.note("AcceptAuditLoss", err.Error()))
		}
	}
	switch {
	case t.damage != nil && !l.cfg.AcceptLoss:
		return nil, fmt.Errorf("%w: segment %s at byte %d, after record %d: %w; %s",
			ErrDamaged, last.name(), t.state.size, t.state.seq, t.damage, verifyHint)
	case t.damage != nil:
		if err := setAside(f, last.path, t.state.size, info.Size()); err != nil {
			return nil, err
		}
		notes = append(notes, l.note("AcceptAuditLoss", fmt.Sprintf("%s: %d bytes from %d on set aside", last.name(), info.Size()-t.state.size, t.state.size)))
	case info.Size() > t.state.size:
		notes = append(notes, l.note("RecoverAuditLog", fmt.Sprintf("%s: %d bytes of an unfinished line cut off at %d", last.name(), info.Size()-t.state.size, t.state.size)))
	}
	if info.Size() > t.state.size {
		if err := f.Truncate(t.state.size); err != nil {
			return nil, fmt.Errorf("cutting off unfinished line: %w", err)
		}
	}
	// What is taken up may be in memory only, when the process died and the
	// machine did not.
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("syncing segment: %w", err)
	}
	return notes, nil
}

// note is a record of the log about itself.
func (l *Log) note(operation, what string) Record {
	now := time.Now()
	l.cfg.Logger.Warn("audit log was repaired", "operation", operation, "what", what)
	return Record{
		ID: NewID(now), Time: now, Account: l.cfg.Account, Principal: Principal{Kind: "system", Name: "audit", Proof: "system"},
		Front: "system", Operation: operation, Resource: what, Outcome: OK,
	}
}

// setAside copies the bytes of f in [from, to) to a file of their own.
func setAside(f io.ReaderAt, path string, from, to int64) error {
	data := make([]byte, to-from)
	if _, err := f.ReadAt(data, from); err != nil && err != io.EOF {
		return fmt.Errorf("setting damaged lines aside: %w", err)
	}
	name := path + ".damaged-" + NewID(time.Now())
	if err := replaceFile(name, data); err != nil {
		return fmt.Errorf("setting damaged lines aside: %w", err)
	}
	return nil
}

// checkHeads compares the end of the log with what HEAD and the anchor know.
func (l *Log) checkHeads(ring keyring, segments []segment) ([]Record, error) {
	hf, s, err := readHead(l.cfg.Dir)
	switch {
	case err != nil:
	case hf == nil && len(segments) > 0 && l.st.signed > 0:
		err = errors.New("HEAD is missing, and every log with records has one")
	case hf != nil && !s.verify(hf.Log, ring[hf.Key]):
		err = errors.New("the signature of HEAD is wrong, or its key is not trusted here")
	case hf != nil && len(segments) > 0 && hf.Log != l.id:
		err = errors.New("HEAD is that of another log")
	}
	if err != nil {
		err = fmt.Errorf("%w: %w; %s", ErrDamaged, err, verifyHint)
	}
	if err == nil && hf != nil {
		if err = l.checkHead(hf.Head, "HEAD", segments); err == nil {
			l.written = hf.Head
			if hf.First < l.first.Load() {
				err = fmt.Errorf("%w: records %d to %d are missing, and were not pruned; %s", ErrDamaged, hf.First, l.first.Load()-1, verifyHint)
			}
			l.first.Store(max(hf.First, l.first.Load()))
		}
	}
	if err == nil {
		err = l.checkHead(l.cfg.ExpectHead, "the store", segments)
	}
	if err == nil {
		l.anchored = l.cfg.ExpectHead
		l.anchorSeq.Store(l.anchored.Seq)
		return nil, nil
	}
	if !l.cfg.AcceptLoss {
		return nil, err
	}
	l.written = Head{}
	return []Record{l.note("AcceptAuditLoss", err.Error())}, nil
}

// checkHead refuses a log that does not hold a head which somebody knows.
func (l *Log) checkHead(h Head, who string, segments []segment) error {
	if h.Seq > l.st.seq {
		return fmt.Errorf("%w: it ends at record %d, and %s knows record %d: records %d to %d are missing; "+
			"restore the log, or accept the loss explicitly", ErrBehind, l.st.seq, who, h.Seq, l.st.seq+1, h.Seq)
	}
	// A head before the first segment's is of pruned records.
	if h.Seq == 0 || h == l.st.head || len(segments) > 0 && h.Seq < segments[0].first-1 {
		return nil
	}
	got, err := headAt(segments, h.Seq)
	if err != nil {
		return fmt.Errorf("looking for record %d, which %s knows: %w", h.Seq, who, err)
	}
	if got != h {
		return fmt.Errorf("%w: record %d is not the one that %s knows; %s", ErrDamaged, h.Seq, who, verifyHint)
	}
	return nil
}

// loadKeys returns the keys that may have signed what is in the folder: the
// configured one, and those in audit.pub.
func (l *Log) loadKeys() (keyring, error) {
	keys := []ed25519.PublicKey{l.pub}
	data, err := os.ReadFile(filepath.Join(l.cfg.Dir, pubName))
	if err == nil {
		old, err := ParsePublicKeys(data)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", pubName, err)
		}
		keys = append(old, keys...)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading %s: %w", pubName, err)
	}
	return newKeyring(keys), nil
}

// storeKeys adds the configured key to audit.pub when it is not in it.
func (l *Log) storeKeys(ring keyring) error {
	path := filepath.Join(l.cfg.Dir, pubName)
	var keys []ed25519.PublicKey
	if data, err := os.ReadFile(path); err == nil {
		if keys, err = ParsePublicKeys(data); err != nil {
			return fmt.Errorf("reading %s: %w", pubName, err)
		}
	}
	if len(keys) == len(ring) {
		return nil
	}
	data, err := EncodePublicKeys(append(keys, l.pub))
	if err != nil {
		return err
	}
	if err := replaceFile(path, data); err != nil {
		return fmt.Errorf("writing %s: %w", pubName, err)
	}
	return nil
}
