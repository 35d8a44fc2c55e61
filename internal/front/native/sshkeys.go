package native

import (
	"context"

	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
)

type sshKeyBody struct {
	Key   string `json:"key"`
	Label string `json:"label"`
}

func sshKeyRows() []route {
	fingerprint := param{name: "fingerprint", kind: text, required: true}
	return []route{
		row(route{method: "GET", path: "/users/{name}/ssh-keys", op: policy.ListSSHKeys, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (list[authn.SSHKey], error) {
				return func(ctx context.Context) (list[authn.SSHKey], error) {
					out, err := a.Authn.ListSSHKeys(ctx, c.who, c.vars[0])
					return listOf(out, ""), err
				}
			}),
		row(route{method: "POST", path: "/users/{name}/ssh-keys", op: policy.UploadSSHKey, deadline: deadline},
			func(a *api, c *call, in *sshKeyBody) func(context.Context) (authn.SSHKey, error) {
				return func(ctx context.Context) (authn.SSHKey, error) {
					return a.Authn.AddSSHKey(ctx, c.who, c.vars[0], in.Key, in.Label)
				}
			}),
		row(route{method: "DELETE", path: "/users/{name}/ssh-keys", op: policy.DeleteSSHKey, deadline: deadline, params: []param{fingerprint}},
			func(a *api, c *call, _ *none) func(context.Context) (change.Result, error) {
				of := c.string("fingerprint")
				return func(ctx context.Context) (change.Result, error) {
					return a.Authn.RemoveSSHKey(ctx, c.who, c.vars[0], of)
				}
			}),
	}
}
