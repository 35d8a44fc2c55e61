package native

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/inspect"
	"countersign/internal/core/policy"
	"countersign/internal/core/secret"
	"countersign/internal/front/httpx"
)

// Parameters that many rows take.
var (
	named  = param{name: "name", kind: text, required: true} // of a secret: name or ARN
	reason = param{name: "reason", kind: text}
	limit  = param{name: "limit", kind: integer}
	page   = param{name: "page", kind: text}
)

// secretView is what is known of a secret but its values.
type secretView struct {
	ARN           string              `json:"arn"`
	Name          string              `json:"name"`
	Region        string              `json:"region"`
	Description   string              `json:"description,omitempty"`
	KMSKey        string              `json:"kms_key,omitempty"`
	Type          string              `json:"type,omitempty"`
	Created       time.Time           `json:"created"`
	Changed       time.Time           `json:"changed"`
	Accessed      time.Time           `json:"accessed,omitzero"`
	Deleted       time.Time           `json:"deleted,omitzero"`
	Purge         time.Time           `json:"purge,omitzero"`
	Tags          map[string]string   `json:"tags,omitempty"`
	Labels        map[string][]string `json:"labels,omitempty"`
	Current       uint64              `json:"current,omitempty"`
	Rotation      *rotationView       `json:"rotation,omitempty"`
	NextRotation  time.Time           `json:"next_rotation,omitzero"`
	PrimaryRegion string              `json:"primary_region,omitempty"`
	Replicas      []secret.Replica    `json:"replicas,omitempty"`
	Schema        bool                `json:"schema,omitempty"`
}

// rotationView is how a secret is rotated.
type rotationView struct {
	Enabled  bool      `json:"enabled"`
	Function string    `json:"function,omitempty"`
	Days     int64     `json:"days,omitempty"`
	Schedule string    `json:"schedule,omitempty"`
	Window   string    `json:"window,omitempty"`
	Last     time.Time `json:"last,omitzero"`
}

func viewSecret(d secret.Description) secretView {
	v := secretView{ARN: d.ARN, Name: d.Name, Region: d.Region, Description: d.Description, KMSKey: d.KMSKey, Type: d.Type,
		Created: d.Created, Changed: d.Changed, Accessed: d.Accessed, Deleted: d.Deleted, Purge: d.Purge,
		Labels: d.Labels, Current: d.Current, NextRotation: d.NextRotation, PrimaryRegion: d.PrimaryRegion, Replicas: d.Replicas, Schema: d.Schema}
	if len(d.Tags) > 0 {
		v.Tags = make(map[string]string, len(d.Tags))
		for _, t := range d.Tags {
			v.Tags[t.Key] = t.Value
		}
	}
	if r := d.Rotation; r != nil {
		v.Rotation = &rotationView{Enabled: r.Enabled, Function: r.Function, Days: r.Days, Schedule: r.Schedule, Window: r.Window}
		if r.Last != 0 {
			v.Rotation.Last = time.UnixMicro(r.Last).UTC()
		}
	}
	return v
}

// written is the answer to a write.
type written struct {
	ARN       string           `json:"arn"`
	Name      string           `json:"name"`
	Version   uint64           `json:"version,omitempty"`
	VersionID string           `json:"version_id,omitempty"`
	Labels    []string         `json:"labels,omitempty"`
	Change    string           `json:"change,omitempty"`
	Status    change.Status    `json:"status,omitempty"` // of the change
	Replicas  []secret.Replica `json:"replicas,omitempty"`
	Created   bool             `json:"created,omitempty"`
}

func viewWritten(w secret.Written, err error) (written, error) {
	return written{ARN: w.ARN, Name: w.Name, Version: w.Number, VersionID: w.VersionID, Labels: w.Labels,
		Change: w.Change, Status: w.Status, Replicas: w.Replicas}, err
}

// deletedView is the answer to a deletion.
type deletedView struct {
	ARN    string        `json:"arn"`
	Name   string        `json:"name"`
	Purge  time.Time     `json:"purge"`
	Change string        `json:"change,omitempty"`
	Status change.Status `json:"status,omitempty"`
}

type replicaBody struct {
	Region string `json:"region"`
	KMSKey string `json:"kms_key"`
}

