package secretsmanager

import (
	"context"
	"strings"

	"countersign/internal/core/policy"
	"countersign/internal/core/secret"
	"countersign/internal/front/aws"
)

func (f *front) getResourcePolicy(ctx context.Context, c *aws.Call, in *secretInput) error {
	out, err := f.secrets.GetResourcePolicy(ctx, c.Who, in.id)
	if err != nil {
		return err
	}
	w := &c.Out
	w.Open('{')
	w.Text("ARN", out.ARN)
	w.Text("Name", out.Name)
	w.Text("ResourcePolicy", out.Policy)
	w.Close('}')
	return nil
}

func (f *front) deleteResourcePolicy(ctx context.Context, c *aws.Call, in *secretInput) error {
	out, err := f.secrets.DeleteResourcePolicy(ctx, c.Who, in.id, "")
	if err := applied(out.Change, out.Status, err); err != nil {
		return err
	}
	writeNamedOnly(&c.Out, out)
	return nil
}

type resourcePolicyInput struct {
	secretInput
	ResourcePolicy    aws.String
	BlockPublicPolicy aws.Bool
}

func (in *resourcePolicyInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "ResourcePolicy":
		r.String(&in.ResourcePolicy)
	case "BlockPublicPolicy":
		r.Bool(&in.BlockPublicPolicy)
	default:
		in.secretInput.Member(r, member)
	}
}

func (in *resourcePolicyInput) check(c *aws.Checks) {
	in.secretInput.check(c)
	in.checkPolicy(c)
}

func (in *resourcePolicyInput) checkPolicy(c *aws.Checks) {
	c.Required("resourcePolicy", in.ResourcePolicy.Set)
	c.Length("resourcePolicy", in.ResourcePolicy, 1, secret.MaxPolicy)
}

func (f *front) putResourcePolicy(ctx context.Context, c *aws.Call, in *resourcePolicyInput) error {
	out, err := f.secrets.PutResourcePolicy(ctx, c.Who, in.id, in.ResourcePolicy.Value, in.BlockPublicPolicy.Value, "")
	if err := applied(out.Change, out.Status, err); err != nil {
		return err
	}
	writeNamedOnly(&c.Out, out)
	return nil
}

// validatePolicyInput is a resourcePolicyInput whose secret may be left out.
type validatePolicyInput struct{ resourcePolicyInput }

func (in *validatePolicyInput) Member(r *aws.Reader, member []byte) {
	if string(member) == "BlockPublicPolicy" { // not a member of this operation
		r.Skip()
		return
	}
	in.resourcePolicyInput.Member(r, member)
}

func (in *validatePolicyInput) check(c *aws.Checks) {
	in.checkShape(c)
	in.checkPolicy(c)
}

// validateResourcePolicy lists what makes a policy fail; what is only worth a
// warning does not.
func (f *front) validateResourcePolicy(ctx context.Context, c *aws.Call, in *validatePolicyInput) error {
	findings, err := f.secrets.ValidateResourcePolicy(ctx, c.Who, in.id, in.ResourcePolicy.Value)
	if err != nil {
		return err
	}
	failed := false
	for _, fd := range findings {
		failed = failed || fd.Severity == policy.SeverityError
	}
	w := &c.Out
	w.Open('{')
	w.Bool("PolicyValidationPassed", !failed)
	w.Name("ValidationErrors")
	w.Open('[')
	for _, fd := range findings {
		if fd.Severity == policy.SeverityError {
			w.Open('{')
			w.Text("CheckName", fd.CheckName)
			w.Text("ErrorMessage", fd.Message)
			w.Close('}')
		}
	}
	w.Close(']')
	w.Close('}')
	return nil
}

type rotateSecretInput struct {
	secretInput
	ClientRequestToken             aws.String
	RotationLambdaARN              aws.String
	RotationRules                  rotationRulesInput
	ExternalSecretRotationMetadata aws.Items[tagInput]
	ExternalSecretRotationRoleArn  aws.String
	RotateImmediately              aws.Bool
}

type rotationRulesInput struct {
	AutomaticallyAfterDays       aws.Int
	Duration, ScheduleExpression aws.String
}

func (in *rotationRulesInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "AutomaticallyAfterDays":
		r.Int(&in.AutomaticallyAfterDays)
	case "Duration":
		r.String(&in.Duration)
	case "ScheduleExpression":
		r.String(&in.ScheduleExpression)
	default:
		r.Skip()
	}
}

func (in *rotateSecretInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "ClientRequestToken":
		r.String(&in.ClientRequestToken)
	case "RotationLambdaARN":
		r.String(&in.RotationLambdaARN)
	case "RotationRules":
		if !r.Null() {
			r.Struct(&in.RotationRules)
		}
	case "ExternalSecretRotationMetadata":
		aws.List(r, &in.ExternalSecretRotationMetadata)
	case "ExternalSecretRotationRoleArn":
		r.String(&in.ExternalSecretRotationRoleArn)
	case "RotateImmediately":
		r.Bool(&in.RotateImmediately)
	default:
		in.secretInput.Member(r, member)
	}
}

