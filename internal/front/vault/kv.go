package vault

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// kv2Rows are the key-value engine that shows versions.
func kv2Rows() []row {
	return []row{
		{methods: "GET", path: "config", op: policy.GetMountConfig, do: readValues},
		{methods: "POST", path: "config", op: policy.PutMountConfig, do: putValues},
		{methods: "GET", path: "data/{name...}", op: policy.ReadValue, do: readData},
		{methods: "POST", path: "data/{name...}", op: policy.PutValue, takes: "data options", do: putData},
		{methods: "PATCH", path: "data/{name...}", op: policy.PatchValue, takes: "data options", do: patchData},
		{methods: "DELETE", path: "data/{name...}", op: policy.DeleteCurrent, do: deleteData},
		{methods: "POST", path: "delete/{name...}", op: policy.DeleteVersion, do: onVersions((*secret.Service).DeleteVersions)},
		{methods: "POST", path: "undelete/{name...}", op: policy.UndeleteVersion, do: onVersions((*secret.Service).UndeleteVersions)},
		{methods: "POST", path: "destroy/{name...}", op: policy.DestroyVersion, do: onVersions((*secret.Service).DestroyVersions)},
		{methods: "GET", path: "subkeys/{name...}", op: policy.ReadKeys, do: readSubkeys},
		{methods: "GET", path: "metadata/{name...}", op: policy.Describe, do: readMetadata},
		{methods: "POST PATCH", path: "metadata/{name...}", op: policy.UpdateSecret, do: putMetadata},
		{methods: "DELETE", path: "metadata/{name...}", op: policy.DeleteSecret, do: deleteSecret},
		{methods: "LIST", path: "metadata/{name...}", op: policy.ListSecrets, do: listNames},
		{methods: "LIST", path: "detailed-metadata/{name...}", op: policy.ListSecrets, do: listDetailed},
		{methods: "GET POST PATCH DELETE LIST", path: "{name...}", op: policy.ReadValue, do: v1Shaped},
	}
}

// kv1Rows are the engine of version 1.
func kv1Rows() []row {
	return []row{
		{methods: "GET", path: "{name...}", op: policy.ReadValue, do: readV1},
		{methods: "POST", path: "{name...}", op: policy.PutValue, do: putV1},
		{methods: "DELETE", path: "{name...}", op: policy.DeleteSecret, do: deleteSecret},
		{methods: "LIST", path: "{name...}", op: policy.ListSecrets, do: listNames},
	}
}

// named is the secret that a path below a mount names. It must belong to this
// mount and to no other.
func (c *call) named(rest string) (name.SecretID, error) {
	if rest == "" || strings.HasSuffix(rest, "/") {
		return name.SecretID{}, errs.Coded(errs.NotFound, codePath, "missing path")
	}
	full := c.mount.Prefix + rest
	if err := name.SecretName(full); err != nil {
		return name.SecretID{}, errs.New(errs.Invalid, "%s", errs.As(err).Msg)
	}
	if m, _ := c.table.Of(full); m != c.mount {
		return name.SecretID{}, errs.New(errs.Invalid, "this name belongs to the mount at %s/", m.Path)
	}
	return name.SecretID{Name: full}, nil
}

// withName runs a row that is about one secret.
func (c *call) withName(ctx context.Context, f func(id name.SecretID) (*answer, error)) (*answer, error) {
	id, err := c.named(c.vars[0])
	if err != nil {
		return nil, c.f.record(ctx, c.who, c.row.name(), err)
	}
	ans, err := f(id)
	if e := errs.As(err); e != nil {
		return nil, kvWords(e)
	}
	return ans, nil
}

// kvWords says refusals as the engine of Vault does.
func kvWords(e *errs.Error) error {
	switch e.Code {
	case secret.CodeCASMismatch:
		return errs.New(errs.Invalid, "check-and-set parameter did not match the current version")
	case secret.CodeCASRequired:
		return errs.New(errs.Invalid, "check-and-set parameter required for this call")
	}
	return e
}

// stamp is a time as Vault writes it; none is the empty text.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// versionJSON is what is said of a version.
type versionJSON struct {
	Created string            `json:"created_time"`
	Custom  map[string]string `json:"custom_metadata"`
	Deleted string            `json:"deletion_time"`
	Gone    bool              `json:"destroyed"`
	Version uint64            `json:"version"`
}

