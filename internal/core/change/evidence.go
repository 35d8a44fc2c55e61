package change

import (
	"countersign/internal/kv"
	"countersign/internal/proof"
)

// Bundle is what proves how a change was approved; false when it was applied
// without a review. It asks nobody: with it and the value the value can be
// confirmed, so the caller has authorized the reader to read that.
func (s *Service) Bundle(r kv.Reader, account, id string) (proof.Bundle, bool, error) {
	e, err := find(r, account, id)
	if err != nil || e == nil || e.prop == nil || e.prop.Sealed == nil {
		return proof.Bundle{}, false, err
	}
	by := e.prop.Sealed
	b := proof.Bundle{Format: proof.Format, Evidence: by.Evidence, Nonce: e.prop.Nonce, Version: by.Version, Applied: by.Applied,
		Approvals: by.Approvals, Votes: []proof.Vote{}}
	for _, v := range e.prop.Votes {
		if v.Approve {
			b.Votes = append(b.Votes, proof.Vote{By: v.By, Name: v.Name, Digest: v.Digest, Time: v.Time, Signature: v.Signature, Key: v.Key})
		}
	}
	return b, true, nil
}
