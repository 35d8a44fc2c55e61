// Package secret keeps secrets: names, immutable versions, the labels that
// point at versions, metadata, tags, resource policies, replicas, scheduled
// deletion and recovery.
//
// A secret is one head record and, for each version, one record of facts and
// one with the encrypted value. A value is sealed under the secret's own data
// key, bound to account, region, name, suffix and number, so a ciphertext that
// was moved to another record does not open. Reading is a snapshot read and a
// decrypt: nothing is cached, so nothing is stale.
//
// Every exported method authorizes and audits before it tells anything (see
// package gate); every write goes through change.Submit. A caller learns that
// a secret exists only when policy allows the operation on it.
package secret

import (
	"crypto/rand"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/bucket"
	"countersign/internal/core/change"
	"countersign/internal/core/due"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/keyring"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/name/convention"
	"countersign/internal/rotator"
	"countersign/internal/sensitive"
)

// Codes of errors, for the fronts to put into their protocol's own words.
const (
	CodeSecret         = "secret"              // NotFound, Exists: the secret itself
	CodeLabel          = "label"               // NotFound: no version has the label (in Field)
	CodeVersion        = "version"             // NotFound: no version has the id (in Field)
	CodeMismatch       = "label-mismatch"      // Precondition: version and label disagree
	CodeDeleted        = "marked-for-deletion" // Precondition: the secret is
	CodeNameDeleted    = "name-marked-for-deletion"
	CodeToken          = "token"         // Exists: the version id is taken by other content
	CodeReplica        = "replica"       // Precondition: not on a replica
	CodeHasReplicas    = "has-replicas"  // Precondition: remove the replicas (their regions in Field) first
	CodeNotReplica     = "not-a-replica" // Precondition: only a replica can be promoted
	CodeLabelElsewhere = "label-elsewhere"
	CodeLabelNotThere  = "label-not-there"
	CodeLabelCurrent   = "label-current" // Precondition: AWSCURRENT cannot just be removed
	CodeLabels         = "labels"        // Limit
	CodeTags           = "tags"          // Limit
	CodeValue          = "value"         // Limit: the value is too large
	CodePageToken      = "page-token"
	CodeConflict       = "base-version" // Conflict: the state moved on; Field names the keys at odds
	CodePublic         = "public-policy"
	CodeLockout        = "lockout" // Denied: the change would lock the caller out
	CodeNoRotation     = "no-rotation-function"
	CodeNotInvocable   = "function-not-invocable"
	CodeRotating       = "rotation-under-way"  // Precondition
	CodeBusy           = "rotation-in-the-way" // Precondition: a rotation makes the version
	CodeInGrace        = "in-grace"            // Precondition: the previous credential was promised to hold on
	CodeRegion         = "region"
	CodeSchedule       = "schedule"
	CodeConvention     = "name-convention" // Invalid: the name of a new secret does not keep to the convention
	CodeCASMismatch    = "cas-mismatch"    // Conflict: the current version is not the one that the write asks for
	CodeCASRequired    = "cas-required"    // Precondition: the write does not say which version it expects
)

// MaxValue is the largest value in bytes; a front may allow less.
const MaxValue = 1 << 20

// Vault encrypts values and takes fingerprints; keyring.Ring is one.
type Vault interface {
	NewDataKey(account string) (wrapped []byte, err error)
	SealValue(wrapped []byte, id keyring.ValueID, plaintext []byte) ([]byte, error)
	OpenValue(wrapped []byte, id keyring.ValueID, ciphertext []byte) ([]byte, error)
	Fingerprint(account string, value []byte) [32]byte
	// Seal and Open protect page tokens.
	Seal(dst, plaintext, aad []byte, account string) ([]byte, error)
	Open(dst, ciphertext, aad []byte, account string) ([]byte, error)
}

// Config configures New.
type Config struct {
	Gate    *gate.Gate
	Changes *change.Service
	Vault   Vault
	Regions []string // the region labels of this server; the first is home
	// Keep is how many versions of a secret are kept. The oldest beyond it go
	// when a new one is written, never one that has a label. Default 0: all.
	Keep uint64
	// KeepFor is the age under which no version is pruned. Default 24 hours.
	KeepFor time.Duration
	Kinds   rotator.Kinds // what can rotate secrets
	// Names is what the name of a secret that is created has to be like; secrets
	// that are there keep theirs. Default: any name.
	Names  *convention.Convention
	Logger *slog.Logger // default slog.Default()
}

