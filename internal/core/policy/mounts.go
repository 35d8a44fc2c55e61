package policy

import "strings"

// Mounts says where things are reached in the Vault protocol. It is fixed at
// what it was when it was asked for, and is safe for concurrent use.
type Mounts interface {
	// PathOf returns the mount that the secret (KindSecret) or key (KindTransitKey)
	// of that name is reached through, and the rest of the path, which is the name
	// without the mount's prefix. The name may be the beginning of names, and empty.
	// It returns false when no mount reaches it.
	PathOf(kind ResourceKind, name string) (m Mount, rel string, ok bool)
	// At returns the mount that a path leads into, and what follows the slash after
	// the mount's own path. It returns false for paths into no mount, and for the
	// fixed ones: sys, identity, cubbyhole, auth/token.
	At(path string) (m Mount, rest string, ok bool)
}

// Mount is one place where secrets, keys or logins are reached.
type Mount struct {
	Path    string       // without a slash at its end: "secret", "auth/approle"
	Kind    ResourceKind // KindSecret, KindTransitKey or KindLoginMethod; another when no operation is about it
	Version int          // of a mount of secrets: 1, or 2 for secrets with versions
	Prefix  string       // that the names of its secrets and keys have: "" or "kv/"
}

// firstMounts are the mounts that every account begins with.
type firstMounts struct{}

var firstSecrets = Mount{Path: "secret", Kind: KindSecret, Version: 2}

var firstKeys = Mount{Path: "transit", Kind: KindTransitKey}

// PathOf finds the one mount of the kind.
func (firstMounts) PathOf(kind ResourceKind, name string) (Mount, string, bool) {
	if kind == KindTransitKey {
		return firstKeys, name, true
	}
	return firstSecrets, name, true
}

// At knows login methods by their path.
func (firstMounts) At(path string) (Mount, string, bool) {
	first, rest, _ := strings.Cut(path, "/")
	switch first {
	case firstSecrets.Path:
		return firstSecrets, rest, true
	case firstKeys.Path:
		return firstKeys, rest, true
	case "auth":
		method, rest, _ := strings.Cut(rest, "/")
		return Mount{Path: "auth/" + method, Kind: KindLoginMethod}, rest, method != "" && method != "token"
	}
	return Mount{}, "", false
}
