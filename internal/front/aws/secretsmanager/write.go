package secretsmanager

import (
	"context"
	"crypto/rand"
	"strings"

	"countersign/internal/core/change"
	"countersign/internal/core/secret"
	"countersign/internal/front/aws"
	"countersign/internal/name"
)

type createSecretInput struct {
	valueInput
	Name                        aws.String
	Description, KmsKeyId, Type aws.String
	Tags                        aws.Items[tagInput]
	AddReplicaRegions           aws.Items[replicaInput]
	ForceOverwriteReplicaSecret aws.Bool
}

func (in *createSecretInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "Name":
		r.String(&in.Name)
	case "Description":
		r.String(&in.Description)
	case "KmsKeyId":
		r.String(&in.KmsKeyId)
	case "Type":
		r.String(&in.Type)
	case "Tags":
		aws.List(r, &in.Tags)
	case "AddReplicaRegions":
		aws.List(r, &in.AddReplicaRegions)
	case "ForceOverwriteReplicaSecret":
		r.Bool(&in.ForceOverwriteReplicaSecret)
	default:
		if !in.valueInput.member(r, member) {
			r.Skip()
		}
	}
}

func (in *createSecretInput) check(c *aws.Checks) {
	c.Required("name", in.Name.Set)
	c.Length("name", in.Name, 1, name.MaxSecret)
	if in.Name.Set && c.Sound() && name.SecretName(in.Name.Value) != nil {
		c.Fail(refuse(aws.CodeValidation, invalidNameText))
	}
	checkTexts(c, in.Description, in.KmsKeyId, in.Type)
	checkTags(c, in.Tags)
	checkReplicas(c, in.AddReplicaRegions)
	in.valueInput.check(c, false)
}

// checkTexts holds what describes a secret to the model.
func checkTexts(c *aws.Checks, description, kmsKey, typ aws.String) {
	c.Length("description", description, 0, name.MaxDescription)
	c.Length("kmsKeyId", kmsKey, 0, 2048)
	c.Length("type", typ, 0, 256)
}

func (in *createSecretInput) said() aws.Said {
	return aws.Said{Resource: in.Name.Value, Token: in.ClientRequestToken.Value}
}

func (f *front) createSecret(ctx context.Context, c *aws.Call, in *createSecretInput) error {
	out, err := f.secrets.Create(ctx, c.Who, secret.CreateRequest{
		Name: in.Name.Value, VersionID: in.ClientRequestToken.Value, Value: in.value(),
		Description: in.Description.Value, KMSKey: in.KmsKeyId.Value, Type: in.Type.Value, Tags: tagsOf(in.Tags),
		Replicas: replicasOf(in.AddReplicaRegions), ForceReplicas: in.ForceOverwriteReplicaSecret.Value})
	if err := applied(out.Change, out.Status, err); err != nil {
		return err
	}
	w := &c.Out
	w.Open('{')
	w.Text("ARN", out.ARN)
	w.Text("Name", out.Name)
	w.Text("VersionId", out.VersionID)
	writeReplicas(w, out.Replicas)
	w.Close('}')
	return nil
}

// writeReplicas appends the state of the replicas when there are any.
func writeReplicas(w *aws.Writer, replicas []secret.Replica) {
	if len(replicas) == 0 {
		return
	}
	w.Name("ReplicationStatus")
	appendReplicas(w, replicas)
}

func appendReplicas(w *aws.Writer, replicas []secret.Replica) {
	w.Open('[')
	for _, r := range replicas {
		w.Open('{')
		w.Text("Region", r.Region)
		w.Text("KmsKeyId", r.KMSKey)
		w.Text("Status", r.Status)
		w.Text("StatusMessage", r.Message)
		w.Close('}')
	}
	w.Close(']')
}

type putSecretValueInput struct {
	secretInput
	valueInput
	VersionStages aws.Strings
	RotationToken aws.String
}

func (in *putSecretValueInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "VersionStages":
		r.Strings(&in.VersionStages)
	case "RotationToken":
		r.String(&in.RotationToken)
	default:
		if !in.valueInput.member(r, member) {
			in.secretInput.Member(r, member)
		}
	}
}

func (in *putSecretValueInput) check(c *aws.Checks) {
	in.secretInput.check(c)
	c.Count("versionStages", in.VersionStages.Set, len(in.VersionStages.Values), 1, name.MaxLabels)
	c.Each("versionStages", in.VersionStages, func(path string, s aws.String) { checkLabel(path, c, s) })
	c.Hidden("rotationToken", in.RotationToken, 36, 256)
	c.HiddenPattern("rotationToken", in.RotationToken, isRotationToken, `^[a-zA-Z0-9\-]+$`)
	in.valueInput.check(c, true)
}

func isRotationToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != ""
}

func (in *putSecretValueInput) said() aws.Said {
	return aws.Said{Resource: in.SecretId.Value, Token: in.ClientRequestToken.Value}
}

func (f *front) putSecretValue(ctx context.Context, c *aws.Call, in *putSecretValueInput) error {
	out, err := f.secrets.PutValue(ctx, c.Who, secret.PutRequest{ID: in.id, VersionID: in.ClientRequestToken.Value,
		Value: *in.value(), Labels: textsOf(in.VersionStages), RotationToken: in.RotationToken.Value})
	if err != nil {
		return err
	}
	w := &c.Out
	w.Open('{')
	w.Text("ARN", out.ARN)
	w.Text("Name", out.Name)
	w.Text("VersionId", out.VersionID)
	w.Texts("VersionStages", out.Labels)
	w.Close('}')
	return nil
}

type updateSecretInput struct {
	secretInput
	valueInput
	Description, KmsKeyId, Type aws.String
}

func (in *updateSecretInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "Description":
		r.String(&in.Description)
	case "KmsKeyId":
		r.String(&in.KmsKeyId)
	case "Type":
		r.String(&in.Type)
	default:
		if !in.valueInput.member(r, member) {
			in.secretInput.Member(r, member)
		}
	}
}

func (in *updateSecretInput) check(c *aws.Checks) {
	in.secretInput.check(c)
	checkTexts(c, in.Description, in.KmsKeyId, in.Type)
	in.valueInput.check(c, false)
}

func (in *updateSecretInput) said() aws.Said {
	return aws.Said{Resource: in.SecretId.Value, Token: in.ClientRequestToken.Value}
}

func (f *front) updateSecret(ctx context.Context, c *aws.Call, in *updateSecretInput) error {
	out, err := f.secrets.Update(ctx, c.Who, secret.UpdateRequest{ID: in.id, VersionID: in.ClientRequestToken.Value, Value: in.value(),
		Description: optional(in.Description), KMSKey: optional(in.KmsKeyId), Type: optional(in.Type)})
	if in.value() == nil { // a value that waits has a version to tell of
		err = applied(out.Change, out.Status, err)
	}
	if err != nil {
		return err
	}
	writeNamed(&c.Out, out)
	return nil
}

// applied turns a write that became a proposal into a refusal: the answer of the
// operation could not tell that it has not been done.
func applied(id string, status change.Status, err error) error {
	if err != nil {
		return err
	}
	return change.Awaits(id, status)
}

// writeNamed appends the usual answer: which secret, and the version if there
// is one to name.
func writeNamed(w *aws.Writer, out secret.Written) {
	w.Open('{')
	w.Text("ARN", out.ARN)
	w.Text("Name", out.Name)
	w.Text("VersionId", out.VersionID)
	w.Close('}')
}

// writeNamedOnly is writeNamed for operations whose answer has no version.
func writeNamedOnly(w *aws.Writer, out secret.Written) {
	out.VersionID = ""
	writeNamed(w, out)
}

type updateVersionStageInput struct {
	secretInput
	VersionStage, RemoveFromVersionId, MoveToVersionId aws.String
}

func (in *updateVersionStageInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "VersionStage":
		r.String(&in.VersionStage)
	case "RemoveFromVersionId":
		r.String(&in.RemoveFromVersionId)
	case "MoveToVersionId":
		r.String(&in.MoveToVersionId)
	default:
		in.secretInput.Member(r, member)
	}
}

func (in *updateVersionStageInput) check(c *aws.Checks) {
	in.secretInput.check(c)
	c.Required("versionStage", in.VersionStage.Set)
	checkLabel("versionStage", c, in.VersionStage)
	checkVersionID(c, "removeFromVersionId", in.RemoveFromVersionId)
	checkVersionID(c, "moveToVersionId", in.MoveToVersionId)
	if !in.RemoveFromVersionId.Set && !in.MoveToVersionId.Set {
		c.Fail(refuse(invalidParameter, "You must specify RemoveFromVersionId, MoveToVersionId, or both."))
	}
}

func (in *updateVersionStageInput) said() aws.Said {
	return aws.Said{Resource: in.SecretId.Value, Label: in.VersionStage.Value}
}

