package native

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/secret"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// options are how a write is to be proposed.
type options struct {
	Draft     bool      `json:"draft"`
	NotBefore time.Time `json:"not_before"`
}

func (o options) of(c *call) change.Options {
	return change.Options{Draft: o.Draft, NotBefore: o.NotBefore, Key: c.key}
}

type patchBody struct {
	Set     map[string]hidden `json:"set"`
	Unset   []string          `json:"unset"`
	Replace bool              `json:"replace"`
	Base    *uint64           `json:"base"`
	Reason  string            `json:"reason"`
	options
}

type rollbackBody struct {
	Name    string    `json:"name"`
	Change  string    `json:"change"`
	Version uint64    `json:"version"`
	Time    time.Time `json:"time"`
	Reason  string    `json:"reason"`
	options
}

// reviewView is a change as it is reviewed. It has no place for a value.
type reviewView struct {
	changeView
	Digest   string             `json:"digest,omitempty"`
	Current  uint64             `json:"current,omitempty"`
	Standing []protect.Standing `json:"standing"`
	Rules    []protect.Rule     `json:"rules"`
	Votes    []voteView         `json:"votes"`
	Comments []commentView      `json:"comments"`
	Diff     []change.KeyDiff   `json:"diff"`
	Lines    []string           `json:"lines,omitempty"`
	Conflict string             `json:"conflict,omitempty"`
	Cannot   string             `json:"cannot,omitempty"` // why the caller cannot approve
	Reveals  bool               `json:"reveals"`          // the caller may read the values
}

type voteView struct {
	By        string    `json:"by"`
	Approve   bool      `json:"approve"`
	Counts    bool      `json:"counts"`
	Comment   string    `json:"comment,omitempty"`
	Time      time.Time `json:"time"`
	MFA       bool      `json:"mfa,omitempty"`
	Signed    bool      `json:"signed,omitempty"`
	Signature string    `json:"signature,omitempty"`
	Key       string    `json:"key,omitempty"`
}

type commentView struct {
	By   string    `json:"by"`
	Text string    `json:"text"`
	Time time.Time `json:"time"`
}

func viewReview(r change.Review) reviewView {
	v := reviewView{changeView: viewChange(r.Record), Digest: r.Digest, Current: r.Current, Standing: r.Standing, Rules: r.Rules,
		Diff: r.Diff, Lines: r.Lines, Conflict: r.Conflict, Cannot: r.CannotBy, Reveals: r.Reveals,
		Votes: []voteView{}, Comments: []commentView{}}
	v.Short = r.Short
	for _, x := range r.Votes {
		v.Votes = append(v.Votes, voteView{By: x.By, Approve: x.Approve, Counts: x.Counts, Comment: x.Comment, Time: moment(x.Time),
			MFA: x.MFA, Signed: x.Key != "", Signature: x.Signature, Key: x.Key})
	}
	for _, x := range r.Comments {
		v.Comments = append(v.Comments, commentView{x.By, x.Text, moment(x.Time)})
	}
	if v.Standing == nil {
		v.Standing = []protect.Standing{}
	}
	if v.Rules == nil {
		v.Rules = []protect.Rule{}
	}
	if v.Diff == nil {
		v.Diff = []change.KeyDiff{}
	}
	return v
}

// decidedView is what became of a change by a step of its review.
type decidedView struct {
	changeView
	Standing []protect.Standing `json:"standing"`
}

func viewDecided(d change.Decision, err error) (decidedView, error) {
	if d.Standing == nil {
		d.Standing = []protect.Standing{}
	}
	return decidedView{viewChange(d.Record), d.Standing}, err
}

type voteBody struct {
	Digest    string `json:"digest"`
	Comment   string `json:"comment"`
	Signature string `json:"signature"`
}

type rejectBody struct {
	Digest  string `json:"digest"`
	Comment string `json:"comment"`
}

type commentBody struct {
	Comment string `json:"comment"`
}

