package secretsmanager

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/front/aws/awstest"

	"github.com/google/go-cmp/cmp"
)

// protect puts a rule that asks for one approval, which may be the author's.
func (f *fixture) protect(t testing.TB, pattern string) {
	t.Helper()
	_, err := f.Changes.PutRules(context.Background(), f.Admin, change.RuleChange{Set: &protect.Rule{Name: "guard", Match: []string{pattern},
		Approvals: []protect.Approval{{Count: 1}}, AllowAuthor: true}}, "", change.Options{})
	if err != nil {
		t.Fatal(err)
	}
}

// open returns the one change that waits.
func (f *fixture) open(t testing.TB) change.Record {
	t.Helper()
	out, err := f.Changes.List(context.Background(), f.Admin, change.ListRequest{Statuses: []change.Status{change.Pending}})
	if err != nil || len(out.Changes) != 1 {
		t.Fatalf("%d changes wait: %v", len(out.Changes), err)
	}
	return out.Changes[0].Record
}

// approve lets the change that waits take effect.
func (f *fixture) approve(t testing.TB) {
	t.Helper()
	ctx := context.Background()
	r, err := f.Changes.Get(ctx, f.Admin, f.open(t).ID)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := hex.DecodeString(r.Digest)
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.Changes.Vote(ctx, f.Admin, change.VoteRequest{ID: r.Record.ID, Approve: true, Digest: digest})
	if err != nil || d.Record.Status != change.Applied {
		t.Fatalf("%+v: %v", d, err)
	}
}

// held are the writes that a protected secret refuses to do at once: what has to
// be done before, the request, and a request that shows it was done at last, with
// what its answer then holds and did not before.
var held = []struct {
	op, name     string
	before       [][2]string
	request      string
	second       bool // in the other region
	show, asking string
	want         string
}{
	{op: "CancelRotateSecret", before: [][2]string{{"RotateSecret", valid["RotateSecret"]}}, request: valid["CancelRotateSecret"],
		show: "DescribeSecret", asking: `{"SecretId":"ID"}`, want: `"RotationEnabled":false`},
	{op: "CreateSecret", request: `{"Name":"guarded/new","SecretString":"v","ClientRequestToken":"TOKEN"}`,
		show: "ListSecrets", asking: `{}`, want: `"guarded/new"`},
	{op: "DeleteResourcePolicy", before: [][2]string{{"PutResourcePolicy", valid["PutResourcePolicy"]}}, request: valid["DeleteResourcePolicy"],
		show: "GetResourcePolicy", asking: `{"SecretId":"ID"}`, want: `"Name":"guarded/s"}`},
	{op: "DeleteSecret", request: valid["DeleteSecret"], show: "DescribeSecret", asking: `{"SecretId":"ID"}`, want: "DeletedDate"},
	{op: "DeleteSecret", name: "Forced", request: `{"SecretId":"ID","ForceDeleteWithoutRecovery":true}`, show: "DescribeSecret", asking: `{"SecretId":"ID"}`, want: "ResourceNotFoundException"},
	{op: "PutResourcePolicy", request: valid["PutResourcePolicy"], show: "GetResourcePolicy", asking: `{"SecretId":"ID"}`, want: `"ResourcePolicy"`},
	{op: "RemoveRegionsFromReplication", before: [][2]string{{"ReplicateSecretToRegions", valid["ReplicateSecretToRegions"]}}, request: valid["RemoveRegionsFromReplication"],
		show: "RemoveRegionsFromReplication", asking: valid["RemoveRegionsFromReplication"], want: "Invalid replica region."},
	{op: "ReplicateSecretToRegions", request: valid["ReplicateSecretToRegions"], show: "DescribeSecret", asking: `{"SecretId":"ID"}`, want: `"ReplicationStatus"`},
	{op: "RestoreSecret", before: [][2]string{{"DeleteSecret", `{"SecretId":"ID"}`}}, request: valid["RestoreSecret"],
		show: "GetSecretValue", asking: `{"SecretId":"ID"}`, want: `"SecretString":"two"`},
	{op: "RotateSecret", request: valid["RotateSecret"], show: "DescribeSecret", asking: `{"SecretId":"ID"}`, want: `"RotationEnabled":true`},
	{op: "StopReplicationToReplica", before: [][2]string{{"ReplicateSecretToRegions", valid["ReplicateSecretToRegions"]}}, request: valid["StopReplicationToReplica"], second: true,
		show: "StopReplicationToReplica", asking: valid["StopReplicationToReplica"], want: "The secret is not a replica secret."},
	{op: "TagResource", request: valid["TagResource"], show: "DescribeSecret", asking: `{"SecretId":"ID"}`, want: `{"Key":"k","Value":"v"}`},
	{op: "UntagResource", before: [][2]string{{"TagResource", `{"SecretId":"ID","Tags":[{"Key":"k","Value":"v"},{"Key":"l","Value":"w"}]}`}}, request: valid["UntagResource"],
		show: "DescribeSecret", asking: `{"SecretId":"ID"}`, want: `"Tags":[{"Key":"l","Value":"w"}]`},
	{op: "UpdateSecret", request: `{"SecretId":"ID","Description":"another","ClientRequestToken":"TOKEN"}`, show: "DescribeSecret", asking: `{"SecretId":"ID"}`, want: `"another"`},
	{op: "UpdateSecretVersionStage", request: `{"SecretId":"ID","VersionStage":"AWSCURRENT","MoveToVersionId":"` + token("a") + `","RemoveFromVersionId":"` + token("c") + `"}`,
		show: "GetSecretValue", asking: `{"SecretId":"ID"}`, want: `"SecretString":"one"`},
	{op: "UpdateSecretVersionStage", name: "Own", request: `{"SecretId":"ID","VersionStage":"mine","MoveToVersionId":"` + token("a") + `"}`,
		show: "DescribeSecret", asking: `{"SecretId":"ID"}`, want: `"mine"`},
}

