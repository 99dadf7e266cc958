"""Credentials for identities by boto3, the AWS CLI and the SDK for JavaScript: given, and taken for whose they are."""

import datetime
import functools
import json
import os
import re
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import boto3
import botocore
import botocore.config
from botocore.exceptions import ClientError

import broker as brokers
import node
from support import DEVELOPER, Case, call, client

OWN = "cognito-identity.amazonaws.com"
ACCOUNT = "000000000000"


def once(**more):
    return botocore.config.Config(retries={"total_max_attempts": 1}, **more)


@functools.cache
def aws(service, account=None):
    """A boto3 client of the environment for another service than Cognito Identity, perhaps of another dev account."""
    options = {"aws_access_key_id": account, "aws_secret_access_key": "test"} if account else {}
    return boto3.session.Session().client(service, config=once(), **options)


def unsigned_sts(**options):
    return boto3.session.Session().client("sts", config=once(signature_version=botocore.UNSIGNED), **options)


def session_of(credentials, secret="SecretAccessKey"):
    """A boto3 session with temporary credentials, as one of the two APIs spells them."""
    return boto3.session.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials[secret],
        aws_session_token=credentials["SessionToken"],
    )


def who(session, **options):
    answer = session.client("sts", config=once(), **options).get_caller_identity()
    return answer["Account"], answer["Arn"], answer["UserId"]


def trust(pool, kind=None, tags=False, **condition):
    """A trust policy as AWS's documents have it."""
    condition = {"StringEquals": {f"{OWN}:aud": pool}} | condition
    if kind:
        condition["ForAnyValue:StringLike"] = {f"{OWN}:amr": kind}
    action = "sts:AssumeRoleWithWebIdentity"
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": OWN},
        "Action": [action, "sts:TagSession"] if tags else action,
        "Condition": condition,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class WithRoles(Case):
    """A pool with a role for users and one for guests."""

    def setUp(self):
        self.id = self.pool()
        self.user, self.guests = self.role("authenticated"), self.role("unauthenticated")
        roles = {"authenticated": self.user["Arn"], "unauthenticated": self.guests["Arn"]}
        client().set_identity_pool_roles(IdentityPoolId=self.id, Roles=roles)

    def role(self, kind=None, name=None, **more):
        name = name or f"{kind}-{uuid.uuid4()}"
        document = trust(self.id, kind)
        return aws("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document, **more)["Role"]

    def is_session_of(self, told, role, name="CognitoIdentityCredentials"):
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role['RoleName']}/{name}"
        self.assertEqual(told, (ACCOUNT, arn, f"{role['RoleId']}:{name}"))


