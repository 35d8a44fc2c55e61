package proof

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"countersign/internal/errs"
	"countersign/internal/sshsig"
)

// MaxBundle bounds an export in bytes: a value of 1 MiB in base64 and the rest.
const MaxBundle = 4 << 20

// maxSigners bounds a list of signers in bytes.
const maxSigners = 1 << 20

// Signer is a public key and whose it is.
type Signer struct {
	Name string
	Key  sshsig.PublicKey
}

// ParseSigners reads a list of signers: a name and a public key a line, as in the
// allowed_signers file of ssh-keygen(1) without options. Lines that are empty or
// begin with # are passed over.
func ParseSigners(r io.Reader) (out []Signer, err error) {
	sc := bufio.NewScanner(io.LimitReader(r, maxSigners))
	sc.Buffer(nil, sshsig.MaxKeyLine+512)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		names, key, ok := strings.Cut(line, " ")
		if !ok {
			return nil, errs.InvalidField("signers", "line %d is not a name and a public key", n)
		}
		k, err := sshsig.ParsePublicKey(strings.TrimSpace(key))
		if err != nil {
			return nil, errs.InvalidField("signers", "line %d: %s", n, errs.As(err).Msg)
		}
		for name := range strings.SplitSeq(names, ",") {
			out = append(out, Signer{Name: name, Key: k})
		}
	}
	if err := sc.Err(); err != nil {
		return nil, errs.InvalidField("signers", "the list of signers cannot be read: a line is too long")
	}
	return out, nil
}

// ParseBundle reads an export.
func ParseBundle(data []byte) (Bundle, error) {
	var b Bundle
	if len(data) > MaxBundle {
		return b, errs.InvalidField("export", "an export has at most %d bytes", MaxBundle)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return b, errs.InvalidField("export", "this is not an export of a countersigned version")
	}
	if b.Format != Format {
		return b, errs.InvalidField("export", "the export has format %d, and this program reads %d", b.Format, Format)
	}
	return b, nil
}

// Report is what a verification found.
type Report struct {
	Change   string   `json:"change"`
	Name     string   `json:"name"`
	Version  uint64   `json:"version"`
	Proved   bool     `json:"proved"`            // nothing is wrong, and every approval is met by signatures
	Signed   []string `json:"signed"`            // names whose signatures verified
	Problems []string `json:"problems"`          // what is wrong
	Trusted  []string `json:"trusted,omitempty"` // what only the server says
}

// Verify checks a bundle against a value and the keys of known signers.
func Verify(b Bundle, value []byte, signers []Signer) Report {
	e := &b.Evidence
	r := Report{Change: e.Change, Name: e.Name, Version: b.Version, Signed: []string{}, Problems: []string{}}
	digest := e.Digest()
	if !Commits(e.Content, b.Nonce, value) {
		r.Problems = append(r.Problems, "the value is not the one that was approved")
	}
	for _, v := range b.Votes {
		if v.Signature == "" {
			continue
		}
		switch err := verifyVote(v, e.Change, digest, signers); {
		case err != "":
			r.Problems = append(r.Problems, err)
		case !slices.Contains(r.Signed, v.Name):
			r.Signed = append(r.Signed, v.Name)
		}
	}
	for _, rule := range e.Rules {
		r.checkRule(rule, b.Approvals)
	}
	if len(e.Rules) == 0 {
		r.Problems = append(r.Problems, "no rule held: nobody had to approve it")
	}
	r.Proved = len(r.Problems) == 0
	return r
}

// verifyVote says what is wrong with a signed vote.
func verifyVote(v Vote, change string, digest []byte, signers []Signer) string {
	if !bytes.Equal(v.Digest, digest) {
		return fmt.Sprintf("the vote of %s is over something else", v.Name)
	}
	known := false
	for _, s := range signers {
		if s.Name != v.Name {
			continue
		}
		known = true
		if sshsig.Verify(v.Signature, s.Key, Namespace, SignedText(change, digest)) == nil {
			return ""
		}
	}
	if !known {
		return fmt.Sprintf("no key of %s is in the list of signers", v.Name)
	}
	return fmt.Sprintf("the signature of %s is by none of the keys in the list of signers", v.Name)
}

// ruleShape is what of a rule's JSON matters here.
type ruleShape struct {
	Name      string `json:"name"`
	Approvals []struct {
		Count  int      `json:"count"`
		Groups []string `json:"groups"`
	} `json:"approvals"`
}

// checkRule holds the verified signatures against what a rule asks for. The rule
// is part of the digest; whom the server counted for it is not.
func (r *Report) checkRule(text string, counted []Approval) {
	var rule ruleShape
	if json.Unmarshal([]byte(text), &rule) != nil {
		r.Problems = append(r.Problems, "a rule in the evidence cannot be read")
		return
	}
	if len(rule.Approvals) == 0 {
		r.Problems = append(r.Problems, fmt.Sprintf("rule %q asks for nobody's approval", rule.Name))
	}
	for _, want := range rule.Approvals {
		var by []string
		for _, a := range counted {
			if a.Rule == rule.Name && a.Need == want.Count && slices.Equal(a.Groups, want.Groups) {
				by = a.By
			}
		}
		have := 0
		for i, name := range by {
			if slices.Contains(r.Signed, name) && !slices.Contains(by[:i], name) {
				have++
			}
		}
		if have < want.Count {
			r.Problems = append(r.Problems, fmt.Sprintf("rule %q asks for %d approvals, and %d are proved by signatures", rule.Name, want.Count, have))
		}
		if len(want.Groups) > 0 {
			r.Trusted = append(r.Trusted, fmt.Sprintf("that %s were in %s", strings.Join(by, ", "), strings.Join(want.Groups, " or ")))
		}
	}
}
