package policy

import "strings"

// pathRow is the HCL column of an operation, taken apart: the capability, and a
// path that is a mount's or fixed, and has a name in it or not.
type pathRow struct {
	cap     capSet
	mount   ResourceKind // of the mount that the path begins with; empty when there is none
	section string       // the first segment after the mount: "data"
	head    string       // what follows, or the whole path, up to the name
	named   bool
	tail    string // what follows the name
}

// pathRows is the column for every operation. ID and PREFIX in it stand for what
// nobody knows who asks, so that the path ends before them.
var pathRows = readPathRows()

func readPathRows() (rows [numOps]pathRow) {
	for _, op := range Operations() {
		r := &rows[op]
		capability, path, _ := strings.Cut(operations[op].HCL, " ")
		r.cap, _ = capNamed(capability)
		if rest, ok := strings.CutPrefix(strings.TrimPrefix(path, "auth/"), "MOUNT/"); ok {
			r.mount = mountOf(op)
			n := strings.IndexByte(rest+"/", '/')
			r.section, path = rest[:n], rest[n:]
		}
		r.head, r.tail, r.named = strings.Cut(path, "NAME")
		r.head = strings.TrimSuffix(strings.TrimSuffix(r.head, "PREFIX"), "ID")
	}
	return rows
}

// mountOf is the kind of mount that an operation's path begins with.
func mountOf(op Op) ResourceKind {
	switch kind := operations[op].Kind; kind {
	case KindTransitKey, KindMount:
		return kind
	case KindLoginMethod, KindLoginRole:
		return KindLoginMethod
	}
	switch op {
	case ListTransitKeys, RandomBytes, HashBytes:
		return KindTransitKey
	}
	return KindSecret
}

// sectionsOfV1 is where a mount of secrets without versions has what those
// have no path for: none of their own begins like this.
const sectionsOfV1 = "sys/kv/"

// Mounts are managed below the first, but those of login methods, whose paths
// begin with the second, right below sys.
const (
	headOfMounts  = "sys/mounts/"
	headOfMethods = "auth/"
)

// appendBase appends the path up to the name.
func (row *pathRow) appendBase(b []byte, m Mount) []byte {
	switch {
	case row.mount == "":
		return append(b, row.head...)
	case row.mount != KindSecret || m.Version != 1:
		b = append(append(append(b, m.Path...), '/'), row.section...)
	case row.section == "data" || row.section == "metadata":
		b = append(b, m.Path...)
	default:
		b = append(append(append(append(b, sectionsOfV1...), row.section...), '/'), m.Path...)
	}
	return append(b, row.head...)
}

// appendPath appends the path that the table gives an operation on what the
// request is about; of a listing with a slash at its end, and then, from base on,
// what it asks about below. It returns false when no mount reaches it.
func appendPath(b []byte, req *Request, mounts Mounts) (path []byte, base int, ok bool) {
	row := &pathRows[req.Op]
	m, name, under, ok := row.place(req, mounts)
	if !ok {
		return b, 0, false
	}
	if row.mount == "" && row.head == headOfMounts && strings.HasPrefix(name, headOfMethods) {
		b = append(b, "sys/"...)
	} else {
		b = row.appendBase(b, m)
	}
	if row.named {
		if b = append(b, name...); name == "" {
			b = appendForeign(b, req.Resource)
		}
		b = append(b, row.tail...)
	}
	if row.cap != capList {
		return b, len(b), true
	}
	if len(b) > 0 && b[len(b)-1] != '/' {
		b = append(b, '/')
	}
	return append(b, under...), len(b), true
}

// place finds the mount that a path begins with, the name in it, and what a
// listing asks about.
func (row *pathRow) place(req *Request, mounts Mounts) (m Mount, name, under string, ok bool) {
	kind := operations[req.Op].Kind
	own, _ := nameIn(kind, req.Resource)
	switch row.mount {
	case KindSecret, KindTransitKey:
		if !row.named {
			if call := req.Caller.Call; call != nil && req.Under == "" {
				if m, _, ok = mounts.At(strings.TrimLeft(call.Path, "/")); ok && m.Kind == row.mount {
					return m, "", "", true // the mount that is asked, and not that of all names
				}
			}
			m, under, ok = mounts.PathOf(row.mount, req.Under)
			return m, "", under, ok
		}
		m, name, ok = mounts.PathOf(row.mount, own)
		return m, name, "", ok
	case KindMount:
		return Mount{Path: own}, "", req.Under, true
	case KindLoginMethod:
		i := strings.LastIndexByte(own, '/')
		if kind == KindLoginRole && i >= 0 {
			own, name = own[:i], own[i+1:]
		}
		return Mount{Path: "auth/" + own}, name, req.Under, true
	}
	return Mount{}, own, req.Under, true
}

// arnTypes says how the sixth part of an ARN begins.
var arnTypes = map[ResourceKind]string{
	KindPrincipal: "user/", KindKey: "user/", KindGroup: "group/", KindPolicy: "policy/", KindProject: "project/",
	KindNotifyTarget: "notify-target/", KindMount: "mount/", KindTokenRole: "token-role/", KindLoginMethod: "login-method/",
	KindLoginRole: "login-role/", KindPasswordPolicy: "password-policy/", KindTransitKey: "key/",
	KindAuditDevice: "audit-device/", KindIdentityToken: "identity-token/",
}

// arnParts returns the account and the sixth part of an ARN.
func arnParts(arn string) (account, last string) {
	for range 4 {
		_, rest, ok := strings.Cut(arn, ":")
		if !ok {
			return "", ""
		}
		arn = rest
	}
	account, last, _ = strings.Cut(arn, ":")
	return account, last
}

// nameIn is the name in an ARN of the kind; false when it is of another.
func nameIn(kind ResourceKind, arn string) (string, bool) {
	if kind == KindSecret {
		return secretName(arn)
	}
	account, last := arnParts(arn)
	if kind == KindAccount {
		return account, last == "account"
	}
	typ := arnTypes[kind]
	if typ == "" || !strings.HasPrefix(last, typ) {
		return "", false
	}
	return last[len(typ):], true
}

// appendForeign appends what stands for a thing of another kind than the path
// is about, such as a user that a change alters: its kind, a colon, which no
// name of a secret holds, and its name.
func appendForeign(b []byte, arn string) []byte {
	_, last := arnParts(arn)
	if last == "" {
		return b
	}
	typ, name, _ := strings.Cut(last, "/")
	return append(append(append(b, typ...), ':'), name...)
}
