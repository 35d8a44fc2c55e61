// Package keypair rotates a pair of keys: RSA, elliptic curve or Ed25519.
//
// The value is an object with the members private_key (PKCS#8, PEM), public_key (SPKI,
// PEM) and key_id, which is the key's thumbprint (RFC 7638): what was signed or
// encrypted can say by it which version it belongs to. Other members stay as they are.
//
// There is no target. Who verifies with the previous public key reads AWSPREVIOUS.
package keypair

import (
	"context"

	"countersign/internal/rotator"
	"countersign/internal/rotator/keys"
)

const defaultType = "rsa-3072"

// Kind is the row of the list of rotators.
func Kind() rotator.Kind {
	return rotator.Kind{
		Name:   "keypair",
		Help:   "a pair of RSA, EC or Ed25519 keys as PEM",
		Fate:   rotator.Stored,
		Undoes: true,
		Options: []rotator.Option{
			{Name: "type", Help: "rsa-2048, rsa-3072, rsa-4096, ec-p256, ec-p384, ec-p521 or ed25519; default rsa-3072"},
		},
		Check: func(options map[string]string) error { return keys.Check("type", options["type"], keys.Types()) },
		New:   func(rotator.Env) rotator.Rotator { return keypair{} },
	}
}

type keypair struct{ keys.Stored }

// Create makes a pair.
func (keypair) Create(ctx context.Context, j rotator.Job) (rotator.Created, error) {
	o, err := keys.Object(j.Current)
	if err != nil {
		return rotator.Created{}, err
	}
	typ := j.Options["type"]
	if typ == "" {
		typ = defaultType
	}
	key, err := keys.Generate(ctx, typ)
	if err != nil {
		return rotator.Created{}, err
	}
	private, public, err := keys.PEM(key)
	if err != nil {
		return rotator.Created{}, err
	}
	id, err := keys.Thumbprint(key.Public())
	if err != nil {
		return rotator.Created{}, err
	}
	o.Set("private_key", private)
	o.Set("public_key", public)
	o.Set("key_id", id)
	return o.Created()
}

// Test signs with the private key, verifies with the public one, and holds key_id
// against it.
func (keypair) Test(_ context.Context, j rotator.Job) error {
	o, err := rotator.ParseObject(j.Pending)
	if err != nil {
		return err
	}
	private, err := o.Need("private_key")
	if err != nil {
		return err
	}
	public, err := o.Need("public_key")
	if err != nil {
		return err
	}
	key, err := keys.ParsePrivate(private)
	if err != nil {
		return rotator.Fail(rotator.Unsuitable, err, "the member private_key is no private key as PEM that is supported")
	}
	pub, err := keys.ParsePublic(public)
	if err != nil {
		return rotator.Fail(rotator.Unsuitable, err, "the member public_key is no public key as PEM that is supported")
	}
	if err := keys.Prove(key, pub); err != nil {
		return err
	}
	id, err := keys.Thumbprint(pub)
	if err != nil {
		return err
	}
	if o.Get("key_id") != id {
		return rotator.Fail(rotator.Rejected, nil, "the member key_id is not the thumbprint of the key")
	}
	return nil
}