type createBody struct {
	Name string `json:"name"`
	payload
	options
	VersionID   string            `json:"version_id"`
	Description string            `json:"description"`
	KMSKey      string            `json:"kms_key"`
	Type        string            `json:"type"`
	Tags        map[string]string `json:"tags"`
	Replicas    []replicaBody     `json:"replicas"`
	Reason      string            `json:"reason"`
}

type updateBody struct {
	Description *string `json:"description"`
	KMSKey      *string `json:"kms_key"`
	Type        *string `json:"type"`
	Reason      string  `json:"reason"`
	options
}

type tagBody struct {
	Tags   map[string]string `json:"tags"`
	Reason string            `json:"reason"`
}

// tagsOf orders tags by key.
func tagsOf(m map[string]string) (tags []secret.Tag) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		tags = append(tags, secret.Tag{Key: k, Value: m[k]})
	}
	return tags
}

type resourcePolicyView struct {
	ARN      string `json:"arn"`
	Name     string `json:"name"`
	Document string `json:"document,omitempty"`
}

type resourcePolicyBody struct {
	Document    document `json:"document"`
	BlockPublic bool     `json:"block_public"`
	Reason      string   `json:"reason"`
}

// changeView is the record of a change.
type changeView struct {
	ID        string    `json:"id"`
	Region    string    `json:"region,omitempty"`
	Name      string    `json:"name"`
	Operation string    `json:"operation"`
	Author    string    `json:"author"`
	Front     string    `json:"front"`
	Reason    string    `json:"reason,omitempty"`
	Base      uint64    `json:"base_version,omitempty"`
	Version   uint64    `json:"version,omitempty"`
	Keys      []string  `json:"keys,omitempty"`
	Versions  []uint64  `json:"versions,omitempty"`
	Status    string    `json:"status"`
	Time      time.Time `json:"time"`
	RequestID string    `json:"request_id,omitempty"`

	Short      string    `json:"short,omitempty"`
	Noun       string    `json:"noun"`
	Kind       string    `json:"kind,omitempty"`
	Rule       string    `json:"rule,omitempty"`
	NotBefore  time.Time `json:"not_before,omitzero"`
	Expires    time.Time `json:"expires,omitzero"`
	Ended      time.Time `json:"ended,omitzero"`
	EndedBy    string    `json:"ended_by,omitempty"`
	Conflicts  []string  `json:"conflicts,omitempty"`
	BreakGlass string    `json:"break_glass,omitempty"`
}

func viewChange(r change.Record) changeView {
	return changeView{ID: r.ID, Region: r.Region, Name: r.Name, Operation: r.Operation, Author: r.Author, Front: r.Front,
		Reason: r.Reason, Base: r.Base, Version: r.Version, Keys: r.Keys, Versions: r.Versions, Status: string(r.Status),
		Time: time.UnixMicro(r.Time).UTC(), RequestID: r.RequestID, Noun: r.Noun, Kind: r.Kind, Rule: r.Rule,
		NotBefore: moment(r.NotBefore), Expires: moment(r.Expires), Ended: moment(r.Ended), EndedBy: r.EndedBy,
		Conflicts: r.Conflicts, BreakGlass: r.BreakGlass}
}

// moment is a time out of microseconds; 0 is none.
func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// views maps a slice.
func views[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i := range in {
		out[i] = f(in[i])
	}
	return out
}