func changeRows() []route {
	step := func(path string, op policy.Op, do func(a *api, ctx context.Context, c *call, in *commentBody) (change.Record, error)) route {
		return row(route{method: "POST", path: "/changes/{id}/" + path, op: op, deadline: deadline, workflow: true, mayLack: true, limit: maxBody},
			func(a *api, c *call, in *commentBody) func(context.Context) (changeView, error) {
				return func(ctx context.Context) (changeView, error) {
					r, err := do(a, ctx, c, in)
					return viewChange(r), err
				}
			})
	}
	return []route{
		row(route{method: "POST", path: "/secret/patch", op: policy.PutValue, deadline: deadline, workflow: true, once: true, params: []param{named}}, patchSecret),
		row(route{method: "GET", path: "/secret/proposed", op: policy.ReadValue, deadline: deadline, workflow: true,
			params: []param{{name: "change", kind: text, required: true}}}, readProposed),
		row(route{method: "POST", path: "/rollback", op: policy.Rollback, deadline: deadline, workflow: true, once: true}, rollback),
		row(route{method: "GET", path: "/changes", op: policy.ListChanges, deadline: deadline, workflow: true, params: []param{
			{name: "name", kind: text}, {name: "noun", kind: text}, {name: "prefix", kind: text}, {name: "status", kind: text, repeats: true},
			{name: "author", kind: text}, {name: "since", kind: instant}, {name: "until", kind: instant}, limit, page}}, listChanges),
		row(route{method: "GET", path: "/changes/{id}", op: policy.ReadChange, deadline: deadline, workflow: true, tagged: true},
			func(a *api, c *call, _ *none) func(context.Context) (reviewView, error) {
				return func(ctx context.Context) (reviewView, error) {
					r, err := a.Changes.Get(ctx, c.who, c.vars[0])
					return viewReview(r), err
				}
			}),
		row(route{method: "POST", path: "/changes/{id}/approve", op: policy.ReviewChange, deadline: deadline, workflow: true},
			func(a *api, c *call, in *voteBody) func(context.Context) (decidedView, error) {
				return vote(a, c, in, true)
			}),
		row(route{method: "POST", path: "/changes/{id}/reject", op: policy.ReviewChange, deadline: deadline, workflow: true, mayLack: true, limit: maxBody},
			func(a *api, c *call, in *rejectBody) func(context.Context) (decidedView, error) {
				return vote(a, c, &voteBody{Digest: in.Digest, Comment: in.Comment}, false)
			}),
		step("withdraw", policy.WithdrawChange, func(a *api, ctx context.Context, c *call, in *commentBody) (change.Record, error) {
			return a.Changes.Withdraw(ctx, c.who, c.vars[0], in.Comment)
		}),
		step("comments", policy.CommentChange, func(a *api, ctx context.Context, c *call, in *commentBody) (change.Record, error) {
			return a.Changes.Comment(ctx, c.who, c.vars[0], in.Comment)
		}),
		row(route{method: "POST", path: "/changes/{id}/ready", op: policy.WithdrawChange, deadline: deadline, workflow: true},
			func(a *api, c *call, _ *none) func(context.Context) (changeView, error) {
				return func(ctx context.Context) (changeView, error) {
					r, err := a.Changes.Ready(ctx, c.who, c.vars[0])
					return viewChange(r), err
				}
			}),
	}
}

func patchSecret(a *api, c *call, in *patchBody) func(context.Context) (written, error) {
	req := secret.PatchRequest{ID: c.secret(), Set: map[string]sensitive.Bytes{}, Unset: in.Unset, Replace: in.Replace, Base: in.Base,
		Reason: in.Reason, Options: in.options.of(c)}
	for k, v := range in.Set {
		req.Set[k] = v.Bytes
	}
	return func(ctx context.Context) (written, error) {
		return viewWritten(a.Secrets.Patch(ctx, c.who, req))
	}
}

func readProposed(a *api, c *call, _ *none) func(context.Context) (proposedAnswer, error) {
	id := c.string("change")
	return func(ctx context.Context) (proposedAnswer, error) {
		p, err := a.Secrets.ReadProposed(ctx, c.who, id)
		return proposedAnswer{Change: p.Change, Name: p.Name, Base: p.Base, v: p.Data}, err
	}
}

// proposedAnswer is the value that an open change would make current. The tags
// say what appendJSON writes.
type proposedAnswer struct {
	Change string `json:"change"`
	Name   string `json:"name"`
	Base   uint64 `json:"base_version,omitempty"`
	Value  string `json:"value,omitempty"`
	Binary []byte `json:"binary,omitempty"`

	v sensitive.Bytes
}

func (p proposedAnswer) appendJSON(b []byte) []byte {
	b = append(b, `{"change":`...)
	b = appendQuoted(b, []byte(p.Change))
	b = append(b, `,"name":`...)
	b = appendQuoted(b, []byte(p.Name))
	if p.Base != 0 {
		b = strconv.AppendUint(append(b, `,"base_version":`...), p.Base, 10)
	}
	return append(appendPayload(b, p.v.Reveal(), false), "}\n"...)
}

func rollback(a *api, c *call, in *rollbackBody) func(context.Context) (written, error) {
	req := secret.RollbackRequest{Change: in.Change, Version: in.Version, Time: in.Time, Reason: in.Reason, Options: in.options.of(c)}
	if in.Name != "" {
		id, err := name.ParseSecretID(in.Name)
		if err != nil && c.err == nil {
			c.err = err
		}
		req.ID = id
	} else if in.Change == "" {
		c.fail("name", "say which secret to roll back, or which change")
	}
	return func(ctx context.Context) (written, error) {
		return viewWritten(a.Secrets.Rollback(ctx, c.who, req))
	}
}

