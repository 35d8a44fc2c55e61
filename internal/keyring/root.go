package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/seal"
	"countersign/internal/sensitive"
)

// root is the opened root record. It is immutable.
type root struct {
	raw  []byte // as it lies in the database
	env  envelope
	seal seal.Seal
	keys *keys
	aead tink.AEAD // over keys
}

// sealRoot makes the record after env of a root keyset: under a fresh wrapping
// key, so that neither an old blob nor an old secret of the seal opens the new
// record.
func sealRoot(ctx context.Context, h *keyset.Handle, s seal.Seal, env envelope) (*root, []byte, error) {
	wrapping := make([]byte, keySize)
	rand.Read(wrapping) // never fails; the runtime ends the process instead
	env.Generation++
	env.Seal = s.Kind()
	cipher, err := subtle.NewAESGCM(wrapping)
	if err != nil {
		return nil, nil, fmt.Errorf("sealing root key: %w", err)
	}
	if env.Keyset, err = writeKeyset(h, cipher, env.aad()); err != nil {
		return nil, nil, fmt.Errorf("sealing root key: %w", err)
	}
	if env.Blob, err = s.Wrap(ctx, sensitive.New(wrapping), env.aad()); err != nil {
		return nil, nil, fmt.Errorf("sealing root key: %w", err)
	}
	if len(env.Blob) > seal.MaxBlob {
		return nil, nil, fmt.Errorf("sealing root key: seal %q made a blob of %d bytes", env.Seal, len(env.Blob))
	}
	raw, err := encode(env)
	if err != nil {
		return nil, nil, err
	}
	opened, err := newRoot(raw, env, s, h)
	return opened, raw, err
}

func newRoot(raw []byte, env envelope, s seal.Seal, h *keyset.Handle) (*root, error) {
	ks, err := parseKeyset(h)
	if err != nil {
		return nil, fmt.Errorf("opening root key: %w", err)
	}
	prim, err := aead.New(h)
	if err != nil {
		return nil, fmt.Errorf("opening root key: %w", err)
	}
	return &root{raw: raw, env: env, seal: s, keys: ks, aead: prim}, nil
}

func openRoot(ctx context.Context, s seal.Seal, raw []byte) (*root, error) {
	env, err := decode[envelope](raw)
	if err != nil {
		return nil, fmt.Errorf("reading root record: %w", err)
	}
	if len(env.Store) != storeIDSize || len(env.Blob) > seal.MaxBlob {
		return nil, fmt.Errorf("reading root record: %w: members of other sizes", ErrFormat)
	}
	if env.Seal != s.Kind() {
		return nil, errs.New(errs.Precondition, "the store is sealed by %q, and the seal given is %q", env.Seal, s.Kind())
	}
	wrapping, err := s.Unwrap(ctx, env.Blob, env.aad())
	if err != nil {
		return nil, fmt.Errorf("unsealing root key: %w", err)
	}
	cipher, err := subtle.NewAESGCM(wrapping.Reveal())
	if err != nil {
		return nil, fmt.Errorf("unsealing root key: %w", ErrDecrypt)
	}
	ks, err := readKeyset(env.Keyset, cipher, env.aad())
	if err != nil {
		return nil, fmt.Errorf("opening root key: %w", err)
	}
	return newRoot(raw, env, s, ks.handle)
}

// Reseal puts the root key under another seal, or under a new secret of the same
// kind. It is one transaction: a crash leaves the old seal or the new one. Old
// copies of the database still open with the old secret; when that one is known
// to others, RotateRoot and RotateAccount with Rewrap make the copies worthless
// for what is written later, and nothing does for what is in them.
func (r *Ring) Reseal(ctx context.Context, s seal.Seal) error {
	r.change.Lock()
	defer r.change.Unlock()
	if err := r.writeRoot(ctx, r.root.Load().keys.handle, s); err != nil {
		return fmt.Errorf("changing seal: %w", err)
	}
	return nil
}

// writeRoot replaces the root record. The caller holds r.change.
func (r *Ring) writeRoot(ctx context.Context, h *keyset.Handle, s seal.Seal) error {
	next, raw, err := sealRoot(ctx, h, s, r.root.Load().env)
	if err != nil {
		return err
	}
	err = r.commit(ctx, ringKey(partRoot), raw, func(tx kv.Txn) error {
		if err := r.guard(tx); err != nil {
			return err
		}
		return tx.Put(ringKey(partRoot), raw)
	})
	if err != nil {
		return fmt.Errorf("writing root record: %w", err)
	}
	r.root.Store(next)
	return nil
}

