package authn

import (
	"context"
	"slices"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sshsig"
)

// SSHKey is a public key by whose signatures a user's approvals are proved.
type SSHKey struct {
	Fingerprint string    `json:"fingerprint"` // SHA256:…, as ssh-keygen -l shows it
	Type        string    `json:"type"`
	Key         string    `json:"key"` // type and base64
	Label       string    `json:"label,omitempty"`
	Created     time.Time `json:"created,omitzero"`
	// Of the answer to a write: the change, and whether it was applied.
	Change string        `json:"change,omitempty"`
	Status change.Status `json:"status,omitempty"`
}

// sshKeys are the public keys of one principal, in the order in which they were
// registered. They are one record, so that a principal with all that it may have
// is deleted in one transaction.
type sshKeys struct {
	Keys []sshKey `cbor:"1,keyasint,omitempty"`
}

type sshKey struct {
	Line    string `cbor:"1,keyasint"` // canonical: type and base64
	Label   string `cbor:"2,keyasint,omitempty"`
	Created int64  `cbor:"3,keyasint"`
}

func sshKeysKey(acct, n string) kv.Key { return kv.K(acct, "ssh-keys", n) }

// show fails with Internal for what is no key.
func (k sshKey) show() (SSHKey, error) {
	pub, err := sshsig.ParsePublicKey(k.Line)
	if err != nil {
		return SSHKey{}, errs.Wrap(errs.Internal, err, "reading a registered SSH key")
	}
	return SSHKey{Fingerprint: pub.Fingerprint(), Type: pub.Algorithm(), Key: pub.String(), Label: k.Label, Created: when(k.Created)}, nil
}

type addSSHKey struct {
	Line  string `cbor:"1,keyasint"`
	Label string `cbor:"2,keyasint,omitempty"`

	out sshKey
}

func (d *addSSHKey) noun() string           { return nounUser }
func (d *addSSHKey) asks(string) []question { return []question{{op: policy.UploadSSHKey}} }

func (d *addSSHKey) says(n string) []string {
	pub, err := sshsig.ParsePublicKey(d.Line)
	if err != nil {
		return []string{"register an SSH key of " + n + " that cannot be read"}
	}
	line := "register SSH key " + pub.Fingerprint() + " of " + n
	if d.Label != "" {
		line += ": " + d.Label
	}
	return []string{line, pub.String()}
}

func (d *addSSHKey) rests(t change.Target) []kv.Key { return []kv.Key{principalKey(t.Account, t.Name)} }

func (d *addSSHKey) apply(_ *Service, tx *change.Tx, t change.Target) error {
	pub, err := sshsig.ParsePublicKey(d.Line)
	if err != nil {
		return err
	}
	if err := name.Text("Label", d.Label, 64); err != nil {
		return err
	}
	if _, err := must[principal](tx, principalKey(t.Account, t.Name), "user"); err != nil {
		return err
	}
	have, _, err := record.Get[sshKeys](tx, sshKeysKey(t.Account, t.Name))
	if err != nil {
		return err
	}
	if len(have.Keys) >= MaxSSHKeys {
		return errs.New(errs.Limit, "a principal has at most %d SSH keys", MaxSSHKeys)
	}
	// One key proves one principal: with two, a signature would not tell whose.
	there := false
	err = list(tx, kv.K(t.Account, "ssh-keys"), "", 1<<30, func(_ string, all sshKeys) {
		there = there || slices.ContainsFunc(all.Keys, func(k sshKey) bool { return k.Line == pub.String() })
	})
	if err != nil {
		return err
	}
	if there {
		return errs.New(errs.Exists, "the SSH key is registered already")
	}
	d.out = sshKey{Line: pub.String(), Label: d.Label, Created: micros(tx.Now)}
	have.Keys = append(have.Keys, d.out)
	return record.Put(tx, sshKeysKey(t.Account, t.Name), have)
}

// AddSSHKey registers a public key, the line of a .pub file, for a user. A key is
// registered once in an account.
func (s *Service) AddSSHKey(ctx context.Context, who caller.Caller, owner, line, label string) (SSHKey, error) {
	if pub, err := sshsig.ParsePublicKey(line); err == nil {
		line = pub.String() // what it was written with does not wait for review
	}
	d := &addSSHKey{Line: line, Label: label}
	res, err := s.perform(ctx, who, owner, d)
	if err != nil {
		return SSHKey{}, err
	}
	if res.Status != change.Applied {
		d.out.Created = 0
	}
	out, err := d.out.show()
	out.Change, out.Status = res.ID, res.Status
	return out, err
}

type removeSSHKey struct {
	Fingerprint string `cbor:"1,keyasint"`
}

func (d *removeSSHKey) noun() string           { return nounUser }
func (d *removeSSHKey) asks(string) []question { return []question{{op: policy.DeleteSSHKey}} }

func (d *removeSSHKey) says(n string) []string {
	return []string{"remove SSH key " + d.Fingerprint + " of " + n}
}

func (d *removeSSHKey) rests(t change.Target) []kv.Key {
	return []kv.Key{principalKey(t.Account, t.Name)}
}

func (d *removeSSHKey) apply(_ *Service, tx *change.Tx, t change.Target) error {
	have, err := must[sshKeys](tx, sshKeysKey(t.Account, t.Name), "SSH key")
	if err != nil {
		return err
	}
	for i, k := range have.Keys {
		shown, err := k.show()
		if err != nil {
			return err
		}
		if shown.Fingerprint != d.Fingerprint {
			continue
		}
		if have.Keys = slices.Delete(have.Keys, i, i+1); len(have.Keys) == 0 {
			return tx.Delete(sshKeysKey(t.Account, t.Name))
		}
		return record.Put(tx, sshKeysKey(t.Account, t.Name), have)
	}
	return missing("SSH key")
}

// RemoveSSHKey removes a key of a user by its fingerprint. Votes that it signed
// stay what they are; it signs no more.
func (s *Service) RemoveSSHKey(ctx context.Context, who caller.Caller, owner, fingerprint string) (change.Result, error) {
	return s.perform(ctx, who, owner, &removeSSHKey{Fingerprint: fingerprint})
}

// ListSSHKeys lists the public keys of a user in the order in which they were
// registered.
func (s *Service) ListSSHKeys(ctx context.Context, who caller.Caller, owner string) ([]SSHKey, error) {
	var out []SSHKey
	err := s.view(ctx, who, policy.ListSSHKeys, safeName(owner), caller.UserARN(who.Account, owner), func(r kv.Reader) error {
		out = nil
		if _, err := must[principal](r, principalKey(who.Account, owner), "user"); err != nil {
			return err
		}
		have, _, err := record.Get[sshKeys](r, sshKeysKey(who.Account, owner))
		if err != nil {
			return err
		}
		for _, k := range have.Keys {
			shown, err := k.show()
			if err != nil {
				return err
			}
			out = append(out, shown)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
