package sdk

import (
	"slices"
	"strings"
	"time"

	vault "github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/auth/approle"
)

// readPolicy is a policy in HCL that lets its holder read the scenario's secrets.
func (w *vaultWorld) readPolicy() string {
	return `path "secret/data/` + w.prefix + `*" { capabilities = ["read"] }`
}

// withSecret stores the secret app, and the policy to read it.
func (w *vaultWorld) withSecret() {
	w.Helper()
	_, err := w.KVv2("secret").Put(w.Context(), w.prefix+"app", object("v", "one"))
	w.ok("writing", err)
	w.ok("the policy", w.Sys().PutPolicyWithContext(w.Context(), w.name, w.readPolicy()))
}

// reads says that the scenario's secret is read, or is not.
func (w *vaultWorld) reads(what string, may bool) {
	w.Helper()
	got, err := w.KVv2("secret").Get(w.Context(), w.prefix+"app")
	if !may {
		w.refused(what, err, 403, "permission denied")
		return
	}
	w.ok(what, err)
	w.holds(what, got.Data, "v", "one")
}

// token makes a token with the scenario's policy.
func (w *vaultWorld) token(req vault.TokenCreateRequest) *vault.SecretAuth {
	w.Helper()
	if req.Policies == nil {
		req.Policies = []string{w.name}
	}
	s, err := w.Auth().Token().CreateWithContext(w.Context(), &req)
	w.ok("creating a token", err)
	if s.Auth == nil || s.Auth.ClientToken == "" {
		w.Fatal("no token was answered")
	}
	return s.Auth
}

// tokens creates, looks up, renews and revokes tokens.
func tokens(w *vaultWorld) {
	ctx, tok := w.Context(), w.Auth().Token()
	w.withSecret()
	a := w.token(vault.TokenCreateRequest{TTL: "1h", DisplayName: "ci", Metadata: map[string]string{"team": "blue"}})
	is(w, "the policies", inWords(a.TokenPolicies), "[default "+w.name+"]")
	is(w, "for how long", inWords(a.LeaseDuration, a.Renewable, a.Orphan), "3600 true false")
	is(w, "its accessor is another text", a.Accessor != "" && a.Accessor != a.ClientToken, true)
	m := w.as(a.ClientToken)
	m.reads("with the token", true)
	_, err := m.KVv2("secret").Put(ctx, w.prefix+"app", object("v", "two"))
	w.refused("a write with it", err, 403, "permission denied")

	self, err := m.Auth().Token().LookupSelfWithContext(ctx)
	w.ok("looking up itself", err)
	is(w, "itself", inWords(self.Data["display_name"], self.Data["meta"], self.Data["type"], self.Data["orphan"], self.Data["num_uses"]), "token-ci map[team:blue] service false 0")
	is(w, "its accessor", self.Data["accessor"].(string), a.Accessor)
	is(w, "its id", self.Data["id"].(string), a.ClientToken)
	other, err := tok.LookupWithContext(ctx, a.ClientToken)
	w.ok("looking it up", err)
	is(w, "its path", other.Data["path"].(string), "auth/token/create")
	ttl, err := other.TokenTTL()
	w.ok("how long it has", err)
	if ttl < 55*time.Minute || ttl > time.Hour {
		w.Errorf("it has %v", ttl)
	}
	byAccessor, err := tok.LookupAccessorWithContext(ctx, a.Accessor)
	w.ok("looking up the accessor", err)
	is(w, "the id of an accessor", byAccessor.Data["id"].(string), "")
	if all := w.accessors(); !slices.Contains(all, a.Accessor) {
		w.Errorf("%d accessors are listed, and not this one", len(all))
	}

	renewed, err := m.Auth().Token().RenewSelfWithContext(ctx, 7200)
	w.ok("renewing itself", err)
	is(w, "for how long", renewed.Auth.LeaseDuration, 7200)
	_, err = tok.RenewWithContext(ctx, a.ClientToken, 60)
	w.ok("renewing it", err)
	_, err = tok.RenewAccessorWithContext(ctx, a.Accessor, 60)
	w.ok("renewing by accessor", err)

	// What a token made goes with it, but for orphans.
	w.ok("a policy", w.Sys().PutPolicyWithContext(ctx, w.name+"-creates", `path "auth/token/create*" { capabilities = ["update", "sudo"] }`))
	parent := w.token(vault.TokenCreateRequest{Policies: []string{w.name, w.name + "-creates"}})
	p := w.as(parent.ClientToken)
	child := w.as(p.token(vault.TokenCreateRequest{}).ClientToken)
	orphaned, err := p.Auth().Token().CreateOrphanWithContext(ctx, &vault.TokenCreateRequest{Policies: []string{w.name}})
	w.ok("an orphan", err)
	orphan := w.as(orphaned.Auth.ClientToken)
	child.reads("with the child", true)
	orphan.reads("with the orphan", true)
	w.ok("revoking the parent", tok.RevokeTreeWithContext(ctx, parent.ClientToken))
	p.reads("with the parent, revoked", false)
	child.reads("with its child", false)
	orphan.reads("with the orphan", true)
	w.ok("the orphan revokes itself", orphan.Auth().Token().RevokeSelfWithContext(ctx, ""))
	orphan.reads("with the orphan, revoked", false)
	w.ok("revoking by accessor", tok.RevokeAccessorWithContext(ctx, a.Accessor))
	m.reads("with the token, revoked", false)
	w.ok("revoking it again, which is answered with a warning", tok.RevokeAccessorWithContext(ctx, a.Accessor))

	// A token that is revoked alone leaves its children.
	parent = w.token(vault.TokenCreateRequest{Policies: []string{w.name, w.name + "-creates"}})
	child = w.as(w.as(parent.ClientToken).token(vault.TokenCreateRequest{}).ClientToken)
	w.ok("revoking without children", tok.RevokeOrphanWithContext(ctx, parent.ClientToken))
	child.reads("with the child that is left", true)
}

