package sdk

import (
	"errors"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// Two tokens as clients choose them: 32 to 64 characters, not always a UUID.
const (
	tokenA = "11111111-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
	tokenB = "22222222-bbbb-4bbb-8bbb-bbbbbbbbbbbb-and-some-more-to-64-charact"
)

// createToken repeats a creation.
func createToken(w *world) {
	id := w.prefix + "app"
	create := func(token, value string) (*secretsmanager.CreateSecretOutput, error) {
		return w.CreateSecret(w.Context(), &secretsmanager.CreateSecretInput{Name: &id, ClientRequestToken: &token, SecretString: aws.String(plant(value))})
	}
	first, err := create(tokenA, "one")
	w.ok(err)
	is(w, "the version id", *first.VersionId, tokenA)
	again, err := create(tokenA, "one")
	w.ok(err)
	is(w, "the ARN", *again.ARN, *first.ARN)
	is(w, "the version id", *again.VersionId, tokenA)
	_, err = create(tokenA, "two")
	typed[*types.ResourceExistsException](w, "the same token and another value", err, "")
	_, err = create(tokenB, "one")
	typed[*types.ResourceExistsException](w, "another token", err, "The operation failed because the secret "+id+" already exists.")
	is(w, "the number of versions", len(w.describe(id).VersionIdsToStages), 1)
}

// putToken repeats a put.
func putToken(w *world) {
	id := *w.create("app", "one").Name
	put := func(token, value string) (*secretsmanager.PutSecretValueOutput, error) {
		return w.PutSecretValue(w.Context(), &secretsmanager.PutSecretValueInput{SecretId: &id, ClientRequestToken: &token, SecretString: aws.String(plant(value))})
	}
	first, err := put(tokenB, "two")
	w.ok(err)
	is(w, "the version id", *first.VersionId, tokenB)
	w.stages("the version", first.VersionStages, "AWSCURRENT")
	_, err = put(tokenB, "two")
	w.ok(err)
	_, err = put(tokenB, "three")
	typed[*types.ResourceExistsException](w, "the same token and another value", err, "")
	is(w, "the value", w.value(id), plant("two"))
	is(w, "the number of versions", len(w.describe(id).VersionIdsToStages), 2)
	for _, bad := range []string{"short", tokenB + "x"} {
		_, err = put(bad, "four")
		w.refusedAs("a token of a wrong length", err, "InvalidParameterException", "ValidationException")
	}
}

// updateToken uses a token twice, which an update does not allow.
func updateToken(w *world) {
	id := *w.create("app", "one").Name
	update := func(value string) error {
		_, err := w.UpdateSecret(w.Context(), &secretsmanager.UpdateSecretInput{SecretId: &id, ClientRequestToken: aws.String(tokenA), SecretString: aws.String(plant(value))})
		return err
	}
	w.ok(update("two"))
	typed[*types.ResourceExistsException](w, "the token of another value", update("three"), "")
	is(w, "the value", w.value(id), plant("two"))
}

// currentAndPrevious follows the two labels over three versions.
func currentAndPrevious(w *world) {
	made := w.create("app", "one")
	id, one := *made.Name, *made.VersionId
	two := w.put(id, "two")
	three := w.put(id, "three")
	at := w.describe(id).VersionIdsToStages
	is(w, "the number of labelled versions", len(at), 2)
	w.stages("the third", at[three], "AWSCURRENT")
	w.stages("the second", at[two], "AWSPREVIOUS")
	got, err := w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id, VersionStage: aws.String("AWSPREVIOUS")})
	w.ok(err)
	is(w, "the previous value", *got.SecretString, plant("two"))
	got, err = w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id, VersionId: &one})
	w.ok(err)
	is(w, "the first value by its id", *got.SecretString, plant("one"))
	w.stages("the first", got.VersionStages)
	got, err = w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id, VersionId: &two, VersionStage: aws.String("AWSPREVIOUS")})
	w.ok(err)
	is(w, "the second value by id and label", *got.SecretString, plant("two"))
}

// customLabels puts versions beside the current one.
func customLabels(w *world) {
	made := w.create("app", "one")
	id := *made.Name
	two := w.put(id, "two", "AWSPENDING", "beta")
	is(w, "the current value", w.value(id), plant("one"))
	at := w.describe(id).VersionIdsToStages
	w.stages("the first", at[*made.VersionId], "AWSCURRENT")
	w.stages("the second", at[two], "AWSPENDING", "beta")

	three := w.put(id, "three", "beta") // a label moves when it is used again
	at = w.describe(id).VersionIdsToStages
	w.stages("the second", at[two], "AWSPENDING")
	w.stages("the third", at[three], "beta")

	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprintf("label-%d", i)
	}
	_, err := w.PutSecretValue(w.Context(), &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: aws.String(plant("x")), VersionStages: many})
	w.refusedAs("21 labels", err, "InvalidParameterException", "ValidationException", "LimitExceededException")
	four := w.put(id, "four", many[:20]...)
	w.stages("the fourth", w.describe(id).VersionIdsToStages[four], many[:20]...)
	_, err = w.UpdateSecretVersionStage(w.Context(), &secretsmanager.UpdateSecretVersionStageInput{SecretId: &id, VersionStage: &many[20], MoveToVersionId: &four})
	typed[*types.LimitExceededException](w, "the 21st label", err, "")
}

