package sdk

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-secretsmanager-caching-go/v2/secretcache"
)

// limits stores the largest value, and not a byte more.
func limits(w *world) {
	ctx := w.Context()
	id := w.prefix + "big"
	largest := plant(strings.Repeat("x", 65536-len(plant(""))))
	_, err := w.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &id, SecretString: &largest})
	w.ok(err)
	is(w, "the largest value", w.value(id), largest)
	tooLarge := largest + "x"
	_, err = w.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: &tooLarge})
	w.refusedAs("a text of 65537 bytes", err, "ValidationException", "InvalidParameterException")
	_, err = w.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &id, SecretBinary: []byte(tooLarge)})
	w.refusedAs("65537 bytes", err, "ValidationException", "InvalidParameterException")
	_, err = w.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(strings.Repeat("n", 513)), SecretString: aws.String(plant("x"))})
	w.refusedAs("a name of 513 characters", err, "ValidationException", "InvalidParameterException")
	longest := w.prefix + strings.Repeat("n", 512-len(w.prefix))
	_, err = w.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &longest, SecretString: aws.String(plant("long name"))})
	w.ok(err)
	is(w, "the value", w.value(longest), plant("long name"))
	_, err = w.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: &id, Description: aws.String(strings.Repeat("d", 2049))})
	w.refusedAs("a description of 2049 characters", err, "ValidationException", "InvalidParameterException")
	is(w, "the largest value", w.value(id), largest)
}

// refusals asks every operation that names a secret for one that is not there.
func refusals(w *world) {
	ctx, id := w.Context(), aws.String(w.prefix+"none")
	for what, call := range map[string]func() error{
		"CancelRotateSecret": func() error {
			_, err := w.CancelRotateSecret(ctx, &secretsmanager.CancelRotateSecretInput{SecretId: id})
			return err
		},
		"DeleteResourcePolicy": func() error {
			_, err := w.DeleteResourcePolicy(ctx, &secretsmanager.DeleteResourcePolicyInput{SecretId: id})
			return err
		},
		"DeleteSecret": func() error {
			_, err := w.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: id})
			return err
		},
		"DescribeSecret": func() error {
			_, err := w.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: id})
			return err
		},
		"GetResourcePolicy": func() error {
			_, err := w.GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: id})
			return err
		},
		"GetSecretValue": func() error {
			_, err := w.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: id})
			return err
		},
		"ListSecretVersionIds": func() error {
			_, err := w.ListSecretVersionIds(ctx, &secretsmanager.ListSecretVersionIdsInput{SecretId: id})
			return err
		},
		"PutResourcePolicy": func() error {
			return w.putPolicy(*id, statement("Allow", ownRoot, "secretsmanager:GetSecretValue"), nil)
		},
		"PutSecretValue": func() error {
			_, err := w.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: id, SecretString: aws.String(plant("x"))})
			return err
		},
		"RemoveRegionsFromReplication": func() error {
			_, err := w.RemoveRegionsFromReplication(ctx, &secretsmanager.RemoveRegionsFromReplicationInput{SecretId: id, RemoveReplicaRegions: []string{"us-west-2"}})
			return err
		},
		"ReplicateSecretToRegions": func() error {
			_, err := w.ReplicateSecretToRegions(ctx, &secretsmanager.ReplicateSecretToRegionsInput{SecretId: id, AddReplicaRegions: regions("us-west-2")})
			return err
		},
		"RestoreSecret": func() error {
			_, err := w.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: id})
			return err
		},
		"RotateSecret": func() error {
			_, err := w.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: id})
			return err
		},
		"StopReplicationToReplica": func() error {
			_, err := w.StopReplicationToReplica(ctx, &secretsmanager.StopReplicationToReplicaInput{SecretId: id})
			return err
		},
		"UntagResource": func() error {
			_, err := w.UntagResource(ctx, &secretsmanager.UntagResourceInput{SecretId: id, TagKeys: []string{"a"}})
			return err
		},
		"UpdateSecret": func() error {
			_, err := w.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: id, SecretString: aws.String(plant("x"))})
			return err
		},
		"UpdateSecretVersionStage": func() error {
			_, err := w.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{SecretId: id, VersionStage: aws.String("x"), MoveToVersionId: aws.String(tokenA)})
			return err
		},
		"ValidateResourcePolicy": func() error {
			_, err := w.ValidateResourcePolicy(ctx, &secretsmanager.ValidateResourcePolicyInput{SecretId: id, ResourcePolicy: aws.String(statement("Allow", ownRoot, "secretsmanager:GetSecretValue"))})
			return err
		},
	} {
		typed[*types.ResourceNotFoundException](w, what, call(), msgNoSecret)
	}
	is(w, "what was made", w.listed(&secretsmanager.ListSecretsInput{}), "")
}

