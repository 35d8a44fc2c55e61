package signin

import (
	"context"
	"encoding/base32"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/sensitive"
)

// Of time-based codes (RFC 6238), as every authenticator takes them.
const (
	step          = 30 * time.Second
	digits        = otp.DigitsSix
	totpSecretLen = 20
	recoveryCodes = 10
	recoveryBytes = 10
)

var b32 = base32.StdEncoding.WithPadding(base32.NoPadding)

// Enrolment is a secret to put into an authenticator. It is shown this once.
type Enrolment struct {
	Secret sensitive.Bytes // in base32
	URI    sensitive.Bytes // otpauth://, for a QR code
}

// EnrolTOTP makes a secret for the caller's authenticator. It counts once
// ConfirmTOTP has seen a code of it.
func (s *Service) EnrolTOTP(ctx context.Context, who caller.Caller) (Enrolment, error) {
	raw := random(totpSecretLen)
	err := s.submit(ctx, who, own(who, policy.EnrolTOTP, func(tx *change.Tx) error {
		_, p, err := mustFind(tx, who.Account, who.Name)
		if err != nil {
			return err
		}
		if len(p.TOTP) > 0 {
			return errs.New(errs.Precondition, "an authenticator is set up already: disable it first")
		}
		p.Pending = raw
		return record.Put(tx, profileKey(who.Account, who.Name), p)
	}))
	if err != nil {
		return Enrolment{}, err
	}
	text := b32.EncodeToString(raw)
	label := "Countersign:" + who.Name + "@" + who.Account
	q := url.Values{"secret": {text}, "issuer": {"Countersign"}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}
	return Enrolment{Secret: sensitive.FromString(text),
		URI: sensitive.FromString((&url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + label, RawQuery: q.Encode()}).String())}, nil
}

// ConfirmTOTP takes a code of the caller's authenticator. The first code of a
// new one puts it into use, and gives the recovery codes, which are shown this
// once. From then on it renews the session's second factor.
func (s *Service) ConfirmTOTP(ctx context.Context, who caller.Caller, code string) ([]sensitive.Bytes, error) {
	if err := s.mayOwn(ctx, who, policy.ConfirmTOTP); err != nil {
		return nil, err
	}
	err := s.sources.take(who.Source, time.Now())
	if err == nil {
		err = s.countWithin(ctx, who)
	}
	if err != nil {
		return nil, s.refuse(ctx, who, policy.ConfirmTOTP, who.Account, who.Name, err)
	}
	fresh, hashes := s.newRecovery()
	var first bool
	err = s.submit(ctx, who, own(who, policy.ConfirmTOTP, func(tx *change.Tx) error {
		_, p, err := mustFind(tx, who.Account, who.Name)
		if err != nil {
			return err
		}
		if first = len(p.TOTP) == 0; first {
			if err := p.activate(code, hashes, tx.Now); err != nil {
				return err
			}
		} else {
			if !s.takeCode(&p, code, tx.Now) {
				return errs.InvalidField("code", "the code is not right, or was used")
			}
			tx.NothingToDo() // no change of how the user signs in
		}
		if err := s.showed(tx, who, tx.Now); err != nil {
			return err
		}
		return record.Put(tx, profileKey(who.Account, who.Name), p)
	}))
	if err != nil {
		return nil, err
	}
	if !first {
		return nil, nil
	}
	return fresh, nil
}

// activate puts the pending secret into use.
func (p *profile) activate(code string, recovery [][]byte, now time.Time) error {
	if len(p.Pending) == 0 {
		return errs.New(errs.Precondition, "no authenticator is being set up: enrol one first")
	}
	at, ok := validStep(p.Pending, code, 0, now)
	if !ok {
		return errs.InvalidField("code", "the code is not right: check the clock of the authenticator")
	}
	p.TOTP, p.Pending, p.Step, p.Recovery = p.Pending, nil, at, recovery
	return nil
}

