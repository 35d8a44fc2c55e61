package change

import (
	"countersign/internal/errs"
	"time"
)

// signer returns the registered key that made the signature of a vote, empty
// when it has none.
func (s *Service) signer(tx *Tx, e *entry, ev *evaluation, req VoteRequest) (string, error) {
	if req.Signature == "" {
		return "", nil
	}
	keys, err := s.people.SSHKeys(tx, e.target.Account, tx.Who.Name)
	if err != nil {
		return "", err
	}
	for _, k := range keys {
		if verifySignature(req.Signature, k, SignedText(e.rec.ID, ev.digest)) == nil {
			return k, nil
		}
	}
	return "", errs.Coded(errs.Invalid, CodeSignature, "the signature is by none of the keys registered for %s, or not over this change", tx.Who.Name)
}

func verifySignature(armored, key string, text []byte) error { return errs.New(errs.Internal, "later") }
func checkHours(s string) error                              { return nil }
func nextWithin(s string, t time.Time) (time.Time, error)    { return t, nil }
func (tx *Tx) notify(kind string, t Target, rec *Record, text string) {
}