func listChanges(a *api, c *call, _ *none) func(context.Context) (list[changeView], error) {
	req := change.ListRequest{Noun: c.string("noun"), Name: c.string("name"), Prefix: c.string("prefix"), Author: c.string("author"),
		Since: c.time("since"), Until: c.time("until"), Limit: c.int("limit", 1, change.MaxLimit)}
	if req.Name != "" && req.Noun == "" {
		req.Noun = "secret"
	}
	if req.Name != "" && req.Noun == "secret" {
		req.Region = a.region(c)
	}
	for _, s := range c.strings("status") {
		req.Statuses = append(req.Statuses, change.Status(s))
	}
	after, ok := decodePage(c.string("page"))
	if !ok {
		c.fail("page", "the page token is not valid")
	}
	req.After = after
	return func(ctx context.Context) (list[changeView], error) {
		out, err := a.Changes.List(ctx, c.who, req)
		next := ""
		if out.Next != "" {
			next = encodePage(out.Next)
		}
		return listOf(views(out.Changes, func(l change.Listed) changeView {
			v := viewChange(l.Record)
			v.Short = l.Short
			return v
		}), next), err
	}
}

func vote(a *api, c *call, in *voteBody, approve bool) func(context.Context) (decidedView, error) {
	digest, err := hex.DecodeString(in.Digest)
	if err != nil || len(digest) != 32 && (approve || len(digest) != 0) {
		c.fail("digest", "the digest is that of the review: 64 hexadecimal digits")
	}
	req := change.VoteRequest{ID: c.vars[0], Approve: approve, Digest: digest, Comment: in.Comment, Signature: in.Signature}
	return func(ctx context.Context) (decidedView, error) {
		return viewDecided(a.Changes.Vote(ctx, c.who, req))
	}
}

type rulesView struct {
	Rules    []protect.Rule `json:"rules"`
	Revision uint64         `json:"revision"`
}

type ruleChangeBody struct {
	Set      *protect.Rule   `json:"set"`
	Before   string          `json:"before"`
	Delete   string          `json:"delete"`
	Replace  *[]protect.Rule `json:"replace"`
	Revision uint64          `json:"revision"`
	Reason   string          `json:"reason"`
	options
}

type testRulesBody struct {
	Name   string            `json:"name"`
	Noun   string            `json:"noun"`
	Kind   string            `json:"kind"`
	Tags   map[string]string `json:"tags"`
	Author string            `json:"author"`
}

type protectionView struct {
	Rule     *protect.Rule  `json:"rule,omitempty"`
	Protects bool           `json:"protects"`
	Voters   []possibleView `json:"voters"`
	Warnings []string       `json:"warnings,omitempty"`
}

type possibleView struct {
	Count  int      `json:"count"`
	Groups []string `json:"groups,omitempty"`
	Names  []string `json:"names"`
}

func protectionRows() []route {
	return []route{
		row(route{method: "GET", path: "/protection", op: policy.GetRules, deadline: deadline, workflow: true},
			func(a *api, c *call, _ *none) func(context.Context) (rulesView, error) {
				return func(ctx context.Context) (rulesView, error) {
					r, err := a.Changes.Rules(ctx, c.who)
					if r.Rules == nil {
						r.Rules = []protect.Rule{}
					}
					return rulesView{r.Rules, r.Revision}, err
				}
			}),
		row(route{method: "POST", path: "/protection", op: policy.PutRules, deadline: deadline, workflow: true, once: true},
			func(a *api, c *call, in *ruleChangeBody) func(context.Context) (change.Result, error) {
				rc := change.RuleChange{Set: in.Set, Before: in.Before, Delete: in.Delete, Revision: in.Revision}
				if in.Replace != nil {
					rc.Whole, rc.Replace = true, *in.Replace
				}
				return func(ctx context.Context) (change.Result, error) {
					return a.Changes.PutRules(ctx, c.who, rc, in.Reason, in.options.of(c))
				}
			}),
		row(route{method: "POST", path: "/protection/test", op: policy.GetRules, deadline: deadline, workflow: true}, testRules),
	}
}

func testRules(a *api, c *call, in *testRulesBody) func(context.Context) (protectionView, error) {
	s := protect.Subject{Noun: in.Noun, Name: in.Name, Kind: protect.Kind(in.Kind), Tags: in.Tags}
	if s.Noun == "" {
		s.Noun = "secret"
	}
	if s.Kind == "" {
		s.Kind = protect.Edit
	}
	if in.Name == "" || len(in.Name) > name.MaxSecret || strings.ContainsAny(in.Name, "\r\n") {
		c.fail("name", "name the thing that a change would alter")
	}
	return func(ctx context.Context) (protectionView, error) {
		p, err := a.Changes.TestRules(ctx, c.who, s, in.Author)
		v := protectionView{Rule: p.Rule, Protects: p.Protects, Warnings: p.Warnings, Voters: []possibleView{}}
		for _, x := range p.Voters {
			v.Voters = append(v.Voters, possibleView{x.Count, x.Groups, some(x.Names)})
		}
		return v, err
	}
}
