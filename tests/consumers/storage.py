"""Ceph's object gateway, which trusts our issuer: buckets and objects with the credentials that a token is good for."""

import base64
import hashlib
import json
import tempfile
import unittest
import uuid
from pathlib import Path

import boto3
import botocore.config
from botocore.exceptions import ClientError

import ceph as cephs
import installed
from stage import REGION, Stage, kid, tampered

SESSION = "CognitoIdentityCredentials"
STRANGER = f"{REGION}:00000000-0000-4000-8000-000000000000"

# What the gateway writes to its log when it refuses: its answers are all the same.
REASONS = {
    "expired": "token expired",
    "audience": "Client id in token doesn't match",
    "signature": "Signature validation failed",
    "trust": "evaluating policy for op: 91 returned deny",
}


def compact(document):
    """A policy as Ceph 16 takes it: without blanks."""
    return json.dumps(document, separators=(",", ":"))


def statement(**members):
    return compact({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **members}]})


class Operator:
    """Who administers the gateway: makes it trust an issuer, and makes roles."""

    def __init__(self, ceph, issuer):
        self.issuer, self.host = issuer, issuer.partition("://")[2]
        keys = {"aws_access_key_id": ceph.access_key, "aws_secret_access_key": ceph.secret}
        config = botocore.config.Config(retries={"total_max_attempts": 1})
        self.iam = boto3.session.Session().client(
            "iam", endpoint_url=ceph.endpoint, region_name=REGION, config=config, **keys
        )
        self.provider = f"arn:aws:iam::{cephs.TENANT}:oidc-provider/{self.host}"
        self.thumbprints = None

    def trust(self, jwks, audiences):
        """Trusts the issuer for the audiences, with the certificates of the keys that its JWKS holds."""
        certificates = [base64.b64decode(key["x5c"][0]) for key in jwks["keys"]]
        thumbprints = [hashlib.sha1(certificate).hexdigest().upper() for certificate in certificates]
        if thumbprints == self.thumbprints:
            return
        if self.thumbprints:
            # Ceph 16 cannot change a provider's thumbprints.
            self.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=self.provider)
        self.iam.create_open_id_connect_provider(Url=self.issuer, ClientIDList=audiences, ThumbprintList=thumbprints)
        self.thumbprints = thumbprints

    def role(self, name, audience, kind=None, actions="s3:*"):
        """A role for the identities of a pool, perhaps of one kind only; gives its ARN."""
        condition = {"StringEquals": {f"{self.host}:aud": audience}}
        if kind:
            condition["ForAnyValue:StringLike"] = {f"{self.host}:amr": kind}
        trust = statement(
            Principal={"Federated": [self.provider]}, Action=["sts:AssumeRoleWithWebIdentity"], Condition=condition
        )
        made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        policy = statement(Action=[actions], Resource=["arn:aws:s3:::*"])
        self.iam.put_role_policy(RoleName=name, PolicyName="objects", PolicyDocument=policy)
        return made["Role"]["Arn"]