func (w *vaultWorld) accessors() (all []string) {
	w.Helper()
	s, err := w.Logical().ListWithContext(w.Context(), "auth/token/accessors")
	w.ok("the accessors", err)
	for _, a := range s.Data["keys"].([]any) {
		all = append(all, a.(string))
	}
	return all
}

// limitedTokens end by their uses, or by their time; batch tokens have neither
// accessor nor children.
func limitedTokens(w *vaultWorld) {
	ctx := w.Context()
	w.withSecret()
	m := w.as(w.token(vault.TokenCreateRequest{NumUses: 2}).ClientToken)
	m.reads("the first use", true)
	m.reads("the second use", true)
	m.reads("a third use", false)

	a := w.token(vault.TokenCreateRequest{TTL: "1s"})
	m = w.as(a.ClientToken)
	m.reads("at once", true)
	time.Sleep(1500 * time.Millisecond)
	m.reads("after its time", false)

	no := false
	b := w.token(vault.TokenCreateRequest{Type: "batch", TTL: "1h", Renewable: &no})
	is(w, "a batch token", inWords(b.Accessor, b.Renewable), " false")
	m = w.as(b.ClientToken)
	m.reads("with a batch token", true)
	_, err := m.Auth().Token().RenewSelfWithContext(ctx, 60)
	w.refused("renewing a batch token", err, 400, "")

	a = w.token(vault.TokenCreateRequest{TTL: "1h", ExplicitMaxTTL: "90m"})
	renewed, err := w.Auth().Token().RenewWithContext(ctx, a.ClientToken, 3*3600)
	w.ok("renewing beyond the maximum", err)
	if left := renewed.Auth.LeaseDuration; left > 90*60 {
		w.Errorf("it is renewed for %d seconds", left)
	}
	a = w.token(vault.TokenCreateRequest{Period: "10m"})
	is(w, "a periodic token", a.LeaseDuration, 600)
	renewed, err = w.Auth().Token().RenewWithContext(ctx, a.ClientToken, 7200)
	w.ok("renewing a periodic token", err)
	is(w, "its period", renewed.Auth.LeaseDuration, 600)
}

