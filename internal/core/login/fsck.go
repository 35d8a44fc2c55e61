package login

import (
	"bytes"
	"slices"

	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/kv/fsck"
)

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{
		{Kind: "login-role", Shape: "ssss", Decode: record.Check[role]},
		{Kind: "login-method", Shape: "sss", Decode: record.Check[method]},
		{Kind: "login-crl", Shape: "ssss", Decode: record.Check[revocations]},
		{Kind: "login-role-id", Shape: "ssss", Decode: record.Check[roleAt]},
		{Kind: "login-secret", Shape: "sssss", Decode: record.Check[secretID]},
		{Kind: "login-secret-of", Shape: "sssss"},
		{Kind: "login-due", Shape: "ssnssss"},
		{Kind: "login-drop", Shape: "sssss"},
		{Kind: "login-alias", Shape: "ssss", Decode: record.Check[alias]},
		{Kind: "login-alias-id", Shape: "sss", Decode: record.Check[aliasPlace]},
		{Kind: "login-alias-of", Shape: "sssss"},
	}
}

// Refer checks that each secret id stands in the indexes by its accessor and by
// its time, that each alias stands in both of its own, and that no index leads to
// nothing.
func Refer(r kv.Reader, report func(key kv.Key, problem string)) error {
	for p, err := range r.Scan(kv.Range{}) {
		if err != nil {
			return err
		}
		key := kv.Key(p.Key)
		said := ""
		switch strs, kind := referred(key); kind {
		case "login-secret":
			said, err = referSecret(r, strs, p.Value)
		case "login-secret-of":
			place := secretPlace{strs[0], strs[2], strs[3], p.Value}
			said, err = leads(r, len(p.Value) < keyed, place)
		case "login-due":
			place := secretPlace{strs[2], strs[3], strs[4], []byte(strs[5])}
			said, err = leads(r, len(place.hash) < keyed, place)
		case "login-alias":
			said, err = referAlias(r, strs, p.Value)
		case "login-alias-of":
			said, err = there(r, aliasKey(strs[0], strs[3], strs[4]), "the index names an alias that is not there")
		case "login-alias-id":
			var at aliasPlace
			if err = record.Decode(p.Value, &at); err == nil {
				said, err = there(r, aliasKey(strs[0], at.Accessor, at.Name), "the index names an alias that is not there")
			}
		}
		if err != nil {
			return err
		}
		if said != "" {
			report(slices.Clone(key), said)
		}
	}
	return nil
}

// referred reads a key of a kind that is looked at.
func referred(key kv.Key) (strs []string, kind string) {
	for _, x := range []struct {
		shape string
		kinds []string
	}{
		{"sssss", []string{"login-secret", "login-secret-of", "login-alias-of"}},
		{"ssss", []string{"login-alias"}}, {"sss", []string{"login-alias-id"}}, {"ssnssss", []string{"login-due"}},
	} {
		strs, _, err := key.Parts(x.shape)
		if err == nil && slices.Contains(x.kinds, strs[1]) {
			return strs, strs[1]
		}
	}
	return nil, ""
}

func referSecret(r kv.Reader, strs []string, value []byte) (string, error) {
	var x secretID
	if err := record.Decode(value, &x); err != nil {
		return "", err
	}
	p := secretPlace{strs[0], strs[2], strs[3], x.Hash}
	if len(x.Hash) < keyed || string(x.Hash[:keyed]) != strs[4] {
		return "the secret id stands under another hash", nil
	}
	by, err := getOrNil(r, secretAccessorKey(p.acct, p.accessor, p.instance, x.Accessor))
	if err != nil {
		return "", err
	}
	if !bytes.Equal(by, x.Hash) {
		return "the secret id is not in the index of accessors", nil
	}
	if x.Expires == 0 {
		return "", nil
	}
	return there(r, dueKey(x.Expires, p), "the secret id is not in the index of what expires")
}

func referAlias(r kv.Reader, strs []string, value []byte) (string, error) {
	var a alias
	if err := record.Decode(value, &a); err != nil {
		return "", err
	}
	said, err := there(r, aliasOfKey(strs[0], a.Principal, strs[2], strs[3]), "the alias is not in the index of its principal")
	if err != nil || said != "" {
		return said, err
	}
	return there(r, aliasIDKey(strs[0], AliasID(strs[0], strs[2], strs[3])), "the alias is not in the index of ids")
}

func leads(r kv.Reader, short bool, p secretPlace) (string, error) {
	const said = "the index names a secret id that is not there"
	if short {
		return said, nil
	}
	return there(r, p.key(), said)
}

// there is empty when there is a record, and otherwise what to say.
func there(r kv.Reader, key kv.Key, said string) (string, error) {
	b, err := getOrNil(r, key)
	if err != nil || b != nil {
		return "", err
	}
	return said, nil
}
