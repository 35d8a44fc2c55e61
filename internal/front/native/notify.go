package native

import (
	"context"

	"countersign/internal/core/notify"
	"countersign/internal/core/policy"
)

// targetBody is what a target is to be. What is absent stays as it was.
type targetBody struct {
	Type   notify.Type `json:"type"`
	Kinds  *[]string   `json:"kinds"`
	Names  *[]string   `json:"names"`
	URL    hidden      `json:"url"`
	Secret hidden      `json:"secret"`
	Rotate bool        `json:"rotate"`
	To     *[]string   `json:"to"`
	Reason string      `json:"reason"`
}

// putTargetView is a target, with its signing key when the server made one.
type putTargetView struct {
	notify.Target
	Secret *told `json:"secret,omitempty"`
}

func viewPutTarget(out notify.PutResult) putTargetView {
	v := putTargetView{Target: out.Target}
	if out.Secret.Len() > 0 {
		v.Secret = &told{out.Secret}
	}
	return v
}

func notifyRows() []route {
	return []route{
		row(route{method: "GET", path: "/notify/targets", op: policy.ListNotifyTargets, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (list[notify.Target], error) {
				return func(ctx context.Context) (list[notify.Target], error) {
					out, err := a.Notify.List(ctx, c.who)
					return listOf(out, ""), err
				}
			}),
		row(route{method: "PUT", path: "/notify/targets/{name}", op: policy.PutNotifyTarget, deadline: deadline},
			func(a *api, c *call, in *targetBody) func(context.Context) (putTargetView, error) {
				req := notify.PutRequest{Name: c.vars[0], Type: in.Type, Kinds: in.Kinds, Names: in.Names, URL: in.URL.Bytes,
					Secret: in.Secret.Bytes, Rotate: in.Rotate, To: in.To, Reason: in.Reason}
				return func(ctx context.Context) (putTargetView, error) {
					out, err := a.Notify.Put(ctx, c.who, req)
					return viewPutTarget(out), err
				}
			}),
		row(route{method: "DELETE", path: "/notify/targets/{name}", op: policy.DeleteNotifyTarget, deadline: deadline, params: []param{reason}},
			func(a *api, c *call, _ *none) func(context.Context) (none, error) {
				why := c.string("reason")
				return func(ctx context.Context) (none, error) {
					return none{}, a.Notify.Delete(ctx, c.who, c.vars[0], why)
				}
			}),
		row(route{method: "POST", path: "/notify/targets/{name}/test", op: policy.TestNotifyTarget, deadline: 2 * deadline, workflow: true},
			func(a *api, c *call, _ *none) func(context.Context) (notify.TestResult, error) {
				return func(ctx context.Context) (notify.TestResult, error) { return a.Notify.Try(ctx, c.who, c.vars[0]) }
			}),
		row(route{method: "GET", path: "/notify/dead-letters", op: policy.ListDeadLetters, deadline: deadline, params: []param{limit, page}},
			func(a *api, c *call, _ *none) func(context.Context) (list[notify.Letter], error) {
				n, after := c.page()
				return func(ctx context.Context) (list[notify.Letter], error) {
					out, next, err := a.Notify.Letters(ctx, c.who, after, n)
					if next != "" {
						next = encodePage(next)
					}
					return listOf(out, next), err
				}
			}),
		row(route{method: "POST", path: "/notify/dead-letters/{id}/replay", op: policy.ReplayDeadLetter, deadline: deadline, params: []param{reason}},
			func(a *api, c *call, _ *none) func(context.Context) (notify.Letter, error) {
				why := c.string("reason")
				return func(ctx context.Context) (notify.Letter, error) { return a.Notify.Replay(ctx, c.who, c.vars[0], why) }
			}),
	}
}
