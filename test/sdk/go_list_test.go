package sdk

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// listed returns the names of a listing without the scenario's prefix, in
// their order and separated by blanks. Names of other scenarios are left out.
func (w *world) listed(in *secretsmanager.ListSecretsInput) string {
	w.Helper()
	var names []string
	for p := secretsmanager.NewListSecretsPaginator(w, in); p.HasMorePages(); {
		out, err := p.NextPage(w.Context())
		w.ok(err)
		for _, s := range out.SecretList {
			if short, ok := strings.CutPrefix(*s.Name, w.prefix); ok {
				names = append(names, short)
			}
		}
	}
	return strings.Join(names, " ")
}

func filter(key types.FilterNameStringType, values ...string) types.Filter {
	return types.Filter{Key: key, Values: values}
}

// tags sets, changes and removes tags.
func tags(w *world) {
	ctx := w.Context()
	id := *w.create("app", "v").Name
	tag := func(pairs ...string) error {
		var tags []types.Tag
		for i := 0; i < len(pairs); i += 2 {
			tags = append(tags, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
		}
		_, err := w.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: &id, Tags: tags})
		return err
	}
	have := func() string {
		var out []string
		for _, t := range w.describe(id).Tags {
			out = append(out, aws.ToString(t.Key)+"="+aws.ToString(t.Value))
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	w.ok(tag("team", "blue", "stage", "prod"))
	w.ok(tag("team", "red", "empty", ""))
	is(w, "the tags", have(), "empty= stage=prod team=red")
	_, err := w.UntagResource(ctx, &secretsmanager.UntagResourceInput{SecretId: &id, TagKeys: []string{"stage", "none"}})
	w.ok(err)
	is(w, "the tags", have(), "empty= team=red")
	var many []string
	for i := range 51 {
		many = append(many, fmt.Sprintf("key-%d", i), "v")
	}
	w.refusedAs("51 tags", tag(many...), "InvalidParameterException", "ValidationException", "LimitExceededException")
	w.refusedAs("a key of AWS's own", tag("aws:mine", "v"), "InvalidParameterException", "ValidationException")
	is(w, "the tags", have(), "empty= team=red")
	_, err = w.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: aws.String(w.prefix + "none"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
	typed[*types.ResourceNotFoundException](w, "tagging what is not there", err, msgNoSecret)
}

// listFilters selects by each of the attributes.
func listFilters(w *world) {
	ctx := w.Context()
	for _, s := range []struct{ name, description, key, value string }{
		{"alpha", "Payments Database", "team-list", "Blue"},
		{"beta", "payments queue", "team-list", "red"},
		{"gamma", "other things", "owner-list", "Blue"},
	} {
		_, err := w.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(w.prefix + s.name), Description: &s.description,
			SecretString: aws.String(plant(s.name)), Tags: []types.Tag{{Key: &s.key, Value: &s.value}}})
		w.ok(err)
	}
	mine := filter(types.FilterNameStringTypeName, w.prefix)
	for _, c := range []struct {
		what    string
		filters []types.Filter
		want    string
	}{
		{"a name's prefix", []types.Filter{mine}, "alpha beta gamma"},
		{"two names", []types.Filter{filter("name", w.prefix+"al", w.prefix+"ga")}, "alpha gamma"},
		{"all but a name", []types.Filter{mine, filter("name", "!"+w.prefix+"al")}, "beta gamma"},
		{"a tag's key", []types.Filter{filter("tag-key", "team-list")}, "alpha beta"},
		{"a tag's value", []types.Filter{mine, filter("tag-value", "Blue")}, "alpha gamma"},
		{"a tag's value in another case", []types.Filter{mine, filter("tag-value", "blue")}, ""},
		{"key and value", []types.Filter{filter("tag-key", "team-list"), filter("tag-value", "Blue")}, "alpha"},
		{"a description in another case", []types.Filter{mine, filter("description", "PAYMENTS")}, "alpha beta"},
		{"all attributes", []types.Filter{mine, filter("all", "queue")}, "beta"},
		{"nothing", []types.Filter{mine, filter("name", "zzz")}, ""},
		{"an owning service", []types.Filter{mine, filter("owning-service", "rds")}, ""},
	} {
		is(w, c.what, w.listed(&secretsmanager.ListSecretsInput{Filters: c.filters, SortBy: types.SortByTypeName, SortOrder: types.SortOrderTypeAsc}), c.want)
	}
	_, err := w.ListSecrets(ctx, &secretsmanager.ListSecretsInput{Filters: []types.Filter{filter("color", "x")}})
	w.refusedAs("a filter of none", err, "ValidationException", "InvalidParameterException")
}

// listOrder sorts, and pages through a listing in that order.
func listOrder(w *world) {
	for _, name := range []string{"b", "c", "a"} {
		w.create(name, name)
	}
	w.put(w.prefix+"b", "newer")
	mine := []types.Filter{filter("name", w.prefix)}
	list := func(by types.SortByType, order types.SortOrderType, size *int32) string {
		return w.listed(&secretsmanager.ListSecretsInput{Filters: mine, SortBy: by, SortOrder: order, MaxResults: size})
	}
	if got := list("", "", nil); got != "b c a" && got != "a c b" {
		w.Errorf("the default order is %q, which is not that of creation", got)
	}
	for _, size := range []*int32{nil, aws.Int32(1), aws.Int32(2)} {
		is(w, "by name", list(types.SortByTypeName, types.SortOrderTypeAsc, size), "a b c")
		is(w, "by name, backwards", list(types.SortByTypeName, types.SortOrderTypeDesc, size), "c b a")
		is(w, "by creation", list(types.SortByTypeCreatedDate, types.SortOrderTypeAsc, size), "b c a")
		is(w, "by change", list(types.SortByTypeLastChangedDate, types.SortOrderTypeDesc, size), "b a c")
	}
	_, err := w.ListSecrets(w.Context(), &secretsmanager.ListSecretsInput{NextToken: aws.String("made-up")})
	typed[*types.InvalidNextTokenException](w, "a token that was made up", err, "")
	_, err = w.ListSecrets(w.Context(), &secretsmanager.ListSecretsInput{MaxResults: aws.Int32(101)})
	w.refusedAs("a page of 101", err, "ValidationException", "InvalidParameterException")
}

