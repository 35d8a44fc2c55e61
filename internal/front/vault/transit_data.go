package vault

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"countersign/internal/core/transit"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// items are the members of batch_input, each to be read like a body, or the body
// itself when there is none.
func (c *call) items() (list []*call, batch bool) {
	if !c.has("batch_input") {
		return []*call{c}, false
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(c.body["batch_input"], &raw); err != nil {
		c.fail("batch_input", "it is not a list of objects")
		return nil, true
	}
	switch {
	case len(raw) == 0:
		c.err = first(c.err, errs.New(errs.Invalid, "missing batch input to process"))
	case len(raw) > transit.MaxBatch:
		c.err = first(c.err, errs.New(errs.Limit, "a batch has at most %d items", transit.MaxBatch))
		return nil, true
	}
	for i, r := range raw {
		p := &call{}
		if err := json.Unmarshal(r, &p.body); err != nil || p.body == nil {
			c.fail("batch_input", "[%d] expected a map", i)
			return nil, true
		}
		list = append(list, p)
	}
	return list, true
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// alike refuses items of which some have a context and others none.
func (c *call) alike(list []*call) {
	for _, it := range list {
		if (it.text("context") == "") != (list[0].text("context") == "") {
			c.err = first(c.err, errs.New(errs.Invalid, "context should be set either in all the request blocks or in none"))
			return
		}
	}
}

// wrongIn takes what was found wrong in an item: of a batch it is the item's
// result, and otherwise that of the request, which has it already.
func wrongIn(it *call, batch bool) error {
	if !batch {
		return nil
	}
	return it.err
}

// itemText is why an item failed, empty when it did not.
func itemText(err error) string {
	if err == nil {
		return ""
	}
	return texts(errs.As(err))[0]
}

// batchCode is the status of a batch: 200, or 400 when an item failed, unless the
// request names another for when some did not.
func (c *call) batchCode(failed, all int) (code int, warnings []string) {
	if failed == 0 {
		return http.StatusOK, nil
	}
	code = http.StatusBadRequest
	if c.has("partial_failure_response_code") && failed < all {
		n := c.integer("partial_failure_response_code")
		if n < 200 || n > 599 {
			return code, []string{"invalid HTTP response code override from partial_failure_response_code, reverting to 400"}
		}
		code = int(n)
	}
	return code, nil
}

// sealedJSON is the result of an item that was encrypted.
type sealedJSON struct {
	Ciphertext string  `json:"ciphertext,omitempty"`
	Error      string  `json:"error,omitempty"`
	KeyVersion uint64  `json:"key_version,omitempty"`
	Reference  *string `json:"reference,omitempty"`
}

func showSealed(s *transit.Sealed) sealedJSON {
	if s.Err != nil {
		return sealedJSON{Error: itemText(s.Err)}
	}
	return sealedJSON{Ciphertext: transit.FormatText(s.Version, s.Data), KeyVersion: s.Version}
}

// reference is what a client wrote beside an item to know it again.
func reference(it *call) *string {
	s := it.text("reference")
	return &s
}

// resultsJSON is the answer to a batch.
type resultsJSON[T any] struct {
	Results []T `json:"batch_results"`
}

// showAll makes the results of a batch.
func showAll[T any](list []*call, show func(i int, ref *string) T) resultsJSON[T] {
	out := resultsJSON[T]{make([]T, len(list))}
	for i, it := range list {
		out.Results[i] = show(i, reference(it))
	}
	return out
}

// batchDone reports whether there are results to show: also when all of them are
// failures.
func batchDone(err error) bool { return err == nil || errs.As(err).Code == transit.CodeBatch }

func countFailed(n int, failed func(i int) error) (bad int) {
	for i := range n {
		if failed(i) != nil {
			bad++
		}
	}
	return bad
}

func encrypt(ctx context.Context, c *call) (*answer, error) {
	list, batch := c.items()
	req := transit.EncryptRequest{Key: c.key(c.vars[0]), Batch: batch, Items: make([]transit.Plain, len(list))}
	for i, it := range list {
		if !it.has("plaintext") && c.err == nil {
			c.err = errs.New(errs.Invalid, "missing plaintext to encrypt")
		}
		if it.text("nonce") != "" {
			it.fail("nonce", "provided nonce not allowed for this key")
		}
		req.Items[i] = transit.Plain{Data: sensitive.New(it.bytes64("plaintext")), Context: it.bytes64("context"),
			Associated: it.bytes64("associated_data"), Version: it.versionOf("key_version")}
		req.Items[i].Err = wrongIn(it, batch)
	}
	c.alike(list)
	upsert := transit.CreateRequest{Type: transit.Type(c.text("type")), Convergent: c.boolean("convergent_encryption")}
	if c.err != nil {
		return nil, nil
	}
	upsert.Derived = len(req.Items[0].Context) > 0
	if slices.Contains([]transit.Type{"", transit.AES128, transit.AES256, transit.ChaCha20, transit.XChaCha20}, upsert.Type) {
		req.Create = &upsert
	}
	out, err := c.f.Transit.Encrypt(ctx, c.who, req)
	if !batchDone(err) || err != nil && !batch {
		return nil, keyWords(err)
	}
	if !batch {
		return ok(showSealed(&out.Items[0])), nil
	}
	return c.sealedAnswer(list, out.Items, true), nil
}

// sealedAnswer shows a batch of what was encrypted; strict makes an item that
// failed one of the request too.
func (c *call) sealedAnswer(list []*call, items []transit.Sealed, strict bool) *answer {
	ans := &answer{data: showAll(list, func(i int, ref *string) sealedJSON {
		s := showSealed(&items[i])
		s.Reference = ref
		return s
	})}
	if strict {
		ans.code, ans.warnings = c.batchCode(countFailed(len(items), func(i int) error { return items[i].Err }), len(items))
	}
	return ans
}

// ciphertexts reads what is to be decrypted.
func (c *call) ciphertexts() (req transit.DecryptRequest, list []*call) {
	list, batch := c.items()
	req = transit.DecryptRequest{Key: c.key(c.vars[0]), Batch: batch, Items: make([]transit.Cipher, len(list))}
	for i, it := range list {
		o := &req.Items[i]
		text := it.text("ciphertext")
		var err error
		if text == "" {
			err = errs.New(errs.Invalid, "missing ciphertext to decrypt")
		} else {
			o.Version, o.Data, err = transit.ParseCiphertext(text)
		}
		it.err = first(it.err, err)
		o.Context, o.Associated, o.NewVersion = it.bytes64("context"), it.bytes64("associated_data"), it.versionOf("key_version")
		o.Err = wrongIn(it, batch)
	}
	c.alike(list)
	return req, list
}

// openedJSON is the result of an item that was decrypted.
type openedJSON struct {
	Error     string  `json:"error,omitempty"`
	Plaintext string  `json:"plaintext"`
	Reference *string `json:"reference,omitempty"`
}

func decrypt(ctx context.Context, c *call) (*answer, error) {
	req, list := c.ciphertexts()
	if c.err != nil {
		return nil, nil
	}
	out, err := c.f.Transit.Decrypt(ctx, c.who, req)
	if !batchDone(err) || err != nil && !req.Batch {
		return nil, keyWords(err)
	}
	show := func(i int, ref *string) openedJSON {
		return openedJSON{Error: itemText(out[i].Err), Plaintext: base64.StdEncoding.EncodeToString(out[i].Data.Reveal()), Reference: ref}
	}
	if !req.Batch {
		return ok(show(0, nil)), nil
	}
	code, warnings := c.batchCode(countFailed(len(out), func(i int) error { return out[i].Err }), len(out))
	return &answer{code: code, data: showAll(list, show), warnings: warnings}, nil
}

func reEncrypt(ctx context.Context, c *call) (*answer, error) {
	req, list := c.ciphertexts()
	if c.err != nil {
		return nil, nil
	}
	out, err := c.f.Transit.Rewrap(ctx, c.who, req)
	if !batchDone(err) || err != nil && !req.Batch {
		return nil, keyWords(err)
	}
	if !req.Batch {
		return ok(showSealed(&out[0])), nil
	}
	return c.sealedAnswer(list, out, false), nil
}

// dataKey makes a key, and shows it in the clear or not.
func dataKey(plaintext bool) func(context.Context, *call) (*answer, error) {
	return func(ctx context.Context, c *call) (*answer, error) {
		req := transit.DataKeyRequest{Key: c.key(c.vars[0]), Bits: int(c.integer("bits")), Context: c.bytes64("context"),
			Associated: c.bytes64("associated_data"), Version: c.versionOf("key_version"), Plaintext: plaintext}
		if c.text("nonce") != "" {
			c.fail("nonce", "provided nonce not allowed for this key")
		}
		if c.has("bits") && req.Bits == 0 {
			c.fail("bits", "invalid bit length")
		}
		if c.err != nil {
			return nil, nil
		}
		out, err := c.f.Transit.GenerateDataKey(ctx, c.who, req)
		if err != nil {
			return nil, keyWords(err)
		}
		data := struct {
			sealedJSON
			Plaintext string `json:"plaintext,omitempty"`
		}{sealedJSON: showSealed(&out.Sealed)}
		if plaintext {
			data.Plaintext = base64.StdEncoding.EncodeToString(out.Plaintext.Reveal())
		}
		return ok(data), nil
	}
}

// encoded writes bytes as a request asks for them: hex or base64.
func (c *call) encoded(b []byte, format string) string {
	if f := c.text("format"); f != "" {
		format = f
	}
	if format == "hex" {
		return hex.EncodeToString(b)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func (c *call) checkFormat() {
	if f := c.text("format"); f != "" && f != "hex" && f != "base64" {
		c.fail("format", "unsupported encoding format %s; must be \"hex\" or \"base64\"", strconv.QuoteToASCII(clip(f)))
	}
}

// clip cuts what a client sent short, to be quoted.
func clip(s string) string { return s[:min(len(s), 40)] }

func random(ctx context.Context, c *call) (*answer, error) {
	source, count := "", ""
	if len(c.vars) > 0 {
		source = c.vars[0]
	}
	if len(c.vars) > 1 {
		count = c.vars[1]
	}
	if _, err := strconv.Atoi(source); err == nil && count == "" {
		source, count = "", source
	}
	if source == "" {
		source = c.text("source")
	}
	n := int64(32)
	switch {
	case count != "":
		var err error
		if n, err = strconv.ParseInt(count, 10, 32); err != nil {
			c.fail("bytes", "error parsing url-set byte count")
		}
	case c.has("bytes"):
		n = c.integer("bytes")
	}
	if source != "" && source != "platform" && source != "seal" && source != "all" {
		c.fail("source", "unsupported entropy source %s; must be \"platform\" or \"seal\", or \"all\"", strconv.QuoteToASCII(clip(source)))
	}
	c.checkFormat()
	if c.err != nil {
		return nil, nil
	}
	b, err := c.f.Transit.Random(ctx, c.who, int(max(min(n, transit.MaxRandom+1), 0)))
	if err != nil {
		return nil, err
	}
	ans := ok(map[string]string{"random_bytes": c.encoded(b.Reveal(), "base64")})
	if source == "seal" {
		ans.warnings = []string{"no seal/entropy augmentation available, using platform entropy source"}
	}
	return ans, nil
}

func hash(ctx context.Context, c *call) (*answer, error) {
	if !c.has("input") {
		c.fail("input", "input missing")
	}
	input := c.bytes64("input")
	algorithm := c.text("algorithm")
	if len(c.vars) > 0 {
		algorithm = c.vars[0]
	}
	c.checkFormat()
	if c.err != nil {
		return nil, nil
	}
	sum, err := c.f.Transit.Hash(ctx, c.who, algorithm, input)
	if err != nil {
		return nil, err
	}
	return ok(map[string]string{"sum": c.encoded(sum, "hex")}), nil
}
