package file

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"countersign/internal/client"
	"countersign/internal/name/convention"
)

// members calls for each member of a mapping what reads it. Others are refused.
func (r *reader) members(n *yaml.Node, what string, known map[string]func(*yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s is a mapping", what)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if read, ok := known[k.Value]; ok {
			read(v)
			continue
		}
		r.fail(k, "%s has no member %s", what, quoted(k.Value))
	}
}

var plain = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,40}$`)

// quoted is the name of a member, unless it is none.
func quoted(key string) string {
	if plain.MatchString(key) {
		return strconv.Quote(key)
	}
	return "of this name"
}

// text reads a text. Numbers and dates are taken as they are written.
func (r *reader) text(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Style&yaml.TaggedStyle != 0 || strings.HasPrefix(n.Tag, "!!binary") {
		r.fail(n, "this is a text")
		return ""
	}
	return n.Value
}

func (r *reader) textTo(to *string) func(*yaml.Node) { return func(n *yaml.Node) { *to = r.text(n) } }

// filled reads a text that is not empty.
func (r *reader) filled(to *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		had := len(r.refused)
		if *to = r.text(n); *to == "" && len(r.refused) == had {
			r.fail(n, "this is empty")
		}
	}
}

func (r *reader) pointer(to **string) func(*yaml.Node) {
	return func(n *yaml.Node) { v := r.text(n); *to = &v }
}

func (r *reader) number(to *int64, most int64) func(*yaml.Node) {
	return func(n *yaml.Node) {
		v, err := strconv.ParseInt(n.Value, 10, 64)
		if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil || v < 1 || v > most {
			r.fail(n, "this is a number from 1 to %d", most)
			return
		}
		*to = v
	}
}

func (r *reader) truth(to *bool) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Value != "true" && n.Value != "false" {
			r.fail(n, "this is true or false")
			return
		}
		*to = n.Value == "true"
	}
}

// texts reads a list of texts, each once.
func (r *reader) texts(to *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			r.fail(n, "this is a list of texts")
			return
		}
		*to = []string{}
		for _, c := range n.Content {
			v := r.text(c)
			if slices.Contains(*to, v) {
				r.fail(c, "this is in the list twice")
			}
			*to = append(*to, v)
		}
	}
}

// pairs reads a mapping of texts.
func (r *reader) pairs(to *map[string]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			r.fail(n, "this is a mapping of texts")
			return
		}
		*to = map[string]string{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "" {
				r.fail(n.Content[i], "this name is empty")
			}
			(*to)[n.Content[i].Value] = r.text(n.Content[i+1])
		}
	}
}

// list calls for each item of a list.
func (r *reader) list(what string, item func(*yaml.Node)) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			r.fail(n, "%s is a list", what)
			return
		}
		for _, c := range n.Content {
			item(c)
		}
	}
}

// document reads one file. The members that others depend on are read first,
// wherever they stand.
func (r *reader) document(n *yaml.Node, out *File) {
	if n.Kind != yaml.MappingNode {
		r.fail(n, "the file is a mapping with version and secrets")
		return
	}
	var version string
	var naming, values, secrets, rules *yaml.Node
	var d defaults
	keep := func(to **yaml.Node) func(*yaml.Node) { return func(n *yaml.Node) { *to = n } }
	r.members(n, "the file", map[string]func(*yaml.Node){
		"version": r.textTo(&version), "naming": keep(&naming), "naming_values": keep(&values), "secrets": keep(&secrets), "protection": keep(&rules),
		"defaults": func(n *yaml.Node) {
			r.members(n, "defaults", map[string]func(*yaml.Node){"owner": r.filled(&d.owner), "tags": r.pairs(&d.tags),
				"kms_key": r.pointer(&d.kmsKey), "type": r.pointer(&d.kind)})
			r.owner(n, &d.tags, d.owner)
		}})
	if version != "1" {
		r.fail(n, "version is missing, or is not the one that is known: version: 1")
	}
	d.naming = r.naming(naming, values)
	if secrets != nil {
		r.list("secrets", func(n *yaml.Node) {
			if len(out.Secrets) == MaxSecrets {
				r.fail(n, "there are more than %d secrets", MaxSecrets)
			}
			if len(out.Secrets) <= MaxSecrets {
				out.Secrets = append(out.Secrets, r.secret(n, &d))
			}
		})(secrets)
	}
	if rules != nil {
		r.list("protection", func(n *yaml.Node) { out.Rules = append(out.Rules, r.rule(n)) })(rules)
	}
}

// defaults hold for the secrets of a file that say nothing else.
type defaults struct {
	owner        string
	tags         map[string]string
	kmsKey, kind *string
	naming       *convention.Convention
}

// owner keeps an owner as a tag.
func (r *reader) owner(n *yaml.Node, tags *map[string]string, owner string) {
	if owner == "" {
		return
	}
	if have, ok := (*tags)[TagOwner]; ok && have != owner {
		r.fail(n, "owner and the tag %q are the same thing, and differ here", TagOwner)
	}
	if *tags == nil {
		*tags = map[string]string{}
	}
	(*tags)[TagOwner] = owner
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)

func (r *reader) secret(n *yaml.Node, d *defaults) Secret {
	s := Secret{At: r.at(n), KMSKey: d.kmsKey, Type: d.kind}
	var owner string
	var named *yaml.Node
	r.members(n, "a secret", map[string]func(*yaml.Node){
		"name":        func(n *yaml.Node) { named = n; s.Name = r.text(n) },
		"description": r.pointer(&s.Description), "kms_key": r.pointer(&s.KMSKey), "type": r.pointer(&s.Type),
		"owner": r.filled(&owner), "tags": r.pairs(&s.Tags), "replicas": r.texts(&s.Replicas),
		"rotation": func(n *yaml.Node) { s.Rotation = r.rotation(n) }, memberSchema: r.schema(&s.Schema)})
	if n.Kind != yaml.MappingNode {
		return s
	}
	r.owner(n, &s.Tags, owner)
	for k, v := range d.tags {
		if _, ok := s.Tags[k]; !ok {
			if s.Tags == nil {
				s.Tags = map[string]string{}
			}
			s.Tags[k] = v
		}
	}
	if named == nil {
		r.fail(n, "the secret has no name")
		return s
	}
	s.At = r.at(named)
	if !namePattern.MatchString(s.Name) {
		r.fail(named, "this is no name of a secret: 1 to 512 letters, digits and /_+=.@-")
		return s
	}
	if first, twice := r.secrets[s.Name]; twice {
		r.fail(named, "%q is declared twice, first at %s", s.Name, first)
	}
	r.secrets[s.Name] = s.At
	if d.naming != nil {
		if err := d.naming.Check(s.Name); err != nil {
			r.fail(named, "%s", err)
		}
	}
	return s
}

func (r *reader) rotation(n *yaml.Node) *client.RotationSettings {
	var s client.RotationSettings
	r.members(n, "rotation", map[string]func(*yaml.Node){
		"rotator": r.filled(&s.Rotator), "function": r.filled(&s.Function), "options": r.pairs(&s.Options), "days": r.number(&s.Days, 1000),
		"schedule": r.filled(&s.Schedule), "window": r.length(&s.Window), "jitter": r.length(&s.Jitter), "blackout": r.texts(&s.Blackout),
		"grace": r.length(&s.Grace), "readers": r.length(&s.Readers), "deadline": r.length(&s.Deadline)})
	if n.Kind == yaml.MappingNode && (s.Rotator == "") == (s.Function == "") {
		r.fail(n, "a rotation has either a rotator or a function")
	}
	if s.Days != 0 && s.Schedule != "" {
		r.fail(n, "a rotation has either days or a schedule")
	}
	return &s
}

var lengthPattern = regexp.MustCompile(`^([0-9]{1,9}[smhdw])+$`)

func (r *reader) length(to *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if *to = r.text(n); !lengthPattern.MatchString(*to) {
			r.fail(n, "this is a length of time such as 90s, 1h, 30d or 2w")
		}
	}
}

func (r *reader) rule(n *yaml.Node) Rule {
	out := Rule{At: r.at(n)}
	var days int64
	r.members(n, "a protection rule", map[string]func(*yaml.Node){
		"name": r.filled(&out.Name), "match": r.texts(&out.Match), "tags": r.pairs(&out.Tags), "kinds": r.texts(&out.Kinds),
		"approvals": r.list("approvals", func(n *yaml.Node) {
			var a client.RuleApproval
			var count int64
			r.members(n, "an approval", map[string]func(*yaml.Node){"count": r.number(&count, 100), "groups": r.texts(&a.Groups)})
			a.Count = int(count)
			if count == 0 && n.Kind == yaml.MappingNode {
				r.fail(n, "an approval has a count")
			}
			out.Approvals = append(out.Approvals, a)
		}),
		"allow_author": r.truth(&out.AllowAuthor), "mfa": r.truth(&out.MFA), "signed": r.truth(&out.Signed), "machines": r.texts(&out.Machines),
		"hours": r.textTo(&out.Hours), "expiry_days": r.number(&days, 3650), "break_glass": r.textTo(&out.BreakGlass)})
	out.ExpiryDays = int(days)
	if n.Kind != yaml.MappingNode {
		return out
	}
	switch first, twice := r.rules[out.Name]; {
	case out.Name == "":
		r.fail(n, "the protection rule has no name")
	case twice:
		r.fail(n, "the protection rule is declared twice, first at %s", first)
	case len(out.Match) == 0:
		r.fail(n, "the protection rule matches nothing: match is missing")
	}
	r.rules[out.Name] = out.At
	return out
}
