package secret

import (
	"bytes"
	"encoding/json"
)

// mergePatch applies a JSON merge patch (RFC 7396), which is an object, to an
// object. Members that it does not touch stay as they were written, in their
// order; new ones follow. ok is false when either is no object.
func mergePatch(target, patch []byte) (out []byte, ok bool) {
	is, okT := object(target)
	by, okP := object(patch)
	if !okT || !okP {
		return nil, false
	}
	want := index(by)
	have := index(is)
	merged := make([]member, 0, len(is)+len(by))
	add := func(key string, old, by json.RawMessage) {
		if v := patchMember(old, by); v != nil {
			merged = append(merged, member{key, v})
		}
	}
	for _, m := range is {
		if p, touched := want[m.key]; touched {
			add(m.key, m.value, p)
		} else {
			merged = append(merged, m)
		}
	}
	for _, m := range by {
		if _, there := have[m.key]; !there {
			add(m.key, nil, m.value)
		}
	}
	return encodeObject(merged), true
}

// patchMember is one member of a patched object, nil for none. Only where both
// sides are objects is there anything to merge, and where the patch is one, its
// nulls are taken out.
func patchMember(old, by json.RawMessage) json.RawMessage {
	p, err := decodeAny(by)
	switch p := p.(type) {
	case nil:
		if err == nil {
			return nil
		}
	case map[string]any:
		was, _ := decodeAny(old)
		target, _ := was.(map[string]any)
		return encodeAny(patchObject(target, p))
	}
	return by
}

func patchObject(target, patch map[string]any) map[string]any {
	if target == nil {
		target = make(map[string]any, len(patch))
	}
	for k, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(target, k)
		case map[string]any:
			inner, _ := target[k].(map[string]any)
			target[k] = patchObject(inner, v)
		default:
			target[k] = v
		}
	}
	return target
}

// decodeAny reads JSON with numbers as they are written.
func decodeAny(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func encodeAny(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // what was decoded always encodes
	return bytes.TrimSpace(b.Bytes())
}
