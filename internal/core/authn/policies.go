package authn

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Policy is a stored or built-in policy as it is shown.
type Policy struct {
	Name        string         `json:"name"`
	ARN         string         `json:"arn"`
	Description string         `json:"description,omitempty"`
	Dialect     policy.Dialect `json:"dialect"`
	Document    string         `json:"document,omitempty"` // as it was written; of one policy only, not in listings
	Builtin     bool           `json:"builtin,omitempty"`
	Created     time.Time      `json:"created,omitzero"`
	Changed     time.Time      `json:"changed,omitzero"`
	// Of the answer to a write: the change, and whether it was applied. While it
	// waits, the rest is what is proposed.
	Change string        `json:"change,omitempty"`
	Status change.Status `json:"status,omitempty"`
}

// builtin finds a built-in policy.
func builtin(n string) (policy.Builtin, bool) {
	for _, b := range policy.Builtins() {
		if b.Name == n {
			return b, true
		}
	}
	return policy.Builtin{}, false
}

// policyText is the document of a stored or built-in policy.
func policyText(r kv.Reader, acct, n string) (string, error) {
	if b, ok := builtin(n); ok {
		return b.Document, nil
	}
	p, err := must[storedPolicy](r, policyKey(acct, n), "policy")
	return p.Text, err
}

func mustHavePolicies(r kv.Reader, acct string, names []string) error {
	if len(names) > MaxPolicies {
		return errs.New(errs.Limit, "at most %d policies can be attached", MaxPolicies)
	}
	for _, n := range names {
		if err := name.Principal("Policy", n); err != nil {
			return err
		}
		if _, err := policyText(r, acct, n); err != nil {
			return err
		}
	}
	return nil
}

type putPolicy struct {
	Text        string `cbor:"1,keyasint"`
	Description string `cbor:"2,keyasint,omitempty"`

	out storedPolicy
}

func (d *putPolicy) noun() string           { return nounPolicy }
func (d *putPolicy) asks(string) []question { return []question{{op: policy.PutPolicy}} }

func (d *putPolicy) says(n string) []string {
	lines := []string{"put policy " + n}
	if d.Description != "" {
		lines = append(lines, "description: "+d.Description)
	}
	return append(lines, strings.Split(strings.TrimRight(d.Text, "\n"), "\n")...)
}

func (d *putPolicy) rests(t change.Target) []kv.Key { return []kv.Key{policyKey(t.Account, t.Name)} }

func (d *putPolicy) apply(_ *Service, tx *change.Tx, t change.Target) error {
	if _, ok := builtin(t.Name); ok {
		return errs.Coded(errs.Precondition, CodeReserved, "the policy is built in and cannot be changed")
	}
	if len(d.Text) > MaxPolicy {
		return errs.New(errs.Limit, "a policy has at most %d bytes", MaxPolicy)
	}
	if err := name.Text("Description", d.Description, 1000); err != nil {
		return err
	}
	doc, err := policy.Parse([]byte(d.Text), policy.Identity)
	if err != nil {
		return err
	}
	d.out = storedPolicy{Text: d.Text, Dialect: doc.Dialect(), Description: d.Description, Created: micros(tx.Now), Changed: micros(tx.Now)}
	old, ok, err := record.Get[storedPolicy](tx, policyKey(t.Account, t.Name))
	if err != nil {
		return err
	}
	if ok {
		d.out.Created = old.Created
	}
	return record.Put(tx, policyKey(t.Account, t.Name), d.out)
}

// PutPolicy creates or replaces a policy, in either dialect. It counts from the next request on
// for everybody that it is attached to.
func (s *Service) PutPolicy(ctx context.Context, who caller.Caller, n, document, description string) (Policy, error) {
	d := &putPolicy{Text: document, Description: description}
	res, err := s.perform(ctx, who, n, d)
	if err != nil {
		return Policy{}, err
	}
	if res.Status != change.Applied {
		if doc, err := policy.Parse([]byte(document), policy.Identity); err == nil {
			d.out.Dialect = doc.Dialect()
		}
	}
	out := showPolicy(who.Account, n, d.out)
	out.Document, out.Change, out.Status = document, res.ID, res.Status
	if res.Status != change.Applied {
		out.Created, out.Changed = time.Time{}, time.Time{}
	}
	return out, nil
}

type deletePolicy struct{}

