package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tink-crypto/tink-go/v2/keyset"

	"countersign/internal/errs"
	"countersign/internal/kv"
)

// account is one account's keyset: its record, and the keys once they were
// needed.
type account struct {
	name  string
	ready atomic.Pointer[ready]

	mu  sync.Mutex
	raw []byte // as it lies in the database
}

// ready is an opened account record. It is immutable.
type ready struct {
	rec         accountRecord
	keys        *keys
	fingerprint []byte
}

// replace notes how the record lies in the database now and, when that is not
// nil, what is in it.
func (a *account) replace(raw []byte, is *ready) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.raw = raw
	if is != nil {
		a.ready.Store(is)
	}
}

// reload notes how the record lies in the database; what is in it is read at the
// next use.
func (a *account) reload(raw []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.raw = raw
	a.ready.Store(nil)
}

func (a *account) stored() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.raw
}

// get returns the account's keys, opening them at the first use.
func (r *Ring) get(name string) (*ready, error) {
	a := (*r.accounts.Load())[name]
	if a == nil {
		return nil, fmt.Errorf("using keys of account %q: %w", name, ErrUnknownAccount)
	}
	if k := a.ready.Load(); k != nil {
		return k, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if k := a.ready.Load(); k != nil {
		return k, nil
	}
	k, err := r.openAccount(name, a.raw)
	if err != nil {
		return nil, fmt.Errorf("opening keyset of account %q: %w", name, err)
	}
	a.ready.Store(k)
	return k, nil
}

func (r *Ring) openAccount(name string, raw []byte) (*ready, error) {
	rec, err := decode[accountRecord](raw)
	if err != nil {
		return nil, err
	}
	ks, err := readKeyset(rec.Keyset, r.root.Load().aead, accountAAD(r.store, name, rec))
	if err != nil {
		return nil, err
	}
	fp, err := r.fingerprintKey(name)
	if err != nil {
		return nil, err
	}
	return &ready{rec: rec, keys: ks, fingerprint: fp}, nil
}

// CheckAccount refuses names that cannot have a keyset: an account is 1 to 64
// lower case letters, digits and hyphens, and not "meta".
func CheckAccount(name string) error {
	if len(name) < 1 || len(name) > 64 || name == "meta" {
		return errs.InvalidField("account", "account %q cannot have keys", name)
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return errs.InvalidField("account", "account %q cannot have keys", name)
		}
	}
	return nil
}

// EnsureAccount creates the account's keyset when it has none. It is cheap when
// it has one. It must not be called inside of a transaction.
func (r *Ring) EnsureAccount(ctx context.Context, name string) error {
	if (*r.accounts.Load())[name] != nil {
		return nil
	}
	if err := CheckAccount(name); err != nil {
		return err
	}
	r.change.Lock()
	defer r.change.Unlock()
	if (*r.accounts.Load())[name] != nil {
		return nil
	}
	h, err := newHandle()
	if err != nil {
		return fmt.Errorf("creating keyset of account %q: %w", name, err)
	}
	raw, err := r.wrapAccount(name, h, accountRecord{Generation: 1, Changed: time.Now().Unix()})
	if err != nil {
		return fmt.Errorf("creating keyset of account %q: %w", name, err)
	}
	var stands []byte
	_, err = r.db.Update(ctx, func(tx kv.Txn) error {
		stands = nil
		if err := r.guard(tx); err != nil {
			return err
		}
		there, err := tx.Get(ringKey(partAccount, name))
		if errors.Is(err, kv.ErrNotFound) {
			return tx.Put(ringKey(partAccount, name), raw)
		}
		stands = bytes.Clone(there) // another process was faster
		return err
	})
	if err != nil {
		return fmt.Errorf("creating keyset of account %q: %w", name, err)
	}
	if stands != nil {
		raw = stands
	}
	r.install(&account{name: name, raw: raw})
	return nil
}

func (r *Ring) wrapAccount(name string, h *keyset.Handle, rec accountRecord) ([]byte, error) {
	var err error
	if rec.Keyset, err = writeKeyset(h, r.root.Load().aead, accountAAD(r.store, name, rec)); err != nil {
		return nil, err
	}
	return encode(rec)
}

