package sdk

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// lifecycle takes a secret through everything that happens to one.
func lifecycle(w *world) {
	id := w.prefix + "app"
	made, err := w.CreateSecret(w.Context(), &secretsmanager.CreateSecretInput{
		Name: &id, SecretString: aws.String(plant("one")), Description: aws.String("the first"),
		Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("blue")}},
	})
	w.ok(err)
	is(w, "the name", *made.Name, id)
	if len(*made.VersionId) != 36 {
		w.Errorf("the SDK sends a UUID as token, and the version id is %q", *made.VersionId)
	}

	got, err := w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id})
	w.ok(err)
	is(w, "the value", *got.SecretString, plant("one"))
	is(w, "the version", *got.VersionId, *made.VersionId)
	is(w, "the ARN", *got.ARN, *made.ARN)
	w.stages("the first version", got.VersionStages, "AWSCURRENT")
	w.recent("CreatedDate", got.CreatedDate)
	is(w, "a binary value of a string secret", len(got.SecretBinary), 0)

	// Metadata alone makes no version.
	up, err := w.UpdateSecret(w.Context(), &secretsmanager.UpdateSecretInput{SecretId: &id, Description: aws.String("the second")})
	w.ok(err)
	is(w, "VersionId of an update without a value", up.VersionId, nil)
	up, err = w.UpdateSecret(w.Context(), &secretsmanager.UpdateSecretInput{SecretId: &id, SecretString: aws.String(plant("two")), KmsKeyId: aws.String("alias/mine")})
	w.ok(err)
	is(w, "the value", w.value(id), plant("two"))

	d := w.describe(id)
	is(w, "Description", *d.Description, "the second")
	is(w, "KmsKeyId", aws.ToString(d.KmsKeyId), "alias/mine")
	w.stages("the updated version", d.VersionIdsToStages[*up.VersionId], "AWSCURRENT")
	w.stages("the first version", d.VersionIdsToStages[*made.VersionId], "AWSPREVIOUS")
	is(w, "the number of tags", len(d.Tags), 1)
	w.recent("CreatedDate", d.CreatedDate)
	w.recent("LastChangedDate", d.LastChangedDate)
	// The day of the last reading is kept after the answer, so it may come later.
	if d.LastAccessedDate != nil && !d.LastAccessedDate.Equal(d.LastAccessedDate.Truncate(24*time.Hour)) {
		w.Errorf("LastAccessedDate is %v; it tells the day", d.LastAccessedDate)
	}
	is(w, "DeletedDate", d.DeletedDate, nil)
	is(w, "RotationEnabled", d.RotationEnabled, nil)

	// A secret can be made without a value and get its first one later.
	empty := w.prefix + "empty"
	made, err = w.CreateSecret(w.Context(), &secretsmanager.CreateSecretInput{Name: &empty})
	w.ok(err)
	is(w, "VersionId of a secret without a value", made.VersionId, nil)
	_, err = w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &empty})
	typed[*types.ResourceNotFoundException](w, "a secret without a value", err, msgNoLabel+"AWSCURRENT")
	is(w, "the number of versions", len(w.describe(empty).VersionIdsToStages), 0)
	w.put(empty, "first")
	is(w, "the value", w.value(empty), plant("first"))
}

// binaryValue keeps bytes that are no text.
func binaryValue(w *world) {
	id := w.prefix + "key"
	data := append([]byte(canary), 0, 1, 0xff, 0xfe, '\n', 0x80)
	_, err := w.CreateSecret(w.Context(), &secretsmanager.CreateSecretInput{Name: &id, SecretBinary: data})
	w.ok(err)
	got, err := w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id})
	w.ok(err)
	if !bytes.Equal(got.SecretBinary, data) || got.SecretString != nil {
		w.Error("the binary value came back changed, or as text")
	}
	// The text of the same bytes in base64 is another value.
	text := base64.StdEncoding.EncodeToString(data)
	_, err = w.PutSecretValue(w.Context(), &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: &text})
	w.ok(err)
	got, err = w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id})
	w.ok(err)
	is(w, "the text", aws.ToString(got.SecretString), text)
	is(w, "the length of a binary value of text", len(got.SecretBinary), 0)
	_, err = w.PutSecretValue(w.Context(), &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: &text, SecretBinary: data})
	typed[*types.InvalidParameterException](w, "a text and a binary value", err, "")
	_, err = w.PutSecretValue(w.Context(), &secretsmanager.PutSecretValueInput{SecretId: &id})
	w.refusedAs("no value", err, "InvalidParameterException", "InvalidRequestException")
}

