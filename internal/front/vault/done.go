package vault

import (
	"countersign/internal/core/change"
	"countersign/internal/errs"
)

// queues reports whether the token's role asks for an answer of success where a
// write was turned into a proposal.
func (c *call) queues() bool { return c.who.Token != nil && c.who.Token.Queue }

// done is the answer to a write that shows nothing. One that waits for review is
// refused in the name of its change, since the protocol has no other word for it,
// unless the token's role asked for a warning instead.
func (c *call) done(res change.Result, err error) (*answer, error) {
	if err != nil {
		return nil, err
	}
	waits := change.Awaits(res.ID, res.Status)
	switch {
	case waits == nil:
		return nil, nil
	case c.queues():
		return &answer{empty: true, warnings: []string{errs.As(waits).Msg}}, nil
	}
	return nil, waits
}