// Service is the operations on secrets. It is safe for concurrent use.
type Service struct {
	gate     *gate.Gate
	changes  *change.Service
	vault    Vault
	regions  []string
	keep     uint64
	keepFor  time.Duration
	logger   *slog.Logger
	used     used
	reads    sync.Pool // *reading
	policies policyCache
	purged   due.Bell // wakes the purge job
	kinds    rotator.Kinds
	names    *convention.Convention
	schemas  schemas
	rotates  due.Bell        // wakes the job that rotates
	misses   *bucket.Buckets // values presented that did not match, by principal and secret
}

// New returns a Service. Its background work is in Run.
func New(c Config) *Service {
	if c.KeepFor == 0 {
		c.KeepFor = 24 * time.Hour
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Service{gate: c.Gate, changes: c.Changes, vault: c.Vault, regions: c.Regions, keep: c.Keep,
		keepFor: c.KeepFor, logger: c.Logger, used: used{seed: maphash.MakeSeed()}, purged: due.NewBell(), kinds: c.Kinds, names: c.Names, rotates: due.NewBell(),
		misses: bucket.New(missesPerSecond, missesAtOnce)}
}

// Regions are the region labels of this server, home first.
func (s *Service) Regions() []string { return s.regions }

// found is a secret as one transaction sees it.
type found struct {
	name.Secret             // as addressed, in the region of the request
	home        name.Secret // where the versions are: the primary's region
	head        *head       // the primary's; nil when there is none
	replica     *head       // the replica's own record, when addressed at one
	suffix      string      // of the ARN: known, or name.UnknownSuffix
	named       string      // arn, once it was asked for
	policy      *policy.Set // compiled resource policy; nil when there is none
	own         head        // what head or replica points to
	key         kv.Key      // memory for the key of own
}

func (f *found) arn() string {
	if f.named == "" {
		f.named = f.ARN(f.suffix)
	}
	return f.named
}

// mustExist returns the not-found error once policy allowed to tell.
func (f *found) mustExist() error {
	if f.head == nil {
		return errs.Coded(errs.NotFound, CodeSecret, "the secret does not exist")
	}
	return nil
}

// mustBeWritable is mustExist, and that it is no replica.
func (f *found) mustBeWritable() error {
	if err := f.mustExist(); err != nil {
		return err
	}
	if f.replica != nil {
		return errs.Coded(errs.Precondition, CodeReplica, "a replica cannot be changed, only its primary")
	}
	return nil
}

// find resolves an id as who names it. It tells nothing: head is nil when
// there is no such secret. An ARN of another region than the request's names
// nothing, since the request was authorized for its own.
func (s *Service) find(r kv.Reader, who caller.Caller, id name.SecretID) (*found, error) {
	f := &found{}
	return f, s.findInto(f, r, who, id)
}

// findInto is find into memory that is there: a found that is zero, or that
// reset was called of.
func (s *Service) findInto(f *found, r kv.Reader, who caller.Caller, id name.SecretID) error {
	n := name.Secret{Account: who.Account, Region: who.Region, Name: id.Name}
	if !id.IsARN {
		return s.loadInto(f, r, n, "")
	}
	n.Account = id.Account
	if id.Region != who.Region {
		n.Region = id.Region
		f.Secret, f.home, f.suffix = n, n, name.UnknownSuffix
		return nil
	}
	if base, suffix, ok := name.CutSuffix(id.Name); ok {
		n.Name = base
		return s.loadInto(f, r, n, suffix)
	}
	return s.loadInto(f, r, n, "")
}

// load reads a secret; a suffix that is not empty must be its own.
func (s *Service) load(r kv.Reader, n name.Secret, suffix string) (*found, error) {
	f := &found{}
	return f, s.loadInto(f, r, n, suffix)
}

func (s *Service) loadInto(f *found, r kv.Reader, n name.Secret, suffix string) error {
	f.Secret, f.home, f.suffix = n, n, name.UnknownSuffix
	if suffix != "" {
		f.suffix = suffix
	}
	h := &f.own
	f.key = appendHeadKey(f.key[:0], n)
	ok, err := record.Load(r, f.key, h)
	if err != nil || !ok || suffix != "" && suffix != h.Suffix {
		return err
	}
	f.head, f.suffix = h, h.Suffix
	if h.Primary != "" {
		f.home.Region, f.replica = h.Primary, h
		if f.head, err = getHead(r, f.home); err != nil {
			return err
		}
		if f.head == nil {
			return errs.New(errs.Internal, "a replica's primary is gone")
		}
	}
	f.policy, err = s.policies.compile(f.head.Policy)
	return err
}

// request is the question to policy about an operation on f.
func (f *found) request(op policy.Op, extra ...policy.Pair) policy.Request {
	req := policy.Request{Op: op, Resource: f.arn(), Account: f.Account, Extra: extra}
	if f.head != nil {
		req.Tags = tagMap(f.head.Tags)
	}
	return req
}

// allow asks policy about an operation on f.
func (f *found) allow(a *gate.Access, op policy.Op, extra ...policy.Pair) error {
	req := f.request(op, extra...)
	return a.Allow(&req, f.policy)
}

// value decrypts the value of a version.
func (s *Service) value(r kv.Reader, f *found, number uint64) (sensitive.Bytes, error) {
	sealed, err := r.Get(valueKey(f.home, f.head.Suffix, number))
	if err != nil {
		return sensitive.Bytes{}, err
	}
	return s.open(f, number, sealed)
}

// current is value for the version labelled AWSCURRENT.
func (s *Service) current(r kv.Reader, f *found, number uint64) (sensitive.Bytes, error) {
	if f.head.Carried == nil {
		return s.value(r, f, number)
	}
	return s.open(f, number, f.head.Carried)
}

// open decrypts what putValue sealed for a version.
func (s *Service) open(f *found, number uint64, sealed []byte) (sensitive.Bytes, error) {
	plain, err := s.vault.OpenValue(f.head.DataKey, valueID(f.home, f.head.Suffix, number), sealed)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	return sensitive.New(plain), nil
}

// putValue encrypts a value for its place and stores it.
func (s *Service) putValue(tx kv.Txn, n name.Secret, h *head, number uint64, value sensitive.Bytes) error {
	sealed, err := s.vault.SealValue(h.DataKey, valueID(n, h.Suffix, number), value.Reveal())
	if err != nil {
		return err
	}
	return tx.Put(valueKey(n, h.Suffix, number), sealed)
}

func valueID(n name.Secret, suffix string, number uint64) keyring.ValueID {
	return keyring.ValueID{Account: n.Account, Kind: "secret", Region: n.Region, Name: n.Name, Suffix: suffix, Version: number}
}

// target is where an id points, for change.Target: as named, without a suffix
// that the name may end in.
func target(who caller.Caller, id name.SecretID) change.Target {
	t := change.Target{Account: who.Account, Noun: "secret", Region: who.Region, Name: id.Name}
	if id.IsARN {
		t.Account, t.Region = id.Account, id.Region
		t.Name, _, _ = name.CutSuffix(id.Name)
	}
	return t
}

// newSuffix returns six random letters and digits for an ARN.
func newSuffix() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	var out [name.SuffixLen]byte
	for i := 0; i < len(out); {
		var b [16]byte
		_, _ = rand.Read(b[:])
		for _, c := range b {
			if c < 248 && i < len(out) { // 4 x 62: no letter is likelier than another
				out[i] = alphabet[c%62]
				i++
			}
		}
	}
	return string(out[:])
}

// policyCache keeps compiled resource policies by their text. It is emptied
// when full: resource policies are few and alike.
type policyCache struct {
	mu   sync.Mutex
	sets map[string]*policy.Set
}

const maxCachedPolicies = 512

func (c *policyCache) compile(text string) (*policy.Set, error) {
	if text == "" {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if set, ok := c.sets[text]; ok {
		return set, nil
	}
	doc, err := policy.Parse([]byte(text), policy.Resource)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "reading a stored resource policy")
	}
	if c.sets == nil || len(c.sets) >= maxCachedPolicies {
		c.sets = map[string]*policy.Set{}
	}
	set := policy.Compile(policy.Named{Name: gate.ResourcePolicy, Doc: doc})
	c.sets[text] = set
	return set, nil
}
