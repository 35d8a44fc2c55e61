package secret

import (
	"encoding/binary"

	"countersign/internal/core/record"
)

// What makes two requests with one idempotency key the same: all that their
// author said, and nothing that chance added or the transaction noted. A value
// counts by its fingerprint. An id of a version is left out, because a front
// makes one up for an author who gave none.

// Repeats implements what package change asks of an edit.
func (e *createEdit) Repeats() []byte {
	r := e.req
	return repeats(stored{Describe: &r.Description, KMSKey: &r.KMSKey, Type: &r.Type, Tags: r.Tags, Replicas: r.Replicas, Force: r.ForceReplicas}, r.Value, e.value, nil)
}

// Repeats implements what package change asks of an edit.
func (e *putEdit) Repeats() []byte {
	return repeats(stored{Labels: e.req.Labels}, &e.req.Value, e.value, e.req.Base)
}

// Repeats implements what package change asks of an edit.
func (e *updateEdit) Repeats() []byte {
	r := e.req
	return repeats(stored{Describe: r.Description, KMSKey: r.KMSKey, Type: r.Type}, r.Value, e.value, nil)
}

// Repeats implements what package change asks of an edit.
func (e *kvEdit) Repeats() []byte {
	if e.patch == nil {
		return repeats(stored{}, &e.value.Input, e.value, e.cas)
	}
	return repeats(stored{Patch: true}, &Input{}, printed{print: e.s.fingerprint(e.who.Account, e.patch.Reveal())}, e.cas)
}

// Repeats implements what package change asks of an edit.
func (e *versionsEdit) Repeats() []byte {
	return repeats(stored{KV: &storedKV{Numbers: e.numbers}}, nil, printed{}, nil)
}

// Repeats implements what package change asks of an edit.
func (e *kvSetEdit) Repeats() []byte {
	r := e.req
	return repeats(stored{Tags: e.set, Remove: e.remove, KV: &storedKV{MaxVersions: r.MaxVersions, CASRequired: r.CASRequired,
		DeleteAfter: r.DeleteAfter, Tags: r.Tags != nil, Merge: r.Merge}}, nil, printed{}, nil)
}

func repeats(w stored, in *Input, p printed, base *uint64) []byte {
	b, _ := record.Encode(w) // plain members always encode
	if in != nil {
		b = append(append(b, 1), p.print...)
		if in.Binary {
			b = append(b, 1)
		}
	}
	if base != nil {
		b = binary.BigEndian.AppendUint64(append(b, 2), *base)
	}
	return b
}
