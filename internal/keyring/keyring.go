package keyring

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/seal"
)

// Config tunes a ring. The zero value is what a server wants.
type Config struct {
	// Settle is the longest time from Seal or NewDataKey to the commit of what
	// they made. So long after a rotation Rewrap waits before it looks for what
	// is under the old key for the last time, and destroys that: what was
	// committed later would be lost. Default one minute.
	Settle time.Duration
}

// Ring is an unsealed keyring. It is safe for concurrent use.
type Ring struct {
	db      kv.DB
	cfg     Config
	store   []byte
	created time.Time

	change   sync.Mutex // held by what creates, rotates or destroys keys
	root     atomic.Pointer[root]
	accounts atomic.Pointer[map[string]*account] // replaced, never changed

	own     ownKeys
	lookups sync.Pool // hash.Hash, keyed for LookupHash
	scratch sync.Pool // *[]byte, for associated data
}

// ownKeys are the ring's keys that never change.
type ownKeys struct {
	fingerprint, lookup []byte
	audit               ed25519.PrivateKey
}

// Open unseals the keyring in db, or creates one when db is empty. db is the plain
// database, below encryption.
//
// A store that holds data and no keyring is refused (Precondition), as is a seal
// of another kind than the store's. A seal's secret that is wrong is the seal's
// error, seal.ErrOpen or seal.ErrSecret; a store of another version is ErrFormat.
// Nothing is written in any of these cases.
func Open(ctx context.Context, db kv.DB, s seal.Seal, cfg Config) (*Ring, error) {
	if cfg.Settle <= 0 {
		cfg.Settle = time.Minute
	}
	r := &Ring{db: db, cfg: cfg}
	r.scratch.New = func() any { b := make([]byte, 0, 256); return &b }
	snap, err := r.load(ctx)
	if err == nil && snap.root == nil {
		if err = r.create(ctx, s); err == nil {
			snap, err = r.load(ctx)
		}
	}
	if err == nil {
		err = r.unseal(ctx, s, snap)
	}
	if err != nil {
		return nil, fmt.Errorf("opening keyring: %w", err)
	}
	return r, nil
}

// snapshot is what lies in the database, as it lies there.
type snapshot struct {
	root     []byte
	own      map[string][]byte
	accounts map[string][]byte
}

// load reads all of the ring's records: a few hundred bytes for each account.
func (r *Ring) load(ctx context.Context) (snapshot, error) {
	var s snapshot
	err := r.db.View(ctx, func(rd kv.Reader) error {
		s = snapshot{own: map[string][]byte{}, accounts: map[string][]byte{}}
		for p, err := range rd.Scan(kv.Prefix(ringKey())) {
			if err != nil {
				return err
			}
			if err := s.add(p); err != nil {
				return err
			}
		}
		if s.root == nil {
			return checkEmpty(rd)
		}
		return nil
	})
	if err != nil {
		return snapshot{}, fmt.Errorf("loading keyring: %w", err)
	}
	return s, nil
}

func (s *snapshot) add(p kv.Pair) error {
	key := kv.Key(p.Key)
	if bytes.Equal(key, ringKey(partRoot)) {
		s.root = bytes.Clone(p.Value)
		return nil
	}
	parts, _, err := key.Parts("ssss")
	if err != nil {
		return fmt.Errorf("%w: record %q", ErrFormat, p.Key)
	}
	switch parts[2] {
	case partKey:
		s.own[parts[3]] = bytes.Clone(p.Value)
	case partAccount:
		s.accounts[parts[3]] = bytes.Clone(p.Value)
	case partRewrap:
	default:
		return fmt.Errorf("%w: record %q", ErrFormat, p.Key)
	}
	return nil
}

// checkEmpty refuses to make keys for a store that has lost its own: what is in
// it would look damaged from then on.
func checkEmpty(rd kv.Reader) error {
	for _, area := range []kv.Range{
		kv.Prefix(ringKey()),
		{End: kv.K("meta")},
		{Start: kv.After(kv.K("meta"))},
	} {
		for _, err := range rd.Scan(area) {
			if err != nil {
				return err
			}
			return errs.New(errs.Precondition, "the store holds data and no root key: its keyring was lost")
		}
	}
	return nil
}

