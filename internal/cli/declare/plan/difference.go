package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/cli/declare/file"
	"countersign/internal/client"
)

// Field is one difference between the file and the server.
type Field struct {
	Name string `json:"field"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new"`
}

// What an item is about: each is one request to the server.
const (
	Create     = "create"
	Update     = "update"
	Tags       = "tags"
	Schema     = "schema"
	Replicas   = "replicas"
	NoReplicas = "replicas-end"
	Rotation   = "rotation"
	Protection = "protection"
)

// Item is one thing to do, or one that cannot be done.
type Item struct {
	What   string  `json:"what"`
	Name   string  `json:"name"` // of the secret or the rule
	Fields []Field `json:"fields"`
	Change string  `json:"change,omitempty"` // that was proposed to do this
	Status string  `json:"status,omitempty"` // of that change
	Error  string  `json:"error,omitempty"`  // why it cannot be done

	Secret  *file.Secret `json:"-"`
	Rule    *file.Rule   `json:"-"`
	Revised string       `json:"-"` // what the server's side was made from, for keys of idempotency
	Err     error        `json:"-"`
}

// Mark is what the reason of a change says, so that the change is found again: it
// depends on what is asked for and on nothing else.
func (it *Item) Mark() string {
	asked := [][2]string{}
	if it.What == Schema { // all of it, whatever is there by now
		asked = append(asked, [2]string{Schema, *it.Secret.Schema})
	} else {
		for _, f := range it.Fields {
			asked = append(asked, [2]string{f.Name, f.New})
		}
	}
	b, _ := json.Marshal([]any{it.What, it.Name, asked})
	sum := sha256.Sum256(b)
	return "countersign apply " + hex.EncodeToString(sum[:10])
}

// Sets returns what the item sets, by the beginning of the field's name.
func (it *Item) sets(prefix string) map[string]string {
	out := map[string]string{}
	for _, f := range it.Fields {
		if k, ok := strings.CutPrefix(f.Name, prefix); ok {
			out[k] = f.New
		}
	}
	return out
}

// TagsToSet are the tags of an item about tags.
func (it *Item) TagsToSet() map[string]string { return it.sets(tagPrefix) }

// Regions are those that an item about replicas adds or ends.
func (it *Item) Regions() (out []string) {
	for _, f := range it.Fields {
		if r, ok := strings.CutPrefix(f.Name, replicaPrefix); ok {
			out = append(out, r)
		}
	}
	return out
}

const (
	tagPrefix     = "tag "
	replicaPrefix = "replica "
)

// compare lists what is to be done for a secret. have is nil when there is none yet;
// schema is that which it has.
func compare(want *file.Secret, have *client.Secret, rot *client.RotationStatus, schema string) (items []*Item) {
	add := func(what string, fields []Field) {
		if len(fields) > 0 {
			it := &Item{What: what, Name: want.Name, Fields: fields, Secret: want}
			if have != nil {
				it.Revised = have.Changed.UTC().Format(time.RFC3339Nano)
			}
			items = append(items, it)
		}
	}
	if have == nil {
		fields := append(texts(want, nil), tags(want.Tags, nil)...)
		added, _ := replicas(want.Replicas, nil)
		add(Create, append(fields, added...))
		if len(items) == 0 {
			items = []*Item{{What: Create, Name: want.Name, Fields: []Field{}, Secret: want}}
		}
	} else {
		add(Update, texts(want, have))
		add(Tags, tags(want.Tags, have.Tags))
		if want.Replicas != nil {
			added, ended := replicas(want.Replicas, have.Replicas)
			add(Replicas, added)
			add(NoReplicas, ended)
		}
	}
	if want.Schema != nil {
		add(Schema, schemas(schema, *want.Schema))
	}
	if want.Rotation != nil {
		add(Rotation, rotation(want.Rotation, rot))
	}
	return items
}

func texts(want *file.Secret, have *client.Secret) (out []Field) {
	if have == nil {
		have = &client.Secret{}
	}
	for _, f := range []struct {
		name string
		want *string
		have string
	}{{"description", want.Description, have.Description}, {"kms_key", want.KMSKey, have.KMSKey}, {"type", want.Type, have.Type}} {
		if f.want != nil && *f.want != f.have {
			out = append(out, Field{f.name, f.have, *f.want})
		}
	}
	return out
}

func tags(want, have map[string]string) (out []Field) {
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if old, ok := have[k]; !ok || old != want[k] {
			out = append(out, Field{tagPrefix + k, old, want[k]})
		}
	}
	return out
}

