// Package plan is the command "countersign plan", and what it has in common with
// "countersign apply": the differences between files and the server.
package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"countersign/internal/cli/declare/file"
	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/client"
	"countersign/internal/errs"
)

// Plan is how the server differs from files.
type Plan struct {
	Items     []*Item  `json:"items"`
	Unchanged int      `json:"unchanged"` // secrets and rules that are as declared
	Valueless []string `json:"waiting_for_value"`
}

// Differs reports whether anything is not as the files say.
func (p *Plan) Differs() bool { return len(p.Items) > 0 }

// Err is the first error of an item.
func (p *Plan) Err() error {
	for _, it := range p.Items {
		if it.Err != nil {
			return it.Err
		}
	}
	return nil
}

// Options of the command.
type Options struct {
	Env      *env.Env
	Files    []string
	Detailed bool
	JSON     bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "plan -f FILE",
		Short: "Show how secrets differ from a file that declares them",
		Long: `Show how secrets, their rotation and the protection rules differ from a file
that declares them, field by field, and change nothing. What the file does not
name is left alone.

A file never holds a value: what it declares is made without one, and listed
here until somebody sets it with "countersign put".

With --detailed-exitcode the exit code is 8 when there is a difference, one that
waits for approval too.`,
		Example: `  countersign plan -f secrets.yaml
  countersign plan -f team-a.yaml -f team-b.yaml --detailed-exitcode`,
		Args: env.AtMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), o)
		},
	}
	AddFiles(cmd, &o.Files)
	cmd.Flags().BoolVar(&o.Detailed, "detailed-exitcode", false, "end with 8 when there is a difference")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// AddFiles adds the flag that names the files.
func AddFiles(cmd *cobra.Command, to *[]string) {
	cmd.Flags().StringArrayVarP(to, "file", "f", nil, "a `FILE` that declares secrets; - is standard input; may be repeated")
}

// Run plans.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	p, err := Make(ctx, o.Env, c, o.Files)
	if err != nil {
		return err
	}
	if o.JSON {
		err = table.JSON(o.Env.Streams.Out, p)
	} else {
		p.Print(o.Env)
		p.Waits(o.Env)
	}
	switch {
	case err != nil:
		return err
	case p.Err() != nil:
		return exit.Silently(exit.Of(ctx, p.Err()))
	case o.Detailed && p.Differs():
		return exit.Silently(exit.Differs)
	}
	return nil
}

// Make reads files, and how the server differs from them. What is wrong with the
// files it says to the person.
func Make(ctx context.Context, e *env.Env, c *client.Client, files []string) (*Plan, error) {
	f, err := read(e, files)
	if err != nil {
		return nil, err
	}
	return differences(ctx, c, f)
}

func read(e *env.Env, files []string) (file.File, error) {
	if len(files) == 0 {
		return file.File{}, exit.Usagef("--file is missing: name the file that declares secrets")
	}
	var sources []file.Source
	for _, name := range files {
		s, err := source(e, name)
		if err != nil {
			return file.File{}, err
		}
		sources = append(sources, s)
	}
	f, err := file.Parse(sources...)
	var all file.Error
	if !errors.As(err, &all) {
		return f, err
	}
	for _, r := range all[:len(all)-1] { // the last one is the command's error
		e.Streams.Notef("%s: %s", r.At, r.Text)
	}
	last := all[len(all)-1]
	return f, exit.Usagef("%s: %s", last.At, last.Text)
}

func source(e *env.Env, name string) (file.Source, error) {
	from := e.Streams.In
	var beside func(string) ([]byte, error)
	if name == "-" {
		name = "standard input"
	} else {
		dir := filepath.Dir(name)
		beside = func(path string) ([]byte, error) { return readFile(filepath.Join(dir, path)) }
		f, err := os.Open(name)
		if err != nil {
			return file.Source{}, exit.With(exit.Usage, fmt.Errorf("opening input: %w", err))
		}
		defer f.Close()
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, file.MaxSize+1)) // one byte more is refused
	if err != nil {
		return file.Source{}, fmt.Errorf("reading input: %w", err)
	}
	return file.Source{Name: name, Text: b, Read: beside}, nil
}

// readFile reads a file that another one names, and a byte more than it may have.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, file.MaxSchema+1))
}

// atOnce is how many secrets are asked for at the same time.
const atOnce = 4

// differences asks the server for all that a file declares.
func differences(ctx context.Context, c *client.Client, f file.File) (*Plan, error) {
	p := &Plan{Items: []*Item{}, Valueless: []string{}}
	type answer struct {
		items []*Item
		empty bool
	}
	answers := make([]answer, len(f.Secrets))
	var wait sync.WaitGroup
	next := make(chan int)
	for range min(atOnce, len(f.Secrets)) {
		wait.Go(func() {
			for i := range next {
				answers[i].items, answers[i].empty = ask(ctx, c, &f.Secrets[i])
			}
		})
	}
	for i := range f.Secrets {
		next <- i
	}
	close(next)
	wait.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for i, a := range answers {
		p.add(a.items...)
		if a.empty {
			p.Valueless = append(p.Valueless, f.Secrets[i].Name)
		}
	}
	if len(f.Rules) > 0 {
		have, err := c.ListRules(ctx)
		if err != nil {
			return nil, err
		}
		for i := range f.Rules {
			var old *client.Rule
			for j := range have.Rules {
				if have.Rules[j].Name == f.Rules[i].Name {
					old = &have.Rules[j]
				}
			}
			if it := compareRule(&f.Rules[i], old, have.Revision); it != nil {
				p.add(it)
			} else {
				p.add()
			}
		}
	}
	return p, p.proposed(ctx, c)
}

