#!/usr/bin/env python3
"""Writes botocore.json: requests signed by botocore's own signers.

Run it in this folder with botocore installed (written with 1.43.11). The seed
and the time are fixed, so the file changes only with botocore. botocore is
copyright Amazon.com, Inc. or its affiliates, Apache License, Version 2.0; only
signatures that it computes are kept.
"""

import datetime
import json
import random
from unittest import mock
from urllib.parse import urlsplit

from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

AT = datetime.datetime(2026, 2, 28, 23, 59, 58)
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGION = "eu-central-1"
rnd = random.Random(2026)


def url():
    host = rnd.choice(["https://secretsmanager.eu-central-1.amazonaws.com", "https://localhost:8200",
                       "https://[::1]:8200", "https://Host.Example:443"])
    path = "".join("/" + rnd.choice(["", ".", "..", "a", "a%20b", "%C3%A9", "a%2Fb", "~x", "a+b", "a:b", "(x)"])
                   for _ in range(rnd.randrange(5)))
    if rnd.random() < 0.3:
        path += "/"
    query = "&".join(rnd.choice("abAB") + rnd.choice(["", "-x", "~", ".", "%2F", "%20"]) +
                     "=" + rnd.choice(["", "v", "%20v", "%2Bv", "%C3%A9", "w", "%2F", "~"])
                     for _ in range(rnd.randrange(5)))
    return host + (path or "/") + ("?" + query if query else "")


def vector():
    body = '{"SecretId":"%s"}' % ("x" * rnd.randrange(100)) if rnd.random() < 0.8 else ""
    headers = {}
    for name, value in [("Content-Type", "application/x-amz-json-1.1"),
                        ("X-Amz-Target", "secretsmanager.GetSecretValue"),
                        ("X-Odd", '  a   b "c   d"  '), ("User-Agent", "Boto3/1"),
                        ("amz-sdk-invocation-id", "0-1")]:
        if rnd.random() < 0.7:
            headers[name] = value
    request = AWSRequest(method=rnd.choice(["POST", "POST", "GET", "PUT"]), url=url(), data=body.encode(), headers=headers)
    token = "tok/en+%d==" % rnd.randrange(1000) if rnd.random() < 0.3 else None
    credentials = Credentials("AKIDEXAMPLE", SECRET, token)
    presigned = rnd.random() < 0.3
    if presigned:
        signer = auth.SigV4QueryAuth(credentials, "secretsmanager", REGION, expires=rnd.choice([60, 3600, 604800]))
    else:
        signer = auth.SigV4Auth(credentials, "secretsmanager", REGION)
    signer.add_auth(request)
    sent = request.prepare()
    parts = urlsplit(sent.url)
    host = parts.netloc
    data = sent.body or b""  # presigning moves the members of a JSON body into the query
    sent_body = data.decode() if isinstance(data, bytes) else data
    if host.endswith(":443"):
        host = host[:-4]
    return {
        "Method": sent.method,
        "URI": (parts.path or "/") + ("?" + parts.query if parts.query else ""),
        "Host": host,
        "Header": sorted([k, v.decode() if isinstance(v, bytes) else v] for k, v in sent.headers.items()),
        "Body": sent_body, "Time": AT.isoformat() + "Z", "Secret": SECRET, "Region": REGION,
        "Service": "secretsmanager", "Secure": True,
    }


class Clock(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return AT

    @classmethod
    def now(cls, tz=None):
        return AT.replace(tzinfo=tz)


patches = [mock.patch("datetime.datetime", Clock)]
if hasattr(auth, "get_current_datetime"):
    patches.append(mock.patch.object(auth, "get_current_datetime", lambda *a, **k: AT))
for p in patches:
    p.start()
vectors = [vector() for _ in range(120)]
for p in patches:
    p.stop()
with open("botocore.json", "w") as out:
    out.write("[\n" + ",\n".join(json.dumps(v, sort_keys=True) for v in vectors) + "\n]\n")
