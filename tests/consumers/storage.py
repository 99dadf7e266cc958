"""Ceph's object gateway, which trusts our issuer: buckets and objects with the credentials that a token is good for."""

import base64
import hashlib
import json
import tempfile
import time
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
LIFETIME = 3600
OWN = "cognito-identity.amazonaws.com"
KEY = "größe 字.txt"
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


# Guests delete nothing, whatever their role allows.
OF_GUESTS = statement(
    Action=["s3:CreateBucket", "s3:ListAllMyBuckets", "s3:PutObject", "s3:GetObject"], Resource=["arn:aws:s3:::*"]
)


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

    def role(self, name, audience, kind=None, tags=None):
        """A role for the identities of a pool, perhaps only for those of a kind, or with tags; gives its ARN."""
        equal = {f"{self.host}:aud": audience} | {f"aws:RequestTag/{key}": value for key, value in (tags or {}).items()}
        condition = {"StringEquals": equal}
        if kind:
            condition["ForAnyValue:StringLike"] = {f"{self.host}:amr": kind}
        # Tokens with tags are refused to roles without the second.
        actions = ["sts:AssumeRoleWithWebIdentity", *(["sts:TagSession"] if tags else [])]
        trust = statement(Principal={"Federated": [self.provider]}, Action=actions, Condition=condition)
        made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        policy = statement(Action=["s3:*"], Resource=["arn:aws:s3:::*"])
        self.iam.put_role_policy(RoleName=name, PolicyName="objects", PolicyDocument=policy)
        return made["Role"]["Arn"]


