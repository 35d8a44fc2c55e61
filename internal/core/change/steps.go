package change

import (
	"context"
	"fmt"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/notice"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/errs"
	"countersign/internal/name"
)

func warnFew(want protect.Approval, have int) string {
	return fmt.Sprintf("%d approvals are asked of %s, and %d people could give one", want.Count, strings.Join(want.Groups, ", "), have)
}

// CodeAwaits is the code of Awaits.
const CodeAwaits = "awaits-approval"

// Awaits is nil for a change that took effect, or where none had to be made. For
// others it is what a front says whose protocol cannot tell of a write that
// waits; Field is the change's id.
func Awaits(id string, s Status) error {
	if id == "" || s == Applied || s == "" {
		return nil
	}
	return &errs.Error{Kind: errs.Precondition, Code: CodeAwaits, Field: id,
		Msg: "this was not done: it became change " + id + ", which awaits approval (countersign review --id " + id + ")"}
}

// Withdraw ends one's own change.
func (s *Service) Withdraw(ctx context.Context, who caller.Caller, id, comment string) (Record, error) {
	return s.own(ctx, who, id, comment, func(tx *Tx, e *entry) error {
		ev, err := s.evaluate(tx, e, tx.Now)
		if err != nil {
			return err
		}
		if comment != "" {
			e.prop.Comments = append(e.prop.Comments, Comment{By: tx.Who.ARN(), Text: comment, Time: tx.Now.UnixMicro()})
		}
		return s.end(tx, e, ev, Withdrawn, comment)
	})
}

// Ready puts one's own draft to review.
func (s *Service) Ready(ctx context.Context, who caller.Caller, id string) (Record, error) {
	return s.own(ctx, who, id, "", func(tx *Tx, e *entry) error {
		if e.rec.Status != Draft {
			return &errs.Error{Kind: errs.Precondition, Code: CodeClosed, Field: string(e.rec.Status), Msg: "the change is no draft but " + string(e.rec.Status)}
		}
		if err := s.reauthorize(tx, e, tx.access); err != nil {
			return err
		}
		e.rec.Status, e.prop.Proposed = Pending, tx.Now.UnixMicro()
		ev, err := s.evaluate(tx, e, tx.Now)
		switch {
		case err != nil:
			return err
		case ev.conflict != nil:
			return ev.asConflict()
		}
		if err := tx.notify(notice.ChangeProposed, e.target, e.rec, ""); err != nil {
			return err
		}
		_, err = s.count(tx, e, ev) // no rule may hold
		return err
	})
}

// reauthorize asks policy about the edit of a change once more: a has the author
// as its caller. Since it was proposed the author may have lost the permission,
// or may only propose now.
func (s *Service) reauthorize(tx *Tx, e *entry, a *gate.Access) error {
	data, err := tx.Get(editKey(e.target.Account, e.rec.ID))
	if err != nil {
		return err
	}
	edit, err := s.decode(e, data)
	if err != nil {
		return err
	}
	a.Proposable = true
	if err := edit.Allow(a); err != nil {
		return err
	}
	e.prop.Only = e.prop.Only || a.OnlyProposes
	return nil
}

// own runs a step that only the author of a change may do.
func (s *Service) own(ctx context.Context, who caller.Caller, id, comment string, f func(tx *Tx, e *entry) error) (Record, error) {
	var out Record
	err := s.act(ctx, who, policy.WithdrawChange, id, func(tx *Tx, e *entry) error {
		if err := name.Text("comment", comment, name.MaxDescription); err != nil {
			return err
		}
		if err := e.mustWait(); err != nil {
			return err
		}
		if e.rec.Author != who.ARN() {
			return errs.Coded(errs.Precondition, CodeVoter, "only its author can do this with a change; who reviews it can reject it")
		}
		err := f(tx, e)
		out = *e.rec
		return err
	})
	return out, err
}

// Comment says something about a change.
func (s *Service) Comment(ctx context.Context, who caller.Caller, id, text string) (Record, error) {
	var out Record
	err := s.act(ctx, who, policy.CommentChange, id, func(tx *Tx, e *entry) error {
		if err := name.Text("comment", text, name.MaxDescription); err != nil {
			return err
		}
		switch {
		case text == "":
			return errs.InvalidField("comment", "a comment has at least one character")
		case e.prop == nil:
			return errs.Coded(errs.Precondition, CodeClosed, "the change was applied without a review: there is nothing to comment on")
		case len(e.prop.Comments) >= maxComments:
			return errs.New(errs.Limit, "a change has at most %d comments", maxComments)
		}
		e.prop.Comments = append(e.prop.Comments, Comment{By: who.ARN(), Text: text, Time: tx.Now.UnixMicro()})
		out = *e.rec
		return tx.notify(notice.ChangeCommented, e.target, e.rec, text)
	})
	return out, err
}
