package sdk

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

func regions(names ...string) []types.ReplicaRegionType {
	var out []types.ReplicaRegionType
	for _, n := range names {
		out = append(out, types.ReplicaRegionType{Region: aws.String(n)})
	}
	return out
}

// statuses are the replicas as "region=status ...", in their order.
func statuses(list []types.ReplicationStatusType) string {
	var out []string
	for _, r := range list {
		out = append(out, aws.ToString(r.Region)+"="+string(r.Status))
	}
	return strings.Join(out, " ")
}

// replication makes a secret readable in other regions, and there only.
func replication(w *world) {
	ctx, west := w.Context(), w.in("us-west-2")
	id := w.prefix + "app"
	made, err := w.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &id, SecretString: aws.String(plant("one")), AddReplicaRegions: regions("us-west-2")})
	w.ok(err)
	is(w, "the status", statuses(made.ReplicationStatus), "us-west-2=InSync")
	is(w, "the value there", west.value(id), plant("one"))
	arn := strings.Replace(*made.ARN, "us-east-1", "us-west-2", 1)
	is(w, "the value by its ARN there", west.value(arn), plant("one"))
	d := west.describe(id)
	is(w, "the ARN there", *d.ARN, arn)
	is(w, "PrimaryRegion there", aws.ToString(d.PrimaryRegion), "us-east-1")
	is(w, "PrimaryRegion here", aws.ToString(w.describe(id).PrimaryRegion), "us-east-1")
	w.put(id, "two")
	is(w, "the new value there", west.value(id), plant("two"))

	for what, err := range map[string]error{
		"put": func() error {
			_, err := west.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: aws.String(plant("x"))})
			return err
		}(),
		"update": func() error {
			_, err := west.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: &id, SecretString: aws.String(plant("x"))})
			return err
		}(),
		"move a label": func() error {
			_, err := west.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{SecretId: &id, VersionStage: aws.String("x"), MoveToVersionId: made.VersionId})
			return err
		}(),
	} {
		typed[*types.InvalidRequestException](w, what+" at a replica", err, msgReplica)
	}
	_, err = w.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &id})
	w.refusedAs("deleting a primary", err, "InvalidRequestException", "InvalidParameterException")

	more, err := w.ReplicateSecretToRegions(ctx, &secretsmanager.ReplicateSecretToRegionsInput{SecretId: &id, AddReplicaRegions: regions("eu-west-1")})
	w.ok(err)
	is(w, "the ARN", *more.ARN, *made.ARN)
	is(w, "the statuses", statuses(more.ReplicationStatus), "us-west-2=InSync eu-west-1=InSync")
	is(w, "the value in the third region", w.in("eu-west-1").value(id), plant("two"))
	is(w, "the secrets whose primary is here", west.listed(&secretsmanager.ListSecretsInput{Filters: []types.Filter{filter("name", w.prefix), filter("primary-region", "us-east-1")}}), "app")

	less, err := w.RemoveRegionsFromReplication(ctx, &secretsmanager.RemoveRegionsFromReplicationInput{SecretId: &id, RemoveReplicaRegions: []string{"us-west-2", "eu-west-1"}})
	w.ok(err)
	is(w, "the statuses", statuses(less.ReplicationStatus), "")
	_, err = west.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	typed[*types.ResourceNotFoundException](w, "reading what was a replica", err, msgNoSecret)
	_, err = w.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &id})
	w.ok(err)
	_, err = w.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(w.prefix + "b"), SecretString: aws.String(plant("x")), AddReplicaRegions: regions("ap-south-1")})
	w.refusedAs("a region of another server", err, "InvalidParameterException", "InvalidRequestException", "ValidationException")
}

// promotion makes a replica a secret of its own.
func promotion(w *world) {
	ctx, west := w.Context(), w.in("us-west-2")
	made := w.create("app", "one")
	id := *made.Name
	_, err := w.ReplicateSecretToRegions(ctx, &secretsmanager.ReplicateSecretToRegionsInput{SecretId: &id, AddReplicaRegions: regions("us-west-2")})
	w.ok(err)
	_, err = w.StopReplicationToReplica(ctx, &secretsmanager.StopReplicationToReplicaInput{SecretId: &id})
	w.refusedAs("promoting a primary", err, "InvalidRequestException", "InvalidParameterException")
	out, err := west.StopReplicationToReplica(ctx, &secretsmanager.StopReplicationToReplicaInput{SecretId: &id})
	w.ok(err)
	is(w, "the ARN", *out.ARN, strings.Replace(*made.ARN, "us-east-1", "us-west-2", 1))
	is(w, "the value there", west.value(id), plant("one"))
	west.put(id, "theirs")
	w.put(id, "ours")
	is(w, "the value there", west.value(id), plant("theirs"))
	is(w, "the value here", w.value(id), plant("ours"))
	is(w, "the number of replicas", len(w.describe(id).ReplicationStatus), 0)
}

// replicationConflict meets a secret of that name in the other region.
func replicationConflict(w *world) {
	ctx, west := w.Context(), w.in("us-west-2")
	id := *w.create("app", "ours").Name
	west.create("app", "theirs")
	replicate := func(force bool) string {
		out, err := w.ReplicateSecretToRegions(ctx, &secretsmanager.ReplicateSecretToRegionsInput{SecretId: &id, AddReplicaRegions: regions("us-west-2"), ForceOverwriteReplicaSecret: force})
		w.ok(err)
		return statuses(out.ReplicationStatus)
	}
	is(w, "the status", replicate(false), "us-west-2=Failed")
	is(w, "the value there", west.value(id), plant("theirs"))
	d := w.describe(id)
	if len(d.ReplicationStatus) != 1 || aws.ToString(d.ReplicationStatus[0].StatusMessage) == "" {
		w.Errorf("the failure is not explained: %v", d.ReplicationStatus)
	}
	is(w, "the status", replicate(true), "us-west-2=InSync")
	is(w, "the value there", west.value(id), plant("ours"))
}