// showed notes in the caller's session that a second factor was shown, and
// forgets what was counted against it.
func (s *Service) showed(tx kv.Txn, who caller.Caller, now time.Time) error {
	if who.Session == "" {
		return tx.Delete(s.bucketKey(who.Account, who.Name))
	}
	v, ok, err := record.Get[session](tx, sessionKey(who.Session))
	if err != nil {
		return err
	}
	if !ok {
		return badSession()
	}
	v.MFA, v.Failures = micros(now), 0
	return record.Put(tx, sessionKey(who.Session), v)
}

// DisableRequest names whose authenticator to forget: by default the caller's
// own, which takes a code.
type DisableRequest struct {
	User string
	Code string
}

// DisableTOTP forgets an authenticator and its recovery codes.
func (s *Service) DisableTOTP(ctx context.Context, who caller.Caller, req DisableRequest) error {
	mine := who.Kind != caller.System && (req.User == "" || req.User == who.Name)
	if mine {
		req.User = who.Name
		if err := s.mayOwn(ctx, who, policy.DisableTOTP); err != nil {
			return err
		}
		err := s.sources.take(who.Source, time.Now())
		if err == nil {
			err = s.countWithin(ctx, who)
		}
		if err != nil {
			return s.refuse(ctx, who, policy.DisableTOTP, who.Account, who.Name, err)
		}
	}
	err := s.submit(ctx, who, about(who, policy.DisableTOTP, req.User, func(tx *change.Tx) error {
		_, p, err := mustFind(tx, who.Account, req.User)
		if err != nil {
			return err
		}
		if len(p.TOTP) == 0 {
			return errs.New(errs.Precondition, "no authenticator is set up")
		}
		if mine && !s.takeCode(&p, req.Code, tx.Now) {
			return errs.InvalidField("code", "the code is not right, or was used")
		}
		p.TOTP, p.Pending, p.Step, p.Recovery = nil, nil, 0, nil
		return record.Put(tx, profileKey(who.Account, req.User), p)
	}))
	if err == nil && mine {
		err = s.forgiveWithin(ctx, who)
	}
	return err
}

// takeCode takes a code of the authenticator, later than any taken before, or a
// recovery code, which is then used up.
func (s *Service) takeCode(p *profile, code string, now time.Time) bool {
	if at, ok := validStep(p.TOTP, code, p.Step, now); ok {
		p.Step = at
		return true
	}
	if len(code) > 64 {
		return false
	}
	plain := strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
	if len(plain) != b32.EncodedLen(recoveryBytes) {
		return false
	}
	h, found := s.hash("recovery", []byte(plain)), -1
	for i, have := range p.Recovery {
		if same(h, have) {
			found = i
		}
	}
	if found < 0 {
		return false
	}
	p.Recovery = slices.Delete(slices.Clone(p.Recovery), found, found+1)
	return true
}

// validStep finds the step of a code, one before and one after now's allowed,
// that is later than the last.
func validStep(secret []byte, code string, last uint64, now time.Time) (uint64, bool) {
	if _, err := strconv.ParseUint(code, 10, 32); err != nil || len(code) != digits.Length() {
		return 0, false
	}
	at := uint64(now.Unix()) / uint64(step/time.Second)
	for _, n := range []uint64{at - 1, at, at + 1} {
		ok, err := hotp.ValidateCustom(code, n, b32.EncodeToString(secret), hotp.ValidateOpts{Digits: digits, Algorithm: otp.AlgorithmSHA1})
		if err == nil && ok && n > last {
			return n, true
		}
	}
	return 0, false
}

// newRecovery draws recovery codes, and their hashes.
func (s *Service) newRecovery() (codes []sensitive.Bytes, hashes [][]byte) {
	for range recoveryCodes {
		plain := b32.EncodeToString(random(recoveryBytes))
		hashes = append(hashes, s.hash("recovery", []byte(plain)))
		codes = append(codes, sensitive.FromString(strings.ToLower(plain[:4]+"-"+plain[4:8]+"-"+plain[8:12]+"-"+plain[12:])))
	}
	return codes, hashes
}
