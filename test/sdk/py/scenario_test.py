"""Scenarios with boto3 as a program uses it: boto3.client("secretsmanager").

Endpoint, region and access key come from the environment. Every response is
held to botocore's model (see model.py); at the end all operations of the model
must have succeeded at least once.
"""

import base64
import functools
import json
import os
import time
import unittest
import unittest.mock
import urllib.error
import urllib.parse
import urllib.request
import uuid

import boto3
import botocore
from botocore.exceptions import ClientError

from model import Watcher

CANARY = os.environ["COUNTERSIGN_TEST_CANARY"]
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:rotate"
NO_SECRET = "Secrets Manager can't find the specified secret."

watchers = []


# Before 1.31 botocore does not read AWS_ENDPOINT_URL (Debian 12 has 1.29): the
# endpoint is then given as programs of that time gave it.
# It also knows fewer members and operations, and shows responses to nobody
# before they are parsed: what needs those is left to the other SDKs then.
OLD = tuple(map(int, botocore.__version__.split(".")[:2])) < (1, 42)
since_then = unittest.skipIf(OLD, "this botocore is too old for it; the SDKs for Go and JavaScript do the same")


def client(region=None, **more):
    if OLD:
        more.setdefault("endpoint_url", os.environ["AWS_ENDPOINT_URL"])
    made = boto3.client("secretsmanager", region_name=region, **more)
    watchers.append(Watcher(made))
    return made


def tearDownModule():
    """Fails when an operation was never answered."""
    if OLD:
        return
    done = set().union(*(w.succeeded for w in watchers))
    missing = set(client().meta.service_model.operation_names) - done
    if missing:
        raise AssertionError(f"these operations never succeeded: {sorted(missing)}")


def plant(text):
    return f"{CANARY}/{text}"


def policy(effect, principal, action):
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": effect, "Principal": principal, "Action": action, "Resource": "*"}],
        }
    )


OWN = {"AWS": "arn:aws:iam::000000000000:root"}


def native(method, path, body=None):
    """Calls the native API with the token of the environment; no answer holds a value."""
    request = urllib.request.Request(
        os.environ["COUNTERSIGN_ADDR"] + "/api/v1" + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + os.environ["COUNTERSIGN_TOKEN"], "Content-Type": "application/json"},
    )
    while True:
        try:
            with urllib.request.urlopen(request) as response:
                answer = response.read().decode()
        except urllib.error.HTTPError as error:
            if error.code != 429:
                raise
            time.sleep(1)
            continue
        if CANARY in answer:
            raise AssertionError("the answer holds a value")
        return json.loads(answer)