// paginators walk each listing that has pages with the SDK's own walkers.
func paginators(w *world) {
	const secrets, versions = 7, 5
	want := map[string]bool{}
	for i := range secrets {
		want[*w.create(fmt.Sprintf("s%d", i), "v").Name] = true
	}
	pages, seen := 0, map[string]bool{}
	mine := []types.Filter{filter("name", w.prefix)}
	for p := secretsmanager.NewListSecretsPaginator(w, &secretsmanager.ListSecretsInput{Filters: mine, MaxResults: aws.Int32(3)}); p.HasMorePages(); pages++ {
		out, err := p.NextPage(w.Context())
		w.ok(err)
		for _, s := range out.SecretList {
			if seen[*s.Name] || !want[*s.Name] {
				w.Errorf("%q is listed twice, or was not asked for", *s.Name)
			}
			seen[*s.Name] = true
			is(w, "the number of labelled versions of "+*s.Name, len(s.SecretVersionsToStages), 1)
		}
	}
	is(w, "the number of secrets", len(seen), secrets)
	if pages < 3 {
		w.Errorf("7 secrets came in %d pages of at most 3", pages)
	}

	id := w.prefix + "s0"
	for range versions - 1 {
		w.put(id, "another")
	}
	seen = map[string]bool{}
	for p := secretsmanager.NewListSecretVersionIdsPaginator(w, &secretsmanager.ListSecretVersionIdsInput{SecretId: &id, IncludeDeprecated: aws.Bool(true), MaxResults: aws.Int32(2)}); p.HasMorePages(); {
		out, err := p.NextPage(w.Context())
		w.ok(err)
		for _, v := range out.Versions {
			seen[*v.VersionId] = true
		}
	}
	is(w, "the number of versions", len(seen), versions)

	seen = map[string]bool{}
	for p := secretsmanager.NewBatchGetSecretValuePaginator(w, &secretsmanager.BatchGetSecretValueInput{Filters: mine, MaxResults: aws.Int32(3)}); p.HasMorePages(); {
		out, err := p.NextPage(w.Context())
		w.ok(err)
		is(w, "the number of errors", len(out.Errors), 0)
		for _, v := range out.SecretValues {
			seen[*v.Name] = strings.HasPrefix(*v.SecretString, canary)
		}
	}
	is(w, "the number of values", len(seen), secrets)
}

// batch reads several secrets at once.
func batch(w *world) {
	one, two := w.create("one", "1"), w.create("two", "2")
	out, err := w.BatchGetSecretValue(w.Context(), &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{*one.Name, *two.ARN}})
	w.ok(err)
	is(w, "the number of values", len(out.SecretValues), 2)
	is(w, "the number of errors", len(out.Errors), 0)
	got := map[string]types.SecretValueEntry{}
	for _, v := range out.SecretValues {
		got[*v.Name] = v
	}
	for name, value := range map[string]string{"one": plant("1"), "two": plant("2")} {
		v := got[w.prefix+name]
		is(w, "the value of "+name, aws.ToString(v.SecretString), value)
		w.stages(name, v.VersionStages, "AWSCURRENT")
		w.recent("CreatedDate", v.CreatedDate)
	}
	out, err = w.BatchGetSecretValue(w.Context(), &secretsmanager.BatchGetSecretValueInput{Filters: []types.Filter{filter("name", w.prefix+"t")}})
	w.ok(err)
	is(w, "the number of values by filter", len(out.SecretValues), 1)
}

// batchErrors has one good name among bad ones.
func batchErrors(w *world) {
	ctx := w.Context()
	one, gone := w.create("one", "1"), w.create("gone", "2")
	_, err := w.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: gone.Name})
	w.ok(err)
	out, err := w.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{*one.Name, *gone.Name, w.prefix + "none"}})
	w.ok(err)
	is(w, "the number of values", len(out.SecretValues), 1)
	codes := map[string]string{}
	for _, e := range out.Errors {
		codes[strings.TrimPrefix(*e.SecretId, w.prefix)] = *e.ErrorCode
		if aws.ToString(e.Message) == "" {
			w.Error("an error without a message")
		}
	}
	is(w, "the number of errors", len(codes), 2)
	is(w, "the error of a secret of none", codes["none"], "ResourceNotFoundException")
	is(w, "the error of a deleted secret", codes["gone"], "InvalidRequestException")

	_, err = w.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{})
	typed[*types.InvalidParameterException](w, "neither list nor filter", err, "")
	_, err = w.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{*one.Name}, Filters: []types.Filter{filter("name", "x")}})
	typed[*types.InvalidParameterException](w, "list and filter", err, "")
	_, err = w.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{*one.Name}, MaxResults: aws.Int32(5)})
	typed[*types.InvalidParameterException](w, "list and MaxResults", err, "")
	_, err = w.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: slices.Repeat([]string{*one.Name}, 21)})
	w.refusedAs("21 names", err, "ValidationException", "InvalidParameterException")
	_, err = w.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{Filters: []types.Filter{filter("name", w.prefix)}, NextToken: aws.String("made-up")})
	typed[*types.InvalidNextTokenException](w, "a token that was made up", err, "")
}