// typedErrors has the SDK recognize an error by errors.As alone, as a program
// does.
func typedErrors(w *world) {
	_, err := w.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String(w.prefix + "none")})
	var missing *types.ResourceNotFoundException
	if !errors.As(err, &missing) || missing.ErrorMessage() != msgNoSecret {
		w.Errorf("got %v", err)
	}
}

// lossy loses the answer to the first request behind it, after the server gave
// it.
type lossy struct {
	http.RoundTripper
	requests atomic.Int64
}

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if l.requests.Add(1) > 1 || err != nil {
		return resp, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return nil, errors.Join(errors.New("connection reset by peer"), err, resp.Body.Close())
}

// retryer has the SDK repeat a creation and a put whose answers were lost.
// Both carry a token, so both are done once.
func retryer(w *world) {
	id := w.prefix + "app"
	lose := func(o *secretsmanager.Options) {
		o.HTTPClient = &http.Client{Transport: &lossy{RoundTripper: http.DefaultTransport}}
		o.RetryMaxAttempts = 3
	}
	made, err := w.CreateSecret(w.Context(), &secretsmanager.CreateSecretInput{Name: &id, SecretString: aws.String(plant("one"))}, lose)
	w.ok(err)
	put, err := w.PutSecretValue(w.Context(), &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: aws.String(plant("two"))}, lose)
	w.ok(err)
	at := w.describe(id).VersionIdsToStages
	is(w, "the number of versions", len(at), 2)
	w.stages("the first", at[*made.VersionId], "AWSPREVIOUS")
	w.stages("the second", at[*put.VersionId], "AWSCURRENT")
}

// cachingClient reads through AWS's caching client, with the settings that a
// program gives it.
func cachingClient(w *world) {
	ctx := w.Context()
	id := *w.create("app", "one").Name
	cache, err := secretcache.New() // finds endpoint and key by itself
	w.ok(err)
	fresh, err := secretcache.New(func(c *secretcache.Cache) { c.CacheItemTTL = int64(time.Nanosecond) })
	w.ok(err)
	read := func(c *secretcache.Cache) string {
		v, err := c.GetSecretStringWithContext(ctx, id)
		w.ok(err)
		return v
	}
	is(w, "the value", read(cache), plant("one"))
	is(w, "the value without a cache", read(fresh), plant("one"))
	w.put(id, "two")
	is(w, "the value in the cache", read(cache), plant("one"))
	is(w, "the value without a cache", read(fresh), plant("two"))
	previous, err := fresh.GetSecretStringWithStage(id, "AWSPREVIOUS")
	w.ok(err)
	is(w, "the previous value", previous, plant("one"))

	key := w.prefix + "key"
	data := []byte(canary + "\x00\xff")
	_, err = w.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &key, SecretBinary: data})
	w.ok(err)
	got, err := cache.GetSecretBinary(key)
	w.ok(err)
	is(w, "the binary value is the same", string(got) == string(data), true)

	_, err = cache.GetSecretString(w.prefix + "none")
	typed[*types.ResourceNotFoundException](w, "a secret of none", err, msgNoSecret)
}
