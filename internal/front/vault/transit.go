package vault

import (
	"context"
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"

	"countersign/internal/core/policy"
	"countersign/internal/core/transit"
	"countersign/internal/errs"
)

// Parameters of what is done with keys.
const (
	encryptParams = "plaintext associated_data context nonce key_version type convergent_encryption batch_input partial_failure_response_code"
	decryptParams = "ciphertext associated_data context nonce batch_input partial_failure_response_code"
	rewrapParams  = "ciphertext associated_data context nonce key_version batch_input"
	dataKeyParams = "context associated_data key_version nonce bits"
	signParams    = "input hash_algorithm algorithm signature_algorithm marshaling_algorithm prehashed salt_length context batch_input"
	macParams     = "input algorithm key_version batch_input"
)

// transitRows are the engine that encrypts and signs.
func transitRows() []row {
	return []row{
		{methods: "LIST", path: "keys", op: policy.ListTransitKeys, do: listKeys},
		{methods: "POST", path: "keys/{name}", op: policy.CreateTransitKey, do: createKey},
		{methods: "GET", path: "keys/{name}", op: policy.ReadTransitKey, do: readKey},
		{methods: "DELETE", path: "keys/{name}", op: policy.DeleteTransitKey, do: deleteKey},
		{methods: "POST", path: "keys/{name}/config", op: policy.ConfigTransitKey, do: configKey},
		{methods: "POST", path: "keys/{name}/rotate", op: policy.RotateTransitKey, do: rotateKey},
		{methods: "POST", path: "keys/{name}/trim", op: policy.TrimTransitKey, do: trimKey},
		{methods: "POST", path: "keys/{name}/import", op: policy.ImportTransitKey, do: importKey(false)},
		{methods: "POST", path: "keys/{name}/import_version", op: policy.ImportTransitKey, do: importKey(true)},
		{methods: "GET", path: "wrapping_key", op: policy.GetWrappingKey, do: wrappingKey},
		{methods: "GET", path: "export/{type}/{name}", op: policy.ExportTransitKey, do: exportKey},
		{methods: "GET", path: "export/{type}/{name}/{version}", op: policy.ExportTransitKey, do: exportKey},
		{methods: "GET", path: "backup/{name}", op: policy.BackupTransitKey, do: backupKey},
		{methods: "POST", path: "restore", op: policy.RestoreTransitKey, do: restoreKey},
		{methods: "POST", path: "restore/{name}", op: policy.RestoreTransitKey, do: restoreKey},

		{methods: "POST", path: "encrypt/{name}", op: policy.Encrypt, takes: encryptParams, do: encrypt},
		{methods: "POST", path: "decrypt/{name}", op: policy.Decrypt, takes: decryptParams, do: decrypt},
		{methods: "POST", path: "rewrap/{name}", op: policy.ReEncrypt, takes: rewrapParams, do: reEncrypt},
		{methods: "POST", path: "datakey/plaintext/{name}", op: policy.GenerateDataKey, takes: dataKeyParams, do: dataKey(true)},
		{methods: "POST", path: "datakey/wrapped/{name}", op: policy.GenerateWrappedKey, takes: dataKeyParams, do: dataKey(false)},
		{methods: "POST", path: "sign/{name}", op: policy.Sign, takes: signParams + " key_version", do: sign},
		{methods: "POST", path: "sign/{name}/{algorithm}", op: policy.Sign, takes: signParams + " key_version", do: sign},
		{methods: "POST", path: "verify/{name}", op: policy.Verify, takes: signParams + " signature hmac", do: verify},
		{methods: "POST", path: "verify/{name}/{algorithm}", op: policy.Verify, takes: signParams + " signature hmac", do: verify},
		{methods: "POST", path: "hmac/{name}", op: policy.GenerateMAC, takes: macParams, do: makeCode},
		{methods: "POST", path: "hmac/{name}/{algorithm}", op: policy.GenerateMAC, takes: macParams, do: makeCode},
		{methods: "POST", path: "random", op: policy.RandomBytes, do: random},
		{methods: "POST", path: "random/{source}", op: policy.RandomBytes, do: random},
		{methods: "POST", path: "random/{source}/{bytes}", op: policy.RandomBytes, do: random},
		{methods: "POST", path: "hash", op: policy.HashBytes, do: hash},
		{methods: "POST", path: "hash/{algorithm}", op: policy.HashBytes, do: hash},

		{methods: "GET POST", path: "cache-config", as: "TransitCache", do: refusal("there is no cache to configure: keys count as they are at every request")},
		{methods: "GET POST", path: "config/keys", as: "TransitUpsert", do: refusal("whether encrypting makes a missing key is a question of permission: create on encrypt/NAME, or kms:CreateKey")},
		{methods: "GET", path: "byok-export/{to}/{from}", as: "TransitBYOK", do: refusal("a key is exported or backed up, not wrapped for another")},
		{methods: "GET", path: "byok-export/{to}/{from}/{version}", as: "TransitBYOK", do: refusal("a key is exported or backed up, not wrapped for another")},
		{methods: "POST", path: "keys/{name}/csr", as: "TransitCSR", do: refusal("there are no certificates of keys here")},
		{methods: "POST", path: "keys/{name}/set-certificate", as: "TransitCertificate", do: refusal("there are no certificates of keys here")},
	}
}

