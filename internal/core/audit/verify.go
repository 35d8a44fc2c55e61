package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Options of Verify.
type Options struct {
	// Head is a head that was kept elsewhere and is trusted: the log must
	// hold it. The zero Head asks for nothing.
	Head Head
	// Live says that a server may be writing: an unfinished last line is then
	// a write under way.
	Live bool
}

// The kinds of Problem.
const (
	Edited         = "edited"          // bytes of a line are not those that were written
	Cut            = "cut"             // records are missing inside or at the end
	Reordered      = "reordered"       // records or segments are not in their place
	MissingSegment = "missing-segment" // a whole file is gone
	WrongKey       = "wrong-key"       // signed with a key that is not trusted
	BadSignature   = "bad-signature"   // the statement is not what the key signed
	Unfinished     = "unfinished"      // the last line has no end
)

// Problem is the first thing that is wrong.
type Problem struct {
	Kind    string `json:"kind"`
	Segment string `json:"segment,omitempty"` // file name; HEAD for that file
	Line    int    `json:"line,omitempty"`    // from 1; 0 when it is no line's
	Seq     uint64 `json:"seq"`               // last record before it that is good
	Text    string `json:"text"`              // for people: a sentence without full stop
}

// Report is what Verify found. Without a Problem the log is whole.
type Report struct {
	Log         string    `json:"log"` // id
	Segments    int       `json:"segments"`
	Records     uint64    `json:"records"`
	Checkpoints uint64    `json:"checkpoints"`
	First       uint64    `json:"first"`  // first record; above 1 when earlier ones were pruned
	Last        uint64    `json:"last"`   // last good record
	Signed      uint64    `json:"signed"` // last record under a signature
	Unsigned    uint64    `json:"unsigned"`
	FirstTime   time.Time `json:"first_time,omitzero"` // earliest and latest time of a record
	LastTime    time.Time `json:"last_time,omitzero"`
	Keys        []string  `json:"keys"` // ids of the keys that signed segments
	Head        Head      `json:"head"` // newest signed place, to be kept elsewhere
	Problem     *Problem  `json:"problem,omitempty"`
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool { return r.Problem == nil }

// Pruned reports whether the log begins after its first record. That is
// legitimate when HEAD, which is signed, says the same; Verify checks that.
func (r Report) Pruned() bool { return r.First > 1 }

// ReadPublicKeys reads audit.pub of a folder. It proves less than keys that the
// verifier kept: who can replace the whole folder can replace the file.
func ReadPublicKeys(dir string) ([]ed25519.PublicKey, error) {
	data, err := os.ReadFile(filepath.Join(dir, pubName))
	if err != nil {
		return nil, fmt.Errorf("reading public keys: %w", err)
	}
	return ParsePublicKeys(data)
}

// Verify reads the whole log in dir and checks each line, the chain, and each
// signature against the keys. What it finds is in the Report; the error is
// for what could not be read. It stops at the first problem.
func Verify(ctx context.Context, dir string, keys []ed25519.PublicKey, opts Options) (Report, error) {
	v := &verifier{ring: newKeyring(keys), live: opts.Live}
	hf, headErr, err := v.takeHead(dir)
	if err != nil {
		return v.rep, err
	}
	if opts.Head != (Head{}) {
		v.heads = append(v.heads, knownHead{opts.Head, "the trusted head"})
	}
	segments, err := listSegments(dir)
	if err != nil {
		return v.rep, err
	}
	for i, seg := range segments {
		v.rep.Segments++
		if err := v.segment(ctx, seg, i == 0, i == len(segments)-1); err != nil {
			return v.finish(err)
		}
	}
	switch {
	case headErr != nil:
		return v.finish(headErr)
	case len(segments) == 0:
		return v.finish(&Problem{Kind: MissingSegment, Text: "there is no segment in this folder"})
	case hf.Log != v.rep.Log:
		return v.finish(&Problem{Kind: Edited, Segment: headName, Text: "HEAD is that of another log"})
	case hf.First < v.rep.First:
		return v.finish(&Problem{Kind: MissingSegment, Segment: segments[0].name(), Seq: hf.First - 1,
			Text: fmt.Sprintf("records %d to %d are missing, and HEAD says that they were not pruned", hf.First, v.rep.First-1)})
	}
	for _, h := range v.heads {
		if h.Seq > v.st.seq {
			return v.finish(&Problem{Kind: Cut, Segment: segments[len(segments)-1].name(), Seq: v.st.seq,
				Text: fmt.Sprintf("%s knows record %d, and the log ends at record %d", h.who, h.Seq, v.st.seq)})
		}
		if h.Seq > v.st.signed {
			return v.finish(&Problem{Kind: Cut, Segment: segments[len(segments)-1].name(), Seq: v.st.seq,
				Text: fmt.Sprintf("%s knows the signature of record %d, and the log has none after record %d", h.who, h.Seq, v.st.signed)})
		}
	}
	return v.finish(nil)
}

// Error lets a Problem travel as an error inside this package.
func (p *Problem) Error() string { return p.Text }

type knownHead struct {
	Head
	who string
}

type verifier struct {
	ring  keyring
	live  bool
	heads []knownHead
	rep   Report
	st    state
}

func (v *verifier) finish(err error) (Report, error) {
	v.rep.Last, v.rep.Signed, v.rep.Unsigned, v.rep.Head = v.st.seq, v.st.signed, v.st.seq-v.st.signed, v.st.head
	var p *Problem
	if errors.As(err, &p) {
		v.rep.Problem, err = p, nil
	}
	return v.rep, err
}

// takeHead reads HEAD. Its problems are reported after those of the segments,
// which tell more.
func (v *verifier) takeHead(dir string) (hf *headFile, problem, err error) {
	hf, s, err := readHead(dir)
	wrong := func(kind, text string) error { return &Problem{Kind: kind, Segment: headName, Text: text} }
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, nil, err
	case err != nil:
		return nil, wrong(Edited, "HEAD is cut or edited"), nil
	case hf == nil:
		return nil, wrong(Cut, "HEAD is missing: a cut at the end would not be seen"), nil
	case v.ring[hf.Key] == nil:
		return nil, wrong(WrongKey, fmt.Sprintf("HEAD is signed with key %s, which is not trusted", hf.Key)), nil
	case !s.verify(hf.Log, v.ring[hf.Key]):
		return nil, wrong(BadSignature, "the signature of HEAD is wrong"), nil
	}
	v.heads = append(v.heads, knownHead{hf.Head, headName})
	return hf, nil, nil
}

