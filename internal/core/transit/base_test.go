package transit_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"countersign/internal/core/coretest"
	"countersign/internal/core/transit"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/sensitive"
)

var ctx = context.Background()

// bench is a core with its administrator at work.
type bench struct {
	*coretest.Core
	t testing.TB
}

func start(t testing.TB) *bench {
	t.Helper()
	return &bench{coretest.New(t, coretest.Config{}), t}
}

func (b *bench) create(req transit.CreateRequest) transit.Written {
	b.t.Helper()
	out, err := b.Transit.Create(ctx, b.Admin, req)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bench) rotate(n string) {
	b.t.Helper()
	_, err := b.Transit.Rotate(ctx, b.Admin, transit.RotateRequest{Key: n})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) config(req transit.ConfigRequest) {
	b.t.Helper()
	if _, err := b.Transit.Config(ctx, b.Admin, req); err != nil {
		b.t.Fatal(err)
	}
}

func ptr[T any](v T) *T { return &v }

func plain(s string) transit.Plain { return transit.Plain{Data: sensitive.FromString(s)} }

// seal encrypts one item.
func (b *bench) seal(n string, it transit.Plain) (transit.Sealed, error) {
	out, err := b.Transit.Encrypt(ctx, b.Admin, transit.EncryptRequest{Key: n, Items: []transit.Plain{it}})
	if err != nil {
		return transit.Sealed{}, err
	}
	return out.Items[0], nil
}

// open decrypts one item.
func (b *bench) open(n string, it transit.Cipher) (string, error) {
	out, err := b.Transit.Decrypt(ctx, b.Admin, transit.DecryptRequest{Key: n, Items: []transit.Cipher{it}})
	if err != nil {
		return "", err
	}
	return string(out[0].Data.Reveal()), nil
}

// openText decrypts a text of Vault's.
func (b *bench) openText(n, text string, context, associated []byte) (string, error) {
	version, data, err := transit.ParseCiphertext(text)
	if err != nil {
		return "", err
	}
	return b.open(n, transit.Cipher{Version: version, Data: data, Context: context, Associated: associated})
}

// refer checks the store as an offline check does.
func (b *bench) refer() (found []string) {
	b.t.Helper()
	err := b.DB.View(ctx, func(r kv.Reader) error {
		return transit.Refer(r, func(key kv.Key, problem string) { found = append(found, string(key)+": "+problem) })
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// says reports whether an error is of a kind and says something.
func says(err error, k errs.Kind, text string) bool {
	return errs.Is(err, k) && strings.Contains(errs.As(err).Msg, text)
}

// restore makes a key of the members of a backup.
func (b *bench) restore(n string, policy map[string]any, entry map[string]any) {
	b.t.Helper()
	all := map[string]any{"name": n, "latest_version": 1, "min_decryption_version": 1, "archive_version": 1,
		"keys": map[string]any{"1": entry}, "exportable": true, "allow_plaintext_backup": true}
	for k, v := range policy {
		all[k] = v
	}
	raw, err := json.Marshal(map[string]any{"policy": all, "archived_keys": map[string]any{"keys": []any{map[string]any{}, entry}}})
	if err != nil {
		b.t.Fatal(err)
	}
	bundle, err := transit.ParseBackup(base64.StdEncoding.EncodeToString(raw))
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.Transit.Restore(ctx, b.Admin, transit.RestoreRequest{Key: n, Bundle: bundle}); err != nil {
		b.t.Fatal(err)
	}
}

func from64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// keys are the records of keys, and those of one kind when it is given.
func (b *bench) keys(kind ...string) map[string][]byte {
	b.t.Helper()
	out := map[string][]byte{}
	for k, v := range b.Dump(b.t) {
		_, rest, _ := strings.Cut(k, "\x00\x01")
		is, _, _ := strings.Cut(rest, "\x00\x01")
		if strings.HasPrefix(is, "transit-") && (len(kind) == 0 || is == kind[0]) {
			out[k] = v
		}
	}
	return out
}

// count counts the records of a kind.
func (b *bench) count(kind string) int { return len(b.keys(kind)) }
