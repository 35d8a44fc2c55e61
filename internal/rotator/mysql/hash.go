package mysql

import (
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"fmt"

	"filippo.io/edwards25519"
)

// The plugins whose stored form of a password is computed here, and those of which
// MySQL computes it itself.
const (
	native  = "mysql_native_password"
	ed25519 = "ed25519"
	sha2    = "caching_sha2_password"
	sha256  = "sha256_password"
)

// stored is what a server has of a password, for plugins that add nothing random.
func stored(plugin, password string) (string, bool) {
	switch plugin {
	case native:
		one := sha1.Sum([]byte(password))
		return fmt.Sprintf("*%X", sha1.Sum(one[:])), true
	case ed25519:
		// A public key, of which the password is the seed: MariaDB takes a text of any
		// length where RFC 8032 has 32 bytes.
		h := sha512.Sum512([]byte(password))
		s, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
		if err != nil {
			return "", false // cannot be: there are 32 bytes
		}
		return base64.RawStdEncoding.EncodeToString(new(edwards25519.Point).ScalarBaseMult(s).Bytes()), true
	}
	return "", false
}
