package authn

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Policy is a stored or built-in policy as it is shown.
type Policy struct {
	Name        string    `json:"name"`
	ARN         string    `json:"arn"`
	Description string    `json:"description,omitempty"`
	Document    string    `json:"document,omitempty"` // IAM JSON; of one policy only, not in listings
	Builtin     bool      `json:"builtin,omitempty"`
	Created     time.Time `json:"created,omitzero"`
	Changed     time.Time `json:"changed,omitzero"`
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

func (s *Service) policyEdit(who caller.Caller, op policy.Op, n string, do func(tx *change.Tx) error) *edit {
	return &edit{op: op, target: change.Target{Noun: "policy", Name: n}, resource: policy.PolicyARN(who.Account, n), do: do}
}

// PutPolicy creates or replaces a policy. It counts from the next request on
// for everybody that it is attached to.
func (s *Service) PutPolicy(ctx context.Context, who caller.Caller, n, document, description string) (Policy, error) {
	p := storedPolicy{Text: document, Description: description}
	err := s.submit(ctx, who, s.policyEdit(who, policy.PutPolicy, n, func(tx *change.Tx) error {
		if _, ok := builtin(n); ok {
			return errs.Coded(errs.Precondition, CodeReserved, "the policy is built in and cannot be changed")
		}
		if len(document) > MaxPolicy {
			return errs.New(errs.Limit, "a policy has at most %d bytes", MaxPolicy)
		}
		if err := name.Text("Description", description, 1000); err != nil {
			return err
		}
		if _, err := policy.Parse([]byte(document), policy.Identity); err != nil {
			return err
		}
		p.Created, p.Changed = micros(tx.Now), micros(tx.Now)
		old, ok, err := record.Get[storedPolicy](tx, policyKey(who.Account, n))
		if err != nil {
			return err
		}
		if ok {
			p.Created = old.Created
		}
		return record.Put(tx, policyKey(who.Account, n), p)
	}))
	if err != nil {
		return Policy{}, err
	}
	return Policy{Name: n, ARN: policy.PolicyARN(who.Account, n), Description: description, Document: document,
		Created: when(p.Created), Changed: when(p.Changed)}, nil
}

// DeletePolicy removes a policy that nothing refers to.
func (s *Service) DeletePolicy(ctx context.Context, who caller.Caller, n string) error {
	return s.submit(ctx, who, s.policyEdit(who, policy.DeletePolicy, n, func(tx *change.Tx) error {
		if _, ok := builtin(n); ok {
			return errs.Coded(errs.Precondition, CodeReserved, "the policy is built in and cannot be deleted")
		}
		if _, err := must[storedPolicy](tx, policyKey(who.Account, n), "policy"); err != nil {
			return err
		}
		used, err := policyUsed(tx, who.Account, n)
		if err != nil {
			return err
		}
		if used {
			return errs.Coded(errs.Precondition, CodeInUse, "the policy is attached to a user, a group or an access key")
		}
		return tx.Delete(policyKey(who.Account, n))
	}))
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
	return Policy{Name: b.Name, ARN: policy.PolicyARN(acct, b.Name), Description: b.About, Builtin: true}
}

func showPolicy(acct, n string, p storedPolicy) Policy {
	return Policy{Name: n, ARN: policy.PolicyARN(acct, n), Description: p.Description, Created: when(p.Created), Changed: when(p.Changed)}
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

// Attachment is a policy and the user or group that it hangs on: exactly one
// of the two is set.
type Attachment struct{ Policy, User, Group string }

// Attach hangs a policy on a user or group.
func (s *Service) Attach(ctx context.Context, who caller.Caller, at Attachment) error {
	return s.attachment(ctx, who, at, policy.AttachPolicy, policy.AttachGroupPolicy, func(names []string) []string {
		if i, there := slices.BinarySearch(names, at.Policy); !there {
			return slices.Insert(names, i, at.Policy)
		}
		return names
	})
}

// Detach takes a policy off a user or group; one that is not there is no error.
func (s *Service) Detach(ctx context.Context, who caller.Caller, at Attachment) error {
	return s.attachment(ctx, who, at, policy.DetachPolicy, policy.DetachGroupPolicy, func(names []string) []string {
		return slices.DeleteFunc(names, func(n string) bool { return n == at.Policy })
	})
}

func (s *Service) attachment(ctx context.Context, who caller.Caller, at Attachment, onUser, onGroup policy.Op, alter func([]string) []string) error {
	var e *edit
	acct := who.Account
	switch {
	case (at.User == "") == (at.Group == ""):
		rec := gate.NewRecord(who, onUser, "")
		return s.gate.Finish(ctx, &rec, errs.InvalidField("User", "name either a user or a group"))
	case at.User != "":
		e = s.principalEdit(who, onUser, at.User, func(tx *change.Tx) error {
			p, err := must[principal](tx, principalKey(acct, at.User), "user")
			if err != nil {
				return err
			}
			p.Policies = alter(p.Policies)
			if err := mustHavePolicies(tx, acct, p.Policies); err != nil {
				return err
			}
			return record.Put(tx, principalKey(acct, at.User), p)
		})
	default:
		e = s.groupEdit(who, onGroup, at.Group, func(tx *change.Tx) error {
			g, err := must[group](tx, groupKey(acct, at.Group), "group")
			if err != nil {
				return err
			}
			g.Policies = alter(g.Policies)
			if err := mustHavePolicies(tx, acct, g.Policies); err != nil {
				return err
			}
			return record.Put(tx, groupKey(acct, at.Group), g)
		})
	}
	e.extra = []policy.Pair{{Key: policy.KeyPolicyARN, Value: policy.PolicyARN(acct, at.Policy)}}
	return s.submit(ctx, who, e)
}

// TestRequest asks whether a principal could do an operation on a resource,
// without doing it.
type TestRequest struct {
	User     string
	Action   string            // canonical name or IAM action
	Resource string            // ARN, or "*"
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
		op, ok := policy.ByName(req.Action)
		if !ok {
			if op, ok = policy.ByAction(req.Action); !ok {
				return errs.InvalidField("Action", "no operation has that name")
			}
		}
		subject := caller.Caller{Account: who.Account, Kind: p.Kind, Name: req.User, Groups: p.Groups, Tags: p.Tags,
			Region: who.Region, Source: who.Source, Secure: who.Secure, Time: who.Time, Front: who.Front}
		owner := ownerOf(req.Resource, who.Account)
		ask := &policy.Request{Caller: subject, Op: op, Resource: req.Resource, Account: owner, Tags: req.Tags}
		if err := suppose(ask, req.Context); err != nil {
			return err
		}
		var set *policy.Set
		if owner == who.Account {
			var tags map[string]string
			if set, tags, err = things.Describe(r, req.Resource); err != nil {
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
