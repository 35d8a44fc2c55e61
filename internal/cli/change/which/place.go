// Package which finds what a command of the review workflow is about: the
// secret of an environment of a project, and one change.
//
// Project and environment come from the flags -p and -e, the environment, the
// project's file and the user's (package settings). Which secret that is, the
// server says; a project or an environment that it does not know is refused
// with those that it knows.
//
// A change is named by its id, or by as much of it as is unique, or it is the
// newest of the environment in force. The newest of all projects it never is:
// somebody who means to approve a change of one project must not get that of
// another.
package which

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/settings"
	"countersign/internal/client"
	"countersign/internal/errs"
)

// Flags say which project and environment. Empty members are not given.
type Flags struct{ Project, Env string }

// Add adds the flags to a command.
func (f *Flags) Add(e *env.Env, cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.Project, "project", "p", "", "the project, by `NAME` (default that of the configuration)")
	cmd.Flags().StringVarP(&f.Env, "env", "e", "", "its environment, by `NAME` (default that of the configuration)")
	f.complete(e, cmd)
}

// AddProject adds the flag of the project alone.
func (f *Flags) AddProject(e *env.Env, cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.Project, "project", "p", "", "the project, by `NAME` (default that of the configuration)")
	completeProject(e, cmd)
}

// Place is the secret that a command is about.
type Place struct {
	Project string `json:"project,omitempty"` // empty for a secret that was named itself
	Env     string `json:"env,omitempty"`
	Secret  string `json:"name"`
}

// String is PROJECT/ENV, or the secret's name.
func (p Place) String() string {
	if p.Project == "" {
		return p.Secret
	}
	return p.Project + "/" + p.Env
}

// Find is the secret of that name, or without one the environment in force.
func (f Flags) Find(ctx context.Context, e *env.Env, c *client.Client, name string) (Place, error) {
	if name != "" {
		if f.Project != "" || f.Env != "" {
			return Place{}, exit.Usagef("give either NAME or --project and --env")
		}
		return Place{Secret: name}, nil
	}
	r, err := e.Settings(f.settings())
	if err != nil {
		return Place{}, err
	}
	if _, err := r.NeedProject(); err != nil {
		return Place{}, err
	}
	if _, err := r.NeedEnv(); err != nil {
		return Place{}, err
	}
	p, err := project(ctx, c, r.Project)
	if err != nil {
		return Place{}, err
	}
	return environment(p, r.Env.Value, r.Env.From)
}

// All are the environments in force: the one that is named, or those of the
// project.
func (f Flags) All(ctx context.Context, e *env.Env, c *client.Client) ([]Place, error) {
	r, err := e.Settings(f.settings())
	if err != nil {
		return nil, err
	}
	if _, err := r.NeedProject(); err != nil {
		return nil, err
	}
	p, err := project(ctx, c, r.Project)
	if err != nil {
		return nil, err
	}
	if r.Env.Value != "" && !(f.Env == "" && f.Project != "") { // -p alone is all of it
		one, err := environment(p, r.Env.Value, r.Env.From)
		return []Place{one}, err
	}
	return places(p), nil
}

// Pair is two environments of one project.
func (f Flags) Pair(ctx context.Context, e *env.Env, c *client.Client, one, two string) (a, b Place, err error) {
	r, err := e.Settings(f.settings())
	if err != nil {
		return a, b, err
	}
	if _, err := r.NeedProject(); err != nil {
		return a, b, err
	}
	p, err := project(ctx, c, r.Project)
	if err != nil {
		return a, b, err
	}
	if a, err = environment(p, one, ""); err != nil {
		return a, b, err
	}
	b, err = environment(p, two, "")
	return a, b, err
}

func (f Flags) settings() settings.Flags { return settings.Flags{Project: f.Project, Env: f.Env} }

// most is how many names an error lists.
const most = 20

// project asks the server for a project.
func project(ctx context.Context, c *client.Client, s settings.Setting) (client.Project, error) {
	p, err := c.GetProject(ctx, s.Value)
	if !client.Is(err, errs.NotFound) {
		return p, err
	}
	msg := fmt.Sprintf("there is no project %q%s", s.Value, from(s.From))
	if known, err := c.ListProjects(ctx, most, ""); err == nil {
		var names []string
		for _, k := range known.Items {
			names = append(names, k.Name)
		}
		msg += there(names, known.Next != "")
	}
	return p, exit.With(exit.NotFound, fmt.Errorf("%s", msg))
}

func environment(p client.Project, name, source string) (Place, error) {
	var names []string
	for _, one := range places(p) {
		if one.Env == name {
			return one, nil
		}
		names = append(names, one.Env)
	}
	return Place{}, exit.With(exit.NotFound, fmt.Errorf("the project %q has no environment %q%s%s", p.Name, name, from(source),
		there(names[:min(most, len(names))], len(names) > most)))
}

// from says where a name is from that nobody typed now.
func from(source string) string {
	if source == "" || strings.HasPrefix(source, "--") {
		return ""
	}
	return fmt.Sprintf(" (which %s names)", source)
}

func there(names []string, more bool) string {
	switch {
	case len(names) == 0:
		return "; there is none"
	case more:
		names = append(names, "…")
	}
	return "; there is " + strings.Join(names, ", ")
}

func places(p client.Project) []Place {
	var out []Place
	for _, e := range p.Environments {
		out = append(out, Place{Project: p.Name, Env: e.Name, Secret: e.Secret})
	}
	return out
}

// Names are the environments of secrets, by the secrets' names. They are for
// showing: where they cannot be had there are none.
type Names map[string]Place

// maxNames bounds the projects that are looked at.
const maxNames = 1000

// Known asks for the projects that the caller may see.
func Known(ctx context.Context, c *client.Client) Names {
	projects, _, err := env.All(maxNames, func(limit int, page string) (client.Page[client.Project], error) {
		return c.ListProjects(ctx, limit, page)
	})
	if err != nil {
		return nil
	}
	out := Names{}
	for _, p := range projects {
		for _, one := range places(p) {
			out[one.Secret] = one
		}
	}
	return out
}

// Of says in a word what a change is about.
func (n Names) Of(c client.Change) string {
	if c.Noun != "secret" && c.Noun != "" {
		return c.Noun + ":" + c.Name
	}
	if p, ok := n[c.Name]; ok {
		return p.String()
	}
	return c.Name
}