func secretRows() []route {
	return []route{
		row(route{method: "GET", path: "/secrets", op: policy.ListSecrets, deadline: deadline, params: []param{
			{name: "prefix", kind: text}, {name: "filter", kind: text, repeats: true}, {name: "deleted", kind: boolean},
			{name: "sort", kind: text}, {name: "desc", kind: boolean}, limit, page}}, listSecrets),
		row(route{method: "GET", path: "/secret", op: policy.Describe, deadline: deadline, params: []param{named}},
			func(a *api, c *call, _ *none) func(context.Context) (secretView, error) {
				id := c.secret()
				return func(ctx context.Context) (secretView, error) {
					d, err := a.Secrets.Describe(ctx, c.who, id)
					return viewSecret(d), err
				}
			}),
		row(route{method: "POST", path: "/secret", op: policy.CreateSecret, deadline: deadline, once: true}, createSecret),
		row(route{method: "PATCH", path: "/secret", op: policy.UpdateSecret, deadline: deadline, once: true, params: []param{named}}, updateSecret),
		row(route{method: "DELETE", path: "/secret", op: policy.DeleteSecret, deadline: deadline, params: []param{named,
			{name: "window", kind: integer}, {name: "force", kind: boolean}, reason}}, deleteSecret),
		row(route{method: "POST", path: "/secret/restore", op: policy.RestoreSecret, deadline: deadline, params: []param{named, reason}},
			func(a *api, c *call, _ *none) func(context.Context) (written, error) {
				id, why := c.secret(), c.string("reason")
				return func(ctx context.Context) (written, error) {
					return viewWritten(a.Secrets.Restore(ctx, c.who, id, why))
				}
			}),
		row(route{method: "PUT", path: "/secret/tags", op: policy.TagSecret, deadline: deadline, params: []param{named}},
			func(a *api, c *call, in *tagBody) func(context.Context) (written, error) {
				id := c.secret()
				return func(ctx context.Context) (written, error) {
					return viewWritten(a.Secrets.Tag(ctx, c.who, id, tagsOf(in.Tags), in.Reason))
				}
			}),
		row(route{method: "DELETE", path: "/secret/tags", op: policy.UntagSecret, deadline: deadline, params: []param{named,
			{name: "key", kind: text, required: true, repeats: true}, reason}},
			func(a *api, c *call, _ *none) func(context.Context) (written, error) {
				id, keys, why := c.secret(), c.strings("key"), c.string("reason")
				return func(ctx context.Context) (written, error) {
					return viewWritten(a.Secrets.Untag(ctx, c.who, id, keys, why))
				}
			}),
		row(route{method: "GET", path: "/secret/policy", op: policy.GetResourcePolicy, deadline: deadline, params: []param{named}},
			func(a *api, c *call, _ *none) func(context.Context) (resourcePolicyView, error) {
				id := c.secret()
				return func(ctx context.Context) (resourcePolicyView, error) {
					p, err := a.Secrets.GetResourcePolicy(ctx, c.who, id)
					return resourcePolicyView{ARN: p.ARN, Name: p.Name, Document: p.Policy}, err
				}
			}),
		row(route{method: "PUT", path: "/secret/policy", op: policy.PutResourcePolicy, deadline: deadline, params: []param{named}},
			func(a *api, c *call, in *resourcePolicyBody) func(context.Context) (written, error) {
				id := c.secret()
				return func(ctx context.Context) (written, error) {
					return viewWritten(a.Secrets.PutResourcePolicy(ctx, c.who, id, in.Document.text, in.BlockPublic, in.Reason))
				}
			}),
		row(route{method: "DELETE", path: "/secret/policy", op: policy.DeleteResourcePolicy, deadline: deadline, params: []param{named, reason}},
			func(a *api, c *call, _ *none) func(context.Context) (written, error) {
				id, why := c.secret(), c.string("reason")
				return func(ctx context.Context) (written, error) {
					return viewWritten(a.Secrets.DeleteResourcePolicy(ctx, c.who, id, why))
				}
			}),
		row(route{method: "GET", path: "/secret/changes", op: policy.ListChanges, deadline: deadline, params: []param{named, limit, page}},
			func(a *api, c *call, _ *none) func(context.Context) (list[changeView], error) {
				req := inspect.ChangesRequest{ID: c.secret(), Limit: c.int("limit", 1, inspect.MaxLimit), Page: c.string("page")}
				return func(ctx context.Context) (list[changeView], error) {
					out, err := a.Inspect.Changes(ctx, c.who, req)
					return listOf(views(out.Changes, viewChange), out.Next), err
				}
			}),
	}
}

// filterKeys are the attributes that a filter may look at.
var filterKeys = []secret.FilterKey{secret.ByDescription, secret.ByName, secret.ByTagKey, secret.ByTagValue,
	secret.ByPrimaryRegion, secret.ByOwningService, secret.ByAll}

