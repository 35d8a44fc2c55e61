package sdk

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	vault "github.com/hashicorp/vault/api"
)

// recently says that a time is about now.
func (w *vaultWorld) recently(what string, at time.Time) {
	w.Helper()
	if time.Since(at).Abs() > 5*time.Minute {
		w.Errorf("%s is %v", what, at)
	}
}

// mounts enables, tunes, moves and disables an engine.
func mounts(w *vaultWorld) {
	ctx, sys := w.Context(), w.Sys()
	w.ok("mounting", sys.MountWithContext(ctx, w.name, &vault.MountInput{Type: "kv", Description: "of a scenario", Options: map[string]string{"version": "2"},
		Config: vault.MountConfigInput{DefaultLeaseTTL: "1h", MaxLeaseTTL: "24h", ListingVisibility: "hidden"}}))
	w.refused("mounting it again", sys.MountWithContext(ctx, w.name, &vault.MountInput{Type: "kv"}), 400, "path is already in use at "+w.name+"/")
	w.refused("an engine that is not there", sys.MountWithContext(ctx, w.name+"-db", &vault.MountInput{Type: "database"}), 400, "there is no secrets engine")
	all, err := sys.ListMountsWithContext(ctx)
	w.ok("listing", err)
	for _, path := range []string{"secret/", "sys/", "identity/", "cubbyhole/", w.name + "/"} {
		if all[path] == nil {
			w.Errorf("%s is not listed: %v", path, slices.Sorted(maps.Keys(all)))
		}
	}
	m := all[w.name+"/"]
	if m == nil {
		return
	}
	is(w, "the mount", inWords(m.Type, m.Description, m.Options["version"], m.Config.DefaultLeaseTTL, m.Config.MaxLeaseTTL), "kv of a scenario 2 3600 86400")
	is(w, "what it has to be told by", m.Accessor != "" && m.UUID != "", true)
	one, err := sys.GetMountWithContext(ctx, w.name)
	w.ok("reading one", err)
	is(w, "its accessor", one.Accessor, m.Accessor)

	described := "tuned"
	w.ok("tuning", sys.TuneMountWithContext(ctx, w.name, vault.MountConfigInput{Description: &described, DefaultLeaseTTL: "30m", Options: map[string]string{"version": "2"}}))
	cfg, err := sys.MountConfigWithContext(ctx, w.name)
	w.ok("how it is tuned", err)
	is(w, "how it is tuned", inWords(cfg.DefaultLeaseTTL, cfg.MaxLeaseTTL), "1800 86400")

	_, err = w.KVv2(w.name).Put(ctx, "app", object("v", "one"))
	w.ok("writing", err)
	w.ok("moving", sys.RemountWithContext(ctx, w.name, w.name+"-moved"))
	got, err := w.KVv2(w.name+"-moved").Get(ctx, "app")
	w.ok("reading where it moved", err)
	w.holds("the value", got.Data, "v", "one")
	w.refused("unmounting what holds a secret", sys.UnmountWithContext(ctx, w.name+"-moved"), 400, "there is something below "+w.name+"-moved/")
	w.ok("removing the secret", w.KVv2(w.name+"-moved").DeleteMetadata(ctx, "app"))
	w.ok("unmounting", sys.UnmountWithContext(ctx, w.name+"-moved"))
	all, err = sys.ListMountsWithContext(ctx)
	w.ok("listing", err)
	is(w, "it is gone", all[w.name+"-moved/"] == nil && all[w.name+"/"] == nil, true)
}

