package secretsmanager

import (
	"context"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"countersign/internal/core/policy"
	"countersign/internal/core/secret"
	"countersign/internal/front/aws"
	"countersign/internal/name"
)

type getSecretValueInput struct {
	secretInput
	VersionId, VersionStage aws.String
}

func (in *getSecretValueInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "VersionId":
		r.String(&in.VersionId)
	case "VersionStage":
		r.String(&in.VersionStage)
	default:
		in.secretInput.Member(r, member)
	}
}

func (in *getSecretValueInput) check(c *aws.Checks) {
	in.secretInput.check(c)
	checkVersionID(c, "versionId", in.VersionId)
	checkLabel("versionStage", c, in.VersionStage)
}

func (f *front) getSecretValue(ctx context.Context, c *aws.Call, in *getSecretValueInput) error {
	v, err := f.secrets.ReadValue(ctx, c.Who, secret.ReadRequest{ID: in.id, VersionID: in.VersionId.Value, Label: in.VersionStage.Value})
	if err != nil {
		return err
	}
	writeValue(&c.Out, &v)
	return nil
}

// writeValue appends a version with its value. Text of another front that is
// not valid UTF-8 could not be told in JSON and is sent as bytes.
func writeValue(w *aws.Writer, v *secret.Value) {
	w.Open('{')
	w.Text("ARN", v.ARN)
	w.Text("Name", v.Name)
	w.Text("VersionId", v.VersionID)
	if data := v.Data.Reveal(); v.Binary || !utf8.Valid(data) {
		w.Base64("SecretBinary", data)
	} else {
		w.TextBytes("SecretString", data)
	}
	w.Texts("VersionStages", v.Labels)
	w.Time("CreatedDate", v.Created)
	w.Close('}')
}

type batchInput struct {
	SecretIdList aws.Strings
	Filters      aws.Items[filterInput]
	MaxResults   aws.Int
	NextToken    aws.String
	ids          []name.SecretID
}

func (in *batchInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "SecretIdList":
		r.Strings(&in.SecretIdList)
	case "Filters":
		aws.List(r, &in.Filters)
	case "MaxResults":
		r.Int(&in.MaxResults)
	case "NextToken":
		r.String(&in.NextToken)
	default:
		r.Skip()
	}
}

func (in *batchInput) check(c *aws.Checks) {
	c.Count("secretIdList", in.SecretIdList.Set, len(in.SecretIdList.Values), 1, 20)
	c.Each("secretIdList", in.SecretIdList, func(path string, s aws.String) { c.Length(path, s, 1, 2048) })
	checkFilters(c, in.Filters)
	c.Range("maxResults", in.MaxResults, 1, 20)
	c.Length("nextToken", in.NextToken, 1, 4096)
	filters := len(in.Filters.Values) > 0
	switch {
	case in.SecretIdList.Set && filters:
		c.Fail(refuse(invalidParameter, "You can't specify both SecretIdList and Filters."))
	case !in.SecretIdList.Set && !filters:
		c.Fail(refuse(invalidParameter, "You must provide either SecretIdList or Filters."))
	case !filters && (in.MaxResults.Set || in.NextToken.Set):
		c.Fail(refuse(invalidParameter, "You can use MaxResults and NextToken only with Filters."))
	}
	if !c.Sound() {
		return
	}
	for _, s := range in.SecretIdList.Values {
		id, err := name.ParseSecretID(s.Value)
		if err != nil {
			c.Fail(refuse(aws.CodeValidation, invalidNameText))
			return
		}
		in.ids = append(in.ids, id)
	}
}

func (in *batchInput) said() aws.Said { return aws.Said{} }

func (f *front) batchGetSecretValue(ctx context.Context, c *aws.Call, in *batchInput) error {
	limit := int(in.MaxResults.Value)
	if limit == 0 {
		limit = 20
	}
	b, err := f.secrets.BatchReadValue(ctx, c.Who, secret.BatchRequest{IDs: in.ids, Filters: filtersOf(in.Filters),
		Max: limit, Token: in.NextToken.Value})
	if err != nil {
		return err
	}
	w := &c.Out
	w.Open('{')
	w.Name("SecretValues")
	w.Open('[')
	for i := range b.Values {
		writeValue(w, &b.Values[i])
	}
	w.Close(']')
	w.Name("Errors")
	w.Open('[')
	for _, e := range b.Failures {
		item := faultFor(c.Who, policy.ReadValue.Action(), aws.Said{Resource: e.ID}, e.Err)
		w.Open('{')
		w.Text("SecretId", e.ID)
		w.Text("ErrorCode", item.Type)
		w.Text("Message", item.Message)
		w.Close('}')
	}
	w.Close(']')
	w.Text("NextToken", b.Token)
	w.Close('}')
	return nil
}