// moveLabels moves and removes labels by hand.
func moveLabels(w *world) {
	ctx := w.Context()
	made := w.create("app", "one")
	id, one := *made.Name, *made.VersionId
	two := w.put(id, "two", "AWSPENDING")
	move := func(label string, from, to *string) error {
		_, err := w.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{SecretId: &id, VersionStage: &label, RemoveFromVersionId: from, MoveToVersionId: to})
		return err
	}
	typed[*types.InvalidParameterException](w, "moving without saying from where", move("AWSCURRENT", nil, &two),
		"The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version "+one)
	typed[*types.InvalidParameterException](w, "moving from where it is not", move("AWSCURRENT", &two, &two), "")
	is(w, "the value", w.value(id), plant("one"))

	w.ok(move("AWSCURRENT", &one, &two))
	is(w, "the value", w.value(id), plant("two"))
	at := w.describe(id).VersionIdsToStages
	w.stages("the second", at[two], "AWSCURRENT", "AWSPENDING") // by hand the pending label stays
	w.stages("the first", at[one], "AWSPREVIOUS")

	w.ok(move("AWSPENDING", &two, nil))
	w.ok(move("stable", nil, &one))
	at = w.describe(id).VersionIdsToStages
	w.stages("the second", at[two], "AWSCURRENT")
	w.stages("the first", at[one], "AWSPREVIOUS", "stable")

	w.ok(move("AWSCURRENT", &two, &one)) // and back
	at = w.describe(id).VersionIdsToStages
	w.stages("the first", at[one], "AWSCURRENT", "stable")
	w.stages("the second", at[two], "AWSPREVIOUS")

	w.refusedAs("removing AWSCURRENT", move("AWSCURRENT", &one, nil), "InvalidParameterException", "InvalidRequestException")
	w.refusedAs("moving to a version of none", move("beta", nil, aws.String(tokenA)), "ResourceNotFoundException", "InvalidParameterException")
	w.refusedAs("neither from nor to", move("beta", nil, nil), "InvalidParameterException", "InvalidRequestException")
}

// missingVersions asks for what a secret does not have.
func missingVersions(w *world) {
	made := w.create("app", "one")
	two := w.put(*made.Name, "two")
	get := func(version, stage *string) error {
		_, err := w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: made.Name, VersionId: version, VersionStage: stage})
		return err
	}
	typed[*types.ResourceNotFoundException](w, "a label of none", get(nil, aws.String("AWSPENDING")), msgNoLabel+"AWSPENDING")
	typed[*types.ResourceNotFoundException](w, "a version of none", get(aws.String(tokenA), nil), msgNoVersion+tokenA)
	typed[*types.InvalidRequestException](w, "a version without the label", get(&two, aws.String("AWSPREVIOUS")), msgMismatch)
}

// deprecatedVersions are hidden from a list, and readable.
func deprecatedVersions(w *world) {
	made := w.create("app", "one")
	id := *made.Name
	two, three := w.put(id, "two"), w.put(id, "three")
	list := func(all bool) map[string][]string {
		out, err := w.ListSecretVersionIds(w.Context(), &secretsmanager.ListSecretVersionIdsInput{SecretId: &id, IncludeDeprecated: &all})
		w.ok(err)
		is(w, "the ARN", *out.ARN, *made.ARN)
		is(w, "the name", *out.Name, id)
		got := map[string][]string{}
		for _, v := range out.Versions {
			w.recent("CreatedDate", v.CreatedDate)
			got[*v.VersionId] = v.VersionStages
		}
		return got
	}
	labelled := list(false)
	is(w, "the number of labelled versions", len(labelled), 2)
	w.stages("the third", labelled[three], "AWSCURRENT")
	w.stages("the second", labelled[two], "AWSPREVIOUS")
	all := list(true)
	is(w, "the number of versions", len(all), 3)
	if _, ok := all[*made.VersionId]; !ok {
		w.Error("the first version is not listed")
	}
	w.stages("the first", all[*made.VersionId])
}

// concurrentWriters write one secret at the same time. Each write is a version,
// and the two labels are where the last two were.
func concurrentWriters(w *world) {
	const writers = 20
	id := *w.create("app", "first").Name
	var group sync.WaitGroup
	ids := make([]string, writers)
	for i := range writers {
		group.Go(func() {
			out, err := w.PutSecretValue(w.Context(), &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: aws.String(plant(fmt.Sprint(i)))})
			if err != nil {
				w.Errorf("writer %d: %v", i, err)
				return
			}
			ids[i] = *out.VersionId
		})
	}
	group.Wait()
	out, err := w.ListSecretVersionIds(w.Context(), &secretsmanager.ListSecretVersionIdsInput{SecretId: &id, IncludeDeprecated: aws.Bool(true)})
	w.ok(err)
	is(w, "the number of versions", len(out.Versions), writers+1)
	labels := map[string]int{}
	for _, v := range out.Versions {
		for _, label := range v.VersionStages {
			labels[label]++
		}
	}
	is(w, "the number of current versions", labels["AWSCURRENT"], 1)
	is(w, "the number of previous versions", labels["AWSPREVIOUS"], 1)
	for i, version := range ids {
		got, err := w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id, VersionId: &version})
		w.ok(err)
		is(w, "the value of a version", *got.SecretString, plant(fmt.Sprint(i)))
	}
}

// concurrentCreators want the same name. One gets it.
func concurrentCreators(w *world) {
	const creators = 10
	id := w.prefix + "app"
	var group sync.WaitGroup
	errs := make([]error, creators)
	for i := range creators {
		group.Go(func() {
			_, errs[i] = w.CreateSecret(w.Context(), &secretsmanager.CreateSecretInput{Name: &id, SecretString: aws.String(plant(fmt.Sprint(i)))})
		})
	}
	group.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
			continue
		}
		if taken := (*types.ResourceExistsException)(nil); !errors.As(err, &taken) {
			w.Errorf("got %v", err)
		}
	}
	is(w, "the number of secrets made", made, 1)
	is(w, "the number of versions", len(w.describe(id).VersionIdsToStages), 1)
}
