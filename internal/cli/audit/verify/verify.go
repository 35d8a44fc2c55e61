// Package verify is the command "countersign audit verify".
package verify

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env   *env.Env
	Files env.VerifyOptions // Dir is empty when the server is asked
	JSON  bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	var head string
	cmd := &cobra.Command{
		Use:   "verify [DIR]",
		Short: "Check that no record of the audit log was edited, cut or moved",
		Long: `Check that no record of the audit log was edited, cut or moved.

With DIR, the folder of a log or a copy of it, only the files and the public key
are needed, and no server. Give --key a copy of audit.pub that you kept
elsewhere, and --head the newest head that you kept: without them somebody who
can replace the whole folder can replace the proof too.

Without DIR the server checks its own log, which proves less.

The exit code is 7 when something is wrong.`,
		Example: `  countersign audit verify
  countersign audit verify /var/lib/countersign/audit --key audit.pub
  countersign audit verify copy/ --key audit.pub --head 1200:5f1c…`,
		Args: env.AtMost(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) == 1 {
				o.Files.Dir = args[0]
			}
			if o.Files.Dir == "" && (o.Files.Key != "" || head != "" || o.Files.Live) {
				return exit.Usagef("--key, --head and --live are for checking files; give DIR")
			}
			if o.Files.Head, err = parseHead(head); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Files.Key, "key", "", "`FILE` with the public keys that are trusted (default audit.pub in DIR)")
	f.StringVar(&head, "head", "", "a head that you kept, `SEQ:HASH`, which the log must hold")
	f.BoolVar(&o.Files.Live, "live", false, "a server is writing to these files")
	env.JSON(cmd, &o.JSON)
	return cmd
}

func parseHead(s string) (h client.AuditHead, err error) {
	if s == "" {
		return h, nil
	}
	seq, hash, ok := strings.Cut(s, ":")
	if h.Seq, err = strconv.ParseUint(seq, 10, 64); err != nil || !ok || hash == "" {
		return h, exit.Usagef("--head: %q is no SEQ:HASH", s)
	}
	h.Hash = hash
	return h, nil
}

// Run verifies.
func Run(ctx context.Context, o *Options) error {
	r, err := o.verify(ctx)
	if err != nil {
		return err
	}
	s := o.Env.Streams
	if o.JSON {
		err = table.JSON(s.Out, r)
	} else {
		err = table.Fields(s, "log", r.Log, "segments", r.Segments, "records", r.Records, "first", r.First, "last", r.Last,
			"signed-up-to", r.Signed, "unsigned", r.Unsigned, "from", r.FirstTime, "to", r.LastTime,
			"signed-by", r.Keys, "head", fmt.Sprintf("%d:%s", r.Head.Seq, r.Head.Hash))
	}
	if err != nil {
		return err
	}
	if p := r.Problem; p != nil {
		return exit.With(exit.Damaged, fmt.Errorf("the log is damaged (%s)%s: %s; records up to %d are good", p.Kind, place(*p), p.Text, p.Seq))
	}
	s.Notef("the log is whole; keep its head elsewhere to prove later that nothing was cut off")
	return nil
}

func place(p client.AuditProblem) string {
	switch {
	case p.Segment == "":
		return ""
	case p.Line == 0:
		return " in " + p.Segment
	}
	return fmt.Sprintf(" at %s:%d", p.Segment, p.Line)
}

func (o *Options) verify(ctx context.Context) (client.AuditReport, error) {
	if o.Files.Dir != "" {
		if o.Env.Server.VerifyAudit == nil {
			return client.AuditReport{}, env.ErrNoServer
		}
		return o.Env.Server.VerifyAudit(ctx, o.Files)
	}
	c, err := o.Env.Connect()
	if err != nil {
		return client.AuditReport{}, err
	}
	return c.VerifyAudit(ctx)
}
