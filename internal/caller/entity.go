package caller

import (
	"crypto/sha256"
	"encoding/hex"
)

// EntityID is the id of a user or machine in the Vault protocol, where one is
// called an entity: the first half of the SHA-256 of account and name, in the
// form of a UUID of version 8 (RFC 9562). It is the same wherever and whenever
// it is asked for, and nothing keeps it. Who gets the name of a deleted
// principal gets its id too.
func EntityID(account, name string) string { return derivedID("entity", account, name) }

// GroupID is the same for a group.
func GroupID(account, group string) string { return derivedID("group", account, group) }

// derivedID hashes names that hold no zero byte, so that no two lists of them
// are one text.
func derivedID(kind, account, name string) string {
	h := sha256.Sum256([]byte("countersign id\x00" + kind + "\x00" + account + "\x00" + name))
	h[6] = h[6]&0x0f | 0x80
	h[8] = h[8]&0x3f | 0x80
	s := hex.EncodeToString(h[:16])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
