// Package enable is the command "countersign audit device enable".
package enable

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env         *env.Env
	Type        string
	Settings    map[string]string
	Name        string // default Type
	Description string
	Reason      string
	JSON        bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e, Settings: map[string]string{}}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "enable TYPE [KEY=VALUE]...",
		Short: "Write the audit log to a file, a socket or syslog too",
		Long: `Write the audit log to a file, a socket or syslog too, as JSON lines of the form
that Vault's audit devices have. The device has the records from then on.

A file is file_path=PATH, below the folder of the server's configuration
(audit.devices_dir), and mode=MODE; stdout and discard are special. A socket is
address=HOST:PORT with socket_type=tcp or udp, which the configuration must
allow, or a path with socket_type=unix. Syslog has facility= and tag=. All have
prefix= and hmac_accessor=.`,
		Example: `  countersign audit device enable file file_path=audit.log
  countersign audit device enable socket address=10.0.0.7:5140 --name collector
  countersign audit device enable syslog facility=LOCAL1`,
		Args: env.AtLeast("TYPE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Type = args[0]
			for _, a := range args[1:] {
				k, v, ok := strings.Cut(a, "=")
				if _, twice := o.Settings[k]; !ok || k == "" || twice {
					return exit.Usagef("%q is no KEY=VALUE, or is given twice", a)
				}
				o.Settings[k] = v
			}
			if err := env.Choice("TYPE", o.Type, "file", "socket", "syslog"); err != nil {
				return err
			}
			if o.Name == "" {
				o.Name = o.Type
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Name, "name", "", "call the device `NAME` (default its type)")
	f.StringVar(&o.Description, "description", "", "what the device is for, a `TEXT`")
	f.StringVarP(&o.Reason, "reason", "r", "", "`WHY`, for the record")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run enables.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	r, err := c.EnableAuditDevice(ctx, o.Name, client.EnableAuditDevice{Type: o.Type, Options: o.Settings, Description: o.Description, Reason: o.Reason})
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, r)
	}
	o.Env.Told(client.Outcome(r), "enabled audit device %q; how it fares: countersign audit device list", o.Name)
	return nil
}
