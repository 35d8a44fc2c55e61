package vault

import (
	"context"
	"strconv"
	"strings"

	"countersign/internal/core/policy"
	"countersign/internal/core/transit"
	"countersign/internal/errs"
)

// algorithm is the name of a hash: of the path, or one of the parameters.
func (c *call) algorithm(names ...string) string {
	if len(c.vars) > 1 {
		return c.vars[1]
	}
	for _, n := range names {
		if s := c.text(n); s != "" {
			return s
		}
	}
	return ""
}

// scheme reads how something is signed, and whether signatures are written with
// the alphabet of JSON Web Signatures.
func (c *call) scheme() (s transit.Scheme, jws bool) {
	s = transit.Scheme{Hash: c.algorithm("hash_algorithm", "algorithm"), Prehashed: c.boolean("prehashed"), RSA: c.text("signature_algorithm")}
	switch m := c.text("marshaling_algorithm"); m {
	case "", "asn1":
	case "jws":
		s.Raw, jws = true, true
	default:
		c.fail("marshaling_algorithm", "invalid marshaling type %s", strconv.QuoteToASCII(clip(m)))
	}
	switch salt := strings.ToLower(c.text("salt_length")); salt {
	case "", "auto":
		s.Salt = transit.SaltAuto
	case "hash":
		s.Salt = transit.SaltHash
	default:
		n, err := strconv.ParseInt(salt, 10, 32)
		if err != nil {
			c.fail("salt_length", "salt length neither 'auto', 'hash', nor an int")
		}
		s.Salt = int(n)
	}
	return s, jws
}

// signedJSON is the result of an item that was signed.
type signedJSON struct {
	Error      string  `json:"error,omitempty"`
	KeyVersion uint64  `json:"key_version"`
	PublicKey  []byte  `json:"public_key,omitempty"`
	BatchKey   []byte  `json:"publickey,omitempty"` // what it is called in a batch
	Reference  *string `json:"reference,omitempty"`
	Signature  string  `json:"signature,omitempty"`
}

func sign(ctx context.Context, c *call) (*answer, error) {
	list, batch := c.items()
	req := transit.SignRequest{Key: c.key(c.vars[0]), Batch: batch, Items: make([]transit.Signed, len(list)), Version: c.versionOf("key_version")}
	var jws bool
	req.Scheme, jws = c.scheme()
	for i, it := range list {
		if batch && !it.has("input") {
			it.err = errs.New(errs.Invalid, "missing input")
		}
		req.Items[i] = transit.Signed{Data: it.bytes64("input"), Context: it.bytes64("context")}
		req.Items[i].Err = wrongIn(it, batch)
	}
	if c.err != nil {
		return nil, nil
	}
	out, err := c.f.Transit.Sign(ctx, c.who, req)
	if !batchDone(err) || err != nil && !batch {
		return nil, keyWords(err)
	}
	show := func(i int, ref *string) signedJSON {
		s := signedJSON{Error: itemText(out[i].Err), KeyVersion: out[i].Version, Reference: ref}
		switch {
		case out[i].Err != nil:
			return s
		case jws:
			s.Signature = transit.FormatJWS(out[i].Version, out[i].Data)
		default:
			s.Signature = transit.FormatText(out[i].Version, out[i].Data)
		}
		if s.PublicKey = out[i].Public; batch {
			s.PublicKey, s.BatchKey = nil, out[i].Public
		}
		return s
	}
	if !batch {
		return ok(show(0, nil)), nil
	}
	return ok(showAll(list, show)), nil
}

// checkedJSON is the result of an item that was verified.
type checkedJSON struct {
	Error     string  `json:"error,omitempty"`
	Reference *string `json:"reference,omitempty"`
	Valid     bool    `json:"valid"`
}

// checkedAnswer shows what was verified.
func checkedAnswer(list []*call, batch bool, out []transit.Checked, err error) (*answer, error) {
	if !batchDone(err) || err != nil && !batch {
		return nil, keyWords(err)
	}
	show := func(i int, ref *string) checkedJSON {
		return checkedJSON{Error: itemText(out[i].Err), Reference: ref, Valid: out[i].Valid}
	}
	if !batch {
		return ok(show(0, nil)), nil
	}
	return ok(showAll(list, show)), nil
}

