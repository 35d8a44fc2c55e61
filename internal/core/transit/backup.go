package transit

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// maxBackupText is how long the text of a backup may be.
const maxBackupText = 1 << 20

// The JSON of Vault's backups: what its storage holds of a key.
type (
	backupJSON struct {
		Policy   *policyJSON `json:"policy"`
		Archived *struct {
			Keys []entryJSON `json:"keys"`
		} `json:"archived_keys"`
	}
	policyJSON struct {
		Name              string               `json:"name"`
		KeySize           int                  `json:"key_size,omitempty"`
		Keys              map[string]entryJSON `json:"keys"`
		Derived           bool                 `json:"derived"`
		KDF               int                  `json:"kdf"`
		Convergent        bool                 `json:"convergent_encryption"`
		Exportable        bool                 `json:"exportable"`
		MinDecryption     uint64               `json:"min_decryption_version"`
		MinEncryption     uint64               `json:"min_encryption_version"`
		Latest            uint64               `json:"latest_version"`
		ArchiveVersion    uint64               `json:"archive_version"`
		ArchiveMinVersion uint64               `json:"archive_min_version"`
		MinAvailable      uint64               `json:"min_available_version"`
		DeletionAllowed   bool                 `json:"deletion_allowed"`
		ConvergentVersion int                  `json:"convergent_version"`
		Type              int                  `json:"type"`
		BackupInfo        *infoJSON            `json:"backup_info"`
		RestoreInfo       *infoJSON            `json:"restore_info"`
		PlaintextBackup   bool                 `json:"allow_plaintext_backup"`
		VersionTemplate   string               `json:"version_template"`
		StoragePrefix     string               `json:"storage_prefix"`
		AutoRotatePeriod  time.Duration        `json:"auto_rotate_period"`
		Imported          bool
		AllowRotation     bool `json:"AllowImportedKeyRotation"`
		SoftDeleted       bool `json:"soft_deleted,omitempty"`
	}
	infoJSON struct {
		Time    time.Time `json:"time"`
		Version uint64    `json:"version"`
	}
	entryJSON struct {
		Key               []byte    `json:"key"`
		HMACKey           []byte    `json:"hmac_key"`
		Time              time.Time `json:"time"`
		X                 *big.Int  `json:"ec_x"`
		Y                 *big.Int  `json:"ec_y"`
		D                 *big.Int  `json:"ec_d"`
		RSA               *rsaJSON  `json:"rsa_key"`
		RSAPublic         *rsaJSON  `json:"rsa_public_key,omitempty"`
		PublicKey         string    `json:"public_key"`
		ConvergentVersion int       `json:"convergent_version"`
		Created           int64     `json:"creation_time"` // seconds
	}
	rsaJSON struct {
		N      *big.Int
		E      int
		D      *big.Int   `json:",omitempty"`
		Primes []*big.Int `json:",omitempty"`
	}
)

// kdfHKDF is Vault's number for HKDF-SHA256; 0 is its counter mode.
const kdfHKDF = 1

// numbers are what Vault calls its types in backups. Both 10 and 11 are HMAC, in
// OpenBao and in Vault, and 11 is OpenBao's XChaCha20 as well: an entry of HMAC has
// one key for both purposes.
var numbers = map[Type]int{AES256: 0, ECDSAP256: 1, Ed25519: 2, RSA2048: 3, RSA4096: 4, ChaCha20: 5, ECDSAP384: 6, ECDSAP521: 7,
	AES128: 8, RSA3072: 9, HMAC: 11, XChaCha20: 11}

func typeOf(p *policyJSON, latest *entryJSON) (Type, bool) {
	if p.Type == 10 || p.Type == 11 {
		if p.KeySize != 0 || bytes.Equal(latest.Key, latest.HMACKey) {
			return HMAC, true
		}
		return XChaCha20, p.Type == 11
	}
	for _, t := range Types() {
		if numbers[t] == p.Type {
			return t, true
		}
	}
	return "", false
}

func badBackup(why string) error {
	return errs.Coded(errs.Invalid, CodeFormat, "the backup cannot be read: %s", why)
}

// stored is the head of the key.
func (p *policyJSON) stored(t Type) stored {
	return stored{Type: t, Derived: p.Derived, Convergent: p.Convergent, Exportable: p.Exportable,
		PlaintextBackup: p.PlaintextBackup, DeletionAllowed: p.DeletionAllowed, Latest: p.Latest, MinDecryption: max(1, p.MinDecryption),
		MinEncryption: p.MinEncryption, MinAvailable: p.MinAvailable, RotateEvery: int64(p.AutoRotatePeriod / time.Second),
		Imported: p.Imported, AllowRotation: p.AllowRotation}
}

