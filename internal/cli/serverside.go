package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/client"
	"countersign/internal/config"
	"countersign/internal/sensitive"
	"countersign/internal/server"
)

// serverSide is the one place where the command line and the server meet.
func serverSide(version string) env.ServerSide {
	return env.ServerSide{
		Serve: func(ctx context.Context, file string, log io.Writer) error {
			cfg, err := load(file)
			if err != nil {
				return err
			}
			s, err := server.Open(ctx, cfg, server.Options{Stderr: log, Version: version})
			if err != nil {
				return err
			}
			return s.Serve(ctx, nil)
		},
		Check: func(file string) error {
			_, err := load(file)
			return err
		},
		Init: initStore,
		Dev: func(ctx context.Context, o env.DevOptions) error {
			return server.Dev(ctx, server.DevOptions{Dir: o.Dir, Listen: o.Listen, Demo: o.Demo, Functions: o.Functions, Stdout: o.Out, Stderr: o.Err, Version: version})
		},
		Fsck:          checkStore,
		VerifyAudit:   verifyAudit,
		RestoreBackup: restoreBackup,
		Recover:       recoverUser,
	}
}

// load reads a configuration; what is wrong with it is a usage error.
func load(file string) (config.Config, error) {
	cfg, err := config.Load(file)
	if err != nil {
		return cfg, exit.With(exit.Usage, err)
	}
	return cfg, nil
}

func initStore(ctx context.Context, file string, log io.Writer) (env.InitResult, error) {
	cfg, err := load(file)
	if err != nil {
		return env.InitResult{}, err
	}
	k, err := server.Init(ctx, cfg, log)
	if errors.Is(err, server.ErrInitialized) {
		return env.InitResult{}, exit.With(exit.Conflict, err)
	}
	if err != nil {
		return env.InitResult{}, err
	}
	return env.InitResult{Account: k.Account, Key: client.NewKey{Key: client.Key{ID: k.ID, Owner: k.User, Created: k.Created},
		Secret: sensitive.FromString(k.Secret), Token: sensitive.FromString(k.Token)}}, nil
}

func checkStore(ctx context.Context, o env.StoreOptions) (env.FsckReport, error) {
	cfg, err := storeConfig(o)
	if err != nil {
		return env.FsckReport{}, err
	}
	r, err := server.Fsck(ctx, cfg)
	return env.FsckReport{Revision: r.Revision, Pairs: r.Pairs, Problems: r.Problems}, err
}

func restoreBackup(ctx context.Context, o env.RestoreOptions) (env.RestoreResult, error) {
	r, err := server.RestoreBackup(ctx, o.Backup, o.Identity, o.Data)
	return env.RestoreResult{Data: o.Data, Created: r.Created, Version: r.Version, Files: r.Files}, err
}

// storeConfig finds a store: that of a configuration, or the one that a
// development server keeps in its folder.
func storeConfig(o env.StoreOptions) (config.Config, error) {
	if o.Dir == "" {
		return load(o.ConfigFile)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return config.Config{}, fmt.Errorf("finding the folder: %w", err)
	}
	return config.Parse(fmt.Appendf(nil, "data: %q\naccount: \"000000000000\"\n", filepath.Join(dir, "data")), dir)
}

func verifyAudit(ctx context.Context, o env.VerifyOptions) (out client.AuditReport, err error) {
	head := ""
	if o.Head.Hash != "" {
		head = fmt.Sprintf("%d:%s", o.Head.Seq, o.Head.Hash)
	}
	r, err := server.VerifyAudit(ctx, o.Dir, o.Key, head, o.Live)
	if err != nil {
		return out, err
	}
	// The server answers the same report over the API, so it has one spelling.
	b, err := json.Marshal(r)
	if err != nil {
		return out, fmt.Errorf("encoding report: %w", err)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fmt.Errorf("decoding report: %w", err)
	}
	return out, nil
}

func recoverUser(ctx context.Context, o env.RecoverOptions, log io.Writer) (env.Recovered, error) {
	cfg, err := load(o.ConfigFile)
	if err != nil {
		return env.Recovered{}, err
	}
	r, err := server.Recover(ctx, cfg, server.RecoverOptions{User: o.User, Key: o.Key, Admin: o.Admin, DropRules: o.DropRules}, log)
	if err != nil {
		return env.Recovered{}, err
	}
	return env.Recovered{
		Invitation: client.Invitation{User: r.User, Token: r.Invitation.Token, Expires: r.Invitation.Expires},
		Key: client.NewKey{Key: client.Key{ID: r.Key.ID, Owner: r.User, Description: "recovery", Created: r.Key.Created},
			Secret: sensitive.FromString(r.Key.Secret), Token: sensitive.FromString(r.Key.Token)},
	}, nil
}
