package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"countersign/internal/errs"
)

// Exported says what an export copied. Proof, which is also in the file
// export.json of the folder, is what Prune asks for.
type Exported struct {
	Segments int    `json:"segments"`
	First    uint64 `json:"first"` // first and last record
	Last     uint64 `json:"last"`
	Proof    []byte `json:"-"`
}

// proof is a signed statement that segments were copied and verified there.
type proof struct {
	Log      string       `json:"log"`
	Segments []provenCopy `json:"segments"`
	Time     time.Time    `json:"time"`
	Key      string       `json:"key"`
}

type provenCopy struct {
	First  uint64 `json:"first"`
	Last   uint64 `json:"last"`
	SHA256 Hash   `json:"sha256"` // of the whole file
}

// Export copies the closed segments whose records are all older than before
// (all closed ones when before is zero) to the folder dst, and verifies the
// copies. The folder is then a log that Verify accepts by itself. It may hold
// earlier exports of this log: they are gone on from, and never overwritten.
// With nothing to copy it returns the zero Exported. Call Rotate first to
// include what was appended just now.
func (l *Log) Export(ctx context.Context, before time.Time, dst string) (Exported, error) {
	l.exportMu.Lock()
	defer l.exportMu.Unlock()
	segments, err := l.closedBefore(before)
	if err != nil || len(segments) == 0 {
		return Exported{}, err
	}
	if err := checkDestination(l.cfg.Dir, dst, segments); err != nil {
		return Exported{}, err
	}
	p := proof{Log: l.id, Key: l.keyID}
	for _, seg := range segments {
		if err := ctx.Err(); err != nil {
			return Exported{}, err
		}
		sum, err := copySegment(seg, dst)
		if err != nil {
			return Exported{}, fmt.Errorf("exporting segment %s: %w", seg.name(), err)
		}
		p.Segments = append(p.Segments, provenCopy{First: seg.first, SHA256: sum})
	}
	v, err := l.verifyCopies(ctx, dst, segments, &p)
	if err != nil {
		return Exported{}, err
	}
	out := Exported{Segments: len(segments), First: segments[0].first, Last: v.st.seq}
	out.Proof, err = l.finishExport(dst, v.st.head, p)
	return out, err
}

// closedBefore lists the segments from the first on that are closed and whose
// records are all older than before.
func (l *Log) closedBefore(before time.Time) ([]segment, error) {
	l.mu.Lock()
	current := l.seen.first
	l.mu.Unlock()
	segments, err := listSegments(l.cfg.Dir)
	if err != nil {
		return nil, err
	}
	for i, seg := range segments {
		if seg.first >= current {
			return segments[:i], nil
		}
		if before.IsZero() {
			continue
		}
		h, err := peekHeader(segments[i+1])
		if err != nil {
			return nil, err
		}
		if !h.Until.Before(before) {
			return segments[:i], nil
		}
	}
	return segments, nil
}

// checkDestination makes dst and refuses a folder that the copies would not
// continue.
func checkDestination(dir, dst string, segments []segment) error {
	if err := os.MkdirAll(dst, 0o700); err != nil {
		return fmt.Errorf("exporting audit log: %w", err)
	}
	a, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("exporting audit log: %w", err)
	}
	b, err := os.Stat(dst)
	if err != nil {
		return fmt.Errorf("exporting audit log: %w", err)
	}
	if os.SameFile(a, b) {
		return errs.New(errs.Invalid, "the export's folder is the log's own")
	}
	have, err := listSegments(dst)
	if err != nil {
		return err
	}
	// What is there already and not among the copies must come just before.
	var previous *segment
	for i := range have {
		if have[i].first < segments[0].first {
			previous = &have[i]
		}
	}
	if previous == nil {
		return nil
	}
	h, err := peekHeader(segments[0])
	if err != nil {
		return err
	}
	if err := checkLink(*previous, h); err != nil {
		return errs.New(errs.Precondition, "the folder holds other segments, and the export does not continue them: %v", err)
	}
	return nil
}

// copySegment copies a file durably and returns the digest of the original. A
// copy that is there already must be the same.
func copySegment(seg segment, dst string) (Hash, error) {
	path := filepath.Join(dst, seg.name())
	sum, err := digest(seg.path)
	if err != nil {
		return Hash{}, err
	}
	if there, err := digest(path); err == nil {
		if there != sum {
			return Hash{}, errs.New(errs.Exists, "the folder holds another file of that name")
		}
		return sum, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return Hash{}, err
	}
	data, err := os.ReadFile(seg.path)
	if err != nil {
		return Hash{}, err
	}
	return sum, replaceFile(path, data)
}

func digest(path string) (sum Hash, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}

