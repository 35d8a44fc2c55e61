// Package rotation rotates secrets: on their schedules and on demand.
//
// A rotation is a state machine whose journal stands in the record of the secret, in
// the same transaction as the labels of its versions. Its steps are those of package
// rotator. What is to be done outside is written down before it is done:
//
//	begin    a version is registered under AWSPENDING, without a value
//	create   the value and the rotator's note are stored
//	set      the target takes the new value
//	test     the target is shown to take it
//	finish   AWSCURRENT moves to the new version, AWSPREVIOUS to the one that it
//	         leaves, AWSPENDING goes; what is to become of the previous credential is
//	         written down
//	retire   the previous credential ends, at once or after its grace
//
// After a kill at any instant the step at hand is done again. A step that fails is
// repeated with growing pauses; when that does not help, the rotation is undone: the
// target is made to accept what AWSCURRENT says, and only once it was shown to do so
// the new version goes. If that is not possible and the target has the new value
// already, the rotation goes forward instead: what counts is that the current
// credential works. An undo is never given up.
//
// What was called (a function, a webhook) may not be able to undo. Then a rotation
// that fails stops, with the new value kept under AWSPENDING, and the next attempt
// goes on with that same version.
//
// What is due when goes by the clock of the machine, which may be set: see clock.go.
//
// One node rotates: the one that holds the leader's lock, whose fencing token each
// transaction checks. On it, one worker has a secret at a time, and so many work at
// once as the configuration says.
//
// The steps are the server's own: no protection rule holds them, because what a
// rotation makes nobody can choose. What a person asks for (settings, schedules) is
// held like any other change; a rotation on demand only by a rule that names the kind
// "rotate". Requests of a rotation function pass as steps only when they come from
// the principal that the server's configuration gives that function, or carry the
// token of the rotation under way, and only where the rotation is.
package rotation

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/gate"
	"countersign/internal/core/secret"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/rotator"
	"countersign/internal/sensitive"
)

// Lock says whether this node does the work, with a token that its writes check.
type Lock interface {
	// Fence is the token that the node holds; false: another node does the work.
	Fence() (uint64, bool)
	// Check fails in the transaction of a node that has lost the lock.
	Check(tx kv.Txn, fence uint64) error
}

// Config configures New.
type Config struct {
	Gate    *gate.Gate
	Secrets *secret.Service
	Lock    Lock
	Kinds   rotator.Kinds
	Env     rotator.Env
	// Passwords draws a password by a stored policy that leaves so many bits to chance at
	// least. Precondition: it does not.
	Passwords func(ctx context.Context, who caller.Caller, policy string, bits float64) (sensitive.Bytes, error)
	// Readers are the principals that have read a secret in one of those regions since
	// a time, with the version that each read last.
	Readers func(ctx context.Context, n name.Secret, regions []string, since time.Time) (map[string]uint64, error)
	// Concurrency is how many secrets are rotated at once. Default 4.
	Concurrency int
	// Timeout is that of one step. Default 30 seconds.
	Timeout time.Duration
	// Attempts is how often a step is done before the rotation is undone. Default 5.
	Attempts int
	// Every is how often the due index is looked at at least. Default ten seconds.
	Every  time.Duration
	Logger *slog.Logger // default slog.Default()
}

// Service rotates secrets. It is safe for concurrent use.
type Service struct {
	Config
	slots chan struct{}

	mu    sync.Mutex
	busy  map[secret.RotationRef]bool
	pause map[secret.RotationRef]pause // after the store refused a write
	// proved is the version of each that this process has seen the target accept: a store
	// that was restored tells of another time.
	proved map[secret.RotationRef]string
	clock  clock
	work   sync.WaitGroup

	counts counts
}

// pause keeps a secret from being tried again at once.
type pause struct {
	until time.Time
	last  time.Duration
}

// New returns a Service. Its work is in Run.
func New(c Config) *Service {
	if c.Concurrency == 0 {
		c.Concurrency = 4
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Attempts == 0 {
		c.Attempts = 5
	}
	if c.Every == 0 {
		c.Every = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Service{Config: c, slots: make(chan struct{}, c.Concurrency), busy: map[secret.RotationRef]bool{}, pause: map[secret.RotationRef]pause{},
		proved: map[secret.RotationRef]string{}}
}

// self is the caller of a step.
func self(ref secret.RotationRef) caller.Caller {
	now := time.Now()
	who := caller.ForSystem(ref.Account, "rotation", audit.NewID(now), now)
	who.Region = ref.Region
	return who
}
