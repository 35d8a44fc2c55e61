package policy

import (
	"slices"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/name"
)

// Spot is an operation as a path of the Vault protocol leads to it.
type Spot struct {
	Op         Op
	Capability string
	Resource   string // ARN; of a secret with name.UnknownSuffix
	Under      string // of a listing of secrets or keys: the beginning of their names
}

// SpotsAt lists the operations that the table has at a path, for who asks about
// it. Requests of the protocol may come down to others.
func SpotsAt(mounts Mounts, who *caller.Caller, path string) (out []Spot) {
	if mounts == nil {
		mounts = firstMounts{}
	}
	path = strings.TrimLeft(path, "/")
	into := path
	if rest, ok := strings.CutPrefix(path, sectionsOfV1); ok {
		_, into, _ = strings.Cut(rest, "/")
	}
	m, _, mounted := mounts.At(into)
	for _, op := range Operations() {
		row := &pathRows[op]
		if row.mount != "" && (!mounted || row.mount != m.Kind && row.mount != KindMount || !row.hasPath(m)) {
			continue
		}
		n, ok := row.nameAt(path, m)
		if !ok || n != "" && strings.Contains(n, "/") && !row.deep(op) {
			continue
		}
		s := Spot{Op: op, Capability: row.cap.String(), Resource: resourceAt(op, m, n, who)}
		if row.cap == capList && !row.named && n != "" {
			s.Under = m.Prefix + n
		}
		out = append(out, s)
	}
	return out
}

// SpotAt is the operation that a capability is for at a path, the first of the
// table where there are several. Where the protocol does not tell making from
// changing, either capability means it.
func SpotAt(mounts Mounts, who *caller.Caller, capability, path string) (Spot, bool) {
	spots := SpotsAt(mounts, who, path)
	either := map[string]string{"create": "update", "update": "create"}
	for _, c := range []string{capability, either[capability]} {
		i := slices.IndexFunc(spots, func(s Spot) bool { return s.Capability == c })
		if i >= 0 {
			return spots[i], true
		}
	}
	return Spot{}, false
}

// hasPath reports whether what is at the path of an operation is just that: of
// secrets without versions, the value has the path and not what describes it.
func (row *pathRow) hasPath(m Mount) bool {
	return row.mount != KindSecret || m.Version != 1 || row.section != "metadata" || row.cap == capList
}

// deep reports whether a name in the path may hold a slash.
func (row *pathRow) deep(op Op) bool {
	switch operations[op].Kind {
	case KindSecret, KindMount:
		return true
	}
	return row.head == headOfCubbyhole || op == ListSecrets
}

// headOfCubbyhole begins the paths that each token has for itself: their names
// are no principals.
const headOfCubbyhole = "cubbyhole/"

// nameAt finds the name in a path of the row's shape; of a listing without one,
// what it asks about.
func (row *pathRow) nameAt(path string, m Mount) (string, bool) {
	if row.head == headOfMounts && strings.HasPrefix(path, "sys/auth/") {
		path = headOfMounts + path[len("sys/"):]
	}
	base := string(row.appendBase(nil, m))
	rest, ok := strings.CutPrefix(path, base)
	switch {
	case !ok && row.cap == capList:
		return "", path+"/" == base // without the slash that listings end in
	case !ok:
		return "", false
	case !row.named && row.cap == capList && row.mount != "":
		return strings.TrimPrefix(rest, "/"), rest == "" || rest[0] == '/' || strings.HasSuffix(base, "/")
	case !row.named && row.cap == capList:
		return "", rest == "" || rest == "/"
	case !row.named:
		return rest, rest == "" || strings.HasSuffix(base, "/")
	case row.cap == capList || row.head == headOfMounts:
		rest = strings.TrimSuffix(rest, "/")
	}
	n, ok := strings.CutSuffix(rest, row.tail)
	return n, ok && n != ""
}

// resourceAt is the ARN of what an operation at a path is about.
func resourceAt(op Op, m Mount, n string, who *caller.Caller) string {
	row, kind := &pathRows[op], operations[op].Kind
	switch kind {
	case KindNone:
		return AnyResource
	case KindSecret:
		return name.Secret{Account: who.Account, Region: who.Region, Name: m.Prefix + n}.ARN(name.UnknownSuffix)
	case KindTransitKey:
		return TransitKeyARN(who.Region, who.Account, m.Prefix+n)
	case KindPrincipal, KindKey:
		if n == "" || row.head == headOfCubbyhole {
			return who.ARN()
		}
		return caller.UserARN(who.Account, n)
	case KindMount:
		if row.mount == KindMount {
			n = m.Path
		}
		return MountARN(who.Account, n)
	case KindLoginMethod:
		return LoginMethodARN(who.Account, strings.TrimPrefix(m.Path, headOfMethods))
	case KindLoginRole:
		return LoginRoleARN(who.Account, strings.TrimPrefix(m.Path, headOfMethods), n)
	}
	return ownedARN(kind, who.Account, n)
}

// ownedARN is the ARN of what is named by account and name alone.
func ownedARN(kind ResourceKind, account, n string) string {
	if slices.Contains([]ResourceKind{KindGroup, KindPolicy}, kind) {
		return "arn:aws:iam::" + account + ":" + arnTypes[kind] + n
	}
	last := arnTypes[kind] + n
	if arnTypes[kind] == "" {
		last = string(kind) // account, audit, store, token
	}
	return "arn:aws:countersign::" + account + ":" + last
}