// key is the full name of the key that a path names.
func (c *call) key(below string) string { return c.mount.Prefix + below }

// keyWords says of a key that is missing what Vault says, which is no 404 where
// something was to be done with it.
func keyWords(err error) error {
	if e := errs.As(err); e != nil && e.Kind == errs.NotFound && e.Code == transit.CodeKey {
		return errs.New(errs.Invalid, "%s", e.Msg)
	}
	return err
}

// versionOf is a parameter that is the number of a version.
func (c *call) versionOf(name string) uint64 {
	n := c.integer(name)
	if n < 0 || n > math.MaxUint32 {
		c.fail(name, "the number of a version is not negative")
		return 0
	}
	return uint64(n)
}

// bytes64 is a parameter that is base64.
func (c *call) bytes64(name string) []byte {
	b, err := base64.StdEncoding.DecodeString(c.text(name))
	if err != nil && c.err == nil {
		c.err = errs.New(errs.Invalid, "failed to base64-decode %s", name)
	}
	return b
}

func listKeys(ctx context.Context, c *call) (*answer, error) {
	var names []string
	after := c.query.Get("after")
	for {
		out, err := c.f.Transit.List(ctx, c.who, transit.ListRequest{Prefix: c.mount.Prefix, After: after, Limit: maxNames})
		if err != nil {
			return nil, err
		}
		names = append(names, out.Names...)
		if after = out.Next; after == "" || len(names) >= maxNames {
			return keys(names, nil)
		}
	}
}

// keyJSON is a key as Vault shows it.
type keyJSON struct {
	PlaintextBackup   bool           `json:"allow_plaintext_backup"`
	RotatePeriod      int64          `json:"auto_rotate_period"`
	Convergent        *bool          `json:"convergent_encryption,omitempty"`
	ConvergentVersion int            `json:"convergent_encryption_version,omitempty"`
	DeletionAllowed   bool           `json:"deletion_allowed"`
	Derived           bool           `json:"derived"`
	Exportable        bool           `json:"exportable"`
	Imported          bool           `json:"imported_key"`
	AllowRotation     *bool          `json:"imported_key_allow_rotation,omitempty"`
	KDF               string         `json:"kdf,omitempty"`
	KeySize           int            `json:"key_size,omitempty"`
	Keys              map[string]any `json:"keys"`
	Latest            uint64         `json:"latest_version"`
	MinAvailable      uint64         `json:"min_available_version"`
	MinDecryption     uint64         `json:"min_decryption_version"`
	MinEncryption     uint64         `json:"min_encryption_version"`
	Name              string         `json:"name"`
	RestoreInfo       *restoredJSON  `json:"restore_info,omitempty"`
	Decrypts          bool           `json:"supports_decryption"`
	Derives           bool           `json:"supports_derivation"`
	Encrypts          bool           `json:"supports_encryption"`
	Signs             bool           `json:"supports_signing"`
	Type              transit.Type   `json:"type"`
}

type restoredJSON struct {
	Time    time.Time `json:"time"`
	Version uint64    `json:"version"`
}

// pairJSON is a version of a key pair.
type pairJSON struct {
	Created     time.Time `json:"creation_time"`
	Name        string    `json:"name"`
	PublicKey   string    `json:"public_key"`
	Certificate string    `json:"certificate_chain"`
}

