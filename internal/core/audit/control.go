package audit

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Hash is a value of the chain: SHA-256. It is spelled in lower-case hex.
type Hash [sha256.Size]byte

// String returns the hex of h.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText returns the hex of h.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads 64 hex digits.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 2*len(h) {
		return fmt.Errorf("decoding hash: want %d hex digits", 2*len(h))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// Head is a place in the log: the number of a record, and the value of the
// chain after its line. The zero Head is the place before the first record.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash Hash   `json:"hash"`
}

// The kinds of lines that are not records. Each name is the one member of the
// line's object and separates the domains of the signatures.
const (
	kindSegment    = "segment"
	kindCheckpoint = "checkpoint"
	kindHead       = "head"
	kindProof      = "proof"
)

// header is the first line of a segment.
type header struct {
	Format int    `json:"format"`
	Log    string `json:"log"`   // id of the log
	First  uint64 `json:"first"` // number of the segment's first record
	Prev   Hash   `json:"prev"`  // chain after the last line of the segment before; zero in the first
	Hash   Hash   `json:"hash"`  // chain after the last record; zero in the first
	// From and Until are the earliest and the latest time of a record in the
	// segment before, by which a query skips it.
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
	Time  time.Time `json:"time"` // when the segment was begun
	Key   []byte    `json:"key"`  // public key that signs this segment
}

// checkpoint signs the chain up to the record before it.
type checkpoint struct {
	Head
	// From and Until are the earliest and the latest time of a record in the
	// segment so far.
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
	Time  time.Time `json:"time"`
	Key   string    `json:"key"` // id of the key
}

// headFile is the content of the file HEAD.
type headFile struct {
	Log   string `json:"log"`
	First uint64 `json:"first"` // where the log begins: above 1 after a prune
	Head
	Time time.Time `json:"time"`
	Key  string    `json:"key"`
}

const (
	formatVersion = 1
	sigMark       = `,"sig":"`
	sigLen        = 88 // of 64 bytes in base64
)

// KeyID names a public key: the first 16 hex digits of its SHA-256.
func KeyID(pub ed25519.PublicKey) string {
	sum := sha256.Sum256(pub)
	return hex.EncodeToString(sum[:8])
}

// message is what is signed: the domain and the id of the log, so that no
// signature holds for another kind of statement or for another log, and the
// bytes of the statement.
func message(kind, logID string, statement []byte) []byte {
	m := append([]byte("countersign audit "), kind...)
	m = append(m, " v1\x00"...)
	m = append(m, logID...)
	m = append(m, 0)
	return append(m, statement...)
}

// seal returns `{"KIND":{…,"sig":"…"}`: the outer object is left open for the
// chain.
func seal(kind, logID string, v any, key crypto.Signer) ([]byte, error) {
	inner, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", kind, err)
	}
	b := append([]byte(`{"`+kind+`":`), inner[:len(inner)-1]...)
	sig, err := key.Sign(rand.Reader, message(kind, logID, b), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", kind, err)
	}
	b = append(b, sigMark...)
	b = base64.StdEncoding.AppendEncode(b, sig)
	return append(b, `"}`...), nil
}

// statement is a sealed line that was parsed and not yet verified.
type statement struct {
	kind   string
	signed []byte
	sig    []byte
}