// oneKind finds out what is to be verified: signatures or codes, which are not
// mixed.
func (c *call) oneKind(list []*call, batch bool) (codes bool) {
	var signatures, hmacs, neither bool
	for _, it := range list {
		switch {
		case it.has("signature"):
			signatures = true
			hmacs = hmacs || !batch && it.has("hmac")
		case it.has("hmac"):
			hmacs = true
		default:
			neither = true
		}
	}
	msg := ""
	switch {
	case signatures && hmacs && !batch:
		msg = "provide one of 'signature' or 'hmac'"
	case neither && !batch:
		msg = "neither a 'signature' nor an 'hmac' were given to verify"
	case signatures && hmacs:
		msg = "elements of batch_input must all provide 'signature' or all provide 'hmac'"
	case neither && signatures:
		msg = "some elements of batch_input are missing 'signature'"
	case neither && hmacs:
		msg = "some elements of batch_input are missing 'hmac'"
	case neither:
		msg = "no batch_input elements have 'signature' or 'hmac'"
	}
	if msg != "" {
		c.err = first(c.err, errs.New(errs.Invalid, "%s", msg))
	}
	return hmacs
}

func verify(ctx context.Context, c *call) (*answer, error) {
	list, batch := c.items()
	if c.oneKind(list, batch) && c.err == nil {
		return verifyCodes(ctx, c, list, batch)
	}
	req := transit.SignRequest{Key: c.key(c.vars[0]), Batch: batch, Items: make([]transit.Signed, len(list))}
	var jws bool
	req.Scheme, jws = c.scheme()
	for i, it := range list {
		if batch && !it.has("input") {
			it.err = errs.New(errs.Invalid, "missing input")
		}
		o := &req.Items[i]
		var err error
		o.Version, o.Signature, err = transit.ParseSignature(it.text("signature"), jws)
		it.err = first(it.err, err)
		o.Data, o.Context = it.bytes64("input"), it.bytes64("context")
		o.Err = wrongIn(it, batch)
	}
	if c.err != nil {
		return nil, nil
	}
	out, err := c.f.Transit.Verify(ctx, c.who, req)
	return checkedAnswer(list, batch, out, err)
}

func verifyCodes(ctx context.Context, c *call, list []*call, batch bool) (*answer, error) {
	req := transit.MACRequest{Key: c.key(c.vars[0]), Batch: batch, Items: make([]transit.Message, len(list)), Hash: c.algorithm("algorithm")}
	for i, it := range list {
		if batch && !it.has("input") {
			it.err = errs.New(errs.Invalid, "missing input")
		}
		o := &req.Items[i]
		var err error
		o.Version, o.Code, err = transit.ParseMAC(it.text("hmac"))
		it.err = first(it.err, err)
		o.Data = it.bytes64("input")
		o.Err = wrongIn(it, batch)
	}
	if c.err != nil {
		err := c.err
		c.err = nil // recorded here, under what was asked for
		return nil, c.f.record(ctx, c.who, policy.VerifyMAC.String(), err)
	}
	out, err := c.f.Transit.VerifyMAC(ctx, c.who, req)
	return checkedAnswer(list, batch, out, err)
}

// codeJSON is the result of an item that was authenticated.
type codeJSON struct {
	Error     string  `json:"error,omitempty"`
	HMAC      string  `json:"hmac,omitempty"`
	Reference *string `json:"reference,omitempty"`
}

func makeCode(ctx context.Context, c *call) (*answer, error) {
	list, batch := c.items()
	req := transit.MACRequest{Key: c.key(c.vars[0]), Batch: batch, Items: make([]transit.Message, len(list)), Hash: c.algorithm("algorithm"), Version: c.versionOf("key_version")}
	for i, it := range list {
		if !it.has("input") {
			it.err = first(it.err, errs.New(errs.Invalid, "missing input for HMAC"))
		}
		req.Items[i] = transit.Message{Data: it.bytes64("input")}
		req.Items[i].Err = wrongIn(it, batch)
	}
	if c.err != nil {
		return nil, nil
	}
	out, err := c.f.Transit.MAC(ctx, c.who, req)
	if !batchDone(err) || err != nil && !batch {
		return nil, keyWords(err)
	}
	show := func(i int, ref *string) codeJSON {
		if out[i].Err != nil {
			return codeJSON{Error: itemText(out[i].Err), Reference: ref}
		}
		return codeJSON{HMAC: transit.FormatText(out[i].Version, out[i].Data), Reference: ref}
	}
	if !batch {
		return ok(show(0, nil)), nil
	}
	return ok(showAll(list, show)), nil
}
