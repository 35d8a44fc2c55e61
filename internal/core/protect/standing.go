package protect

import (
	"fmt"
	"slices"
	"strings"
)

// Voter is what counts of somebody who signs, as it stands when it is counted.
type Voter struct {
	Name    string
	Machine bool
	Person  string // the human behind, the same over all of their identities
	Groups  []string
	MFA     bool // the vote was cast with a second factor
	Signed  bool // the vote carries a valid signature
}

// Standing is how far a change has come under one rule.
type Standing struct {
	Rule      string  `json:"rule"` // name; empty when the author may only propose and no rule holds
	Approvals []Count `json:"approvals"`
}

// Count is one approval of a rule and the signatures it has.
type Count struct {
	Need   int      `json:"need"`
	Have   int      `json:"have"`
	Groups []string `json:"groups,omitempty"`
	By     []string `json:"by,omitempty"` // names of those who count
}

// Met reports whether every approval has its signatures.
func (s Standing) Met() bool {
	return !slices.ContainsFunc(s.Approvals, func(c Count) bool { return c.Have < c.Need })
}

// Missing says in words what is still asked for.
func (s Standing) Missing() string {
	var parts []string
	for _, c := range s.Approvals {
		if n := c.Need - c.Have; n > 0 {
			from := "anybody who may approve"
			if len(c.Groups) > 0 {
				from = strings.Join(c.Groups, " or ")
			}
			parts = append(parts, fmt.Sprintf("%d more from %s", n, from))
		}
	}
	return strings.Join(parts, ", ")
}

// Stand counts votes. Of one person one vote counts.
func (r *Rule) Stand(author Voter, votes []Voter) Standing {
	s := Standing{Rule: r.Name}
	for _, a := range r.Approvals {
		c := Count{Need: a.Count, Groups: a.Groups}
		var persons []string
		for i := range votes {
			v := &votes[i]
			if r.Refuses(author, *v) == "" && a.fits(v) && !slices.Contains(persons, v.Person) {
				persons = append(persons, v.Person)
				c.By = append(c.By, v.Name)
			}
		}
		c.Have = len(persons)
		s.Approvals = append(s.Approvals, c)
	}
	return s
}

// fits reports whether a voter is one of those that an approval asks for.
func (a *Approval) fits(v *Voter) bool {
	return len(a.Groups) == 0 || slices.ContainsFunc(v.Groups, func(g string) bool { return slices.Contains(a.Groups, g) })
}

// Refuses says why r does not take the vote of v on a change by author, or
// returns the empty text.
func (r *Rule) Refuses(author, v Voter) string {
	switch {
	case v.Machine && !slices.Contains(r.Machines, v.Name):
		return "a machine approves only where the rule names it"
	case !r.AllowAuthor && v.Name == author.Name:
		return "the author of a change cannot approve it"
	case !r.AllowAuthor && v.Person == author.Person:
		return "the person who made a change cannot approve it through another identity"
	case r.MFA && !v.MFA:
		return "the rule asks for approvals with a second factor: sign in with one"
	case r.Signed && !v.Signed:
		return "the rule asks for signed approvals: approve with --sign"
	case !slices.ContainsFunc(r.Approvals, func(a Approval) bool { return a.fits(&v) }):
		return "the rule asks for approvals of " + r.groups()
	}
	return ""
}

// groups names all groups that r asks.
func (r *Rule) groups() string {
	var all []string
	for _, a := range r.Approvals {
		for _, g := range a.Groups {
			if !slices.Contains(all, g) {
				all = append(all, g)
			}
		}
	}
	return strings.Join(all, ", ")
}
