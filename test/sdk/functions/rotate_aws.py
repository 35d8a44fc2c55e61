"""A rotation function for AWS Secrets Manager, of the shape that its documentation
gives them. The target is a file with the password that it accepts."""

import json
import os

import boto3

from invoke import serve

TARGET = os.environ["TARGET"]


def handler(event, context):
    arn, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
    client = boto3.client("secretsmanager")
    metadata = client.describe_secret(SecretId=arn)
    if not metadata["RotationEnabled"]:
        raise ValueError("the secret is not enabled for rotation")
    versions = metadata["VersionIdsToStages"]
    if token not in versions:
        raise ValueError("the version has no stage")
    if "AWSCURRENT" in versions[token]:
        return
    if "AWSPENDING" not in versions[token]:
        raise ValueError("the version is not set as AWSPENDING")
    {"createSecret": create, "setSecret": set_secret, "testSecret": test, "finishSecret": finish}[step](client, arn, token)


def create(client, arn, token):
    current = json.loads(client.get_secret_value(SecretId=arn, VersionStage="AWSCURRENT")["SecretString"])
    try:
        client.get_secret_value(SecretId=arn, VersionId=token, VersionStage="AWSPENDING")
    except client.exceptions.ResourceNotFoundException:
        current["password"] = client.get_random_password(ExcludeCharacters="/@\"'\\")["RandomPassword"]
        client.put_secret_value(SecretId=arn, ClientRequestToken=token, SecretString=json.dumps(current), VersionStages=["AWSPENDING"])


def pending(client, arn, token):
    return json.loads(client.get_secret_value(SecretId=arn, VersionId=token, VersionStage="AWSPENDING")["SecretString"])


def set_secret(client, arn, token):
    with open(TARGET, "w") as f:
        f.write(pending(client, arn, token)["password"])


def test(client, arn, token):
    with open(TARGET) as f:
        if f.read() != pending(client, arn, token)["password"]:
            raise ValueError("the login was refused")


def finish(client, arn, token):
    versions = client.describe_secret(SecretId=arn)["VersionIdsToStages"]
    current = next(v for v, stages in versions.items() if "AWSCURRENT" in stages)
    if current == token:
        return
    client.update_secret_version_stage(SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current)


if __name__ == "__main__":
    serve(handler)
