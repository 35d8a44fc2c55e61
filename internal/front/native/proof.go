package native

import (
	"context"
	"encoding/base64"
	"encoding/json"

	"countersign/internal/core/policy"
	"countersign/internal/core/secret"
	"countersign/internal/proof"
)

// proofAnswer is a bundle with its value. The tags are those of proof.Bundle.
type proofAnswer struct {
	proof.Bundle
	p secret.Proof
}

func (a proofAnswer) appendJSON(b []byte) []byte {
	text, _ := json.Marshal(a.p.Bundle) // texts, bytes and numbers always encode
	b = append(b, text[:len(text)-1]...)
	b = append(b, `,"value":"`...)
	b = base64.StdEncoding.AppendEncode(b, a.p.Value.Reveal())
	return append(b, "\"}\n"...)
}

func proofRows() []route {
	return []route{
		row(route{method: "GET", path: "/secret/proof", op: policy.ReadValue, name: "ReadProof", deadline: deadline, workflow: true,
			params: []param{named, {name: "version", kind: integer}}},
			func(a *api, c *call, _ *none) func(context.Context) (proofAnswer, error) {
				id, number := c.secret(), c.number("version")
				return func(ctx context.Context) (proofAnswer, error) {
					p, err := a.Secrets.Proof(ctx, c.who, id, number)
					return proofAnswer{p: p}, err
				}
			}),
	}
}
