package authn

import (
	"context"
	"sync/atomic"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/generation"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/sensitive"
)

// credential is an access key with its owner as they stand in one generation.
type credential struct {
	account    string
	generation uint64
	secret     sensitive.Bytes
	expires    time.Time
	who        caller.Caller // what is known of the owner
	// checked is the store's revision when this was last compared with it:
	// while nothing at all was written since, it need not be again.
	checked atomic.Uint64
}

// Credential is an access key that exists, is not expired, and whose owner is
// not disabled. It proves nothing yet: the front must check the signature made
// with Secret, or use AuthenticateToken.
type Credential struct {
	Secret sensitive.Bytes
	// Generation changes whenever the key or its owner may have: what is
	// derived from Secret can be kept under the key's id and Generation.
	Generation uint64
	// Caller holds account, kind, name, groups, person, tags and key id. The front
	// adds the circumstances of the request.
	Caller caller.Caller
}

// Lookup returns the credential with that id. The error is Unauthenticated
// when there is none to use.
func (s *Service) Lookup(ctx context.Context, id string, now time.Time) (Credential, error) {
	if !validKeyID(id) {
		return Credential{}, unknownKey()
	}
	known, _ := s.keys.get(id)
	cred, at := known, s.gate.DB.Revision() // the snapshot below is at least as new
	if cred == nil || cred.checked.Load() != uint64(at) {
		var err error
		if cred, err = s.refresh(ctx, id, known); err != nil {
			return Credential{}, err
		}
	}
	switch {
	case cred == nil:
		return Credential{}, unknownKey()
	case !cred.expires.IsZero() && !now.Before(cred.expires):
		return Credential{}, errs.Coded(errs.Unauthenticated, CodeExpiredKey, "the access key has expired")
	}
	if cred != known {
		s.keys.put(id, cred)
	}
	cred.checked.Store(uint64(at))
	return Credential{Secret: cred.secret, Generation: cred.generation, Caller: cred.who}, nil
}

// refresh returns the known credential when it is of the current generation,
// and otherwise what the store has, nil for nothing.
func (s *Service) refresh(ctx context.Context, id string, known *credential) (cred *credential, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		if cred = known; known != nil {
			if g, err := generation.Get(r, known.account); err != nil || g == known.generation {
				return err
			}
		}
		cred, err = s.load(r, id)
		return err
	})
	return cred, err
}

func unknownKey() error {
	return errs.Coded(errs.Unauthenticated, CodeUnknownKey, "the access key is not known")
}

// load reads a key and its owner; nil when the key cannot be used.
func (s *Service) load(r kv.Reader, id string) (*credential, error) {
	place, ok, err := record.Get[keyPlace](r, s.placeKey(id))
	if err != nil || !ok {
		return nil, err
	}
	g, err := generation.Get(r, place.Account)
	if err != nil {
		return nil, err
	}
	k, ok, err := record.Get[accessKey](r, keyKey(place.Account, id))
	if err != nil || !ok {
		return nil, err
	}
	p, ok, err := record.Get[principal](r, principalKey(place.Account, k.Principal))
	if err != nil || !ok || p.Disabled {
		return nil, err
	}
	who, err := callerOf(r, place.Account, k.Principal, &p)
	if err != nil {
		return nil, err
	}
	who.KeyID, who.Generation = id, g
	return &credential{account: place.Account, generation: g, secret: sensitive.New(k.Secret), expires: when(k.Expires), who: who}, nil
}

// AuthenticateToken proves a principal by a bearer token. The error tells
// neither whether the id exists nor how the secret differs.
func (s *Service) AuthenticateToken(ctx context.Context, token string, now time.Time) (caller.Caller, error) {
	id, secret, ok := ParseToken(token)
	if !ok {
		return caller.Caller{}, s.refuse(ctx)
	}
	cred, err := s.Lookup(ctx, id, now)
	if err != nil && !errs.Is(err, errs.Unauthenticated) {
		return caller.Caller{}, err
	}
	same := cred.Secret.Equal(sensitive.FromString(secret))
	switch {
	case err != nil:
		return caller.Caller{}, badToken()
	case !same: // it was found in memory
		return caller.Caller{}, s.refuse(ctx)
	}
	who := cred.Caller
	who.Proof = caller.ProofToken
	return who, nil
}

// refuse refuses a token after looking for a key that is not there, which is what
// one takes whose id nobody knows.
func (s *Service) refuse(ctx context.Context) error {
	if _, err := s.refresh(ctx, nobodys, nil); err != nil {
		return err
	}
	return badToken()
}

// nobodys is an id that no key has: it is too short.
const nobodys = keyPrefix

func badToken() error {
	return errs.Coded(errs.Unauthenticated, CodeBadSecret, "the token is not valid")
}