// tokenRoles makes tokens through a role.
func tokenRoles(w *vaultWorld) {
	ctx := w.Context()
	w.withSecret()
	_, err := w.Logical().WriteWithContext(ctx, "auth/token/roles/"+w.name, map[string]any{"allowed_policies": []string{w.name}, "orphan": true, "renewable": false, "token_period": 0, "token_explicit_max_ttl": "2h"})
	w.ok("a role", err)
	role, err := w.Logical().ReadWithContext(ctx, "auth/token/roles/"+w.name)
	w.ok("reading it", err)
	is(w, "the role", inWords(role.Data["allowed_policies"], role.Data["orphan"], role.Data["renewable"], role.Data["token_explicit_max_ttl"]), "["+w.name+"] true false 7200")
	is(w, "it is listed", slices.Contains(strings.Fields(w.keys("auth/token/roles")), w.name), true)
	s, err := w.Auth().Token().CreateWithRoleWithContext(ctx, &vault.TokenCreateRequest{Policies: []string{w.name}, TTL: "1h"}, w.name)
	w.ok("a token", err)
	is(w, "the token", inWords(s.Auth.Orphan, s.Auth.Renewable), "true false")
	w.as(s.Auth.ClientToken).reads("with the token", true)
	_, err = w.Auth().Token().CreateWithRoleWithContext(ctx, &vault.TokenCreateRequest{Policies: []string{"root"}}, w.name)
	w.refused("a policy that the role has not", err, 400, "")
	_, err = w.Logical().DeleteWithContext(ctx, "auth/token/roles/"+w.name)
	w.ok("deleting it", err)
	_, err = w.Auth().Token().CreateWithRoleWithContext(ctx, &vault.TokenCreateRequest{}, w.name)
	w.refused("a role that is gone", err, 400, "unknown role")
}

// lifetimeWatcher keeps a short token alive, as programs do.
func lifetimeWatcher(w *vaultWorld) {
	w.withSecret()
	a := w.token(vault.TokenCreateRequest{TTL: "3s"})
	m := w.as(a.ClientToken)
	watcher, err := m.NewLifetimeWatcher(&vault.LifetimeWatcherInput{Secret: &vault.Secret{Auth: a}, Increment: 3})
	w.ok("a watcher", err)
	go watcher.Start()
	defer watcher.Stop()
	end := time.After(6 * time.Second)
	for renewals := 0; ; {
		select {
		case err := <-watcher.DoneCh():
			w.Fatalf("the watcher ended: %v", err)
		case <-watcher.RenewCh():
			renewals++
			continue
		case <-end:
		}
		if renewals < 2 {
			w.Errorf("the token was renewed %d times", renewals)
		}
		m.reads("after twice its time", true)
		return
	}
}