func showKey(name string, k *transit.Key) keyJSON {
	out := keyJSON{PlaintextBackup: k.PlaintextBackup, RotatePeriod: int64(k.RotateEvery / time.Second), DeletionAllowed: k.DeletionAllowed,
		Derived: k.Derived, Exportable: k.Exportable, Imported: k.Imported, KeySize: k.Size, Keys: map[string]any{}, Latest: k.Latest,
		MinAvailable: k.MinAvailable, MinDecryption: k.MinDecryption, MinEncryption: k.MinEncryption, Name: name,
		Decrypts: k.Type.Encrypts(), Derives: k.Type.Derives(), Encrypts: k.Type.Encrypts(), Signs: k.Type.Signs(), Type: k.Type}
	if k.Derived {
		out.KDF, out.Convergent = "hkdf_sha256", &k.Convergent
		if k.Convergent {
			out.ConvergentVersion = -1 // each version has its own
		}
	}
	if k.Imported {
		out.AllowRotation = &k.AllowRotation
	}
	if !k.Restored.IsZero() {
		out.RestoreInfo = &restoredJSON{k.Restored, k.RestoredVersion}
	}
	for _, v := range k.Versions {
		n := strconv.FormatUint(v.Number, 10)
		if !k.Type.Signs() {
			out.Keys[n] = v.Created.Unix()
			continue
		}
		out.Keys[n] = pairJSON{Created: v.Created, Name: curveName(k.Type), PublicKey: transit.PublicText(k.Type, v.Public)}
	}
	return out
}

// curveName is what Vault calls the kind of a key pair beside it.
func curveName(t transit.Type) string {
	switch t {
	case transit.ECDSAP256:
		return "P-256"
	case transit.ECDSAP384:
		return "P-384"
	case transit.ECDSAP521:
		return "P-521"
	}
	return string(t)
}

// keyAnswer is the answer to a write that shows the key.
func (c *call) keyAnswer(w transit.Written, err error, warnings ...string) (*answer, error) {
	waits, err := c.done(w.Result, keyWords(err))
	if waits != nil || err != nil {
		return waits, err
	}
	return &answer{data: showKey(c.vars[0], &w.Key), warnings: warnings}, nil
}

func createKey(ctx context.Context, c *call) (*answer, error) {
	req := transit.CreateRequest{Key: c.key(c.vars[0]), Type: transit.Type(c.text("type")), Size: int(c.integer("key_size")),
		Derived: c.boolean("derived"), Convergent: c.boolean("convergent_encryption"), Exportable: c.boolean("exportable"),
		PlaintextBackup: c.boolean("allow_plaintext_backup"), RotateEvery: c.duration("auto_rotate_period")}
	if c.err != nil {
		return nil, nil
	}
	out, err := c.f.Transit.Create(ctx, c.who, req)
	if out.Existed {
		return c.keyAnswer(out, err, "key "+c.vars[0]+" already existed")
	}
	return c.keyAnswer(out, err)
}

func readKey(ctx context.Context, c *call) (*answer, error) {
	of := c.bytes64("context")
	if c.err != nil {
		return nil, nil
	}
	k, err := c.f.Transit.Get(ctx, c.who, c.key(c.vars[0]), of)
	if err != nil {
		return nil, absent(err, transit.CodeKey)
	}
	return ok(showKey(c.vars[0], &k)), nil
}

func deleteKey(ctx context.Context, c *call) (*answer, error) {
	res, err := c.f.Transit.Delete(ctx, c.who, transit.DeleteRequest{Key: c.key(c.vars[0])})
	return c.done(res, keyWords(err))
}

func configKey(ctx context.Context, c *call) (*answer, error) {
	req := transit.ConfigRequest{Key: c.key(c.vars[0])}
	var warnings []string
	if c.has("min_decryption_version") {
		n := c.versionOf("min_decryption_version")
		if req.MinDecryption = &n; n == 0 {
			warnings = append(warnings, "since Vault 0.3, transit key numbering starts at 1; forcing minimum to 1")
		}
	}
	if c.has("min_encryption_version") {
		n := c.versionOf("min_encryption_version")
		req.MinEncryption = &n
	}
	for name, to := range map[string]**bool{"deletion_allowed": &req.DeletionAllowed, "exportable": &req.Exportable, "allow_plaintext_backup": &req.PlaintextBackup} {
		if c.has(name) {
			is := c.boolean(name)
			*to = &is
		}
	}
	if c.has("auto_rotate_period") {
		d := c.duration("auto_rotate_period")
		req.RotateEvery = &d
	}
	if c.err != nil {
		return nil, nil
	}
	out, err := c.f.Transit.Config(ctx, c.who, req)
	return c.keyAnswer(out, err, warnings...)
}

