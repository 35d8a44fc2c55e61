package native

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// pageOf cuts a listing that was asked for one more than limit.
func pageOf[T any](items []T, limit int, name func(T) string) list[T] {
	if len(items) <= limit {
		return listOf(items, "")
	}
	items = items[:limit]
	return listOf(items, encodePage(name(items[limit-1])))
}

// some makes an absent list an empty one.
func some(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func viewUser(p authn.Principal) authn.Principal {
	p.Groups, p.Policies = some(p.Groups), some(p.Policies)
	return p
}

func viewGroup(g authn.Group) authn.Group {
	g.Policies = some(g.Policies)
	return g
}

type userBody struct {
	Name    string            `json:"name"`
	Machine bool              `json:"machine"`
	Tags    map[string]string `json:"tags"`
	Person  string            `json:"person"`
}

type userUpdateBody struct {
	Disabled *bool             `json:"disabled"`
	Tags     map[string]string `json:"tags"`
	Untag    []string          `json:"untag"`
	Person   *string           `json:"person"`
}

func userRows() []route {
	return []route{
		row(route{method: "GET", path: "/users", op: policy.ListUsers, deadline: deadline, params: []param{limit, page}},
			func(a *api, c *call, _ *none) func(context.Context) (list[authn.Principal], error) {
				n, after := c.page()
				return func(ctx context.Context) (list[authn.Principal], error) {
					out, err := a.Authn.ListUsers(ctx, c.who, after, n+1)
					return pageOf(views(out, viewUser), n, func(p authn.Principal) string { return p.Name }), err
				}
			}),
		row(route{method: "POST", path: "/users", op: policy.CreateUser, deadline: deadline},
			func(a *api, c *call, in *userBody) func(context.Context) (authn.Principal, error) {
				return func(ctx context.Context) (authn.Principal, error) {
					out, err := a.Authn.CreateUser(ctx, c.who, authn.CreateUserRequest{Name: in.Name, Machine: in.Machine, Tags: in.Tags, Person: in.Person})
					return viewUser(out), err
				}
			}),
		row(route{method: "GET", path: "/users/{name}", op: policy.GetUser, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (authn.Principal, error) {
				return func(ctx context.Context) (authn.Principal, error) {
					out, err := a.Authn.GetUser(ctx, c.who, c.vars[0])
					return viewUser(out), err
				}
			}),
		row(route{method: "PATCH", path: "/users/{name}", op: policy.UpdateUser, deadline: deadline},
			func(a *api, c *call, in *userUpdateBody) func(context.Context) (authn.Principal, error) {
				return func(ctx context.Context) (authn.Principal, error) {
					out, err := a.Authn.UpdateUser(ctx, c.who, authn.UpdateUserRequest{Name: c.vars[0], Disabled: in.Disabled, SetTags: in.Tags, Untag: in.Untag, Person: in.Person})
					return viewUser(out), err
				}
			}),
		row(route{method: "DELETE", path: "/users/{name}", op: policy.DeleteUser, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (change.Result, error) {
				return func(ctx context.Context) (change.Result, error) {
					return a.Authn.DeleteUser(ctx, c.who, c.vars[0])
				}
			}),
	}
}

type groupBody struct {
	Name string `json:"name"`
}

func groupRows() []route {
	return []route{
		row(route{method: "GET", path: "/groups", op: policy.ListGroups, deadline: deadline, params: []param{limit, page}},
			func(a *api, c *call, _ *none) func(context.Context) (list[authn.Group], error) {
				n, after := c.page()
				return func(ctx context.Context) (list[authn.Group], error) {
					out, err := a.Authn.ListGroups(ctx, c.who, after, n+1)
					return pageOf(views(out, viewGroup), n, func(g authn.Group) string { return g.Name }), err
				}
			}),
		row(route{method: "POST", path: "/groups", op: policy.CreateGroup, deadline: deadline},
			func(a *api, c *call, in *groupBody) func(context.Context) (authn.Group, error) {
				return func(ctx context.Context) (authn.Group, error) {
					out, err := a.Authn.CreateGroup(ctx, c.who, in.Name)
					return viewGroup(out), err
				}
			}),
		row(route{method: "GET", path: "/groups/{name}", op: policy.GetGroup, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (authn.Group, error) {
				return func(ctx context.Context) (authn.Group, error) {
					out, err := a.Authn.GetGroup(ctx, c.who, c.vars[0])
					return viewGroup(out), err
				}
			}),
		row(route{method: "DELETE", path: "/groups/{name}", op: policy.DeleteGroup, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (change.Result, error) {
				return func(ctx context.Context) (change.Result, error) {
					return a.Authn.DeleteGroup(ctx, c.who, c.vars[0])
				}
			}),
		row(route{method: "PUT", path: "/groups/{name}/members/{user}", op: policy.AddToGroup, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (change.Result, error) {
				return func(ctx context.Context) (change.Result, error) {
					return a.Authn.AddToGroup(ctx, c.who, c.vars[0], c.vars[1])
				}
			}),
		row(route{method: "DELETE", path: "/groups/{name}/members/{user}", op: policy.RemoveFromGroup, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (change.Result, error) {
				return func(ctx context.Context) (change.Result, error) {
					return a.Authn.RemoveFromGroup(ctx, c.who, c.vars[0], c.vars[1])
				}
			}),
	}
}

// newKeyView is an access key with its secret. The tags say what appendJSON
// writes.
type newKeyView struct {
	authn.KeyInfo
	Secret hidden `json:"secret"`
	Token  hidden `json:"token"`
}

func viewNewKey(k authn.NewKey, err error) (newKeyView, error) {
	if err != nil {
		return newKeyView{}, err
	}
	token := sensitive.FromString(authn.Token(k.ID, string(k.Secret.Reveal())))
	return newKeyView{KeyInfo: k.KeyInfo, Secret: hidden{k.Secret}, Token: hidden{token}}, nil
}

func (k newKeyView) appendJSON(b []byte) []byte {
	b = append(b, `{"id":`...)
	b = appendQuoted(b, []byte(k.ID))
	b = append(b, `,"owner":`...)
	b = appendQuoted(b, []byte(k.Owner))
	if len(k.Policies) > 0 {
		b = append(b, `,"policies":[`...)
		for i, p := range k.Policies {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendQuoted(b, []byte(p))
		}
		b = append(b, ']')
	}
	if k.Description != "" {
		b = append(b, `,"description":`...)
		b = appendQuoted(b, []byte(k.Description))
	}
	b = append(b, `,"created":"`...)
	b = k.Created.AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	if !k.Expires.IsZero() {
		b = append(b, `,"expires":"`...)
		b = k.Expires.AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	}
	b = append(b, `,"secret":`...)
	b = appendQuoted(b, k.Secret.Reveal())
	b = append(b, `,"token":`...)
	b = appendQuoted(b, k.Token.Reveal())
	return append(b, "}\n"...)
}

type keyBody struct {
	Owner       string    `json:"owner"`
	Policies    []string  `json:"policies"`
	Expires     time.Time `json:"expires"`
	Description string    `json:"description"`
}

type accountBody struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func keyRows() []route {
	owner := param{name: "owner", kind: text}
	mustOwner := param{name: "owner", kind: text, required: true}
	return []route{
		row(route{method: "GET", path: "/keys", op: policy.ListKeys, deadline: deadline, params: []param{owner}},
			func(a *api, c *call, _ *none) func(context.Context) (list[authn.KeyInfo], error) {
				of := c.string("owner")
				return func(ctx context.Context) (list[authn.KeyInfo], error) {
					out, err := a.Authn.ListKeys(ctx, c.who, of)
					return listOf(out, ""), err
				}
			}),
		row(route{method: "POST", path: "/keys", op: policy.CreateKey, deadline: deadline},
			func(a *api, c *call, in *keyBody) func(context.Context) (newKeyView, error) {
				if y := in.Expires.Year(); !in.Expires.IsZero() && (y < 1970 || y > 2200) {
					c.fail("expires", "the expiry is out of range")
				}
				return func(ctx context.Context) (newKeyView, error) {
					return viewNewKey(a.Authn.CreateKey(ctx, c.who, authn.CreateKeyRequest{Owner: in.Owner, Policies: in.Policies,
						Expires: in.Expires, Description: in.Description}))
				}
			}),
		row(route{method: "DELETE", path: "/keys/{id}", op: policy.RevokeKey, deadline: deadline, params: []param{mustOwner}},
			func(a *api, c *call, _ *none) func(context.Context) (change.Result, error) {
				of := c.string("owner")
				return func(ctx context.Context) (change.Result, error) {
					return a.Authn.RevokeKey(ctx, c.who, of, c.vars[0])
				}
			}),
		row(route{method: "GET", path: "/accounts", op: policy.ListAccounts, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (list[authn.Account], error) {
				return func(ctx context.Context) (list[authn.Account], error) {
					out, err := a.Authn.ListAccounts(ctx, c.who)
					return listOf(out, ""), err
				}
			}),
		row(route{method: "POST", path: "/accounts", op: policy.CreateAccount, deadline: deadline},
			func(a *api, c *call, in *accountBody) func(context.Context) (newKeyView, error) {
				return func(ctx context.Context) (newKeyView, error) {
					return viewNewKey(a.Authn.CreateAccount(ctx, c.who, in.ID, in.Name))
				}
			}),
	}
}

type policyBody struct {
	Document    document `json:"document"`
	Description string   `json:"description"`
}

type holderBody struct {
	User  string `json:"user"`
	Group string `json:"group"`
}

type policyTestBody struct {
	User     string            `json:"user"`
	Action   string            `json:"action"`
	Resource string            `json:"resource"`
	Path     string            `json:"path"`
	Tags     map[string]string `json:"tags"`
	Context  map[string]string `json:"context"`
}

func policyRows() []route {
	holder := []param{{name: "user", kind: text}, {name: "group", kind: text}}
	return []route{
		row(route{method: "GET", path: "/policies", op: policy.ListPolicies, deadline: deadline, params: []param{limit, page}}, listPolicies),
		row(route{method: "GET", path: "/policies/{name}", op: policy.GetPolicy, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (authn.Policy, error) {
				return func(ctx context.Context) (authn.Policy, error) { return a.Authn.GetPolicy(ctx, c.who, c.vars[0]) }
			}),
		row(route{method: "PUT", path: "/policies/{name}", op: policy.PutPolicy, deadline: deadline},
			func(a *api, c *call, in *policyBody) func(context.Context) (authn.Policy, error) {
				return func(ctx context.Context) (authn.Policy, error) {
					return a.Authn.PutPolicy(ctx, c.who, c.vars[0], in.Document.text, in.Description)
				}
			}),
		row(route{method: "DELETE", path: "/policies/{name}", op: policy.DeletePolicy, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (change.Result, error) {
				return func(ctx context.Context) (change.Result, error) {
					return a.Authn.DeletePolicy(ctx, c.who, c.vars[0])
				}
			}),
		row(route{method: "PUT", path: "/policies/{name}/attachments", op: policy.AttachPolicy, deadline: deadline, mayLack: true, params: holder},
			attachment((*authn.Service).Attach)),
		row(route{method: "DELETE", path: "/policies/{name}/attachments", op: policy.DetachPolicy, deadline: deadline, mayLack: true, params: holder},
			attachment((*authn.Service).Detach)),
		row(route{method: "POST", path: "/policy-test", op: policy.TestPolicy, deadline: deadline},
			func(a *api, c *call, in *policyTestBody) func(context.Context) (authn.TestResult, error) {
				req := authn.TestRequest{User: in.User, Action: in.Action, Resource: in.Resource, Path: in.Path, Tags: in.Tags, Context: in.Context}
				switch {
				case req.Path != "" && req.Resource != "":
					c.fail("path", "name either a resource or a path")
				case req.Resource == "":
					req.Resource = policy.AnyResource
				}
				return func(ctx context.Context) (authn.TestResult, error) {
					return a.Authn.TestPolicy(ctx, c.who, req, a.Secrets.Resources())
				}
			}),
	}
}

// listPolicies lists; the built-in ones come first and do not count.
func listPolicies(a *api, c *call, _ *none) func(context.Context) (list[authn.Policy], error) {
	n, after := c.page()
	return func(ctx context.Context) (list[authn.Policy], error) {
		out, err := a.Authn.ListPolicies(ctx, c.who, after, n+1)
		if err != nil {
			return list[authn.Policy]{}, err
		}
		builtin := 0
		for builtin < len(out) && out[builtin].Builtin {
			builtin++
		}
		return pageOf(out, builtin+n, func(p authn.Policy) string { return p.Name }), nil
	}
}

// attachment attaches or detaches. The holder stands in the body, or in the query
// for clients that send no body with DELETE.
func attachment(do func(*authn.Service, context.Context, caller.Caller, authn.Attachment) (change.Result, error)) func(*api, *call, *holderBody) func(context.Context) (change.Result, error) {
	return func(a *api, c *call, in *holderBody) func(context.Context) (change.Result, error) {
		at := authn.Attachment{Policy: c.vars[0], User: in.User, Group: in.Group}
		if u, g := c.string("user"), c.string("group"); u != "" || g != "" {
			if in.User != "" || in.Group != "" {
				c.fail("user", "name the user or group in the body or in the query, not in both")
			}
			at.User, at.Group = u, g
		}
		if c.err == nil && (at.User == "") == (at.Group == "") {
			c.err = errs.InvalidField("user", "name either a user or a group")
		}
		return func(ctx context.Context) (change.Result, error) { return do(a.Authn, ctx, c.who, at) }
	}
}
