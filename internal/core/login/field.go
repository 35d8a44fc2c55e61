package login

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"countersign/internal/core/record"
	"countersign/internal/errs"
)

// Kind is what a setting holds.
type Kind int

// The kinds, with the type of Go in a Patch and in Settings.
const (
	Text  Kind = iota // string
	Flag              // bool
	Count             // int
	Span              // time.Duration
	List              // []string
	Texts             // map[string]string
	JSON              // map[string]json.RawMessage
)

// Field is a setting of a role or of a method, under its name in the Vault
// protocol.
type Field struct {
	Name string
	Old  string // a deprecated name that stands for it too
	Kind Kind
	// Hidden settings can be set, and are not shown with the others.
	Hidden bool

	at any // where it is kept
}

// text and the like bind a name to a place in a record.
func text(name string, at *string) Field             { return Field{Name: name, Kind: Text, at: at} }
func flag(name string, at *bool) Field               { return Field{Name: name, Kind: Flag, at: at} }
func count(name string, at *int) Field               { return Field{Name: name, Kind: Count, at: at} }
func span(name string, at *time.Duration) Field      { return Field{Name: name, Kind: Span, at: at} }
func list(name string, at *[]string) Field           { return Field{Name: name, Kind: List, at: at} }
func texts(name string, at *map[string]string) Field { return Field{Name: name, Kind: Texts, at: at} }
func values(name string, at *map[string]json.RawMessage) Field {
	return Field{Name: name, Kind: JSON, at: at}
}

func (f Field) old(name string) Field { f.Old = name; return f }
func (f Field) hidden() Field         { f.Hidden = true; return f }

// value is what is kept, of the type of its kind. Lists and maps are never nil.
func (f *Field) value() any {
	switch at := f.at.(type) {
	case *string:
		return *at
	case *bool:
		return *at
	case *int:
		return *at
	case *time.Duration:
		return *at
	case *[]string:
		return append([]string{}, *at...)
	case *map[string]string:
		if *at == nil {
			return map[string]string{}
		}
		return maps.Clone(*at)
	case *map[string]json.RawMessage:
		if *at == nil {
			return map[string]json.RawMessage{}
		}
		return maps.Clone(*at)
	}
	return nil
}

// fits reports whether a value is of the kind's type.
func (k Kind) fits(v any) (ok bool) {
	switch k {
	case Text:
		_, ok = v.(string)
	case Flag:
		_, ok = v.(bool)
	case Count:
		_, ok = v.(int)
	case Span:
		_, ok = v.(time.Duration)
	case List:
		_, ok = v.([]string)
	case Texts:
		_, ok = v.(map[string]string)
	case JSON:
		_, ok = v.(map[string]json.RawMessage)
	}
	return ok
}

// Patch is settings by their names, those that a request gives. The rest stays as
// it is.
type Patch map[string]any

// Settings are all settings that are shown, by their names.
type Settings map[string]any

// set is a Patch as it is written down: each value as a record.
type set map[string][]byte

// encode writes a patch down, under the newer of two names for a setting.
func (p Patch) encode(fields []Field) (set, error) {
	out := set{}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name || f.Old == name })
		switch {
		case i < 0:
			return nil, errs.InvalidField(name, "there is no such setting")
		case !fields[i].Kind.fits(p[name]):
			return nil, errs.InvalidField(name, "that is no value of this setting")
		}
		if _, newer := p[fields[i].Name]; newer && fields[i].Name != name {
			continue
		}
		b, err := record.Encode(p[name])
		if err != nil {
			return nil, err
		}
		var again any
		if record.Decode(b, &again) != nil {
			return nil, errs.InvalidField(name, "it is not UTF-8 text")
		}
		out[fields[i].Name] = b
	}
	return out, nil
}

// apply writes settings into a record, whose fields these are.
func (s set) apply(fields []Field) error {
	for i := range fields {
		b, ok := s[fields[i].Name]
		if !ok {
			continue
		}
		if err := record.Decode(b, emptied(fields[i].at)); err != nil {
			return err
		}
	}
	return nil
}

// emptied empties what is kept, so that a map is replaced and not added to.
func emptied(at any) any {
	switch at := at.(type) {
	case *map[string]string:
		*at = nil
	case *map[string]json.RawMessage:
		*at = nil
	}
	return at
}

// reset puts settings back to those of a record that is new.
func reset(fields, fresh []Field, names []string) error {
	for i := range fields {
		if !slices.Contains(names, fields[i].Name) {
			continue
		}
		b, err := record.Encode(fresh[i].value())
		if err != nil {
			return err
		}
		if err := record.Decode(b, emptied(fields[i].at)); err != nil {
			return err
		}
	}
	return nil
}

// show lists the settings of a record that may be seen.
func show(fields []Field) Settings {
	out := Settings{}
	for i := range fields {
		if !fields[i].Hidden {
			out[fields[i].Name] = fields[i].value()
		}
	}
	return out
}