func rotateKey(ctx context.Context, c *call) (*answer, error) {
	out, err := c.f.Transit.Rotate(ctx, c.who, transit.RotateRequest{Key: c.key(c.vars[0])})
	return c.keyAnswer(out, err)
}

func trimKey(ctx context.Context, c *call) (*answer, error) {
	if !c.has("min_available_version") {
		c.fail("min_available_version", "missing min_available_version")
	}
	req := transit.TrimRequest{Key: c.key(c.vars[0]), MinAvailable: c.versionOf("min_available_version")}
	if c.err != nil {
		return nil, nil
	}
	out, err := c.f.Transit.Trim(ctx, c.who, req)
	return c.keyAnswer(out, err)
}

// importKey brings a key, or one more version of one.
func importKey(more bool) func(context.Context, *call) (*answer, error) {
	return func(ctx context.Context, c *call) (*answer, error) {
		req := transit.ImportRequest{Key: c.key(c.vars[0]), Wrapped: c.bytes64("ciphertext"), OAEPHash: c.text("hash_function"), PublicKey: c.text("public_key"), More: more}
		if more {
			req.Version = c.versionOf("version")
		} else {
			req.Type, req.Derived, req.Exportable = transit.Type(c.text("type")), c.boolean("derived"), c.boolean("exportable")
			req.PlaintextBackup, req.AllowRotation = c.boolean("allow_plaintext_backup"), c.boolean("allow_rotation")
			req.RotateEvery = c.duration("auto_rotate_period")
			if c.has("convergent_encryption") {
				c.fail("convergent_encryption", "import cannot be used on keys with convergent encryption enabled")
			}
		}
		if c.err != nil {
			return nil, nil
		}
		out, err := c.f.Transit.Import(ctx, c.who, req)
		return c.done(out.Result, keyWords(err))
	}
}

func wrappingKey(ctx context.Context, c *call) (*answer, error) {
	text, err := c.f.Transit.WrappingKey(ctx, c.who, c.mount.Prefix)
	if err != nil {
		return nil, err
	}
	return ok(map[string]string{"public_key": text}), nil
}

func exportKey(ctx context.Context, c *call) (*answer, error) {
	req := transit.ExportRequest{Key: c.key(c.vars[1]), What: c.vars[0], Format: c.text("format")}
	if len(c.vars) == 3 && c.vars[2] != "latest" {
		text := c.vars[2]
		if text[0] == 'v' {
			text = text[1:]
		}
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n == 0 {
			c.fail("version", "invalid key version")
		}
		req.Version = n
	} else {
		req.Latest = len(c.vars) == 3
	}
	if c.err != nil {
		return nil, nil
	}
	out, err := c.f.Transit.Export(ctx, c.who, req)
	if err != nil {
		return nil, absent(err, transit.CodeKey)
	}
	texts := map[string]string{}
	for n, k := range out.Keys {
		texts[strconv.FormatUint(n, 10)] = string(k.Reveal())
	}
	return ok(struct {
		Keys map[string]string `json:"keys"`
		Name string            `json:"name"`
		Type transit.Type      `json:"type"`
	}{texts, c.vars[1], out.Type}), nil
}

func backupKey(ctx context.Context, c *call) (*answer, error) {
	b, err := c.f.Transit.Backup(ctx, c.who, c.key(c.vars[0]))
	if err != nil {
		return nil, absent(err, transit.CodeKey)
	}
	text, err := transit.EncodeBackup(b)
	if err != nil {
		return nil, err
	}
	return ok(map[string]string{"backup": string(text.Reveal())}), nil
}

func restoreKey(ctx context.Context, c *call) (*answer, error) {
	text, force, name := c.text("backup"), c.boolean("force"), c.text("name")
	if len(c.vars) > 0 {
		name = c.vars[0]
	}
	if text == "" {
		c.fail("backup", "'backup' must be supplied")
	}
	if c.err != nil {
		return nil, nil
	}
	b, err := transit.ParseBackup(text)
	if err != nil {
		return nil, c.f.record(ctx, c.who, c.row.name(), err)
	}
	if name == "" {
		name = b.Name()
	}
	if strings.Contains(name, "/") { // which would be below another mount
		return nil, c.f.record(ctx, c.who, c.row.name(), errs.New(errs.Invalid, "key names cannot be paths"))
	}
	out, err := c.f.Transit.Restore(ctx, c.who, transit.RestoreRequest{Key: c.key(name), Bundle: b, Force: force})
	return c.done(out.Result, err)
}
