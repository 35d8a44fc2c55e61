package authn

import (
	"context"
	"sync"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// KeyInfo is an access key as it is shown: never its secret.
type KeyInfo struct {
	ID          string    `json:"id"`
	Owner       string    `json:"owner"`
	Policies    []string  `json:"policies,omitempty"` // narrow what the owner may do
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires,omitzero"`
	LastUsed    time.Time `json:"last_used,omitzero"` // of an authenticated request, to about half a minute
}

// NewKey is a key with its secret, which is shown this once.
type NewKey struct {
	KeyInfo
	Secret sensitive.Bytes
}

// CreateKeyRequest asks for an access key.
type CreateKeyRequest struct {
	Owner       string
	Policies    []string  // policies that must allow too, beside the owner's
	Expires     time.Time // zero: never
	Description string
}

// newKey is the write of CreateKey.
//
// Who holds a key of a user is that user wherever it counts, above all where
// approvals are counted. So a key for another user who has something, a group or
// a policy, is a change of that user to protection rules, and since it cannot
// wait it is refused where one holds. A user who has nothing yet can be given a
// first key: what comes to it afterwards is reviewed. Machines approve only where
// a rule names them, and have no other way to get a key.
type newKey struct {
	once
	takes bool // it makes somebody else's power usable
}

// Allow also finds out whom the key is for, once policy has let the caller know.
func (e *newKey) Allow(a *gate.Access) error {
	if err := e.once.Allow(a); err != nil {
		return err
	}
	p, err := record.Find[principal](a, principalKey(e.target.Account, e.target.Name))
	if err != nil {
		return err
	}
	if p == nil {
		return nil
	}
	groups, err := groupsOf(a, e.target.Account, e.target.Name, p)
	if err != nil {
		return err
	}
	e.takes = p.Kind == caller.User && len(groups)+len(p.Policies) > 0 &&
		a.Who.Kind != caller.System && a.Who.Name != e.target.Name
	return nil
}

// Subject implements change.Subjecter.
func (e *newKey) Subject() protect.Subject {
	s := protect.Subject{Noun: e.target.Noun, Name: e.target.Name, Kind: change.KindOf(e.op)}
	if e.takes {
		s.Noun, s.Kind = nounUser, protect.Policy // somebody gets to do what the user may
	}
	return s
}

// CreateKey makes an access key for a user or machine. A principal has at most
// MaxKeys.
func (s *Service) CreateKey(ctx context.Context, who caller.Caller, req CreateKeyRequest) (NewKey, error) {
	id, secret := keyPrefix+random(keyLen-len(keyPrefix), keyAlphabet), random(secretLen, base62)
	k := accessKey{Principal: req.Owner, Secret: []byte(secret), Policies: req.Policies, Description: req.Description}
	if !req.Expires.IsZero() {
		k.Expires = micros(req.Expires)
	}
	e := &newKey{once: once{op: policy.CreateKey, target: change.Target{Account: who.Account, Noun: nounKey, Name: req.Owner},
		resource: caller.UserARN(who.Account, req.Owner)}}
	e.do = func(tx *change.Tx) error {
		k.Created = micros(tx.Now)
		return s.addKey(tx, who.Account, id, k)
	}
	if _, err := s.submit(ctx, who, e); err != nil {
		return NewKey{}, err
	}
	return NewKey{KeyInfo: showKey(id, k, 0), Secret: sensitive.FromString(secret)}, nil
}

func showKey(id string, k accessKey, used int64) KeyInfo {
	return KeyInfo{ID: id, Owner: k.Principal, Policies: k.Policies, Description: k.Description,
		Created: when(k.Created), Expires: when(k.Expires), LastUsed: when(used)}
}

// addKey writes the records of a key.
func (s *Service) addKey(tx kv.Txn, acct, id string, k accessKey) error {
	if err := name.Text("Description", k.Description, 256); err != nil {
		return err
	}
	if k.Expires != 0 && k.Expires <= k.Created {
		return errs.InvalidField("Expires", "the expiry is in the past")
	}
	if _, err := must[principal](tx, principalKey(acct, k.Principal), "user"); err != nil {
		return err
	}
	if err := mustHavePolicies(tx, acct, k.Policies); err != nil {
		return err
	}
	have, err := keysOf(tx, acct, k.Principal)
	if err != nil {
		return err
	}
	if len(have) >= MaxKeys {
		return errs.New(errs.Limit, "a principal has at most %d access keys", MaxKeys)
	}
	if err := record.Put(tx, keyKey(acct, id), k); err != nil {
		return err
	}
	if err := tx.Put(keyOfKey(acct, k.Principal, id), []byte{1}); err != nil {
		return err
	}
	return record.Put(tx, s.placeKey(id), keyPlace{Account: acct})
}

// keysOf lists the ids of a principal's keys.
func keysOf(r kv.Reader, acct, owner string) (ids []string, err error) {
	prefix := kv.K(acct, "key-of", owner)
	for p, err := range r.Scan(kv.Prefix(prefix)) {
		if err != nil {
			return nil, err
		}
		strs, _, err := kv.Key(p.Key[len(prefix):]).Parts("s")
		if err != nil {
			return nil, err
		}
		ids = append(ids, strs[0])
	}
	return ids, nil
}

func (s *Service) dropKey(tx kv.Txn, acct, owner, id string) error {
	for _, k := range []kv.Key{keyKey(acct, id), keyOfKey(acct, owner, id), keyUsedKey(acct, id), s.placeKey(id)} {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

type revokeKey struct {
	ID string `cbor:"1,keyasint"`
}

func (d *revokeKey) noun() string           { return nounKey }
func (d *revokeKey) asks(string) []question { return []question{{op: policy.RevokeKey}} }
func (d *revokeKey) says(owner string) []string {
	return []string{"revoke access key " + d.ID + " of " + owner}
}

// rests on nothing: the id of a key is never given out again.
func (d *revokeKey) rests(change.Target) []kv.Key { return nil }

func (d *revokeKey) apply(s *Service, tx *change.Tx, t change.Target) error {
	k, err := must[accessKey](tx, keyKey(t.Account, d.ID), "access key")
	if err != nil {
		return err
	}
	if k.Principal != t.Name {
		return missing("access key")
	}
	return s.dropKey(tx, t.Account, t.Name, d.ID)
}

// RevokeKey ends a key at once: a request that is authenticated after it
// returns is refused. The owner must be named, since permission hangs on it.
func (s *Service) RevokeKey(ctx context.Context, who caller.Caller, owner, id string) (change.Result, error) {
	return s.perform(ctx, who, owner, &revokeKey{ID: id})
}

// ListKeys lists the keys of one principal, or with an empty owner of all,
// which needs the permission to list keys of every principal.
func (s *Service) ListKeys(ctx context.Context, who caller.Caller, owner string) ([]KeyInfo, error) {
	var out []KeyInfo
	arn := caller.UserARN(who.Account, owner)
	if owner == "" {
		arn = policy.AnyResource
	}
	err := s.view(ctx, who, policy.ListKeys, safeName(owner), arn, func(r kv.Reader) error {
		var err error
		out, err = s.listKeys(r, who.Account, owner)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) listKeys(r kv.Reader, acct, owner string) (out []KeyInfo, err error) {
	prefix := kv.K(acct, "key-of")
	if owner != "" {
		if _, err := must[principal](r, principalKey(acct, owner), "user"); err != nil {
			return nil, err
		}
		prefix = prefix.Str(owner)
	}
	for p, err := range r.Scan(kv.Prefix(prefix)) {
		if err != nil {
			return nil, err
		}
		strs, _, err := kv.Key(p.Key).Parts("ssss")
		if err != nil {
			return nil, err
		}
		k, err := must[accessKey](r, keyKey(acct, strs[3]), "access key")
		if err != nil {
			return nil, err
		}
		used, _, err := record.Get[int64](r, keyUsedKey(acct, strs[3]))
		if err != nil {
			return nil, err
		}
		out = append(out, showKey(strs[3], k, used))
	}
	return out, nil
}

// usedKeys collects when keys were last used, to be stored now and then.
type usedKeys struct {
	mu sync.Mutex
	at map[keyAt]time.Time
}

type keyAt struct{ account, id string }

func (u *usedKeys) note(acct, id string, now time.Time) {
	u.mu.Lock()
	if u.at == nil {
		u.at = map[keyAt]time.Time{}
	}
	if len(u.at) < maxCached {
		u.at[keyAt{acct, id}] = now
	}
	u.mu.Unlock()
}

const flushEvery = 30 * time.Second

// Run stores when keys were last used, until ctx ends. report is told of
// failures.
func (s *Service) Run(ctx context.Context, report func(error)) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := s.flushUsed(last); err != nil {
				report(err)
			}
			return
		case <-tick.C:
			if err := s.flushUsed(ctx); err != nil && ctx.Err() == nil {
				report(err)
			}
		}
	}
}

func (s *Service) flushUsed(ctx context.Context) error {
	s.used.mu.Lock()
	all := s.used.at
	s.used.at = nil
	s.used.mu.Unlock()
	var batch []keyAt
	write := func() error {
		_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
			for _, k := range batch {
				if _, ok, err := record.Get[accessKey](tx, keyKey(k.account, k.id)); err != nil || !ok {
					if err != nil {
						return err
					}
					continue // revoked since
				}
				if err := record.Put(tx, keyUsedKey(k.account, k.id), micros(all[k])); err != nil {
					return err
				}
			}
			return nil
		})
		batch = batch[:0]
		return err
	}
	for k := range all {
		if batch = append(batch, k); len(batch) == kv.MaxOps/2 {
			if err := write(); err != nil {
				return err
			}
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return write()
}
