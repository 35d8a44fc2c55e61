package transit_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
	"countersign/internal/core/coretest"
	"countersign/internal/core/mount"
	"countersign/internal/core/transit"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

func TestCreateTwice(t *testing.T) {
	b := start(t)
	first := b.create(transit.CreateRequest{Key: "k", Exportable: true})
	again := b.create(transit.CreateRequest{Key: "k", Type: transit.Ed25519})
	if first.Existed || !again.Existed || again.Type != transit.AES256 || !again.Exportable {
		t.Errorf("made %+v and then %+v", first, again)
	}
}

// TestRefusals holds what a request may not say. Nothing changes by any of them.
func TestRefusals(t *testing.T) {
	b := start(t)
	b.create(transit.CreateRequest{Key: "k"})
	b.rotate("k")
	b.rotate("k")
	b.create(transit.CreateRequest{Key: "rsa", Type: transit.RSA2048})
	b.create(transit.CreateRequest{Key: "ec", Type: transit.ECDSAP256, Exportable: true})
	create := func(req transit.CreateRequest) error {
		if req.Key == "" {
			req.Key = "x"
		}
		_, err := b.Transit.Create(ctx, b.Admin, req)
		return err
	}
	config := func(req transit.ConfigRequest) error {
		_, err := b.Transit.Config(ctx, b.Admin, req)
		return err
	}
	trim := func(n string, v uint64) error {
		_, err := b.Transit.Trim(ctx, b.Admin, transit.TrimRequest{Key: n, MinAvailable: v})
		return err
	}
	export := func(n, what, format string, v uint64) error {
		_, err := b.Transit.Export(ctx, b.Admin, transit.ExportRequest{Key: n, What: what, Format: format, Version: v})
		return err
	}
	encrypt := func(items ...transit.Plain) error {
		_, err := b.Transit.Encrypt(ctx, b.Admin, transit.EncryptRequest{Key: "k", Items: items, Batch: true})
		return err
	}
	sign := func(n string, s transit.Scheme, data string) error {
		_, err := b.Transit.Sign(ctx, b.Admin, transit.SignRequest{Key: n, Items: []transit.Signed{{Data: []byte(data)}}, Scheme: s})
		return err
	}
	one, two := uint64(1), uint64(2)
	before := b.Dump(t)
	for name, x := range map[string]struct {
		err  error
		kind errs.Kind
		text string
	}{
		"name-slash":      {create(transit.CreateRequest{Key: "/x"}), errs.Invalid, "behind the path of its mount"},
		"name-segments":   {create(transit.CreateRequest{Key: "a//x"}), errs.Invalid, "behind the path of its mount"},
		"name-dots":       {create(transit.CreateRequest{Key: ".."}), errs.Invalid, "letters, digits"},
		"name-dot":        {create(transit.CreateRequest{Key: "t/../x"}), errs.Invalid, "behind the path"},
		"name-space":      {create(transit.CreateRequest{Key: "a b"}), errs.Invalid, "letters, digits"},
		"name-long":       {create(transit.CreateRequest{Key: strings.Repeat("x", 129)}), errs.Invalid, "letters, digits"},
		"name-nul":        {create(transit.CreateRequest{Key: "a\x00"}), errs.Invalid, "letters, digits"},
		"type":            {create(transit.CreateRequest{Type: "des"}), errs.Invalid, "unknown key type"},
		"convergent":      {create(transit.CreateRequest{Convergent: true}), errs.Invalid, "convergent encryption requires derivation to be enabled"},
		"derived-rsa":     {create(transit.CreateRequest{Type: transit.RSA2048, Derived: true}), errs.Invalid, "not supported for keys of type rsa-2048"},
		"derived-hmac":    {create(transit.CreateRequest{Type: transit.HMAC, Derived: true}), errs.Invalid, "not supported for keys of type hmac"},
		"convergent-sign": {create(transit.CreateRequest{Type: transit.Ed25519, Derived: true, Convergent: true}), errs.Invalid, "convergent encryption not supported"},
		"size-aes":        {create(transit.CreateRequest{Size: 32}), errs.Invalid, "key_size is not valid for algorithm aes256-gcm96"},
		"size-small":      {create(transit.CreateRequest{Type: transit.HMAC, Size: 31}), errs.Invalid, "invalid key_size 31"},
		"size-large":      {create(transit.CreateRequest{Type: transit.HMAC, Size: 513}), errs.Invalid, "invalid key_size 513"},
		"period":          {create(transit.CreateRequest{RotateEvery: time.Minute}), errs.Invalid, "at least an hour"},
		"period-negative": {create(transit.CreateRequest{RotateEvery: -time.Hour}), errs.Invalid, "at least an hour"},

		"config-absent":    {config(transit.ConfigRequest{Key: "no"}), errs.NotFound, "no existing key"},
		"config-decrypt":   {config(transit.ConfigRequest{Key: "k", MinDecryption: ptr(uint64(4))}), errs.Invalid, "cannot set min decryption version of 4, latest key version is 3"},
		"config-encrypt":   {config(transit.ConfigRequest{Key: "k", MinEncryption: ptr(uint64(4))}), errs.Invalid, "cannot set min encryption version of 4, latest key version is 3"},
		"config-both":      {config(transit.ConfigRequest{Key: "k", MinDecryption: &two, MinEncryption: &one}), errs.Invalid, "must be greater than or equal to min decryption version of 2"},
		"config-period":    {config(transit.ConfigRequest{Key: "k", RotateEvery: ptr(time.Second)}), errs.Invalid, "at least an hour"},
		"rotate-absent":    {second(b.Transit.Rotate(ctx, b.Admin, transit.RotateRequest{Key: "no"})), errs.NotFound, "no existing key"},
		"trim-zero":        {trim("k", 0), errs.Invalid, "should be positive"},
		"trim-unlimited":   {trim("k", 1), errs.Invalid, "when minimum encryption version is not set"},
		"trim-absent":      {trim("no", 1), errs.NotFound, "no existing key"},
		"delete":           {second(b.Transit.Delete(ctx, b.Admin, transit.DeleteRequest{Key: "k"})), errs.Precondition, "deletion is not allowed for this key"},
		"delete-absent":    {second(b.Transit.Delete(ctx, b.Admin, transit.DeleteRequest{Key: "no"})), errs.NotFound, "could not delete key; not found"},
		"get-absent":       {second(b.Transit.Get(ctx, b.Admin, "no", nil)), errs.NotFound, "no such key"},
		"export":           {export("k", transit.EncryptionKey, "", 0), errs.Precondition, "private key material is not exportable"},
		"export-absent":    {export("no", transit.EncryptionKey, "", 0), errs.NotFound, "no such key"},
		"export-what":      {export("k", "all", "", 0), errs.Invalid, "invalid export type"},
		"export-format":    {export("k", transit.PublicKey, "jwk", 0), errs.Invalid, "invalid format"},
		"export-encrypt":   {export("ec", transit.EncryptionKey, "", 0), errs.Invalid, "encryption not supported for the key"},
		"export-public":    {export("k", transit.PublicKey, "", 0), errs.Invalid, "for export type public-key"},
		"export-version":   {export("ec", transit.SigningKey, "", 7), errs.Invalid, "does not exist"},
		"export-raw":       {export("ec", transit.SigningKey, "raw", 0), errs.Invalid, "formats"},
		"export-hmac-pem":  {export("ec", transit.HMACKey, "pem", 0), errs.Invalid, "formats"},
		"backup":           {second(b.Transit.Backup(ctx, b.Admin, "k")), errs.Precondition, "exporting is disallowed"},
		"backup-plaintext": {second(b.Transit.Backup(ctx, b.Admin, "ec")), errs.Precondition, "plaintext backup is disallowed"},
		"backup-absent":    {second(b.Transit.Backup(ctx, b.Admin, "no")), errs.NotFound, "not found"},

		"encrypt-none":     {encrypt(), errs.Invalid, "missing batch input"},
		"encrypt-many":     {encrypt(make([]transit.Plain, transit.MaxBatch+1)...), errs.Limit, "1000 items"},
		"encrypt-large":    {encrypt(plain("x"), transit.Plain{Data: sensitive.New(make([]byte, transit.MaxData))}), errs.Limit, "1048576"},
		"encrypt-context":  {encrypt(transit.Plain{Context: make([]byte, transit.MaxData+1)}), errs.Limit, "1048576"},
		"encrypt-absent":   {second(b.seal("no", plain("x"))), errs.NotFound, "encryption key not found"},
		"decrypt-absent":   {second(b.open("no", transit.Cipher{Version: 1})), errs.NotFound, "encryption key not found"},
		"sign-absent":      {sign("no", transit.Scheme{}, "x"), errs.NotFound, "signing key not found"},
		"sign-hash":        {sign("rsa", transit.Scheme{Hash: "md5"}, "x"), errs.Invalid, "invalid hash algorithm"},
		"sign-algorithm":   {sign("rsa", transit.Scheme{RSA: "x"}, "x"), errs.Invalid, "unsupported rsa signature algorithm"},
		"sign-none":        {sign("rsa", transit.Scheme{Hash: "none", Prehashed: true}, "x"), errs.Invalid, "hash_algorithm=none requires"},
		"sign-none-long":   {sign("rsa", transit.Scheme{Hash: "none", Prehashed: true, RSA: transit.PKCS1}, strings.Repeat("x", 246)), errs.Invalid, "too long"},
		"sign-salt":        {sign("rsa", transit.Scheme{Salt: -2}, "x"), errs.Invalid, "salt length is invalid"},
		"sign-salt-long":   {sign("rsa", transit.Scheme{Salt: 223}, "x"), errs.Invalid, "requested salt length 223 is invalid"},
		"sign-prehashed":   {sign("rsa", transit.Scheme{Prehashed: true}, "x"), errs.Invalid, "32 bytes"},
		"sign-empty-hash":  {sign("ec", transit.Scheme{Prehashed: true}, ""), errs.Invalid, "not empty"},
		"hash":             {second(b.Transit.Hash(ctx, b.Admin, "md5", nil)), errs.Invalid, "unsupported algorithm"},
		"hash-sha1":        {second(b.Transit.Hash(ctx, b.Admin, "sha1", nil)), errs.Invalid, "unsupported algorithm"},
		"hash-large":       {second(b.Transit.Hash(ctx, b.Admin, "", make([]byte, transit.MaxData+1))), errs.Limit, "1048576"},
		"mac-algorithm":    {second(b.Transit.MAC(ctx, b.Admin, transit.MACRequest{Key: "k", Hash: "md5", Items: make([]transit.Message, 1)})), errs.Invalid, "unsupported algorithm"},
		"mac-version":      {second(b.Transit.MAC(ctx, b.Admin, transit.MACRequest{Key: "k", Version: 4, Items: make([]transit.Message, 1)})), errs.Invalid, "latest key version is 3"},
		"mac-verify-new":   {second(b.Transit.VerifyMAC(ctx, b.Admin, transit.MACRequest{Key: "k", Items: []transit.Message{{Version: 4}}})), errs.Invalid, "too new"},
		"mac-verify-none":  {second(b.Transit.VerifyMAC(ctx, b.Admin, transit.MACRequest{Key: "k", Items: []transit.Message{{}}})), errs.Invalid, "too old"},
		"list-limit":       {second(b.Transit.List(ctx, b.Admin, transit.ListRequest{Limit: transit.MaxLimit + 1})), errs.Invalid, "limit"},
		"wrapping-prefix":  {second(b.Transit.WrappingKey(ctx, b.Admin, "/")), errs.Invalid, "mount"},
		"restore-contains": {second(b.Transit.Restore(ctx, b.Admin, transit.RestoreRequest{Key: "x", Bundle: &transit.Bundle{}})), errs.Invalid, "cannot be restored"},
	} {
		t.Run(name, func(t *testing.T) {
			if !says(x.err, x.kind, x.text) {
				t.Errorf("got %v, %v", errs.KindOf(x.err), x.err)
			}
		})
	}
	if diff := cmp.Diff(before, b.Dump(t)); diff != "" {
		t.Errorf("the store changed: %s", diff)
	}
}

