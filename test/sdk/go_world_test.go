package sdk

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// operations are those of API version 2017-10-17.
var operations = []string{
	"BatchGetSecretValue", "CancelRotateSecret", "CreateSecret", "DeleteResourcePolicy", "DeleteSecret", "DescribeSecret",
	"GetRandomPassword", "GetResourcePolicy", "GetSecretValue", "ListSecretVersionIds", "ListSecrets", "PutResourcePolicy",
	"PutSecretValue", "RemoveRegionsFromReplication", "ReplicateSecretToRegions", "RestoreSecret", "RotateSecret",
	"StopReplicationToReplica", "TagResource", "UntagResource", "UpdateSecret", "UpdateSecretVersionStage", "ValidateResourcePolicy",
}

// account is the one of a development server.
const account = "000000000000"

// world is one scenario: a client of the home region, and a prefix that no
// other scenario's names have.
type world struct {
	*testing.T
	*secretsmanager.Client
	server *server
	cfg    aws.Config
	prefix string
}

// called collects the operations that succeeded.
type called struct {
	mu   sync.Mutex
	done map[string]bool
}

func (c *called) middleware(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("called",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			out, meta, err := next.HandleDeserialize(ctx, in)
			if err == nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.done[awsmiddleware.GetOperationName(ctx)] = true
			}
			return out, meta, err
		}), middleware.Before)
}

func (c *called) missing() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(operations), func(op string) bool { return c.done[op] })
}

// TestGo runs the scenarios with the AWS SDK for Go v2. It lists them; each is
// in the file of its subject.
func TestGo(t *testing.T) {
	t.Parallel()
	s := start(t)
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := &called{done: map[string]bool{}}
	var skipped atomic.Int64 // by -run
	cfg.APIOptions = append(cfg.APIOptions, seen.middleware)
	t.Run("scenarios", func(t *testing.T) {
		for _, sc := range []struct {
			name string
			run  func(*world)
		}{
			{"lifecycle", lifecycle},
			{"binary", binaryValue},
			{"names-and-arns", namesAndARNs},
			{"suffix-like-name", suffixLikeName},
			{"bad-names", badNames},
			{"deletion", deletion},
			{"forced-deletion", forcedDeletion},
			{"create-token", createToken},
			{"protected", protected},
			{"put-token", putToken},
			{"update-token", updateToken},
			{"current-and-previous", currentAndPrevious},
			{"custom-labels", customLabels},
			{"move-labels", moveLabels},
			{"missing-versions", missingVersions},
			{"deprecated-versions", deprecatedVersions},
			{"concurrent-writers", concurrentWriters},
			{"concurrent-creators", concurrentCreators},
			{"tags", tags},
			{"list-filters", listFilters},
			{"list-order", listOrder},
			{"paginators", paginators},
			{"batch", batch},
			{"batch-errors", batchErrors},
			{"resource-policy", resourcePolicy},
			{"policy-denies", policyDenies},
			{"public-policy", publicPolicy},
			{"validate-policy", validatePolicy},
			{"replication", replication},
			{"promotion", promotion},
			{"replication-conflict", replicationConflict},
			{"rotation-refused", rotationRefused},
			{"rotation-kept", rotationKept},
			{"rotation-schedules", rotationSchedules},
			{"random-password", randomPassword},
			{"limits", limits},
			{"refusals", refusals},
			{"typed-errors", typedErrors},
			{"retryer", retryer},
			{"caching-client", cachingClient},
		} {
			skipped.Add(1)
			t.Run(sc.name, func(t *testing.T) {
				skipped.Add(-1)
				t.Parallel()
				sc.run(&world{T: t, Client: secretsmanager.NewFromConfig(cfg), server: s, cfg: cfg, prefix: "go/" + sc.name + "/"})
			})
		}
	})
	if missing := seen.missing(); skipped.Load() == 0 && !t.Failed() && len(missing) > 0 {
		t.Errorf("these operations never succeeded: %v", missing)
	}
}

// in returns the scenario with a client of another region.
func (w *world) in(region string) *world {
	other := *w
	other.Client = secretsmanager.NewFromConfig(w.cfg, func(o *secretsmanager.Options) { o.Region = region })
	return &other
}

// plant is a secret value, which nothing but its reader may ever see.
func plant(text string) string { return canary + "/" + text }

// create makes a secret with a planted value.
func (w *world) create(name, value string) *secretsmanager.CreateSecretOutput {
	w.Helper()
	out, err := w.CreateSecret(w.Context(), &secretsmanager.CreateSecretInput{Name: aws.String(w.prefix + name), SecretString: aws.String(plant(value))})
	if err != nil {
		w.Fatalf("creating %q: %v", name, err)
	}
	return out
}

