package native

import (
	"context"

	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/project"
)

type createProjectBody struct {
	Name         string   `json:"name"`
	Environments []string `json:"environments"`
	Template     string   `json:"template"`
	Description  string   `json:"description"`
	Reason       string   `json:"reason"`
	options
}

type updateProjectBody struct {
	Add         []string `json:"add"`
	Remove      []string `json:"remove"`
	Description *string  `json:"description"`
	Reason      string   `json:"reason"`
	options
}

func projectRows() []route {
	return []route{
		row(route{method: "GET", path: "/projects", op: policy.ListProjects, deadline: deadline, workflow: true, params: []param{limit, page}},
			func(a *api, c *call, _ *none) func(context.Context) (list[project.Project], error) {
				n, after := c.page()
				return func(ctx context.Context) (list[project.Project], error) {
					out, err := a.Projects.List(ctx, c.who, after, n)
					next := ""
					if out.Next != "" {
						next = encodePage(out.Next)
					}
					return listOf(out.Projects, next), err
				}
			}),
		row(route{method: "POST", path: "/projects", op: policy.CreateProject, deadline: deadline, workflow: true, once: true},
			func(a *api, c *call, in *createProjectBody) func(context.Context) (project.Written, error) {
				req := project.CreateRequest{Name: in.Name, Environments: in.Environments, Template: in.Template, Description: in.Description,
					Reason: in.Reason, Options: in.options.of(c)}
				return func(ctx context.Context) (project.Written, error) { return a.Projects.Create(ctx, c.who, req) }
			}),
		row(route{method: "GET", path: "/projects/{name}", op: policy.GetProject, deadline: deadline, workflow: true},
			func(a *api, c *call, _ *none) func(context.Context) (project.Project, error) {
				return func(ctx context.Context) (project.Project, error) { return a.Projects.Get(ctx, c.who, c.vars[0]) }
			}),
		row(route{method: "PATCH", path: "/projects/{name}", op: policy.UpdateProject, deadline: deadline, workflow: true, once: true},
			func(a *api, c *call, in *updateProjectBody) func(context.Context) (project.Written, error) {
				req := project.UpdateRequest{Name: c.vars[0], Add: in.Add, Remove: in.Remove, Description: in.Description,
					Reason: in.Reason, Options: in.options.of(c)}
				return func(ctx context.Context) (project.Written, error) { return a.Projects.Update(ctx, c.who, req) }
			}),
		row(route{method: "DELETE", path: "/projects/{name}", op: policy.DeleteProject, deadline: deadline, workflow: true, once: true, params: []param{reason}},
			func(a *api, c *call, _ *none) func(context.Context) (change.Result, error) {
				req := project.DeleteRequest{Name: c.vars[0], Reason: c.string("reason"), Options: change.Options{Key: c.key}}
				return func(ctx context.Context) (change.Result, error) { return a.Projects.Delete(ctx, c.who, req) }
			}),
	}
}
