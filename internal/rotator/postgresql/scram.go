package postgresql

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/xdg-go/stringprep"
	"golang.org/x/text/unicode/norm"
)

// What PostgreSQL takes where scram_iterations says nothing else, and what is too
// much to be asked for by a server.
const (
	iterations    = 4096
	maxIterations = 1_000_000
)

// verifier is what PostgreSQL stores of a password (RFC 5803, and RFC 7677 for
// SHA-256). ALTER ROLE takes it in the place of the password, which so is in no
// statement, no log and no history of the server.
func verifier(password string, rounds int) (string, error) {
	salt := make([]byte, 16)
	rand.Read(salt)
	return verifierWith(password, salt, rounds)
}

func verifierWith(password string, salt []byte, rounds int) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, prepare(password), salt, rounds, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("deriving a key: %w", err)
	}
	sum := func(text string) []byte {
		m := hmac.New(sha256.New, salted)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	stored := sha256.Sum256(sum("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", rounds, b64(salt), b64(stored[:]), b64(sum("Server Key"))), nil
}

// prepare is SASLprep (RFC 4013) as PostgreSQL does it: a password of ASCII stays as
// it is, and so does one that SASLprep prohibits. What is prohibited is looked for
// before the normalization, not after it.
func prepare(password string) string {
	ascii := true
	for _, r := range password {
		ascii = ascii && r < 0x80
	}
	if ascii {
		return password
	}
	profile := stringprep.SASLprep
	profile.Normalize = false
	// RFC 3454 has U+200B among the spaces and among what maps to nothing.
	// PostgreSQL takes it for a space.
	out, err := profile.Prepare(strings.ReplaceAll(password, "\u200b", " "))
	if err != nil || out == "" {
		return password
	}
	return norm.NFKC.String(out)
}
