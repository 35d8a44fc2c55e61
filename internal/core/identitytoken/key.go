package identitytoken

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Key is a named key as it is shown.
type Key struct {
	Algorithm    string
	Rotation     time.Duration
	Verification time.Duration
	Clients      []string
}

// KeyRequest says what a key is to be; nil leaves a thing as it is, and as it is
// by default of a new key: RS256, a day, a day, and no client.
type KeyRequest struct {
	Name         string
	Algorithm    *string
	Rotation     *time.Duration // how long a pair signs; a minute at least
	Verification *time.Duration // how long it is published after that; ten times Rotation at most
	Clients      *[]string      // ids of clients that roles may sign for; "*": every one
}

type putKey struct {
	Algorithm    *string   `cbor:"1,keyasint,omitempty"`
	Rotation     *int64    `cbor:"2,keyasint,omitempty"`
	Verification *int64    `cbor:"3,keyasint,omitempty"`
	Clients      *[]string `cbor:"4,keyasint,omitempty"`
}

// PutKey makes a key or changes it. Another algorithm is another pair, at once:
// its public key is published only with the first token that it signs.
func (s *Service) PutKey(ctx context.Context, who caller.Caller, req KeyRequest) (change.Result, error) {
	d := &putKey{Algorithm: req.Algorithm, Clients: req.Clients, Rotation: inSeconds(req.Rotation), Verification: inSeconds(req.Verification)}
	res, err := s.submit(ctx, who, policy.PutIdentityKey, req.Name, d, nil)
	if err == nil && res.Status == change.Applied {
		s.fill(ctx, who.Account, req.Name)
	}
	return res, err
}

func inSeconds(d *time.Duration) *int64 {
	if d == nil {
		return nil
	}
	n := int64(*d / time.Second)
	return &n
}

func (d *putKey) noun() string { return NounKey }

func (d *putKey) apply(tx *change.Tx, t change.Target) error {
	k, err := findKey(tx, t)
	if err != nil {
		return err
	}
	fresh := k == nil
	if fresh {
		if err := room(tx, t.Account, "identity-key", MaxKeys); err != nil {
			return err
		}
		k = &key{settings: settings{Algorithm: defaultAlgorithm, Rotation: day, Verification: day}}
	}
	was := k.settings
	d.lay(&k.settings)
	if err := k.check(); err != nil {
		return err
	}
	if err := fitsRoles(tx, t, k.Verification); err != nil {
		return err
	}
	if !fresh && was.same(&k.settings) {
		tx.NothingToDo()
		return nil
	}
	if next := tx.Now.Add(seconds(k.Rotation)).UnixMicro(); next < k.Rotates {
		k.Rotates = next
	}
	tx.Wrote(k.Revision, k.Revision+1, nil)
	return k.put(tx, t.Account, t.Name, tx.Now)
}

// lay puts what was asked over what is.
func (d *putKey) lay(s *settings) {
	if d.Algorithm != nil {
		s.Algorithm = *d.Algorithm
	}
	if d.Rotation != nil {
		s.Rotation = *d.Rotation
	}
	if d.Verification != nil {
		s.Verification = *d.Verification
	}
	if d.Clients != nil {
		s.Clients = slices.Clone(*d.Clients)
	}
}

func (s *settings) same(o *settings) bool {
	return s.Algorithm == o.Algorithm && s.Rotation == o.Rotation && s.Verification == o.Verification && slices.Equal(s.Clients, o.Clients)
}

func (s *settings) check() error {
	if err := checkAlgorithm(s.Algorithm); err != nil {
		return err
	}
	switch {
	case s.Rotation < 60 || s.Rotation > maxSeconds:
		return errs.InvalidField("rotation_period", "it is at least one minute")
	case s.Verification < 0 || s.Verification > 10*s.Rotation:
		return errs.InvalidField("verification_ttl", "it is at most ten times rotation_period")
	case len(s.Clients) > MaxClients:
		return errs.InvalidField("allowed_client_ids", "a key has at most %d of them", MaxClients)
	}
	for _, c := range s.Clients {
		if err := checkClient("allowed_client_ids", c); err != nil {
			return err
		}
	}
	return nil
}