// listSecrets lists. Filters of one attribute are alternatives; different
// attributes must all match.
func listSecrets(a *api, c *call, _ *none) func(context.Context) (list[secretView], error) {
	req := secret.ListRequest{Deleted: c.bool("deleted"), Sort: secret.Sort(c.string("sort")), Desc: c.bool("desc"),
		Max: c.int("limit", 1, 100), Token: c.string("page")}
	switch req.Sort {
	case "", secret.SortCreated, secret.SortName, secret.SortChanged, secret.SortAccessed:
	default:
		c.fail("sort", "a listing is sorted by name, created-date, last-changed-date or last-accessed-date")
	}
	if p := c.string("prefix"); p != "" {
		req.Filters = append(req.Filters, secret.Filter{Key: secret.ByName, Values: []string{p}})
	}
	for _, f := range c.strings("filter") {
		key, value, ok := strings.Cut(f, ":")
		if !ok || !slices.Contains(filterKeys, secret.FilterKey(key)) {
			c.fail("filter", "a filter is ATTRIBUTE:VALUE, as in tag-key:team")
			continue
		}
		i := slices.IndexFunc(req.Filters, func(have secret.Filter) bool { return have.Key == secret.FilterKey(key) })
		if i < 0 || key == string(secret.ByName) && i == 0 && c.string("prefix") != "" {
			req.Filters = append(req.Filters, secret.Filter{Key: secret.FilterKey(key), Values: []string{value}})
		} else {
			req.Filters[i].Values = append(req.Filters[i].Values, value)
		}
	}
	for _, f := range req.Filters {
		if err := f.Validate(); err != nil && c.err == nil {
			c.err = err
		}
	}
	return func(ctx context.Context) (list[secretView], error) {
		out, err := a.Secrets.List(ctx, c.who, req)
		return listOf(views(out.Secrets, viewSecret), out.Token), err
	}
}

func createSecret(a *api, c *call, in *createBody) func(context.Context) (written, error) {
	req := secret.CreateRequest{Name: in.Name, VersionID: in.VersionID, Value: in.input(c), Description: in.Description,
		KMSKey: in.KMSKey, Type: in.Type, Tags: tagsOf(in.Tags), Reason: in.Reason, Options: in.options.of(c)}
	if req.VersionID == "" && req.Value != nil {
		req.VersionID = httpx.NewID()
	}
	for _, r := range in.Replicas {
		req.Replicas = append(req.Replicas, secret.Replica{Region: r.Region, KMSKey: r.KMSKey})
	}
	return func(ctx context.Context) (written, error) {
		out, err := viewWritten(a.Secrets.Create(ctx, c.who, req))
		out.Created = out.Change != "" && out.Status == change.Applied
		return out, err
	}
}

func updateSecret(a *api, c *call, in *updateBody) func(context.Context) (written, error) {
	req := secret.UpdateRequest{ID: c.secret(), Description: in.Description, KMSKey: in.KMSKey, Type: in.Type, Reason: in.Reason,
		Options: in.options.of(c)}
	if in.Description == nil && in.KMSKey == nil && in.Type == nil {
		c.fail("description", "nothing is given to change")
	}
	return func(ctx context.Context) (written, error) {
		return viewWritten(a.Secrets.Update(ctx, c.who, req))
	}
}

func deleteSecret(a *api, c *call, _ *none) func(context.Context) (deletedView, error) {
	req := secret.DeleteRequest{ID: c.secret(), Window: c.int("window", secret.MinWindow, secret.MaxWindow),
		Force: c.bool("force"), Reason: c.string("reason")}
	return func(ctx context.Context) (deletedView, error) {
		out, err := a.Secrets.Delete(ctx, c.who, req)
		return deletedView{ARN: out.ARN, Name: out.Name, Purge: out.When.UTC(), Change: out.Change, Status: out.Status}, err
	}
}

type labelBody struct {
	Label  string `json:"label"`
	From   string `json:"from"`
	To     string `json:"to"`
	Reason string `json:"reason"`
}

