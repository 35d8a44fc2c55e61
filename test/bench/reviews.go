package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/client"
	"countersign/internal/sensitive"
)

// Names of figures of reviews.
const (
	reviewCycles  = "propose, review and approve, 16 at once"
	reviewStatus  = "status: 50 of the pending changes, p99"
	reviewHistory = "history: the newest 50 changes, p99"
)

const (
	reviewers = 16  // cycles under way at once
	waiting   = 200 // changes that wait while status is asked
	asked     = 500 // times that status and history are asked
)

// reviews measures the workflow over a store whose secrets have each been made by
// a change of their own.
func (b *bench) reviews(ctx context.Context) (err error) {
	p, err := b.serve()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if _, err := p.answers(ctx, time.Now(), b.hot); err != nil {
		return err
	}
	author, reviewer, err := b.staff(ctx)
	if err != nil {
		return err
	}
	var n atomic.Int64
	cycles, err := b.cycles(ctx, author, reviewer, &n)
	if err != nil {
		return err
	}
	b.value(reviewCycles, cycles, "cycles/s", "three requests and two durable commits each, through the native API")
	for range waiting {
		if _, err := propose(ctx, author, n.Add(1)); err != nil {
			return err
		}
	}
	for name, list := range map[string]client.ChangeList{
		reviewStatus: {Statuses: []string{client.Pending}, Limit: 50}, reviewHistory: {Limit: 50},
	} {
		took := make([]float64, asked)
		for i := range took {
			begin := time.Now()
			if _, err := author.ListChanges(ctx, list); err != nil {
				return err
			}
			took[i] = float64(time.Since(begin).Microseconds()) / 1000
		}
		slices.Sort(took)
		b.value(name, took[len(took)*99/100], "ms", fmt.Sprintf("of more than %d changes, over one connection", b.o.secrets))
	}
	return nil
}

// staff makes a rule, an author and a reviewer.
func (b *bench) staff(ctx context.Context) (author, reviewer *client.Client, err error) {
	admin, err := client.New(client.Config{Address: "http://" + b.addr, Token: sensitive.FromString(b.requests.token)})
	if err != nil {
		return nil, nil, err
	}
	rule := client.Rule{Name: "bench", Match: []string{"reviewed/*"}, Approvals: []client.RuleApproval{{Count: 1}}}
	if _, err := admin.PutRules(ctx, client.RuleChange{Set: &rule}); err != nil {
		return nil, nil, err
	}
	if author, err = b.employ(ctx, admin, "bench-author", "Developer"); err != nil {
		return nil, nil, err
	}
	reviewer, err = b.employ(ctx, admin, "bench-reviewer", "Approver")
	return author, reviewer, err
}

// employ makes a user with a built-in policy and a key.
func (b *bench) employ(ctx context.Context, admin *client.Client, name, role string) (*client.Client, error) {
	if _, err := admin.CreateUser(ctx, client.CreateUserRequest{Name: name}); err != nil {
		return nil, err
	}
	if _, err := admin.AttachPolicy(ctx, role, client.Holder{User: name}); err != nil {
		return nil, err
	}
	key, err := admin.CreateKey(ctx, client.CreateKeyRequest{Owner: name})
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Address: "http://" + b.addr, Token: key.Token})
}

func propose(ctx context.Context, c *client.Client, n int64) (client.Written, error) {
	return c.Patch(ctx, fmt.Sprintf("reviewed/%d", n), client.PatchRequest{Reason: "bench",
		Set: map[string]sensitive.Bytes{"KEY": sensitive.FromString(fmt.Sprintf("value-%d", n))}})
}

// cycles counts how many changes are proposed, reviewed and approved in a second.
func (b *bench) cycles(ctx context.Context, author, reviewer *client.Client, n *atomic.Int64) (float64, error) {
	ctx, stop := context.WithTimeout(ctx, 10*b.o.each)
	defer stop()
	var done atomic.Int64
	var failed error
	var once sync.Once
	var wg sync.WaitGroup
	begin := time.Now()
	for range reviewers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := cycle(ctx, author, reviewer, n.Add(1)); err != nil && ctx.Err() == nil {
					once.Do(func() { failed = err })
					stop()
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(begin).Seconds(), failed
}

func cycle(ctx context.Context, author, reviewer *client.Client, n int64) error {
	w, err := propose(ctx, author, n)
	if err != nil {
		return fmt.Errorf("proposing: %w", err)
	}
	r, err := reviewer.GetChange(ctx, w.Change)
	if err != nil {
		return fmt.Errorf("reviewing: %w", err)
	}
	d, err := reviewer.Approve(ctx, r.ID, r.Digest, "", "")
	if err != nil {
		return fmt.Errorf("approving: %w", err)
	}
	if d.Status != client.Applied {
		return fmt.Errorf("an approved change is %s", d.Status)
	}
	return nil
}