func checkClient(field, c string) error {
	if c == "" || name.Text(field, c, maxClient) != nil {
		return errs.InvalidField(field, "the id of a client is 1 to %d characters", maxClient)
	}
	return nil
}

func (d *putKey) says(n string) []string {
	lines := []string{"put key " + n + " of identity tokens"}
	if d.Algorithm != nil {
		lines = append(lines, "algorithm "+*d.Algorithm)
	}
	if d.Rotation != nil {
		lines = append(lines, "sign with a new pair every "+seconds(*d.Rotation).String())
	}
	if d.Verification != nil {
		lines = append(lines, "publish a pair for "+seconds(*d.Verification).String()+" after it signed")
	}
	if d.Clients != nil {
		lines = append(lines, "sign for the clients "+strings.Join(*d.Clients, ", ")+" alone (*: every one)")
	}
	return lines
}

type rotateKey struct {
	Keep *int64 `cbor:"1,keyasint,omitempty"`
}

// RotateKey lets the next pair sign. keep is how long the one before stays
// published; nil: as the key says.
func (s *Service) RotateKey(ctx context.Context, who caller.Caller, n string, keep *time.Duration) (change.Result, error) {
	var bad error
	if keep != nil && (*keep < 0 || *keep > seconds(maxSeconds)) {
		bad = errs.InvalidField("verification_ttl", "it is a time from now on")
	}
	res, err := s.submit(ctx, who, policy.RotateIdentityKey, n, &rotateKey{Keep: inSeconds(keep)}, bad)
	if err == nil && res.Status == change.Applied {
		s.fill(ctx, who.Account, n)
	}
	return res, err
}

func (d *rotateKey) noun() string { return NounKey }

func (d *rotateKey) apply(tx *change.Tx, t change.Target) error {
	k, err := findKey(tx, t)
	if err != nil {
		return err
	}
	if k == nil {
		return missingKey()
	}
	if signing, next := k.lacks(); signing || next {
		return errs.Coded(errs.Unavailable, CodeMaking, "the next pair of the key is being made: try again in a moment")
	}
	keep := k.Verification
	if d.Keep != nil {
		keep = *d.Keep
	}
	if err := k.turn(nil, tx.Now, keep); err != nil {
		return err
	}
	tx.Wrote(k.Revision, k.Revision+1, nil)
	return k.put(tx, t.Account, t.Name, tx.Now)
}

func (d *rotateKey) says(n string) []string {
	lines := []string{"rotate key " + n + " of identity tokens"}
	if d.Keep != nil {
		lines = append(lines, "publish the pair that signed for "+seconds(*d.Keep).String())
	}
	return lines
}

type deleteKey struct{}

// DeleteKey removes a key that no role signs with; one that is not there is no
// error. What it signed does not verify any more.
func (s *Service) DeleteKey(ctx context.Context, who caller.Caller, n string) (change.Result, error) {
	return s.submit(ctx, who, policy.DeleteIdentityKey, n, &deleteKey{}, nil)
}

func (d *deleteKey) noun() string { return NounKey }

func (d *deleteKey) apply(tx *change.Tx, t change.Target) error {
	k, err := findKey(tx, t)
	if err != nil {
		return err
	}
	if k == nil {
		tx.NothingToDo()
		return nil
	}
	roles, err := rolesOf(tx, t)
	if err != nil {
		return err
	}
	if len(roles) > 0 {
		return errs.Coded(errs.Precondition, CodeInUse, "unable to delete key %q because it is currently referenced by these roles: %s", t.Name, strings.Join(roles[:min(len(roles), 20)], ", "))
	}
	tx.Wrote(k.Revision, 0, nil)
	if err := tx.Delete(dueKey(k.Due, t.Account, t.Name)); err != nil {
		return err
	}
	return tx.Delete(keyKey(t.Account, t.Name))
}

