// Package inspect answers what an auditor asks: who did what, why something was
// refused, whether the log is whole, and what changed about one secret.
//
// An account's people see the records of their account and nothing else: no
// record, no place in the log, no count that other accounts have a share in. The
// home account, which manages the server, also sees the records that belong to
// no account, which are those of requests that proved no identity, and it alone
// may verify the log, because a verification counts everybody's records. It does
// not see the records of other accounts either.
//
// Every method authorizes and is audited itself. A query sees every write that
// was answered before it: the relay of the outbox is flushed first.
package inspect

import (
	"context"
	"crypto/ed25519"
	"iter"
	"sync"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// Codes of errors.
const (
	CodeBusy      = "busy"       // Throttled: as many are under way as the server takes
	CodeDecision  = "decision"   // NotFound: no such decision in the caller's account
	CodePageToken = "page-token" // Invalid: not a token of this question
)

// Limits of a listing.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Log is the audit log; audit.Log is one.
type Log interface {
	// Query yields the records that a filter selects, in its order.
	Query(ctx context.Context, f audit.Filter) iter.Seq2[audit.Record, error]
	// Follow yields those after a place and then those to come.
	Follow(ctx context.Context, f audit.Filter, after uint64) iter.Seq2[audit.Record, error]
	// Stats tells where the log ends.
	Stats() audit.Stats
	// Head is the newest signed place.
	Head() audit.Head
}

// Flusher waits until the records of all writes so far are in the log;
// change.Relay is one.
type Flusher interface {
	Flush(ctx context.Context) error
}

// Identities is what is asked of package authn.
type Identities interface {
	// Home is the account that manages the server.
	Home() string
	// AtHome refuses callers of other accounts, and records the refusal.
	AtHome(ctx context.Context, who caller.Caller, op policy.Op) error
	// Lookup fails with Unauthenticated when an access key is no longer good.
	Lookup(ctx context.Context, id string, now time.Time) (authn.Credential, error)
}

// Secrets finds where a secret is kept; secret.Service does.
type Secrets interface {
	// Locate authorizes op on the secret and fails with NotFound, once policy
	// allowed to tell, when there is none.
	Locate(a *gate.Access, id name.SecretID, op policy.Op) (name.Secret, error)
}

// Emergencies knows broken glasses.
type Emergencies interface {
	// Emergency authorizes, and returns one with the records of its changes.
	Emergency(ctx context.Context, who caller.Caller, id string) (change.Emergency, []change.Record, error)
}

// Vault protects page tokens; keyring.Ring is one.
type Vault interface {
	Seal(dst, plaintext, aad []byte, account string) ([]byte, error)
	Open(dst, ciphertext, aad []byte, account string) ([]byte, error)
}

// Config configures New. Everything is required but Followers and Recheck.
type Config struct {
	Gate       *gate.Gate
	Log        Log
	Relay      Flusher
	Identities Identities
	Secrets    Secrets
	Vault      Vault
	// Emergencies answers what was done under a broken glass; change.Service does.
	Emergencies Emergencies
	Dir         string              // folder of the audit log
	Keys        []ed25519.PublicKey // that may have signed it
	// Followers bounds how many follow the log at a time, since each looks at
	// every record. Default 16.
	Followers int
	// Recheck is how often a follower's permission is looked at again.
	// Default 15 s.
	Recheck time.Duration
}

// Service answers auditors. It is safe for concurrent use.
type Service struct {
	Config
	following chan struct{} // one for each follower
	verifying sync.Mutex
}

// New returns a Service.
func New(c Config) *Service {
	if c.Followers == 0 {
		c.Followers = 16
	}
	if c.Recheck == 0 {
		c.Recheck = 15 * time.Second
	}
	return &Service{Config: c, following: make(chan struct{}, c.Followers)}
}

// onLog is the question to policy about an account's log.
func onLog(who caller.Caller, op policy.Op) *policy.Request {
	return &policy.Request{Op: op, Resource: policy.AuditARN(who.Account), Account: who.Account}
}

// Verify reads the whole log on the server's own disk and checks each line, the
// chain and each signature; what is wrong is in the report. Only the home
// account may ask, one at a time. It proves what the server can prove about
// itself: who does not trust the server verifies a copy, offline.
func (s *Service) Verify(ctx context.Context, who caller.Caller) (audit.Report, error) {
	if err := s.Identities.AtHome(ctx, who, policy.VerifyAudit); err != nil {
		return audit.Report{}, err
	}
	var out audit.Report
	err := s.Gate.Do(ctx, who, "", onLog(who, policy.VerifyAudit), func(*audit.Record) error {
		if !s.verifying.TryLock() {
			return errs.Coded(errs.Throttled, CodeBusy, "the log is being verified already")
		}
		defer s.verifying.Unlock()
		if err := s.Relay.Flush(ctx); err != nil {
			return err
		}
		var err error
		out, err = audit.Verify(ctx, s.Dir, s.Keys, audit.Options{Head: s.Log.Head(), Live: true})
		return err
	})
	if err != nil {
		return audit.Report{}, err
	}
	return out, nil
}
