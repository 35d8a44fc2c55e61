package policy

import "encoding/json"

// MarshalJSON writes the document in its fullest form: lists everywhere, members
// in the order of the IAM grammar; one of the HCL dialect as JSON. Parsing the result gives a document that
// decides every request in the same way. Whoever keeps policies for people
// should keep the text they wrote instead.
func (d *Document) MarshalJSON() ([]byte, error) {
	if d.dialect == HCL {
		return json.Marshal(map[string]any{"path": d.toPaths()})
	}
	type doc struct {
		Version   string  `json:",omitempty"`
		ID        *string `json:"Id,omitempty"`
		Statement []jsonStatement
	}
	out := doc{Version: d.version}
	if d.hasID {
		out.ID = &d.id
	}
	for i := range d.statements {
		out.Statement = append(out.Statement, d.statements[i].toJSON())
	}
	return json.Marshal(out)
}

type jsonStatement struct {
	Sid          string `json:",omitempty"`
	Effect       Effect
	Principal    any                            `json:",omitempty"`
	NotPrincipal any                            `json:",omitempty"`
	Action       []string                       `json:",omitempty"`
	NotAction    []string                       `json:",omitempty"`
	Resource     []string                       `json:",omitempty"`
	NotResource  []string                       `json:",omitempty"`
	Condition    map[string]map[string][]string `json:",omitempty"`
}

func (s *statement) toJSON() jsonStatement {
	out := jsonStatement{Sid: s.sid, Effect: s.effect}
	if s.principals != nil {
		if out.Principal = s.principals.toJSON(); s.notPrincipals {
			out.Principal, out.NotPrincipal = nil, out.Principal
		}
	}
	if out.Action = s.actions; s.notActions {
		out.Action, out.NotAction = nil, s.actions
	}
	if out.Resource = written(s.resources); s.notResources {
		out.Resource, out.NotResource = nil, out.Resource
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		if out.Condition == nil {
			out.Condition = map[string]map[string][]string{}
		}
		if out.Condition[c.written] == nil {
			out.Condition[c.written] = map[string][]string{}
		}
		values := make([]string, 0, len(c.values))
		for j := range c.values {
			values = append(values, c.values[j].pattern.source)
		}
		out.Condition[c.written][c.keyName] = values
	}
	return out
}

func (p *principals) toJSON() any {
	if p.bare {
		return "*"
	}
	out := map[string][]string{}
	if p.aws != nil {
		out["AWS"] = p.aws
	}
	for _, o := range p.others {
		out[o.kind] = o.names
	}
	return out
}

func written(ps []pattern) []string {
	out := make([]string, 0, len(ps))
	for i := range ps {
		out = append(out, ps[i].source)
	}
	return out
}

// jsonRule is one path block. A list of them stands under each path.
type jsonRule struct {
	Capabilities []string         `json:"capabilities"`
	Allowed      map[string][]any `json:"allowed_parameters,omitempty"`
	Denied       map[string][]any `json:"denied_parameters,omitempty"`
	Required     []string         `json:"required_parameters,omitempty"`
	MinWrap      string           `json:"min_wrapping_ttl,omitempty"`
	MaxWrap      string           `json:"max_wrapping_ttl,omitempty"`
}

func (d *Document) toPaths() map[string][]jsonRule {
	out := map[string][]jsonRule{}
	for i := range d.rules {
		r := &d.rules[i]
		j := jsonRule{Capabilities: append(r.caps.names(), r.idle...)}
		if l := r.limits; l != nil {
			j.Allowed, j.Denied, j.Required = valuesToJSON(l.allowed), valuesToJSON(l.denied), l.required
			if l.minWrap > 0 {
				j.MinWrap = l.minWrap.String()
			}
			if l.maxWrap > 0 {
				j.MaxWrap = l.maxWrap.String()
			}
		}
		out[r.source] = append(out[r.source], j)
	}
	return out
}

func valuesToJSON(params map[string][]paramValue) map[string][]any {
	out := map[string][]any{}
	for k, values := range params {
		out[k] = []any{}
		for _, v := range values {
			if v.list {
				out[k] = append(out[k], append([]string{}, v.items...))
			} else {
				out[k] = append(out[k], v.items[0])
			}
		}
	}
	return out
}
