package server

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// TestRotates: a server rotates, and tells it in its metrics.
func TestRotates(t *testing.T) {
	cfg := parse(t, t.TempDir(), "")
	srv, _, _ := start(t, cfg)
	admin := coretest.Circumstances(caller.Caller{Account: cfg.Account, Kind: caller.User, Name: authn.Admin})
	id := name.SecretID{Name: "app/key"}
	ctx := context.Background()
	c := srv.core
	_, err := c.secrets.Create(ctx, admin, secret.CreateRequest{Name: id.Name, VersionID: strings.Repeat("0", 32), Value: &secret.Input{Data: sensitive.FromString("first")}})
	if err != nil {
		t.Fatal(err)
	}
	rotate := func(version, kind string) {
		t.Helper()
		_, err := c.secrets.Rotate(ctx, admin, secret.RotateRequest{ID: id, VersionID: strings.Repeat(version, 32), Native: true, Rotator: kind, Days: 30})
		if err != nil {
			t.Fatal(err)
		}
	}
	wait := func(want ...string) {
		t.Helper()
		page := ""
		for range 100 {
			if _, page = get(t, http.DefaultClient, srv.URL()+"/metrics"); containsAll(page, want) {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		for l := range strings.Lines(page) {
			if strings.HasPrefix(l, "countersign_rotation") {
				t.Log(strings.TrimSpace(l))
			}
		}
		t.Fatalf("the metrics have not all of %q", want)
	}
	rotate("1", "random")
	wait(`countersign_rotation_steps_total{outcome="ok",step="create"} 1`, `countersign_rotation_steps_total{outcome="ok",step="finish"} 1`,
		`countersign_rotations_total{result="rotated",step=""} 1`, "countersign_rotation_overdue_seconds 0\n")
	v, err := c.secrets.ReadValue(ctx, admin, secret.ReadRequest{ID: id})
	if err != nil || string(v.Data.Reveal()) == "first" {
		t.Errorf("it was not rotated: %v", err)
	}
	rotate("2", "postgresql") // the value is no login
	wait(`countersign_rotation_steps_total{outcome="unsuitable",step="create"} 1`, `countersign_rotations_total{result="undone",step="create"} 1`)
}

func containsAll(text string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}
