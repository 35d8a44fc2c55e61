package change

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/gate"
	"countersign/internal/core/notice"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/proof"
)

// Limits of what is said about a change.
const (
	maxVotes    = 100
	maxComments = 200
	maxArmor    = 16 << 10
)

// MFAFor is how long a second factor counts for votes after it was shown.
const MFAFor = 12 * time.Hour

// VoteRequest is somebody's decision.
type VoteRequest struct {
	ID      string // of the change, or enough of it to be unique
	Approve bool
	// Digest is that of what the voter reviewed. It must be the present one. A
	// rejection may go without.
	Digest    []byte
	Comment   string
	Signature string // over SignedText, by a registered SSH key
}

// Decision is what became of a change by a vote.
type Decision struct {
	Record   Record
	Standing []protect.Standing
}

// Vote approves or rejects a change. The vote that completes what the rules ask
// for applies it, in the same transaction. A rejection ends it.
//
// Conflict: the digest is not the present one, or the change cannot be merged.
// Precondition: it is not open any more, or the rule does not take this vote.
func (s *Service) Vote(ctx context.Context, who caller.Caller, req VoteRequest) (Decision, error) {
	var out Decision
	err := s.act(ctx, who, policy.ReviewChange, req.ID, func(tx *Tx, e *entry) (err error) {
		if err := req.check(); err != nil {
			return err
		}
		out, err = s.vote(tx, e, req)
		return err
	})
	return out, err
}

func (req *VoteRequest) check() error {
	if len(req.Signature) > maxArmor {
		return errs.InvalidField("signature", "a signature has at most %d bytes", maxArmor)
	}
	return name.Text("comment", req.Comment, name.MaxDescription)
}

// act runs one step of the workflow on a change: f is called once policy has
// allowed op on what the change alters. The change's record is written when f
// succeeds.
func (s *Service) act(ctx context.Context, who caller.Caller, op policy.Op, id string, f func(tx *Tx, e *entry) error) error {
	rec := gate.NewRecord(who, op, "")
	err := s.write(ctx, who, &rec, func(txn kv.Txn, a *gate.Access, now time.Time) error {
		e, err := s.ask(a, op, id)
		if err != nil {
			return err
		}
		tx := &Tx{Txn: txn, Now: now, Who: who, audit: a.Record, access: a, Change: e.rec}
		tx.audit.Change = e.rec.ID
		if err := f(tx, e); err != nil {
			return err
		}
		if err := record.Put(tx, recordKey(e.target, e.rec.ID), e.rec); err != nil {
			return err
		}
		if e.prop == nil {
			return nil
		}
		return record.Put(tx, proposalKey(e.target.Account, e.rec.ID), e.prop)
	})
	if err == nil {
		s.woken.Ring()
	}
	return err
}

// ask finds the change that an id means and asks policy about op on what it
// alters. A change that does not exist is refused like one that may not be seen.
func (s *Service) ask(a *gate.Access, op policy.Op, prefix string) (*entry, error) {
	acct := a.Who.Account
	id, wrong := resolve(a, acct, prefix)
	var e *entry
	if wrong == nil {
		var err error
		if e, err = find(a, acct, id); err != nil {
			return nil, err
		}
	}
	resource := policy.ChangeARN(acct, "")
	if e != nil {
		resource, a.Record.Resource = e.resource(), e.target.Name
		a.Record.Region = e.target.Region
	}
	if err := a.Allow(&policy.Request{Op: op, Resource: resource, Account: acct}, nil); err != nil {
		return nil, err
	}
	switch {
	case wrong != nil:
		return nil, wrong
	case e == nil:
		return nil, errs.Coded(errs.NotFound, CodeChange, "there is no such change")
	}
	return e, nil
}

// resource is the ARN of what a change alters.
func (e *entry) resource() string {
	if e.rec.Resource != "" {
		return e.rec.Resource
	}
	return policy.ChangeARN(e.target.Account, e.rec.ID)
}

// mustWait fails unless the change is open.
func (e *entry) mustWait() error {
	if e.prop == nil || !e.rec.Status.Open() {
		return &errs.Error{Kind: errs.Precondition, Code: CodeClosed, Field: string(e.rec.Status),
			Msg: "change " + e.rec.ID + " is " + string(e.rec.Status) + " already"}
	}
	return nil
}