class Boto3(WithRoles):
    def get(self, identity, **more):
        answer = client().get_credentials_for_identity(IdentityId=identity, **more)
        self.assertEqual(set(answer["Credentials"]), {"AccessKeyId", "SecretKey", "SessionToken", "Expiration"})
        left = answer["Credentials"]["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
        self.assertLess(abs(left.total_seconds() - 3600), 60)
        return answer["IdentityId"], session_of(answer["Credentials"], "SecretKey")

    def test_c1_c2_guests_and_developer_users_get_credentials_that_say_who_they_are(self):
        guest = self.guest(self.id)
        identity, session = self.get(guest)
        self.assertEqual(identity, guest)
        self.is_session_of(who(session), self.guests)
        alice, token = self.token(self.id)
        identity, session = self.get(alice, Logins={OWN: token})
        self.assertEqual(identity, alice)
        self.is_session_of(who(session), self.user)
        # In any region, and not for who signs with another secret.
        self.is_session_of(who(session, region_name="eu-west-1"), self.user)
        stolen = session.get_credentials().get_frozen_credentials()
        forged = boto3.session.Session(stolen.access_key, "x" * 40, stolen.token)
        with self.assertRaises(ClientError) as caught:
            who(forged)
        self.assertEqual(caught.exception.response["Error"]["Code"], "SignatureDoesNotMatch")

    def test_c4_a_role_that_does_not_trust_the_identity_is_the_pools_configuration(self):
        guest = self.guest(self.id)
        text = "Invalid identity pool configuration. Check assigned IAM roles for this pool."
        refused = functools.partial(self.refused, "InvalidIdentityPoolConfigurationException", text)
        for arn in (
            self.user["Arn"],
            f"arn:aws:iam::{ACCOUNT}:role/nobodys",
            "arn:aws:iam::111122223333:role/elsewhere",
        ):
            client().set_identity_pool_roles(IdentityPoolId=self.id, Roles={"unauthenticated": arn})
            refused(client().get_credentials_for_identity, IdentityId=guest)
        client().set_identity_pool_roles(IdentityPoolId=self.id, Roles={"unauthenticated": self.guests["Arn"]})
        self.get(guest)
        aws("iam").delete_role(RoleName=self.guests["RoleName"])
        refused(client().get_credentials_for_identity, IdentityId=guest)

    def test_d4_a_session_can_do_nothing_else(self):
        _, session = self.get(self.guest(self.id))
        cognito, iam = session.client("cognito-identity", config=once()), session.client("iam", config=once())
        for function, arguments in (
            (cognito.list_identity_pools, {"MaxResults": 1}),
            (cognito.describe_identity_pool, {"IdentityPoolId": self.id}),
            (cognito.delete_identity_pool, {"IdentityPoolId": self.id}),
            (iam.list_roles, {}),
            (iam.delete_role, {"RoleName": self.guests["RoleName"]}),
            (iam.create_role, {"RoleName": "mine", "AssumeRolePolicyDocument": trust(self.id)}),
        ):
            with self.subTest(function.__name__), self.assertRaises(ClientError) as caught:
                function(**arguments)
            error = caught.exception.response["Error"]
            self.assertIn(error["Code"], ("AccessDenied", "AccessDeniedException"))
            me = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/{self.guests['RoleName']}/CognitoIdentityCredentials is not"
            self.assertIn(me, error["Message"])
        self.get(self.guest(self.id))

    def test_c13_another_broker_gets_its_credentials_of_this_ones_sts(self):
        """Upstream STS: a second broker, whose own backend is off, exchanges its token at the first one."""
        second = brokers.serve(
            SYMBOLON__CREDENTIALS__BUILTIN="false",
            SYMBOLON__CREDENTIALS__STS_ENDPOINT=os.environ["AWS_ENDPOINT_URL_STS"],
            SYMBOLON__CREDENTIALS__LIFETIME="900",
        )
        try:
            there = client(endpoint=second.endpoint)
            guest = self.guest(self.id)
            given = there.get_credentials_for_identity(IdentityId=guest)
            left = given["Credentials"]["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
            self.assertLess(abs(left.total_seconds() - 900), 60)
            self.is_session_of(who(session_of(given["Credentials"], "SecretKey")), self.guests)
            alice, token = self.token(self.id, of=there)
            given = there.get_credentials_for_identity(IdentityId=alice, Logins={OWN: token})
            self.is_session_of(who(session_of(given["Credentials"], "SecretKey")), self.user)
            # Its refusals are the pool's configuration.
            aws("iam").update_assume_role_policy(
                RoleName=self.guests["RoleName"], PolicyDocument=trust(self.id, "authenticated")
            )
            text = "Invalid identity pool configuration. Check assigned IAM roles for this pool."
            self.refused(
                "InvalidIdentityPoolConfigurationException",
                text,
                there.get_credentials_for_identity,
                IdentityId=guest,
            )
        finally:
            self.assertEqual(second.stop(), 0)
        self.assertIn("the STS does not admit an identity to its role", second.log())
        self.assertNotIn("eyJ", second.log())
        self.assertIn("credentials come from an STS", second.log())

    def test_the_log_says_which_backend_gives_credentials(self):
        for builtin, text in (("true", "credentials are this broker's own"), ("false", "no credentials are given")):
            second = brokers.serve(SYMBOLON__CREDENTIALS__BUILTIN=builtin)
            self.assertEqual(second.stop(), 0)
            self.assertIn(text, second.log())


class Sts(WithRoles):
    def assume(self, token, role=None, of=None, **more):
        arguments = {"RoleArn": (role or self.user)["Arn"], "RoleSessionName": "web", "WebIdentityToken": token}
        return (of or unsigned_sts()).assume_role_with_web_identity(**arguments | more)

    def fails(self, code, status, function, **arguments):
        with self.assertRaises(ClientError) as caught:
            function(**arguments)
        answer = caught.exception.response
        self.assertEqual((answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]), (code, status))
        return caught.exception

    def test_a_token_is_exchanged_for_credentials(self):
        alice, token = self.token(self.id)
        answer = self.assume(token)
        self.assertEqual(answer["SubjectFromWebIdentityToken"], alice)
        self.assertEqual((answer["Audience"], answer["Provider"]), (self.id, os.environ["AWS_ENDPOINT_URL_STS"]))
        role = self.user
        self.assertEqual(
            answer["AssumedRoleUser"],
            {
                "AssumedRoleId": f"{role['RoleId']}:web",
                "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role['RoleName']}/web",
            },
        )
        self.is_session_of(who(session_of(answer["Credentials"])), role, "web")
        self.assertIsInstance(answer["Credentials"]["Expiration"], datetime.datetime)
        # Signed, too, as by a client that has a key.
        self.is_session_of(who(session_of(self.assume(token, of=aws("sts"))["Credentials"])), role, "web")

    def test_refusals_are_the_modelled_exceptions(self):
        _, token = self.token(self.id)
        of_guest = client().get_open_id_token(IdentityId=self.guest(self.id))["Token"]
        sts = unsigned_sts()
        self.fails("AccessDenied", 403, self.assume, token=of_guest)
        self.fails("AccessDenied", 403, self.assume, token=token, role={"Arn": f"arn:aws:iam::{ACCOUNT}:role/nobodys"})
        failure = self.fails("InvalidIdentityToken", 400, self.assume, token=token[:-8] + "AAAAAAAA", of=sts)
        self.assertIsInstance(failure, sts.exceptions.InvalidIdentityTokenException)
        _, short = self.token(self.id, TokenDuration=1)
        time.sleep(2.1)
        failure = self.fails("ExpiredTokenException", 400, self.assume, token=short, of=sts)
        self.assertIsInstance(failure, sts.exceptions.ExpiredTokenException)
        failure = self.fails("MalformedPolicyDocument", 400, self.assume, token=token, of=sts, Policy="x")
        self.assertIsInstance(failure, sts.exceptions.MalformedPolicyDocumentException)
        self.fails("ValidationError", 400, self.assume, token=token, DurationSeconds=3601)
        self.fails("MissingAuthenticationToken", 403, sts.get_caller_identity)

    def test_session_tags_need_leave(self):
        _, token = self.token(self.id, PrincipalTags={"team": "blue"})
        self.fails("AccessDenied", 403, self.assume, token=token)
        document = trust(self.id, "authenticated", tags=True)
        aws("iam").update_assume_role_policy(RoleName=self.user["RoleName"], PolicyDocument=document)
        self.assume(token)

    def test_a_foreign_tenants_token_gets_no_role(self):
        other = client(account="222222222222")
        pool = self.pool(of=other)
        _, token = self.token(pool, of=other)
        aws("iam").update_assume_role_policy(RoleName=self.user["RoleName"], PolicyDocument=trust(pool))
        self.fails("AccessDenied", 403, self.assume, token=token)

    def test_an_access_key_is_told_whose_it_is(self):
        answer = aws("sts").get_caller_identity()
        told = (answer["Account"], answer["Arn"], answer["UserId"])
        self.assertEqual(told, (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/test", "test"))
        other = aws("sts", account="333333333333").get_caller_identity()
        self.assertEqual(other["Arn"], "arn:aws:iam::333333333333:user/333333333333")


class CommandLine(WithRoles):
    def setUp(self):
        super().setUp()
        # The CLI keeps sessions that it has begun by itself at home.
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = folder.name

    def run_aws(self, *arguments, credentials=True, **environment):
        secret = () if credentials else ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        kept = {name: value for name, value in os.environ.items() if name not in secret}
        done = subprocess.run(
            ["aws", *arguments, "--output", "json"],
            env=kept | {"HOME": self.home} | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def told(self, answer):
        return answer["Account"], answer["Arn"], answer["UserId"]

    def test_credentials_of_a_guest_are_the_environment_of_the_next_command(self):
        guest = self.guest(self.id)
        given = self.run_aws("cognito-identity", "get-credentials-for-identity", "--identity-id", guest, credentials=False)
        given = given["Credentials"]
        answer = self.run_aws(
            "sts",
            "get-caller-identity",
            AWS_ACCESS_KEY_ID=given["AccessKeyId"],
            AWS_SECRET_ACCESS_KEY=given["SecretKey"],
            AWS_SESSION_TOKEN=given["SessionToken"],
        )
        self.is_session_of(self.told(answer), self.guests)
        self.assertEqual(self.told(self.run_aws("sts", "get-caller-identity"))[1], f"arn:aws:iam::{ACCOUNT}:user/test")

    def test_a_token_in_a_file_is_all_that_a_command_needs(self):
        """As in a container: the CLI assumes the role by itself."""
        _, token = self.token(self.id)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "token")
            file.write_text(token)
            answer = self.run_aws(
                "sts",
                "get-caller-identity",
                credentials=False,
                AWS_WEB_IDENTITY_TOKEN_FILE=str(file),
                AWS_ROLE_ARN=self.user["Arn"],
                AWS_ROLE_SESSION_NAME="container",
            )
        self.is_session_of(self.told(answer), self.user, "container")
        given = self.run_aws(
            "sts",
            "assume-role-with-web-identity",
            f"--role-arn={self.user['Arn']}",
            "--role-session-name=by-hand",
            f"--web-identity-token={token}",
            "--duration-seconds=900",
            credentials=False,
        )
        self.is_session_of(who(session_of(given["Credentials"])), self.user, "by-hand")

    def test_the_guide_works_when_pasted(self):
        guide = (brokers.ROOT / "docs/how-to/credentials.md").read_text()
        blocks = re.findall(r"^```sh\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
        self.assertEqual(len(blocks), 5)
        # The environment has been read already.
        script = "\n".join(blocks).replace(". .symbolon/env\n", "", 1)
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=folder,
                env=dict(os.environ) | {"HOME": self.home},
                capture_output=True,
                text=True,
                timeout=600,
            )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        arns = re.findall(rf'"Arn": "arn:aws:sts::{ACCOUNT}:assumed-role/(.*)"', done.stdout)
        self.assertEqual(arns, ["web-guests/CognitoIdentityCredentials", "web-users/job"])

    def test_roles_by_hand(self):
        name = f"by-hand-{uuid.uuid4()}"
        made = self.run_aws(
            "iam", "create-role", f"--role-name={name}", f"--assume-role-policy-document={trust(self.id)}", "--path=/x/"
        )["Role"]
        self.assertEqual(made["AssumeRolePolicyDocument"], json.loads(trust(self.id)))
        self.assertEqual(self.run_aws("iam", "get-role", f"--role-name={name}")["Role"], made)
        listed = self.run_aws("iam", "list-roles", "--path-prefix=/x/")["Roles"]
        self.assertIn(made, listed)


class JavaScript(WithRoles):
    @classmethod
    def setUpClass(cls):
        cls.workplace = node.Workplace()
        cls.addClassCleanup(cls.workplace.close)

    def test_the_sdks_providers_get_credentials_of_each_kind(self):
        identity, token = self.token(self.id)
        given = self.workplace.run(
            "credentials.mjs",
            credentials=False,
            pool=self.id,
            user={"identity": identity, "token": token},
            role=self.user["Arn"],
        )
        for name, role, session in (
            ("guest", self.guests, "CognitoIdentityCredentials"),
            ("user", self.user, "CognitoIdentityCredentials"),
            ("web", self.user, "from-web-token"),
        ):
            keys = given[name]
            made = boto3.session.Session(keys["accessKeyId"], keys["secretAccessKey"], keys["sessionToken"])
            self.is_session_of(who(made), role, session)
        self.assertEqual(given["user"]["identityId"], identity)


class Protocol(WithRoles):
    def test_w13_a_session_token_that_is_not_ours_is_an_unknown_key(self):
        answer = client().get_credentials_for_identity(IdentityId=self.guest(self.id))["Credentials"]
        session = boto3.session.Session(answer["AccessKeyId"], answer["SecretKey"], answer["SessionToken"][:-4] + "AAAA")
        with self.assertRaises(ClientError) as caught:
            session.client("cognito-identity", config=once()).list_identity_pools(MaxResults=1)
        self.assertEqual(caught.exception.response["Error"]["Code"], "UnrecognizedClientException")

    def test_c2_the_wire_has_dates_as_numbers_and_the_secret_under_this_apis_name(self):
        answer = call("GetCredentialsForIdentity", {"IdentityId": self.guest(self.id)})
        self.has_usual_head(answer)
        self.assertEqual(set(answer.json), {"IdentityId", "Credentials"})
        self.assertIsInstance(answer.json["Credentials"]["Expiration"], float)
        self.assertEqual(len(answer.json["Credentials"]["SecretKey"]), 40)

    def test_a_developer_users_roles_are_not_those_of_guests(self):
        alice, token = self.token(self.id)
        text = f"Access to Identity '{alice}' is forbidden."
        self.refused("NotAuthorizedException", text, client().get_credentials_for_identity, IdentityId=alice)
        text = "Please provide a valid public provider."
        self.refused(
            "InvalidParameterException",
            text,
            client().get_credentials_for_identity,
            IdentityId=alice,
            Logins={DEVELOPER: token},
        )
