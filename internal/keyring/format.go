package keyring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"countersign/internal/kv"
)

// Format is the version of everything that the ring stores. A store of another
// version is refused.
const Format = 1

// Errors of the package; compare with errors.Is. None of them says more about a
// key or a plaintext than that it did not open.
var (
	// ErrFormat says that a stored record has a version or shape that this
	// program does not know.
	ErrFormat = errors.New("unknown keyring format")
	// ErrDecrypt says that a ciphertext was changed, or belongs to another
	// place, account or store.
	ErrDecrypt = errors.New("ciphertext does not open here")
	// ErrUnknownKey says that a ciphertext names a key that the account's
	// keyset does not hold: it was destroyed after a rotation, or the
	// ciphertext is another account's. It is an ErrDecrypt too.
	ErrUnknownKey = fmt.Errorf("%w: its key is not in the keyset", ErrDecrypt)
	// ErrUnknownAccount says that EnsureAccount was not called for an account.
	ErrUnknownAccount = errors.New("account has no keyset")
)

// Where the ring keeps its records, below the sealed database.
const (
	partRoot    = "root"
	partKey     = "key"
	partAccount = "account"
	partRewrap  = "rewrap"
)

func ringKey(parts ...string) kv.Key { return kv.K("meta", "keyring").Str(parts...) }

// envelope is the root record: the sealed wrapping key and the root keyset that
// it encrypts.
type envelope struct {
	Store      []byte `cbor:"1,keyasint"` // random id of the store, storeIDSize bytes
	Created    int64  `cbor:"2,keyasint"` // Unix seconds
	Generation uint64 `cbor:"3,keyasint"` // from 1, one more at each change
	Seal       string `cbor:"4,keyasint"` // kind of the seal
	Blob       []byte `cbor:"5,keyasint"` // the wrapping key, sealed
	Keyset     []byte `cbor:"6,keyasint"` // the root keyset, encrypted under the wrapping key
}

// accountRecord is an account's keyset.
type accountRecord struct {
	Generation uint64 `cbor:"1,keyasint"` // from 1, one more at each change of the keyset
	Changed    int64  `cbor:"2,keyasint"` // Unix seconds: when the primary key was made
	Keyset     []byte `cbor:"3,keyasint"` // a Tink keyset, encrypted under the root keyset
}

// keyRecord is one of the ring's own keys, encrypted under the root keyset.
type keyRecord struct {
	Wrapped []byte `cbor:"1,keyasint"`
}

// rewrapRecord is how far the re-wrap of an account has come.
type rewrapRecord struct {
	Generation uint64 `cbor:"1,keyasint"` // of the keyset that records are moved to
	Cursor     []byte `cbor:"2,keyasint"` // first database key not yet seen
	Done       uint64 `cbor:"3,keyasint"`
	Total      uint64 `cbor:"4,keyasint"`
}

type stored interface {
	envelope | accountRecord | keyRecord | rewrapRecord
}

const (
	storeIDSize = 16
	maxRecord   = 64 << 10 // a keyset of 32 keys has about 4 KiB
)

// encode gives the one spelling of a record: the format version and CBOR in core
// deterministic encoding (RFC 8949, section 4.2.1).
func encode[T stored](v T) ([]byte, error) {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, fmt.Errorf("encoding keyring record: %w", err)
	}
	b, err := mode.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding keyring record: %w", err)
	}
	return append([]byte{Format}, b...), nil
}

// decode reads a record strictly: known version, known members, bounded size, and
// no spelling but that of encode.
func decode[T stored](b []byte) (T, error) {
	var v, zero T
	switch {
	case len(b) == 0:
		return zero, fmt.Errorf("%w: empty record", ErrFormat)
	case b[0] != Format:
		return zero, fmt.Errorf("%w: version %d, this program knows %d", ErrFormat, b[0], Format)
	case len(b) > maxRecord:
		return zero, fmt.Errorf("%w: record of %d bytes", ErrFormat, len(b))
	}
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:   4,
		MaxArrayElements:  16,
		MaxMapPairs:       16,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode()
	if err != nil {
		return zero, fmt.Errorf("decoding keyring record: %w", err)
	}
	// The decoder's text is left out: it may quote what it found.
	if mode.Unmarshal(b[1:], &v) != nil {
		return zero, fmt.Errorf("%w: record is not of the shape that its version has", ErrFormat)
	}
	if again, err := encode(v); err != nil || !bytes.Equal(again, b) {
		return zero, fmt.Errorf("%w: record is spelled in another way", ErrFormat)
	}
	return v, nil
}

// bound appends associated data to dst: a purpose with its schema version, and
// the parts that a ciphertext belongs to, each with its length.
func bound(dst []byte, purpose string, parts ...string) []byte {
	dst = append(append(dst, purpose...), 0)
	for _, p := range parts {
		dst = append(binary.AppendUvarint(dst, uint64(len(p))), p...)
	}
	return dst
}

// Purposes of encryptions. None is the beginning of another before its zero byte.
const (
	forRoot    = "countersign/root/v1"
	forAccount = "countersign/account/v1"
	forOwnKey  = "countersign/ring-key/v1"
	forDataKey = "countersign/data-key/v1"
	forRecord  = "countersign/record/v1"
	forValue   = "countersign/value/v1"
)

func (e envelope) aad() []byte {
	b := bound(nil, forRoot, string(e.Store), e.Seal)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Created))
	return binary.BigEndian.AppendUint64(b, e.Generation)
}

func accountAAD(store []byte, account string, r accountRecord) []byte {
	b := bound(nil, forAccount, string(store), account)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Changed))
	return binary.BigEndian.AppendUint64(b, r.Generation)
}
