// Package fsck checks a store file offline, and trusts nothing in it.
//
// It reads the file page by page, without bbolt, and holds it against four
// things in turn: the structure of pages, what the store says of itself (format,
// revision, number and digest of pairs), the layout of keys, which the caller
// gives as Rules, and the ciphers, which say whether a value is the one that was
// stored under its key. Only a file without findings so far is opened as a
// store, for the caller's own checks of what refers to what.
//
// Detected: every change of a byte that could change what is read; pages or
// values cut, moved, swapped or put back to an older state. Not detected: a
// whole file replaced by an older copy of itself, which is a valid store; and a
// pair taken away, or put back to an older value, by somebody who computes the
// digest anew, which has no key. For both the audit log is the witness.
//
// A report names keys and never holds a value.
package fsck

import (
	"context"
	"fmt"
	"io"

	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
	"countersign/internal/kv/sealed"
)

// Rule describes the pairs of one kind, which is the second part of their keys;
// the first is the account.
type Rule struct {
	Kind string
	// Shape of the whole key, as kv.Key.Parts takes it: "ss" and what follows.
	// Empty when keys of this kind have several shapes.
	Shape string
	// Decode refuses a value that is not one of this kind. It is given
	// plaintext, and must not put it into its error. Nil accepts any.
	Decode func(key kv.Key, value []byte) error
}

// Refer checks what pairs say of each other, and reports what does not hold.
type Refer func(r kv.Reader, report func(key kv.Key, problem string)) error

// Config says what to hold a file against.
type Config struct {
	// Cipher opens values. Nil leaves them closed: then neither they nor
	// anything in them is checked.
	Cipher sealed.Cipher
	// Rules for every kind that may be in the store. Empty: keys need only
	// begin with an account and a kind.
	Rules []Rule
	// Refers run when nothing else was found.
	Refers []Refer
}

// Finding is one problem, of a pair or, when Key is nil, of the file.
type Finding struct {
	Key     kv.Key
	Problem string
}

// String is the finding as one line.
func (f Finding) String() string {
	if f.Key == nil {
		return f.Problem
	}
	return fmt.Sprintf("%q: %s", []byte(f.Key), f.Problem)
}

// Report is the outcome of a check. A store is sound when it has no Findings.
type Report struct {
	Revision kv.Revision
	Pairs    uint64
	Findings []Finding
}

// Run checks a file that no process has open for writing. An error means that
// the check could not be made; damage is a finding.
func Run(ctx context.Context, path string, c Config) (Report, error) {
	k := newChecker(c)
	in, err := boltkv.InspectFile(ctx, path, k.pair)
	if err != nil {
		return Report{}, err
	}
	r := k.report(in)
	if len(r.Findings) > 0 || len(c.Refers) == 0 || c.Cipher == nil {
		return r, nil
	}
	return r, k.refer(ctx, path, &r)
}

// Check is Run without Refers, for a file in any place.
func Check(ctx context.Context, file io.ReaderAt, size int64, c Config) (Report, error) {
	k := newChecker(c)
	in, err := boltkv.Inspect(ctx, file, size, k.pair)
	if err != nil {
		return Report{}, err
	}
	return k.report(in), nil
}

type checker struct {
	Config
	rules    map[string]Rule
	findings []Finding
}

func newChecker(c Config) *checker {
	k := &checker{Config: c, rules: map[string]Rule{}}
	for _, r := range c.Rules {
		k.rules[r.Kind] = r
	}
	return k
}

func (k *checker) report(in boltkv.Report) Report {
	r := Report{Revision: kv.Revision(in.State.Revision), Pairs: in.Pairs}
	for _, p := range in.Problems {
		r.Findings = append(r.Findings, Finding{Problem: p})
	}
	r.Findings = append(r.Findings, k.findings...)
	return r
}

// pair checks one pair. Its slices are valid during the call.
func (k *checker) pair(key, stored []byte) {
	if problem := k.problem(key, stored); problem != "" {
		k.findings = append(k.findings, Finding{Key: append(kv.Key{}, key...), Problem: problem})
	}
}

func (k *checker) problem(key kv.Key, stored []byte) string {
	kind, ok := kindOf(key)
	if !ok {
		return "does not begin with an account and a kind"
	}
	rule, known := k.rules[kind]
	if len(k.rules) > 0 {
		if !known {
			return fmt.Sprintf("has the unknown kind %q", kind)
		}
		if _, _, err := key.Parts(rule.Shape); err != nil && rule.Shape != "" {
			return fmt.Sprintf("does not have the shape of %q", kind)
		}
	}
	if k.Cipher == nil {
		return ""
	}
	value, err := sealed.Open(k.Cipher, key, stored)
	if err != nil {
		return "value does not open"
	}
	if known && rule.Decode != nil {
		if err := rule.Decode(key, value); err != nil {
			return fmt.Sprintf("value is no %q: %v", kind, err)
		}
	}
	return ""
}

// kindOf returns the second part of a key whose first two parts are strings.
func kindOf(key kv.Key) (string, bool) {
	for n := len("0\x00\x010\x00\x01"); n <= len(key); n++ { // ends of two parts
		if key[n-1] != 1 || key[n-2] != 0 {
			continue
		}
		if parts, _, err := key[:n].Parts("ss"); err == nil {
			return parts[1], true
		}
	}
	return "", false
}

func (k *checker) refer(ctx context.Context, path string, r *Report) error {
	db, err := boltkv.Open(boltkv.Config{Path: path, ReadOnly: true})
	if err != nil {
		return err
	}
	defer db.Close()
	return sealed.New(db, k.Cipher).View(ctx, func(reader kv.Reader) error {
		for _, f := range k.Refers {
			err := f(reader, func(key kv.Key, problem string) {
				r.Findings = append(r.Findings, Finding{Key: append(kv.Key{}, key...), Problem: problem})
			})
			if err != nil {
				return fmt.Errorf("checking references: %w", err)
			}
		}
		return nil
	})
}
