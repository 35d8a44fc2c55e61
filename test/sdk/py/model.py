"""Holds responses to botocore's service model.

botocore is generous: it takes what it knows from a response and ignores the
rest. This module looks at the same bytes strictly. Every member must be in the
model and of its type, within its bounds; a member that AWS always sends must be
there; nothing may be null or stand twice. Errors must be those of the
operation, or common to all services, and carry their message under the name
that AWS uses.

The model requires no member of any output, so what is always there is listed
here, by shape.
"""

import base64
import binascii
import json
import re

ALWAYS = {
    "BatchGetSecretValueResponse": {"SecretValues", "Errors"},
    "CancelRotateSecretResponse": {"ARN", "Name"},
    "CreateSecretResponse": {"ARN", "Name"},
    "DeleteResourcePolicyResponse": {"ARN", "Name"},
    "DeleteSecretResponse": {"ARN", "Name", "DeletionDate"},
    "DescribeSecretResponse": {"ARN", "Name", "LastChangedDate", "CreatedDate"},
    "GetRandomPasswordResponse": {"RandomPassword"},
    "GetResourcePolicyResponse": {"ARN", "Name"},
    "GetSecretValueResponse": {"ARN", "Name", "VersionId", "VersionStages", "CreatedDate"},
    "ListSecretVersionIdsResponse": {"ARN", "Name", "Versions"},
    "ListSecretsResponse": {"SecretList"},
    "PutResourcePolicyResponse": {"ARN", "Name"},
    "PutSecretValueResponse": {"ARN", "Name", "VersionId", "VersionStages"},
    "RemoveRegionsFromReplicationResponse": {"ARN", "ReplicationStatus"},
    "ReplicateSecretToRegionsResponse": {"ARN", "ReplicationStatus"},
    "RestoreSecretResponse": {"ARN", "Name"},
    "RotateSecretResponse": {"ARN", "Name"},
    "StopReplicationToReplicaResponse": {"ARN"},
    "UpdateSecretResponse": {"ARN", "Name"},
    "UpdateSecretVersionStageResponse": {"ARN", "Name"},
    "ValidateResourcePolicyResponse": {"PolicyValidationPassed", "ValidationErrors"},
    "SecretValueEntry": {"ARN", "Name", "VersionId", "VersionStages", "CreatedDate"},
    "APIErrorType": {"SecretId", "ErrorCode", "Message"},
    "SecretListEntry": {"ARN", "Name", "LastChangedDate", "CreatedDate"},
    "SecretVersionsListEntry": {"VersionId", "CreatedDate"},
    "ReplicationStatusType": {"Region", "Status"},
    "ValidationErrorsEntry": {"CheckName", "ErrorMessage"},
    "Tag": {"Key", "Value"},
}

# Shapes that hold exactly one of two members.
EITHER = {
    "GetSecretValueResponse": ("SecretString", "SecretBinary"),
    "SecretValueEntry": ("SecretString", "SecretBinary"),
}

# Errors of every service, whose message is in "message".
COMMON = {
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "ValidationException",
}


def unique(pairs):
    """Makes a dict of a JSON object, in which no name stands twice."""
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a member stands twice")
    return out


