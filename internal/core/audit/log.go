package audit

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/errs"
)

// Config says where the log is and how it behaves. Dir and Key are required.
type Config struct {
	Dir string // folder of the log; made when absent, for this user only
	// Key signs checkpoints: an ed25519 key in this process. A signature is
	// made while appends wait, so a key across a network does not fit.
	Key crypto.Signer
	// ChangeKey allows Key to differ from the key that signed the last
	// segment: a new segment is begun. Otherwise Open refuses, because a log
	// signed by an unexpected key is what a forger would leave.
	ChangeKey bool

	SegmentSize     int64         // bytes at which a segment is closed, about; 64 MiB when 0
	SegmentAge      time.Duration // age at which a segment is closed; 24 h when 0
	CheckpointAfter time.Duration // from the first unsigned record to signature and fsync; 1 s when 0
	CheckpointEvery uint64        // records after which it does not wait; 32768 when 0
	PublishEvery    time.Duration // between two publications of the head, to HEAD and Anchor; 10 s when 0
	SpaceEvery      time.Duration // between two looks at the free space; 2 s when 0
	WarnFree        int64         // bytes free below which Stats.LowSpace is set; 512 MiB when 0, off when negative
	MinFree         int64         // bytes free below which Append refuses; 32 MiB when 0, off when negative

	// Anchor, when set, is told each head once it is durable, in order, from
	// one background goroutine. A failure is logged and the newest head is
	// offered again.
	Anchor func(context.Context, Head) error
	// ExpectHead is the newest head that Anchor kept. A log that ends before
	// it, or has another hash there, is refused.
	ExpectHead Head
	// AcceptLoss opens a log that is damaged at its end or behind ExpectHead
	// or HEAD, after an operator decided so. What cannot be read is set
	// aside in the folder, and the log says what was accepted.
	AcceptLoss bool
	// Account is the account of the records that the log makes about itself;
	// "000000000000" when empty.
	Account string
	Logger  *slog.Logger // slog.Default() when nil

	disk disk // for tests
}

func (c *Config) setDefaults() error {
	if c.Dir == "" {
		return errors.New("opening audit log: no folder is configured")
	}
	if c.Key == nil {
		return errors.New("opening audit log: no signing key is configured")
	}
	if _, ok := c.Key.Public().(ed25519.PublicKey); !ok {
		return errors.New("opening audit log: the signing key is not an ed25519 key")
	}
	orElse(&c.SegmentSize, 64<<20)
	orElse(&c.SegmentAge, 24*time.Hour)
	orElse(&c.CheckpointAfter, time.Second)
	orElse(&c.PublishEvery, 10*time.Second)
	orElse(&c.CheckpointEvery, 32768)
	orElse(&c.SpaceEvery, 2*time.Second)
	orElse(&c.WarnFree, 512<<20)
	orElse(&c.MinFree, 32<<20)
	orElse(&c.Account, "000000000000")
	orElse(&c.Logger, slog.Default())
	if c.disk == nil {
		c.disk = realDisk{}
	}
	return nil
}

