// Package notify carries notices to where people read them: signed webhooks,
// Slack, Teams, e-mail.
//
// # The way of a notice
//
// Whoever writes puts a notice into the outbox in its own transaction (package
// notice). After the commit Run takes it out: in one transaction it becomes one
// delivery for each target that wants it, and the entry in the outbox goes. Each
// delivery is then attempted until it succeeds, with growing pauses; after
// MaxAttempts, or a day, it becomes a dead letter, which can be seen and replayed
// for 30 days. Nothing of this is in memory alone: after a crash at any point Run
// goes on where the store says. A delivery that was made but not yet noted as made
// is made again, under the same id, so a receiver can drop repeats.
//
// Each target has a queue of its own in the store, in the order in which
// deliveries are due, and one entry in an index over all targets. So starting is
// independent of how much waits, and a target that is slow or gone holds up no
// other. A queue is bounded: what does not fit is a dead letter at once.
//
// # What is secret
//
// The URL of a target and the keys that sign for it are secrets. They lie in
// records, which are encrypted, and never leave in an answer, a log, an error, an
// audit record or a metric: a target is shown with scheme and host. A signing key
// that the server made is in the answer to the call that made it, once. A notice
// holds no value of a secret, and so no delivery does.
//
// # What is trusted
//
// Nothing that a person wrote: reasons, comments and names are bounded, freed of
// control characters and escaped for each format. No address that an account
// configures: the Poster guards what is dialled (package egress). The core does
// not know HTTP or SMTP; Poster and Mailer do.
package notify

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/kv"
)

// Limits.
const (
	MaxTargets    = 25 // of an account: one transaction writes a delivery for each
	MaxQueue      = 10_000
	MaxDead       = 1000 // dead letters of an account; the oldest go first
	MaxFilters    = 50
	MaxRecipients = 50
	MaxAttempts   = 12
	GiveUpAfter   = 24 * time.Hour
	KeepDead      = 30 * 24 * time.Hour
	Overlap       = 24 * time.Hour // how long a rotated signing key signs beside the new one
)

// Timing of Run.
const (
	every        = time.Second
	firstPause   = 30 * time.Second
	longestPause = 4 * time.Hour
	mailTimeout  = 30 * time.Second
	postTimeout  = 10 * time.Second
)

// Concurrency of Run.
const (
	atOnce        = 4  // deliveries to one target
	maxWorkers    = 64 // targets served at once
	maxPerAccount = 8  // of one account
	maxBatches    = 16 // that a worker makes before others have a turn
)

// Poster sends HTTP requests to addresses that somebody else named.
type Poster interface {
	// Check refuses a URL that would not be posted to, as errs.Invalid, as far as
	// can be told without resolving its host.
	Check(url string) error
	// Post sends a body and returns the status of the answer and how long it asks
	// to wait, zero when it does not. The text of its errors is safe to show: it
	// holds nothing of the URL. It ends within its own timeout.
	Post(ctx context.Context, url string, header map[string]string, body []byte) (status int, after time.Duration, err error)
}

// Mailer sends mail.
type Mailer interface {
	// Send hands one message to the server. The text of its errors is safe to
	// show.
	Send(ctx context.Context, m Mail) error
}

// Observer counts deliveries.
type Observer interface {
	// Notified is told of each attempt: what kind of target, and "delivered",
	// "failed" or "dead".
	Notified(target, outcome string)
}

// Config configures New.
type Config struct {
	Gate      *gate.Gate
	Changes   *change.Service
	Poster    Poster
	People    People       // default nobody is in a group
	Mailer    Mailer       // nil: no mail can be sent, and no target of that type made
	PublicURL string       // where people reach the server; empty: notices have no link
	Observer  Observer     // default nobody
	Logger    *slog.Logger // default slog.Default()
	// Jitter spreads retries: it returns a number in [0, 1). Default: random.
	Jitter func() float64
}

// Service is the operations on targets and dead letters, and the job that
// delivers. It is safe for concurrent use.
type Service struct {
	Config
	db    kv.DB
	woken chan struct{}

	mu      sync.Mutex
	running map[place]bool
	workers sync.WaitGroup
}

// New returns a Service. Nothing is delivered before Run.
func New(c Config) *Service {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Jitter == nil {
		c.Jitter = random
	}
	return &Service{Config: c, db: c.Gate.DB, woken: make(chan struct{}, 1), running: map[place]bool{}}
}

// wake makes Run look now.
func (s *Service) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

func (s *Service) observe(t Type, outcome string) {
	if s.Observer != nil {
		s.Observer.Notified(string(t), outcome)
	}
}