class Watcher:
    """Collects what is wrong with the responses of a client.

    Findings name members and never repeat what they hold.
    """

    def __init__(self, client):
        self.findings = []
        self.succeeded = set()
        client.meta.events.register("before-parse.secretsmanager", self.look)

    def look(self, operation_model, response_dict, **_):
        name, status = operation_model.name, response_dict["status_code"]
        headers = {k.lower(): v for k, v in response_dict["headers"].items()}
        if headers.get("content-type") != "application/x-amz-json-1.1":
            self.findings.append(f"{name}: Content-Type is {headers.get('content-type')}")
        if not headers.get("x-amzn-requestid"):
            self.findings.append(f"{name}: no request id")
        body = response_dict["body"]
        if status == 200:
            self.succeeded.add(name)
            if operation_model.output_shape is None and body in (b"", b"{}"):
                return
        try:
            got = json.loads(body, object_pairs_hook=unique)
        except ValueError as e:
            self.findings.append(f"{name}: the body is not JSON: {e.__class__.__name__}")
            return
        if status == 200:
            if operation_model.output_shape is None:
                self.findings.append(f"{name}: has a body and should not")
            else:
                self.shape(name, operation_model.output_shape, got)
        else:
            self.error(operation_model, status, got)

    def error(self, operation_model, status, got):
        name = operation_model.name
        kind = got.get("__type", "")
        modelled = {shape.metadata.get("error", {}).get("code", shape.name) for shape in operation_model.error_shapes}
        if status != 400:
            self.findings.append(f"{name}: {kind} has status {status}")
        if kind in COMMON:
            want = {"__type", "message"}
        elif kind in modelled:
            want = {"__type", "Message"}
        else:
            self.findings.append(f"{name}: {kind} is not an error of it")
            return
        if set(got) != want:
            self.findings.append(f"{name}: {kind} has members {sorted(got)}, want {sorted(want)}")
        for member in got:
            if not isinstance(got[member], str) or not got[member]:
                self.findings.append(f"{name}: {member} of {kind} is no text")

    def shape(self, path, shape, got):
        check = getattr(self, "check_" + shape.type_name)
        problem = check(path, shape, got)
        if problem:
            self.findings.append(f"{path}: {problem}")

    def check_structure(self, path, shape, got):
        if not isinstance(got, dict):
            return "is no object"
        for member, value in got.items():
            if member not in shape.members:
                self.findings.append(f"{path}: {member} is not in the model")
                continue
            self.shape(f"{path}.{member}", shape.members[member], value)
        needed = ALWAYS.get(shape.name, set()) | set(shape.required_members)
        for member in sorted(needed - set(got)):
            self.findings.append(f"{path}: {member} is missing")
        if shape.name in EITHER and len(set(EITHER[shape.name]) & set(got)) != 1:
            return "has not exactly one of " + " and ".join(EITHER[shape.name])
        return None

    def check_list(self, path, shape, got):
        if not isinstance(got, list):
            return "is no list"
        for i, value in enumerate(got):
            self.shape(f"{path}[{i}]", shape.member, value)
        return self.bounds(shape, len(got))

    def check_map(self, path, shape, got):
        if not isinstance(got, dict):
            return "is no map"
        for key, value in got.items():
            self.shape(f"{path} (key)", shape.key, key)
            self.shape(f"{path}[…]", shape.value, value)
        return None

    def check_string(self, path, shape, got):
        if not isinstance(got, str):
            return "is no text"
        if shape.enum and got not in shape.enum:
            return "is not one of its enumeration"
        pattern = shape.metadata.get("pattern")
        if pattern and not re.search(pattern, got, re.ASCII):
            return "does not match its pattern"
        return self.bounds(shape, len(got))

    def check_boolean(self, path, shape, got):
        return None if isinstance(got, bool) else "is no boolean"

    def check_integer(self, path, shape, got):
        if not isinstance(got, int) or isinstance(got, bool):
            return "is no whole number"
        return self.bounds(shape, got)

    check_long = check_integer

    def check_timestamp(self, path, shape, got):
        # Seconds: a number of milliseconds would be far in the future.
        if not isinstance(got, (int, float)) or isinstance(got, bool):
            return "is no number"
        return None if 1_500_000_000 < got < 10_000_000_000 else "is no time in seconds"

    def check_blob(self, path, shape, got):
        if not isinstance(got, str):
            return "is no text"
        try:
            base64.b64decode(got, validate=True)
        except binascii.Error:
            return "is no base64"
        return None

    @staticmethod
    def bounds(shape, size):
        least, most = shape.metadata.get("min"), shape.metadata.get("max")
        if least is not None and size < least or most is not None and size > most:
            return "is out of its bounds"
        return None
