package transit

import (
	"crypto/x509"
	"fmt"
	"strconv"
	"strings"
	"time"

	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// stored is what is kept of a key, under its account and name. It holds no
// material.
type stored struct {
	// ID leads to the records of its versions. A key of the same name that is made
	// later has another.
	ID              string `cbor:"1,keyasint"`
	Type            Type   `cbor:"2,keyasint"`
	Size            int    `cbor:"3,keyasint,omitempty"` // bytes, of type HMAC
	Derived         bool   `cbor:"4,keyasint,omitempty"`
	Convergent      bool   `cbor:"5,keyasint,omitempty"`
	Exportable      bool   `cbor:"6,keyasint,omitempty"`
	PlaintextBackup bool   `cbor:"7,keyasint,omitempty"`
	DeletionAllowed bool   `cbor:"8,keyasint,omitempty"`
	Latest          uint64 `cbor:"9,keyasint"`
	MinDecryption   uint64 `cbor:"10,keyasint"`           // 1 at least
	MinEncryption   uint64 `cbor:"11,keyasint,omitempty"` // 0: not set
	MinAvailable    uint64 `cbor:"12,keyasint,omitempty"` // 0: nothing was trimmed
	RotateEvery     int64  `cbor:"13,keyasint,omitempty"` // seconds; 0: never
	RotateAt        int64  `cbor:"14,keyasint,omitempty"` // microseconds: its entry in the due index
	Imported        bool   `cbor:"15,keyasint,omitempty"` // and not rotated here since
	AllowRotation   bool   `cbor:"16,keyasint,omitempty"` // of an imported key
	Restored        int64  `cbor:"17,keyasint,omitempty"` // microseconds
	RestoredVersion uint64 `cbor:"18,keyasint,omitempty"` // latest when it was restored
	Revision        uint64 `cbor:"19,keyasint"`           // counts the changes
	// Edition counts the changes of material that was there already: a private
	// half that was added to a public one.
	Edition uint64 `cbor:"20,keyasint,omitempty"`
}

// Member reads the head of a key without reflection: it is read at every use.
func (k *stored) Member(key uint64, s *record.Source) {
	switch key {
	case 1:
		k.ID = s.String()
	case 2:
		k.Type = Type(s.String())
	case 3:
		k.Size = int(s.Int())
	case 4:
		k.Derived = s.True()
	case 5:
		k.Convergent = s.True()
	case 6:
		k.Exportable = s.True()
	case 7:
		k.PlaintextBackup = s.True()
	case 8:
		k.DeletionAllowed = s.True()
	case 9:
		k.Latest = s.Uint()
	case 10:
		k.MinDecryption = s.Uint()
	case 11:
		k.MinEncryption = s.Uint()
	case 12:
		k.MinAvailable = s.Uint()
	default:
		k.late(key, s)
	}
}

func (k *stored) late(key uint64, s *record.Source) {
	switch key {
	case 13:
		k.RotateEvery = s.Int()
	case 14:
		k.RotateAt = s.Int()
	case 15:
		k.Imported = s.True()
	case 16:
		k.AllowRotation = s.True()
	case 17:
		k.Restored = s.Int()
	case 18:
		k.RestoredVersion = s.Uint()
	case 19:
		k.Revision = s.Uint()
	case 20:
		k.Edition = s.Uint()
	default:
		s.Fail()
	}
}

// version is the material of one version, under its account, the key's ID and its
// number. It does not change, but for a private half that is added.
type version struct {
	// Private is the key of a cipher or of HMAC as it is, and a private key as
	// PKCS #8. Empty when only the public half was imported.
	Private []byte `cbor:"1,keyasint,omitempty"`
	Public  []byte `cbor:"2,keyasint,omitempty"` // PKIX, of a key pair
	MAC     []byte `cbor:"3,keyasint,omitempty"` // key of HMAC, of types that are something else
	Created int64  `cbor:"4,keyasint"`           // microseconds
}

func keyKey(account, n string) kv.Key { return kv.K(account, "transit-key", n) }
func versionsOf(account, id string) kv.Key {
	return kv.K(account, "transit-version", id)
}
func versionKey(account, id string, number uint64) kv.Key { return versionsOf(account, id).Num(number) }

// first is the lowest version that has a record.
func (k *stored) first() uint64 { return max(1, k.MinAvailable) }

// Key is a key as it is shown. It holds no secret material.
type Key struct {
	Name            string
	Type            Type
	Size            int // bytes, of type HMAC
	Derived         bool
	Convergent      bool
	Exportable      bool
	PlaintextBackup bool
	DeletionAllowed bool
	Latest          uint64
	MinDecryption   uint64
	MinEncryption   uint64 // 0: not set
	MinAvailable    uint64 // 0: nothing was trimmed
	RotateEvery     time.Duration
	NextRotation    time.Time // zero when it is not rotated by itself
	Imported        bool
	AllowRotation   bool // of an imported key
	Restored        time.Time
	RestoredVersion uint64
	Versions        []Version // those that may be used, in order
}

// Version is a version of a key as it is shown.
type Version struct {
	Number  uint64
	Created time.Time
	Public  []byte // PKIX, of key pairs; of a derived key that for the context asked about
}

func (k *stored) show(n string) Key {
	out := Key{Name: n, Type: k.Type, Size: k.Size, Derived: k.Derived, Convergent: k.Convergent, Exportable: k.Exportable,
		PlaintextBackup: k.PlaintextBackup, DeletionAllowed: k.DeletionAllowed, Latest: k.Latest, MinDecryption: k.MinDecryption,
		MinEncryption: k.MinEncryption, MinAvailable: k.MinAvailable, RotateEvery: time.Duration(k.RotateEvery) * time.Second,
		NextRotation: when(k.RotateAt), Imported: k.Imported, AllowRotation: k.AllowRotation, Restored: when(k.Restored),
		RestoredVersion: k.RestoredVersion}
	return out
}

// showVersions adds the versions that may be used.
func (k *stored) showVersions(r kv.Reader, account string, context []byte, out *Key) error {
	prefix := versionsOf(account, k.ID)
	rng := kv.Prefix(prefix)
	rng.Start = versionKey(account, k.ID, k.MinDecryption)
	out.Versions = []Version{}
	for e, err := range record.Scan[version](r, rng) {
		if err != nil {
			return err
		}
		_, nums, err := e.Key[len(prefix):].Parts("n")
		if err != nil {
			return err
		}
		v := Version{Number: nums[0], Created: when(e.Value.Created), Public: e.Value.Public}
		if k.Derived {
			if v.Public, err = k.publicFor(&e.Value, context); err != nil {
				return err
			}
		}
		out.Versions = append(out.Versions, v)
	}
	return nil
}

// publicFor is the public key of a derived key for a context; nil without one.
func (k *stored) publicFor(v *version, context []byte) ([]byte, error) {
	if !k.Type.asymmetric() || len(context) == 0 {
		return nil, nil
	}
	r, err := prepare(k, v)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "reading a stored key")
	}
	public, err := r.verifier(context)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(public)
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func when(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// Limits of names.
const (
	MaxName   = 128 // of a key below its mount
	maxPrefix = 201 // of a mount's prefix, its slash included
)

// CheckName checks the name of a key: 1 to 128 letters, digits and ._-, behind the
// prefix of its mount, which is empty or ends in a slash.
func CheckName(n string) error {
	prefix, base := "", n
	if i := strings.LastIndexByte(n, '/'); i >= 0 {
		prefix, base = n[:i], n[i+1:]
	}
	if base == "" || base == "." || base == ".." || len(base) > MaxName || !only(base, "._-") {
		return errs.InvalidField("name", "the name of a key is 1 to %d letters, digits and ._-", MaxName)
	}
	if len(prefix)+1 > maxPrefix || prefix == "" && len(base) != len(n) {
		return errs.InvalidField("name", "the name of a key stands behind the path of its mount")
	}
	if prefix == "" {
		return nil
	}
	for seg := range strings.SplitSeq(prefix, "/") {
		if seg == "" || seg == "." || seg == ".." || !only(seg, "_+=.@-!") {
			return errs.InvalidField("name", "the name of a key stands behind the path of its mount")
		}
	}
	return nil
}

// only reports whether s holds letters, digits and those characters alone.
func only(s, others string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}

// quote shows what a stranger sent, cut short.
func quote(s string) string {
	if len(s) > 40 {
		s = s[:40]
	}
	return strconv.QuoteToASCII(s)
}

// find reads the head of a key, nil for none.
func find(r kv.Reader, account, n string) (*stored, error) {
	return record.Find[stored](r, keyKey(account, n))
}

// findVersion reads a version that must be there.
func findVersion(r kv.Reader, account string, k *stored, number uint64) (*version, error) {
	v, err := record.Find[version](r, versionKey(account, k.ID, number))
	if err == nil && v == nil {
		err = errs.Wrap(errs.Internal, fmt.Errorf("version %d has no record", number), "reading a stored key")
	}
	return v, err
}