// wrapping puts answers behind tokens that open them once.
func wrapping(w *vaultWorld) {
	ctx := w.Context()
	w.withSecret()
	wrapper := w.as(w.Token())
	wrapper.SetWrappingLookupFunc(func(_, path string) string {
		if path == "secret/data/"+w.prefix+"app" {
			return "2m"
		}
		return ""
	})
	s, err := wrapper.Logical().ReadWithContext(ctx, "secret/data/"+w.prefix+"app")
	w.ok("a wrapped read", err)
	if s == nil || s.WrapInfo == nil || s.Data != nil {
		w.Fatal("the answer is not wrapped")
	}
	is(w, "for how long", s.WrapInfo.TTL, 120)
	is(w, "of what", s.WrapInfo.CreationPath, "secret/data/"+w.prefix+"app")
	w.recently("its creation", s.WrapInfo.CreationTime)
	info, err := w.as("").Logical().WriteWithContext(ctx, "sys/wrapping/lookup", map[string]any{"token": s.WrapInfo.Token})
	w.ok("looking it up", err)
	is(w, "of what", info.Data["creation_path"].(string), "secret/data/"+w.prefix+"app")
	// With the token itself and no other, as a program that was given nothing else.
	got, err := w.as("").Logical().UnwrapWithContext(ctx, s.WrapInfo.Token)
	w.ok("opening it", err)
	w.holds("what was in it", got.Data["data"].(map[string]any), "v", "one")
	_, err = w.as("").Logical().UnwrapWithContext(ctx, s.WrapInfo.Token)
	w.refused("opening it again", err, 400, "wrapping token is not valid or does not exist")

	s, err = wrapper.Logical().ReadWithContext(ctx, "secret/data/"+w.prefix+"app")
	w.ok("a wrapped read", err)
	again, err := w.Logical().WriteWithContext(ctx, "sys/wrapping/rewrap", map[string]any{"token": s.WrapInfo.Token})
	w.ok("wrapping it anew", err)
	_, err = w.Logical().UnwrapWithContext(ctx, s.WrapInfo.Token)
	w.refused("opening the old one", err, 400, "")
	got, err = w.Logical().UnwrapWithContext(ctx, again.WrapInfo.Token)
	w.ok("opening the new one", err)
	w.holds("what was in it", got.Data["data"].(map[string]any), "v", "one")

	wrapper.SetWrappingLookupFunc(func(_, path string) string {
		return map[string]string{"sys/wrapping/wrap": "1m", "auth/token/create": "1m"}[path]
	})
	s, err = wrapper.Logical().WriteWithContext(ctx, "sys/wrapping/wrap", object("a", "b"))
	w.ok("wrapping what one likes", err)
	got, err = w.Logical().UnwrapWithContext(ctx, s.WrapInfo.Token)
	w.ok("opening it", err)
	w.holds("what was in it", got.Data, "a", "b")
	s, err = wrapper.Auth().Token().CreateWithContext(ctx, &vault.TokenCreateRequest{Policies: []string{w.name}})
	w.ok("a wrapped token", err)
	is(w, "the accessor is told", s.WrapInfo.WrappedAccessor != "", true)
	got, err = w.Logical().UnwrapWithContext(ctx, s.WrapInfo.Token)
	w.ok("opening it", err)
	w.as(got.Auth.ClientToken).reads("with the token", true)
}

// cubbyhole is a place that only its token sees.
func cubbyhole(w *vaultWorld) {
	ctx := w.Context()
	w.withSecret()
	a := w.token(vault.TokenCreateRequest{TTL: "1h"})
	m, other := w.as(a.ClientToken), w.as(w.token(vault.TokenCreateRequest{TTL: "1h"}).ClientToken)
	_, err := m.Logical().WriteWithContext(ctx, "cubbyhole/dir/mine", object("a", "b"))
	w.ok("writing", err)
	got, err := m.Logical().ReadWithContext(ctx, "cubbyhole/dir/mine")
	w.ok("reading", err)
	w.holds("what was written", got.Data, "a", "b")
	is(m, "the list", m.keys("cubbyhole/dir"), "mine")
	if got, err := other.Logical().ReadWithContext(ctx, "cubbyhole/dir/mine"); err != nil || got != nil {
		w.Errorf("another token: got something, or %v", err)
	}
	_, err = w.Logical().ReadWithContext(ctx, "cubbyhole/dir/mine")
	w.refused("an access key, which has no cubbyhole", err, 400, "only supported by service tokens")
	_, err = m.Logical().DeleteWithContext(ctx, "cubbyhole/dir/mine")
	w.ok("deleting", err)
	is(m, "the list", m.keys("cubbyhole/dir"), "")
}

// capabilities asks what a token may.
func capabilities(w *vaultWorld) {
	ctx, sys := w.Context(), w.Sys()
	w.withSecret()
	a := w.token(vault.TokenCreateRequest{TTL: "1h"})
	for path, want := range map[string]string{"secret/data/" + w.prefix + "app": "[read]", "secret/data/elsewhere": "[deny]"} {
		got, err := sys.CapabilitiesWithContext(ctx, a.ClientToken, path)
		w.ok("of a token", err)
		is(w, "what a token may with "+path, inWords(got), want)
		got, err = w.as(a.ClientToken).Sys().CapabilitiesSelfWithContext(ctx, path)
		w.ok("of itself", err)
		is(w, "what it may itself with "+path, inWords(got), want)
		got, err = sys.CapabilitiesAccessorWithContext(ctx, a.Accessor, path)
		w.ok("of an accessor", err)
		is(w, "what the token of an accessor may with "+path, inWords(got), want)
	}
	got, err := sys.CapabilitiesSelfWithContext(ctx, "secret/data/any")
	w.ok("of the administrator", err)
	if !slices.Contains(got, "root") && !slices.Contains(got, "create") {
		w.Errorf("the administrator may %v", got)
	}
}

