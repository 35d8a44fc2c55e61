package sdk

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	vault "github.com/hashicorp/vault/api"
)

// vaultWorld is one scenario of Vault's clients: a client with the token of the
// env file, a prefix that no other scenario's secrets have, and a name for what
// else it makes.
type vaultWorld struct {
	*testing.T
	*vault.Client
	server *server
	prefix string // of secrets
	name   string // of mounts, policies and roles, or what they begin with
}

// TestVaultGo runs the scenarios with Vault's client for Go. It lists them; each
// is in the file of its subject.
func TestVaultGo(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, sc := range []struct {
		name string
		run  func(*vaultWorld)
	}{
		{"kv2", kv2},
		{"kv2-patch", kv2Patch},
		{"kv2-states", kv2States},
		{"kv2-metadata", kv2Metadata},
		{"kv2-cas", kv2CAS},
		{"kv2-list", kv2List},
		{"kv2-missing", kv2Missing},
		{"kv1", kv1},
		{"mounts", mounts},
		{"auth-mounts", authMounts},
		{"policies", policies},
		{"policies-in-hcl", policiesInHCL},
		{"policies-at-both-fronts", policiesAtBothFronts},
		{"audit-devices", auditDevices},
		{"status", status},
		{"namespaces", namespaces},
		{"refused-tokens", refusedTokens},
		{"tokens", tokens},
		{"limited-tokens", limitedTokens},
		{"token-roles", tokenRoles},
		{"lifetime-watcher", lifetimeWatcher},
		{"wrapping", wrapping},
		{"cubbyhole", cubbyhole},
		{"capabilities", capabilities},
		{"app-role", appRole},
		{"external-groups", externalGroups},
		{"transit", transit},
	} {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			sc.run(newVaultWorld(t, s, sc.name))
		})
	}
}

// newVaultWorld makes a client as programs do: from the environment.
func newVaultWorld(t *testing.T, s *server, name string) *vaultWorld {
	t.Helper()
	client, err := vault.NewClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &vaultWorld{T: t, Client: client, server: s, prefix: "vault-go/" + name + "/", name: "vault-go-" + name}
}

// as is the scenario with another token.
func (w *vaultWorld) as(token string) *vaultWorld {
	w.Helper()
	other := *w
	client, err := w.Clone()
	w.ok("another client", err)
	client.SetToken(token)
	other.Client = client
	return &other
}

// ok ends the scenario at an error, which may not hold a value.
func (w *vaultWorld) ok(what string, err error) {
	w.Helper()
	switch {
	case err == nil:
	case strings.Contains(err.Error(), canary):
		w.Fatalf("%s: the error tells the value", what)
	default:
		w.Fatalf("%s: %v", what, err)
	}
}

// refused says that a call was refused with this status and a message that holds
// the text.
func (w *vaultWorld) refused(what string, err error, status int, text string) {
	w.Helper()
	var resp *vault.ResponseError
	switch {
	case !errors.As(err, &resp):
		w.Errorf("%s: got %v, want a response with status %d", what, err, status)
	case strings.Contains(err.Error(), canary):
		w.Errorf("%s: the error tells the value", what)
	case resp.StatusCode != status || !strings.Contains(strings.Join(resp.Errors, "\n"), text):
		w.Errorf("%s: got %d %q, want %d %q", what, resp.StatusCode, resp.Errors, status, text)
	}
}

// holds compares the object that a secret is, without printing it.
func (w *vaultWorld) holds(what string, got map[string]any, want ...string) {
	w.Helper()
	if len(got) != len(want)/2 {
		w.Errorf("%s has the members %v", what, slices.Sorted(maps.Keys(got)))
	}
	for i := 0; i < len(want); i += 2 {
		if got[want[i]] != plant(want[i+1]) {
			w.Errorf("%s: %s is not the value that was expected", what, want[i])
		}
	}
}

// object is a secret's value, each member planted.
func object(pairs ...string) map[string]any {
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = plant(pairs[i+1])
	}
	return out
}

// keys are the names of a listing.
func (w *vaultWorld) keys(path string) string {
	w.Helper()
	s, err := w.Logical().ListWithContext(w.Context(), path)
	w.ok("listing "+path, err)
	if s == nil {
		return ""
	}
	list, _ := s.Data["keys"].([]any)
	names := make([]string, 0, len(list))
	for _, k := range list {
		names = append(names, k.(string))
	}
	return strings.Join(names, " ")
}

// inWords is what a client answered, each with a blank between.
func inWords(all ...any) string { return strings.TrimSuffix(fmt.Sprintln(all...), "\n") }
