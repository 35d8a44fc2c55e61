package mount

import (
	"strings"

	"countersign/internal/core/policy"
	"countersign/internal/kv"
)

// ForPolicy is an account's table as policies need it.
func ForPolicy(r kv.Reader, account string) (policy.Mounts, error) {
	t, err := Load(r, account)
	if err != nil {
		return nil, err
	}
	return paths{t}, nil
}

// paths is a table as policy.Mounts.
type paths struct{ t *Table }

// PathOf finds the mount that a name belongs to, or whose prefix it is.
func (p paths) PathOf(kind policy.ResourceKind, name string) (policy.Mount, string, bool) {
	mounts := p.t.values
	if kind == policy.KindTransitKey {
		mounts = p.t.keys
	}
	for _, m := range mounts {
		if rel, ok := strings.CutPrefix(name, m.Prefix); ok {
			return m.forPolicy(), rel, true
		}
	}
	return policy.Mount{}, "", false
}

// At finds the mount that a path leads into.
func (p paths) At(path string) (policy.Mount, string, bool) {
	m, rest := p.t.At(path)
	if m == nil {
		return policy.Mount{}, "", false
	}
	return m.forPolicy(), rest, true
}

func (m *Mount) forPolicy() policy.Mount {
	out := policy.Mount{Path: m.Path, Version: m.Version, Prefix: m.Prefix}
	switch {
	case m.Login():
		out.Kind = policy.KindLoginMethod
	case m.Type == KV:
		out.Kind = policy.KindSecret
	case m.Type == Transit:
		out.Kind = policy.KindTransitKey
	}
	return out
}
