package auditdevice

import (
	"strings"

	"countersign/internal/core/audit"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
)

// location is what Vault calls what a record is about.
type location struct {
	operation string // read, create, update, patch, delete or list
	path      string
	point     string // of the mount, with its slash
	kind      string // of the mount
}

// locate says a record's operation and resource in Vault's words: by the row of
// the operation, with the mount and the name filled in. Whichever front the
// request came through, the path is the same. An operation that is in no row has
// none.
func locate(rec *audit.Record, table *mount.Table) location {
	op, ok := policy.ByName(rec.Operation)
	if !ok {
		return location{}
	}
	info := op.Info()
	capability, shape, _ := strings.Cut(info.HCL, " ")
	at := location{operation: capability}
	switch {
	case strings.HasPrefix(shape, "MOUNT/"):
		ofKeys := strings.HasPrefix(info.Action, "kms:") || op == policy.HashBytes
		at.inMount(info.Kind, ofKeys, strings.TrimPrefix(shape, "MOUNT/"), rec.Resource, table)
	case strings.HasPrefix(shape, "auth/MOUNT/"):
		m, rest := table.At(mount.Auth + rec.Resource)
		if m == nil {
			return at
		}
		at.point, at.kind = m.Path+"/", m.Type
		at.path = at.point + fill(strings.TrimPrefix(shape, "auth/MOUNT/"), rest)
	default:
		at.point, at.kind = fixed(shape)
		at.path = fill(shape, rec.Resource)
	}
	if at.operation == "list" && !strings.HasSuffix(at.path, "/") {
		at.path += "/"
	}
	return at
}

// inMount locates what is below a secrets engine. What belongs to no mount has no
// path.
func (at *location) inMount(kind policy.ResourceKind, ofKeys bool, shape, resource string, table *mount.Table) {
	var m *mount.Mount
	var rest string
	// A listing is of a prefix, which may be that of the mount itself.
	switch {
	case kind == policy.KindMount:
		m = table.Find(resource)
	case ofKeys:
		m, rest = table.OfKey(resource + "-")
	default:
		m, rest = table.Of(resource + "-")
	}
	rest = strings.TrimSuffix(rest, "-")
	if m == nil {
		return
	}
	if m.Type == mount.KV && m.Version == 1 { // it has no data/ and metadata/
		for _, part := range []string{"data/", "metadata/"} {
			shape = strings.TrimPrefix(shape, part)
		}
	}
	at.point, at.kind = m.Path+"/", m.Type
	at.path = at.point + fill(shape, rest)
}

// fill puts a name into a shape. Where there is none, the shape ends before it.
func fill(shape, name string) string {
	for _, place := range []string{"NAME", "PREFIX", "ID"} {
		before, after, ok := strings.Cut(shape, place)
		if !ok {
			continue
		}
		if name == "" {
			return strings.TrimSuffix(before, "/")
		}
		return before + name + after
	}
	return shape
}

// fixed is the mount of a path that every account has.
func fixed(shape string) (point, kind string) {
	head, rest, _ := strings.Cut(shape, "/")
	switch head {
	case "sys":
		return "sys/", mount.System
	case mount.Identity, mount.Cubbyhole:
		return head + "/", head
	case "auth":
		method, _, _ := strings.Cut(rest, "/")
		return mount.Auth + method + "/", method
	}
	return "", ""
}
