package sdk

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	vault "github.com/hashicorp/vault/api"
)

// templateConfig is a configuration as people have it, but that a secret is asked
// for again after a second.
const templateConfig = `
vault {
  renew_token            = false
  default_lease_duration = "1s"
}
template {
  destination = %q
  contents    = <<EOT
{{ with secret "secret/data/template/database" }}{{ .Data.data.user }}:{{ .Data.data.password }} {{ .Data.metadata.version }}{{ end }}
{{ with secret "secret/template/database" }}{{ .Data.data.user }}{{ end }}
{{ range secrets "secret/metadata/template/" }}[{{ . }}]{{ end }}
{{ with secret "template-kv1/app" }}{{ .Data.password }}{{ end }}
EOT
}
`

// TestConsulTemplate renders secrets into a file, and again when one has changed.
// What it asks before a path of the short form is which engine is there.
func TestConsulTemplate(t *testing.T) {
	t.Parallel()
	start(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "consul-template")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/hashicorp/consul-template")
	build.Dir = "template"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building consul-template: %v\n%s", err, out)
	}
	client, err := vault.NewClient(nil)
	must(t, err)
	ctx, kv := t.Context(), client.KVv2("secret")
	put := func(password string) {
		t.Helper()
		_, err := kv.Put(ctx, "template/database", map[string]any{"user": "admin", "password": plant(password)})
		must(t, err)
	}
	put("one")
	_, err = kv.Put(ctx, "template/dir/other", object("v", "other"))
	must(t, err)
	must(t, client.Sys().MountWithContext(ctx, "template-kv1", &vault.MountInput{Type: "kv"}))
	must(t, client.KVv1("template-kv1").Put(ctx, "app", object("password", "kv1")))

	rendered, settings := filepath.Join(dir, "rendered"), filepath.Join(dir, "settings.hcl")
	if err := os.WriteFile(settings, fmt.Appendf(nil, templateConfig, rendered), 0o600); err != nil {
		t.Fatal(err)
	}
	said := &lockedBuffer{}
	cmd := exec.CommandContext(ctx, program, "-config", settings)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	wait := func(password, version string) {
		t.Helper()
		want := []byte("admin:" + plant(password) + " " + version + "\nadmin\n[database][dir/]\n" + plant("kv1") + "\n")
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if b, err := os.ReadFile(rendered); err == nil && bytes.Equal(b, want) {
				return
			}
		}
		t.Fatalf("what was to be rendered was not; consul-template says:\n%s", said)
	}
	wait("one", "1")
	put("two")
	wait("two", "2")
}