// segment checks one file. A *Problem comes back as the error.
func (v *verifier) segment(ctx context.Context, seg segment, first, last bool) error {
	wrong := func(line int, kind, format string, args ...any) error {
		return &Problem{Kind: kind, Segment: seg.name(), Line: line, Seq: v.st.seq, Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case first:
		v.st.seq, v.st.signed = seg.first-1, seg.first-1
	case v.st.signed < v.st.seq:
		return wrong(0, Cut, "the segment before this one does not end with a signature: its end was cut off")
	case seg.first > v.st.seq+1:
		return wrong(0, MissingSegment, "records %d to %d are missing: the segment with them is gone, or was cut", v.st.seq+1, seg.first-1)
	case seg.first < v.st.seq+1:
		return wrong(0, Reordered, "the segment begins with record %d, which stood before already", seg.first)
	}
	f, err := os.Open(seg.path)
	if err != nil {
		return fmt.Errorf("verifying audit log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("verifying audit log: %w", err)
	}
	ls := readLines(f, 0, info.Size())
	for {
		if ls.number%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line, err := ls.next()
		if err == io.EOF {
			break
		}
		if errors.Is(err, errLongLine) {
			return wrong(ls.number+1, Edited, "%v", err)
		}
		if err != nil {
			return fmt.Errorf("verifying audit log: %w", err)
		}
		if ls.number == 1 {
			err = v.header(line, seg, first)
		} else {
			err = v.line(line, f, ls.offset, info.Size())
		}
		var p *Problem
		if errors.As(err, &p) {
			p.Segment, p.Line, p.Seq = seg.name(), ls.number, v.st.seq
		}
		if err != nil {
			return err
		}
	}
	switch {
	case ls.torn > 0 && !(v.live && last):
		return wrong(ls.number+1, Unfinished, "the last line has no end: a crash leaves this, and the server cuts it off when it starts")
	case ls.number == 0:
		return wrong(1, Cut, "the segment is empty")
	}
	return nil
}

// header checks the first line of a segment.
func (v *verifier) header(line []byte, seg segment, first bool) error {
	body, chain, ok := splitLine(line)
	var h header
	s, err := unseal(kindSegment, body, &h)
	if !ok || err != nil {
		return &Problem{Kind: Edited, Text: "the header of the segment is cut or edited"}
	}
	id := KeyID(h.Key)
	hash := chainNext(h.Prev, body)
	switch {
	case h.Format != formatVersion:
		return &Problem{Kind: Edited, Text: fmt.Sprintf("the segment has format %d, and this program knows %d", h.Format, formatVersion)}
	case h.First != seg.first:
		return &Problem{Kind: Reordered, Text: fmt.Sprintf("the file is named for record %d, and its header says %d", seg.first, h.First)}
	case !first && h.Log != v.rep.Log:
		return &Problem{Kind: Reordered, Text: "the segment is of another log"}
	case !first && (h.Prev != v.st.hash || h.Hash != v.st.head.Hash), first && h.First == 1 && (h.Prev != Hash{} || h.Hash != Hash{}):
		return &Problem{Kind: Edited, Text: "the segment does not follow from the one before: one of them was cut, edited or replaced"}
	case v.ring[id] == nil:
		return &Problem{Kind: WrongKey, Text: fmt.Sprintf("the segment is signed with key %s, which is not trusted", id)}
	case !s.verify(h.Log, v.ring[id]):
		return &Problem{Kind: BadSignature, Text: "the signature of the header is wrong"}
	case !chained(hash, chain):
		return &Problem{Kind: Edited, Text: "the chain of the header was edited"}
	}
	v.st.hash, v.st.first, v.st.head = hash, h.First, Head{Seq: h.First - 1, Hash: h.Hash}
	if first {
		v.rep.Log, v.rep.First = h.Log, h.First
	}
	if n := len(v.rep.Keys); n == 0 || v.rep.Keys[n-1] != id {
		v.rep.Keys = append(v.rep.Keys, id)
	}
	return v.known()
}

// line checks a record or a checkpoint. rest is where the file goes on.
func (v *verifier) line(line []byte, f io.ReaderAt, rest, size int64) error {
	body, chain, ok := splitLine(line)
	if !ok {
		return &Problem{Kind: Edited, Text: "the line is not one that the log writes: it was cut or edited"}
	}
	switch lineKind(line) {
	case kindSegment:
		return &Problem{Kind: Reordered, Text: "a header stands in the middle of a segment"}
	case kindCheckpoint:
		return v.checkpoint(body, chain)
	}
	r, err := decodeRecord(body)
	if err != nil {
		return &Problem{Kind: Edited, Text: fmt.Sprintf("the line is not a record that the log writes: %v", err)}
	}
	hash := chainNext(v.st.hash, body)
	follows := chained(hash, chain)
	switch {
	case r.Seq != v.st.seq+1 && follows:
		return &Problem{Kind: Edited, Text: fmt.Sprintf("the line has number %d in place of %d", r.Seq, v.st.seq+1)}
	case r.Seq > v.st.seq+1:
		return v.gap(r.Seq, f, rest, size)
	case r.Seq <= v.st.seq:
		return &Problem{Kind: Reordered, Text: fmt.Sprintf("record %d stands after record %d", r.Seq, v.st.seq)}
	case !follows:
		return &Problem{Kind: Edited, Text: fmt.Sprintf("record %d does not follow from the line before: it was edited, or a line before it was taken out", r.Seq)}
	}
	v.st.seq, v.st.hash = r.Seq, hash
	v.rep.Records++
	if v.rep.Records == 1 || r.Time.Before(v.rep.FirstTime) {
		v.rep.FirstTime = r.Time
	}
	if r.Time.After(v.rep.LastTime) {
		v.rep.LastTime = r.Time
	}
	return v.known()
}

// gap tells whether records are missing or only later in the file.
func (v *verifier) gap(got uint64, f io.ReaderAt, rest, size int64) error {
	needle := fmt.Appendf(nil, "\n{\"seq\":%d,", v.st.seq+1)
	at, err := findLast(f, size, needle)
	if err != nil {
		return err
	}
	if at >= rest-1 {
		return &Problem{Kind: Reordered, Text: fmt.Sprintf("record %d stands before record %d", got, v.st.seq+1)}
	}
	return &Problem{Kind: Cut, Text: fmt.Sprintf("records %d to %d are missing", v.st.seq+1, got-1)}
}

func (v *verifier) checkpoint(body, chain []byte) error {
	var c checkpoint
	s, err := unseal(kindCheckpoint, body, &c)
	hash := chainNext(v.st.hash, body)
	switch {
	case err != nil:
		return &Problem{Kind: Edited, Text: "the checkpoint is cut or edited"}
	case v.ring[c.Key] == nil:
		return &Problem{Kind: WrongKey, Text: fmt.Sprintf("the checkpoint is signed with key %s, which is not trusted", c.Key)}
	case !s.verify(v.rep.Log, v.ring[c.Key]):
		return &Problem{Kind: BadSignature, Text: "the signature of the checkpoint is wrong"}
	case c.Seq > v.st.seq:
		return &Problem{Kind: Cut, Text: fmt.Sprintf("records %d to %d are missing before their signature", v.st.seq+1, c.Seq)}
	case c.Seq < v.st.seq || v.st.seq == v.st.signed:
		return &Problem{Kind: Reordered, Text: fmt.Sprintf("the signature of record %d stands after record %d", c.Seq, v.st.seq)}
	case c.Hash != v.st.hash:
		return &Problem{Kind: Edited, Text: fmt.Sprintf("the signature covers other records: something after record %d was rewritten", v.st.signed)}
	case !chained(hash, chain):
		return &Problem{Kind: Edited, Text: "the chain of the checkpoint was edited"}
	}
	v.st.hash, v.st.signed, v.st.head = hash, c.Seq, c.Head
	v.rep.Checkpoints++
	return nil
}

// known compares the chain after a record with the heads that name it.
func (v *verifier) known() error {
	for _, h := range v.heads {
		now := v.st.hash
		if v.st.seq == v.st.head.Seq {
			now = v.st.head.Hash // after a header the chain has moved on
		}
		if h.Seq == v.st.seq && !bytes.Equal(h.Hash[:], now[:]) {
			return &Problem{Kind: Edited, Text: fmt.Sprintf("record %d is not the one that %s knows: the log was rewritten", h.Seq, h.who)}
		}
	}
	return nil
}
