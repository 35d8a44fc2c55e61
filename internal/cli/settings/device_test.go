package settings

import (
	"fmt"
	"path/filepath"
	"testing"

	"countersign/internal/sensitive"
)

func TestDevices(t *testing.T) {
	s := Store{path: filepath.Join(t.TempDir(), "config.json")}
	set := func(account, user, token string) {
		t.Helper()
		err := s.Update(t.Context(), func(g *Global) error {
			g.SetDevice("https://a.example", account, user, sensitive.FromString(token))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	get := func(address, account, user string) string {
		t.Helper()
		g, _, err := s.Load()
		if err != nil {
			t.Fatal(err)
		}
		return string(g.Device(address, account, user).Reveal())
	}
	set("", "ann", "one")
	set("", "bob", "two")
	set("", "ann", "three")
	for at, want := range map[[3]string]string{
		{"https://A.example:443/", "", "ann"}: "three", {"https://a.example", "", "bob"}: "two",
		{"http://a.example", "", "ann"}: "", {"https://b.example", "", "ann"}: "", {"https://a.example", "1", "ann"}: "", {"nonsense", "", "ann"}: "",
	} {
		if got := get(at[0], at[1], at[2]); got != want {
			t.Errorf("%q: %q, want %q", at, got, want)
		}
	}
	for i := range maxDevices {
		set("1", fmt.Sprint("user", i), "x")
	}
	g, _, err := s.Load()
	if err != nil || len(g.devices()) != maxDevices || get("https://a.example", "", "bob") != "" {
		t.Errorf("%d devices, %v", len(g.devices()), err)
	}
}
