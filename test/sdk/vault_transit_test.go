package sdk

import (
	"encoding/base64"
	"strings"

	vault "github.com/hashicorp/vault/api"
)

// write sends a request that must succeed, and returns its data.
func (w *vaultWorld) write(path string, data map[string]any) map[string]any {
	w.Helper()
	s, err := w.Logical().WriteWithContext(w.Context(), path, data)
	w.ok("writing "+path, err)
	if s == nil {
		return nil
	}
	return s.Data
}

// transit encrypts and signs with keys that stay in the server.
func transit(w *vaultWorld) {
	ctx := w.Context()
	w.ok("enabling", w.Sys().MountWithContext(ctx, w.name, &vault.MountInput{Type: "transit"}))
	plain := base64.StdEncoding.EncodeToString([]byte(plant("plain")))
	path := func(s string) string { return w.name + "/" + s }
	for _, kind := range []string{"aes256-gcm96", "chacha20-poly1305", "rsa-2048"} {
		w.write(path("keys/"+kind), map[string]any{"type": kind})
		one := w.write(path("encrypt/"+kind), map[string]any{"plaintext": plain})["ciphertext"].(string)
		is(w, "the version of "+kind, strings.HasPrefix(one, "vault:v1:"), true)
		w.write(path("keys/"+kind+"/rotate"), nil)
		two := w.write(path("rewrap/"+kind), map[string]any{"ciphertext": one})["ciphertext"].(string)
		is(w, "the version of "+kind, strings.HasPrefix(two, "vault:v2:"), true)
		for _, text := range []string{one, two} {
			is(w, "what "+kind+" opens", w.write(path("decrypt/"+kind), map[string]any{"ciphertext": text})["plaintext"].(string), plain)
		}
		w.write(path("keys/"+kind+"/config"), map[string]any{"min_decryption_version": 2})
		_, err := w.Logical().WriteWithContext(ctx, path("decrypt/"+kind), map[string]any{"ciphertext": one})
		w.refused("a version that is too old", err, 400, "ciphertext or signature version is disallowed by policy (too old)")
	}
	for _, kind := range []string{"ed25519", "ecdsa-p256", "rsa-2048"} {
		if kind != "rsa-2048" {
			w.write(path("keys/"+kind), map[string]any{"type": kind})
		}
		signature := w.write(path("sign/"+kind), map[string]any{"input": plain})["signature"].(string)
		is(w, "the signature of "+kind, w.write(path("verify/"+kind), map[string]any{"input": plain, "signature": signature})["valid"].(bool), true)
		is(w, "of something else", w.write(path("verify/"+kind), map[string]any{"input": "AAAA", "signature": signature})["valid"].(bool), false)
	}
	mac := w.write(path("hmac/aes256-gcm96"), map[string]any{"input": plain})["hmac"].(string)
	is(w, "the HMAC", w.write(path("verify/aes256-gcm96"), map[string]any{"input": plain, "hmac": mac})["valid"].(bool), true)
	batch := w.write(path("encrypt/aes256-gcm96"), map[string]any{"batch_input": []map[string]any{{"plaintext": plain}, {"plaintext": "AAAA"}}})
	is(w, "the number of results", len(batch["batch_results"].([]any)), 2)
	key := w.write(path("datakey/plaintext/aes256-gcm96"), nil)
	is(w, "a data key", w.write(path("decrypt/aes256-gcm96"), map[string]any{"ciphertext": key["ciphertext"]})["plaintext"].(string), key["plaintext"].(string))
	random := w.write(path("random/24"), map[string]any{"format": "hex"})
	is(w, "the length of random bytes", len(random["random_bytes"].(string)), 48)
	hash := w.write(path("hash/sha2-256"), map[string]any{"input": "AAAA"})
	is(w, "a hash", hash["sum"].(string), "709e80c88487a2411e1ee4dfb9f22a861492d20c4765150c0c794abd70f8147c")

	// The same text to the same key, when the key says so.
	w.write(path("keys/convergent"), map[string]any{"derived": true, "convergent_encryption": true})
	in := map[string]any{"plaintext": plain, "context": base64.StdEncoding.EncodeToString([]byte("ctx"))}
	is(w, "convergent encryption", w.write(path("encrypt/convergent"), in)["ciphertext"].(string), w.write(path("encrypt/convergent"), in)["ciphertext"].(string))

	got, err := w.Logical().ReadWithContext(ctx, path("keys/ed25519"))
	w.ok("reading a key", err)
	is(w, "the key", inWords(got.Data["type"], got.Data["latest_version"], got.Data["exportable"], got.Data["supports_signing"]), "ed25519 1 false true")
	_, err = w.Logical().ReadWithContext(ctx, path("export/signing-key/ed25519"))
	w.refused("exporting what is not exportable", err, 400, "")
	_, err = w.Logical().DeleteWithContext(ctx, path("keys/ed25519"))
	w.refused("deleting what may not be deleted", err, 400, "deletion is not allowed")
	is(w, "the keys", w.keys(path("keys")), "aes256-gcm96 chacha20-poly1305 convergent ecdsa-p256 ed25519 rsa-2048")
	for _, k := range strings.Fields(w.keys(path("keys"))) {
		w.write(path("keys/"+k+"/config"), map[string]any{"deletion_allowed": true})
		_, err := w.Logical().DeleteWithContext(ctx, path("keys/"+k))
		w.ok("deleting "+k, err)
	}
	w.ok("disabling", w.Sys().UnmountWithContext(ctx, w.name))
}