// appRole logs in with a role's id and a secret id.
func appRole(w *vaultWorld) {
	ctx := w.Context()
	w.withSecret()
	w.ok("enabling", w.Sys().EnableAuthWithOptionsWithContext(ctx, w.name, &vault.EnableAuthOptions{Type: "approle"}))
	base := "auth/" + w.name + "/role/app"
	_, err := w.Logical().WriteWithContext(ctx, base, map[string]any{"token_policies": []string{w.name}, "token_ttl": "20m", "token_max_ttl": "30m", "secret_id_ttl": "10m", "secret_id_num_uses": 2})
	w.ok("a role", err)
	role, err := w.Logical().ReadWithContext(ctx, base)
	w.ok("reading it", err)
	is(w, "the role", inWords(role.Data["token_policies"], role.Data["token_ttl"], role.Data["token_max_ttl"], role.Data["secret_id_ttl"], role.Data["secret_id_num_uses"], role.Data["bind_secret_id"]), "["+w.name+"] 1200 1800 600 2 true")
	is(w, "the roles", w.keys("auth/"+w.name+"/role"), "app")
	rid, err := w.Logical().ReadWithContext(ctx, base+"/role-id")
	w.ok("its id", err)
	roleID := rid.Data["role_id"].(string)
	sid, err := w.Logical().WriteWithContext(ctx, base+"/secret-id", map[string]any{"metadata": `{"by":"a scenario"}`})
	w.ok("a secret id", err)
	secretID := sid.Data["secret_id"].(string)
	is(w, "for how long it counts", inWords(sid.Data["secret_id_ttl"]), "600")

	login := func(secretID string, opts ...approle.LoginOption) (*vault.Secret, error) {
		w.Helper()
		m, err := approle.NewAppRoleAuth(roleID, &approle.SecretID{FromString: secretID}, append(opts, approle.WithMountPath(w.name))...)
		w.ok("the method", err)
		nobody := w.as("")
		s, err := nobody.Auth().Login(ctx, m)
		if err == nil {
			nobody.reads("after the login", true)
		}
		return s, err
	}
	s, err := login(secretID)
	w.ok("the login", err)
	is(w, "for how long", inWords(s.Auth.LeaseDuration, s.Auth.Renewable), "1200 true")
	is(w, "its policies", inWords(s.Auth.TokenPolicies), "[default "+w.name+"]")
	is(w, "its metadata", inWords(s.Auth.Metadata["by"], s.Auth.Metadata["role_name"]), "a scenario app")
	_, err = login(secretID)
	w.ok("its second use", err)
	_, err = login(secretID)
	w.refused("a third use", err, 400, "invalid role or secret ID")
	_, err = login("00000000-0000-4000-8000-000000000000")
	w.refused("a wrong secret id", err, 400, "invalid role or secret ID")

	// Handed over wrapped, so that nobody on the way can use it unseen.
	wrapper := w.as(w.Token())
	wrapper.SetWrappingLookupFunc(func(string, string) string { return "1m" })
	wrapped, err := wrapper.Logical().WriteWithContext(ctx, base+"/secret-id", nil)
	w.ok("a wrapped secret id", err)
	_, err = login(wrapped.WrapInfo.Token, approle.WithWrappingToken())
	w.ok("the login with it", err)

	// Chosen by who logs in, looked up and destroyed.
	_, err = w.Logical().WriteWithContext(ctx, base+"/custom-secret-id", map[string]any{"secret_id": canary + w.name})
	w.ok("a secret id that was chosen", err)
	_, err = login(canary + w.name)
	w.ok("the login with it", err)
	_, err = w.Logical().WriteWithContext(ctx, base+"/secret-id/destroy", map[string]any{"secret_id": canary + w.name})
	w.ok("destroying it", err)
	_, err = login(canary + w.name)
	w.refused("what was destroyed", err, 400, "invalid role or secret ID")
	_, err = w.Logical().DeleteWithContext(ctx, base)
	w.ok("deleting the role", err)
	w.ok("disabling", w.Sys().DisableAuthWithContext(ctx, w.name))
}
