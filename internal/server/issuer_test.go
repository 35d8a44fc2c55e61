package server

import (
	"testing"

	"countersign/internal/config"
)

func TestPublicURL(t *testing.T) {
	for want, cfg := range map[string]config.Config{
		"https://secrets.example.com": {PublicURL: "https://secrets.example.com", Listen: "127.0.0.1:8200"},
		"http://127.0.0.1:8200":       {Listen: ":8200"},
		"http://127.0.0.1:8201":       {Listen: "[::]:8201"},
		"https://10.0.0.1:8200":       {Listen: "10.0.0.1:8200", TLS: config.TLS{Cert: "cert.pem"}},
		"http://vault.internal:8200":  {Listen: "vault.internal:8200"},
	} {
		if got := publicURL(cfg); got != want {
			t.Errorf("%s, public %q: %s, want %s", cfg.Listen, cfg.PublicURL, got, want)
		}
	}
}