func (d *deletePolicy) noun() string           { return nounPolicy }
func (d *deletePolicy) asks(string) []question { return []question{{op: policy.DeletePolicy}} }
func (d *deletePolicy) says(n string) []string { return []string{"delete policy " + n} }

func (d *deletePolicy) rests(t change.Target) []kv.Key { return []kv.Key{policyKey(t.Account, t.Name)} }

func (d *deletePolicy) apply(_ *Service, tx *change.Tx, t change.Target) error {
	if _, ok := builtin(t.Name); ok {
		return errs.Coded(errs.Precondition, CodeReserved, "the policy is built in and cannot be deleted")
	}
	if _, err := must[storedPolicy](tx, policyKey(t.Account, t.Name), "policy"); err != nil {
		return err
	}
	used, err := policyUsed(tx, t.Account, t.Name)
	if err != nil {
		return err
	}
	if used {
		return errs.Coded(errs.Precondition, CodeInUse, "the policy is attached to a user, a group or an access key")
	}
	return tx.Delete(policyKey(t.Account, t.Name))
}

// DeletePolicy removes a policy that nothing refers to.
func (s *Service) DeletePolicy(ctx context.Context, who caller.Caller, n string) (change.Result, error) {
	return s.perform(ctx, who, n, &deletePolicy{})
}

// policyUsed looks at everything that policies hang on.
func policyUsed(r kv.Reader, acct, n string) (used bool, err error) {
	see := func(names []string) { used = used || slices.Contains(names, n) }
	const all = 1 << 30
	if err = list(r, kv.K(acct, "principal"), "", all, func(_ string, p principal) { see(p.Policies) }); err != nil {
		return false, err
	}
	if err = list(r, kv.K(acct, "group"), "", all, func(_ string, g group) { see(g.Policies) }); err != nil {
		return false, err
	}
	err = list(r, kv.K(acct, "key"), "", all, func(_ string, k accessKey) { see(k.Policies) })
	return used, err
}

// GetPolicy returns a policy with its document.
func (s *Service) GetPolicy(ctx context.Context, who caller.Caller, n string) (Policy, error) {
	var out Policy
	err := s.view(ctx, who, policy.GetPolicy, safeName(n), policy.PolicyARN(who.Account, n), func(r kv.Reader) error {
		if b, ok := builtin(n); ok {
			out = showBuiltin(who.Account, b)
			out.Document = b.Document
			return nil
		}
		p, err := must[storedPolicy](r, policyKey(who.Account, n), "policy")
		out = showPolicy(who.Account, n, p)
		out.Document = p.Text
		return err
	})
	if err != nil {
		return Policy{}, err
	}
	return out, nil
}

func showBuiltin(acct string, b policy.Builtin) Policy {
	return Policy{Name: b.Name, ARN: policy.PolicyARN(acct, b.Name), Description: b.About, Dialect: b.Dialect, Builtin: true}
}

func showPolicy(acct, n string, p storedPolicy) Policy {
	return Policy{Name: n, ARN: policy.PolicyARN(acct, n), Description: p.Description, Dialect: cmp.Or(p.Dialect, policy.IAM), Created: when(p.Created), Changed: when(p.Changed)}
}

