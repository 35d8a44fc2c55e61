package secretsmanager

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
	"countersign/internal/name"
)

// TestGoneVersions: what another front deleted or destroyed is not there for clients
// of AWS. Labels stay where they are, and a version without any is listed as long
// as it can come back.
func TestGoneVersions(t *testing.T) {
	f := newFixture(t, coretest.Config{}, false)
	ctx := context.Background()
	c := f.admin
	f.create(t, "s", "one")
	ok(t, c, "PutSecretValue", `{"SecretId":"s","SecretString":"two","ClientRequestToken":"`+token("b")+`"}`)
	ok(t, c, "PutSecretValue", `{"SecretId":"s","SecretString":"three","ClientRequestToken":"`+token("c")+`"}`)
	was := stages(t, c, "s")
	req := func(numbers ...uint64) secret.KVVersions {
		return secret.KVVersions{ID: name.SecretID{Name: "s"}, Numbers: numbers}
	}
	listed := func() (ids []any) {
		for _, v := range ok(t, c, "ListSecretVersionIds", `{"SecretId":"s","IncludeDeprecated":true}`)["Versions"].([]any) {
			ids = append(ids, v.(map[string]any)["VersionId"])
		}
		return ids
	}
	if _, err := f.Secrets.DeleteVersions(ctx, f.Admin, req(1, 3)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(was, stages(t, c, "s")); diff != "" {
		t.Errorf("the labels moved: %s", diff)
	}
	if diff := cmp.Diff([]any{token("c"), token("b"), token("a")}, listed()); diff != "" {
		t.Errorf("listed: %s", diff)
	}
	const missing = "ResourceNotFoundException"
	for in, want := range map[string]string{
		`{"SecretId":"s"}`: "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
		`{"SecretId":"s","VersionStage":"AWSCURRENT"}`:                             "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
		`{"SecretId":"s","VersionId":"` + token("c") + `"}`:                        "Secrets Manager can't find the specified secret value for VersionId: " + token("c"),
		`{"SecretId":"s","VersionId":"` + token("a") + `"}`:                        "Secrets Manager can't find the specified secret value for VersionId: " + token("a"),
		`{"SecretId":"s","VersionId":"` + token("c") + `","VersionStage":"other"}`: "Secrets Manager can't find the specified secret value for VersionId: " + token("c"),
	} {
		if got := refused(t, c, "GetSecretValue", in, missing); got != want {
			t.Errorf("%s: %q", in, got)
		}
	}
	refused(t, c, "UpdateSecretVersionStage", `{"SecretId":"s","VersionStage":"mine","MoveToVersionId":"`+token("a")+`"}`, missing)
	batch := ok(t, c, "BatchGetSecretValue", `{"SecretIdList":["s"]}`)
	if e := batch["Errors"].([]any); len(e) != 1 || e[0].(map[string]any)["ErrorCode"] != missing {
		t.Errorf("in a batch: %v", batch)
	}
	if _, err := f.Secrets.DestroyVersions(ctx, f.Admin, req(1, 3)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{token("c"), token("b")}, listed()); diff != "" {
		t.Errorf("after the destruction, listed: %s", diff)
	}
	// The label of what is gone can be taken to another version, and a new value put.
	ok(t, c, "UpdateSecretVersionStage", `{"SecretId":"s","VersionStage":"AWSCURRENT","RemoveFromVersionId":"`+token("c")+`","MoveToVersionId":"`+token("b")+`"}`)
	if got := ok(t, c, "GetSecretValue", `{"SecretId":"s"}`); got.text("SecretString") != "two" {
		t.Errorf("read %v", got)
	}
	ok(t, c, "PutSecretValue", `{"SecretId":"s","SecretString":"four","ClientRequestToken":"`+token("d")+`"}`)
	if got := ok(t, c, "GetSecretValue", `{"SecretId":"s"}`); got.text("SecretString") != "four" {
		t.Errorf("read %v", got)
	}
}