func (p *Plan) add(items ...*Item) {
	if len(items) == 0 {
		p.Unchanged++
	}
	p.Items = append(p.Items, items...)
}

// ask compares one secret. empty tells that it has no value, or will have none.
func ask(ctx context.Context, c *client.Client, want *file.Secret) (items []*Item, empty bool) {
	refused := func(what string, err error) []*Item {
		return []*Item{{What: what, Name: want.Name, Fields: []Field{}, Err: err, Error: exit.Message(ctx, err)}}
	}
	have, err := c.Describe(ctx, want.Name)
	switch {
	case client.Is(err, errs.NotFound):
		return compare(want, nil, nil, ""), true
	case err != nil:
		return refused(Update, err), false
	case !have.Deleted.IsZero():
		return refused(Update, exit.With(exit.Conflict, errors.New("the secret is marked for deletion; see \"countersign restore\""))), false
	}
	empty = have.Current == 0
	var rot *client.RotationStatus
	var failed []*Item
	if want.Rotation != nil {
		st, err := c.Rotation(ctx, want.Name)
		if err != nil {
			failed = refused(Rotation, err)
			alone := *want
			alone.Rotation = nil
			want = &alone
		}
		rot = &st
	}
	schema := ""
	if want.Schema != nil && have.Schema {
		s, err := c.GetSchema(ctx, want.Name)
		if err != nil {
			failed = append(failed, refused(Schema, err)...)
			alone := *want
			alone.Schema = nil
			want = &alone
		}
		schema = s.Document
	}
	return append(compare(want, &have, rot, schema), failed...), empty
}

// proposed finds the changes that wait and would do what an item is about.
func (p *Plan) proposed(ctx context.Context, c *client.Client) error {
	if len(p.Items) == 0 {
		return nil
	}
	states := []string{client.Draft, client.Pending, client.Conflicted, client.Approved}
	open := func(o client.ChangeList) ([]client.Change, error) {
		o.Statuses = states
		all, _, err := env.All(0, func(limit int, page string) (client.Page[client.Change], error) {
			o.Limit, o.Page = limit, page
			return c.ListChanges(ctx, o)
		})
		return all, err
	}
	all, err := open(client.ChangeList{})
	if err != nil {
		return fmt.Errorf("finding what waits for approval already: %w", err)
	}
	for _, it := range p.Items {
		mark := it.Mark()
		found := pick(all, mark)
		if found != nil && it.What != Protection { // of this region?
			here, err := open(client.ChangeList{Name: it.Name})
			if err != nil {
				return fmt.Errorf("finding what waits for approval already: %w", err)
			}
			found = pick(here, mark)
		}
		if found != nil {
			it.Change, it.Status = cmp.Or(found.Short, found.ID), found.Status
		}
	}
	return nil
}

func pick(changes []client.Change, mark string) *client.Change {
	for i := range changes {
		if strings.HasSuffix(strings.TrimSuffix(changes[i].Reason, ")"), mark) {
			return &changes[i]
		}
	}
	return nil
}

// Print shows the differences to a person.
func (p *Plan) Print(e *env.Env) {
	s := e.Streams
	line := func(format string, args ...any) { fmt.Fprintf(s.Out, format+"\n", args...) }
	last := ""
	created, changed := map[string]bool{}, map[string]bool{}
	for _, it := range p.Items {
		name := it.Name
		if it.What == Protection {
			name = "protection " + it.Name
		}
		if name != last {
			switch {
			case it.What == Create || it.What == Protection && isNew(it):
				created[name] = true
				line("%s", s.Added("+ "+table.Clean(name)))
			default:
				changed[name] = true
				line("%s", s.Changed("~ "+table.Clean(name)))
			}
			last = name
		}
		for _, f := range it.Fields {
			old, now := table.Clean(f.Old), table.Clean(f.New)
			switch {
			case f.Old == "":
				line("    %s: %s", table.Clean(f.Name), now)
			default:
				line("    %s: %s → %s", table.Clean(f.Name), old, cmp.Or(now, "(none)"))
			}
		}
		switch {
		case it.Err != nil:
			line("    %s", s.Alarm("cannot be done: "+table.Clean(it.Error)))
		case it.Change != "":
			line("    waits: change %s is %s", it.Change, it.Status)
		}
	}
	if !p.Differs() {
		s.Notef("nothing to do: %d unchanged", p.Unchanged)
		return
	}
	s.Notef("%d to create, %d to change, %d unchanged", len(created), len(changed), p.Unchanged)
}

// isNew reports whether a rule is not there yet.
func isNew(it *Item) bool {
	for _, f := range it.Fields {
		if f.Name == "match" {
			return f.Old == ""
		}
	}
	return false
}

// Waits says which secrets have no value.
func (p *Plan) Waits(e *env.Env) {
	switch n := len(p.Valueless); {
	case n == 1:
		e.Streams.Notef("1 secret waits for a value: %s", p.Valueless[0])
	case n > 1:
		e.Streams.Notef("%d secrets wait for a value: %s", n, strings.Join(p.Valueless, ", "))
	}
}
