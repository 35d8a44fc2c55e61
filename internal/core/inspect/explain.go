package inspect

import (
	"context"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// Explanation is the record of a refusal, and the same in plain words.
type Explanation struct {
	Record audit.Record // its Decision is set
	Text   string       // one paragraph
}

// Explain tells how a request was refused. NotFound: the caller's account had no
// such decision; one of another account is told in the same way.
func (s *Service) Explain(ctx context.Context, who caller.Caller, id string) (Explanation, error) {
	var out Explanation
	err := s.Gate.Do(ctx, who, "", onLog(who, policy.ExplainDecision), func(*audit.Record) error {
		if _, err := audit.ParseIDTime(id); err != nil {
			return errs.InvalidField("id", "a decision id has 26 letters and digits")
		}
		for r, err := range s.Log.Query(ctx, audit.Filter{Account: who.Account, Decision: id, Limit: 1}) {
			if err != nil {
				return err
			}
			out = Explanation{Record: s.show(who, r), Text: words(&r)}
			return nil
		}
		return errs.Coded(errs.NotFound, CodeDecision, "there is no such decision")
	})
	if err != nil {
		return Explanation{}, err
	}
	return out, nil
}

// words tells a refusal: who asked for what, when, and what decided.
func words(r *audit.Record) string {
	who := "somebody who was not authenticated"
	if r.Principal.Name != "" {
		who = r.Principal.Kind + " " + r.Principal.Name
	}
	var b strings.Builder
	b.WriteString(r.Time.UTC().Format("2006-01-02 15:04:05") + " UTC: " + who)
	if r.Principal.KeyID != "" {
		b.WriteString(" (access key " + r.Principal.KeyID + ")")
	}
	d := r.Decision
	b.WriteString(" asked for " + d.Action + " on " + d.Resource)
	if r.Source != "" {
		b.WriteString(" from " + r.Source)
	}
	switch d.Effect {
	case policy.EffectDeny:
		b.WriteString(" and was refused by an explicit denial")
	default:
		b.WriteString(" and was refused because no policy allows it")
	}
	if d.Policy != "" {
		b.WriteString(": statement " + d.Statement + " of policy " + d.Policy)
	}
	b.WriteString(".")
	for _, m := range d.Missing {
		b.WriteString(" " + sentence(m))
	}
	return b.String()
}

// sentence gives a reason a capital and a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	if s[0] >= 'a' && s[0] <= 'z' {
		s = string(s[0]-'a'+'A') + s[1:]
	}
	return strings.TrimSuffix(s, ".") + "."
}