// guarded is a server with a secret of two versions, its client, and one in the
// other region.
func guarded(t *testing.T) (f *fixture, second *awstest.Client) {
	f = newFixture(t, coretest.Config{}, false)
	f.create(t, "guarded/s", "one")
	ok(t, f.admin, "PutSecretValue", `{"SecretId":"guarded/s","SecretString":"two","ClientRequestToken":"`+token("c")+`"}`)
	other := *f.admin
	other.Region = coretest.Second
	return f, &other
}

// stages are the labels of each version of a secret.
func stages(t *testing.T, c *awstest.Client, id string) map[string]any {
	t.Helper()
	out, _ := ok(t, c, "DescribeSecret", `{"SecretId":"`+id+`"}`)["VersionIdsToStages"].(map[string]any)
	return out
}

var current = map[string]any{token("a"): []any{"AWSPREVIOUS"}, token("c"): []any{"AWSCURRENT"}}

// TestHeldWrites: a write whose answer cannot tell that it waits is refused with
// the id of the change that it became, and is done when that is approved.
func TestHeldWrites(t *testing.T) {
	seen := map[string]bool{"PutSecretValue": true, "ValidateResourcePolicy": true} // see TestHeldValues; it writes nothing
	for _, tt := range held {
		seen[tt.op] = true
		t.Run(tt.op+tt.name, func(t *testing.T) {
			f, second := guarded(t)
			fill := strings.NewReplacer("ID", "guarded/s", "TOKEN", token("b"))
			for _, b := range tt.before {
				ok(t, f.admin, b[0], fill.Replace(b[1]))
			}
			f.protect(t, "guarded/*")
			c := f.admin
			if tt.second {
				c = second
			}
			shown := func() bool {
				if tt.show == tt.op {
					return false // it cannot be asked twice while it waits
				}
				return strings.Contains(string(f.admin.Do(tt.show, []byte(fill.Replace(tt.asking))).Body), tt.want)
			}
			before := stages(t, f.admin, "guarded/s")
			msg := refused(t, c, tt.op, fill.Replace(tt.request), "AccessDeniedException")
			waits := f.open(t)
			if !strings.Contains(msg, "change "+waits.ID) || waits.Front != Front {
				t.Errorf("refused with %q; the change is %+v", msg, waits)
			}
			if diff := cmp.Diff(before, stages(t, f.admin, "guarded/s")); diff != "" || shown() {
				t.Errorf("it was done: %s", diff)
			}
			f.approve(t)
			if tt.show == tt.op {
				if a := c.Do(tt.show, []byte(fill.Replace(tt.asking))); a.Status == 200 || !strings.Contains(string(a.Body), tt.want) {
					t.Errorf("after approval: %d %s", a.Status, a.Body)
				}
			} else if !shown() {
				t.Errorf("it was not done: %s", f.admin.Do(tt.show, []byte(fill.Replace(tt.asking))).Body)
			}
		})
	}
	for _, r := range operations() {
		op := r(&front{})
		if a := op.Op.Info().Access; a != policy.AccessRead && a != policy.AccessList && !seen[op.Name] {
			t.Errorf("%s is a write and has no test here", op.Name)
		}
	}
}