// authMounts enables and disables a login method.
func authMounts(w *vaultWorld) {
	ctx, sys := w.Context(), w.Sys()
	w.ok("enabling", sys.EnableAuthWithOptionsWithContext(ctx, w.name, &vault.EnableAuthOptions{Type: "approle", Description: "of a scenario",
		Config: vault.AuthConfigInput{DefaultLeaseTTL: "1h"}}))
	w.refused("enabling it again", sys.EnableAuthWithOptionsWithContext(ctx, w.name, &vault.EnableAuthOptions{Type: "approle"}), 400, "path is already in use at ")
	all, err := sys.ListAuthWithContext(ctx)
	w.ok("listing", err)
	if all["token/"] == nil || all[w.name+"/"] == nil {
		w.Fatalf("the login methods are %v", slices.Sorted(maps.Keys(all)))
	}
	is(w, "the method", inWords(all[w.name+"/"].Type, all[w.name+"/"].Config.DefaultLeaseTTL), "approle 3600")
	one, err := sys.GetAuthWithContext(ctx, w.name)
	w.ok("reading one", err)
	is(w, "its accessor", one.Accessor, all[w.name+"/"].Accessor)
	w.ok("tuning", sys.TuneMountWithContext(ctx, "auth/"+w.name, vault.MountConfigInput{MaxLeaseTTL: "2h"}))
	cfg, err := sys.MountConfigWithContext(ctx, "auth/"+w.name)
	w.ok("how it is tuned", err)
	is(w, "how it is tuned", inWords(cfg.DefaultLeaseTTL, cfg.MaxLeaseTTL), "3600 7200")
	w.ok("disabling", sys.DisableAuthWithContext(ctx, w.name))
	all, err = sys.ListAuthWithContext(ctx)
	w.ok("listing", err)
	is(w, "it is gone", all[w.name+"/"] == nil, true)
}

// policies writes a policy in IAM JSON, and reads it back as it was written.
func policies(w *vaultWorld) {
	const text = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
	ctx, sys := w.Context(), w.Sys()
	w.ok("writing", sys.PutPolicyWithContext(ctx, w.name, text))
	got, err := sys.GetPolicyWithContext(ctx, w.name)
	w.ok("reading", err)
	is(w, "the policy", got, text)
	all, err := sys.ListPoliciesWithContext(ctx)
	w.ok("listing", err)
	is(w, "it is listed", slices.Contains(all, w.name), true)
	w.refused("what is no policy", sys.PutPolicyWithContext(ctx, w.name+"-bad", `{"Statement":`), 400, "")
	w.ok("deleting", sys.DeletePolicyWithContext(ctx, w.name))
	got, err = sys.GetPolicyWithContext(ctx, w.name)
	w.ok("reading what was deleted", err)
	is(w, "what was deleted", got, "")
	w.ok("deleting it again", sys.DeletePolicyWithContext(ctx, w.name))
}

// auditDevices enables and disables a device, whose file tells the access key as
// the hash that the server makes of it.
func auditDevices(w *vaultWorld) {
	ctx, sys := w.Context(), w.Sys()
	set := &vault.EnableAuditOptions{Type: "file", Description: "of a scenario", Options: map[string]string{"file_path": w.name + ".log"}}
	w.ok("enabling", sys.EnableAuditWithOptionsWithContext(ctx, w.name, set))
	w.refused("enabling it again", sys.EnableAuditWithOptionsWithContext(ctx, w.name, set), 400, "")
	w.refused("a type of none", sys.EnableAuditWithOptionsWithContext(ctx, w.name+"-x", &vault.EnableAuditOptions{Type: "paper"}), 400, "")
	all, err := sys.ListAuditWithContext(ctx)
	w.ok("listing", err)
	if d := all[w.name+"/"]; d == nil || d.Type != "file" || d.Description != "of a scenario" {
		w.Fatalf("the devices are %v", slices.Sorted(maps.Keys(all)))
	}
	_, err = w.KVv2("secret").Put(ctx, w.prefix+"app", object("v", "one"))
	w.ok("writing", err)
	hash, err := sys.AuditHashWithContext(ctx, w.name, w.server.env["AWS_ACCESS_KEY_ID"])
	w.ok("a hash", err)
	file := filepath.Join(w.server.dir, "data", "audit-devices", w.name+".log")
	var text []byte
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if text, _ = os.ReadFile(file); bytes.Contains(text, []byte(`"path":"secret/data/`+w.prefix+`app"`)) {
			break
		}
	}
	is(w, "the request is in the file", bytes.Contains(text, []byte(`"path":"secret/data/`+w.prefix+`app"`)), true)
	is(w, "the access key is in the file as its hash", bytes.Contains(text, []byte(hash)), true)
	is(w, "the token, or the key as it is, is in the file", bytes.Contains(text, []byte(w.Token())) || bytes.Contains(text, []byte(w.server.env["AWS_ACCESS_KEY_ID"])), false)
	w.ok("disabling", sys.DisableAuditWithContext(ctx, w.name))
	all, err = sys.ListAuditWithContext(ctx)
	w.ok("listing", err)
	is(w, "it is gone", all[w.name+"/"] == nil, true)
}