func (in *rotateSecretInput) check(c *aws.Checks) {
	in.secretInput.check(c)
	checkToken(c, in.ClientRequestToken)
	c.Length("rotationLambdaARN", in.RotationLambdaARN, 0, 2048)
	rules := &in.RotationRules
	c.Range("rotationRules.automaticallyAfterDays", rules.AutomaticallyAfterDays, 1, 1000)
	c.Length("rotationRules.duration", rules.Duration, 2, 3)
	c.Pattern("rotationRules.duration", rules.Duration, isHours, `[0-9]+h`)
	c.Length("rotationRules.scheduleExpression", rules.ScheduleExpression, 1, 256)
	c.Pattern("rotationRules.scheduleExpression", rules.ScheduleExpression, isSchedule, `[0-9A-Za-z\(\)#\?\*\-\/, ]+`)
	for i, m := range in.ExternalSecretRotationMetadata.Values {
		at := aws.Element("externalSecretRotationMetadata", i)
		c.Length(at+".key", m.Key, 1, 256)
		c.Length(at+".value", m.Value, 1, 2048)
	}
	c.Length("externalSecretRotationRoleArn", in.ExternalSecretRotationRoleArn, 20, 2048)
	switch {
	case !in.ClientRequestToken.Set:
		c.Fail(refuse(invalidParameter, noToken))
	case len(in.ExternalSecretRotationMetadata.Values) > maxMetadata:
		c.Fail(refuse(invalidParameter, "You can't specify more than 50 items of ExternalSecretRotationMetadata."))
	}
}

// maxMetadata bounds the items of ExternalSecretRotationMetadata.
const maxMetadata = 50

func isHours(s string) bool {
	digits, ok := strings.CutSuffix(s, "h")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

func isSchedule(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("()#?*-/, ", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

func (f *front) rotateSecret(ctx context.Context, c *aws.Call, in *rotateSecretInput) error {
	var external map[string]string
	for _, m := range in.ExternalSecretRotationMetadata.Values {
		if external == nil {
			external = map[string]string{}
		}
		external[m.Key.Value] = m.Value.Value
	}
	rules := &in.RotationRules
	out, err := f.secrets.Rotate(ctx, c.Who, secret.RotateRequest{ID: in.id, VersionID: in.ClientRequestToken.Value,
		Function: in.RotationLambdaARN.Value, Days: rules.AutomaticallyAfterDays.Value, Schedule: rules.ScheduleExpression.Value,
		Window: rules.Duration.Value, Later: in.RotateImmediately.Set && !in.RotateImmediately.Value,
		External: external, Role: in.ExternalSecretRotationRoleArn.Value})
	if err := applied(out.Change, out.Status, err); err != nil {
		return err
	}
	writeNamed(&c.Out, out)
	return nil
}

func (f *front) cancelRotateSecret(ctx context.Context, c *aws.Call, in *secretInput) error {
	out, err := f.secrets.CancelRotation(ctx, c.Who, in.id, "")
	if err := applied(out.Change, out.Status, err); err != nil {
		return err
	}
	writeNamed(&c.Out, out)
	return nil
}

type replicateInput struct {
	secretInput
	AddReplicaRegions           aws.Items[replicaInput]
	ForceOverwriteReplicaSecret aws.Bool
}

func (in *replicateInput) Member(r *aws.Reader, member []byte) {
	switch string(member) {
	case "AddReplicaRegions":
		aws.List(r, &in.AddReplicaRegions)
	case "ForceOverwriteReplicaSecret":
		r.Bool(&in.ForceOverwriteReplicaSecret)
	default:
		in.secretInput.Member(r, member)
	}
}

func (in *replicateInput) check(c *aws.Checks) {
	in.secretInput.check(c)
	c.Required("addReplicaRegions", in.AddReplicaRegions.Set)
	checkReplicas(c, in.AddReplicaRegions)
}

func (f *front) replicateSecretToRegions(ctx context.Context, c *aws.Call, in *replicateInput) error {
	out, err := f.secrets.Replicate(ctx, c.Who, in.id, replicasOf(in.AddReplicaRegions), in.ForceOverwriteReplicaSecret.Value, "")
	if err := applied(out.Change, out.Status, err); err != nil {
		return err
	}
	writeReplicated(&c.Out, out)
	return nil
}

// writeReplicated appends the state of the replicas also when none is left.
func writeReplicated(w *aws.Writer, out secret.Written) {
	w.Open('{')
	w.Text("ARN", out.ARN)
	w.Name("ReplicationStatus")
	appendReplicas(w, out.Replicas)
	w.Close('}')
}

type removeRegionsInput struct {
	secretInput
	RemoveReplicaRegions aws.Strings
}

func (in *removeRegionsInput) Member(r *aws.Reader, member []byte) {
	if string(member) == "RemoveReplicaRegions" {
		r.Strings(&in.RemoveReplicaRegions)
		return
	}
	in.secretInput.Member(r, member)
}

func (in *removeRegionsInput) check(c *aws.Checks) {
	in.secretInput.check(c)
	c.Required("removeReplicaRegions", in.RemoveReplicaRegions.Set)
	c.Count("removeReplicaRegions", in.RemoveReplicaRegions.Set, len(in.RemoveReplicaRegions.Values), 1, 1<<20)
	c.Each("removeReplicaRegions", in.RemoveReplicaRegions, func(path string, s aws.String) { checkRegion(path, c, s) })
}

func (f *front) removeRegionsFromReplication(ctx context.Context, c *aws.Call, in *removeRegionsInput) error {
	out, err := f.secrets.RemoveReplicas(ctx, c.Who, in.id, textsOf(in.RemoveReplicaRegions), "")
	if err := applied(out.Change, out.Status, err); err != nil {
		return err
	}
	writeReplicated(&c.Out, out)
	return nil
}

func (f *front) stopReplicationToReplica(ctx context.Context, c *aws.Call, in *secretInput) error {
	out, err := f.secrets.Promote(ctx, c.Who, in.id, "")
	if err := applied(out.Change, out.Status, err); err != nil {
		return err
	}
	c.Out.Open('{')
	c.Out.Text("ARN", out.ARN)
	c.Out.Close('}')
	return nil
}