// unseal parses what seal made, into v.
func unseal(kind string, b []byte, v any) (statement, error) {
	prefix := `{"` + kind + `":`
	mark := len(b) - len(sigMark) - sigLen - len(`"}`)
	if mark < len(prefix) || !bytes.HasPrefix(b, []byte(prefix)) ||
		string(b[mark:mark+len(sigMark)]) != sigMark || !bytes.HasSuffix(b, []byte(`"}`)) {
		return statement{}, fmt.Errorf("decoding %s: not a signed statement", kind)
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(string(b[mark+len(sigMark) : len(b)-2]))
	if err != nil || len(sig) != ed25519.SignatureSize {
		return statement{}, fmt.Errorf("decoding %s: the signature is not 64 bytes in base64", kind)
	}
	inner := append(bytes.Clone(b[len(prefix):mark]), '}')
	if err := decodeStrict(inner, v); err != nil {
		return statement{}, fmt.Errorf("decoding %s: %w", kind, err)
	}
	return statement{kind: kind, signed: b[:mark], sig: sig}, nil
}

// verify reports whether pub signed the statement. No key verifies nothing.
func (s statement) verify(logID string, pub ed25519.PublicKey) bool {
	return len(pub) == ed25519.PublicKeySize && ed25519.Verify(pub, message(s.kind, logID, s.signed), s.sig)
}

// keyring finds trusted public keys by id.
type keyring map[string]ed25519.PublicKey

func newKeyring(keys []ed25519.PublicKey) keyring {
	ring := make(keyring, len(keys))
	for _, k := range keys {
		ring[KeyID(k)] = k
	}
	return ring
}

// EncodePublicKeys writes keys as audit.pub holds them: PEM blocks of type
// PUBLIC KEY, in PKIX form, oldest first.
func EncodePublicKeys(keys []ed25519.PublicKey) ([]byte, error) {
	var out []byte
	for _, k := range keys {
		der, err := x509.MarshalPKIXPublicKey(k)
		if err != nil {
			return nil, fmt.Errorf("encoding public key: %w", err)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)
	}
	return out, nil
}

// ParsePublicKeys reads what EncodePublicKeys wrote. It refuses text between
// or after the blocks, keys that are not ed25519, and an empty list.
func ParsePublicKeys(data []byte) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for rest := bytes.TrimSpace(data); len(rest) > 0; {
		if !bytes.HasPrefix(rest, []byte("-----BEGIN")) {
			return nil, errors.New("reading public keys: text outside of PEM blocks")
		}
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "PUBLIC KEY" {
			return nil, errors.New("reading public keys: not a PEM block of type PUBLIC KEY")
		}
		k, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading public keys: %w", err)
		}
		pub, ok := k.(ed25519.PublicKey)
		if !ok {
			return nil, errors.New("reading public keys: not an ed25519 key")
		}
		keys, rest = append(keys, pub), bytes.TrimSpace(after)
	}
	if len(keys) == 0 {
		return nil, errors.New("reading public keys: no key")
	}
	return keys, nil
}

// Every line of a segment ends with the first 8 bytes of the chain after it:
//
//	…,"chain":"0123456789abcdef"}
//
// The chain itself goes on with all 32 bytes and covers the line up to this
// member. The short value proves nothing by itself (anybody can compute it)
// and the signatures do not need it. It is there because damage is then found
// at its own line and not somewhere in the thousands before a checkpoint, and
// because at start-up the tail that no checkpoint has signed yet can be told
// from garbage. It costs 28 bytes a line. That records were cut from a tail
// that was never signed (a second's worth, by default) cannot be seen by
// any hash that the attacker can compute; from the first checkpoint on, HEAD
// and the anchor show it.
const (
	chainMark = `,"chain":"`
	chainLen  = len(chainMark) + 16 + len(`"}`)
)

// chainNext returns the chain after a line, given its body.
func chainNext(prev Hash, body []byte) Hash {
	h := sha256.New()
	h.Write(prev[:])
	h.Write(body)
	var out Hash
	h.Sum(out[:0])
	return out
}

// appendChain ends a line.
func appendChain(b []byte, h *Hash) []byte {
	b = append(b, chainMark...)
	b = hex.AppendEncode(b, h[:8])
	return append(b, '"', '}', '\n')
}

// splitLine parts a line, without its newline, from its chain.
func splitLine(line []byte) (body, chain []byte, ok bool) {
	n := len(line) - chainLen
	if n < 0 || string(line[n:n+len(chainMark)]) != chainMark || string(line[len(line)-2:]) != `"}` {
		return nil, nil, false
	}
	return line[:n], line[n+len(chainMark) : len(line)-2], true
}

// chained reports whether chain is the short form of h.
func chained(h Hash, chain []byte) bool {
	var want [16]byte
	hex.Encode(want[:], h[:8])
	return string(chain) == string(want[:])
}

// lineKind tells what a line is by its first bytes: kindSegment,
// kindCheckpoint, or empty for a record.
func lineKind(line []byte) string {
	switch {
	case bytes.HasPrefix(line, []byte(`{"checkpoint":`)):
		return kindCheckpoint
	case bytes.HasPrefix(line, []byte(`{"segment":`)):
		return kindSegment
	}
	return ""
}
