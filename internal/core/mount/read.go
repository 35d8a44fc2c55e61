package mount

import (
	"context"
	"sync"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/generation"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/kv/fsck"
)

// tables keeps the table of each account for a generation.
type tables struct {
	mu sync.RWMutex
	m  map[string]kept
}

type kept struct {
	generation uint64
	table      *Table
}

const maxKept = 1024

// Table returns the account's mounts in a generation that was read from the store
// before; a newer one may come instead. It asks nobody: a path says nothing of
// what is below it.
func (s *Service) Table(ctx context.Context, account string, gen uint64) (*Table, error) {
	s.tables.mu.RLock()
	k, ok := s.tables.m[account]
	s.tables.mu.RUnlock()
	if ok && k.generation == gen {
		return k.table, nil
	}
	return s.load(ctx, account)
}

// load reads an account's table and keeps it.
func (s *Service) load(ctx context.Context, account string) (*Table, error) {
	var k kept
	err := s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		if k.generation, err = generation.Get(r, account); err != nil {
			return err
		}
		k.table, err = Load(r, account)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.tables.mu.Lock()
	defer s.tables.mu.Unlock()
	if s.tables.m == nil || len(s.tables.m) >= maxKept {
		s.tables.m = map[string]kept{}
	}
	s.tables.m[account] = k
	return k.table, nil
}

// Generation reads an account's, for a caller that nobody has proved yet.
func (s *Service) Generation(ctx context.Context, account string) (g uint64, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		g, err = generation.Get(r, account)
		return err
	})
	return g, err
}

// List returns the table, as an operation of its own.
func (s *Service) List(ctx context.Context, who caller.Caller) (*Table, error) {
	var out *Table
	err := s.gate.View(ctx, who, policy.ListMounts, "", func(a *gate.Access) (err error) {
		if err = a.Allow(&policy.Request{Op: policy.ListMounts, Resource: policy.AnyResource, Account: who.Account}, nil); err != nil {
			return err
		}
		out, err = Load(a, who.Account)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Config returns a mount with its configuration, as an operation of its own; nil
// when there is none at the path.
func (s *Service) Config(ctx context.Context, who caller.Caller, path string) (*Mount, error) {
	var out *Mount
	err := s.gate.View(ctx, who, policy.GetMountConfig, path, func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: policy.GetMountConfig, Resource: policy.MountARN(who.Account, path), Account: who.Account}, nil); err != nil {
			return err
		}
		t, err := Load(a, who.Account)
		if err == nil {
			out = t.Find(path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{{Kind: "mount", Shape: "sss", Decode: record.Check[stored]}}
}
