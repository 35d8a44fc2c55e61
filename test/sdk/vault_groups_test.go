package sdk

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"time"

	vault "github.com/hashicorp/vault/api"
)

// externalGroups gives who an issuer says is in a group what the group may do, for
// as long as it says so.
func externalGroups(w *vaultWorld) {
	ctx := w.Context()
	w.withSecret()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	w.ok("a key", err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	w.ok("its public half", err)
	w.ok("enabling jwt", w.Sys().EnableAuthWithOptionsWithContext(ctx, w.name, &vault.EnableAuthOptions{Type: "jwt"}))
	write := func(path string, data map[string]any) map[string]any {
		w.Helper()
		s, err := w.Logical().WriteWithContext(ctx, path, data)
		w.ok("writing "+path, err)
		if s == nil {
			return nil
		}
		return s.Data
	}
	write("auth/"+w.name+"/config", map[string]any{"jwt_validation_pubkeys": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))})
	write("auth/"+w.name+"/role/people", map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault", "groups_claim": "/realm/groups"})
	mounts, err := w.Sys().ListAuthWithContext(ctx)
	w.ok("the mounts", err)
	group := write("identity/group", map[string]any{"name": w.name, "type": "external", "policies": []string{w.name}})["id"]
	alias := write("identity/group-alias", map[string]any{"name": "/staff", "mount_accessor": mounts[w.name+"/"].Accessor, "canonical_id": group})["id"].(string)

	login := func(groups ...string) *vault.SecretAuth {
		w.Helper()
		s, err := w.Logical().WriteWithContext(ctx, "auth/"+w.name+"/login", map[string]any{"role": "people", "jwt": signedJWT(w, key, groups)})
		w.ok("logging in", err)
		return s.Auth
	}
	a := login("/staff", "/other")
	is(w, "the policies of its groups", inWords(a.IdentityPolicies), "["+w.name+"]")
	m := w.as(a.ClientToken)
	m.reads("as a member", true)
	got, err := w.Logical().WriteWithContext(ctx, "identity/lookup/group", map[string]any{"alias_id": alias})
	w.ok("looking the group up", err)
	is(w, "its members", len(got.Data["member_entity_ids"].([]any)), 1)
	login("/other")
	m.reads("when the issuer does not say so any more", false)
	login("/staff")
	m.reads("when it does again", true)
	_, err = w.Logical().DeleteWithContext(ctx, "identity/group-alias/id/"+alias)
	w.ok("deleting the alias", err)
	m.reads("without the alias", false)
}

// signedJWT is a token of an issuer, as RFC 7519 has it.
func signedJWT(w *vaultWorld, key *rsa.PrivateKey, groups []string) string {
	w.Helper()
	now := time.Now()
	b, err := json.Marshal(map[string]any{"sub": "ann", "aud": "vault", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "realm": map[string]any{"groups": groups}})
	w.ok("the claims", err)
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(b)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	w.ok("signing", err)
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}