// ListPolicies lists the built-in policies and then the account's own by name,
// after the given name, at most max (default 1000).
func (s *Service) ListPolicies(ctx context.Context, who caller.Caller, after string, max int) ([]Policy, error) {
	var out []Policy
	err := s.view(ctx, who, policy.ListPolicies, "", policy.AnyResource, func(r kv.Reader) error {
		out = nil
		if after == "" {
			for _, b := range policy.Builtins() {
				out = append(out, showBuiltin(who.Account, b))
			}
		}
		return list(r, kv.K(who.Account, "policy"), after, max, func(n string, p storedPolicy) {
			out = append(out, showPolicy(who.Account, n, p))
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// TestRequest asks whether a principal could do an operation on a resource,
// without doing it.
type TestRequest struct {
	User string
	// Action is the canonical name or the IAM action, and Resource an ARN or "*";
	// or, with Path, a capability of the Vault dialect on that path.
	Action   string
	Resource string
	Path     string
	Tags     map[string]string // of the resource
	// Context is further condition keys. What is said of the circumstances
	// (aws:SourceIp, aws:SecureTransport, aws:CurrentTime, aws:RequestedRegion,
	// aws:UserAgent, countersign:Front) takes the place of those of the
	// question itself.
	Context map[string]string
}

// TestResult is the decision that the request would have had.
type TestResult struct {
	Allowed   bool     `json:"allowed"`
	Effect    string   `json:"effect"`
	Policy    string   `json:"policy,omitempty"`
	Statement string   `json:"statement,omitempty"`
	Missing   []string `json:"missing,omitempty"`
}

// Resources finds the policy and tags on a resource for TestPolicy; nil when
// it has none. It is asked about resources of the caller's own account alone.
type Resources interface {
	// Whole completes an ARN that ends in name.UnknownSuffix where there is such a
	// thing; any other it returns as it is.
	Whole(r kv.Reader, arn string) (string, error)
	Describe(r kv.Reader, arn string) (resource *policy.Set, tags map[string]string, err error)
}

// TestPolicy evaluates the principal's policies, and the resource's own, as
// they are now. Of a resource in another account nothing is looked up, so that
// the answer is the same whether it exists or not.
func (s *Service) TestPolicy(ctx context.Context, who caller.Caller, req TestRequest, things Resources) (TestResult, error) {
	var out TestResult
	err := s.view(ctx, who, policy.TestPolicy, safeName(req.User), caller.UserARN(who.Account, req.User), func(r kv.Reader) error {
		p, err := must[principal](r, principalKey(who.Account, req.User), "user")
		if err != nil {
			return err
		}
		subject, err := callerOf(r, who.Account, req.User, &p)
		if err != nil {
			return err
		}
		subject.Region, subject.Source, subject.Secure, subject.Time, subject.Front = who.Region, who.Source, who.Secure, who.Time, who.Front
		ask := &policy.Request{Caller: subject, Resource: req.Resource, Tags: req.Tags}
		if err := s.meant(r, ask, req, things); err != nil {
			return err
		}
		owner := ownerOf(ask.Resource, who.Account)
		ask.Account = owner
		if err := suppose(ask, req.Context); err != nil {
			return err
		}
		var set *policy.Set
		if owner == who.Account {
			var tags map[string]string
			if set, tags, err = things.Describe(r, ask.Resource); err != nil {
				return err
			}
			if ask.Tags == nil {
				ask.Tags = tags
			}
		}
		d, err := s.Authorize(r, 0, ask, set)
		out = TestResult{Allowed: d.Allowed, Effect: d.Effect, Policy: d.Policy, Statement: d.Statement, Missing: d.Missing}
		return err
	})
	if err != nil {
		return TestResult{}, err
	}
	return out, nil
}

// meant finds the operation that a question is about.
func (s *Service) meant(r kv.Reader, ask *policy.Request, req TestRequest, things Resources) (err error) {
	if req.Path != "" {
		sc, err := s.scope(r, ask.Caller)
		if err != nil {
			return err
		}
		spot, ok := policy.SpotAt(sc.Mounts, &ask.Caller, req.Action, req.Path)
		if !ok {
			return errs.InvalidField("Path", "there is no operation with that capability at that path")
		}
		ask.Op = spot.Op
		ask.Caller.Call = &caller.Call{Path: req.Path, Capability: req.Action}
		ask.Resource, err = things.Whole(r, spot.Resource)
		return err
	}
	op, ok := policy.ByName(req.Action)
	if !ok {
		if op, ok = policy.ByAction(req.Action); !ok {
			return errs.InvalidField("Action", "no operation has that name")
		}
	}
	ask.Op = op
	return nil
}

// suppose puts condition keys into a question.
func suppose(ask *policy.Request, keys map[string]string) (err error) {
	who := &ask.Caller
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		v := keys[k]
		switch strings.ToLower(k) {
		case "aws:sourceip":
			who.Source, err = netip.ParseAddr(v)
		case "aws:securetransport":
			who.Secure, err = strconv.ParseBool(v)
		case "aws:currenttime":
			who.Time, err = time.Parse(time.RFC3339, v)
		case "aws:requestedregion":
			who.Region = v
		case "aws:useragent":
			who.Agent = v
		case "countersign:front":
			who.Front = v
		default:
			ask.Extra = append(ask.Extra, policy.Pair{Key: k, Value: v})
		}
		if err != nil {
			return errs.InvalidField("Context", "the value of a condition key is not of its kind")
		}
	}
	return nil
}

// ownerOf is the account in an ARN, or own when it names none.
func ownerOf(arn, own string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 && parts[4] != "" {
		return parts[4]
	}
	return own
}
