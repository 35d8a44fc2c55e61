package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/config"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/sensitive"
)

// devAccount is the home account of a development server.
const devAccount = "000000000000"

// DevOptions configure Dev.
type DevOptions struct {
	Dir    string // keeps everything; made when absent
	Listen string // default 127.0.0.1:8200
	Demo   bool   // prepare a project, a rule and people to try reviews with
	// Functions are rotation functions on this machine, each ARN=URL, that call back
	// as the user "rotator".
	Functions []string
	Stdout    io.Writer // gets one line when requests are answered
	Stderr    io.Writer // gets what to do next, and the log
	Version   string
}

// Dev runs a server for trying things out, with everything under one folder:
// the store, its key, the audit log, and env, which points the clients of a
// shell at it. It serves plain HTTP on loopback only.
func Dev(ctx context.Context, o DevOptions) error {
	cfg, err := devConfig(o)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("making the folder: %w", err)
	}
	first, err := Init(ctx, cfg, o.Stderr)
	if err != nil && !errors.Is(err, ErrInitialized) {
		return err
	}
	s, err := Open(ctx, cfg, Options{Stderr: o.Stderr, Version: o.Version})
	if err != nil {
		return err
	}
	env := filepath.Join(o.Dir, "env")
	id, err := s.writeEnv(ctx, env, devKey{first.ID, first.Secret})
	if err != nil {
		return errors.Join(err, s.shutdown())
	}
	if o.Demo {
		if err := s.demo(ctx, o.Dir); err != nil {
			return errors.Join(err, s.shutdown())
		}
	}
	return s.Serve(ctx, func() {
		fmt.Fprintf(o.Stderr, nextSteps, s.URL(), id, env, env, os.Args[0])
		if o.Demo {
			fmt.Fprintf(o.Stderr, walkthrough, o.Dir, os.Args[0])
		}
		fmt.Fprintf(o.Stdout, "countersign is ready on %s: paste  . %s\n", s.URL(), env)
	})
}

const nextSteps = `
  endpoint     %s
  access key   %s (administrator; its secret and token are in %s)

  Point this shell's clients at it, then keep a secret:

    . %s
    aws secretsmanager create-secret --name myapp/database --secret-string '{"username":"admin"}'
    aws secretsmanager get-secret-value --secret-id myapp/database
    vault kv get secret/myapp/database
    %s list

`

func devConfig(o DevOptions) (config.Config, error) {
	listen := o.Listen
	if listen == "" {
		listen = "127.0.0.1:8200"
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return config.Config{}, fmt.Errorf("--listen: %q is not HOST:PORT", listen)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return config.Config{}, fmt.Errorf("--listen: a development server listens on loopback only, not on %q", host)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return config.Config{}, err
	}
	var functions []string
	for _, f := range o.Functions {
		arn, url, _ := strings.Cut(f, "=")
		functions = append(functions, fmt.Sprintf("{arn: %q, url: %q, user: rotator}", arn, url))
	}
	text := fmt.Sprintf("listen: %q\ndata: %q\naccount: %q\nregions: [us-east-1, us-west-2, eu-west-1]\nlog: {level: warn, format: text}\nsign_in: {loopback_issuer: true}\nrotation: {allow: [127.0.0.0/8, \"::1/128\"], functions: [%s]}\n",
		listen, filepath.Join(dir, "data"), devAccount, strings.Join(functions, ", "))
	return config.Parse([]byte(text), dir)
}

// devKey is the access key that the env file holds.
type devKey struct{ id, secret string }

// writeEnv writes the env file with an administrator's key that works: the one
// of a new store, the one that the file holds already, or else a new one.
func (s *Server) writeEnv(ctx context.Context, path string, key devKey) (id string, err error) {
	if key == (devKey{}) {
		if key, err = readEnv(path); err != nil {
			return "", err
		}
	}
	now := time.Now()
	cred, err := s.core.authn.Lookup(ctx, key.id, now)
	if err != nil || !cred.Secret.Equal(sensitive.FromString(key.secret)) {
		made, err := s.core.authn.CreateKey(ctx, caller.ForSystem(devAccount, "dev", audit.NewID(now), now),
			authn.CreateKeyRequest{Owner: authn.Admin, Description: "made by countersign dev"})
		if err != nil {
			return "", fmt.Errorf("making an access key: %w", err)
		}
		key = devKey{made.ID, string(made.Secret.Reveal())}
	}
	return key.id, s.putEnv(path, key)
}

// putEnv writes an env file with a key.
func (s *Server) putEnv(path string, key devKey) error {
	region := s.core.cfg.Regions[0]
	var out bytes.Buffer
	for _, v := range [][2]string{
		{"AWS_ENDPOINT_URL", s.URL()}, {"AWS_ACCESS_KEY_ID", key.id}, {"AWS_SECRET_ACCESS_KEY", key.secret},
		{"AWS_REGION", region}, {"AWS_DEFAULT_REGION", region},
		{"COUNTERSIGN_ADDR", s.URL()}, {"COUNTERSIGN_TOKEN", authn.Token(key.id, key.secret)},
		{"VAULT_ADDR", s.URL()}, {"VAULT_TOKEN", authn.Token(key.id, key.secret)},
	} {
		fmt.Fprintf(&out, "export %s='%s'\n", v[0], v[1])
	}
	return writePrivate(path, out.Bytes())
}

// readEnv finds the key in an env file; the zero key when there is none.
func readEnv(path string) (key devKey, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return key, nil
	}
	if err != nil {
		return key, fmt.Errorf("reading the env file: %w", err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		k, v, _ := strings.Cut(strings.TrimPrefix(sc.Text(), "export "), "=")
		switch v = strings.Trim(v, "'"); k {
		case "AWS_ACCESS_KEY_ID":
			key.id = v
		case "AWS_SECRET_ACCESS_KEY":
			key.secret = v
		}
	}
	return key, nil
}

// writePrivate replaces a file, readable by its owner alone, in one step.
func writePrivate(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".env-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}