// TestHeldValues: a new value is stored under the label of its change, and becomes
// current when that is approved.
func TestHeldValues(t *testing.T) {
	for _, op := range []string{"PutSecretValue", "UpdateSecret"} {
		t.Run(op, func(t *testing.T) {
			f, _ := guarded(t)
			f.protect(t, "guarded/*")
			in := `{"SecretId":"guarded/s","SecretString":"three","ClientRequestToken":"` + token("b") + `"}`
			out := ok(t, f.admin, op, in)
			label := "PENDING-" + f.open(t).ID
			if out.text("VersionId") != token("b") || op == "PutSecretValue" && cmp.Diff([]any{label}, out["VersionStages"]) != "" {
				t.Errorf("answered %v", out)
			}
			with := map[string]any{token("b"): []any{label}}
			for k, v := range current {
				with[k] = v
			}
			if diff := cmp.Diff(with, stages(t, f.admin, "guarded/s")); diff != "" {
				t.Errorf("described: %s", diff)
			}
			listed := map[string]any{}
			for _, v := range ok(t, f.admin, "ListSecretVersionIds", `{"SecretId":"guarded/s"}`)["Versions"].([]any) {
				listed[v.(map[string]any)["VersionId"].(string)] = v.(map[string]any)["VersionStages"]
			}
			if diff := cmp.Diff(with, listed); diff != "" {
				t.Errorf("listed: %s", diff)
			}
			for stage, want := range map[string]string{"AWSCURRENT": "two", "AWSPREVIOUS": "one", label: "three"} {
				if got := ok(t, f.admin, "GetSecretValue", `{"SecretId":"guarded/s","VersionStage":"`+stage+`"}`); got.text("SecretString") != want {
					t.Errorf("%s is %v", stage, got)
				}
			}
			if op == "PutSecretValue" { // as a client that saw no answer does
				if diff := cmp.Diff(out, ok(t, f.admin, op, in)); diff != "" {
					t.Errorf("once more: %s", diff)
				}
			}
			f.approve(t)
			after := map[string]any{token("b"): []any{"AWSCURRENT"}, token("c"): []any{"AWSPREVIOUS"}}
			if diff := cmp.Diff(after, stages(t, f.admin, "guarded/s")); diff != "" {
				t.Errorf("approved: %s", diff)
			}
			if got := ok(t, f.admin, "GetSecretValue", `{"SecretId":"guarded/s"}`); got.text("SecretString") != "three" || got.text("VersionId") != token("b") {
				t.Errorf("approved: %v", got)
			}
		})
	}
}

// TestNothingMovesCurrent sends every operation to a protected secret, and holds
// that its current and previous versions stay.
func TestNothingMovesCurrent(t *testing.T) {
	requests := map[string][]string{
		"PutSecretValue": {`{"SecretId":"ID","SecretString":"v","ClientRequestToken":"TOKEN","VersionStages":["AWSCURRENT"]}`,
			`{"SecretId":"ID","SecretString":"v","ClientRequestToken":"TOKEN","VersionStages":["mine"]}`,
			`{"SecretId":"ID","SecretString":"v","ClientRequestToken":"TOKEN","VersionStages":["AWSPENDING","AWSCURRENT"]}`,
			`{"SecretId":"ID","SecretBinary":"AAE=","ClientRequestToken":"TOKEN"}`},
	}
	for _, tt := range held {
		requests[tt.op] = append(requests[tt.op], tt.request)
	}
	for _, r := range operations() {
		op := r(&front{}).Name
		t.Run(op, func(t *testing.T) {
			for _, in := range append(requests[op], valid[op]) {
				f, second := guarded(t)
				f.protect(t, "guarded/*")
				fill := strings.NewReplacer("ID", "guarded/s", "TOKEN", token("b"))
				for _, c := range []*awstest.Client{f.admin, second} {
					c.Do(op, []byte(fill.Replace(in)))
				}
				got := stages(t, f.admin, "guarded/s")
				for id, labels := range current {
					if diff := cmp.Diff(labels, got[id]); diff != "" {
						t.Errorf("%s: %s", in, diff)
					}
				}
				for id, labels := range got {
					b, _ := json.Marshal(labels)
					if s := string(b); current[id] == nil && !strings.HasPrefix(s, `["PENDING-`) {
						t.Errorf("%s: version %s has %s", in, id, s)
					}
				}
			}
		})
	}
}

// TestPendingLabels: labels of changes that wait are nobody's to set or move.
func TestPendingLabels(t *testing.T) {
	f, _ := guarded(t)
	refused(t, f.admin, "PutSecretValue", `{"SecretId":"guarded/s","SecretString":"v","ClientRequestToken":"`+token("d")+`","VersionStages":["PENDING-x"]}`, "InvalidParameterException")
	refused(t, f.admin, "PutSecretValue", `{"SecretId":"guarded/s","SecretString":"v","ClientRequestToken":"`+token("d")+`","VersionStages":["AWSCURRENT","PENDING-x"]}`, "InvalidParameterException")
	f.protect(t, "guarded/*")
	ok(t, f.admin, "PutSecretValue", `{"SecretId":"guarded/s","SecretString":"three","ClientRequestToken":"`+token("b")+`"}`)
	label := "PENDING-" + f.open(t).ID
	before := f.Dump(t)
	for _, in := range []string{
		`{"SecretId":"guarded/s","VersionStage":"PENDING-x","MoveToVersionId":"` + token("a") + `"}`,
		`{"SecretId":"guarded/s","VersionStage":"` + label + `","RemoveFromVersionId":"` + token("b") + `"}`,
		`{"SecretId":"guarded/s","VersionStage":"` + label + `","RemoveFromVersionId":"` + token("b") + `","MoveToVersionId":"` + token("a") + `"}`,
	} {
		refused(t, f.admin, "UpdateSecretVersionStage", in, "InvalidParameterException")
	}
	if diff := cmp.Diff(before, f.Dump(t)); diff != "" {
		t.Errorf("the store was changed: %s", diff)
	}
}