func (s *Service) vote(tx *Tx, e *entry, req VoteRequest) (Decision, error) {
	if err := e.mustWait(); err != nil {
		return Decision{}, err
	}
	if e.rec.Status == Draft {
		return Decision{}, errs.Coded(errs.Precondition, CodeClosed, "the change is a draft: its author has not put it to review")
	}
	ev, err := s.evaluate(tx, e, tx.Now)
	if err != nil {
		return Decision{}, err
	}
	if err := s.mayVote(tx, e, ev, req); err != nil {
		return Decision{}, err
	}
	v := Vote{By: tx.Who.ARN(), Name: tx.Who.Name, Approve: req.Approve, Digest: ev.digest, Comment: req.Comment,
		Time: tx.Now.UnixMicro(), MFA: recent(tx.Who.MFA, tx.Now)}
	if v.Key, err = s.signer(tx, e, ev, req); err != nil {
		return Decision{}, err
	}
	if v.Key != "" {
		v.Signature = req.Signature
	}
	e.prop.Votes = slices.DeleteFunc(e.prop.Votes, func(old Vote) bool { return old.By == v.By })
	if len(e.prop.Votes) >= maxVotes {
		return Decision{}, errs.New(errs.Limit, "a change has at most %d votes", maxVotes)
	}
	e.prop.Votes = append(e.prop.Votes, v)
	if !req.Approve {
		return Decision{Record: *e.rec}, s.end(tx, e, ev, Rejected, req.Comment)
	}
	return s.count(tx, e, ev)
}

// recent reports whether a second factor counts.
func recent(shown, now time.Time) bool { return !shown.IsZero() && now.Sub(shown) < MFAFor }

// mayVote says whether the rules take the vote, and whether it is over what
// would take effect.
func (s *Service) mayVote(tx *Tx, e *entry, ev *evaluation, req VoteRequest) error {
	who, err := s.people.Subject(tx, tx.Who.Account, tx.Who.Name) // with the groups of now
	if err != nil {
		return err
	}
	if who == nil {
		return errs.New(errs.Denied, "the voter was disabled or deleted")
	}
	voter, author := s.voter(*who, Vote{MFA: recent(tx.Who.MFA, tx.Now), Key: req.Signature}), ev.authorVoter(s, e)
	var why string
	for i := range ev.rules {
		rule := ev.rules[i]
		if !req.Approve { // who could approve may reject, signed or not
			rule.Signed, rule.MFA, rule.AllowAuthor = false, false, false
		}
		why = rule.Refuses(author, voter)
		if why == "" {
			break
		}
	}
	switch {
	case why != "" && !req.Approve && voter.Name == author.Name:
		return errs.Coded(errs.Precondition, CodeVoter, "the author does not reject a change but withdraws it")
	case why != "":
		return errs.Coded(errs.Precondition, CodeVoter, "%s", why)
	case !req.Approve:
		return nil
	case ev.author == nil:
		return errs.Coded(errs.Precondition, CodeAuthorGone, "the author was disabled or deleted since: somebody else has to propose it again")
	case ev.conflict != nil:
		return ev.asConflict()
	case !bytes.Equal(req.Digest, ev.digest):
		return errs.Coded(errs.Conflict, CodeMoved, "what would take effect is no longer what was reviewed: review it again")
	}
	return nil
}

// asConflict is why a change cannot take effect, as an error of it.
func (ev *evaluation) asConflict() error {
	msg := "the change is at odds with what was applied since it was proposed"
	if ev.conflict.Kind != errs.Conflict {
		msg = "the change cannot take effect any more: " + ev.conflict.Msg
	} else if ev.conflict.Field != "" {
		msg += ": " + ev.conflict.Field
	}
	return &errs.Error{Kind: errs.Conflict, Code: CodeConflict, Field: ev.conflict.Field, Msg: msg}
}

// voter is what rules look at of somebody who votes or voted.
func (s *Service) voter(who caller.Caller, v Vote) protect.Voter {
	return protect.Voter{Name: who.Name, Machine: who.Kind == caller.Machine, Person: personOf(who),
		Groups: who.Groups, MFA: v.MFA, Signed: v.Key != ""}
}

// personOf is the human behind a principal; one of whom nothing is known is one
// of its own.
func personOf(who caller.Caller) string {
	if who.Person != "" {
		return who.Person
	}
	return "\x00" + who.Account + "/" + who.Name
}

// authorVoter is the author as one of the voters, which an author of another
// account never is.
func (ev *evaluation) authorVoter(s *Service, e *entry) protect.Voter {
	who := caller.Caller{Account: e.prop.Account, Kind: e.prop.Kind, Name: e.prop.Author}
	if ev.author != nil {
		who = *ev.author
	}
	v := s.voter(who, Vote{})
	if e.prop.Account != e.target.Account {
		v.Name = e.prop.Account + "/" + v.Name
	}
	return v
}

// stand counts the votes that are over the present digest, of those who may
// still cast them.
func (s *Service) stand(r kv.Reader, e *entry, ev *evaluation) ([]protect.Standing, error) {
	var voters []protect.Voter
	for _, v := range e.prop.Votes {
		if !v.Approve || !bytes.Equal(v.Digest, ev.digest) {
			continue
		}
		who, err := s.people.Subject(r, e.target.Account, v.Name)
		if err != nil {
			return nil, err
		}
		if who != nil {
			voters = append(voters, s.voter(*who, v))
		}
	}
	var out []protect.Standing
	for i := range ev.rules {
		out = append(out, ev.rules[i].Stand(ev.authorVoter(s, e), voters))
	}
	return out, nil
}

