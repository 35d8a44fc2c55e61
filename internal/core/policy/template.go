package policy

import (
	"slices"
	"strings"

	"countersign/internal/caller"
)

// Scope is what the policies of one principal are compiled for.
type Scope struct {
	// Who fills templates; nil leaves them all without a value. Nothing of it but
	// who it is may differ from one request to the next: not its call or token.
	Who *caller.Caller
	// Aliases are the names that logins know Who by, by the accessor of the mount.
	Aliases map[string]Alias
	// Mounts says where secrets and keys are reached; nil stands for the mounts
	// that every account begins with.
	Mounts Mounts
}

// Alias is who a principal is to one mount of a login method.
type Alias struct {
	ID, Name string
	Metadata map[string]string
}

// anySegment stands for a segment "+" in the text of a path. No path holds it
// otherwise.
const anySegment = "\x00"

// pathPart is text of a path, with anySegment for each "+", or a template.
type pathPart struct {
	text string
	tmpl *template
}

// template is {{identity....}} in a path.
type template struct {
	field tmplField
	of    string // accessor or group, by name or id
	key   string // of metadata
}

type tmplField uint8

const (
	tmplEntityID tmplField = iota
	tmplEntityName
	tmplEntityMeta
	tmplAliasID
	tmplAliasName
	tmplAliasMeta
	tmplGroupByID
	tmplGroupByName
	tmplNone // what nobody has here
)

// readPath reads the rule's path as written.
func (r *rule) readPath() error {
	path := strings.TrimPrefix(r.source, "/")
	switch {
	case path == "":
		return malformed("the path is empty")
	case len(path) > maxPath:
		return malformed("the path has %d bytes; the most is %d", len(path), maxPath)
	case strings.ContainsFunc(path, isControl):
		return malformed("the path holds a control character")
	case strings.Contains(path, "+*"):
		return malformed("\"+*\" is no wildcard: a \"+\" stands for a whole segment")
	}
	path, r.glob = strings.CutSuffix(path, "*")
	// A "+" that is in or beside a template stays text: no segment is just it.
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if s == "+" {
			segments[i] = anySegment
		}
	}
	return r.readTemplates(strings.Join(segments, "/"))
}

func isControl(c rune) bool { return c < 0x20 || c == 0x7f }

func (r *rule) readTemplates(path string) error {
	for {
		head, rest, found := strings.Cut(path, "{{")
		if strings.Contains(head, "}}") {
			return malformed("}} without {{")
		}
		if head != "" {
			r.parts = append(r.parts, pathPart{text: head})
		}
		if !found {
			return nil
		}
		inner, after, closed := strings.Cut(rest, "}}")
		if !closed || strings.Contains(inner, "{{") {
			return malformed("{{ without }}")
		}
		t, ok := parseTemplate(strings.TrimSpace(inner))
		if !ok {
			return malformed("%s is not a template", quote("{{"+strings.ReplaceAll(inner, anySegment, "+")+"}}"))
		}
		r.parts = append(r.parts, pathPart{tmpl: t})
		path = after
	}
}

func parseTemplate(s string) (*template, bool) {
	if strings.Contains(s, anySegment) {
		return nil, false
	}
	if rest, ok := strings.CutPrefix(s, "identity.entity."); ok {
		return parseEntity(rest)
	}
	if rest, ok := strings.CutPrefix(s, "identity.groups.ids."); ok {
		return parseGroup(rest, tmplGroupByID)
	}
	if rest, ok := strings.CutPrefix(s, "identity.groups.names."); ok {
		return parseGroup(rest, tmplGroupByName)
	}
	return nil, false
}

func parseEntity(s string) (*template, bool) {
	switch s {
	case "id":
		return &template{field: tmplEntityID}, true
	case "name":
		return &template{field: tmplEntityName}, true
	}
	if key, ok := strings.CutPrefix(s, "metadata."); ok {
		return &template{field: tmplEntityMeta, key: key}, key != ""
	}
	s, ok := strings.CutPrefix(s, "aliases.")
	accessor, field, dotted := strings.Cut(s, ".")
	if !ok || !dotted || accessor == "" {
		return nil, false
	}
	t := &template{field: tmplAliasMeta, of: accessor}
	switch key, isMeta := strings.CutPrefix(field, "metadata."); {
	case field == "id":
		t.field = tmplAliasID
	case field == "name":
		t.field = tmplAliasName
	case isMeta && key != "":
		t.key = key
	case strings.HasPrefix(field, "custom_metadata."):
		t.field = tmplNone
	default:
		return nil, false
	}
	return t, true
}

// parseGroup reads what follows "ids." or "names.". A name may hold dots.
func parseGroup(s string, by tmplField) (*template, bool) {
	if group, key, ok := strings.Cut(s, ".metadata."); ok {
		return &template{field: tmplNone}, group != "" && key != ""
	}
	dot := strings.LastIndexByte(s, '.')
	if dot <= 0 || s[dot+1:] != "id" && s[dot+1:] != "name" {
		return nil, false
	}
	return &template{field: by, of: s[:dot], key: s[dot+1:]}, true
}

// fill is the path's text for one principal; false when a template in it has no
// value.
func (r *rule) fill(s *Scope) (string, bool) {
	if len(r.parts) == 1 && r.parts[0].tmpl == nil {
		return r.parts[0].text, true
	}
	var b strings.Builder
	for _, p := range r.parts {
		text := p.text
		if p.tmpl != nil {
			if text = s.value(p.tmpl); text == "" || strings.ContainsFunc(text, isControl) {
				return "", false
			}
		}
		b.WriteString(text)
	}
	return b.String(), b.Len() <= maxPath
}

// value is what a template stands for, empty when nothing. A value is text: no
// star or plus in it is a wildcard.
func (s *Scope) value(t *template) string {
	if s.Who == nil || s.Who.Name == "" {
		return ""
	}
	switch t.field {
	case tmplEntityID:
		return caller.EntityID(s.Who.Account, s.Who.Name)
	case tmplEntityName:
		return s.Who.Name
	case tmplEntityMeta:
		return s.Who.Tags[t.key]
	case tmplAliasID:
		return s.Aliases[t.of].ID
	case tmplAliasName:
		return s.Aliases[t.of].Name
	case tmplAliasMeta:
		return s.Aliases[t.of].Metadata[t.key]
	case tmplGroupByID, tmplGroupByName:
		return s.group(t)
	}
	return ""
}

// group finds a group that the principal is in.
func (s *Scope) group(t *template) string {
	i := slices.IndexFunc(s.Who.Groups, func(g string) bool {
		return t.field == tmplGroupByName && g == t.of || t.field == tmplGroupByID && caller.GroupID(s.Who.Account, g) == t.of
	})
	switch {
	case i < 0:
		return ""
	case t.key == "id":
		return caller.GroupID(s.Who.Account, s.Who.Groups[i])
	}
	return s.Who.Groups[i]
}
