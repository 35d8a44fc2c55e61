package change

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"

	"countersign/internal/core/protect"
	"countersign/internal/core/record"
)

// Evidence is all that a digest is made of. With the value of the version that a
// change wrote it can be computed again by anybody, and so can what was signed.
//
// The two commitments hide what they commit to: each is a hash over 32 random
// bytes and then the thing, so that who knows the digest but may not read the
// value cannot try values against it.
type Evidence struct {
	Account   string         `cbor:"1,keyasint" json:"account"`
	Change    string         `cbor:"2,keyasint" json:"change"`
	Noun      string         `cbor:"3,keyasint" json:"noun"`
	Region    string         `cbor:"4,keyasint,omitempty" json:"region,omitempty"`
	Name      string         `cbor:"5,keyasint" json:"name"`
	Operation string         `cbor:"6,keyasint" json:"operation"`
	Author    string         `cbor:"7,keyasint" json:"author"` // ARN
	Base      uint64         `cbor:"8,keyasint" json:"base_version"`
	NotBefore int64          `cbor:"9,keyasint,omitempty" json:"not_before,omitempty"`
	Edit      []byte         `cbor:"10,keyasint" json:"edit"`                // commitment to the edit as it was written down
	Content   []byte         `cbor:"11,keyasint" json:"content"`             // commitment to the value that becomes current; of no bytes when there is none
	Rules     []protect.Rule `cbor:"12,keyasint" json:"rules"`               // that hold
	Version   uint64         `cbor:"13,keyasint,omitempty" json:"version"`   // written; not part of the digest
	Nonce     []byte         `cbor:"14,keyasint,omitempty" json:"nonce"`     // not part of the digest
	When      int64          `cbor:"15,keyasint,omitempty" json:"applied"`   // microseconds; not part of the digest
	AuthorIs  string         `cbor:"16,keyasint,omitempty" json:"author_is"` // person of the author; not part of the digest
}

// digestVersion begins what is hashed, so that another layout never collides.
const digestVersion = "countersign change digest v1"

// Digest is the hash that votes are over.
func (e *Evidence) Digest() ([]byte, error) {
	h := sha256.New()
	writePart(h, []byte(digestVersion))
	for _, s := range []string{e.Account, e.Change, e.Noun, e.Region, e.Name, e.Operation, e.Author} {
		writePart(h, []byte(s))
	}
	numbers, err := record.Encode([]int64{int64(e.Base), e.NotBefore})
	if err != nil {
		return nil, err
	}
	writePart(h, numbers)
	writePart(h, e.Edit)
	writePart(h, e.Content)
	for i := range e.Rules {
		d, err := e.Rules[i].Digest()
		if err != nil {
			return nil, err
		}
		writePart(h, d[:])
	}
	return h.Sum(nil), nil
}

// Commit is the commitment to b under a nonce.
func Commit(nonce, b []byte) []byte {
	h := sha256.New()
	writePart(h, nonce)
	writePart(h, b)
	return h.Sum(nil)
}

// writePart hashes a length and then the bytes, so that no two lists of parts
// are hashed alike.
func writePart(h hash.Hash, b []byte) {
	n := uint64(len(b))
	h.Write([]byte{byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	h.Write(b)
}

// SignatureNamespace is that of SSH signatures over approvals.
const SignatureNamespace = "countersign.change"

// SignedText is what an approval with a signature signs.
func SignedText(change string, digest []byte) []byte {
	return []byte("countersign approval v1\nchange " + change + "\ndigest " + hex.EncodeToString(digest) + "\n")
}