func (f *front) describeSecret(ctx context.Context, c *aws.Call, in *secretInput) error {
	d, err := f.secrets.Describe(ctx, c.Who, in.id)
	if err != nil {
		return err
	}
	w := &c.Out
	w.Open('{')
	writeDescription(w, &d, "VersionIdsToStages")
	writeReplicas(w, d.Replicas)
	w.Close('}')
	return nil
}

// writeDescription appends the members that a description and an entry of a
// listing share. They name the versions differently.
func writeDescription(w *aws.Writer, d *secret.Description, versions string) {
	w.Text("ARN", d.ARN)
	w.Text("Name", d.Name)
	w.Text("Type", d.Type)
	w.Text("Description", d.Description)
	w.Text("KmsKeyId", d.KMSKey)
	if d.Rotation != nil {
		writeRotation(w, d)
	}
	w.Time("LastChangedDate", d.Changed)
	w.Time("LastAccessedDate", d.Accessed)
	w.Time("DeletedDate", d.Deleted)
	if len(d.Tags) > 0 {
		w.Name("Tags")
		w.Open('[')
		for _, t := range d.Tags {
			writePair(w, t.Key, t.Value)
		}
		w.Close(']')
	}
	if len(d.Labels) > 0 {
		w.Name(versions)
		w.Open('{')
		for _, id := range slices.Sorted(maps.Keys(d.Labels)) {
			w.Key(id)
			w.Open('[')
			for _, l := range d.Labels[id] {
				w.Item(l)
			}
			w.Close(']')
		}
		w.Close('}')
	}
	w.Time("CreatedDate", d.Created)
	w.Text("PrimaryRegion", d.PrimaryRegion)
}

// writeRotation appends what is there once rotation was configured.
func writeRotation(w *aws.Writer, d *secret.Description) {
	r := d.Rotation
	w.Bool("RotationEnabled", r.Enabled)
	w.Text("RotationLambdaARN", r.Function)
	w.Name("RotationRules")
	w.Open('{')
	w.Int("AutomaticallyAfterDays", r.Days)
	w.Text("Duration", r.Window)
	w.Text("ScheduleExpression", r.Schedule)
	w.Close('}')
	if len(r.External) > 0 {
		w.Name("ExternalSecretRotationMetadata")
		w.Open('[')
		for _, k := range slices.Sorted(maps.Keys(r.External)) {
			writePair(w, k, r.External[k])
		}
		w.Close(']')
	}
	w.Text("ExternalSecretRotationRoleArn", r.Role)
	if r.Last != 0 {
		w.Time("LastRotatedDate", time.UnixMicro(r.Last))
	}
	w.Time("NextRotationDate", d.NextRotation)
}

func writePair(w *aws.Writer, key, value string) {
	w.Open('{')
	w.TextAlways("Key", key)
	w.TextAlways("Value", value)
	w.Close('}')
}

type listSecretsInput struct {
	IncludePlannedDeletion aws.Bool
	MaxResults             aws.Int
	NextToken              aws.String
	Filters                aws.Items[filterInput]
	SortOrder, SortBy      aws.String
}

func (in *listSecretsInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "IncludePlannedDeletion":
		r.Bool(&in.IncludePlannedDeletion)
	case "MaxResults":
		r.Int(&in.MaxResults)
	case "NextToken":
		r.String(&in.NextToken)
	case "Filters":
		aws.List(r, &in.Filters)
	case "SortOrder":
		r.String(&in.SortOrder)
	case "SortBy":
		r.String(&in.SortBy)
	default:
		r.Skip()
	}
}

func (in *listSecretsInput) check(c *aws.Checks) {
	c.Range("maxResults", in.MaxResults, 1, 100)
	c.Length("nextToken", in.NextToken, 1, 4096)
	checkFilters(c, in.Filters)
	c.Enum("sortOrder", in.SortOrder, "asc", "desc")
	c.Enum("sortBy", in.SortBy, string(secret.SortCreated), string(secret.SortAccessed), string(secret.SortChanged), string(secret.SortName))
}

func (in *listSecretsInput) said() aws.Said { return aws.Said{} }

