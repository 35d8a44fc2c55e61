"""The strict look at responses finds what it is there for."""

import json
import unittest

import boto3

from model import Watcher


class Model(unittest.TestCase):
    GOOD = {
        "ARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:a-AbCdEf",
        "Name": "a",
        "VersionId": "11111111-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
        "SecretString": "v",
        "VersionStages": ["AWSCURRENT"],
        "CreatedDate": 1700000000.123,
    }

    def findings(self, status=200, body=None, **change):
        client = boto3.client("secretsmanager")
        watcher = Watcher(client)
        got = {k: v for k, v in dict(self.GOOD, **change).items() if v is not ...}
        watcher.look(
            client.meta.service_model.operation_model("GetSecretValue"),
            {
                "status_code": status,
                "headers": {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": "1"},
                "body": json.dumps(got).encode() if body is None else body,
            },
        )
        return watcher.findings

    def test_good(self):
        self.assertEqual(self.findings(), [])
        self.assertEqual(self.findings(SecretString=..., SecretBinary="AAEC"), [])

    def test_bad(self):
        for what, change in {
            "missing": {"ARN": ...},
            "extra": {"KmsKeyId": "k"},
            "null": {"VersionStages": None},
            "time as text": {"CreatedDate": "2026-01-01T00:00:00Z"},
            "time in milliseconds": {"CreatedDate": 1700000000123},
            "number for a text": {"Name": 7},
            "text for a list": {"VersionStages": "AWSCURRENT"},
            "number in a list": {"VersionStages": [1]},
            "both values": {"SecretBinary": "AAEC"},
            "no value": {"SecretString": ...},
            "no base64": {"SecretString": ..., "SecretBinary": "*"},
            "short version id": {"VersionId": "1"},
        }.items():
            with self.subTest(what):
                self.assertEqual(len(self.findings(**change)), 1)
        self.assertEqual(len(self.findings(body=b'{"ARN":"' + b"a" * 20 + b'","ARN":"b"}')), 1)

    def test_errors(self):
        def error(status, **members):
            return self.findings(status=status, body=json.dumps(members).encode())

        self.assertEqual(error(400, __type="ResourceNotFoundException", Message="m"), [])
        self.assertEqual(error(400, __type="ValidationException", message="m"), [])
        self.assertEqual(error(400, __type="DecryptionFailure", Message="m"), [])
        self.assertEqual(len(error(404, __type="ResourceNotFoundException", Message="m")), 1)
        self.assertEqual(len(error(400, __type="ResourceNotFoundException", message="m")), 1)
        self.assertEqual(len(error(400, __type="ResourceExistsException", Message="m")), 1)
        self.assertEqual(len(error(400, __type="DecryptionFailureException", Message="m")), 1)


if __name__ == "__main__":
    unittest.main()
