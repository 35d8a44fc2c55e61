// Package operate does what an operator asks of a running server: how it is
// doing, a backup, new keys. Restoring is done without a server: see
// RestoreBackup.
//
// Only the home account manages the server; a caller of any other is refused
// before policy is asked. Every method authorizes and is audited.
//
// # What a backup is
//
// A tar stream: a first entry that says the format, the store as one file, the
// files of the audit log, and last a manifest with the SHA-256 of each. It is
// encrypted with age to the recipients that are given. With none it is what lies
// on the disk: values and records are encrypted under the store's keys as they
// always are, but names of secrets and the audit log are readable in it.
//
// The store is copied first and the log after it. So the log holds the record of
// everything that the store holds, and after a restore may hold some of writes
// that the store does not.
//
// The secret of the seal (the key file, the passphrase) is never in a backup:
// without it a backup opens for nobody, and with it everything in the backup
// does, so the two are kept apart.
package operate

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/keyring"
	"countersign/internal/kv"
)

// Codes of errors.
const (
	CodeBusy      = "busy"       // Throttled, Conflict: one is under way
	CodeRecipient = "recipient"  // Invalid: not an age recipient
	CodeSpace     = "store-full" // Unavailable: too little room for the copy
	CodeNoBackup  = "no-backup"  // Unavailable: this engine has no file to copy
)

// Home tells who manages the server; authn.Service does.
type Home interface {
	// AtHome refuses callers of other accounts, and records the refusal.
	AtHome(ctx context.Context, who caller.Caller, op policy.Op) error
	// Home is the account that manages the server.
	Home() string
}

// Sizer tells how large the store is; boltkv.DB does.
type Sizer interface {
	// Size is the number of bytes of the store's file.
	Size() (int64, error)
}

// Snapshotter copies the store; boltkv.DB does.
type Snapshotter interface {
	// Snapshot writes a complete store of one revision to w while the store
	// stays in use.
	Snapshot(w io.Writer) error
}

// Log is the audit log; audit.Log is one.
type Log interface {
	Stats() audit.Stats
	Head() audit.Head
	ID() string
}

// Relay carries records of writes to the log; change.Relay does.
type Relay interface {
	// Flush waits until the records of all writes so far are in the log.
	Flush(ctx context.Context) error
	// Waiting is the number of records that are not.
	Waiting() int
}

// Keyring is the keys of the store; keyring.Ring is one.
type Keyring interface {
	Info() keyring.Info
	Account(name string) (keyring.AccountInfo, error)
	Accounts() []string
	RotateRoot(ctx context.Context) error
	RotateAccount(ctx context.Context, name string) error
	Rewrap(ctx context.Context, name string, w keyring.Walk) (keyring.Proof, error)
}

// KeyringInfo is what is told of the keys, for those who do not know keyrings.
type KeyringInfo = keyring.Info

// Config configures New.
type Config struct {
	Gate    *gate.Gate
	Home    Home
	Log     Log
	Relay   Relay
	Keyring Keyring
	// Walk says how a re-wrap reaches an account's records; Progress in it is
	// not used.
	Walk keyring.Walk
	// Store is the engine's file; nil when the engine has none: then there is
	// no backup and no size. It must be a Sizer too when it is not nil.
	Store interface {
		Snapshotter
		Sizer
	}
	// AuditDir is the folder of the audit log.
	AuditDir string
	// Spool is the folder where the copy of the store lies while a backup is
	// sent, in a file without a name. Required with Store.
	Spool   string
	Version string    // of the program
	Started time.Time // when the server began to serve
	Regions []string  // region labels, home first
	Logger  *slog.Logger
}

// Service does what operators ask. It is safe for concurrent use.
type Service struct {
	Config
	copying sync.Mutex // held while a backup is made
	keys    rotation
}

// New returns a Service. Its background work is in Run.
func New(c Config) *Service {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Service{Config: c, keys: rotation{kick: make(chan struct{}, 1)}}
}

// onStore is the question to policy about the store.
func onStore(who caller.Caller, op policy.Op) *policy.Request {
	return &policy.Request{Op: op, Resource: policy.StoreARN(who.Account), Account: who.Account}
}

// do is gate.Do for the home account.
func (s *Service) do(ctx context.Context, who caller.Caller, op policy.Op, f func() error) error {
	if err := s.Home.AtHome(ctx, who, op); err != nil {
		return err
	}
	return s.Gate.Do(ctx, who, "", onStore(who, op), func(*audit.Record) error { return f() })
}

// Status is how the server is doing.
type Status struct {
	Version  string
	Started  time.Time
	Regions  []string // home first
	Home     string   // the account that manages the server
	Revision kv.Revision
	Size     int64 // bytes of the store's file; -1 when it has none
	Keyring  keyring.Info
	Audit    audit.Stats
	Log      string // id of the audit log
	Head     audit.Head
	Waiting  int // records of writes that are not yet in the log
	// Warnings are what an operator should act on, a sentence each without full
	// stop; none when all is well.
	Warnings []string
}

// Status tells how the server is doing.
func (s *Service) Status(ctx context.Context, who caller.Caller) (Status, error) {
	var out Status
	err := s.do(ctx, who, policy.Status, func() error {
		out = Status{Version: s.Version, Started: s.Started, Regions: s.Regions, Home: s.Home.Home(),
			Revision: s.Gate.DB.Revision(), Size: -1, Keyring: s.Keyring.Info(), Audit: s.Log.Stats(), Log: s.Log.ID(),
			Head: s.Log.Head(), Waiting: s.Relay.Waiting()}
		if s.Store != nil {
			var err error
			if out.Size, err = s.Store.Size(); err != nil {
				return err
			}
		}
		out.Warnings = s.warnings(&out)
		return nil
	})
	if err != nil {
		return Status{}, err
	}
	return out, nil
}

// backlog is how many records may wait for the log before that is a warning.
const backlog = 10_000

func (s *Service) warnings(st *Status) []string {
	out := []string{}
	warn := func(when bool, text string) {
		if when {
			out = append(out, text)
		}
	}
	warn(st.Audit.Broken, "the audit log failed to reach the disk: nothing is answered until the server is started again")
	warn(st.Audit.Full, "the disk of the audit log is full: nothing is answered until there is room")
	warn(st.Audit.LowSpace && !st.Audit.Full, "the disk of the audit log is nearly full")
	warn(st.Waiting > backlog, "many records of writes wait for the audit log")
	warn(st.Keyring.RootKeys > 1, "a rotation of the root key is unfinished: rotate the keys to finish it")
	if r := s.keys.state(); r.Failed != "" {
		warn(true, "the re-wrap under new keys failed and will be tried again")
	}
	return out
}
