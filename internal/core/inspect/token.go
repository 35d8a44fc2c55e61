package inspect

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"countersign/internal/core/record"
	"countersign/internal/errs"
)

// A page token is where the page ended, sealed: it tells nothing, cannot be made
// up, and opens only for the account and the question that it was given out for.

const maxToken = 4096

// scopeOf names the question that a page answers.
func scopeOf(question string, parts ...any) []byte {
	b, err := record.Encode(parts)
	if err != nil { // of plain strings and numbers: cannot be
		b = fmt.Append(nil, parts...)
	}
	sum := sha256.Sum256(b)
	return append([]byte("countersign/page/"+question+"/v1/"), sum[:]...)
}

func (s *Service) sealToken(account string, scope, at []byte) (string, error) {
	b, err := s.Vault.Seal(nil, at, scope, account)
	if err != nil {
		return "", fmt.Errorf("sealing a page token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// openToken returns the place in a token, or nil for the empty token.
func (s *Service) openToken(account string, scope []byte, token string) ([]byte, error) {
	if token == "" {
		return nil, nil
	}
	if len(token) <= maxToken {
		if b, err := base64.RawURLEncoding.DecodeString(token); err == nil {
			if at, err := s.Vault.Open(nil, b, scope, account); err == nil && len(at) > 0 {
				return at, nil
			}
		}
	}
	return nil, &errs.Error{Kind: errs.Invalid, Code: CodePageToken, Field: "page", Msg: "the page token is not valid for this request"}
}