class Scenario(unittest.TestCase):
    def setUp(self):
        self.sm = client()
        self.prefix = f"py/{self.id().rsplit('.', 1)[-1]}/"
        first = len(watchers) - 1

        def conforms():
            for watcher in watchers[first:]:
                self.assertEqual(watcher.findings, [])

        self.addCleanup(conforms)

    def create(self, name="app", value="one", **more):
        return self.sm.create_secret(Name=self.prefix + name, SecretString=plant(value), **more)

    def assertValue(self, got, want):
        """Compares values without printing them."""
        if got != want:
            self.fail("the value is not the one that was expected")

    def refused(self, code, text, call, **params):
        with self.assertRaises(ClientError) as caught:
            call(**params)
        error = caught.exception.response
        self.assertEqual((error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]), (code, 400))
        self.assertIn(text, error["Error"]["Message"])
        self.assertNotIn(CANARY, str(caught.exception))
        modelled = getattr(self.sm.exceptions, code, None)
        if modelled is not None:
            self.assertIsInstance(caught.exception, modelled)

    # What waits for review.

    def waits(self, id):
        path = "/changes?" + urllib.parse.urlencode({"status": "pending", "name": id})
        (item,) = native("GET", path)["items"]
        return item["id"]

    def approve(self, id):
        path = "/changes/" + self.waits(id)
        digest = native("GET", path)["digest"]
        self.assertEqual(native("POST", path + "/approve", {"digest": digest})["status"], "applied")

    def test_protected(self):
        made = self.create()
        id, first = made["Name"], made["VersionId"]
        rule = {"name": "py-protected", "match": [self.prefix + "*"], "approvals": [{"count": 1}], "allow_author": True}
        native("POST", "/protection", {"set": rule})

        put = self.sm.put_secret_value(SecretId=id, SecretString=plant("two"))
        label = "PENDING-" + self.waits(id)
        self.assertEqual(put["VersionStages"], [label])
        described = self.sm.describe_secret(SecretId=id)["VersionIdsToStages"]
        self.assertEqual(described, {first: ["AWSCURRENT"], put["VersionId"]: [label]})
        listed = self.sm.list_secret_version_ids(SecretId=id)["Versions"]
        self.assertEqual({v["VersionId"]: v["VersionStages"] for v in listed}, described)
        self.assertValue(self.sm.get_secret_value(SecretId=id)["SecretString"], plant("one"))
        self.assertValue(self.sm.get_secret_value(SecretId=id, VersionStage=label)["SecretString"], plant("two"))
        self.approve(id)
        self.assertValue(self.sm.get_secret_value(SecretId=id)["SecretString"], plant("two"))
        described = self.sm.describe_secret(SecretId=id)["VersionIdsToStages"]
        self.assertEqual(described, {first: ["AWSPREVIOUS"], put["VersionId"]: ["AWSCURRENT"]})

        updated = self.sm.update_secret(SecretId=id, SecretString=plant("three"))
        self.assertValue(self.sm.get_secret_value(SecretId=id)["SecretString"], plant("two"))
        self.approve(id)
        current = self.sm.get_secret_value(SecretId=id)
        self.assertEqual(current["VersionId"], updated["VersionId"])
        self.assertValue(current["SecretString"], plant("three"))

        for call, more in (
            (self.sm.update_secret, {"Description": "another"}),
            (self.sm.tag_resource, {"Tags": [{"Key": "k", "Value": "v"}]}),
            (self.sm.untag_resource, {"TagKeys": ["k"]}),
            (self.sm.put_resource_policy, {"ResourcePolicy": policy("Deny", OWN, "secretsmanager:TagResource")}),
            (self.sm.delete_resource_policy, {}),
            (self.sm.delete_secret, {"RecoveryWindowInDays": 7}),
            (self.sm.restore_secret, {}),
        ):
            self.refused("AccessDeniedException", "awaits approval", call, SecretId=id, **more)
            self.approve(id)
        self.assertEqual(self.sm.describe_secret(SecretId=id)["Description"], "another")
        self.assertValue(self.sm.get_secret_value(SecretId=id)["SecretString"], plant("three"))
        other = self.prefix + "new"
        self.refused("AccessDeniedException", "awaits approval", self.sm.create_secret, Name=other, SecretString=plant("one"))
        self.refused("ResourceNotFoundException", NO_SECRET, self.sm.describe_secret, SecretId=other)
        self.approve(other)
        self.assertValue(self.sm.get_secret_value(SecretId=other)["SecretString"], plant("one"))
        text = "PENDING-"
        put = self.sm.put_secret_value
        self.refused("InvalidParameterException", text, put, SecretId=id, SecretString=plant("x"), VersionStages=["PENDING-x"])
        move = self.sm.update_secret_version_stage
        self.refused("InvalidParameterException", text, move, SecretId=id, VersionStage="PENDING-x", MoveToVersionId=first)

    # What happens to a secret.

    def test_lifecycle(self):
        made = self.create(Description="the first", Tags=[{"Key": "team", "Value": "blue"}])
        id = made["Name"]
        self.assertRegex(made["ARN"], rf"^arn:aws:secretsmanager:us-east-1:000000000000:secret:{id}-[A-Za-z0-9]{{6}}$")
        got = self.sm.get_secret_value(SecretId=id)
        self.assertValue(got["SecretString"], plant("one"))
        self.assertEqual((got["ARN"], got["VersionId"], got["VersionStages"]), (made["ARN"], made["VersionId"], ["AWSCURRENT"]))
        self.assertLess(abs(got["CreatedDate"].timestamp() - time.time()), 300)

        self.assertNotIn("VersionId", self.sm.update_secret(SecretId=id, Description="the second"))
        two = self.sm.update_secret(SecretId=id, SecretString=plant("two"))["VersionId"]
        put = self.sm.put_secret_value(SecretId=id, SecretString=plant("three"))
        self.assertEqual(put["VersionStages"], ["AWSCURRENT"])
        described = self.sm.describe_secret(SecretId=made["ARN"])
        self.assertEqual(described["VersionIdsToStages"], {put["VersionId"]: ["AWSCURRENT"], two: ["AWSPREVIOUS"]})
        self.assertEqual(described["Description"], "the second")
        for absent in ("KmsKeyId", "RotationEnabled", "RotationLambdaARN", "DeletedDate", "OwningService"):
            self.assertNotIn(absent, described)
        versions = self.sm.list_secret_version_ids(SecretId=id)["Versions"]
        self.assertEqual({v["VersionId"] for v in versions}, {put["VersionId"], two})
        self.assertEqual(versions[0]["KmsKeyIds"], ["DefaultEncryptionKey"])
        versions = self.sm.list_secret_version_ids(SecretId=id, IncludeDeprecated=True)["Versions"]
        self.assertEqual({v["VersionId"] for v in versions}, {put["VersionId"], two, made["VersionId"]})

    def test_binary(self):
        data = CANARY.encode() + bytes(range(256))
        made = self.sm.create_secret(Name=self.prefix + "key", SecretBinary=data)
        got = self.sm.get_secret_value(SecretId=made["ARN"])
        self.assertNotIn("SecretString", got)
        self.assertTrue(got["SecretBinary"] == data, "the bytes came back changed")
        if hasattr(self.sm, "batch_get_secret_value"):
            batch = self.sm.batch_get_secret_value(SecretIdList=[made["Name"]])
            self.assertTrue(batch["SecretValues"][0]["SecretBinary"] == data, "the bytes came back changed")

    def test_text(self):
        """Text comes back as it went, whatever is in it."""
        for i, text in enumerate(["äöü ß 漢字 🔑", "\x00\x01\x1f\x7f", "\u2028\u2029", '"\\/\b\f\n\r\t', " ", "null", "é" * 1000]):
            id = self.create(f"t{i}", text)["Name"]
            self.assertValue(self.sm.get_secret_value(SecretId=id)["SecretString"], plant(text))

    def test_tokens(self):
        token = str(uuid.uuid4())
        made = self.create(ClientRequestToken=token)
        self.assertEqual(made["VersionId"], token)
        self.assertEqual(self.create(ClientRequestToken=token)["ARN"], made["ARN"])
        self.refused("ResourceExistsException", "", self.create, value="two", ClientRequestToken=token)
        self.refused("ResourceExistsException", f"The operation failed because the secret {made['Name']} already exists.", self.create)
        put = dict(SecretId=made["ARN"], ClientRequestToken=str(uuid.uuid4()), SecretString=plant("two"))
        self.assertEqual(self.sm.put_secret_value(**put), self.sm.put_secret_value(**put) | {"ResponseMetadata": unittest.mock.ANY})
        self.refused("ResourceExistsException", "", self.sm.put_secret_value, **put | {"SecretString": plant("three")})

    def test_labels(self):
        made = self.create()
        id, one = made["Name"], made["VersionId"]
        two = self.sm.put_secret_value(SecretId=id, SecretString=plant("two"), VersionStages=["AWSPENDING"])["VersionId"]
        move = functools.partial(self.sm.update_secret_version_stage, SecretId=id, VersionStage="AWSCURRENT", MoveToVersionId=two)
        self.refused("InvalidParameterException", f"Staging label AWSCURRENT is currently attached to version {one}", move)
        move(RemoveFromVersionId=one)
        stages = self.sm.describe_secret(SecretId=id)["VersionIdsToStages"]
        self.assertEqual({v: sorted(s) for v, s in stages.items()}, {one: ["AWSPREVIOUS"], two: ["AWSCURRENT", "AWSPENDING"]})
        got = self.sm.get_secret_value(SecretId=id, VersionStage="AWSPREVIOUS")
        self.assertValue(got["SecretString"], plant("one"))
        self.refused("ResourceNotFoundException", "can't find the specified secret value for staging label: beta", self.sm.get_secret_value, SecretId=id, VersionStage="beta")
        self.refused("ResourceNotFoundException", "can't find the specified secret value for VersionId: ", self.sm.get_secret_value, SecretId=id, VersionId=str(uuid.uuid4()))
        self.refused("InvalidRequestException", "You provided a VersionStage that is not associated to the provided VersionId.", self.sm.get_secret_value, SecretId=id, VersionId=one, VersionStage="AWSCURRENT")

    @since_then
    def test_deletion(self):
        made = self.create()
        id = made["Name"]
        gone = self.sm.delete_secret(SecretId=id, RecoveryWindowInDays=7)
        self.assertAlmostEqual(gone["DeletionDate"].timestamp(), time.time() + 7 * 86400, delta=300)
        self.assertIn("DeletedDate", self.sm.describe_secret(SecretId=id))
        self.refused("InvalidRequestException", "marked for deletion", self.sm.get_secret_value, SecretId=id)
        self.refused("InvalidRequestException", "already scheduled for deletion", self.create)
        self.refused("InvalidRequestException", "it was marked for deletion.", self.sm.tag_resource, SecretId=id, Tags=[{"Key": "a", "Value": "b"}])
        listed = self.sm.list_secrets(IncludePlannedDeletion=True, Filters=[{"Key": "name", "Values": [self.prefix]}])
        self.assertIn("DeletedDate", listed["SecretList"][0])
        self.assertEqual(self.sm.restore_secret(SecretId=id)["ARN"], made["ARN"])
        self.assertValue(self.sm.get_secret_value(SecretId=id)["SecretString"], plant("one"))
        self.sm.delete_secret(SecretId=id, ForceDeleteWithoutRecovery=True)
        self.refused("ResourceNotFoundException", NO_SECRET, self.sm.describe_secret, SecretId=id)
        self.sm.delete_secret(SecretId=id, ForceDeleteWithoutRecovery=True)
        self.assertNotEqual(self.create()["ARN"], made["ARN"])

    @since_then
    def test_tags_and_lists(self):
        for name in "cab":
            self.create(name, Description=f"About {name}")
        self.sm.tag_resource(SecretId=self.prefix + "a", Tags=[{"Key": "py-tag", "Value": "x"}, {"Key": "py-more", "Value": ""}])
        self.sm.untag_resource(SecretId=self.prefix + "a", TagKeys=["py-more"])
        self.assertEqual(self.sm.describe_secret(SecretId=self.prefix + "a")["Tags"], [{"Key": "py-tag", "Value": "x"}])

        def names(**params):
            pages = self.sm.get_paginator("list_secrets").paginate(PaginationConfig={"PageSize": 2}, **params)
            return "".join(s["Name"].removeprefix(self.prefix) for page in pages for s in page["SecretList"])

        mine = {"Key": "name", "Values": [self.prefix]}
        self.assertEqual(names(Filters=[mine], SortBy="name", SortOrder="desc"), "cba")
        self.assertEqual(names(Filters=[mine], SortBy="created-date", SortOrder="asc"), "cab")
        self.assertEqual(names(Filters=[{"Key": "tag-key", "Values": ["py-tag"]}]), "a")
        self.assertEqual(names(Filters=[mine, {"Key": "description", "Values": ["about b"]}]), "b")
        self.assertEqual(names(Filters=[mine, {"Key": "name", "Values": ["!" + self.prefix + "a"]}], SortBy="name", SortOrder="asc"), "bc")
        self.refused("InvalidNextTokenException", "", self.sm.list_secrets, NextToken="made-up")

    @since_then
    def test_batch(self):
        names = [self.create(n, n)["Name"] for n in ("one", "two")]
        got = self.sm.batch_get_secret_value(SecretIdList=names + [self.prefix + "none"])
        self.assertTrue({v["Name"]: v["SecretString"] for v in got["SecretValues"]} == {n: plant(n.rsplit("/", 1)[1]) for n in names})
        self.assertEqual([(e["SecretId"], e["ErrorCode"]) for e in got["Errors"]], [(self.prefix + "none", "ResourceNotFoundException")])
        mine = [{"Key": "name", "Values": [self.prefix]}]
        got = self.sm.batch_get_secret_value(Filters=mine, MaxResults=1)
        self.assertIn("NextToken", got)
        rest = self.sm.batch_get_secret_value(Filters=mine, MaxResults=1, NextToken=got["NextToken"])
        self.assertEqual({v["Name"] for v in got["SecretValues"] + rest["SecretValues"]}, set(names))
        self.refused("InvalidParameterException", "", self.sm.batch_get_secret_value, SecretIdList=names, Filters=mine)

    def test_resource_policies(self):
        id = self.create()["Name"]
        self.assertNotIn("ResourcePolicy", self.sm.get_resource_policy(SecretId=id))
        text = policy("Allow", OWN, "secretsmanager:GetSecretValue")
        self.sm.put_resource_policy(SecretId=id, ResourcePolicy=text, BlockPublicPolicy=True)
        self.assertEqual(json.loads(self.sm.get_resource_policy(SecretId=id)["ResourcePolicy"]), json.loads(text))
        public = policy("Allow", "*", "secretsmanager:GetSecretValue")
        self.refused("PublicPolicyException", "", self.sm.put_resource_policy, SecretId=id, ResourcePolicy=public, BlockPublicPolicy=True)
        self.refused("MalformedPolicyDocumentException", "", self.sm.put_resource_policy, SecretId=id, ResourcePolicy="[")
        self.sm.put_resource_policy(SecretId=id, ResourcePolicy=policy("Deny", "*", "secretsmanager:GetSecretValue"))
        self.refused("AccessDeniedException", "secretsmanager:GetSecretValue", self.sm.get_secret_value, SecretId=id)
        self.sm.delete_resource_policy(SecretId=id)
        self.assertValue(self.sm.get_secret_value(SecretId=id)["SecretString"], plant("one"))
        self.assertEqual(self.sm.validate_resource_policy(ResourcePolicy=text)["ValidationErrors"], [])
        found = self.sm.validate_resource_policy(SecretId=id, ResourcePolicy=public)
        self.assertFalse(found["PolicyValidationPassed"])
        self.assertTrue(found["ValidationErrors"])

    def test_replicas(self):
        west = client("us-west-2")
        made = self.create(AddReplicaRegions=[{"Region": "us-west-2"}])
        id = made["Name"]
        self.assertEqual([(r["Region"], r["Status"]) for r in made["ReplicationStatus"]], [("us-west-2", "InSync")])
        self.assertValue(west.get_secret_value(SecretId=id)["SecretString"], plant("one"))
        self.assertEqual(west.describe_secret(SecretId=id)["PrimaryRegion"], "us-east-1")
        self.assertEqual(west.list_secrets(Filters=[{"Key": "name", "Values": [id]}])["SecretList"][0]["PrimaryRegion"], "us-east-1")
        west.list_secret_version_ids(SecretId=id)
        self.refused("InvalidRequestException", "Operation not permitted on a replica secret. Call must be made in primary secret's region.", west.put_secret_value, SecretId=id, SecretString=plant("x"))
        added = self.sm.replicate_secret_to_regions(SecretId=id, AddReplicaRegions=[{"Region": "eu-west-1", "KmsKeyId": "alias/eu"}])
        self.assertEqual({r["Region"] for r in added["ReplicationStatus"]}, {"us-west-2", "eu-west-1"})
        self.assertEqual(client("eu-west-1").describe_secret(SecretId=id)["KmsKeyId"], "alias/eu")
        self.assertEqual(self.sm.remove_regions_from_replication(SecretId=id, RemoveReplicaRegions=["eu-west-1"])["ReplicationStatus"][0]["Region"], "us-west-2")
        west.stop_replication_to_replica(SecretId=id)
        west.put_secret_value(SecretId=id, SecretString=plant("theirs"))
        self.assertValue(self.sm.get_secret_value(SecretId=id)["SecretString"], plant("one"))

    @since_then
    def test_rotation(self):
        id = self.create()["Name"]
        self.refused("InvalidRequestException", "No Lambda rotation function ARN is associated with this secret.", self.sm.rotate_secret, SecretId=id)
        self.refused("AccessDeniedException", "Secrets Manager cannot invoke the specified Lambda function.", self.sm.rotate_secret, SecretId=id, RotationLambdaARN=FUNCTION + "-nobody", RotationRules={"AutomaticallyAfterDays": 30})
        self.sm.rotate_secret(SecretId=id, RotationLambdaARN=FUNCTION, RotateImmediately=False, RotationRules={"ScheduleExpression": "cron(0 8 1 * ? *)", "Duration": "2h"})
        described = self.sm.describe_secret(SecretId=id)
        self.assertEqual(described["RotationRules"], {"ScheduleExpression": "cron(0 8 1 * ? *)", "Duration": "2h"})
        self.assertTrue(described["RotationEnabled"])
        self.assertGreater(described["NextRotationDate"].timestamp(), time.time())
        self.sm.cancel_rotate_secret(SecretId=id)
        self.assertFalse(self.sm.describe_secret(SecretId=id).get("RotationEnabled", False))

    def test_random_password(self):
        got = self.sm.get_random_password(PasswordLength=64, ExcludePunctuation=True)["RandomPassword"]
        self.assertRegex(got, r"^[A-Za-z0-9]{64}$")
        with self.assertRaises(ClientError) as caught:
            self.sm.get_random_password(PasswordLength=5000)
        self.assertIn(caught.exception.response["Error"]["Code"], ("ValidationException", "InvalidParameterException"))

    def test_refusals(self):
        none = self.prefix + "none"
        self.refused("ResourceNotFoundException", NO_SECRET, self.sm.get_secret_value, SecretId=none)
        self.refused("ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters", self.sm.get_secret_value, SecretId="no name")
        wrong = client(aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key="wrong")
        self.refused("InvalidSignatureException", "The request signature we calculated does not match", wrong.list_secrets)
        unknown = client(aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="wrong")
        self.refused("UnrecognizedClientException", "The security token included in the request is invalid.", unknown.list_secrets)

    # Programs that people have.

    def test_layer_with_a_cache(self):
        """A shared layer: one class over a client, values cached by name."""
        environment = self.prefix + "prod"
        names = {
            f"/{environment}/github-integration/api-token/personal-access-token": {"token": plant("ghp"), "username": "github-user", "permissions": ["repo"]},
            f"/{environment}/claude-sdk/api-key/anthropic-key": {"apiKey": plant("key"), "baseUrl": "https://api.example.com"},
        }
        for name, value in names.items():
            self.sm.create_secret(Name=name, Description="of a service", SecretString=json.dumps(value))
        key = base64.b64encode(CANARY.encode())
        self.sm.create_secret(Name=f"/{environment}/template-management/encryption-key/template-key", SecretBinary=key)

        class Secrets:
            def __init__(self):
                self.client = client()
                self.reads = 0

            @functools.lru_cache(maxsize=10)
            def get(self, name):
                self.reads += 1
                return json.loads(self.client.get_secret_value(SecretId=name)["SecretString"])

        secrets = Secrets()
        for _ in range(2):
            for name, value in names.items():
                self.assertTrue(secrets.get(name) == value)
        self.assertEqual(secrets.reads, len(names))
        with self.assertRaises(self.sm.exceptions.ResourceNotFoundException):
            secrets.get(f"/{environment}/cognito/app-client/secret")
        listed = self.sm.list_secrets(Filters=[{"Key": "name", "Values": [f"/{environment}/"]}])
        self.assertEqual(len(listed["SecretList"]), 3)


if __name__ == "__main__":
    unittest.main()
