package secret

import (
	"context"
	"crypto/rand"
	"math"
	"math/big"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// Character classes of generated passwords, as AWS GetRandomPassword has them.
const (
	Lowercase   = "abcdefghijklmnopqrstuvwxyz"
	Uppercase   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	Digits      = "0123456789"
	Punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
)

// PasswordRequest describes a password to generate.
type PasswordRequest struct {
	Length                                            int    // 1 to 4096; default 32
	Exclude                                           string // characters to leave out
	NoLowercase, NoUppercase, NoDigits, NoPunctuation bool
	Space                                             bool // may hold spaces
	Each                                              bool // at least one of each class that is included
	// Bits is how much has to be left to chance at least: of passwords that can be drawn
	// there are 2 to the power of that.
	Bits float64
}

// RandomPassword generates a password from the system's randomness. Each
// character is drawn independently; with Each, one of every class is placed at
// a random position first.
func (s *Service) RandomPassword(ctx context.Context, who caller.Caller, req PasswordRequest) (sensitive.Bytes, error) {
	var out sensitive.Bytes
	err := s.gate.View(ctx, who, policy.RandomPassword, "", func(a *gate.Access) error {
		if err := a.Allow(anything(policy.RandomPassword, who), nil); err != nil {
			return err
		}
		b, err := generate(req)
		out = sensitive.New(b)
		return err
	})
	if err != nil {
		return sensitive.Bytes{}, err
	}
	return out, nil
}

// GeneratePassword is RandomPassword for the server itself.
func GeneratePassword(req PasswordRequest) ([]byte, error) { return generate(req) }

func generate(req PasswordRequest) ([]byte, error) {
	if req.Length == 0 {
		req.Length = 32
	}
	if req.Length < 1 || req.Length > 4096 {
		return nil, errs.InvalidField("PasswordLength", "a password has 1 to 4096 characters")
	}
	if len(req.Exclude) > 4096 {
		return nil, errs.InvalidField("ExcludeCharacters", "at most 4096 characters can be excluded")
	}
	var classes []string
	for _, c := range []struct {
		chars string
		out   bool
	}{{Lowercase, req.NoLowercase}, {Uppercase, req.NoUppercase}, {Digits, req.NoDigits}, {Punctuation, req.NoPunctuation}, {" ", !req.Space}} {
		left := strings.Map(func(r rune) rune {
			if strings.ContainsRune(req.Exclude, r) {
				return -1
			}
			return r
		}, c.chars)
		if !c.out && left != "" {
			classes = append(classes, left)
		}
	}
	all := strings.Join(classes, "")
	if all == "" {
		return nil, errs.InvalidField("ExcludeCharacters", "no character is left to choose from")
	}
	if req.Each && req.Length < len(classes) {
		return nil, errs.InvalidField("PasswordLength", "the password is too short for one character of each class")
	}
	if req.bits(classes, all) < req.Bits {
		return nil, errs.InvalidField("ExcludeCharacters", "what is left of characters and length leaves too little to chance")
	}
	out := make([]byte, req.Length)
	for i := range out {
		out[i] = all[below(len(all))]
	}
	if req.Each {
		free := make([]int, req.Length)
		for i := range free {
			free[i] = i
		}
		for _, c := range classes {
			i := below(len(free))
			out[free[i]] = c[below(len(c))]
			free = append(free[:i], free[i+1:]...)
		}
	}
	return out, nil
}

// bits is how much is left to chance at least.
func (r *PasswordRequest) bits(classes []string, all string) (bits float64) {
	rest := r.Length
	for _, c := range classes {
		if r.Each {
			bits += math.Log2(float64(len(c)))
			rest--
		}
	}
	return bits + float64(rest)*math.Log2(float64(len(all)))
}

// below draws a number from 0 to n-1, each as likely as the others.
func below(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand does not fail on a supported system
	}
	return int(i.Int64())
}
