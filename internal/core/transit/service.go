package transit

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/due"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Noun is the noun of changes to keys.
const Noun = "transit-key"

// Limits of a request.
const (
	MaxBatch  = 1000      // items
	MaxData   = 1 << 20   // bytes in all items together, contexts and associated data included
	MaxRandom = 128 << 10 // bytes
)

// Codes of errors.
const (
	CodeKey     = "transit-key"       // NotFound or Exists: the key
	CodeVersion = "transit-version"   // Invalid: the version may not be used for this, or does not exist
	CodeType    = "transit-type"      // Invalid: keys of this type cannot do this
	CodeData    = "transit-data"      // Invalid: it does not decrypt
	CodeBatch   = "transit-batch"     // Invalid: every item of a batch failed
	CodeExport  = "transit-export"    // Precondition: the key may not leave
	CodeDelete  = "transit-delete"    // Precondition: the key may not be deleted
	CodeFormat  = "transit-format"    // Invalid: a text is not of the format that it should have
	CodeImport  = "transit-import"    // Invalid or Precondition: the material cannot be imported
	CodeVersLim = "transit-versions"  // Limit: too many versions for one transaction
	CodeBusy    = "transit-key-moved" // Conflict: the key was changed meanwhile
)

// Config configures New. Every field is required but those with a default.
type Config struct {
	Gate    *gate.Gate
	Changes *change.Service
	Region  string       // home region: that of what the jobs do
	Logger  *slog.Logger // default slog.Default()
}

// Service is the operations on keys and with keys. It is safe for concurrent use.
type Service struct {
	gate    *gate.Gate
	changes *change.Service
	region  string
	logger  *slog.Logger
	cache   cache
	slow    chan struct{} // a place for each RSA key that may be made at once
	woken   due.Bell      // wakes the job over the due index
}

// atOnce is how many RSA keys are made at once: one takes seconds of a processor.
const atOnce = 2

// New returns a Service. Run must be running for keys to rotate by themselves.
func New(c Config) *Service {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Service{gate: c.Gate, changes: c.Changes, region: c.Region, logger: c.Logger,
		slow: make(chan struct{}, atOnce), woken: due.NewBell()}
}

// draw makes the material of a version, when there is a place for it.
func (s *Service) draw(ctx context.Context, t Type, size int) (version, error) {
	if t.bits() == 0 {
		return draw(t, size)
	}
	select {
	case s.slow <- struct{}{}:
	case <-ctx.Done():
		return version{}, ctx.Err()
	}
	defer func() { <-s.slow }()
	return draw(t, size)
}

// cache keeps versions ready for use. When full it is emptied: they are read
// again in little time.
type cache struct {
	mu sync.RWMutex
	m  map[cacheKey]*ready
}

// cacheKey names material that does not change: a key has a new ID when it is made
// anew, and a new edition when the material of a version does change.
type cacheKey struct {
	account, id      string
	edition, version uint64
}

const maxCached = 1024

func (c *cache) get(k cacheKey) *ready {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.m[k]
}

func (c *cache) put(k cacheKey, r *ready) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxCached {
		c.m = map[cacheKey]*ready{}
	}
	c.m[k] = r
}

// using is a key in use by one operation.
type using struct {
	s       *Service
	account string
	head    stored
	loaded  []loaded // nearly always one
}

type loaded struct {
	number uint64
	*ready
}

// load makes a version ready. r shows a committed state.
func (u *using) load(r kv.Reader, number uint64) error {
	if u.version(number) != nil {
		return nil
	}
	k := cacheKey{u.account, u.head.ID, u.head.Edition, number}
	v := u.s.cache.get(k)
	if v == nil {
		kept, err := findVersion(r, u.account, &u.head, number)
		if err != nil {
			return err
		}
		if v, err = prepare(&u.head, kept); err != nil {
			return errs.Wrap(errs.Internal, err, "reading a stored key")
		}
		u.s.cache.put(k, v)
	}
	u.loaded = append(u.loaded, loaded{number, v})
	return nil
}

// version is what load made ready, nil when it did not.
func (u *using) version(number uint64) *ready {
	for i := range u.loaded {
		if u.loaded[i].number == number {
			return u.loaded[i].ready
		}
	}
	return nil
}