func versionRows() []route {
	value := row(route{method: "GET", path: "/secret/value", op: policy.ReadValue, deadline: brief, params: []param{named,
		{name: "version", kind: integer}, {name: "version_id", kind: text}, {name: "label", kind: text}}},
		func(a *api, c *call, _ *none) func(context.Context) (*valueAnswer, error) {
			req := secret.ReadRequest{ID: c.secret(), VersionID: c.string("version_id"), Number: c.number("version"), Label: c.string("label")}
			return func(ctx context.Context) (*valueAnswer, error) {
				v, err := a.Secrets.ReadValue(ctx, c.who, req)
				return &valueAnswer{v}, err
			}
		})
	value.out = reflect.TypeFor[valueShape]()
	return []route{
		value,
		row(route{method: "PUT", path: "/secret/value", op: policy.PutValue, deadline: deadline, once: true, based: true, params: []param{named}}, putValue),
		row(route{method: "GET", path: "/secret/versions", op: policy.ListVersions, deadline: deadline, params: []param{named,
			{name: "all", kind: boolean}, limit, page}},
			func(a *api, c *call, _ *none) func(context.Context) (list[secret.VersionInfo], error) {
				req := secret.VersionsRequest{ID: c.secret(), Unlabeled: c.bool("all"), Destroyed: c.bool("all"), Max: c.int("limit", 1, 1000), Token: c.string("page")}
				return func(ctx context.Context) (list[secret.VersionInfo], error) {
					out, err := a.Secrets.ListVersions(ctx, c.who, req)
					return listOf(out.Versions, out.Token), err
				}
			}),
		versionsRow("delete", policy.DeleteVersion, (*secret.Service).DeleteVersions),
		versionsRow("undelete", policy.UndeleteVersion, (*secret.Service).UndeleteVersions),
		versionsRow("destroy", policy.DestroyVersion, (*secret.Service).DestroyVersions),
		row(route{method: "POST", path: "/secret/label", op: policy.MoveLabel, deadline: deadline, params: []param{named}},
			func(a *api, c *call, in *labelBody) func(context.Context) (written, error) {
				req := secret.LabelRequest{ID: c.secret(), Label: in.Label, From: in.From, To: in.To, Infer: in.From == "", Reason: in.Reason}
				return func(ctx context.Context) (written, error) {
					return viewWritten(a.Secrets.MoveLabel(ctx, c.who, req))
				}
			}),
		row(route{method: "POST", path: "/random-password", op: policy.RandomPassword, deadline: deadline, mayLack: true}, randomPassword),
	}
}

type versionsBody struct {
	Versions []uint64 `json:"versions"`
	Reason   string   `json:"reason"`
	options
}

// versionsRow is what is done to versions by their numbers.
func versionsRow(verb string, op policy.Op, do func(*secret.Service, context.Context, caller.Caller, secret.KVVersions) (change.Result, error)) route {
	return row(route{method: "POST", path: "/secret/versions/" + verb, op: op, deadline: deadline, once: true, params: []param{named}},
		func(a *api, c *call, in *versionsBody) func(context.Context) (change.Result, error) {
			if len(in.Versions) == 0 {
				c.fail("versions", "give the numbers of versions")
			}
			req := secret.KVVersions{ID: c.secret(), Numbers: in.Versions, Exists: true, Reason: in.Reason, Options: in.options.of(c)}
			return func(ctx context.Context) (change.Result, error) { return do(a.Secrets, ctx, c.who, req) }
		})
}

type passwordBody struct {
	Length        int    `json:"length"`
	Exclude       string `json:"exclude"`
	NoLowercase   bool   `json:"no_lowercase"`
	NoUppercase   bool   `json:"no_uppercase"`
	NoDigits      bool   `json:"no_digits"`
	NoPunctuation bool   `json:"no_punctuation"`
	Space         bool   `json:"space"`
	Each          bool   `json:"each"`
}

// passwordView is a generated password. The tag says what appendJSON writes.
type passwordView struct {
	Password hidden `json:"password"`
}

func (p passwordView) appendJSON(b []byte) []byte {
	return append(appendQuoted(append(b, `{"password":`...), p.Password.Reveal()), "}\n"...)
}

func randomPassword(a *api, c *call, in *passwordBody) func(context.Context) (passwordView, error) {
	req := secret.PasswordRequest{Length: in.Length, Exclude: in.Exclude, NoLowercase: in.NoLowercase, NoUppercase: in.NoUppercase,
		NoDigits: in.NoDigits, NoPunctuation: in.NoPunctuation, Space: in.Space, Each: in.Each}
	return func(ctx context.Context) (passwordView, error) {
		p, err := a.Secrets.RandomPassword(ctx, c.who, req)
		return passwordView{hidden{p}}, err
	}
}
