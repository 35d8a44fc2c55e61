"""A rotation function that returns the new value, reads the token as Token, and leaves
the last step to the service."""

import json
import os
import secrets

import boto3

from invoke import serve

TARGET = os.environ["TARGET"]


def handler(event, context):
    secret_arn = event["SecretId"]
    token = event["Token"]
    step = event["Step"]
    client = boto3.client("secretsmanager")

    if step == "createSecret":
        return {"SecretString": json.dumps({"token": secrets.token_urlsafe(24)})}

    made = json.loads(client.get_secret_value(SecretId=secret_arn, VersionId=token)["SecretString"])["token"]
    if step == "setSecret":
        with open(TARGET, "w") as f:
            f.write(made)
    elif step == "testSecret":
        with open(TARGET) as f:
            assert f.read() == made
    elif step == "finishSecret":
        pass


if __name__ == "__main__":
    serve(handler)
