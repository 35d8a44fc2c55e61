package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// tail is what the end of a segment tells.
type tail struct {
	header header
	state  state // after the last good line
	damage error // why the line after it is not good, when it has a newline
}

// readTail checks a segment from its last checkpoint on. It returns an error
// when not even the header can be used.
func readTail(f io.ReaderAt, size int64, seg segment, ring keyring) (tail, error) {
	ls := readLines(f, 0, size)
	t, err := readHeader(ls, seg, ring)
	if err != nil {
		return tail{}, fmt.Errorf("%w: segment %s: %w; %s", ErrDamaged, seg.name(), err, verifyHint)
	}
	newline, err := findLast(f, size, []byte("\n"))
	if err != nil {
		return tail{}, err
	}
	at, err := findLast(f, newline, []byte("\n"+`{"checkpoint":`))
	if err != nil {
		return tail{}, err
	}
	if at >= 0 {
		ls = readLines(f, at+1, newline+1)
		t.state.size = at + 1
	}
	for resumed := at < 0; ; resumed = true {
		line, err := ls.next()
		if err == io.EOF {
			return t, nil
		}
		if err == nil {
			err = t.state.accept(line, t.header.Log, ring, resumed)
		}
		if err != nil {
			t.damage = err
			return t, nil
		}
	}
}

// readHeader reads and verifies the first line of a segment.
func readHeader(ls *lines, seg segment, ring keyring) (tail, error) {
	line, err := ls.next()
	if err != nil {
		return tail{}, fmt.Errorf("reading header: %w", err)
	}
	body, chain, ok := splitLine(line)
	if !ok {
		return tail{}, errors.New("the header is cut or edited")
	}
	var h header
	s, err := unseal(kindSegment, body, &h)
	if err != nil {
		return tail{}, err
	}
	if h.Format != formatVersion {
		return tail{}, fmt.Errorf("the segment has format %d, and this program knows %d", h.Format, formatVersion)
	}
	pub, ok := ring[KeyID(h.Key)]
	if !ok {
		return tail{}, fmt.Errorf("the segment is signed with key %s, which is not trusted here", KeyID(h.Key))
	}
	if !s.verify(h.Log, pub) {
		return tail{}, errors.New("the header's signature is wrong")
	}
	hash := chainNext(h.Prev, body)
	if h.First != seg.first || !chained(hash, chain) {
		return tail{}, errors.New("the header does not belong to this segment")
	}
	return tail{header: h, state: state{
		hash: hash, seq: h.First - 1, size: ls.offset, first: h.First, signed: h.First - 1,
		head: Head{Seq: h.First - 1, Hash: h.Hash}, began: h.Time,
	}}, nil
}

// accept moves the state over a line that is a record or a checkpoint. Unless
// resumed, the line is the checkpoint to begin with, whose signature vouches
// for the chain before it.
func (s *state) accept(line []byte, logID string, ring keyring, resumed bool) error {
	body, chain, ok := splitLine(line)
	if !ok {
		return errors.New("a line is cut or edited")
	}
	next := *s
	if lineKind(line) == kindCheckpoint {
		var c checkpoint
		st, err := unseal(kindCheckpoint, body, &c)
		if err != nil {
			return err
		}
		pub, ok := ring[c.Key]
		if !ok || !st.verify(logID, pub) {
			return errors.New("the signature of a checkpoint is wrong, or its key is not trusted here")
		}
		if resumed && c.Head != (Head{Seq: s.seq, Hash: s.hash}) {
			return errors.New("a checkpoint does not match the lines before it")
		}
		next.hash, next.seq, next.signed, next.head = c.Hash, c.Seq, c.Seq, c.Head
		next.from, next.until = c.From, c.Until
	} else {
		r, err := decodeRecord(body)
		if err != nil {
			return err
		}
		if r.Seq != s.seq+1 {
			return fmt.Errorf("record %d follows record %d", r.Seq, s.seq)
		}
		next.seq++
		next.span(r.Time)
	}
	next.hash = chainNext(next.hash, body)
	if !chained(next.hash, chain) {
		return errors.New("a line does not follow from the one before")
	}
	next.size += int64(len(line)) + 1
	*s = next
	return nil
}

// checkLink compares the end of a segment with the header of the next.
func checkLink(seg segment, next header) error {
	f, size, err := openSegment(seg)
	if err != nil {
		return err
	}
	defer f.Close()
	line, err := readBackward(f, size).next()
	if err != nil {
		return fmt.Errorf("reading end of segment %s: %w", seg.name(), err)
	}
	body, _, ok := splitLine(line)
	var c checkpoint
	if ok {
		_, err = unseal(kindCheckpoint, body, &c)
	}
	if !ok || err != nil || c.Seq+1 != next.First || c.Hash != next.Hash || chainNext(c.Hash, body) != next.Prev {
		return fmt.Errorf("segment %s does not end where the next begins", seg.name())
	}
	return nil
}

// openSegment opens a segment for reading, with its size up to the last
// newline.
func openSegment(seg segment) (*os.File, int64, error) {
	f, err := os.Open(seg.path)
	if err != nil {
		return nil, 0, fmt.Errorf("opening segment: %w", err)
	}
	info, err := f.Stat()
	var end int64
	if err == nil {
		end, err = findLast(f, info.Size(), []byte("\n"))
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("opening segment: %w", err)
	}
	return f, end + 1, nil
}

// headAt returns the signed place at seq. It does not verify the signature:
// what it returns is compared with a head that is trusted.
func headAt(segments []segment, seq uint64) (Head, error) {
	for i := len(segments) - 1; i >= 0; i-- {
		if segments[i].first > seq {
			continue
		}
		f, size, err := openSegment(segments[i])
		if err != nil {
			return Head{}, err
		}
		defer f.Close()
		at, err := findLast(f, size, fmt.Appendf(nil, "\n{\"checkpoint\":{\"seq\":%d,", seq))
		if err != nil {
			return Head{}, err
		}
		if at < 0 {
			return Head{}, fmt.Errorf("%w: segment %s has no signature there", ErrDamaged, segments[i].name())
		}
		line, err := readLines(f, at+1, size).next()
		if err != nil {
			return Head{}, err
		}
		var c checkpoint
		if body, _, ok := splitLine(line); ok {
			_, err = unseal(kindCheckpoint, body, &c)
		}
		return c.Head, err
	}
	// Before the first segment: its header knows.
	f, size, err := openSegment(segments[0])
	if err != nil {
		return Head{}, err
	}
	defer f.Close()
	var h header
	line, err := readLines(f, 0, size).next()
	if err == nil {
		body, _, _ := splitLine(line)
		_, err = unseal(kindSegment, body, &h)
	}
	return Head{Seq: h.First - 1, Hash: h.Hash}, err
}
