package secret

import (
	"bytes"

	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// DataKeys walks the wrapped data keys in one record, for keyring.Walk: it calls
// visit with the data key of a secret's head, puts what visit returns in its
// place, and returns the record so changed. Any other record, and a head
// without a data key (a replica's), is returned as it is. It depends on its
// arguments alone and changes none of them.
func DataKeys(key, value []byte, visit func(wrapped []byte) ([]byte, error)) ([]byte, error) {
	strs, _, err := kv.Key(key).Parts("ssss")
	if err != nil || strs[1] != "secret" {
		return value, nil // a key of another shape is a record of another kind
	}
	var h head
	if err := record.Decode(value, &h); err != nil {
		return nil, err
	}
	if len(h.DataKey) == 0 {
		return value, nil
	}
	fresh, err := visit(h.DataKey)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(fresh, h.DataKey) {
		return value, nil
	}
	h.DataKey = fresh
	return record.Encode(h)
}