// number reads the version that a request asks for; 0 is the current one.
func (c *call) number() uint64 {
	n := c.integer("version")
	if n < 0 {
		c.fail("version", "a version is a positive number")
	}
	return uint64(max(n, 0))
}

func readData(ctx context.Context, c *call) (*answer, error) {
	n := c.number()
	if c.err != nil {
		return nil, nil
	}
	return c.withName(ctx, func(id name.SecretID) (*answer, error) {
		v, err := c.f.Secrets.ReadVersion(ctx, c.who, secret.KVRead{ID: id, Number: n})
		if err != nil {
			return nil, err
		}
		return showVersion(v, nil), nil
	})
}

// showVersion is the answer to a read. A version that is gone is 404, with what
// is known of it. change may make another object of the value.
func showVersion(v secret.KVVersion, change func(json.RawMessage) any) *answer {
	meta := versionJSON{Created: stamp(v.Created), Custom: v.Metadata.Tags, Deleted: stamp(v.Deleted), Gone: v.Destroyed, Version: v.Number}
	if v.Gone {
		return &answer{code: http.StatusNotFound, data: &valueJSON{[]byte("null"), meta}}
	}
	data := shownData(v)
	if change == nil {
		return ok(&valueJSON{data, meta})
	}
	return ok(struct {
		Metadata versionJSON `json:"metadata"`
		Subkeys  any         `json:"subkeys"`
	}{meta, change(data)})
}

// valueJSON is a value with what is said of its version. It is on the way of every
// read, so it is written without reflection.
type valueJSON struct {
	data json.RawMessage
	versionJSON
}

func (v *valueJSON) appendJSON(b []byte) []byte {
	b = append(append(append(b, `{"data":`...), v.data...), `,"metadata":{"created_time":`...)
	b = append(appendText(b, v.Created), `,"custom_metadata":`...)
	if len(v.Custom) == 0 {
		b = append(b, "null"...)
	} else {
		custom, _ := json.Marshal(v.Custom) // texts always encode
		b = append(b, custom...)
	}
	b = append(appendText(append(b, `,"deletion_time":`...), v.Deleted), `,"destroyed":`...)
	b = strconv.AppendBool(b, v.Gone)
	b = strconv.AppendUint(append(b, `,"version":`...), v.Version, 10)
	return append(b, "}}"...)
}

// readSubkeys shows the keys of a value without what they hold.
func readSubkeys(ctx context.Context, c *call) (*answer, error) {
	n, depth := c.number(), c.integer("depth")
	if depth < 0 {
		c.fail("depth", "it is negative")
	}
	if c.err != nil {
		return nil, nil
	}
	return c.withName(ctx, func(id name.SecretID) (*answer, error) {
		v, err := c.f.Secrets.ReadKeys(ctx, c.who, secret.KVRead{ID: id, Number: n})
		if err != nil {
			return nil, err
		}
		return showVersion(v, func(data json.RawMessage) any { return subkeys(data, int(min(depth, maxNested)), 1) }), nil
	})
}

// subkeys replaces what is no object by null; depth 0 is no limit.
func subkeys(data json.RawMessage, depth, at int) any {
	var m map[string]json.RawMessage
	if len(data) == 0 || data[0] != '{' || json.Unmarshal(data, &m) != nil {
		return nil
	}
	if len(m) == 0 && at > 1 {
		return nil
	}
	out := map[string]any{}
	for k, v := range m {
		if out[k] = nil; depth == 0 || at < depth {
			out[k] = subkeys(v, depth, at+1)
		}
	}
	return out
}

// cas reads the check-and-set option.
func (c *call) cas(body *call) *uint64 {
	o, err := body.part("options")
	c.take(body)
	if err != nil || o == nil || !o.has("cas") {
		return nil
	}
	n := o.integer("cas")
	if c.take(o); n < 0 {
		c.fail("cas", "it is a version, or 0 for none")
	}
	v := uint64(max(n, 0))
	return &v
}

// defaults are what the mount says of the versions of secrets that say nothing.
func (c *call) defaults() secret.KVSettings {
	v := c.mount.Values
	after := time.Duration(v.DeleteAfter) * time.Second
	return secret.KVSettings{MaxVersions: &v.MaxVersions, DeleteAfter: &after}
}

func putData(ctx context.Context, c *call) (*answer, error) {
	return c.withName(ctx, func(id name.SecretID) (*answer, error) {
		data, given := c.value("data")
		if !given {
			return nil, c.f.record(ctx, c.who, c.row.name(), errs.New(errs.Invalid, "no data provided"))
		}
		return c.put(ctx, id, data, c.cas(c))
	})
}