// verifyCopies reads the copies back: each must have the digest in p and be
// whole, and it fills in where they end.
func (l *Log) verifyCopies(ctx context.Context, dst string, segments []segment, p *proof) (*verifier, error) {
	ring, err := l.loadKeys()
	if err != nil {
		return nil, err
	}
	v := &verifier{ring: ring}
	for i, seg := range segments {
		there := segment{filepath.Join(dst, seg.name()), seg.first}
		sum, err := digest(there.path)
		if err == nil && sum != p.Segments[i].SHA256 {
			err = errors.New("the copy differs from the original")
		}
		if err == nil {
			err = v.segment(ctx, there, i == 0, false)
		}
		if err == nil && v.st.signed != v.st.seq {
			err = errors.New("the segment does not end with a signature")
		}
		if err != nil {
			return nil, fmt.Errorf("verifying exported segment %s: %w", seg.name(), err)
		}
		p.Segments[i].Last = v.st.seq
	}
	return v, nil
}

// finishExport writes what makes the folder a log of its own, and the proof.
func (l *Log) finishExport(dst string, head Head, p proof) ([]byte, error) {
	have, err := listSegments(dst)
	if err != nil {
		return nil, err
	}
	keys, err := os.ReadFile(filepath.Join(l.cfg.Dir, pubName))
	if err != nil {
		return nil, fmt.Errorf("exporting audit log: %w", err)
	}
	now := time.Now().UTC()
	p.Time = now
	hf := headFile{Log: l.id, First: have[0].first, Head: head, Time: now, Key: l.keyID}
	if old, _, err := readHead(dst); err == nil && old != nil && old.Log == l.id && old.Seq > head.Seq {
		hf.Head = old.Head // an earlier export went further
	}
	headData, err := seal(kindHead, l.id, hf, l.cfg.Key)
	if err != nil {
		return nil, err
	}
	proofData, err := seal(kindProof, l.id, p, l.cfg.Key)
	if err != nil {
		return nil, err
	}
	proofData = append(proofData, "}\n"...)
	err = replaceFile(filepath.Join(dst, pubName), keys)
	if err == nil {
		err = replaceFile(filepath.Join(dst, headName), append(headData, "}\n"...))
	}
	if err == nil {
		err = replaceFile(filepath.Join(dst, proofName), proofData)
	}
	if err == nil {
		err = syncDir(dst)
	}
	if err != nil {
		return nil, fmt.Errorf("exporting audit log: %w", err)
	}
	return proofData, nil
}

// Prune deletes the closed segments whose records are all older than before
// (all closed ones when before is zero) and which the proof of an export
// names, with the bytes that they have now. It returns how many it deleted;
// what was not exported is never among them. HEAD, which is signed, says first
// that the log begins later, so that Verify can tell this from a theft.
func (l *Log) Prune(ctx context.Context, before time.Time, exported []byte) (int, error) {
	l.exportMu.Lock()
	defer l.exportMu.Unlock()
	p, err := l.readProof(exported)
	if err != nil {
		return 0, err
	}
	segments, err := l.closedBefore(before)
	if err != nil {
		return 0, err
	}
	proven := make(map[uint64]Hash, len(p.Segments))
	for _, c := range p.Segments {
		proven[c.First] = c.SHA256
	}
	n, first := 0, uint64(0)
	for _, seg := range segments {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		want, ok := proven[seg.first]
		if !ok {
			break
		}
		sum, err := digest(seg.path)
		if err != nil {
			return 0, fmt.Errorf("pruning segment %s: %w", seg.name(), err)
		}
		if sum != want {
			return 0, errs.New(errs.Precondition, "segment %s is not what was exported", seg.name())
		}
		n++
		for _, c := range p.Segments {
			if c.First == seg.first {
				first = c.Last + 1
			}
		}
	}
	if n == 0 {
		return 0, nil
	}
	return n, l.drop(segments[:n], first)
}

// readProof parses and verifies the proof of an export of this log.
func (l *Log) readProof(data []byte) (proof, error) {
	var p proof
	ring, err := l.loadKeys()
	if err != nil {
		return p, err
	}
	body, ok := bytes.CutSuffix(data, []byte("}\n"))
	if !ok {
		return p, errs.New(errs.Invalid, "the proof of the export is cut or edited")
	}
	s, err := unseal(kindProof, body, &p)
	if err != nil || p.Log != l.id || !s.verify(l.id, ring[p.Key]) {
		return p, errs.New(errs.Invalid, "the proof of the export is not one that this log signed")
	}
	return p, nil
}

// drop deletes segments once HEAD says that the log begins with first.
func (l *Log) drop(segments []segment, first uint64) error {
	l.headMu.Lock()
	defer l.headMu.Unlock()
	was := l.first.Swap(max(first, l.first.Load()))
	err := l.writeHead(l.written)
	if err != nil {
		l.first.Store(was)
		return err
	}
	if err := syncDir(l.cfg.Dir); err != nil {
		return fmt.Errorf("pruning audit log: %w", err)
	}
	for _, seg := range segments {
		if err := os.Remove(seg.path); err != nil {
			return fmt.Errorf("pruning audit log: %w", err)
		}
		l.count.segments.Add(-1)
	}
	return nil
}
