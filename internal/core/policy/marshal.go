package policy

import "encoding/json"

// MarshalJSON writes the document in its fullest form: lists everywhere, members
// in the order of the IAM grammar. Parsing the result gives a document that
// decides every request in the same way. Whoever keeps policies for people
// should keep the text they wrote instead.
func (d *Document) MarshalJSON() ([]byte, error) {
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