// put writes a version and says which.
func (c *call) put(ctx context.Context, id name.SecretID, data json.RawMessage, cas *uint64) (*answer, error) {
	in, err := toInput(data)
	if err != nil {
		return nil, c.f.record(ctx, c.who, c.row.name(), err)
	}
	if c.err != nil {
		return nil, nil
	}
	w, err := c.f.Secrets.KVPut(ctx, c.who, secret.KVWrite{ID: id, Value: in, CAS: cas, CASRequired: c.mount.Values.CASRequired, Defaults: c.defaults()})
	return c.written(w, err)
}

func patchData(ctx context.Context, c *call) (*answer, error) {
	return c.withName(ctx, func(id name.SecretID) (*answer, error) {
		data, given := c.value("data")
		if !given {
			return nil, c.f.record(ctx, c.who, c.row.name(), errs.New(errs.Invalid, "no data provided"))
		}
		cas := c.cas(c)
		if c.err != nil {
			return nil, nil
		}
		w, err := c.f.Secrets.KVPatch(ctx, c.who, secret.KVPatch{ID: id, Patch: sensitive.New(data), CAS: cas, CASRequired: c.mount.Values.CASRequired, Defaults: c.defaults(),
			Show: func(v secret.Input) (sensitive.Bytes, error) { return sensitive.New(toData(v)), nil },
			Take: func(b sensitive.Bytes) (secret.Input, error) { return toInput(b.Reveal()) }})
		return c.written(w, err)
	})
}

// written is the answer to a write of a value. One that waits is refused in the
// name of its change, unless the token's role asked for another answer.
func (c *call) written(w secret.Written, err error) (*answer, error) {
	if err != nil {
		return nil, err
	}
	if err := change.Awaits(w.Change, w.Status); err != nil {
		if !c.queues() {
			return nil, err
		}
		return &answer{empty: true, warnings: []string{errs.As(err).Msg}}, nil
	}
	return ok(versionJSON{Created: stamp(w.Created), Custom: w.Tags, Deleted: stamp(w.Deletes), Version: w.Number}), nil
}

func deleteData(ctx context.Context, c *call) (*answer, error) {
	return c.withName(ctx, func(id name.SecretID) (*answer, error) {
		return c.done(c.f.Secrets.DeleteVersions(ctx, c.who, secret.KVVersions{ID: id, Defaults: c.defaults()}))
	})
}

// onVersions makes a row of what is done with versions that are named.
func onVersions(do func(*secret.Service, context.Context, caller.Caller, secret.KVVersions) (change.Result, error)) func(context.Context, *call) (*answer, error) {
	return func(ctx context.Context, c *call) (*answer, error) {
		return c.withName(ctx, func(id name.SecretID) (*answer, error) {
			var numbers []uint64
			for _, s := range c.list("versions") {
				n, err := strconv.ParseUint(s, 10, 63)
				if err != nil || n == 0 {
					c.fail("versions", "a version is a positive number")
				}
				numbers = append(numbers, n)
			}
			switch {
			case len(numbers) == 0 && c.err == nil:
				c.err = errs.New(errs.Invalid, "no version number provided")
			}
			if c.err != nil {
				return nil, nil
			}
			slices.Sort(numbers)
			return c.done(do(c.f.Secrets, ctx, c.who, secret.KVVersions{ID: id, Numbers: slices.Compact(numbers), Defaults: c.defaults()}))
		})
	}
}

// metadataJSON is what is said of a secret.
type metadataJSON struct {
	CASRequired bool                     `json:"cas_required"`
	Created     string                   `json:"created_time"`
	Current     uint64                   `json:"current_version"`
	Custom      map[string]string        `json:"custom_metadata"`
	DeleteAfter string                   `json:"delete_version_after"`
	Max         uint64                   `json:"max_versions"`
	Oldest      uint64                   `json:"oldest_version"`
	Updated     string                   `json:"updated_time"`
	Versions    map[string]oneOfManyJSON `json:"versions"`
}

type oneOfManyJSON struct {
	Created string `json:"created_time"`
	Deleted string `json:"deletion_time"`
	Gone    bool   `json:"destroyed"`
}

