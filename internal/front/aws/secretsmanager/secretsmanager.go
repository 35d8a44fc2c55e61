// Package secretsmanager is the front for clients of AWS Secrets Manager (API
// version 2017-10-17): all 23 operations over package core/secret.
//
// It knows the wire and nothing else. An operation is a row of the table in
// operations: its name, what policy calls it, and a function that makes one
// call of the service. Requests decode themselves and name every constraint of
// the service's model that they break; responses are appended as JSON, and hold
// exactly the members that AWS sends. errors.go maps every error to AWS's name
// and text, once.
//
// What a client sends is held to AWS's limits, which are narrower than the
// store's: a value has at most 65,536 bytes here. What another front stored is
// answered as it is. An id is a name, an ARN, or an ARN without its suffix; it
// is checked before anything is asked of the service, so a refusal for its form
// tells nothing of what exists. The message of a denial names the resource as
// the client did, never as it was found.
//
// AWS's own decisions that are kept on purpose: everything refused is status
// 400 (also what does not exist), a repeated ClientRequestToken with the same
// value succeeds, and an empty SecretString counts as none. Where this server
// differs is in docs/dialects/aws-secretsmanager.md.
package secretsmanager

import (
	"context"
	"log/slog"
	"net/http"

	"countersign/internal/core/authn"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/front/aws"
	"countersign/internal/front/httpx"
)

// Front is the name of this front in audit records and metrics.
const Front = "aws/secretsmanager"

// target is the prefix of X-Amz-Target and the name that signatures are for.
const target = "secretsmanager"

// MaxValue is the largest value in bytes that can be written here.
const MaxValue = 65536

// Config configures New. Secrets, Authn, Gate and Regions are needed.
type Config struct {
	Secrets  *secret.Service
	Authn    *authn.Service
	Gate     *gate.Gate
	Regions  []string       // region labels that a signature may name
	Proxies  httpx.Proxies  // default: none is believed
	Observer httpx.Observer // default: nobody is told
	// Lenient lets UpdateSecretVersionStage move a label without
	// RemoveFromVersionId, which AWS refuses. Default false.
	Lenient bool
	Logger  *slog.Logger // default: slog.Default()
}

// New returns the handler of POST / for these operations alone.
func New(c Config) (http.Handler, error) {
	s, err := NewService(c)
	if err != nil {
		return nil, err
	}
	if c.Authn == nil {
		return nil, errs.InvalidField("Authn", "the access keys are needed")
	}
	return aws.New(aws.Config{Keys: c.Authn, Gate: c.Gate, Regions: c.Regions, Proxies: c.Proxies,
		Observer: c.Observer, Logger: c.Logger, Services: []aws.Service{s}})
}

// NewService returns the table of operations, for a handler that serves other
// AWS services too. Of the configuration it uses Secrets and Lenient.
func NewService(c Config) (aws.Service, error) {
	if c.Secrets == nil {
		return aws.Service{}, errs.InvalidField("Secrets", "the secrets are needed")
	}
	f := &front{secrets: c.Secrets, lenient: c.Lenient}
	s := aws.Service{Target: target, Signing: target, Front: Front, Fault: fault}
	for _, r := range operations() {
		s.Operations = append(s.Operations, r(f))
	}
	return s, nil
}

type front struct {
	secrets *secret.Service
	lenient bool
}

// operations is every operation, in the order of AWS's documentation.
func operations() []row {
	return []row{
		does("BatchGetSecretValue", policy.BatchReadValue, (*front).batchGetSecretValue),
		does("CancelRotateSecret", policy.CancelRotation, (*front).cancelRotateSecret),
		does("CreateSecret", policy.CreateSecret, (*front).createSecret),
		does("DeleteResourcePolicy", policy.DeleteResourcePolicy, (*front).deleteResourcePolicy),
		does("DeleteSecret", policy.DeleteSecret, (*front).deleteSecret),
		does("DescribeSecret", policy.Describe, (*front).describeSecret),
		does("GetRandomPassword", policy.RandomPassword, (*front).getRandomPassword),
		does("GetResourcePolicy", policy.GetResourcePolicy, (*front).getResourcePolicy),
		does("GetSecretValue", policy.ReadValue, (*front).getSecretValue),
		does("ListSecretVersionIds", policy.ListVersions, (*front).listSecretVersionIds),
		does("ListSecrets", policy.ListSecrets, (*front).listSecrets),
		does("PutResourcePolicy", policy.PutResourcePolicy, (*front).putResourcePolicy),
		does("PutSecretValue", policy.PutValue, (*front).putSecretValue),
		does("RemoveRegionsFromReplication", policy.RemoveReplicas, (*front).removeRegionsFromReplication),
		does("ReplicateSecretToRegions", policy.Replicate, (*front).replicateSecretToRegions),
		does("RestoreSecret", policy.RestoreSecret, (*front).restoreSecret),
		does("RotateSecret", policy.Rotate, (*front).rotateSecret),
		does("StopReplicationToReplica", policy.PromoteReplica, (*front).stopReplicationToReplica),
		does("TagResource", policy.TagSecret, (*front).tagResource),
		does("UntagResource", policy.UntagSecret, (*front).untagResource),
		does("UpdateSecret", policy.UpdateSecret, (*front).updateSecret),
		does("UpdateSecretVersionStage", policy.MoveLabel, (*front).updateSecretVersionStage),
		does("ValidateResourcePolicy", policy.ValidateResourcePolicy, (*front).validateResourcePolicy),
	}
}

type row func(*front) aws.Operation

// input is a request of one operation.
type input interface {
	aws.Members
	check(c *aws.Checks)
	said() aws.Said
}

// does makes a row: decode the request, refuse what is wrong with it, do it.
func does[T any, P interface {
	*T
	input
}](name string, op policy.Op, do func(*front, context.Context, *aws.Call, P) error) row {
	return func(f *front) aws.Operation {
		return aws.Operation{Name: name, Op: op, Do: func(ctx context.Context, c *aws.Call) error {
			in := P(new(T))
			if err := c.Decode(in, in.check); err != nil {
				return c.Refuse(ctx, err)
			}
			c.Said = in.said()
			return do(f, ctx, c, in)
		}}
	}
}