// create writes a new keyring. When another process was faster, that one's stands.
func (r *Ring) create(ctx context.Context, s seal.Seal) error {
	h, err := newHandle()
	if err != nil {
		return err
	}
	store := make([]byte, storeIDSize)
	rand.Read(store) // never fails; the runtime ends the process instead
	fresh, raw, err := sealRoot(ctx, h, s, envelope{Store: store, Created: time.Now().Unix()})
	if err != nil {
		return err
	}
	records := map[string][]byte{string(ringKey(partRoot)): raw}
	for _, name := range ownKeyNames() {
		secret := make([]byte, keySize)
		rand.Read(secret)
		b, err := wrapOwnKey(fresh, name, secret)
		if err != nil {
			return err
		}
		records[string(ringKey(partKey, name))] = b
	}
	_, err = r.db.Update(ctx, func(tx kv.Txn) error {
		switch _, err := tx.Get(ringKey(partRoot)); {
		case err == nil:
			return nil
		case !errors.Is(err, kv.ErrNotFound):
			return err
		}
		if err := checkEmpty(tx); err != nil {
			return err
		}
		for k, v := range records {
			if err := tx.Put([]byte(k), v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("creating keyring: %w", err)
	}
	return nil
}

// unseal makes the ring ready from what lies in the database.
func (r *Ring) unseal(ctx context.Context, s seal.Seal, snap snapshot) error {
	opened, err := openRoot(ctx, s, snap.root)
	if err != nil {
		return err
	}
	r.store, r.created = opened.env.Store, time.Unix(opened.env.Created, 0)
	r.root.Store(opened)
	if err := r.openOwnKeys(opened, snap.own); err != nil {
		return err
	}
	accounts := make(map[string]*account, len(snap.accounts))
	for name, raw := range snap.accounts {
		accounts[name] = &account{name: name, raw: raw}
	}
	r.accounts.Store(&accounts)
	return nil
}

// Info describes a ring for status pages. It holds no key.
type Info struct {
	StoreID    string // 32 hexadecimal digits
	Created    time.Time
	Format     int
	Seal       string // kind of the seal
	Generation uint64 // of the root record
	RootKeys   int    // more than one while a rotation of the root key is under way
	Accounts   int
}

// Info describes the ring.
func (r *Ring) Info() Info {
	root := r.root.Load()
	return Info{
		StoreID: hex.EncodeToString(r.store), Created: r.created, Format: Format, Seal: root.env.Seal,
		Generation: root.env.Generation, RootKeys: len(root.keys.all), Accounts: len(*r.accounts.Load()),
	}
}

// install makes an account known. The caller holds r.change.
func (r *Ring) install(a *account) {
	next := maps.Clone(*r.accounts.Load())
	next[a.name] = a
	r.accounts.Store(&next)
}

// guard fails when another process changed the root record since this ring read
// it: keys wrapped by this ring might then be wrapped by a destroyed key.
func (r *Ring) guard(tx kv.Reader) error {
	now, err := tx.Get(ringKey(partRoot))
	if err != nil {
		return fmt.Errorf("reading root record: %w", err)
	}
	if !bytes.Equal(now, r.root.Load().raw) {
		return errs.New(errs.Conflict, "the root key was changed by another process: restart this one")
	}
	return nil
}

// commit runs an Update that puts want under key. When its outcome is unknown it
// looks: a ring that is wrong about which keys stand would have to be restarted.
func (r *Ring) commit(ctx context.Context, key, want []byte, f func(kv.Txn) error) error {
	_, err := r.db.Update(ctx, f)
	if !errors.Is(err, kv.ErrUnknown) {
		return err
	}
	stands := false
	look := r.db.View(ctx, func(rd kv.Reader) error {
		now, err := rd.Get(key)
		stands = err == nil && bytes.Equal(now, want)
		return nil
	})
	if look == nil && stands {
		return nil
	}
	return errors.Join(err, look)
}
