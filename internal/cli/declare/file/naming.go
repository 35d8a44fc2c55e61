package file

import (
	"go.yaml.in/yaml/v3"

	"countersign/internal/name/convention"
)

// naming reads the convention that the names of a file keep to.
func (r *reader) naming(template, values *yaml.Node) *convention.Convention {
	if template == nil {
		if values != nil {
			r.fail(values, "naming_values without naming")
		}
		return nil
	}
	var text string
	had := len(r.refused)
	r.filled(&text)(template)
	may := map[string][]string{}
	if values != nil {
		if values.Kind != yaml.MappingNode {
			r.fail(values, "naming_values is a mapping of lists")
			return nil
		}
		for i := 0; i+1 < len(values.Content); i += 2 {
			var list []string
			r.texts(&list)(values.Content[i+1])
			may[values.Content[i].Value] = list
		}
	}
	if len(r.refused) > had {
		return nil
	}
	n, err := convention.Parse(text, may)
	if err != nil {
		r.fail(template, "%s", err)
		return nil
	}
	return n
}
