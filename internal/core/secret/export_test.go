package secret

import (
	"bytes"

	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// What the tests of this package need of its inside.
var (
	FlushUsed = (*Service).flushUsed
	HeadKey   = headKey
	ValueKey  = valueKey
)

// Carried returns what a secret carries of its current version's value.
func Carried(r kv.Reader, n name.Secret) ([]byte, error) {
	h, err := getHead(r, n)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(h.Carried), nil
}

// SetCarried replaces it by what putHead would not write.
func SetCarried(tx kv.Txn, n name.Secret, carried []byte) error {
	h, err := getHead(tx, n)
	if err != nil {
		return err
	}
	h.Carried = carried
	return record.Put(tx, headKey(n), h)
}

// one is a store of one record.
type one struct {
	kv.Reader
	value []byte
}

func (o one) Get([]byte) ([]byte, error) { return o.value, nil }

// ReadHead reads a head as services do, and by reflection alone.
func ReadHead(b []byte) (direct any, errDirect error, reflected any, errReflected error) {
	direct, errDirect = getHead(one{value: b}, name.Secret{})
	h := new(head)
	errReflected = record.Decode(b, h)
	return direct, errDirect, h, errReflected
}

// Heads are encoded heads of all forms.
func Heads() (all [][]byte) {
	at := labelled{Number: 1 << 40, ID: "10000000-0000-4000-8000-000000000001", Created: 1}
	for _, h := range []head{
		{Suffix: "AbCdEf", Created: 1, Changed: 2},
		{Suffix: "AbCdEf", Created: 1 << 50, Changed: 300, DataKey: make([]byte, 65), Carried: make([]byte, 300), Last: 24, Kept: 255,
			Labels: map[string]labelled{name.Current: at, name.Previous: {Number: 23, ID: "x", Empty: true}, "L": {Binary: true}}},
		{Suffix: "s", Description: "ü", KMSKey: "k", Deleted: 65536, Purge: 1 << 32, Policy: "{}", Tags: []Tag{{"a", "1"}, {"b", ""}}},
		{Suffix: "s", Type: "t", Rotation: &Rotation{Enabled: true}, Replicas: []Replica{{Region: "r"}}, Primary: "p"},
		{Suffix: "s", Created: -1},
		{Suffix: "s", Schema: make([]byte, 32), Labels: map[string]labelled{name.Current: at}},
		{Suffix: "s", MaxVersions: 300, CASRequired: true, DeleteAfter: 1 << 40, Labels: map[string]labelled{name.Current: {Number: 1, ID: "x", Created: 5, Expires: 1 << 50}}},
	} {
		b, err := record.Encode(h)
		if err != nil {
			panic(err)
		}
		all = append(all, b)
	}
	return all
}

// MergePatch applies a JSON merge patch.
var MergePatch = mergePatch

// SetState makes the record of a version say another state than its labels do.
func SetState(tx kv.Txn, n name.Secret, number uint64, state State) error {
	h, err := getHead(tx, n)
	if err != nil {
		return err
	}
	v, err := getVersion(tx, n, h.Suffix, number)
	if err != nil {
		return err
	}
	v.State = state
	return record.Put(tx, versionKey(n, h.Suffix, number), v)
}

// SchemaKey is where the schema of a secret stands.
func SchemaKey(r kv.Reader, n name.Secret) kv.Key {
	h, err := getHead(r, n)
	if err != nil {
		panic(err)
	}
	return schemaKey(n, h.Suffix)
}

// SetSchema makes the record of a schema another than the secret says.
func SetSchema(tx kv.Txn, n name.Secret, text string) error {
	return record.Put(tx, SchemaKey(tx, n), storedSchema{Text: []byte(text)})
}