// ParseBackup reads the text of a backup, of Vault, of OpenBao or from here.
func ParseBackup(text string) (*Bundle, error) {
	if len(text) > maxBackupText {
		return nil, &errs.Error{Kind: errs.Limit, Field: "backup", Msg: "a backup has at most 1048576 characters"}
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, badBackup("it is not base64")
	}
	var in backupJSON
	if err := json.Unmarshal(raw, &in); err != nil || in.Policy == nil {
		return nil, badBackup("it is no JSON of a key")
	}
	p := in.Policy
	latest, ok := p.Keys[strconv.FormatUint(p.Latest, 10)]
	typ, known := typeOf(p, &latest)
	first := max(1, p.MinAvailable)
	switch {
	case !known:
		return nil, badBackup("its type is not one that there is here")
	case p.Derived && p.KDF != kdfHKDF:
		return nil, badBackup("its keys are derived in counter mode, as Vault did before 0.6.2")
	case p.SoftDeleted:
		return nil, badBackup("the key is deleted")
	case !ok || p.Latest < first || p.Latest-first >= MaxBackup:
		return nil, tooMany()
	}
	b := &Bundle{name: p.Name, key: p.stored(typ)}
	if typ == HMAC {
		b.key.Size = len(latest.Key)
	}
	for n := first; n <= p.Latest; n++ {
		e, ok := in.entry(n, first)
		if !ok {
			return nil, badBackup(fmt.Sprintf("version %d is missing", n))
		}
		if p.Convergent && e.ConvergentVersion != convergentVersion && p.ConvergentVersion != convergentVersion {
			return nil, badBackup("its convergent encryption is of a version before 3")
		}
		v, err := e.version(typ)
		if err != nil {
			return nil, badBackup(fmt.Sprintf("version %d: %s", n, errs.As(err).Msg))
		}
		b.versions = append(b.versions, v)
	}
	return b, nil
}

// entry finds a version: those that may decrypt stand in the policy, the others in
// the archive, whose first entry is the lowest that is available, or an empty one
// when nothing was trimmed.
func (in *backupJSON) entry(n, first uint64) (*entryJSON, bool) {
	if e, ok := in.Policy.Keys[strconv.FormatUint(n, 10)]; ok {
		return &e, true
	}
	i := n - in.Policy.MinAvailable
	if in.Archived == nil || n < first || i >= uint64(len(in.Archived.Keys)) {
		return nil, false
	}
	return &in.Archived.Keys[i], true
}

// version reads the material of an entry.
func (e *entryJSON) version(t Type) (version, error) {
	v := version{MAC: e.HMACKey, Created: micros(e.Time)}
	if e.Time.IsZero() {
		v.Created = e.Created * 1_000_000
	}
	if v.Created <= 0 {
		v.Created = 1
	}
	var private crypto.Signer
	var public crypto.PublicKey
	var err error
	switch {
	case t == HMAC:
		v.Private, v.MAC = e.Key, nil
		return v, nil
	case t.aead():
		v.Private = e.Key
		return v, nil
	case t == Ed25519:
		private, public, err = e.ed25519()
	case t.curve() != nil:
		private, public, err = e.ecdsa(t.curve())
	default:
		private, public, err = e.rsa()
	}
	if err != nil {
		return version{}, err
	}
	if private != nil {
		return v, v.take(private)
	}
	v.Public, err = x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return version{}, badMaterial("there is no public key in it")
	}
	return v, nil
}

func (e *entryJSON) ed25519() (crypto.Signer, crypto.PublicKey, error) {
	if len(e.Key) == 0 {
		raw, err := base64.StdEncoding.DecodeString(e.PublicKey)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return nil, nil, badMaterial("there is no public key in it")
		}
		return nil, ed25519.PublicKey(raw), nil
	}
	if len(e.Key) != ed25519.PrivateKeySize {
		return nil, nil, badMaterial("there is no private key in it")
	}
	private := ed25519.NewKeyFromSeed(e.Key[:ed25519.SeedSize])
	if !bytes.Equal(private, e.Key) {
		return nil, nil, badMaterial("its two halves do not belong together")
	}
	return private, nil, nil
}

func (e *entryJSON) ecdsa(c elliptic.Curve) (crypto.Signer, crypto.PublicKey, error) {
	if e.X == nil || e.Y == nil {
		return nil, nil, badMaterial("there is no public key in it")
	}
	size := (c.Params().BitSize + 7) / 8
	if e.X.Sign() < 0 || e.Y.Sign() < 0 || e.X.BitLen() > 8*size || e.Y.BitLen() > 8*size {
		return nil, nil, badMaterial("there is no public key in it")
	}
	point := make([]byte, 1+2*size)
	point[0] = 4 // uncompressed
	e.X.FillBytes(point[1 : 1+size])
	e.Y.FillBytes(point[1+size:])
	public, err := ecdsa.ParseUncompressedPublicKey(c, point)
	if err != nil {
		return nil, nil, badMaterial("there is no public key in it")
	}
	if e.D == nil {
		return nil, public, nil
	}
	if e.D.Sign() < 0 || e.D.BitLen() > 8*size {
		return nil, nil, badMaterial("there is no private key in it")
	}
	private, err := ecdsa.ParseRawPrivateKey(c, e.D.FillBytes(make([]byte, size)))
	if err != nil || !private.PublicKey.Equal(public) {
		return nil, nil, badMaterial("its two halves do not belong together")
	}
	return private, nil, nil
}