func (f *front) updateSecretVersionStage(ctx context.Context, c *aws.Call, in *updateVersionStageInput) error {
	out, err := f.secrets.MoveLabel(ctx, c.Who, secret.LabelRequest{ID: in.id, Label: in.VersionStage.Value,
		From: in.RemoveFromVersionId.Value, To: in.MoveToVersionId.Value, Infer: f.lenient})
	if err := applied(out.Change, out.Status, err); err != nil {
		return err
	}
	writeNamedOnly(&c.Out, out)
	return nil
}

type deleteSecretInput struct {
	secretInput
	RecoveryWindowInDays       aws.Int
	ForceDeleteWithoutRecovery aws.Bool
}

func (in *deleteSecretInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "RecoveryWindowInDays":
		r.Int(&in.RecoveryWindowInDays)
	case "ForceDeleteWithoutRecovery":
		r.Bool(&in.ForceDeleteWithoutRecovery)
	default:
		in.secretInput.Member(r, member)
	}
}

func (in *deleteSecretInput) check(c *aws.Checks) {
	in.secretInput.check(c)
	days := in.RecoveryWindowInDays
	switch {
	case days.Set && in.ForceDeleteWithoutRecovery.Value:
		c.Fail(refuse(invalidParameter, "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."))
	case days.Set && (days.Value < secret.MinWindow || days.Value > secret.MaxWindow):
		c.Fail(refuse(invalidParameter, "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive)."))
	}
}

func (f *front) deleteSecret(ctx context.Context, c *aws.Call, in *deleteSecretInput) error {
	out, err := f.secrets.Delete(ctx, c.Who, secret.DeleteRequest{ID: in.id, Window: int(in.RecoveryWindowInDays.Value),
		Force: in.ForceDeleteWithoutRecovery.Value})
	if err := applied(out.Change, out.Status, err); err != nil {
		return err
	}
	w := &c.Out
	w.Open('{')
	w.Text("ARN", madeUp(out.ARN))
	w.Text("Name", out.Name)
	w.Time("DeletionDate", out.When)
	w.Close('}')
	return nil
}

// madeUp gives the ARN in the answer to a forced deletion of what was not
// there a suffix, as AWS does: clients hold the ARN to its form.
func madeUp(arn string) string {
	if base, ok := strings.CutSuffix(arn, name.UnknownSuffix); ok {
		return base + rand.Text()[:name.SuffixLen]
	}
	return arn
}

func (f *front) restoreSecret(ctx context.Context, c *aws.Call, in *secretInput) error {
	out, err := f.secrets.Restore(ctx, c.Who, in.id, "")
	if err := applied(out.Change, out.Status, err); err != nil {
		return err
	}
	writeNamedOnly(&c.Out, out)
	return nil
}

type tagResourceInput struct {
	secretInput
	Tags aws.Items[tagInput]
}

func (in *tagResourceInput) Member(r *aws.Reader, member []byte) {
	if string(member) == "Tags" {
		aws.List(r, &in.Tags)
		return
	}
	in.secretInput.Member(r, member)
}

func (in *tagResourceInput) check(c *aws.Checks) {
	in.secretInput.check(c)
	c.Required("tags", in.Tags.Set)
	checkTags(c, in.Tags)
}

// tagResource answers without a body, as AWS does.
func (f *front) tagResource(ctx context.Context, c *aws.Call, in *tagResourceInput) error {
	out, err := f.secrets.Tag(ctx, c.Who, in.id, tagsOf(in.Tags), "")
	return applied(out.Change, out.Status, err)
}

type untagResourceInput struct {
	secretInput
	TagKeys aws.Strings
}

func (in *untagResourceInput) Member(r *aws.Reader, member []byte) {
	if string(member) == "TagKeys" {
		r.Strings(&in.TagKeys)
		return
	}
	in.secretInput.Member(r, member)
}

func (in *untagResourceInput) check(c *aws.Checks) {
	in.secretInput.check(c)
	c.Required("tagKeys", in.TagKeys.Set)
	c.Each("tagKeys", in.TagKeys, func(path string, s aws.String) { c.Length(path, s, 1, name.MaxTagKey) })
}

func (f *front) untagResource(ctx context.Context, c *aws.Call, in *untagResourceInput) error {
	out, err := f.secrets.Untag(ctx, c.Who, in.id, textsOf(in.TagKeys), "")
	return applied(out.Change, out.Status, err)
}