// forNew is the version that new data is made with: the one asked for, or the
// latest.
func (u *using) forNew(asked uint64, verb string) (uint64, error) {
	switch h := &u.head; {
	case asked == 0:
		return h.Latest, nil
	case asked > h.Latest:
		return 0, errs.Coded(errs.Invalid, CodeVersion, "requested version for %s is higher than the latest key version", verb)
	case asked < h.MinEncryption:
		return 0, errs.Coded(errs.Invalid, CodeVersion, "requested version for %s is less than the minimum encryption key version", verb)
	case asked < h.MinDecryption:
		return 0, errs.Coded(errs.Invalid, CodeVersion, "requested version for %s is less than the minimum decryption key version", verb)
	}
	return asked, nil
}

// forOld checks the version that data was made with; what is that data.
func (u *using) forOld(number uint64, what string) error {
	switch h := &u.head; {
	case number > h.Latest:
		return errs.Coded(errs.Invalid, CodeVersion, "invalid %s: version is too new", what)
	case number < h.MinDecryption:
		return errs.Coded(errs.Invalid, CodeVersion, "ciphertext or signature version is disallowed by policy (too old)")
	}
	return nil
}

// use runs an operation with a key: pick, over a snapshot, checks versions and
// loads them, and work does the rest. missing is what is said of a key that is not
// there.
func (s *Service) use(ctx context.Context, who caller.Caller, op policy.Op, n, missing string, pick func(u *using, r kv.Reader) error, work func(u *using, rec *audit.Record) error) error {
	u := &using{s: s, account: who.Account}
	return s.gate.Work(ctx, who, op, n, func(a *gate.Access) error {
		if err := a.Allow(request(who, op, n), nil); err != nil {
			return err
		}
		return u.find(a, n, missing, pick)
	}, func(rec *audit.Record) error { return work(u, rec) })
}

func (u *using) find(r kv.Reader, n, missing string, pick func(u *using, r kv.Reader) error) error {
	u.head, u.loaded = stored{}, u.loaded[:0]
	ok, err := record.Load(r, keyKey(u.account, n), &u.head)
	if err != nil {
		return err
	}
	if !ok {
		return errs.Coded(errs.NotFound, CodeKey, "%s", missing)
	}
	return pick(u, r)
}

// request is the question whether who may do op to a key.
func request(who caller.Caller, op policy.Op, n string) *policy.Request {
	return &policy.Request{Op: op, Resource: policy.TransitKeyARN(who.Region, who.Account, n), Account: who.Account}
}

// refuse records a request that does not get as far as policy.
func (s *Service) refuse(ctx context.Context, who caller.Caller, op policy.Op, n string, err error) error {
	rec := gate.NewRecord(who, op, "")
	if CheckName(n) == nil {
		rec.Resource = n
	}
	return s.gate.Finish(ctx, &rec, err)
}

// may asks policy before something is done for a change that takes long. A refusal
// is recorded; of the permission the change itself has the record.
func (s *Service) may(ctx context.Context, who caller.Caller, op policy.Op, n string) error {
	rec := gate.NewRecord(who, op, n)
	err := s.gate.DB.View(ctx, func(r kv.Reader) error {
		a := gate.NewAccess(r, s.gate.Auth, who, &rec)
		a.Proposable = true
		return a.Allow(request(who, op, n), nil)
	})
	if err == nil {
		return nil
	}
	return s.gate.Finish(ctx, &rec, err)
}

// AnyUnder reports whether there is a key whose name begins with a prefix and that
// mine says is meant. It asks nobody.
func AnyUnder(r kv.Reader, account, prefix string, mine func(n string) bool) (bool, error) {
	keys := kv.K(account, "transit-key")
	rng := kv.Prefix(keys)
	rng.Start = append(keys, prefix...)
	for p, err := range r.Scan(rng) {
		if err != nil {
			return false, err
		}
		strs, _, err := kv.Key(p.Key).Parts("sss")
		if err != nil {
			return false, err
		}
		if !strings.HasPrefix(strs[2], prefix) {
			return false, nil
		}
		if mine(strs[2]) {
			return true, nil
		}
	}
	return false, nil
}
