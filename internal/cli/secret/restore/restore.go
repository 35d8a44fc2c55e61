// Package restore is the command "countersign restore", which has two forms:
// it takes the mark for deletion off a secret of a running server, or it makes
// a store out of a backup, without a server.
package restore

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env      *env.Env
	Name     string   // first form
	Versions []uint64 // of it; empty: the secret
	Backup   env.RestoreOptions
	JSON     bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "restore NAME [--version N] | restore --backup FILE --data DIR",
		Short: "Restore a deleted secret, or a whole store from a backup",
		Long: `Two forms:

  restore NAME
      asks the server to bring back a secret that was marked for deletion, or
      with --version a version of it that was deleted.

  restore --backup FILE --data DIR
      fills the data folder DIR, which must be absent or empty, from a backup;
      no server is asked. An encrypted backup needs --identity, a file of age
      identities. The root key is in no backup: bring the key file or passphrase
      along that the store had. The audit log ends where the backup was made, so
      the server's configuration needs audit.accept_loss once if the store had
      gone on after it.`,
		Example: `  countersign restore myapp/database
  countersign restore myapp/database --version 3
  countersign restore --backup monday.age --identity backup-key.txt --data restored`,
		Args:              env.AtMost(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Name = args[0]
			}
			if err := o.check(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	env.Versions(cmd, &o.Versions, "the deleted version with this `NUMBER`; repeat it for more")
	f.StringVar(&o.Backup.Backup, "backup", "", "the backup `FILE`")
	f.StringVar(&o.Backup.Data, "data", "", "the data folder `DIR` to fill, absent or empty")
	f.StringVar(&o.Backup.Identity, "identity", "", "`FILE` with the age identity of an encrypted backup")
	env.JSON(cmd, &o.JSON)
	return cmd
}

func (o *Options) check() error {
	b := o.Backup
	switch {
	case o.Name != "" && b != (env.RestoreOptions{}):
		return exit.Usagef("give either NAME, to restore a secret, or --backup, to restore a store")
	case o.Name == "" && len(o.Versions) > 0:
		return exit.Usagef("--version needs NAME")
	case o.Name == "" && b.Backup == "":
		return exit.Usagef("give NAME, to restore a secret, or --backup FILE, to restore a store")
	case o.Name == "" && b.Data == "":
		return exit.Usagef("--backup needs --data DIR, which says where the store is to be")
	}
	return nil
}

// Run restores.
func Run(ctx context.Context, o *Options) error {
	if o.Name == "" {
		return o.store(ctx)
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	if len(o.Versions) > 0 {
		return o.versions(ctx, c)
	}
	w, err := c.Restore(ctx, o.Name)
	if err != nil {
		return err
	}
	switch {
	case o.JSON:
		return table.JSON(o.Env.Streams.Out, w)
	case w.Change == "":
		o.Env.Streams.Notef("%q was not marked for deletion", o.Name)
	default:
		o.Env.Told(w.Outcome(), "restored %q", o.Name)
	}
	return nil
}

// versions brings single versions back.
func (o *Options) versions(ctx context.Context, c *client.Client) error {
	w, err := c.UndeleteVersions(ctx, o.Name, o.Versions)
	if err != nil {
		return err
	}
	which := env.Spell(o.Versions)
	switch {
	case o.JSON:
		return table.JSON(o.Env.Streams.Out, w)
	case w.Change == "":
		o.Env.Streams.Notef("%q has no deleted %s that could be brought back", o.Name, which)
	default:
		o.Env.Told(w.Outcome(), "restored %s of %q", which, o.Name)
	}
	return nil
}

func (o *Options) store(ctx context.Context) error {
	if o.Env.Server.RestoreBackup == nil {
		return env.ErrNoServer
	}
	r, err := o.Env.Server.RestoreBackup(ctx, o.Backup)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, r)
	}
	o.Env.Streams.Notef("restored the backup of %s into %q; bring the root key along before a server is started on it",
		r.Created.Local().Format(time.DateTime), r.Data)
	return nil
}