// second is the error of an answer.
func second[T any](_ T, err error) error { return err }

func TestExport(t *testing.T) {
	b := start(t)
	for typ, x := range map[transit.Type]struct{ what, format, begins string }{
		transit.AES128:    {transit.EncryptionKey, "", ""},
		transit.HMAC:      {transit.HMACKey, "raw", ""},
		transit.Ed25519:   {transit.SigningKey, "", ""},
		transit.ECDSAP256: {transit.SigningKey, "", "-----BEGIN EC PRIVATE KEY-----"},
		transit.ECDSAP384: {transit.SigningKey, "pem", "-----BEGIN PRIVATE KEY-----"},
		transit.RSA2048:   {transit.SigningKey, "", "-----BEGIN RSA PRIVATE KEY-----"},
		transit.ECDSAP521: {transit.PublicKey, "", "-----BEGIN PUBLIC KEY-----"},
		transit.ChaCha20:  {transit.HMACKey, "", ""},
	} {
		t.Run(string(typ), func(t *testing.T) {
			n := string(typ)
			b.create(transit.CreateRequest{Key: n, Type: typ, Exportable: x.what != transit.PublicKey})
			b.rotate(n)
			all, err := b.Transit.Export(ctx, b.Admin, transit.ExportRequest{Key: n, What: x.what, Format: x.format})
			if err != nil || len(all.Keys) != 2 || all.Keys[1].Equal(all.Keys[2]) || all.Keys[1].Len() == 0 {
				t.Fatalf("exported %+v %v", all, err)
			}
			for _, k := range all.Keys {
				if x.begins == "" {
					from64(t, string(k.Reveal()))
				} else if !strings.HasPrefix(string(k.Reveal()), x.begins) {
					t.Errorf("another block than %q", x.begins)
				}
			}
			latest, err := b.Transit.Export(ctx, b.Admin, transit.ExportRequest{Key: n, What: x.what, Format: x.format, Latest: true})
			if err != nil || len(latest.Keys) != 1 || !latest.Keys[2].Equal(all.Keys[2]) {
				t.Errorf("the latest: %+v %v", latest, err)
			}
			b.config(transit.ConfigRequest{Key: n, MinDecryption: ptr(uint64(2)), Exportable: ptr(false)})
			if all, err = b.Transit.Export(ctx, b.Admin, transit.ExportRequest{Key: n, What: x.what}); err != nil || len(all.Keys) != 1 {
				t.Errorf("only what may decrypt: %+v %v", all, err)
			}
			_, err = b.Transit.Export(ctx, b.Admin, transit.ExportRequest{Key: n, What: x.what, Version: 1})
			if !says(err, errs.Invalid, "below minimum decryption version") {
				t.Errorf("an old version: %v", err)
			}
		})
	}
}

