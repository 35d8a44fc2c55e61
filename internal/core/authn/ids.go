package authn

import (
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// maxLooked bounds a look-up by id, which reads the names there are.
const maxLooked = 100_000

// EntityName finds the principal with an id of the Vault protocol; empty when
// nobody has it.
func EntityName(r kv.Reader, acct, id string) (string, error) {
	names, err := namesByID(r, acct, "principal", caller.EntityID, []string{id})
	return names[id], err
}

// EntityNames finds principals by ids of the Vault protocol. Ids that nobody has
// are left out. It asks nobody.
func (s *Service) EntityNames(ctx context.Context, acct string, ids ...string) (map[string]string, error) {
	return s.namesByID(ctx, acct, "principal", caller.EntityID, ids)
}

// GroupNames is EntityNames for groups.
func (s *Service) GroupNames(ctx context.Context, acct string, ids ...string) (map[string]string, error) {
	return s.namesByID(ctx, acct, "group", caller.GroupID, ids)
}

func (s *Service) namesByID(ctx context.Context, acct, kind string, idOf func(acct, n string) string, ids []string) (names map[string]string, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		names, err = namesByID(r, acct, kind, idOf, ids)
		return err
	})
	return names, gate.Classify(err)
}

// namesByID looks at each name of a kind until all ids are found: an id is made of
// the name, and nothing keeps it.
func namesByID(r kv.Reader, acct, kind string, idOf func(acct, n string) string, ids []string) (map[string]string, error) {
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	out := make(map[string]string, len(wanted))
	if len(wanted) == 0 {
		return out, nil
	}
	prefix := kv.K(acct, kind)
	looked := 0
	for p, err := range r.Scan(kv.Prefix(prefix)) {
		if err != nil {
			return nil, err
		}
		if looked++; looked > maxLooked {
			return nil, errs.New(errs.Limit, "there are too many names to find one by its id: use the name")
		}
		strs, _, err := kv.Key(p.Key[len(prefix):]).Parts("s")
		if err != nil {
			return nil, err
		}
		if id := idOf(acct, strs[0]); wanted[id] {
			if out[id] = strs[0]; len(out) == len(wanted) {
				break
			}
		}
	}
	return out, nil
}