// RotateAccount gives the account a new key, which all writing uses from then on.
// The old ones stay for reading until Rewrap has shown that nothing needs them.
func (r *Ring) RotateAccount(ctx context.Context, name string) error {
	r.change.Lock()
	defer r.change.Unlock()
	was, err := r.get(name)
	if err != nil {
		return fmt.Errorf("rotating keys: %w", err)
	}
	if len(was.keys.all) >= maxKeys {
		return errs.New(errs.Precondition, "account %q has %d keys: run the re-wrap of the earlier rotations first", name, maxKeys)
	}
	h, err := withNewPrimary(was.keys.handle)
	if err != nil {
		return fmt.Errorf("rotating keys of account %q: %w", name, err)
	}
	next := accountRecord{Generation: was.rec.Generation + 1, Changed: time.Now().Unix()}
	if err := r.replaceAccount(ctx, name, h, next, nil); err != nil {
		return fmt.Errorf("rotating keys of account %q: %w", name, err)
	}
	return nil
}

// replaceAccount commits a new keyset of an account, and what else the
// transaction is to do, and then uses it. The caller holds r.change.
func (r *Ring) replaceAccount(ctx context.Context, name string, h *keyset.Handle, rec accountRecord, also func(kv.Txn) error) error {
	raw, err := r.wrapAccount(name, h, rec)
	if err != nil {
		return err
	}
	next, err := r.openAccount(name, raw)
	if err != nil {
		return err
	}
	a := (*r.accounts.Load())[name]
	was := a.stored()
	err = r.commit(ctx, ringKey(partAccount, name), raw, func(tx kv.Txn) error {
		if err := r.guard(tx); err != nil {
			return err
		}
		now, err := tx.Get(ringKey(partAccount, name))
		if err != nil {
			return fmt.Errorf("reading keyset: %w", err)
		}
		if !bytes.Equal(now, was) {
			return errs.New(errs.Conflict, "the keys of account %q were changed by another process: restart this one", name)
		}
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		return tx.Put(ringKey(partAccount, name), raw)
	})
	if err != nil {
		return err
	}
	a.replace(raw, next)
	return nil
}

// AccountInfo describes an account's keys. It holds no key.
type AccountInfo struct {
	Account    string
	Generation uint64
	Primary    uint32    // id of the key that writing uses
	Old        []uint32  // ids of the keys that wait for a re-wrap
	Changed    time.Time // when the primary was made
}

// Account describes the account's keys, or fails with ErrUnknownAccount.
func (r *Ring) Account(name string) (AccountInfo, error) {
	k, err := r.get(name)
	if err != nil {
		return AccountInfo{}, err
	}
	return AccountInfo{Account: name, Generation: k.rec.Generation, Primary: k.keys.primary.id,
		Old: k.keys.old(), Changed: time.Unix(k.rec.Changed, 0)}, nil
}

// Seal appends the ciphertext of a record to dst and returns it. aad names the
// record: its database key. account is the first part of that key. The
// ciphertext is 33 bytes longer than the plaintext. The spare room of dst must
// not overlap the plaintext.
func (r *Ring) Seal(dst, plaintext, aad []byte, account string) ([]byte, error) {
	k, err := r.get(account)
	if err != nil {
		return nil, err
	}
	buf := r.scratch.Get().(*[]byte)
	*buf = append(bound((*buf)[:0], forRecord), aad...)
	out := k.keys.seal(dst, plaintext, *buf)
	r.scratch.Put(buf)
	return out, nil
}

// Open appends the plaintext of a record to dst and returns it. It fails with
// ErrDecrypt when the ciphertext was not made by Seal for this aad and account.
func (r *Ring) Open(dst, ciphertext, aad []byte, account string) ([]byte, error) {
	k, err := r.get(account)
	if err != nil {
		return nil, err
	}
	buf := r.scratch.Get().(*[]byte)
	*buf = append(bound((*buf)[:0], forRecord), aad...)
	out, err := k.keys.open(dst, ciphertext, *buf)
	r.scratch.Put(buf)
	if err != nil {
		return nil, fmt.Errorf("opening record of account %q: %w", account, err)
	}
	return out, nil
}