func showMetadata(m secret.KVMetadata) metadataJSON {
	out := metadataJSON{Created: stamp(m.Created), Current: m.Current, Custom: m.Settings.Tags, DeleteAfter: "0s",
		Oldest: m.Oldest, Updated: stamp(m.Updated), Versions: map[string]oneOfManyJSON{}}
	if s := m.Settings; s.CASRequired != nil {
		out.CASRequired = *s.CASRequired
	}
	if n := m.Settings.MaxVersions; n != nil {
		out.Max = *n
	}
	if d := m.Settings.DeleteAfter; d != nil {
		out.DeleteAfter = d.String()
	}
	for n, v := range m.Versions {
		out.Versions[strconv.FormatUint(n, 10)] = oneOfManyJSON{Created: stamp(v.Created), Deleted: stamp(v.Deleted), Gone: v.Destroyed}
	}
	return out
}

func readMetadata(ctx context.Context, c *call) (*answer, error) {
	return c.withName(ctx, func(id name.SecretID) (*answer, error) {
		m, err := c.f.Secrets.KVDescribe(ctx, c.who, id)
		if err != nil {
			return nil, err
		}
		return ok(showMetadata(m)), nil
	})
}

func putMetadata(ctx context.Context, c *call) (*answer, error) {
	set := secret.KVSet{Merge: c.method == http.MethodPatch}
	if c.has("max_versions") {
		n := c.integer("max_versions")
		if n < 0 {
			c.fail("max_versions", "it is negative")
		}
		v := uint64(max(n, 0))
		set.MaxVersions = &v
	}
	if c.has("cas_required") {
		b := c.boolean("cas_required")
		set.CASRequired = &b
	}
	if c.has("delete_version_after") {
		d := max(c.duration("delete_version_after"), 0) // Vault's -1s is none
		set.DeleteAfter = &d
	}
	c.customMetadata(&set)
	if c.err != nil {
		return nil, nil
	}
	return c.withName(ctx, func(id name.SecretID) (*answer, error) {
		set.ID = id
		return c.done(c.f.Secrets.KVSet(ctx, c.who, set))
	})
}

// customMetadata reads the tags of a request: all of them, or of a patch those
// that change, null for those that go.
func (c *call) customMetadata(set *secret.KVSet) {
	v, given := c.body["custom_metadata"]
	if !given {
		return
	}
	var m map[string]*string
	if err := json.Unmarshal(v, &m); err != nil {
		c.fail("custom_metadata", "it is an object of texts")
		return
	}
	set.Tags = map[string]*string{}
	for k, t := range m {
		if t != nil || set.Merge {
			set.Tags[k] = t
		}
	}
}

// deleteSecret removes a secret for good, with every version.
func deleteSecret(ctx context.Context, c *call) (*answer, error) {
	return c.withName(ctx, func(id name.SecretID) (*answer, error) {
		d, err := c.f.Secrets.Delete(ctx, c.who, secret.DeleteRequest{ID: id, Force: true})
		return c.done(change.Result{ID: d.Change, Status: d.Status}, err)
	})
}

// maxKeys bounds one answer of a listing that asks for no limit.
const maxKeys = 100_000

// folder reads the entries below a path.
func (c *call) folder(ctx context.Context, rest string) (secret.Folder, error) {
	below := c.mount.Prefix + rest
	if below != "" && !strings.HasSuffix(below, "/") {
		below += "/"
	}
	limit := c.integer("limit")
	if limit <= 0 || limit > maxKeys {
		limit = maxKeys
	}
	if c.err != nil {
		return secret.Folder{}, c.f.record(ctx, c.who, c.row.name(), c.err)
	}
	return c.f.Secrets.ListFolder(ctx, c.who, secret.FolderRequest{Prefix: below, After: c.text("after"), Max: int(limit),
		Hide: func(n string) (string, bool) { return c.table.Hide(c.mount, n) }})
}

func listNames(ctx context.Context, c *call) (*answer, error) {
	dir, err := c.folder(ctx, c.vars[0])
	if err != nil {
		return nil, err
	}
	if len(dir.Entries) == 0 {
		return nil, errs.New(errs.NotFound, "")
	}
	return ok(map[string][]string{"keys": dir.Entries}), nil
}

