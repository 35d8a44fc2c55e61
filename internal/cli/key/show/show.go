// Package show prints a new access key, whose secret is told this once.
package show

import (
	"fmt"
	"strings"
	"time"

	"countersign/internal/cli/exit"
	"countersign/internal/cli/streams"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Format says how a key is printed; at most one is set.
type Format struct{ JSON, Env bool }

// Check refuses contradictions.
func (f Format) Check() error {
	if f.JSON && f.Env {
		return exit.Usagef("--json excludes --env")
	}
	return nil
}

// answer is a key as --json prints it.
type answer struct {
	client.Key
	Secret string `json:"secret"`
	Token  string `json:"token"`
}

// Key prints a new key to Out, and the warning to Err.
func Key(s *streams.Streams, k client.NewKey, f Format) error {
	secret, token := string(k.Secret.Reveal()), string(k.Token.Reveal())
	var err error
	switch {
	case f.JSON:
		err = table.JSON(s.Out, answer{k.Key, secret, token})
	case f.Env:
		var b strings.Builder
		for _, v := range [][2]string{{"AWS_ACCESS_KEY_ID", k.ID}, {"AWS_SECRET_ACCESS_KEY", secret}, {client.EnvToken, token}} {
			fmt.Fprintf(&b, "export %s='%s'\n", v[0], strings.ReplaceAll(v[1], "'", `'\''`))
		}
		_, err = fmt.Fprint(s.Out, b.String())
	default:
		err = table.Fields(s, "id", k.ID, "secret", secret, "token", token, "owner", k.Owner,
			"policies", k.Policies, "expires", k.Expires)
	}
	if err != nil {
		return err
	}
	until := "does not expire"
	if !k.Expires.IsZero() {
		until = "expires on " + k.Expires.Local().Format(time.DateTime)
	}
	s.Notef("warning: the secret and the token are shown this once; the key %s", until)
	return nil
}
