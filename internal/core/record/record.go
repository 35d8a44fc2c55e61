// Package record reads and writes the core's records: CBOR maps with small
// integer keys (RFC 8949), one record a key.
//
// Fields are only ever added, with a new integer, and never change meaning: a
// record written by an older release decodes with zero values for what it did
// not know, and one written by a newer release decodes with what is unknown
// left out. Bytes that are not a record are errs.Internal, never a guess.
package record

import (
	"errors"
	"fmt"
	"iter"

	"github.com/fxamacker/cbor/v2"

	"countersign/internal/errs"
	"countersign/internal/kv"
)

// codec is fixed at compile time in all but name: the options are constants
// and building the modes cannot fail for them.
var enc, dec = modes()

func modes() (cbor.EncMode, cbor.DecMode) {
	eo := cbor.CoreDetEncOptions()
	eo.Time = cbor.TimeRFC3339NanoUTC // exact; the numeric forms are floating-point
	e, errE := eo.EncMode()
	d, errD := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  16,
		MaxArrayElements: 131072,
		MaxMapPairs:      131072,
	}.DecMode()
	if err := errors.Join(errE, errD); err != nil {
		panic(err) // constant options: reached only by a change to this function
	}
	return e, d
}

// Encode returns the bytes of a record.
func Encode(v any) ([]byte, error) {
	b, err := enc.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	return b, nil
}

// Decode reads a record. Nothing of b is kept.
func Decode(b []byte, v any) error {
	if err := dec.Unmarshal(b, v); err != nil {
		return &errs.Error{Kind: errs.Internal, Msg: "", Err: fmt.Errorf("decoding %T: %w", v, err)}
	}
	return nil
}

// Get reads the record at key; ok is false when there is none.
func Get[T any](r kv.Reader, key kv.Key) (v T, ok bool, err error) {
	p, err := Find[T](r, key)
	if p == nil || err != nil {
		return v, false, err
	}
	return *p, true, nil
}

// Find is Get that returns the record by a pointer: nil when there is none.
func Find[T any](r kv.Reader, key kv.Key) (*T, error) {
	v := new(T)
	if ok, err := Load(r, key, v); !ok {
		return nil, err
	}
	return v, nil
}

// Load reads the record at key into v, which is empty, and reports whether there
// is one. On an error v is not to be used.
func Load[T any](r kv.Reader, key kv.Key, v *T) (bool, error) {
	b, err := r.Get(key)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading %T: %w", *v, err)
	}
	if err := Parse(b, v); err != nil {
		return false, err
	}
	return true, nil
}

// Parse is Decode into v, which is empty, for a record that may read itself.
func Parse[T any](b []byte, v *T) error {
	if d, ok := any(v).(Direct); ok {
		if direct(b, d) {
			return nil
		}
		*v = *new(T)
	}
	return Decode(b, v)
}

// Put writes the record at key.
func Put(tx kv.Txn, key kv.Key, v any) error {
	b, err := Encode(v)
	if err != nil {
		return err
	}
	return tx.Put(key, b)
}

// Scan yields the records of a range with their keys, which are valid until
// the transaction ends.
func Scan[T any](r kv.Reader, rng kv.Range) iter.Seq2[Entry[T], error] {
	return func(yield func(Entry[T], error) bool) {
		for p, err := range r.Scan(rng) {
			e := Entry[T]{Key: p.Key}
			if err == nil {
				err = Decode(p.Value, &e.Value)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Entry is one record of a scan.
type Entry[T any] struct {
	Key   kv.Key
	Value T
}

// Check refuses bytes that are not a record of type T. It fits fsck.Rule.
func Check[T any](_ kv.Key, value []byte) error {
	var v T
	if err := dec.Unmarshal(value, &v); err != nil {
		return fmt.Errorf("it is not a %T", v)
	}
	return nil
}
