package sdk

import (
	"encoding/json"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// statement is a resource policy of one statement.
func statement(effect, principal, action string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"` + action + `","Resource":"*"}]}`
}

const (
	everybody = `"*"`
	ownRoot   = `{"AWS":"arn:aws:iam::` + account + `:root"}`
)

func (w *world) putPolicy(id, text string, block *bool) error {
	_, err := w.PutResourcePolicy(w.Context(), &secretsmanager.PutResourcePolicyInput{SecretId: &id, ResourcePolicy: &text, BlockPublicPolicy: block})
	return err
}

// resourcePolicy keeps a policy on a secret.
func resourcePolicy(w *world) {
	ctx := w.Context()
	made := w.create("app", "v")
	id := *made.Name
	get := func() *string {
		out, err := w.GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: &id})
		w.ok(err)
		is(w, "the ARN", *out.ARN, *made.ARN)
		is(w, "the name", *out.Name, id)
		return out.ResourcePolicy
	}
	is(w, "the policy of a new secret", get(), nil)
	text := statement("Allow", ownRoot, "secretsmanager:GetSecretValue")
	w.ok(w.putPolicy(id, text, nil))
	var got, want any
	w.ok(json.Unmarshal([]byte(aws.ToString(get())), &got))
	w.ok(json.Unmarshal([]byte(text), &want))
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	is(w, "the policy", string(a), string(b))

	for what, bad := range map[string]string{
		"no JSON":          "{",
		"no statement":     `{"Version":"2012-10-17"}`,
		"no principal":     `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*"}]}`,
		"an effect of two": statement("Maybe", ownRoot, "secretsmanager:*"),
	} {
		typed[*types.MalformedPolicyDocumentException](w, what, w.putPolicy(id, bad, nil), "")
	}
	w.refusedAs("a policy that is too long", w.putPolicy(id, text+strings.Repeat(" ", 20481), nil), "ValidationException", "InvalidParameterException", "MalformedPolicyDocumentException")
	_, err := w.DeleteResourcePolicy(ctx, &secretsmanager.DeleteResourcePolicyInput{SecretId: &id})
	w.ok(err)
	is(w, "the policy", get(), nil)
	_, err = w.DeleteResourcePolicy(ctx, &secretsmanager.DeleteResourcePolicyInput{SecretId: &id})
	w.ok(err)
	_, err = w.GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: aws.String(w.prefix + "none")})
	typed[*types.ResourceNotFoundException](w, "the policy of none", err, msgNoSecret)
}

// policyDenies has a policy refuse even the administrator.
func policyDenies(w *world) {
	id := *w.create("app", "v").Name
	w.ok(w.putPolicy(id, statement("Deny", everybody, "secretsmanager:GetSecretValue"), nil))
	_, err := w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id})
	w.refused("reading", err, "AccessDeniedException", "secretsmanager:GetSecretValue")
	out, err := w.BatchGetSecretValue(w.Context(), &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{id}})
	w.ok(err)
	if len(out.Errors) != 1 || aws.ToString(out.Errors[0].ErrorCode) != "AccessDeniedException" || len(out.SecretValues) != 0 {
		w.Errorf("a batch returned %d values and %d errors", len(out.SecretValues), len(out.Errors))
	}
	w.describe(id)
	_, err = w.DeleteResourcePolicy(w.Context(), &secretsmanager.DeleteResourcePolicyInput{SecretId: &id})
	w.ok(err)
	is(w, "the value", w.value(id), plant("v"))
}

// publicPolicy blocks a policy that grants access to everybody.
func publicPolicy(w *world) {
	id := *w.create("app", "v").Name
	open := statement("Allow", everybody, "secretsmanager:GetSecretValue")
	typed[*types.PublicPolicyException](w, "an open policy", w.putPolicy(id, open, aws.Bool(true)), "")
	out, err := w.GetResourcePolicy(w.Context(), &secretsmanager.GetResourcePolicyInput{SecretId: &id})
	w.ok(err)
	is(w, "the policy", out.ResourcePolicy, nil)
	w.ok(w.putPolicy(id, open, aws.Bool(false)))
	w.ok(w.putPolicy(id, statement("Allow", ownRoot, "secretsmanager:GetSecretValue"), aws.Bool(true)))
}

// validatePolicy checks policies without putting them.
func validatePolicy(w *world) {
	id := *w.create("app", "v").Name
	validate := func(id *string, text string) *secretsmanager.ValidateResourcePolicyOutput {
		out, err := w.ValidateResourcePolicy(w.Context(), &secretsmanager.ValidateResourcePolicyInput{SecretId: id, ResourcePolicy: &text})
		w.ok(err)
		return out
	}
	good := validate(&id, statement("Allow", ownRoot, "secretsmanager:GetSecretValue"))
	is(w, "a good policy passes", good.PolicyValidationPassed, true)
	is(w, "the number of errors of a good policy", len(good.ValidationErrors), 0)
	bad := validate(nil, statement("Allow", everybody, "secretsmanager:GetSecretValue"))
	is(w, "an open policy passes", bad.PolicyValidationPassed, false)
	if len(bad.ValidationErrors) == 0 || aws.ToString(bad.ValidationErrors[0].CheckName) == "" || aws.ToString(bad.ValidationErrors[0].ErrorMessage) == "" {
		w.Errorf("the errors of an open policy are %v", bad.ValidationErrors)
	}
	_, err := w.ValidateResourcePolicy(w.Context(), &secretsmanager.ValidateResourcePolicyInput{ResourcePolicy: aws.String("{")})
	typed[*types.MalformedPolicyDocumentException](w, "no JSON", err, "")
}
