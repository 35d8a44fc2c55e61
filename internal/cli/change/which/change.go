package which

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/client"
	"countersign/internal/errs"
)

// Change names a change.
type Change struct {
	ID     string
	Latest bool
	Flags
}

// Add adds the flags --id, --latest, -p and -e to a command.
func (w *Change) Add(e *env.Env, cmd *cobra.Command, latest string) {
	w.AddID(e, cmd)
	cmd.Flags().BoolVar(&w.Latest, "latest", false, latest)
	w.Flags.Add(e, cmd)
}

// AddID adds the flag --id alone.
func (w *Change) AddID(e *env.Env, cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.ID, "id", "", "the change, by its `ID` or as much of it as is unique")
	_ = cmd.RegisterFlagCompletionFunc("id", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return e.Complete(openIDs)
	})
}

// Check refuses flags that name none or several.
func (w *Change) Check() error {
	switch {
	case (w.ID != "") == w.Latest:
		return exit.Usagef("give either --id ID or --latest")
	case w.ID != "" && (w.Project != "" || w.Env != ""):
		return exit.Usagef("--id names the change alone; --project and --env go with --latest")
	}
	return nil
}

// NeedID refuses an empty --id.
func (w *Change) NeedID() error {
	if w.ID == "" {
		return exit.Usagef("--id is missing: name the change; countersign status lists those that wait")
	}
	return nil
}

// Waiting is the id that is given, or that of the newest change in force that
// waits for review.
func (w *Change) Waiting(ctx context.Context, e *env.Env, c *client.Client) (string, error) {
	if w.ID != "" {
		return w.ID, nil
	}
	places, err := w.places(ctx, e, c)
	if err != nil {
		return "", err
	}
	newest := ""
	for _, p := range places {
		items, _, err := env.All(1, func(limit int, page string) (client.Page[client.Change], error) {
			return c.ListChanges(ctx, client.ChangeList{Name: p.Secret, Statuses: []string{client.Pending, client.Conflicted}, Limit: limit, Page: page})
		})
		if err != nil {
			return "", err
		}
		if len(items) > 0 {
			newest = max(newest, items[0].ID) // ids are in the order of time
		}
	}
	if newest == "" {
		return "", exit.With(exit.NotFound, errors.New("no change waits for review in "+list(places)))
	}
	return newest, nil
}

// back is how many changes are looked through for the last that was applied.
const back = 1000

// Applied is the id that is given, or that of the change by which the value of
// a secret became what it is.
func (w *Change) Applied(ctx context.Context, c *client.Client, p Place) (string, error) {
	if w.ID != "" {
		return w.ID, nil
	}
	items, _, err := env.All(back, func(limit int, page string) (client.Page[client.Change], error) {
		return c.ListChanges(ctx, client.ChangeList{Name: p.Secret, Statuses: []string{client.Applied}, Limit: limit, Page: page})
	})
	if err != nil {
		return "", err
	}
	var last client.Change
	for _, x := range items { // the order is that of proposing, and numbers are that of applying
		if x.Version != x.Base && x.Version > last.Version {
			last = x
		}
	}
	if last.ID == "" {
		return "", exit.With(exit.NotFound, errors.New("no change of a value was applied in "+p.String()))
	}
	return last.ID, nil
}

// places are those in which the newest change is looked for.
func (w *Change) places(ctx context.Context, e *env.Env, c *client.Client) ([]Place, error) {
	places, err := w.All(ctx, e, c)
	var invalid *errs.Error
	if errors.As(err, &invalid) && invalid.Field == "project" && w.Project == "" {
		return nil, exit.Usagef("--latest is the newest change of a project: give --project, or name the change by --id")
	}
	return places, err
}

func list(places []Place) string {
	switch {
	case len(places) == 1:
		return places[0].String()
	case len(places) == 0:
		return "a project without environments"
	}
	return "the project " + places[0].Project
}

// openIDs are the changes that a shell offers.
func openIDs(ctx context.Context, c *client.Client) (ids []string, err error) {
	page, err := c.ListChanges(ctx, client.ChangeList{Statuses: []string{client.Draft, client.Pending, client.Conflicted, client.Approved}, Limit: 50})
	for _, x := range page.Items {
		ids = append(ids, x.Short+"\t"+x.Name)
	}
	return ids, err
}

// complete offers projects and environments.
func (f *Flags) complete(e *env.Env, cmd *cobra.Command) {
	completeProject(e, cmd)
	_ = cmd.RegisterFlagCompletionFunc("env", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return e.Complete(func(ctx context.Context, c *client.Client) ([]string, error) { return f.environments(ctx, e, c) })
	})
}

func completeProject(e *env.Env, cmd *cobra.Command) {
	_ = cmd.RegisterFlagCompletionFunc("project", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return e.Complete(func(ctx context.Context, c *client.Client) (names []string, err error) {
			page, err := c.ListProjects(ctx, 100, "")
			for _, p := range page.Items {
				names = append(names, p.Name)
			}
			return names, err
		})
	})
}

func (f *Flags) environments(ctx context.Context, e *env.Env, c *client.Client) (names []string, err error) {
	r, err := e.Settings(f.settings())
	if err != nil {
		return nil, err
	}
	p, err := c.GetProject(ctx, r.Project.Value)
	for _, one := range p.Environments {
		names = append(names, one.Name)
	}
	return names, err
}