// replicas are the regions that are to be added, and those that are to end. One that
// failed is tried again.
func replicas(want []string, have []client.Replica) (added, ended []Field) {
	old := map[string]string{}
	for _, r := range have {
		if old[r.Region] = r.Status; r.Status != failed {
			old[r.Region] = inSync
		}
		if !slices.Contains(want, r.Region) {
			ended = append(ended, Field{replicaPrefix + r.Region, old[r.Region], ""})
		}
	}
	for _, r := range slices.Sorted(slices.Values(want)) {
		if old[r] != inSync {
			added = append(added, Field{replicaPrefix + r, old[r], inSync})
		}
	}
	slices.SortFunc(ended, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return added, ended
}

// States of a replica.
const (
	inSync = "InSync"
	failed = "Failed"
)

// schemas compares two schemas rule by rule. The order of members and space between
// them are no difference.
func schemas(have, want string) (out []Field) {
	old, now := map[string]string{}, map[string]string{}
	flatten(old, Schema, decoded(have))
	flatten(now, Schema, decoded(want))
	all := maps.Clone(old)
	maps.Copy(all, now)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if old[k] != now[k] {
			out = append(out, Field{k, old[k], now[k]})
		}
	}
	return out
}

// absent is what there is instead of a schema.
type absent struct{}

func decoded(text string) (v any) {
	if text == "" {
		return absent{}
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	_ = d.Decode(&v) // it was read before
	return v
}

// flatten lists the members of a document by their place.
func flatten(to map[string]string, at string, v any) {
	sub := func(key string, v any) {
		key = strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
		if at == Schema {
			key = " " + "/" + key
		} else {
			key = "/" + key
		}
		flatten(to, at+key, v)
	}
	switch v := v.(type) {
	case absent:
		return
	case map[string]any:
		for k, m := range v {
			sub(k, m)
		}
		if len(v) > 0 {
			return
		}
	case []any:
		if !plain(v) {
			for i, m := range v {
				sub(strconv.Itoa(i), m)
			}
			return
		}
	}
	to[at] = text(v)
}

// plain tells whether a list has no parts of its own, and is shown as one.
func plain(list []any) bool {
	return !slices.ContainsFunc(list, func(v any) bool {
		switch v.(type) {
		case map[string]any, []any:
			return true
		}
		return false
	})
}

func text(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // what was decoded
	return strings.TrimSuffix(b.String(), "\n")
}

// rotation compares all settings, since setting some forgets the others.
func rotation(want *client.RotationSettings, st *client.RotationStatus) (out []Field) {
	have, state := client.RotationSettings{}, ""
	if st != nil && (st.Rotator != "" || st.Function != "") {
		have, state = st.RotationSettings, "off"
		if st.Enabled {
			state = "on"
		}
	}
	if want.Function != "" {
		have.Rotator = "" // it follows from the function
	}
	one := func(name, old, now string) {
		if old != now {
			out = append(out, Field{"rotation " + name, old, now})
		}
	}
	one("rotator", have.Rotator, want.Rotator)
	one("function", have.Function, want.Function)
	keys := map[string]bool{}
	for k := range have.Options {
		keys[k] = true
	}
	for k := range want.Options {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		one("option "+k, have.Options[k], want.Options[k])
	}
	one("days", days(have.Days), days(want.Days))
	one("schedule", have.Schedule, want.Schedule)
	for _, l := range []struct{ name, have, want string }{{"window", have.Window, want.Window}, {"jitter", have.Jitter, want.Jitter},
		{"grace", have.Grace, want.Grace}, {"readers", have.Readers, want.Readers}, {"deadline", have.Deadline, want.Deadline}} {
		if length(l.have) != length(l.want) {
			one(l.name, l.have, l.want)
		}
	}
	one("blackout", strings.Join(have.Blackout, ", "), strings.Join(want.Blackout, ", "))
	if state == "off" || len(out) > 0 && state == "" {
		out = append([]Field{{"rotation", state, "on"}}, out...)
	}
	return out
}

func days(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// length is a length of time in seconds; -1 for what is none.
func length(text string) (total int64) {
	units := map[byte]int64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 7 * 86400}
	for text != "" {
		i := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
		if i <= 0 || i > 9 || units[text[i]] == 0 {
			return -1
		}
		n, _ := strconv.ParseInt(text[:i], 10, 64)
		total, text = total+n*units[text[i]], text[i+1:]
	}
	return total
}

// compareRule is what is to be done for a rule. have is nil when there is none yet.
func compareRule(want *file.Rule, have *client.Rule, revision uint64) *Item {
	it := &Item{What: Protection, Name: want.Name, Rule: want, Revised: strconv.FormatUint(revision, 10)}
	old := map[string]string{}
	if have != nil {
		old = members(*have)
	}
	now := members(want.Rule)
	all := maps.Clone(old)
	maps.Copy(all, now)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if old[k] != now[k] {
			it.Fields = append(it.Fields, Field{k, old[k], now[k]})
		}
	}
	if len(it.Fields) == 0 {
		return nil
	}
	return it
}

// members are those of a rule that say something, as JSON.
func members(r client.Rule) map[string]string {
	b, _ := json.Marshal(r)
	var raw map[string]json.RawMessage
	_ = json.Unmarshal(b, &raw)
	delete(raw, "name")
	out := map[string]string{}
	for k, v := range raw {
		out[k] = string(v)
	}
	return out
}