// TestOneWay: what lets material leave cannot be taken back.
func TestOneWay(t *testing.T) {
	b := start(t)
	b.create(transit.CreateRequest{Key: "k"})
	b.config(transit.ConfigRequest{Key: "k", Exportable: ptr(true), PlaintextBackup: ptr(true), DeletionAllowed: ptr(true)})
	b.config(transit.ConfigRequest{Key: "k", Exportable: ptr(false), PlaintextBackup: ptr(false), DeletionAllowed: ptr(false)})
	k, err := b.Transit.Get(ctx, b.Admin, "k", nil)
	if err != nil || !k.Exportable || !k.PlaintextBackup || k.DeletionAllowed {
		t.Errorf("got %+v %v", k, err)
	}
}

// TestTrimAndDelete destroys versions, also more than one transaction can.
func TestTrimAndDelete(t *testing.T) {
	b := start(t)
	b.create(transit.CreateRequest{Key: "k"})
	first, err := b.seal("k", plain("x"))
	if err != nil {
		t.Fatal(err)
	}
	const latest = 250
	for range latest - 1 {
		b.rotate("k")
	}
	b.config(transit.ConfigRequest{Key: "k", MinDecryption: ptr(uint64(latest - 1)), MinEncryption: ptr(uint64(latest - 1))})
	if _, err := b.Transit.Trim(ctx, b.Admin, transit.TrimRequest{Key: "k", MinAvailable: latest}); !says(err, errs.Invalid, "cannot be greater than minimum encryption version") {
		t.Errorf("above the minimum: %v", err)
	}
	if _, err := b.Transit.Trim(ctx, b.Admin, transit.TrimRequest{Key: "k", MinAvailable: latest - 1}); err != nil {
		t.Fatal(err)
	}
	if found := b.refer(); len(found) > 0 {
		t.Errorf("before the job: %q", found)
	}
	if err := b.Transit.Due(ctx); err != nil {
		t.Fatal(err)
	}
	if found := b.refer(); len(found) > 0 || b.count("transit-version") != 2 || b.count("transit-due") != 0 {
		t.Errorf("after it: %q, %d versions, %d entries", found, b.count("transit-version"), b.count("transit-due"))
	}
	for name, req := range map[string]transit.ConfigRequest{
		"decrypt": {Key: "k", MinDecryption: ptr(uint64(1))},
		"encrypt": {Key: "k", MinEncryption: ptr(uint64(0))},
	} {
		if _, err := b.Transit.Config(ctx, b.Admin, req); !says(err, errs.Invalid, "min available version") && !says(err, errs.Invalid, "less than") {
			t.Errorf("%s below what there is: %v", name, err)
		}
	}
	if _, err := b.Transit.Trim(ctx, b.Admin, transit.TrimRequest{Key: "k", MinAvailable: 3}); !says(err, errs.Invalid, "cannot be decremented") {
		t.Errorf("trimmed less: %v", err)
	}
	if _, err := b.open("k", transit.Cipher{Version: 1, Data: first.Data}); !says(err, errs.Invalid, "too old") {
		t.Errorf("a destroyed version: %v", err)
	}
	for range 150 {
		b.rotate("k")
	}
	last, err := b.seal("k", plain("y"))
	if err != nil {
		t.Fatal(err)
	}
	b.config(transit.ConfigRequest{Key: "k", DeletionAllowed: ptr(true)})
	if _, err := b.Transit.Delete(ctx, b.Admin, transit.DeleteRequest{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.open("k", transit.Cipher{Version: last.Version, Data: last.Data}); !errs.Is(err, errs.NotFound) {
		t.Errorf("a deleted key: %v", err)
	}
	b.create(transit.CreateRequest{Key: "k"}) // another key, while versions of the first are left
	if _, err := b.open("k", transit.Cipher{Version: 1, Data: first.Data}); !says(err, errs.Invalid, "authentication failed") {
		t.Errorf("a new key of the name: %v", err)
	}
	if found := b.refer(); len(found) > 0 {
		t.Errorf("before the job: %q", found)
	}
	if err := b.Transit.Due(ctx); err != nil {
		t.Fatal(err)
	}
	if found := b.refer(); len(found) > 0 || b.count("transit-version") != 1 || b.count("transit-due") != 0 {
		t.Errorf("after it: %q, %d versions, %d entries", found, b.count("transit-version"), b.count("transit-due"))
	}
}

// TestRotatesByItself lets time pass.
func TestRotatesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		k := b.create(transit.CreateRequest{Key: "k", RotateEvery: 24 * time.Hour})
		b.create(transit.CreateRequest{Key: "other"})
		if got := time.Until(k.NextRotation).Round(time.Second); got != 24*time.Hour {
			t.Errorf("the first rotation is in %v", got)
		}
		latest := func() uint64 {
			if err := b.Transit.Due(ctx); err != nil {
				t.Fatal(err)
			}
			k, err := b.Transit.Get(ctx, b.Admin, "k", nil)
			if err != nil {
				t.Fatal(err)
			}
			return k.Latest
		}
		for at, want := range []uint64{1, 1, 2, 2, 3} {
			if got := latest(); got != want {
				t.Errorf("after %d times 12h10m: version %d, want %d", at, got, want)
			}
			if found := b.refer(); len(found) > 0 {
				t.Errorf("the check of the store: %q", found)
			}
			time.Sleep(12*time.Hour + 10*time.Minute)
		}
		b.rotate("k") // by hand, which begins the period anew
		time.Sleep(13 * time.Hour)
		if got := latest(); got != 4 {
			t.Errorf("rotated by hand: version %d", got)
		}
		b.config(transit.ConfigRequest{Key: "k", RotateEvery: ptr(time.Hour)}) // which is over
		if got := latest(); got != 5 {
			t.Errorf("with a shorter period: version %d", got)
		}
		b.config(transit.ConfigRequest{Key: "k", RotateEvery: ptr(time.Duration(0))})
		time.Sleep(100 * time.Hour)
		if got := latest(); got != 5 || b.count("transit-due") != 0 {
			t.Errorf("without a period: version %d, %d entries", got, b.count("transit-due"))
		}
		var by []string
		for _, r := range b.Records(t) {
			if r.Operation == "RotateTransitKey" {
				by = append(by, fmt.Sprint(r.Principal.Kind, " ", r.Principal.Name, " ", r.Version))
			}
		}
		if diff := cmp.Diff([]string{"system transit 2", "system transit 3", "user admin 4", "system transit 5"}, by); diff != "" {
			t.Error(diff)
		}
	})
}

