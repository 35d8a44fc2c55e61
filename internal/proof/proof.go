// Package proof is what can be shown of an approval to somebody who trusts no
// server: of what the digest of a change is made that votes are over, what a
// signed approval signs, and how both are checked with public keys alone.
//
// A Bundle is the evidence of one applied change. Whoever has it, the value of the
// version that the change wrote, and a list of public keys whose owners they know
// can see that exactly this value, on exactly that base, under exactly those
// rules was approved by the owners of these keys. What cannot be seen offline is
// who was in which group at the time: for that the bundle holds what the server
// counted, and the report says so.
package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// Namespace is that of SSH signatures over approvals.
const Namespace = "countersign.change"

// Evidence is all that a digest is made of.
//
// The two commitments hide what they commit to: each is a hash over 32 random
// bytes and then the thing, so that who knows the digest but may not read the
// value cannot try values against it.
type Evidence struct {
	Account   string   `cbor:"1,keyasint" json:"account"`
	Change    string   `cbor:"2,keyasint" json:"change"`
	Noun      string   `cbor:"3,keyasint" json:"noun"`
	Region    string   `cbor:"4,keyasint,omitempty" json:"region,omitempty"`
	Name      string   `cbor:"5,keyasint" json:"name"`
	Operation string   `cbor:"6,keyasint" json:"operation"`
	Author    string   `cbor:"7,keyasint" json:"author"` // ARN
	Base      uint64   `cbor:"8,keyasint" json:"base_version"`
	NotBefore int64    `cbor:"9,keyasint,omitempty" json:"not_before,omitempty"` // microseconds since 1970
	Edit      []byte   `cbor:"10,keyasint" json:"edit"`                          // commitment to the edit as it was written down
	Content   []byte   `cbor:"11,keyasint" json:"content"`                       // commitment to the value that becomes current; to no bytes when there is none
	Rules     []string `cbor:"12,keyasint" json:"rules"`                         // those that hold, each as JSON
}

// digestVersion begins what is hashed, so that another layout never collides.
const digestVersion = "countersign change digest v1"

// Digest is the hash that votes are over.
func (e *Evidence) Digest() []byte {
	h := sha256.New()
	writePart(h, []byte(digestVersion))
	for _, s := range []string{e.Account, e.Change, e.Noun, e.Region, e.Name, e.Operation, e.Author} {
		writePart(h, []byte(s))
	}
	writePart(h, binary.BigEndian.AppendUint64(nil, e.Base))
	writePart(h, binary.BigEndian.AppendUint64(nil, uint64(e.NotBefore)))
	writePart(h, e.Edit)
	writePart(h, e.Content)
	for _, r := range e.Rules {
		writePart(h, []byte(r))
	}
	return h.Sum(nil)
}

// Commit is the commitment to b under a nonce.
func Commit(nonce, b []byte) []byte {
	h := sha256.New()
	writePart(h, nonce)
	writePart(h, b)
	return h.Sum(nil)
}

// Commits reports whether c is the commitment to b under nonce.
func Commits(c, nonce, b []byte) bool { return bytes.Equal(c, Commit(nonce, b)) }

// writePart hashes a length and then the bytes, so that no two lists of parts
// are hashed alike.
func writePart(h hash.Hash, b []byte) {
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
	h.Write(b)
}

// SignedText is what an approval with a signature signs.
func SignedText(change string, digest []byte) []byte {
	return []byte("countersign approval v1\nchange " + change + "\ndigest " + hex.EncodeToString(digest) + "\n")
}

// Approval is what one approval of a rule asked for, and whom the server counted.
type Approval struct {
	Rule   string   `cbor:"1,keyasint" json:"rule"`
	Need   int      `cbor:"2,keyasint" json:"need"`
	Groups []string `cbor:"3,keyasint,omitempty" json:"groups,omitempty"`
	By     []string `cbor:"4,keyasint,omitempty" json:"by,omitempty"` // names
}

// Vote is an approval as it was given.
type Vote struct {
	By        string `json:"by"` // ARN
	Name      string `json:"name"`
	Digest    []byte `json:"digest"`
	Time      int64  `json:"time"` // microseconds since 1970
	Signature string `json:"signature,omitempty"`
	Key       string `json:"key,omitempty"`
}

// Bundle is what an export holds of one applied change.
type Bundle struct {
	Format    int        `json:"format"` // 1
	Evidence  Evidence   `json:"evidence"`
	Nonce     []byte     `json:"nonce"`
	Version   uint64     `json:"version"`
	Applied   int64      `json:"applied"` // microseconds since 1970
	Approvals []Approval `json:"approvals"`
	Votes     []Vote     `json:"votes"`
	// Value is the value of the version, when the export holds it.
	Value []byte `json:"value,omitempty"`
}

// Format is the one that this package writes and reads.
const Format = 1