// put makes a new version with a planted value.
func (w *world) put(id, value string, stages ...string) string {
	w.Helper()
	out, err := w.PutSecretValue(w.Context(), &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: aws.String(plant(value)), VersionStages: stages})
	if err != nil {
		w.Fatalf("putting a value into %q: %v", id, err)
	}
	return *out.VersionId
}

// value reads the current version.
func (w *world) value(id string) string {
	w.Helper()
	out, err := w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		w.Fatalf("reading %q: %v", id, err)
	}
	return aws.ToString(out.SecretString)
}

// describe reads the metadata.
func (w *world) describe(id string) *secretsmanager.DescribeSecretOutput {
	w.Helper()
	out, err := w.DescribeSecret(w.Context(), &secretsmanager.DescribeSecretInput{SecretId: &id})
	if err != nil {
		w.Fatalf("describing %q: %v", id, err)
	}
	return out
}

// ok ends the scenario at an error.
func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// is compares two things of a scenario, without ever printing a value.
func is[T comparable](w testing.TB, what string, got, want T) {
	w.Helper()
	if got == want {
		return
	}
	if s, ok := any(got).(string); ok && strings.Contains(s, canary) {
		w.Errorf("%s is not the value that was expected", what)
		return
	}
	w.Errorf("%s is %v, want %v", what, got, want)
}

// stages compares the labels of a version, in any order.
func (w *world) stages(what string, got []string, want ...string) {
	w.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		w.Errorf("%s has labels %v, want %v", what, got, want)
	}
}

// recent says that a time is about now.
func (w *world) recent(what string, at *time.Time) {
	w.Helper()
	if at == nil || time.Since(*at).Abs() > 5*time.Minute {
		w.Errorf("%s is %v", what, at)
	}
}

// refused says that a call was refused with status 400, this code, and a
// message that holds the text. The message may not hold a value.
func (w *world) refused(what string, err error, code, text string) {
	w.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		w.Errorf("%s: got %v, want %s", what, err, code)
		return
	}
	if api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), text) {
		w.Errorf("%s: got %s %q, want %s %q", what, api.ErrorCode(), api.ErrorMessage(), code, text)
	}
	if strings.Contains(api.ErrorMessage(), canary) {
		w.Errorf("%s: the message tells the value", what)
	}
	var resp *smithyhttp.ResponseError
	if !errors.As(err, &resp) || resp.HTTPStatusCode() != http.StatusBadRequest {
		w.Errorf("%s: not a response with status 400: %v", what, err)
	}
	var id interface{ ServiceRequestID() string }
	if !errors.As(err, &id) || id.ServiceRequestID() == "" {
		w.Errorf("%s: no request id", what)
	}
}

// typed is refused, for errors that the SDK has a type for.
func typed[E interface {
	error
	smithy.APIError
}](w *world, what string, err error, text string) {
	w.Helper()
	var want E
	if !errors.As(err, &want) {
		w.Errorf("%s: got %v, want a %T", what, err, want)
		return
	}
	w.refused(what, err, want.ErrorCode(), text)
}

// Messages of the real service.
const (
	msgNoSecret    = "Secrets Manager can't find the specified secret."
	msgNoLabel     = "Secrets Manager can't find the specified secret value for staging label: "
	msgNoVersion   = "Secrets Manager can't find the specified secret value for VersionId: "
	msgBadName     = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
	msgMismatch    = "You provided a VersionStage that is not associated to the provided VersionId."
	msgNameDeleted = "You can't create this secret because a secret with this name is already scheduled for deletion."
	msgDeleted     = "You can't perform this operation on the secret because it was marked for deletion."
	msgReplica     = "Operation not permitted on a replica secret. Call must be made in primary secret's region."
	msgNoFunction  = "No Lambda rotation function ARN is associated with this secret."
	msgNotInvoked  = "Secrets Manager cannot invoke the specified Lambda function."
)

// refusedAs says that a call was refused with status 400 and one of these
// codes, for refusals of which the real service's exact code is not on record.
func (w *world) refusedAs(what string, err error, codes ...string) {
	w.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		w.Errorf("%s: got %v, want one of %v", what, err, codes)
		return
	}
	if !slices.Contains(codes, api.ErrorCode()) {
		w.Errorf("%s: got %s %q, want one of %v", what, api.ErrorCode(), api.ErrorMessage(), codes)
	}
	w.refused(what, err, api.ErrorCode(), "")
}
