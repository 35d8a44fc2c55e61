package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const least = "data: /d\naccount: \"111111111111\"\n"

func TestDefaults(t *testing.T) {
	c, err := Parse([]byte("data: d\naccount: \"111111111111\"\n"), "/etc/countersign")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct{ field, got, want string }{
		{"listen", c.Listen, "127.0.0.1:8200"},
		{"data", c.Data, "/etc/countersign/d"},
		{"seal.keyfile", c.Seal.Keyfile, "/etc/countersign/d/root.key"},
		{"audit.dir", c.Audit.Dir, "/etc/countersign/d/audit"},
		{"audit.devices_dir", c.Audit.DevicesDir, "/etc/countersign/d/audit-devices"},
		{"regions", strings.Join(c.Regions, " "), "us-east-1"},
		{"fronts", strings.Join(c.Fronts, " "), "aws native vault"},
		{"log", c.Log.Level + " " + c.Log.Format, "info json"},
		{"shutdown_timeout", time.Duration(c.ShutdownTimeout).String(), "20s"},
		{"history.min_age", time.Duration(c.History.MinAge).String(), "24h0m0s"},
	} {
		if v.got != v.want {
			t.Errorf("%s is %q, want %q", v.field, v.got, v.want)
		}
	}
}

// TestRefusals holds that each refusal names the field that it is about.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no-data", `account: "111111111111"`, "data:"},
		{"no-account", "data: /d", "account:"},
		{"account-as-number", "data: /d\naccount: 11111111111", "account:"},
		{"unknown-field", least + "lisen: x", "lisen"},
		{"unknown-nested", least + "audit: {sizes: 3}", "sizes"},
		{"twice", least + "data: /e", "data"},
		{"two-documents", least + "---\n" + least, "more than one"},
		{"wrong-type", least + "history: {keep: many}", "line 3"},
		{"negative-keep", least + "history: {keep: -1}", "line 3"},
		{"bad-duration", least + "shutdown_timeout: soon", "soon"},
		{"negative-duration", least + "shutdown_timeout: -1s", "shutdown_timeout:"},
		{"bad-size", least + "audit: {min_free: 5MB}", "5MB"},
		{"huge-size", least + "audit: {min_free: 9999999GiB}", "9999999GiB"},
		{"bad-listen", least + "listen: here", "listen:"},
		{"plain-http", least + "listen: 0.0.0.0:8200", "listen:"},
		{"plain-http-by-name", least + "listen: example.com:8200", "listen:"},
		{"half-tls", least + "tls: {cert: c.pem}", "tls:"},
		{"two-seals", least + "seal: {keyfile: k, passphrase: {env: P}}", "seal:"},
		{"two-passphrases", least + "seal: {passphrase: {env: P, file: f}}", "seal.passphrase:"},
		{"no-regions", least + "regions: []", "regions:"},
		{"bad-region", least + "regions: [US]", "regions:"},
		{"region-twice", least + "regions: [a, a]", "regions:"},
		{"no-fronts", least + "fronts: []", "fronts:"},
		{"unknown-front", least + "fronts: [gopher]", "fronts:"},
		{"bad-proxy", least + "trusted_proxies: [10.0.0.0/33]", "10.0.0.0/33"},
		{"bad-level", least + "log: {level: loud}", "log.level:"},
		{"bad-format", least + "log: {format: xml}", "log.format:"},
		{"half-retention", least + "audit: {retain_for: 24h}", "audit:"},
		{"negative-retention", least + "audit: {retain_for: -24h, export_dir: /x}", "audit.retain_for:"},
		{"devices-over-store", least + "audit: {devices_dir: .}", "audit.devices_dir:"},
		{"devices-over-all", least + "audit: {devices_dir: /}", "audit.devices_dir:"},
		{"devices-in-log", least + "audit: {dir: /l, devices_dir: /l/x}", "audit.devices_dir:"},
		{"devices-over-log", least + "audit: {dir: /v/l/a, devices_dir: /v/l}", "audit.devices_dir:"},
		{"devices-over-exports", least + "audit: {retain_for: 24h, export_dir: /x/y, devices_dir: /x}", "audit.devices_dir:"},
		{"devices-over-key", least + "seal: {keyfile: /k/root.key}\naudit: {devices_dir: /k}", "audit.devices_dir:"},
		{"device-allow", least + "audit: {device_allow: [10.0.0.0/40]}", "10.0.0.0/40"},
		{"device-sockets", least + "audit: {device_sockets: [run/s]}", "audit.device_sockets:"},
		{"bad-allow", least + "notify: {allow: [10.0.0.0/40]}", "10.0.0.0/40"},
		{"unknown-notify", least + "notify: {url: x}", "url"},
		{"public-url-scheme", least + "public_url: ftp://example.com", "public_url:"},
		{"public-url-user", least + "public_url: https://a:b@example.com", "public_url:"},
		{"public-url-query", least + "public_url: https://example.com?a", "public_url:"},
		{"public-url-markup", least + "public_url: 'https://example.com/<b>'", "public_url:"},
		{"smtp-no-address", least + "smtp: {from: a@example.com}", "smtp.address:"},
		{"smtp-no-port", least + "smtp: {address: mail.example.com, from: a@example.com}", "smtp.address:"},
		{"smtp-no-from", least + "smtp: {address: 'mail.example.com:587'}", "smtp.from:"},
		{"smtp-from-with-name", least + "smtp: {address: 'mail.example.com:587', from: 'A <a@example.com>'}", "smtp.from:"},
		{"smtp-from-two-lines", least + "smtp: {address: 'mail.example.com:587', from: \"a@example.com\\nBcc: b@example.com\"}", "smtp.from:"},
		{"smtp-bad-tls", least + "smtp: {address: 'mail.example.com:587', from: a@example.com, tls: maybe}", "smtp.tls:"},
		{"smtp-plain-far", least + "smtp: {address: 'mail.example.com:25', from: a@example.com, tls: none-on-loopback}", "smtp.tls:"},
		{"smtp-half-login", least + "smtp: {address: 'mail.example.com:587', from: a@example.com, username: u}", "smtp:"},
		{"smtp-password", least + "smtp: {address: 'mail.example.com:587', from: a@example.com, username: u, password: p}", "password"},
		{"names-template", least + "names: {convention: '/{A}'}", "names:"},
		{"names-values", least + "names: {convention: '/{a}', values: {b: [x]}}", "{b}"},
		{"names-no-values", least + "names: {convention: '/{a}', values: {a: []}}", "{a}"},
		{"names-values-alone", least + "names: {values: {a: [x]}}", "names.values:"},
		{"not-yaml", "{", "reading YAML"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.text), "/")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse: %v, want an error about %q", err, tt.want)
			}
		})
	}
}

