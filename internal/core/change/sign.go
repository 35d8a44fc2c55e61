package change

import (
	"time"

	"countersign/internal/core/hours"
	"countersign/internal/errs"
	"countersign/internal/proof"
	"countersign/internal/sshsig"
)

// signer returns the registered key that made the signature of a vote, empty
// when it has none.
func (s *Service) signer(tx *Tx, e *entry, ev *evaluation, req VoteRequest) (string, error) {
	if req.Signature == "" {
		return "", nil
	}
	sig, err := sshsig.Parse(req.Signature)
	if err != nil {
		return "", err
	}
	lines, err := s.people.SSHKeys(tx, e.target.Account, tx.Who.Name)
	if err != nil {
		return "", err
	}
	text := proof.SignedText(e.rec.ID, ev.digest)
	for _, line := range lines {
		key, err := sshsig.ParsePublicKey(line)
		if err != nil {
			return "", errs.Wrap(errs.Internal, err, "")
		}
		if sig.Verify(key, proof.Namespace, text) == nil {
			return line, nil
		}
	}
	return "", errs.Coded(errs.Invalid, CodeSignature, "the signature is by none of the keys registered for %s, or not over this change", tx.Who.Name)
}

// checkHours says what is wrong with the hours of a rule.
func checkHours(text string) error {
	_, err := hours.Parse(text)
	return err
}

// nextWithin is the first instant from at on within the hours of a rule.
func nextWithin(text string, at time.Time) (time.Time, error) {
	if text == "" {
		return at, nil
	}
	w, err := hours.Parse(text)
	if err != nil {
		return time.Time{}, errs.Wrap(errs.Internal, err, "")
	}
	return w.Next(at), nil
}