func (e *entryJSON) rsa() (crypto.Signer, crypto.PublicKey, error) {
	half := e.RSA
	if half == nil {
		half = e.RSAPublic
	}
	if half == nil || half.N == nil || half.N.Sign() <= 0 || half.N.BitLen() > 4096 {
		return nil, nil, badMaterial("there is no public key in it")
	}
	public := rsa.PublicKey{N: half.N, E: half.E}
	if e.RSA == nil {
		return nil, &public, nil
	}
	if half.D == nil || len(half.Primes) != 2 || half.D.BitLen() > 4096 {
		return nil, nil, badMaterial("there is no private key in it")
	}
	for _, p := range half.Primes {
		if p == nil || p.Sign() <= 0 || p.BitLen() > 4096 {
			return nil, nil, badMaterial("there is no private key in it")
		}
	}
	private := &rsa.PrivateKey{PublicKey: public, D: half.D, Primes: half.Primes}
	private.Precompute()
	if err := private.Validate(); err != nil {
		return nil, nil, badMaterial("there is no private key in it")
	}
	return private, nil, nil
}

// EncodeBackup writes a key down as Vault does.
func EncodeBackup(b *Bundle) (sensitive.Bytes, error) {
	k := &b.key
	p := &policyJSON{Name: b.name, KeySize: k.Size, Keys: map[string]entryJSON{}, Derived: k.Derived, Convergent: k.Convergent,
		Exportable: k.Exportable, MinDecryption: k.MinDecryption, MinEncryption: k.MinEncryption, Latest: k.Latest,
		ArchiveVersion: k.Latest, ArchiveMinVersion: k.MinAvailable, MinAvailable: k.MinAvailable, DeletionAllowed: k.DeletionAllowed,
		Type: numbers[k.Type], BackupInfo: &infoJSON{when(b.taken), k.Latest}, PlaintextBackup: k.PlaintextBackup,
		AutoRotatePeriod: time.Duration(k.RotateEvery) * time.Second, Imported: k.Imported, AllowRotation: k.AllowRotation}
	if k.Derived {
		p.KDF = kdfHKDF
	}
	if k.Convergent {
		p.ConvergentVersion = -1 // each entry says its own
	}
	out := backupJSON{Policy: p}
	out.Archived = &struct {
		Keys []entryJSON `json:"keys"`
	}{}
	if k.MinAvailable == 0 {
		out.Archived.Keys = []entryJSON{{}}
	}
	for i := range b.versions {
		e, err := b.versions[i].entry(k)
		if err != nil {
			return sensitive.Bytes{}, errs.Wrap(errs.Internal, err, "reading a stored key")
		}
		n := k.first() + uint64(i)
		out.Archived.Keys = append(out.Archived.Keys, e)
		if n >= k.MinDecryption {
			p.Keys[strconv.FormatUint(n, 10)] = e
		}
	}
	text, err := json.Marshal(out)
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("encoding a backup: %w", err)
	}
	return sensitive.FromString(base64.StdEncoding.EncodeToString(append(text, '\n'))), nil
}

// entry is a version as a backup has it.
func (v *version) entry(k *stored) (entryJSON, error) {
	e := entryJSON{HMACKey: v.MAC, Time: when(v.Created), Created: v.Created / 1_000_000}
	if k.Convergent {
		e.ConvergentVersion = convergentVersion
	}
	switch {
	case k.Type == HMAC:
		e.Key, e.HMACKey = v.Private, v.Private
		return e, nil
	case k.Type.aead():
		e.Key = v.Private
		return e, nil
	}
	r, err := prepare(k, v)
	if err != nil {
		return e, err
	}
	if k.Type.bits() == 0 {
		e.PublicKey = PublicText(k.Type, v.Public)
	}
	switch p := r.public.(type) {
	case *ecdsa.PublicKey:
		point, err := p.Bytes()
		if err != nil {
			return e, err
		}
		half := len(point) / 2
		e.X, e.Y = new(big.Int).SetBytes(point[1:1+half]), new(big.Int).SetBytes(point[1+half:])
	case *rsa.PublicKey:
		e.RSAPublic = &rsaJSON{N: p.N, E: p.E}
	}
	switch s := r.private.(type) {
	case ed25519.PrivateKey:
		e.Key = s
	case *ecdsa.PrivateKey:
		raw, err := s.Bytes()
		if err != nil {
			return e, err
		}
		e.D = new(big.Int).SetBytes(raw)
	case *rsa.PrivateKey:
		e.RSA = &rsaJSON{N: s.N, E: s.E, D: s.D, Primes: s.Primes}
	}
	return e, nil
}
