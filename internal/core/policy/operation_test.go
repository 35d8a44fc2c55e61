package policy

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOperationsAreNamedOnceInEveryDialect(t *testing.T) {
	names, actions, hcl := map[string]Op{}, map[string]Op{}, map[string]Op{}
	action := regexp.MustCompile(`^(secretsmanager|iam|kms|countersign):[A-Z][A-Za-z]+$`)
	path := regexp.MustCompile(`^(create|read|update|patch|delete|list|sudo) [A-Za-z/_-]+$`)
	for _, op := range Operations() {
		row := op.Info()
		if row.Name == "" || row.Access == "" || row.Kind == "" || row.Resource == "" {
			t.Errorf("operation %d has an empty field: %+v", op, row)
		}
		if !action.MatchString(row.Action) || !path.MatchString(row.HCL) {
			t.Errorf("%s: action %q or path %q has another form", row.Name, row.Action, row.HCL)
		}
		for key, seen := range map[string]map[string]Op{row.Name: names, strings.ToLower(row.Action): actions, row.HCL: hcl} {
			if other, ok := seen[key]; ok {
				t.Errorf("%q names both %s and %s", key, other, op)
			}
			seen[key] = op
		}
		if (row.Kind == KindNone) != (row.Resource == AnyResource) {
			t.Errorf("%s: kind %q and resource %q do not agree", row.Name, row.Kind, row.Resource)
		}
		if got, ok := ByName(row.Name); !ok || got != op || op.String() != row.Name {
			t.Errorf("ByName(%q) = %v, %v", row.Name, got, ok)
		}
		if got, ok := ByAction(strings.ToUpper(row.Action)); !ok || got != op || op.Action() != row.Action {
			t.Errorf("ByAction(%q) = %v, %v", row.Action, got, ok)
		}
	}
}

// The operations of the Secrets Manager API, from its reference.
func TestSecretsManagerIsComplete(t *testing.T) {
	want := strings.Fields(`BatchGetSecretValue CancelRotateSecret CreateSecret DeleteResourcePolicy DeleteSecret
		DescribeSecret GetRandomPassword GetResourcePolicy GetSecretValue ListSecretVersionIds ListSecrets
		PutResourcePolicy PutSecretValue RemoveRegionsFromReplication ReplicateSecretToRegions RestoreSecret
		RotateSecret StopReplicationToReplica TagResource UntagResource UpdateSecret UpdateSecretVersionStage
		ValidateResourcePolicy`)
	var got []string
	for _, op := range Operations() {
		if rest, ok := strings.CutPrefix(op.Action(), "secretsmanager:"); ok {
			got = append(got, rest)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("operations differ (-want +got):\n%s", diff)
	}
}

func TestNoOperation(t *testing.T) {
	for _, op := range []Op{0, endOfOps, 255} {
		if op.Valid() || op.String() != "" || op.Action() != "" {
			t.Errorf("operation %d is valid", op)
		}
	}
	if _, ok := ByName("readvalue"); ok {
		t.Error("ByName ignores case")
	}
	if _, ok := ByAction("s3:GetObject"); ok {
		t.Error("ByAction knows an action of another service")
	}
}

func TestOpSet(t *testing.T) {
	var s opSet
	for _, op := range Operations() {
		if s.has(op) {
			t.Errorf("%s is there before it was added", op)
		}
		s.add(op)
		if !s.has(op) {
			t.Errorf("%s is not there after it was added", op)
		}
	}
}

func TestSecretName(t *testing.T) {
	for arn, want := range map[string]string{
		"arn:aws:secretsmanager:eu-west-1:111122223333:secret:myapp/database-a1B2c3": "myapp/database",
		"arn:aws:secretsmanager:eu-west-1:111122223333:secret:myapp/database-??????": "myapp/database",
		"arn:aws:secretsmanager:eu-west-1:111122223333:secret:a-b1c2d3-e1f2g3":       "a-b1c2d3",
		"arn:aws:secretsmanager:eu-west-1:111122223333:secret:short":                 "short",
		"arn:aws:secretsmanager:eu-west-1:111122223333:key:x":                        "",
		"arn:aws:iam::111122223333:user/anna":                                        "",
		"*":                                                                          "",
	} {
		if got, _ := secretName(arn); got != want {
			t.Errorf("secretName(%q) = %q, want %q", arn, got, want)
		}
	}
}