class Storage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="symbolon-consumers-")))
        cls.ceph = cephs.Ceph(folder / "ceph")
        cls.addClassCleanup(cls.ceph.stop)
        cls.stage = Stage(
            folder / "broker",
            SYMBOLON__ISSUER__X5C="true",
            SYMBOLON__CREDENTIALS__STS_ENDPOINT=cls.ceph.endpoint,
            SYMBOLON__CREDENTIALS__GUEST_SESSION_POLICY=OF_GUESTS,
        )
        cls.addClassCleanup(cls.end)
        cls.pool, cls.other, cls.astray, cls.teams = (cls.stage.pool(name) for name in ("a", "b", "c", "d"))
        cls.audiences = [cls.pool, cls.astray, cls.teams, STRANGER]
        cls.operator = Operator(cls.ceph, cls.stage.issuer)
        cls.users = cls.operator.role("users", cls.pool, "authenticated")
        cls.guests = cls.operator.role("guests", cls.pool, "unauthenticated")
        cls.strangers = cls.operator.role("strangers", STRANGER)
        cls.stage.set_roles(cls.pool, cls.users, cls.guests)
        blue = cls.operator.role("blue", cls.teams, tags={"team": "blue"})
        cls.stage.set_roles(cls.teams, blue, cls.strangers)
        cls.stage.set_roles(cls.astray, cls.strangers, cls.strangers)
        cls.cognito = cls.stage.anonymous("cognito-identity")
        config = botocore.config.Config(signature_version=botocore.UNSIGNED, retries={"total_max_attempts": 1})
        cls.sts = boto3.session.Session().client(
            "sts", endpoint_url=cls.ceph.endpoint, region_name=REGION, config=config
        )

    @classmethod
    def end(cls):
        if problems := cls.stage.stop():
            raise AssertionError(f"{problems}\n{cls.stage.broker.log()}")

    def setUp(self):
        self.operator.trust(self.stage.jwks(), self.audiences)
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

    def s3(self, access_key, secret, session_token):
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.ceph.endpoint,
            region_name=REGION,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            aws_session_token=session_token,
        )

    def stores(self, s3):
        """The client makes a bucket, and puts an object into it that is there; gives the bucket."""
        bucket = f"bucket-{uuid.uuid4()}"
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key=KEY, Body=b"content")
        self.assertEqual(s3.get_object(Bucket=bucket, Key=KEY)["Body"].read(), b"content")
        self.assertIn(bucket, [entry["Name"] for entry in s3.list_buckets()["Buckets"]])
        return bucket

    def of(self, identity, token=None):
        """An S3 client with the credentials that the broker gives an identity."""
        logins = {"Logins": {OWN: token}} if token else {}
        answer = self.cognito.get_credentials_for_identity(IdentityId=identity, **logins)
        self.assertEqual(answer["IdentityId"], identity)
        found = answer["Credentials"]
        self.assertAlmostEqual(found["Expiration"].timestamp(), time.time() + LIFETIME, delta=60)
        return self.s3(found["AccessKeyId"], found["SecretKey"], found["SessionToken"])

    def guest(self):
        return self.cognito.get_id(IdentityPoolId=self.pool)["IdentityId"]

    def store_in_node(self, **arguments):
        """What the SDK for JavaScript does by itself; gives the identity."""
        arguments |= {"issuer": self.stage.issuer, "storage": self.ceph.endpoint, "bucket": f"bucket-{uuid.uuid4()}"}
        done = json.loads(installed.run(self.stage.in_node("store.mjs", **arguments), self.stage.environment))
        self.assertAlmostEqual(done["lifetime"], LIFETIME, delta=60)
        return done["identity"]

    def is_taken(self, token):
        found = self.assume(token)
        self.stores(self.s3(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"]))

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

    def test_a_guest_gets_an_identity_then_credentials_and_stores_an_object(self):
        self.stores(self.of(self.guest()))

    def test_a_developer_user_gets_credentials_by_its_token_and_stores_an_object(self):
        s3 = self.of(*self.stage.developer(self.pool))
        bucket = self.stores(s3)
        s3.delete_object(Bucket=bucket, Key=KEY)
        self.assertNotIn("Contents", s3.list_objects_v2(Bucket=bucket))

    def test_a_guest_is_held_to_the_session_policy_of_guests(self):
        s3 = self.of(self.guest())
        bucket = self.stores(s3)
        with self.assertRaises(ClientError) as caught:
            s3.delete_object(Bucket=bucket, Key=KEY)
        self.assertEqual(caught.exception.response["Error"]["Code"], "AccessDenied")
        self.assertEqual(s3.get_object(Bucket=bucket, Key=KEY)["Body"].read(), b"content")

    def test_the_sdk_for_javascript_stores_an_object_as_a_guest(self):
        identity = self.store_in_node(pool=self.pool)
        self.assertEqual(self.stage.client.describe_identity(IdentityId=identity)["IdentityId"], identity)

    def test_the_sdk_for_javascript_stores_an_object_as_a_developer_user(self):
        identity, token = self.stage.developer(self.pool)
        self.assertEqual(self.store_in_node(user={"identity": identity, "token": token}), identity)

    def test_a_pool_that_the_gateway_or_its_role_does_not_trust_gives_no_credentials(self):
        self.stage.set_roles(self.other, self.users, self.guests)
        for pool in (self.other, self.astray):
            identity = self.cognito.get_id(IdentityPoolId=pool)["IdentityId"]
            with self.assertRaises(self.cognito.exceptions.InvalidIdentityPoolConfigurationException):
                self.cognito.get_credentials_for_identity(IdentityId=identity)

    def test_a_role_for_a_tag_gives_credentials_to_users_who_have_it(self):
        blue, red = ({"PrincipalTags": {"team": team}} for team in ("blue", "red"))
        self.stores(self.of(*self.stage.developer(self.teams, "alice", **blue)))
        for more in (red, {}):
            with self.assertRaises(self.cognito.exceptions.InvalidIdentityPoolConfigurationException):
                self.of(*self.stage.developer(self.teams, "bob", **more))

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
        token = self.cognito.get_open_id_token(IdentityId=self.guest())["Token"]
        self.is_refused("trust", token)
        self.assume(token, self.guests)

    def test_credentials_are_given_before_during_and_after_a_rotation(self):
        guest = self.guest()
        rounds = []

        def meanwhile():
            identity, token = self.stage.developer(self.pool)
            rounds.append(kid(token))
            self.assume(token)
            for s3 in (self.of(identity, token), self.of(guest)):
                s3.list_buckets()

        meanwhile()
        before = self.stage.token(self.pool)
        after = self.stage.rotate(self.pool, meanwhile)
        meanwhile()
        self.assertEqual(set(rounds), {kid(before), kid(after)})
        self.is_taken(after)
        # Ceph 16 knows but the first key of a JWKS: what was signed before, and not yet used, is lost.
        self.is_refused("signature", before)

    def test_tokens_of_a_revoked_key_are_refused_and_fresh_ones_are_taken(self):
        identity, token = self.stage.developer(self.pool)
        self.is_taken(token)
        self.stage.revoke(kid(token))
        self.is_refused("signature", token)
        with self.assertRaises(self.cognito.exceptions.NotAuthorizedException):
            self.of(identity, token)
        self.is_taken(self.stage.token(self.pool))
        self.stores(self.of(*self.stage.developer(self.pool)))
        self.stores(self.of(self.guest()))