class Storage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="symbolon-consumers-")))
        cls.ceph = cephs.Ceph(folder / "ceph")
        cls.addClassCleanup(cls.ceph.stop)
        cls.stage = Stage(folder / "broker", SYMBOLON__ISSUER__X5C="true")
        cls.addClassCleanup(cls.end)
        cls.pool, cls.other = cls.stage.pool(), cls.stage.pool("not trusted")
        cls.operator = Operator(cls.ceph, cls.stage.issuer)
        cls.users = cls.operator.role("users", cls.pool, "authenticated")
        cls.strangers = cls.operator.role("strangers", STRANGER)
        config = botocore.config.Config(signature_version=botocore.UNSIGNED, retries={"total_max_attempts": 1})
        cls.sts = boto3.session.Session().client(
            "sts", endpoint_url=cls.ceph.endpoint, region_name=REGION, config=config
        )

    @classmethod
    def end(cls):
        if problems := cls.stage.stop():
            raise AssertionError(f"{problems}\n{cls.stage.broker.log()}")

    def setUp(self):
        self.operator.trust(self.stage.jwks(), [self.pool, STRANGER])
        self.addCleanup(self.show_logs)

    def show_logs(self):
        if any(error for case, error in self._outcome.result.failures + self._outcome.result.errors if case is self):
            print(f"\nThe logs of {self.id()}:\n{self.ceph.log()}\n--- symbolon\n{self.stage.broker.log()[-4000:]}")

    def assume(self, token, role=None):
        """Credentials by the token alone, as the broker's STS client asks for them."""
        answer = self.sts.assume_role_with_web_identity(
            RoleArn=role or self.users, RoleSessionName=SESSION, WebIdentityToken=token, DurationSeconds=3600
        )
        return answer["Credentials"]

    def stores(self, access_key, secret, session_token):
        """The credentials make a bucket, and put an object into it that is there."""
        s3 = boto3.session.Session().client(
            "s3",
            endpoint_url=self.ceph.endpoint,
            region_name=REGION,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            aws_session_token=session_token,
        )
        bucket = f"bucket-{uuid.uuid4()}"
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="größe.txt", Body=b"content")
        self.assertEqual(s3.get_object(Bucket=bucket, Key="größe.txt")["Body"].read(), b"content")
        self.assertEqual([entry["Name"] for entry in s3.list_buckets()["Buckets"] if entry["Name"] == bucket], [bucket])

    def is_taken(self, token):
        found = self.assume(token)
        self.stores(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])

    def is_refused(self, reason, token, role=None):
        said = len(self.ceph.gateway_log())
        with self.assertRaises(ClientError) as caught:
            self.assume(token, role)
        # The code is in a place where botocore does not look for STS's.
        self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], 403)
        written = lambda: self.ceph.gateway_log()[said:]
        try:
            installed.wait_for(lambda: REASONS[reason] in written(), f"{REASONS[reason]!r} in the log", patience=10)
        except AssertionError as failure:
            self.fail(f"{failure}\n{written()}")

    def test_a_users_token_is_good_for_credentials_that_store_an_object(self):
        self.is_taken(self.stage.token(self.pool))

    def test_a_token_that_has_expired_is_refused(self):
        self.is_refused("expired", self.stage.expired(self.pool))

    def test_a_token_of_a_pool_that_is_not_trusted_is_refused(self):
        self.is_refused("audience", self.stage.token(self.other))

    def test_a_token_whose_claims_were_changed_is_refused(self):
        self.is_refused("signature", tampered(self.stage.token(self.pool)))

    def test_a_role_that_trusts_another_audience_is_refused(self):
        self.is_refused("trust", self.stage.token(self.pool), self.strangers)

    def test_a_guests_token_is_refused_for_the_role_of_users(self):
        guest = self.stage.anonymous("cognito-identity")
        identity = guest.get_id(IdentityPoolId=self.pool)["IdentityId"]
        self.is_refused("trust", guest.get_open_id_token(IdentityId=identity)["Token"])

    def test_fresh_tokens_are_taken_before_during_and_after_a_rotation(self):
        rounds = []

        def meanwhile():
            token = self.stage.token(self.pool)
            rounds.append(kid(token))
            self.assume(token)

        meanwhile()
        before = self.stage.token(self.pool)
        after = self.stage.rotate(self.pool, meanwhile)
        meanwhile()
        self.assertEqual(set(rounds), {kid(before), kid(after)})
        self.is_taken(after)
        # Ceph 16 knows but the first key of a JWKS: what was signed before, and not yet used, is lost.
        self.is_refused("signature", before)

    def test_tokens_of_a_revoked_key_are_refused_and_fresh_ones_are_taken(self):
        token = self.stage.token(self.pool)
        self.is_taken(token)
        self.stage.revoke(kid(token))
        self.is_refused("signature", token)
        self.is_taken(self.stage.token(self.pool))