func orElse[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// state is where the log stands: what the next line depends on.
type state struct {
	hash   Hash   // chain after the last line
	seq    uint64 // last record
	size   int64  // bytes of the current segment
	first  uint64 // first record of the current segment
	signed uint64 // last record that a checkpoint covers
	head   Head   // of that checkpoint
	// from and until are the earliest and latest time of a record in the
	// current segment; zero while it has none.
	from, until time.Time
	began       time.Time // when the segment was begun
}

// Log is the open log. Its methods are safe for concurrent use.
type Log struct {
	cfg   Config
	pub   ed25519.PublicKey
	keyID string
	id    string
	lock  *os.File

	// Of the segment that Open took up.
	segmentKey ed25519.PublicKey
	prev       Hash
	notes      []Record // what Open repaired, until it is in the log

	// One goroutine at a time leads: it alone touches the fields below, up to
	// the next group. busy says that there is a leader; see submit.
	st      state
	f       file
	out     []byte
	dirty   bool // bytes after st.size must be cut off before the next write
	failing bool // the last write failed

	mu     sync.Mutex
	busy   bool
	closed bool
	queue  []*entry
	spare  []*entry
	solo   []chan struct{} // background work that waits for the lead
	seen   state           // st, as of the last finished write
	wake   chan struct{}   // closed after a write, when somebody follows

	// syncMu is held during an fsync, and while f is exchanged.
	syncMu       sync.Mutex
	synced       atomic.Uint64 // last durable record
	syncedSigned uint64        // last durable signature
	pushed       int64         // bytes of the segment with first record pushedOf
	pushedOf     uint64

	exportMu sync.Mutex // held by Export and Prune

	// headMu is held while HEAD is written and the anchor told.
	headMu    sync.Mutex
	written   Head          // in HEAD
	anchored  Head          // taken by Anchor
	published time.Time     // when HEAD and the anchor were last brought up to date
	first     atomic.Uint64 // first record that is kept
	anchorSeq atomic.Uint64 // anchored.Seq

	pool   sync.Pool
	kick   chan struct{} // a first record waits for a signature
	force  chan struct{} // do it now
	stop   chan struct{}
	done   chan struct{}
	broken atomic.Pointer[errs.Error] // set for good after a failed fsync
	full   atomic.Bool
	low    atomic.Bool
	free   atomic.Int64
	count  counters
}

type counters struct {
	appended, writes, failures, syncs, checkpoints, rotations atomic.Uint64
	segments                                                  atomic.Int64
}

// Appender is the part of a Log that services need.
type Appender interface {
	// Append returns once the record is written; see Log.Append.
	Append(ctx context.Context, r *Record) error
}

// Append writes r and sets r.Seq. It returns once the bytes are with the
// kernel: they survive the death of the process, and a power cut after at
// most about CheckpointAfter. A caller must not give its answer when Append
// failed. The error is of errs.Unavailable, with code "audit-unwritable" when
// the disk failed or is full, and nothing was kept of r. ctx counts until the
// write begins; then the outcome is awaited.
func (l *Log) Append(ctx context.Context, r *Record) error {
	if err := ctx.Err(); err != nil {
		return errs.Wrap(errs.Canceled, err, "")
	}
	e := l.entry(r)
	own := [1]*entry{e}
	l.submit(own[:])
	err := e.err
	if err == nil {
		r.Seq = e.seq
	}
	l.recycle(e)
	return err
}

// AppendBatch writes records, in order and next to each other, as Append writes
// one: they are with the kernel when it returns. On an error none of them is in
// the log. One case is left: the disk took whole lines, failed, refused to cut
// them off, and then the process died. The next Open finds those lines whole
// and keeps them, so who offers records again after a start asks Contains.
func (l *Log) AppendBatch(ctx context.Context, records []*Record) error {
	if err := ctx.Err(); err != nil {
		return errs.Wrap(errs.Canceled, err, "")
	}
	if len(records) == 0 {
		return nil
	}
	own := make([]*entry, len(records))
	for i, r := range records {
		own[i] = l.entry(r)
	}
	l.submit(own)
	err := own[0].err
	for i, e := range own {
		if err == nil {
			records[i].Seq = e.seq
		}
		l.recycle(e)
	}
	return err
}

// AppendSync is AppendBatch that returns once the records are on stable
// storage. On an error none or all of them may be in the log: ask Contains
// before offering them again.
func (l *Log) AppendSync(ctx context.Context, records []*Record) error {
	if err := l.AppendBatch(ctx, records); err != nil || len(records) == 0 {
		return err
	}
	return l.syncTo(records[len(records)-1].Seq, 0)
}

// Synced is the sequence number of the last record on stable storage.
func (l *Log) Synced() uint64 { return l.synced.Load() }

// Sync brings everything appended so far to stable storage.
func (l *Log) Sync() error { return l.syncTo(l.Stats().Seq, 0) }

// Err is not nil while the log refuses records: an fsync failed, or the disk is
// full.
func (l *Log) Err() error { return l.writable() }

// Stats is the state of the log for readiness and metrics.
type Stats struct {
	Seq         uint64 // last record
	Signed      uint64 // last record under a signature
	Synced      uint64 // last record on stable storage
	First       uint64 // first record that is kept
	Anchored    uint64 // last record under a head that Anchor took
	Segments    int    // files
	SegmentSize int64  // bytes of the current one

	Appended    uint64 // records since Open
	Writes      uint64 // groups that they were written in
	Failures    uint64 // writes and fsyncs that failed
	Syncs       uint64
	Checkpoints uint64
	Rotations   uint64

	Free     int64 // bytes of the file system at the last look
	LowSpace bool  // Free is under WarnFree
	Full     bool  // Free is under MinFree: Append refuses until it is not
	Broken   bool  // an fsync failed: Append refuses until the log is opened again
}

// Stats returns the state as of now. It does not wait for writes.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	st := l.seen
	l.mu.Unlock()
	return Stats{
		Seq: st.seq, Signed: st.signed, Synced: l.synced.Load(), First: l.first.Load(), Anchored: l.anchorSeq.Load(),
		Segments: int(l.count.segments.Load()), SegmentSize: st.size,
		Appended: l.count.appended.Load(), Writes: l.count.writes.Load(), Failures: l.count.failures.Load(),
		Syncs: l.count.syncs.Load(), Checkpoints: l.count.checkpoints.Load(), Rotations: l.count.rotations.Load(),
		Free: l.free.Load(), LowSpace: l.low.Load(), Full: l.full.Load(), Broken: l.broken.Load() != nil,
	}
}

// ID is the id of the log, made when it was created.
func (l *Log) ID() string { return l.id }

// PublicKey is the key that verifies what this process signs.
func (l *Log) PublicKey() ed25519.PublicKey { return l.pub }

// Head is the newest signed place.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen.head
}

func unwritable(err error) *errs.Error {
	return &errs.Error{Kind: errs.Unavailable, Code: "audit-unwritable", Msg: "the audit log cannot be written", Err: err}
}

func errFull() *errs.Error {
	return errs.Coded(errs.Unavailable, "audit-unwritable", "the audit log's disk is full: requests are refused until space is freed")
}

func errClosed() *errs.Error {
	return errs.Coded(errs.Unavailable, "audit-closed", "the audit log is closed")
}
