// Package keyring holds the keys of a store: it makes them, keeps them wrapped in
// the database, and encrypts with them.
//
//	seal (key file, passphrase, a cloud's KMS)
//	 └─ wrapping key       32 bytes, new at each change of the root
//	     └─ root keyset    Tink, AES-256-GCM
//	         ├─ account keyset, one for each account   Tink, AES-256-GCM
//	         │   ├─ records     what the sealed database writes: Seal, Open
//	         │   └─ data keys   32 bytes, one for each secret: NewDataKey
//	         │       └─ values  SealValue, OpenValue
//	         ├─ fingerprint key   Fingerprint
//	         ├─ lookup key        LookupHash
//	         └─ audit key         AuditKey
//
// # Invariants
//
// Nothing opens in another place than the one it was made for. The associated
// data of each encryption names its purpose and schema version, and what it
// belongs to: the store, the account and generation for keysets; the account
// for data keys; account, kind, region, name, suffix and version for values; the
// database key (given by the caller) for records. Parts are length-prefixed, so
// that no two lists of parts have one encoding. A keyset is used for one store
// and account alone, so what it encrypts is bound to them as well.
//
// What lies in the database is the ring's word to itself: it begins with the
// format version, and an unknown version, an unknown record, or another spelling
// of a record than the one that the ring writes is refused with ErrFormat.
//
// # Trust
//
// The database is not trusted with contents: it can lose records or bring back
// old ones, and nothing worse. Who can do both, hold the seal's secret and read
// the database, has everything. Keys in use are in the process's memory in the
// clear.
//
// # For callers
//
// The ring's own records lie in the database below encryption, under the tuple
// prefix ("meta", "keyring"). Give Open the plain database. Nobody else writes
// there, and nobody gives "meta" as an account.
//
// Seal, Open, SealValue, OpenValue and NewDataKey do no I/O and may be called in a
// transaction. What creates or rotates keys (EnsureAccount, RotateAccount,
// Rewrap, RotateRoot, Reseal) runs transactions itself and must be called outside
// of one. An account's keyset is created by EnsureAccount alone: encrypting for an
// account that nobody created is ErrUnknownAccount.
//
// # Choice of cipher
//
// AES-256-GCM with random nonces everywhere: it runs in constant-time hardware,
// is in the Go runtime's FIPS module, and is the format of Tink's AES256_GCM keys.
// Its bound is 2^32 encryptions under one key (a collision of nonces then has a
// chance of 2^-33). Values have keys of their own, each used a few times. An
// account key is used once a record written: a thousand writes a second, without
// pause, reach the bound in seven weeks, and RotateAccount starts the count
// again. Extended nonces would lift the bound. Opening 300 bytes takes 0.25 us
// with AES-256-GCM, 0.5 us with XChaCha20-Poly1305, which is outside of the FIPS
// module, and 1.0 us and eight allocations with XAES-256-GCM.
//
// Ciphertexts under account keys are those of Tink's AEAD: five bytes that name
// the key, nonce, ciphertext, tag. The ring takes the keys out of the keyset and
// uses crypto/cipher itself, because Tink's primitive cannot append to a buffer
// of the caller, and so allocates; a test holds that Tink opens what the ring
// sealed.
package keyring
