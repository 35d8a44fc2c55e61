package native

import (
	"context"

	"countersign/internal/core/policy"
	"countersign/internal/core/schema"
	"countersign/internal/core/secret"
)

// schemaView is the schema that a secret's value has to fit.
type schemaView struct {
	ARN      string `json:"arn"`
	Name     string `json:"name"`
	Document string `json:"document,omitempty"`
}

type schemaBody struct {
	Document document `json:"document"`
	Reason   string   `json:"reason"`
	options
}

type checkBody struct {
	payload
}

// checkedView tells whether a value that was presented would be taken.
type checkedView struct {
	Schema   bool             `json:"schema"`
	Fits     bool             `json:"fits"`
	Problems []schema.Problem `json:"problems,omitempty"`
}

type replicateBody struct {
	Replicas []replicaBody `json:"replicas"`
	Force    bool          `json:"force"`
	Reason   string        `json:"reason"`
}

func schemaRows() []route {
	return []route{
		row(route{method: "GET", path: "/secret/schema", op: policy.GetSchema, deadline: deadline, params: []param{named}},
			func(a *api, c *call, _ *none) func(context.Context) (schemaView, error) {
				id := c.secret()
				return func(ctx context.Context) (schemaView, error) {
					s, err := a.Secrets.GetSchema(ctx, c.who, id)
					return schemaView{ARN: s.ARN, Name: s.Name, Document: string(s.Text)}, err
				}
			}),
		row(route{method: "PUT", path: "/secret/schema", op: policy.PutSchema, deadline: deadline, once: true, params: []param{named}},
			func(a *api, c *call, in *schemaBody) func(context.Context) (written, error) {
				req := secret.SchemaRequest{ID: c.secret(), Text: []byte(in.Document.text), Reason: in.Reason, Options: in.options.of(c)}
				return func(ctx context.Context) (written, error) {
					return viewWritten(a.Secrets.PutSchema(ctx, c.who, req))
				}
			}),
		row(route{method: "DELETE", path: "/secret/schema", op: policy.DeleteSchema, deadline: deadline, params: []param{named, reason}},
			func(a *api, c *call, _ *none) func(context.Context) (written, error) {
				id, why := c.secret(), c.string("reason")
				return func(ctx context.Context) (written, error) {
					return viewWritten(a.Secrets.DeleteSchema(ctx, c.who, id, why))
				}
			}),
		row(route{method: "POST", path: "/secret/schema/check", op: policy.GetSchema, name: "CheckSchema", deadline: deadline, params: []param{named}}, checkSchema),
		row(route{method: "POST", path: "/secret/replicas", op: policy.Replicate, deadline: deadline, params: []param{named}},
			func(a *api, c *call, in *replicateBody) func(context.Context) (written, error) {
				id := c.secret()
				add := views(in.Replicas, func(r replicaBody) secret.Replica { return secret.Replica{Region: r.Region, KMSKey: r.KMSKey} })
				return func(ctx context.Context) (written, error) {
					return viewWritten(a.Secrets.Replicate(ctx, c.who, id, add, in.Force, in.Reason))
				}
			}),
		row(route{method: "DELETE", path: "/secret/replicas", op: policy.RemoveReplicas, deadline: deadline, params: []param{named,
			{name: "replica", kind: text, required: true, repeats: true}, reason}},
			func(a *api, c *call, _ *none) func(context.Context) (written, error) {
				id, regions, why := c.secret(), c.strings("replica"), c.string("reason")
				return func(ctx context.Context) (written, error) {
					return viewWritten(a.Secrets.RemoveReplicas(ctx, c.who, id, regions, why))
				}
			}),
	}
}

func checkSchema(a *api, c *call, in *checkBody) func(context.Context) (checkedView, error) {
	id, value := c.secret(), in.input(c)
	if value == nil {
		c.fail("value", "give the value that is to be checked")
		return nil
	}
	return func(ctx context.Context) (checkedView, error) {
		v, err := a.Secrets.CheckSchema(ctx, c.who, id, *value)
		return checkedView{Schema: v.Schema, Fits: len(v.Problems) == 0, Problems: v.Problems}, err
	}
}
