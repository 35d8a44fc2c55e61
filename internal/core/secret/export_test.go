package secret

import (
	"bytes"

	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// What the tests of this package need of its inside.
var (
	FlushUsed = (*Service).flushUsed
	HeadKey   = headKey
	ValueKey  = valueKey
)

// Carried returns what a secret carries of its current version's value.
func Carried(r kv.Reader, n name.Secret) ([]byte, error) {
	h, err := getHead(r, n)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(h.Carried), nil
}

// SetCarried replaces it by what putHead would not write.
func SetCarried(tx kv.Txn, n name.Secret, carried []byte) error {
	h, err := getHead(tx, n)
	if err != nil {
		return err
	}
	h.Carried = carried
	return record.Put(tx, headKey(n), h)
}
