"""What the test modules share: boto3 clients, plain HTTP, and what every answer must look like."""

import functools
import http.client
import json
import os
import re
import threading
import time
import unittest
import urllib.parse
from dataclasses import dataclass, field

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
from botocore.exceptions import ClientError

SERVICE = "cognito-identity"
REGION = "us-east-1"
DEVELOPER = "login.example"
NOBODY = "us-east-1:00000000-0000-4000-8000-000000000000"
REQUEST_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

# The broker that `symbolon dev` runs; set by run.py.
broker = None


@functools.cache
def client(region=None, account=None, endpoint=None, validation=True):
    """A boto3 client of the environment, but for what is given. Without `validation` it sends anything."""
    options = {"config": botocore.config.Config(parameter_validation=validation, retries={"total_max_attempts": 1})}
    if region:
        options["region_name"] = region
    if endpoint:
        options["endpoint_url"] = endpoint
    if account:
        options |= {"aws_access_key_id": account, "aws_secret_access_key": "test"}
    return boto3.session.Session().client(SERVICE, **options)


@dataclass
class Answer:
    """A response to a plain HTTP request."""

    status: int
    headers: dict
    body: bytes
    closed: bool = False

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Signer:
    """Credentials and scope of a signature, made by botocore."""

    key: str = field(default_factory=lambda: os.environ["AWS_ACCESS_KEY_ID"])
    secret: str = field(default_factory=lambda: os.environ["AWS_SECRET_ACCESS_KEY"])
    token: str | None = None
    region: str = REGION
    service: str = SERVICE

    def sign(self, url, headers, body):
        request = botocore.awsrequest.AWSRequest(method="POST", url=url, data=body, headers=headers)
        credentials = botocore.credentials.Credentials(self.key, self.secret, self.token)
        botocore.auth.SigV4Auth(credentials, self.service, self.region).add_auth(request)
        return dict(request.headers.items())


_connections = threading.local()


def exchange(endpoint, headers, body, method="POST", path="/", own_host=False):
    """One request on this thread's connection to the endpoint. Headers are pairs, with `Host` if own_host."""
    kept = _connections.__dict__.setdefault("kept", {})
    host = urllib.parse.urlsplit(endpoint).netloc
    connection, used = kept.pop(host, (None, 0.0))
    # The broker closes a connection on which no request begins for ten seconds.
    if connection is None or time.monotonic() - used > 5:
        connection = http.client.HTTPConnection(host, timeout=30)
    connection.putrequest(method, path, skip_host=own_host, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    if method == "POST":
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    content = response.read()
    closed = connection.sock is None
    if not closed:
        kept[host] = (connection, time.monotonic())
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content, closed)


def call(operation, body=b"{}", signer=None, headers=None, target=None, endpoint=None, path="/", alter=None):
    """Calls an operation: signed if there is a signer. `alter` gets the signed headers and gives those to send."""
    endpoint = endpoint or os.environ["AWS_ENDPOINT_URL_COGNITO_IDENTITY"]
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    target = f"AWSCognitoIdentityService.{operation}" if target is None else target
    head = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target, **(headers or {})}
    head = {name: value for name, value in head.items() if value is not None}
    if signer:
        head = signer.sign(f"{endpoint}{path}", head, body)
    pairs = list(head.items())
    return exchange(endpoint, alter(pairs) if alter else pairs, body, path=path)


def without(name):
    """For `alter`: drops a header."""
    return lambda pairs: [pair for pair in pairs if pair[0].lower() != name.lower()]


def replacing(name, value):
    """For `alter`: puts another value in a header."""
    return lambda pairs: [
        (n, value(v) if callable(value) else value) if n.lower() == name.lower() else (n, v) for n, v in pairs
    ]


def fits_header(message):
    return len(message) <= 1024 and all(" " <= letter <= "~" or letter == "\t" for letter in message)


class Case(unittest.TestCase):
    """A test case that knows what a refusal looks like."""

    maxDiff = None

    def refused(self, code, message, function, **arguments):
        """boto3 raises the modelled exception, with status 400 and this very message."""
        with self.assertRaises(ClientError) as caught:
            function(**arguments)
        answer = caught.exception.response
        self.assertEqual((answer["Error"]["Code"], answer["Error"]["Message"]), (code, message))
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 400)
        modelled = getattr(function.__self__.exceptions, code, None) if code in MODELLED else ClientError
        self.assertIsInstance(caught.exception, modelled)
        return answer

    def is_error(self, answer, code, message, status=400):
        """A plain HTTP answer is this error, in every place where an error is told (W14, W18, W19)."""
        member = "Message" if code == "AccessDeniedException" else "message"
        expected = {"__type": code} | ({} if message is None else {member: message})
        self.assertEqual((answer.status, answer.json), (status, expected))
        self.assertEqual(answer.headers["x-amzn-errortype"], f"{code}:")
        shown = message if message is not None and fits_header(message) else None
        self.assertEqual(answer.headers.get("x-amzn-errormessage"), shown)
        self.has_usual_head(answer)

    def has_usual_head(self, answer):
        """W14: every answer of the API has these."""
        self.assertEqual(answer.headers["content-type"], "application/x-amz-json-1.1")
        self.assertRegex(answer.headers["x-amzn-requestid"], REQUEST_ID)
        self.assertEqual(int(answer.headers["content-length"]), len(answer.body))
        self.assertIn("date", answer.headers)

    def pool(self, of=None, **settings):
        """Makes a pool with a developer provider; gives its id."""
        settings = {
            "IdentityPoolName": self._testMethodName[:128],
            "AllowUnauthenticatedIdentities": True,
            "DeveloperProviderName": DEVELOPER,
        } | settings
        settings = {name: value for name, value in settings.items() if value is not None}
        return (of or client()).create_identity_pool(**settings)["IdentityPoolId"]

    def token(self, pool, user="alice", of=None, logins=None, **more):
        """Identity id and token of a developer user."""
        logins = {DEVELOPER: user} if logins is None else logins
        answer = (of or client()).get_open_id_token_for_developer_identity(IdentityPoolId=pool, Logins=logins, **more)
        return answer["IdentityId"], answer["Token"]

    def sign_in(self, pool, user="alice", **more):
        return self.token(pool, user, **more)[0]

    def guest(self, pool):
        return client().get_id(IdentityPoolId=pool)["IdentityId"]

    def describe(self, identity):
        answer = client().describe_identity(IdentityId=identity)
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


MODELLED = {
    "DeveloperUserAlreadyRegisteredException",
    "ExternalServiceException",
    "InvalidIdentityPoolConfigurationException",
    "InvalidParameterException",
    "LimitExceededException",
    "NotAuthorizedException",
    "ResourceConflictException",
    "ResourceNotFoundException",
}


def breach(value, path, *constraints):
    """The message of a ValidationException for one value."""
    shown = "null" if value is None else f"'{value}'"
    clauses = [f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}" for constraint in constraints]
    return f"{len(clauses)} validation error{'s' * (len(clauses) > 1)} detected: {'; '.join(clauses)}"