// arnForm is the form of an ARN: the name and six letters or digits.
var arnForm = regexp.MustCompile(`^arn:aws:secretsmanager:us-east-1:000000000000:secret:(.+)-([A-Za-z0-9]{6})$`)

// namesAndARNs addresses one secret in each of the ways there are.
func namesAndARNs(w *world) {
	made := w.create("a/b_c+d=e.f@g-h!i", "v")
	m := arnForm.FindStringSubmatch(*made.ARN)
	if m == nil || m[1] != *made.Name {
		w.Fatalf("the ARN is %q", *made.ARN)
	}
	partial := strings.TrimSuffix(*made.ARN, "-"+m[2])
	for _, id := range []string{*made.Name, *made.ARN, partial} {
		is(w, "the value by "+id, w.value(id), plant("v"))
		is(w, "the ARN by "+id, *w.describe(id).ARN, *made.ARN)
	}
	foreign := map[string]bool{"another account": true, "another region": true}
	for what, id := range map[string]string{
		"another suffix":       partial + "-aaaaaa",
		"another account":      strings.Replace(*made.ARN, account, "111111111111", 1),
		"another region":       strings.Replace(*made.ARN, "us-east-1", "us-west-2", 1),
		"a name of none":       w.prefix + "none",
		"the name's beginning": w.prefix + "a",
	} {
		_, err := w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id})
		if err == nil {
			w.Errorf("%s: the value was read", what)
		} else if !foreign[what] { // there policy may be what refuses
			typed[*types.ResourceNotFoundException](w, what, err, msgNoSecret)
		}
	}
}

// suffixLikeName has a name that ends like an ARN does: then the ARN without
// its suffix is taken for a whole one, and names nothing.
func suffixLikeName(w *world) {
	made := w.create("db-abcdef", "v")
	for _, id := range []string{*made.Name, *made.ARN} {
		is(w, "the value by "+id, w.value(id), plant("v"))
	}
	partial := (*made.ARN)[:len(*made.ARN)-7]
	_, err := w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &partial})
	typed[*types.ResourceNotFoundException](w, "a partial ARN of a name with a suffix", err, msgNoSecret)
}

// badNames are refused at every operation that takes one.
func badNames(w *world) {
	ctx, id := w.Context(), aws.String(w.prefix+"not a name")
	for what, call := range map[string]func() error{
		"create": func() error { _, err := w.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: id}); return err },
		"get": func() error {
			_, err := w.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: id})
			return err
		},
		"describe": func() error {
			_, err := w.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: id})
			return err
		},
		"put": func() error {
			_, err := w.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: id, SecretString: aws.String(plant("x"))})
			return err
		},
		"update": func() error {
			_, err := w.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: id})
			return err
		},
		"delete": func() error {
			_, err := w.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: id})
			return err
		},
		"restore": func() error {
			_, err := w.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: id})
			return err
		},
		"versions": func() error {
			_, err := w.ListSecretVersionIds(ctx, &secretsmanager.ListSecretVersionIdsInput{SecretId: id})
			return err
		},
		"rotate": func() error {
			_, err := w.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: id})
			return err
		},
		"untag": func() error {
			_, err := w.UntagResource(ctx, &secretsmanager.UntagResourceInput{SecretId: id, TagKeys: []string{"a"}})
			return err
		},
	} {
		w.refused(what, call(), "ValidationException", msgBadName)
	}
}

