// Package transit encrypts, signs and authenticates for applications, with keys
// that they never see: Vault's transit engine.
//
// A key has a name, a type and numbered versions. New data is encrypted or signed
// with the latest version, or with another that the key's limits allow; what was
// made with an older one is still read, down to the least version for decryption.
// Rotating adds a version, trimming destroys the oldest. Keys are per account and
// have no region.
//
// # Invariants
//
// Secret material leaves only by Export and Backup, of keys that were made
// exportable, which cannot be taken back. It lies in records of the store, each
// encrypted under the account's key for its place (package keyring). The head of a
// key is read at every use, so that a key that was rotated, limited or deleted is
// so from the next request on; only versions, which do not change, are kept in
// memory ready for use, by the identity of the key that they are of.
//
// An operation on many items is one authorization and one record, which names the
// key and the version and holds nothing of the data. Items fail one by one.
//
// Changes of keys are edits of package change: creating, limiting, rotating,
// trimming, deleting, importing, restoring. Protection rules with the pattern
// "transit-key:NAME" can hold them for review. A new version's material is drawn
// before the transaction and waits with the edit, as a value does. Rotation by
// itself, which was decided when its period was set, waits for nobody.
//
// # Formats
//
// Operations take and give bytes and version numbers. Vault's texts around them
// ("vault:v1:..."), its PEM blocks and its backups are made and read apart, in
// wire.go, export.go and backup.go, so that another front can have others.
//
//	cipher    nonce (12 bytes; 24 of XChaCha20) || ciphertext || tag (16)
//	RSA       OAEP with SHA-256 and no label
//	derived   HKDF-SHA256 of the key, no salt, the context as info; of Ed25519 it
//	          gives the seed, and goes out from all 64 bytes of the private key
//	convergent  32 bytes more are derived, which key an HMAC-SHA256 of the
//	          plaintext; its beginning is the nonce. With associated data the 32
//	          bytes after those do, of its length (8 bytes), itself and the plaintext
//	ECDSA     ASN.1, or r || s of the length of the curve each
//	RSA signatures  PSS with the longest salt, or PKCS #1 v1.5
//
// These are Vault's, so data that Vault encrypted can be read here once its key is
// restored or imported, and the other way round. Where they are not is the nonce of
// convergent encryption with associated data: Vault's is of the plaintext alone,
// and two texts under one nonce give away what authenticates. What is not taken over are keys
// of Vault before 0.6.2: those derived in counter mode, and convergent encryption
// in its first two versions.
//
// # Trust
//
// Who may encrypt with a key and see the answers learns nothing of it. Convergent
// encryption tells, to who has the ciphertexts, which plaintexts of a context are
// equal; that is what it is for. Nonces of 12 bytes are drawn by chance: under one
// version without derivation at most 2^32 messages should be encrypted before it
// is rotated.
package transit