// count applies a change, or lets it wait for its time, when its votes are
// complete.
func (s *Service) count(tx *Tx, e *entry, ev *evaluation) (Decision, error) {
	standing, err := s.stand(tx, e, ev)
	if err != nil {
		return Decision{}, err
	}
	if slices.ContainsFunc(standing, func(st protect.Standing) bool { return !st.Met() }) {
		return Decision{Record: *e.rec, Standing: standing}, nil
	}
	at, err := effective(ev.rules, e.rec, tx.Now)
	if err != nil {
		return Decision{}, err
	}
	if at.After(tx.Now) {
		e.rec.Status = Approved
		if err := putDue(tx, at, e.target.Account, dueApply, e.rec.ID); err != nil {
			return Decision{}, err
		}
		err := tx.notify(notice.ChangeApproved, e.target, e.rec, "")
		return Decision{Record: *e.rec, Standing: standing}, err
	}
	err = s.apply(tx, e, ev, standing)
	return Decision{Record: *e.rec, Standing: standing}, err
}

// apply lets a change take effect.
func (s *Service) apply(tx *Tx, e *entry, ev *evaluation, standing []protect.Standing) error {
	data, err := tx.Get(editKey(e.target.Account, e.rec.ID))
	if err != nil {
		return err
	}
	edit, err := s.decode(e, data)
	if err != nil {
		return err
	}
	who := caller.Caller{Account: e.target.Account, Region: e.prop.Region}
	if err := edit.Allow(gate.NewAccess(tx, nil, system(who), &audit.Record{})); err != nil {
		return err
	}
	if err := edit.Apply(tx); err != nil {
		return err
	}
	if tx.noop { // somebody else did the same meanwhile
		if err := s.drop(tx, edit); err != nil {
			return err
		}
	}
	e.prop.Sealed = &sealed{Evidence: ev.evidence, Version: e.rec.Version, Applied: tx.Now.UnixMicro()}
	for _, st := range standing {
		for _, c := range st.Approvals {
			e.prop.Sealed.Approvals = append(e.prop.Sealed.Approvals, proof.Approval{Rule: st.Rule, Need: c.Need, Groups: c.Groups, By: c.By})
		}
	}
	if err := s.close(tx, e, Applied, ""); err != nil {
		return err
	}
	return s.settle(tx, e.target, e.rec.ID)
}

// end closes a change that takes no effect.
func (s *Service) end(tx *Tx, e *entry, ev *evaluation, as Status, text string) error {
	if err := s.drop(tx, ev.edit); err != nil {
		return err
	}
	return s.close(tx, e, as, text)
}

// drop removes what an edit kept while it waited. The edit is loaded anew, since
// a trial may have altered what it holds.
func (s *Service) drop(tx *Tx, edit Edit) error {
	h, ok := edit.(Holder)
	if !ok {
		return nil
	}
	return h.Drop(tx)
}

// close removes what leads to an open change, and the values in its edit.
func (s *Service) close(tx *Tx, e *entry, as Status, text string) error {
	acct, id := e.target.Account, e.rec.ID
	e.rec.Status, e.rec.Ended, e.rec.EndedBy, e.rec.Conflicts = as, tx.Now.UnixMicro(), tx.Who.ARN(), nil
	for _, k := range []kv.Key{openKey(acct, id), openOfKey(e.target, id), openByKey(acct, e.rec.Author, id), editKey(acct, id)} {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return tx.notify(notice.Kind("change."+string(as)), e.target, e.rec, text)
}

// maxMarked bounds how many changes one transaction marks as conflicted.
const maxMarked = 20

// settle looks at the changes that wait for the same thing after one took
// effect, and marks those that are now at odds with it, or no longer are.
func (s *Service) settle(tx *Tx, t Target, applied string) error {
	var ids []string
	for p, err := range tx.Scan(kv.Prefix(kv.K(t.Account, "change-open-of", t.Noun, t.Region, t.Name))) {
		if err != nil {
			return err
		}
		strs, _, err := kv.Key(p.Key).Parts("ssssss")
		if err != nil {
			return err
		}
		if strs[5] != applied {
			ids = append(ids, strs[5])
		}
	}
	marked := 0
	for _, id := range ids {
		e, err := find(tx, t.Account, id)
		if err != nil || e == nil || e.prop == nil {
			return err
		}
		if e.rec.Status != Pending && e.rec.Status != Conflicted || marked == maxMarked {
			continue
		}
		ev, err := s.evaluate(tx, e, tx.Now)
		if err != nil {
			return err
		}
		is := Pending
		if ev.conflict != nil {
			is = Conflicted
		}
		if is == e.rec.Status {
			continue
		}
		marked++
		e.rec.Status, e.rec.Conflicts = is, ev.conflictKeys()
		if err := record.Put(tx, recordKey(t, id), e.rec); err != nil {
			return err
		}
		if is == Conflicted {
			if err := tx.notify(notice.ChangeConflicted, t, e.rec, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// conflictKeys are the keys at odds.
func (ev *evaluation) conflictKeys() []string {
	if ev.conflict == nil || ev.conflict.Field == "" || ev.conflict.Kind != errs.Conflict {
		return nil
	}
	return strings.Split(ev.conflict.Field, ", ")
}