// deletion schedules a deletion, and takes it back.
func deletion(w *world) {
	ctx := w.Context()
	made := w.create("old", "v")
	id := *made.Name
	out, err := w.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &id})
	w.ok(err)
	if days := time.Until(*out.DeletionDate).Hours() / 24; days < 29.9 || days > 30.1 {
		w.Errorf("the deletion is in %v days, want 30", days)
	}
	if d := w.describe(id); d.DeletedDate == nil || len(d.VersionIdsToStages) != 1 {
		w.Errorf("DeletedDate is %v, and %d versions are labelled", d.DeletedDate, len(d.VersionIdsToStages))
	}

	_, err = w.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	typed[*types.InvalidRequestException](w, "reading", err, "marked for deletion")
	_, err = w.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &id, SecretString: aws.String(plant("w"))})
	typed[*types.InvalidRequestException](w, "creating", err, msgNameDeleted)
	_, err = w.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: aws.String(plant("w"))})
	typed[*types.InvalidRequestException](w, "putting", err, "marked for deletion")
	_, err = w.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: &id, Description: aws.String("x")})
	typed[*types.InvalidRequestException](w, "updating", err, "marked for deletion")
	_, err = w.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: &id, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
	typed[*types.InvalidRequestException](w, "tagging", err, msgDeleted)

	is(w, "what a list shows", w.listed(&secretsmanager.ListSecretsInput{}), "")
	is(w, "what a list of deleted ones shows", w.listed(&secretsmanager.ListSecretsInput{IncludePlannedDeletion: aws.Bool(true)}), "old")

	back, err := w.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: &id})
	w.ok(err)
	is(w, "the ARN", *back.ARN, *made.ARN)
	is(w, "the value", w.value(id), plant("v"))
	is(w, "DeletedDate", w.describe(id).DeletedDate, nil)

	_, err = w.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: &id})
	w.ok(err) // of what is not marked: nothing to do

	out, err = w.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &id, RecoveryWindowInDays: aws.Int64(7)})
	w.ok(err)
	if days := time.Until(*out.DeletionDate).Hours() / 24; days < 6.9 || days > 7.1 {
		w.Errorf("the deletion is in %v days, want 7", days)
	}
	for _, days := range []int64{6, 31, -1} {
		_, err = w.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &id, RecoveryWindowInDays: aws.Int64(days)})
		typed[*types.InvalidParameterException](w, "a window out of range", err, "")
	}
	_, err = w.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &id, RecoveryWindowInDays: aws.Int64(7), ForceDeleteWithoutRecovery: aws.Bool(true)})
	typed[*types.InvalidParameterException](w, "a window and force", err, "")
}

// forcedDeletion leaves nothing, and what is made anew is another secret.
func forcedDeletion(w *world) {
	ctx := w.Context()
	first := w.create("again", "one")
	_, err := w.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: first.Name, ForceDeleteWithoutRecovery: aws.Bool(true)})
	w.ok(err)
	_, err = w.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: first.Name})
	typed[*types.ResourceNotFoundException](w, "describing", err, msgNoSecret)
	_, err = w.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: first.Name})
	typed[*types.ResourceNotFoundException](w, "restoring", err, msgNoSecret)

	second := w.create("again", "two")
	if *second.ARN == *first.ARN {
		w.Error("the new secret has the ARN of the old one")
	}
	_, err = w.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: first.ARN})
	typed[*types.ResourceNotFoundException](w, "reading by the old ARN", err, msgNoSecret)
	_, err = w.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: first.Name, VersionId: first.VersionId})
	typed[*types.ResourceNotFoundException](w, "reading the old version", err, msgNoVersion)
	is(w, "the value", w.value(*second.Name), plant("two"))

	_, err = w.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: aws.String(w.prefix + "never"), ForceDeleteWithoutRecovery: aws.Bool(true)})
	w.ok(err) // the forced deletion of what is not there succeeds
	_, err = w.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: aws.String(w.prefix + "never")})
	typed[*types.ResourceNotFoundException](w, "deleting what is not there", err, msgNoSecret)
}