// listDetailed is OpenBao's listing that says of each entry what is known of it.
func listDetailed(ctx context.Context, c *call) (*answer, error) {
	dir, err := c.folder(ctx, c.vars[0])
	if err != nil {
		return nil, err
	}
	if len(dir.Entries) == 0 {
		return nil, errs.New(errs.NotFound, "")
	}
	info := map[string]any{}
	for _, e := range dir.Entries {
		if strings.HasSuffix(e, "/") {
			continue
		}
		id := name.SecretID{Name: c.mount.Prefix + strings.TrimSuffix(c.vars[0], "/") + "/" + e}
		if c.mount.Prefix == "" && strings.Trim(c.vars[0], "/") == "" {
			id.Name = e
		}
		m, err := c.f.Secrets.KVDescribe(ctx, c.who, id)
		switch {
		case errs.Is(err, errs.Denied), errs.Is(err, errs.NotFound):
			continue
		case err != nil:
			return nil, err
		}
		info[e] = showMetadata(m)
	}
	return ok(map[string]any{"keys": dir.Entries, "key_info": info}), nil
}

// v1Shaped answers a request for version 1 of the engine on a mount of version 2.
func v1Shaped(ctx context.Context, c *call) (*answer, error) {
	if c.mount.Hybrid {
		switch c.method {
		case http.MethodGet:
			return readV1(ctx, c)
		case http.MethodPost:
			return putV1(ctx, c)
		case http.MethodDelete:
			return deleteSecret(ctx, c)
		case methodList:
			return listNames(ctx, c)
		}
	}
	if err := c.f.record(ctx, c.who, c.row.name(), errs.New(errs.NotFound, "")); errs.KindOf(err) != errs.NotFound {
		return nil, err
	}
	return &answer{code: http.StatusNotFound, empty: true, warnings: []string{"Invalid path for a versioned K/V secrets engine. " +
		"See the API docs for the appropriate API endpoints to use. If using the Vault CLI, use 'vault kv " + v1Verb(c.method) + "' for this operation."}}, nil
}

func v1Verb(method string) string {
	switch method {
	case http.MethodPost:
		return "put"
	case http.MethodDelete:
		return "delete"
	case http.MethodPatch:
		return "patch"
	case methodList:
		return "list"
	}
	return "get"
}

// leaseV1 is what an engine of version 1 says of how long a value counts.
const leaseV1 = int64(defaultTTL / time.Second)

func readV1(ctx context.Context, c *call) (*answer, error) {
	return c.withName(ctx, func(id name.SecretID) (*answer, error) {
		v, err := c.f.Secrets.ReadVersion(ctx, c.who, secret.KVRead{ID: id})
		if err != nil {
			return nil, err
		}
		if v.Gone {
			return nil, errs.New(errs.NotFound, "")
		}
		seconds := leaseV1
		data := shownData(v)
		var ttl struct {
			TTL json.RawMessage `json:"ttl"`
		}
		if json.Unmarshal(data, &ttl) == nil && ttl.TTL != nil { // a value may say how long it counts
			if d, ok := parseDuration(asText(ttl.TTL)); ok && d > 0 {
				seconds = int64(d / time.Second)
			}
		}
		return &answer{data: data, lease: lease{seconds: seconds}}, nil
	})
}

func putV1(ctx context.Context, c *call) (*answer, error) {
	return c.withName(ctx, func(id name.SecretID) (*answer, error) {
		if len(c.body) == 0 {
			return nil, c.f.record(ctx, c.who, c.row.name(), errs.New(errs.Invalid, "missing data fields"))
		}
		ans, err := c.put(ctx, id, c.raw, nil)
		if err != nil || ans == nil || ans.empty {
			return ans, err
		}
		return nil, nil
	})
}

// readValues shows what a mount says of its secrets.
func readValues(ctx context.Context, c *call) (*answer, error) {
	m, err := c.f.Mounts.Config(ctx, c.who, c.mount.Path)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errs.New(errs.NotFound, "")
	}
	return ok(map[string]any{"cas_required": m.Values.CASRequired, "max_versions": m.Values.MaxVersions,
		"delete_version_after": (time.Duration(m.Values.DeleteAfter) * time.Second).String()}), nil
}

func putValues(ctx context.Context, c *call) (*answer, error) {
	v := c.mount.Values
	if c.has("max_versions") {
		n := c.integer("max_versions")
		if n < 0 {
			c.fail("max_versions", "it is negative")
		}
		v.MaxVersions = uint64(max(n, 0))
	}
	if c.has("cas_required") {
		v.CASRequired = c.boolean("cas_required")
	}
	if c.has("delete_version_after") {
		v.DeleteAfter = int64(max(c.duration("delete_version_after"), 0) / time.Second)
	}
	if c.err != nil {
		return nil, nil
	}
	return c.done(c.f.Mounts.Configure(ctx, c.who, c.mount.Path, v))
}