// TestDevicesOfRelativeFile loads a file by a relative path: the folder of audit
// devices, by which absolute paths are judged, is absolute all the same.
func TestDevicesOfRelativeFile(t *testing.T) {
	c, err := Parse([]byte("data: d\naccount: \"111111111111\"\n"), ".")
	if err != nil || !filepath.IsAbs(c.Audit.DevicesDir) {
		t.Errorf("%q, %v", c.Audit.DevicesDir, err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse([]byte("data: d\naccount: \"111111111111\"\naudit: {devices_dir: "+here+"}\n"), "."); err == nil {
		t.Error("the folder may hold the store")
	}
}

func TestAccepted(t *testing.T) {
	c, err := Parse([]byte(least+`
listen: 0.0.0.0:443
tls: {cert: c.pem, key: /k.pem}
regions: [eu-west-1, us-east-1]
fronts: [native]
trusted_proxies: [10.1.2.3, 192.168.0.1/16]
seal: {passphrase: {env: COUNTERSIGN_PASSPHRASE}}
audit: {segment_size: 8MiB, segment_age: 1h, warn_free: 1GiB, min_free: "1024", devices_dir: logs/vault/, device_allow: [10.1.2.3], device_sockets: [/run/vector.sock]}
history: {keep: 100, min_age: 1h}
public_url: https://secrets.example.com/cs
notify: {allow: [10.1.0.0/16, "::1"]}
smtp: {address: "mail.example.com:587", from: a@example.com, username: u, password_file: smtp.password}
`), "/c")
	if err != nil {
		t.Fatal(err)
	}
	if c.TLS.Cert != "/c/c.pem" || c.TLS.Key != "/k.pem" || c.Seal.Keyfile != "" || c.Audit.DevicesDir != "/c/logs/vault" || c.Audit.WarnFree != 1<<30 || c.Audit.MinFree != 1024 {
		t.Errorf("got %+v", c)
	}
	if c.SMTP.TLS != SMTPStartTLS || c.SMTP.PasswordFile != "/c/smtp.password" || len(c.Notify.Allow) != 2 {
		t.Errorf("got %+v, %+v", c.SMTP, c.Notify)
	}
	if got := Prefixes(c.TrustedProxies); got[0].String() != "10.1.2.3/32" || got[1].String() != "192.168.0.0/16" {
		t.Errorf("trusted proxies are %v", got)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.yaml")
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "server.yaml") {
		t.Errorf("Load of a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("nonsense: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "server.yaml") || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("Load: %v, want the file and the field", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(least))
	f.Add([]byte(least + "trusted_proxies: [::1]\naudit: {min_free: 3KiB}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse(text, "/")
		if err != nil {
			return
		}
		if c.Data == "" || len(c.Account) != 12 || len(c.Regions) == 0 || len(c.Fronts) == 0 || c.Audit.MinFree < 0 {
			t.Errorf("accepted %+v", c)
		}
	})
}
