package sdk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// native calls the native API with the token of the env file. The answer may not
// hold a value.
func (w *world) native(method, path string, body any) map[string]any {
	w.Helper()
	b, err := json.Marshal(body)
	w.ok(err)
	for {
		r, err := http.NewRequestWithContext(w.Context(), method, w.server.url+"/api/v1"+path, nil)
		w.ok(err)
		if body != nil {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
			r.Header.Set("Content-Type", "application/json")
		}
		r.Header.Set("Authorization", "Bearer "+w.server.env["COUNTERSIGN_TOKEN"])
		resp, err := http.DefaultClient.Do(r)
		w.ok(err)
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		w.ok(err)
		if resp.StatusCode == http.StatusTooManyRequests {
			time.Sleep(time.Second)
			continue
		}
		if bytes.Contains(answer, []byte(canary)) {
			w.Fatalf("%s %s: the answer holds a value", method, path)
		}
		out := map[string]any{}
		if err := json.Unmarshal(answer, &out); err != nil || resp.StatusCode != http.StatusOK {
			w.Fatalf("%s %s: status %d: %s", method, path, resp.StatusCode, answer)
		}
		return out
	}
}

// waits returns the id of the one change to a secret that waits.
func (w *world) waits(id string) string {
	w.Helper()
	items := w.native("GET", "/changes?status=pending&name="+url.QueryEscape(id), nil)["items"].([]any)
	if len(items) != 1 {
		w.Fatalf("%d changes to %q wait", len(items), id)
	}
	return items[0].(map[string]any)["id"].(string)
}

// approve lets the change to a secret that waits take effect.
func (w *world) approve(id string) {
	w.Helper()
	path := "/changes/" + w.waits(id)
	digest := w.native("GET", path, nil)["digest"]
	out := w.native("POST", path+"/approve", map[string]any{"digest": digest})
	is(w, "the status of the change", fmt.Sprint(out["status"]), "applied")
}

// protected writes to a secret that a protection rule holds.
func protected(w *world) {
	made := w.create("app", "one")
	id, first := *made.Name, *made.VersionId
	second := w.put(id, "two")
	w.native("POST", "/protection", map[string]any{"set": map[string]any{"name": "go-protected", "match": []string{w.prefix + "*"},
		"approvals": []any{map[string]any{"count": 1}}, "allow_author": true}})

	stay := func(when string) {
		w.Helper()
		is(w, "the value "+when, w.value(id), plant("two"))
		got := w.describe(id).VersionIdsToStages
		w.stages(when, got[second], "AWSCURRENT")
		w.stages(when, got[first], "AWSPREVIOUS")
	}
	put, err := w.PutSecretValue(w.Context(), &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: aws.String(plant("three")), ClientRequestToken: aws.String(tokenA)})
	w.ok(err)
	label := "PENDING-" + w.waits(id)
	w.stages("the put", put.VersionStages, label)
	w.stages("described", w.describe(id).VersionIdsToStages[tokenA], label)
	stay("while a put waits")
	versions, err := w.ListSecretVersionIds(w.Context(), &secretsmanager.ListSecretVersionIdsInput{SecretId: &id})
	w.ok(err)
	is(w, "the number of versions", len(versions.Versions), 3)
	w.approve(id)
	is(w, "the value after approval", w.value(id), plant("three"))
	w.stages("approved", w.describe(id).VersionIdsToStages[tokenA], "AWSCURRENT")

	updated, err := w.UpdateSecret(w.Context(), &secretsmanager.UpdateSecretInput{SecretId: &id, SecretString: aws.String(plant("four")), ClientRequestToken: aws.String(tokenB)})
	w.ok(err)
	is(w, "the version of the update", *updated.VersionId, tokenB)
	is(w, "the value while an update waits", w.value(id), plant("three"))
	w.approve(id)
	is(w, "the value after approval", w.value(id), plant("four"))

	_, err = w.UpdateSecretVersionStage(w.Context(), &secretsmanager.UpdateSecretVersionStageInput{SecretId: &id, VersionStage: aws.String("AWSCURRENT"),
		MoveToVersionId: aws.String(tokenA), RemoveFromVersionId: aws.String(tokenB)})
	w.refused("moving the label", err, "AccessDeniedException", w.waits(id))
	is(w, "the value while a move waits", w.value(id), plant("four"))
	w.approve(id)
	is(w, "the value after approval", w.value(id), plant("three"))

	_, err = w.TagResource(w.Context(), &secretsmanager.TagResourceInput{SecretId: &id, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
	w.refused("tagging", err, "AccessDeniedException", w.waits(id))
	is(w, "the number of tags while tagging waits", len(w.describe(id).Tags), 0)
	w.approve(id)
	is(w, "the number of tags after approval", len(w.describe(id).Tags), 1)

	_, err = w.DeleteSecret(w.Context(), &secretsmanager.DeleteSecretInput{SecretId: &id})
	w.refused("deleting", err, "AccessDeniedException", w.waits(id))
	is(w, "the value while a deletion waits", w.value(id), plant("three"))
	w.approve(id)
	_, err = w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id})
	typed[*types.InvalidRequestException](w, "after approval of the deletion", err, msgDeleted)

	other := w.prefix + "new"
	_, err = w.CreateSecret(w.Context(), &secretsmanager.CreateSecretInput{Name: &other, SecretString: aws.String(plant("five")), ClientRequestToken: aws.String(tokenA)})
	w.refused("creating", err, "AccessDeniedException", w.waits(other))
	w.approve(other)
	is(w, "the value of the new secret", w.value(other), plant("five"))
	for _, stage := range []string{"PENDING-x", "PENDING-" + strings.Repeat("0", 26)} {
		_, err = w.PutSecretValue(w.Context(), &secretsmanager.PutSecretValueInput{SecretId: &other, SecretString: aws.String(plant("six")), VersionStages: []string{stage}})
		typed[*types.InvalidParameterException](w, "putting under "+stage, err, "PENDING-")
		_, err = w.UpdateSecretVersionStage(w.Context(), &secretsmanager.UpdateSecretVersionStageInput{SecretId: &other, VersionStage: &stage, MoveToVersionId: aws.String(tokenA)})
		typed[*types.InvalidParameterException](w, "moving "+stage, err, "PENDING-")
	}
}