// RotateRoot replaces the root key: it adds a new one, wraps every account keyset
// and key of the ring again, shows that nothing is left under the old one, and
// then destroys that. Each step is a bounded transaction after which everything
// opens. When it is interrupted, calling it again goes on where it was; Info
// tells of an unfinished rotation by RootKeys.
func (r *Ring) RotateRoot(ctx context.Context) error {
	r.change.Lock()
	defer r.change.Unlock()
	was := r.root.Load()
	if len(was.keys.all) == 1 {
		h, err := withNewPrimary(was.keys.handle)
		if err != nil {
			return fmt.Errorf("rotating root key: %w", err)
		}
		if err := r.writeRoot(ctx, h, was.seal); err != nil {
			return fmt.Errorf("rotating root key: %w", err)
		}
	}
	if err := r.rewrapUnderRoot(ctx); err != nil {
		return fmt.Errorf("rotating root key: %w", err)
	}
	now := r.root.Load()
	h, err := withoutOld(now.keys)
	if err != nil {
		return fmt.Errorf("rotating root key: %w", err)
	}
	if err := r.writeRoot(ctx, h, now.seal); err != nil {
		return fmt.Errorf("rotating root key: %w", err)
	}
	return nil
}

// rewrapUnderRoot wraps what is not under the primary root key again, until a
// look at the whole finds nothing.
func (r *Ring) rewrapUnderRoot(ctx context.Context) error {
	const batch = 50
	for {
		snap, err := r.load(ctx)
		if err != nil {
			return err
		}
		r.catchUp(snap)
		swaps, err := r.staleUnderRoot(snap)
		if err != nil {
			return err
		}
		if len(swaps) == 0 {
			return nil
		}
		for part := range slices.Chunk(swaps, batch) {
			if err := r.swap(ctx, part); err != nil {
				return err
			}
		}
	}
}

// swap is one record to be replaced by what says the same under another key.
type swap struct {
	key      kv.Key
	old, new []byte
	account  string // empty for the ring's own keys
}

func (r *Ring) staleUnderRoot(snap snapshot) ([]swap, error) {
	root, out := r.root.Load(), []swap(nil)
	for _, name := range slices.Sorted(maps.Keys(snap.accounts)) {
		raw := snap.accounts[name]
		rec, err := decode[accountRecord](raw)
		if err != nil {
			return nil, fmt.Errorf("reading keyset of account %q: %w", name, err)
		}
		if id, ok := KeyID(rec.Keyset); ok && id == root.keys.primary.id {
			continue
		}
		aad := accountAAD(r.store, name, rec)
		ks, err := readKeyset(rec.Keyset, root.aead, aad)
		if err != nil {
			return nil, fmt.Errorf("reading keyset of account %q: %w", name, err)
		}
		if rec.Keyset, err = writeKeyset(ks.handle, root.aead, aad); err != nil {
			return nil, err
		}
		next, err := encode(rec)
		if err != nil {
			return nil, err
		}
		out = append(out, swap{key: ringKey(partAccount, name), old: raw, new: next, account: name})
	}
	for _, name := range slices.Sorted(maps.Keys(snap.own)) {
		raw := snap.own[name]
		secret, under, err := unwrapOwnKey(root, name, raw)
		if err != nil {
			return nil, err
		}
		if under == root.keys.primary.id {
			continue
		}
		next, err := wrapOwnKey(root, name, secret)
		if err != nil {
			return nil, err
		}
		out = append(out, swap{key: ringKey(partKey, name), old: raw, new: next})
	}
	return out, nil
}

// swap commits replacements whose originals still stand. One that changed since
// is left for the next look.
func (r *Ring) swap(ctx context.Context, swaps []swap) error {
	var done []swap
	_, err := r.db.Update(ctx, func(tx kv.Txn) error {
		done = done[:0]
		if err := r.guard(tx); err != nil {
			return err
		}
		for _, s := range swaps {
			now, err := tx.Get(s.key)
			if errors.Is(err, kv.ErrNotFound) || err == nil && !bytes.Equal(now, s.old) {
				continue
			}
			if err != nil {
				return err
			}
			if err := tx.Put(s.key, s.new); err != nil {
				return err
			}
			done = append(done, s)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wrapping keys under new root key: %w", err)
	}
	for _, s := range done {
		if a := (*r.accounts.Load())[s.account]; a != nil {
			a.replace(s.new, nil)
		}
	}
	return nil
}

// catchUp takes over what the database says of accounts, where it says something
// else: when the answer to a commit was lost, or another process was at work. The
// caller holds r.change.
func (r *Ring) catchUp(snap snapshot) {
	for name, raw := range snap.accounts {
		a := (*r.accounts.Load())[name]
		switch {
		case a == nil:
			r.install(&account{name: name, raw: raw})
		case !bytes.Equal(a.stored(), raw):
			a.reload(raw)
		}
	}
}