func (d *deleteKey) says(n string) []string {
	return []string{"delete key " + n + " of identity tokens"}
}

// findKey reads the key that an edit is about, nil for none, and notes the base of
// votes: what is asked of the key, and not which pairs it has just now.
func findKey(tx *change.Tx, t change.Target) (*key, error) {
	k, err := record.Find[key](tx, keyKey(t.Account, t.Name))
	if err != nil {
		return nil, err
	}
	var is *settings
	if k != nil {
		is = &k.settings
	}
	return k, produced(tx, is)
}

// put writes a key and its place in the due index.
func (k *key) put(tx kv.Txn, account, n string, now time.Time) error {
	due := k.Rotates
	for _, o := range k.Old {
		due = min(due, o.Ends)
	}
	if signing, next := k.lacks(); signing || next {
		due = now.UnixMicro()
	}
	if k.Due != 0 && k.Due != due {
		if err := tx.Delete(dueKey(k.Due, account, n)); err != nil {
			return err
		}
	}
	k.Due = due
	k.Revision++
	if err := tx.Put(dueKey(due, account, n), []byte{1}); err != nil {
		return err
	}
	return record.Put(tx, keyKey(account, n), k)
}

// rolesOf lists the roles that sign with a key.
func rolesOf(r kv.Reader, t change.Target) (names []string, err error) {
	err = eachRole(r, t.Account, func(n string, v *role) error {
		if v.Key == t.Name {
			names = append(names, n)
		}
		return nil
	})
	return names, err
}

// fitsRoles refuses a verification time that tokens of a role would outlive.
func fitsRoles(r kv.Reader, t change.Target, verification int64) error {
	return eachRole(r, t.Account, func(n string, v *role) error {
		if v.Key == t.Name && v.TTL > verification {
			return errs.InvalidField("verification_ttl", "tokens of role %q count for %s, which is longer", n, seconds(v.TTL))
		}
		return nil
	})
}

// room refuses one record of a kind too many.
func room(r kv.Reader, account, kind string, limit int) error {
	count := 0
	for _, err := range r.Scan(kv.Prefix(kv.K(account, kind))) {
		if err != nil {
			return err
		}
		if count++; count >= limit {
			return errs.New(errs.Limit, "an account has at most %s of these", strconv.Itoa(limit))
		}
	}
	return nil
}

// GetKey returns what is asked of a key.
func (s *Service) GetKey(ctx context.Context, who caller.Caller, n string) (out Key, err error) {
	err = s.view(ctx, who, policy.GetIdentityKey, NounKey, n, func(a *gate.Access) error {
		k, err := record.Find[key](a, keyKey(who.Account, n))
		if k == nil {
			return cmp.Or(err, missingKey())
		}
		out = Key{Algorithm: k.Algorithm, Rotation: seconds(k.Rotation), Verification: seconds(k.Verification), Clients: k.Clients}
		return nil
	})
	return out, err
}

// ListKeys lists the names of the account's keys.
func (s *Service) ListKeys(ctx context.Context, who caller.Caller) ([]string, error) {
	return s.list(ctx, who, policy.ListIdentityKeys, "identity-key")
}

func (s *Service) list(ctx context.Context, who caller.Caller, op policy.Op, kind string) (names []string, err error) {
	err = s.gate.View(ctx, who, op, "", func(a *gate.Access) error {
		names = nil
		if err := a.Allow(&policy.Request{Op: op, Resource: policy.AnyResource, Account: who.Account}, nil); err != nil {
			return err
		}
		prefix := kv.K(who.Account, kind)
		for p, err := range a.Scan(kv.Prefix(prefix)) {
			if err != nil {
				return err
			}
			strs, _, err := kv.Key(p.Key[len(prefix):]).Parts("s")
			if err != nil {
				return err
			}
			names = append(names, strs[0])
		}
		return nil
	})
	return names, err
}
