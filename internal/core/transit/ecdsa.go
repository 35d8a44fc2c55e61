package transit

import (
	"crypto/elliptic"
	"encoding/asn1"
	"fmt"
	"math/big"

	"countersign/internal/errs"
)

// pairRS is a signature of ECDSA, as RFC 3279 section 2.2.3 writes it.
type pairRS struct{ R, S *big.Int }

// rawECDSA turns a signature from ASN.1 into r || s, each of the length of the
// curve (RFC 7518, section 3.4).
func rawECDSA(sig []byte, curve elliptic.Curve) ([]byte, error) {
	var p pairRS
	if _, err := asn1.Unmarshal(sig, &p); err != nil {
		return nil, fmt.Errorf("reading a signature: %w", err)
	}
	n := (curve.Params().BitSize + 7) / 8
	out := make([]byte, 2*n)
	p.R.FillBytes(out[:n])
	p.S.FillBytes(out[n:])
	return out, nil
}

// asn1ECDSA turns it back.
func asn1ECDSA(raw []byte) ([]byte, error) {
	if len(raw) == 0 || len(raw)%2 != 0 {
		return nil, errs.Coded(errs.Invalid, CodeFormat, "supplied signature is invalid")
	}
	n := len(raw) / 2
	return asn1.Marshal(pairRS{new(big.Int).SetBytes(raw[:n]), new(big.Int).SetBytes(raw[n:])})
}