// status asks what the server says of itself. It needs no token.
func status(w *vaultWorld) {
	w.ClearToken()
	ctx, sys := w.Context(), w.Sys()
	health, err := sys.HealthWithContext(ctx)
	w.ok("the health", err)
	is(w, "the health", inWords(health.Initialized, health.Sealed, health.Standby), "true false false")
	w.recently("the server's clock", time.Unix(health.ServerTimeUTC, 0))
	seal, err := sys.SealStatusWithContext(ctx)
	w.ok("the seal", err)
	is(w, "the seal", inWords(seal.Initialized, seal.Sealed, seal.Version), "true false "+health.Version)
	is(w, "the store's name", seal.ClusterID != "" && seal.ClusterID == health.ClusterID, true)
	initialized, err := sys.InitStatusWithContext(ctx)
	w.ok("whether it is initialized", err)
	is(w, "whether it is initialized", initialized, true)
	lead, err := sys.LeaderWithContext(ctx)
	w.ok("the leader", err)
	is(w, "the leader", inWords(lead.HAEnabled, lead.IsSelf), "false true")
	w.refused("sealing without a token", sys.SealWithContext(ctx), 403, "missing client token")
}

// namespaces are accounts.
func namespaces(w *vaultWorld) {
	ctx := w.Context()
	_, err := w.KVv2("secret").Put(ctx, w.prefix+"app", object("v", "one"))
	w.ok("writing", err)
	for _, ns := range []string{account, account + "/", "root", ""} {
		got, err := w.WithNamespace(ns).KVv2("secret").Get(ctx, w.prefix+"app")
		w.ok("reading in "+ns, err)
		w.holds("the value in "+ns, got.Data, "v", "one")
	}
	_, err = w.WithNamespace("111111111111").KVv2("secret").Get(ctx, w.prefix+"app")
	w.refused("another account", err, 403, "permission denied")
	_, err = w.WithNamespace("team-a").KVv2("secret").Get(ctx, w.prefix+"app")
	w.refused("no account", err, 400, "a namespace here is an account")
}

// refusedTokens asks without a token, with one of nobody, and with one that may
// not.
func refusedTokens(w *vaultWorld) {
	ctx := w.Context()
	_, err := w.KVv2("secret").Put(ctx, w.prefix+"app", object("v", "one"))
	w.ok("writing", err)
	none := w.as("")
	_, err = none.KVv2("secret").Get(ctx, w.prefix+"app")
	w.refused("no token", err, 403, "missing client token")
	_, err = w.as("hvs.CAESIJ0000").KVv2("secret").Get(ctx, w.prefix+"app")
	w.refused("a token of nobody", err, 403, "permission denied")

	w.server.countersign(w.T, "", "user", "create", w.name, "--machine")
	id, secret := newKey(w.T, w.server, w.name)
	machine := w.as("cst_" + id + "_" + secret)
	for what, path := range map[string]string{"a secret": w.prefix + "app", "a secret of none": w.prefix + "none"} {
		_, err := machine.KVv2("secret").Get(ctx, path)
		w.refused(what, err, 403, "permission denied")
	}
	_, err = machine.KVv2("secret").Put(ctx, w.prefix+"app", object("v", "two"))
	w.refused("a write", err, 403, "permission denied")
	_, err = machine.Sys().ListMountsWithContext(ctx)
	w.refused("the mounts", err, 403, "permission denied")
}
