// Package seal is the contract for wrapping the one key that opens a store.
//
// Everything in a store is encrypted under keys that are encrypted under a root
// keyset, which in turn is encrypted under 32 random bytes: the wrapping key.
// A Seal turns those bytes into a blob that can lie beside the data, and back.
// What it does that with is its secret: a key file (package keyfile), a
// passphrase (package passphrase), later a cloud's key management service. The
// keyring keeps the blob together with the seal's kind; a seal stores nothing in
// the database.
//
// A blob is what a hostile disk may have changed at will. So a seal
// authenticates it together with the associated data, and bounds what parsing
// it may cost before it spends anything on it.
//
// A seal is called at start, at a change of seal and at a rotation of the root
// key, never on the path of a request; it may take seconds and may ask a person
// or the network. Callers give it a context with a deadline that allows that.
//
// Each seal passes the suite in package sealtest.
package seal

import (
	"context"
	"errors"

	"countersign/internal/sensitive"
)

// Limits of the contract. They are set so that every service a seal may stand
// on can keep to them: RSA-OAEP with SHA-256 under a 2048-bit key takes 190
// bytes, and other services more.
const (
	MaxKey  = 64      // bytes in a key to be wrapped; at least 1
	MaxBlob = 8 << 10 // bytes in a blob
)

// Errors of the contract. Seals wrap them; compare with errors.Is.
var (
	// ErrOpen says that the blob, the associated data and this seal's secret
	// do not belong together. Which of them is at fault is not known.
	ErrOpen = errors.New("the seal does not open this")
	// ErrFormat says that the blob, or the file with the seal's secret, is not
	// in a form and version that this program knows. Nothing was tried.
	ErrFormat = errors.New("unknown format")
	// ErrSecret says that the seal's own secret is absent or must not be used:
	// no such file, readable by others, empty.
	ErrSecret = errors.New("the seal's secret cannot be used")
)

// Seal wraps keys of 1 to MaxKey bytes. It is safe for concurrent use.
type Seal interface {
	// Kind is the seal's name as it stands in the store: lower case letters,
	// digits and hyphens, constant, never used by another seal.
	Kind() string

	// Wrap encrypts key and authenticates it with aad. Two calls give two
	// different blobs of at most MaxBlob bytes. It may create the seal's secret
	// when there is none, and has made it durable before it returns. A key that
	// is empty or too long is refused.
	Wrap(ctx context.Context, key sensitive.Bytes, aad []byte) ([]byte, error)

	// Unwrap returns the key in a blob that this seal, or one with the same
	// secret, has made with the same aad. Anything else is ErrOpen, or
	// ErrFormat when the blob is recognizably not one of this program's; both
	// without a byte of the key. It never creates a secret: an absent one is
	// ErrSecret.
	Unwrap(ctx context.Context, blob, aad []byte) (sensitive.Bytes, error)
}