// TestIsolation: accounts and mounts have keys of their own.
func TestIsolation(t *testing.T) {
	b := start(t)
	stranger, _ := b.Stranger(t)
	b.create(transit.CreateRequest{Key: "k"})
	b.create(transit.CreateRequest{Key: "t2/k"})
	one, err := b.seal("k", plain("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.open("t2/k", transit.Cipher{Version: 1, Data: one.Data}); !says(err, errs.Invalid, "authentication failed") {
		t.Errorf("by the key of another mount: %v", err)
	}
	req := transit.DecryptRequest{Key: "k", Items: []transit.Cipher{{Version: 1, Data: one.Data}}}
	if _, err := b.Transit.Decrypt(ctx, stranger, req); !says(err, errs.NotFound, "encryption key not found") {
		t.Errorf("a stranger without a key: %v", err)
	}
	if _, err := b.Transit.Create(ctx, stranger, transit.CreateRequest{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Transit.Decrypt(ctx, stranger, req); !says(err, errs.Invalid, "authentication failed") {
		t.Errorf("a stranger with a key of the name: %v", err)
	}
	for _, x := range []struct {
		prefix string
		want   []string
	}{{"", []string{"k"}}, {"t2/", []string{"k"}}, {"t3/", nil}} {
		out, err := b.Transit.List(ctx, b.Admin, transit.ListRequest{Prefix: x.prefix})
		if diff := cmp.Diff(x.want, out.Names); diff != "" || err != nil {
			t.Errorf("below %q: %s %v", x.prefix, diff, err)
		}
	}
}

// TestPermissions: each operation has one of its own, on the key.
func TestPermissions(t *testing.T) {
	b := start(t)
	for _, n := range []string{"a", "b", "t2/a"} {
		b.create(transit.CreateRequest{Key: n, Exportable: true})
	}
	one, err := b.seal("a", plain("x"))
	if err != nil {
		t.Fatal(err)
	}
	who, _ := b.User(t, "eve", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["kms:Encrypt","kms:DescribeKey","kms:GenerateDataKeyWithoutPlaintext"],"Resource":"arn:aws:kms:us-east-1:111111111111:key/a"},
		{"Effect":"Allow","Action":"kms:ListKeys","Resource":"*"}]}`)
	encrypt := func(n string) error {
		return second(b.Transit.Encrypt(ctx, who, transit.EncryptRequest{Key: n, Items: []transit.Plain{plain("x")}}))
	}
	for name, x := range map[string]struct {
		err  error
		deny bool
	}{
		"encrypt":         {encrypt("a"), false},
		"encrypt-b":       {encrypt("b"), true},
		"encrypt-t2":      {encrypt("t2/a"), true},
		"encrypt-no":      {encrypt("no"), true},
		"decrypt":         {second(b.Transit.Decrypt(ctx, who, transit.DecryptRequest{Key: "a", Items: []transit.Cipher{{Version: 1, Data: one.Data}}})), true},
		"rewrap":          {second(b.Transit.Rewrap(ctx, who, transit.DecryptRequest{Key: "a", Items: []transit.Cipher{{Version: 1, Data: one.Data}}})), true},
		"get":             {second(b.Transit.Get(ctx, who, "a", nil)), false},
		"get-b":           {second(b.Transit.Get(ctx, who, "b", nil)), true},
		"wrapped":         {second(b.Transit.GenerateDataKey(ctx, who, transit.DataKeyRequest{Key: "a"})), false},
		"plaintext":       {second(b.Transit.GenerateDataKey(ctx, who, transit.DataKeyRequest{Key: "a", Plaintext: true})), true},
		"sign":            {second(b.Transit.Sign(ctx, who, transit.SignRequest{Key: "a", Items: make([]transit.Signed, 1)})), true},
		"verify":          {second(b.Transit.Verify(ctx, who, transit.SignRequest{Key: "a", Items: make([]transit.Signed, 1)})), true},
		"mac":             {second(b.Transit.MAC(ctx, who, transit.MACRequest{Key: "a", Items: make([]transit.Message, 1)})), true},
		"verify-mac":      {second(b.Transit.VerifyMAC(ctx, who, transit.MACRequest{Key: "a", Items: make([]transit.Message, 1)})), true},
		"export":          {second(b.Transit.Export(ctx, who, transit.ExportRequest{Key: "a", What: transit.EncryptionKey})), true},
		"backup":          {second(b.Transit.Backup(ctx, who, "a")), true},
		"create":          {second(b.Transit.Create(ctx, who, transit.CreateRequest{Key: "c"})), true},
		"config":          {second(b.Transit.Config(ctx, who, transit.ConfigRequest{Key: "a"})), true},
		"rotate":          {second(b.Transit.Rotate(ctx, who, transit.RotateRequest{Key: "a"})), true},
		"trim":            {second(b.Transit.Trim(ctx, who, transit.TrimRequest{Key: "a", MinAvailable: 1})), true},
		"delete":          {second(b.Transit.Delete(ctx, who, transit.DeleteRequest{Key: "a"})), true},
		"random":          {second(b.Transit.Random(ctx, who, 1)), true},
		"hash":            {second(b.Transit.Hash(ctx, who, "", nil)), true},
		"wrapping-key":    {second(b.Transit.WrappingKey(ctx, who, "")), true},
		"another-region":  {inRegion(b, who, coretest.Second), true},
		"its-home-region": {inRegion(b, who, coretest.Region), false},
	} {
		if got := errs.Is(x.err, errs.Denied); got != x.deny || !x.deny && x.err != nil {
			t.Errorf("%s: %v", name, x.err)
		}
	}
	out, err := b.Transit.List(ctx, who, transit.ListRequest{})
	if diff := cmp.Diff([]string{"a"}, out.Names); diff != "" || err != nil {
		t.Errorf("listed: %s %v", diff, err)
	}
}

// inRegion encrypts in the name of a region. Keys have none, and policies name one.
func inRegion(b *bench, who caller.Caller, region string) error {
	who.Region = region
	return second(b.Transit.Encrypt(ctx, who, transit.EncryptRequest{Key: "a", Items: []transit.Plain{plain("x")}}))
}

func TestListPages(t *testing.T) {
	b := start(t)
	var want, got []string
	for i := range 7 {
		n := fmt.Sprintf("k%d", i)
		want = append(want, n)
		b.create(transit.CreateRequest{Key: "t/" + n})
	}
	b.create(transit.CreateRequest{Key: "t/sub/k"})
	b.create(transit.CreateRequest{Key: "u"})
	after := ""
	for range 10 {
		out, err := b.Transit.List(ctx, b.Admin, transit.ListRequest{Prefix: "t/", After: after, Limit: 3})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out.Names...)
		if after = out.Next; after == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestMountHolds: a mount with keys below it cannot be disabled.
func TestMountHolds(t *testing.T) {
	b := start(t)
	for _, path := range []string{"transit", "t2"} {
		if _, err := b.Mounts.Enable(ctx, b.Admin, mount.EnableRequest{Path: path, Type: mount.Transit}); err != nil {
			t.Fatal(err)
		}
	}
	b.create(transit.CreateRequest{Key: "t2/k"})
	if _, err := b.Mounts.Disable(ctx, b.Admin, "transit"); err != nil {
		t.Errorf("one with nothing below it: %v", err)
	}
	if _, err := b.Mounts.Disable(ctx, b.Admin, "t2"); !errs.Is(err, errs.Precondition) {
		t.Errorf("one with a key below it: %v", err)
	}
}
