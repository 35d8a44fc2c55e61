// Package verify is the command "countersign verify".
package verify

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/input"
	"countersign/internal/cli/table"
	"countersign/internal/proof"
	"countersign/internal/sensitive"
)

// Options of the command.
type Options struct {
	Env     *env.Env
	Name    string
	Version uint64
	Signers string
	Export  string // write the export there
	File    string // read it from there instead of a server
	JSON    bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "verify [NAME]",
		Short: "Prove with public keys that a version was countersigned as its rule asked",
		Long: `Prove with public keys that a version was countersigned as its rule asked.

The server hands out what the votes on the change were over, the signatures and
the value; the rest happens here, with the keys in the file of signers, which
you keep: a user's name and a public key a line. Nothing of it is taken from
the server. Only who was in which group is the server's word, and the answer
says so.

With --export the evidence is kept in a file, mode 0600, because it holds the
value; with --file it is checked later, and without any server.

The exit code is 0 only when everything is proved, and 7 when it is not.`,
		Example: `  countersign verify secret-review/backend-api/production --signers signers
  countersign verify myapp/database --export evidence.json
  countersign verify --file evidence.json --signers signers`,
		Args: env.AtMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Name = args[0]
			}
			switch {
			case (o.Name == "") == (o.File == ""):
				return exit.Usagef("give either the NAME of a secret, or an export with --file")
			case o.Signers == "" && o.Export == "":
				return exit.Usagef("--signers is missing: a file with a user's name and a public key a line")
			case o.File != "" && (o.Export != "" || o.Version != 0):
				return exit.Usagef("--file goes without --export and --version")
			}
			return run(cmd.Context(), o)
		},
		ValidArgsFunction: e.SecretNames,
	}
	f := cmd.Flags()
	f.StringVar(&o.Signers, "signers", "", "the `FILE` with the public keys that you trust")
	f.Uint64Var(&o.Version, "version", 0, "the `NUMBER` of the version; default the current one")
	f.StringVar(&o.Export, "export", "", "keep the evidence, value included, in a `FILE`")
	f.StringVar(&o.File, "file", "", "check the evidence in a `FILE`, without a server")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run fetches or reads the evidence, and checks it.
func Run(ctx context.Context, o *Options) error {
	data, err := o.evidence(ctx)
	if err != nil {
		return err
	}
	if o.Export != "" {
		err := input.WriteFile(o.Export, func(w io.Writer) error {
			_, err := w.Write(data.Reveal())
			return err
		})
		if err != nil {
			return err
		}
		o.Env.Streams.Notef("the evidence is in %s; it holds the value", o.Export)
		if o.Signers == "" {
			return nil
		}
	}
	b, err := proof.ParseBundle(data.Reveal())
	if err != nil {
		return err
	}
	f, err := os.Open(o.Signers)
	if err != nil {
		return fmt.Errorf("opening the list of signers: %w", err)
	}
	defer f.Close()
	signers, err := proof.ParseSigners(f)
	if err != nil {
		return err
	}
	r := proof.Verify(b, b.Value, signers)
	if err := o.print(b, r); err != nil {
		return err
	}
	if !r.Proved {
		return exit.Silently(exit.Damaged)
	}
	return nil
}

func (o *Options) evidence(ctx context.Context) (sensitive.Bytes, error) {
	if o.File != "" {
		f, err := os.Open(o.File)
		if err != nil {
			return sensitive.Bytes{}, fmt.Errorf("opening the evidence: %w", err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, proof.MaxBundle+1))
		return sensitive.New(b), err
	}
	c, err := o.Env.Connect()
	if err != nil {
		return sensitive.Bytes{}, err
	}
	return c.Proof(ctx, o.Name, o.Version)
}

func (o *Options) print(b proof.Bundle, r proof.Report) error {
	s := o.Env.Streams
	if o.JSON {
		return table.JSON(s.Out, r)
	}
	verdict := s.Bold("countersigned")
	if !r.Proved {
		verdict = s.Alarm("NOT proved")
	}
	err := table.Fields(s, "secret", r.Name, "version", strconv.FormatUint(r.Version, 10), "change", r.Change, "author", b.Evidence.Author,
		"applied", time.UnixMicro(b.Applied).UTC(), "signed by", strings.Join(r.Signed, ", "), "verdict", verdict)
	for _, p := range r.Problems {
		s.Notef("%s", table.Clean(p))
	}
	for _, p := range r.Trusted {
		s.Notef("only the server says %s", table.Clean(p))
	}
	return err
}