func (f *front) listSecrets(ctx context.Context, c *aws.Call, in *listSecretsInput) error {
	page, err := f.secrets.List(ctx, c.Who, secret.ListRequest{Filters: filtersOf(in.Filters), Deleted: in.IncludePlannedDeletion.Value,
		Sort: secret.Sort(in.SortBy.Value), Desc: in.SortOrder.Value == "desc", Max: int(in.MaxResults.Value), Token: in.NextToken.Value})
	if err != nil {
		return err
	}
	w := &c.Out
	w.Open('{')
	w.Name("SecretList")
	w.Open('[')
	for i := range page.Secrets {
		w.Open('{')
		writeDescription(w, &page.Secrets[i], "SecretVersionsToStages")
		w.Close('}')
	}
	w.Close(']')
	w.Text("NextToken", page.Token)
	w.Close('}')
	return nil
}

type listVersionsInput struct {
	secretInput
	MaxResults        aws.Int
	NextToken         aws.String
	IncludeDeprecated aws.Bool
}

func (in *listVersionsInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "MaxResults":
		r.Int(&in.MaxResults)
	case "NextToken":
		r.String(&in.NextToken)
	case "IncludeDeprecated":
		r.Bool(&in.IncludeDeprecated)
	default:
		in.secretInput.Member(r, member)
	}
}

func (in *listVersionsInput) check(c *aws.Checks) {
	in.secretInput.check(c)
	c.Range("maxResults", in.MaxResults, 1, 100)
	c.Length("nextToken", in.NextToken, 1, 4096)
}

// defaultKey is what AWS calls the key of a version without one of its own.
const defaultKey = "DefaultEncryptionKey"

func (f *front) listSecretVersionIds(ctx context.Context, c *aws.Call, in *listVersionsInput) error {
	page, err := f.secrets.ListVersions(ctx, c.Who, secret.VersionsRequest{ID: in.id, Unlabeled: in.IncludeDeprecated.Value,
		Max: int(in.MaxResults.Value), Token: in.NextToken.Value})
	if err != nil {
		return err
	}
	w := &c.Out
	w.Open('{')
	w.Name("Versions")
	w.Open('[')
	for _, v := range page.Versions {
		w.Open('{')
		w.Text("VersionId", v.ID)
		w.Texts("VersionStages", v.Labels)
		w.Time("LastAccessedDate", v.Accessed)
		w.Time("CreatedDate", v.Created)
		key := v.KMSKey
		if key == "" {
			key = defaultKey
		}
		w.Texts("KmsKeyIds", []string{key})
		w.Close('}')
	}
	w.Close(']')
	w.Text("NextToken", page.Token)
	w.Text("ARN", page.ARN)
	w.Text("Name", page.Name)
	w.Close('}')
	return nil
}

type passwordInput struct {
	PasswordLength                        aws.Int
	ExcludeCharacters                     aws.String
	ExcludeNumbers, ExcludePunctuation    aws.Bool
	ExcludeUppercase, ExcludeLowercase    aws.Bool
	IncludeSpace, RequireEachIncludedType aws.Bool
}

func (in *passwordInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "PasswordLength":
		r.Int(&in.PasswordLength)
	case "ExcludeCharacters":
		r.String(&in.ExcludeCharacters)
	case "ExcludeNumbers":
		r.Bool(&in.ExcludeNumbers)
	case "ExcludePunctuation":
		r.Bool(&in.ExcludePunctuation)
	case "ExcludeUppercase":
		r.Bool(&in.ExcludeUppercase)
	case "ExcludeLowercase":
		r.Bool(&in.ExcludeLowercase)
	case "IncludeSpace":
		r.Bool(&in.IncludeSpace)
	case "RequireEachIncludedType":
		r.Bool(&in.RequireEachIncludedType)
	default:
		r.Skip()
	}
}

func (in *passwordInput) check(c *aws.Checks) {
	c.Range("passwordLength", in.PasswordLength, 1, 4096)
	c.Length("excludeCharacters", in.ExcludeCharacters, 0, 4096)
}

func (in *passwordInput) said() aws.Said { return aws.Said{} }

func (f *front) getRandomPassword(ctx context.Context, c *aws.Call, in *passwordInput) error {
	p, err := f.secrets.RandomPassword(ctx, c.Who, secret.PasswordRequest{
		Length: int(in.PasswordLength.Value), Exclude: in.ExcludeCharacters.Value,
		NoLowercase: in.ExcludeLowercase.Value, NoUppercase: in.ExcludeUppercase.Value,
		NoDigits: in.ExcludeNumbers.Value, NoPunctuation: in.ExcludePunctuation.Value,
		Space: in.IncludeSpace.Value, Each: !in.RequireEachIncludedType.Set || in.RequireEachIncludedType.Value})
	if err != nil {
		return err
	}
	c.Out.Open('{')
	c.Out.TextBytes("RandomPassword", p.Reveal())
	c.Out.Close('}')
	return nil
}
