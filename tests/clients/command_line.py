"""The AWS CLI: the first call that `symbolon dev` prints, and every operation once."""

import ast
import json
import os
import re
import subprocess
from pathlib import Path

import jwt
from botocore import xform_name

import public_logins
import support
from developer_flow import Verifier
from support import DEVELOPER, NOBODY, Case, client


def aws(*arguments, **environment):
    """`aws cognito-identity …`; with nothing but the env file's variables, and those given."""
    return subprocess.run(
        ["aws", "cognito-identity", *arguments, "--output", "json"],
        env=dict(os.environ) | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def commands_of(file):
    """The commands that a file's tests run: the texts that its calls of `aws` and `service_fails` are given."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    calls = [call for call in calls if getattr(call.func, "attr", None) in ("aws", "service_fails")]
    return {text.value for call in calls for text in call.args if isinstance(text, ast.Constant)}


class CommandLine(Case):
    def aws(self, *arguments, **environment):
        done = aws(*arguments, **environment)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout) if done.stdout else None

    def fails(self, code, text, *arguments, **environment):
        done = aws(*arguments, **environment)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        self.assertIn(text, done.stderr)

    def service_fails(self, operation, code, message, *arguments, **environment):
        text = f"An error occurred ({code}) when calling the {operation} operation: {message}\n"
        self.fails(SERVICE_ERROR, text, *arguments, **environment)

    def test_the_first_call_of_the_banner_gives_a_token(self):
        banner = support.broker.printed()
        found = re.search(r"^ *(\. \S+)\n((?: +aws .*\\\n)(?: .*\n)+)", banner, re.MULTILINE)
        self.assertIsNotNone(found, banner)
        bare = {name: os.environ[name] for name in ("PATH", "HOME", "LANG")}
        script = f"{found[1]}\n{found[2]}"
        shell = subprocess.run(["bash", "-euc", script], env=bare, capture_output=True, text=True, timeout=60)
        self.assertEqual((shell.returncode, shell.stderr), (0, ""), script)
        answer = json.loads(shell.stdout)
        self.assertEqual(set(answer), {"IdentityId", "Token"})
        pool = jwt.decode(answer["Token"], options={"verify_signature": False})["aud"]
        claims = Verifier(os.environ["AWS_ENDPOINT_URL_COGNITO_IDENTITY"]).verify(answer["Token"], pool)
        self.assertEqual(claims["sub"], answer["IdentityId"])
        self.assertEqual(claims["amr"][2], f"{DEVELOPER}:{pool}:alice")

    def test_the_banner_names_what_is_there(self):
        banner = support.broker.printed()
        for text in (
            os.environ["AWS_ENDPOINT_URL_COGNITO_IDENTITY"],
            f"{os.environ['AWS_ENDPOINT_URL_COGNITO_IDENTITY']}/.well-known/openid-configuration",
            support.broker.admin,
            str(Path(os.environ["SYMBOLON_CONFIG"]).parent / "env"),
        ):
            self.assertIn(text, banner)

    def test_pools(self):
        made = self.aws(
            "create-identity-pool",
            "--identity-pool-name=by hand",
            "--allow-unauthenticated-identities",
            f"--developer-provider-name={DEVELOPER}",
            "--identity-pool-tags=team=blue",
        )
        pool = made["IdentityPoolId"]
        self.assertEqual(self.aws("describe-identity-pool", "--identity-pool-id", pool), made)
        settings = ("--identity-pool-name=renamed", "--no-allow-unauthenticated-identities")
        changed = self.aws("update-identity-pool", "--identity-pool-id", pool, *settings)
        expected = made | {"IdentityPoolName": "renamed", "AllowUnauthenticatedIdentities": False}
        self.assertEqual(changed, expected)
        self.assertEqual(len(self.aws("list-identity-pools", "--max-results=1")["IdentityPools"]), 1)
        # In pages of one the CLI asks again and again by itself.
        listed = self.aws(
            "list-identity-pools", "--max-results=60", AWS_REGION="eu-north-1", AWS_DEFAULT_REGION="eu-north-1"
        )
        self.assertEqual(listed, {"IdentityPools": []})
        self.assertIsNone(self.aws("delete-identity-pool", "--identity-pool-id", pool))
        text = f"IdentityPool '{pool}' not found."
        self.service_fails(
            "DescribeIdentityPool",
            "ResourceNotFoundException",
            text,
            "describe-identity-pool",
            "--identity-pool-id",
            pool,
        )

    def test_developer_users(self):
        pool, logins = self.pool(), lambda user: ("--logins", f"{DEVELOPER}={user}")
        of = ("--identity-pool-id", pool)
        guest = self.aws("get-id", *of)["IdentityId"]
        tags = ("--principal-tags", "team=blue", "--token-duration", "300")
        named = (*of, "--identity-id", guest)
        alice = self.aws("get-open-id-token-for-developer-identity", *named, *logins("alice"), *tags)
        self.assertEqual(alice["IdentityId"], guest)
        claims = jwt.decode(alice["Token"], options={"verify_signature": False})
        self.assertEqual(claims["exp"] - claims["iat"], 300)
        self.assertEqual(claims["https://aws.amazon.com/tags"], {"principal_tags": {"team": ["blue"]}})
        bob = self.sign_in(pool, "bob")

        users = ("--source-user-identifier=bob", "--destination-user-identifier=alice")
        provider = ("--developer-provider-name", DEVELOPER)
        self.assertEqual(self.aws("merge-developer-identities", *of, *users, *provider), {"IdentityId": guest})
        found = self.aws("lookup-developer-identity", *of, "--developer-user-identifier=bob")
        self.assertEqual(found, {"IdentityId": guest, "DeveloperUserIdentifierList": ["alice", "bob"]})
        unlinking = ("--identity-id", guest, *provider, "--developer-user-identifier=bob")
        self.assertIsNone(self.aws("unlink-developer-identity", *of, *unlinking))

        listed = self.aws("list-identities", *of, "--max-results=60")["Identities"]
        self.assertEqual({entry["IdentityId"] for entry in listed}, {guest, bob})
        self.assertEqual(self.aws("describe-identity", "--identity-id", guest)["Logins"], [DEVELOPER])
        deleted = self.aws("delete-identities", "--identity-ids-to-delete", guest, bob)
        self.assertEqual(deleted, {"UnprocessedIdentityIds": []})

    def test_roles_principal_tags_and_tags(self):
        pool = self.pool(SupportedLoginProviders={"graph.facebook.com": "1"})
        of, facebook = ("--identity-pool-id", pool), ("--identity-provider-name", "graph.facebook.com")
        role = "arn:aws:iam::000000000000:role/users"
        mapping = {"graph.facebook.com": {"Type": "Token", "AmbiguousRoleResolution": "Deny"}}
        roles = ("--roles", f"authenticated={role}", "--role-mappings", json.dumps(mapping))
        self.assertIsNone(self.aws("set-identity-pool-roles", *of, *roles))
        expected = {"IdentityPoolId": pool, "Roles": {"authenticated": role}, "RoleMappings": mapping}
        self.assertEqual(self.aws("get-identity-pool-roles", *of), expected)

        tags = ("--no-use-defaults", "--principal-tags", "team=group,user=sub")
        made = self.aws("set-principal-tag-attribute-map", *of, *facebook, *tags)
        self.assertEqual((made["UseDefaults"], made["PrincipalTags"]), (False, {"team": "group", "user": "sub"}))
        self.assertEqual(self.aws("get-principal-tag-attribute-map", *of, *facebook), made)

        resource = ("--resource-arn", f"arn:aws:cognito-identity:us-east-1:000000000000:identitypool/{pool}")
        self.assertFalse(self.aws("tag-resource", *resource, "--tags", "team=blue,stage=dev"))
        self.assertFalse(self.aws("untag-resource", *resource, "--tag-keys", "team"))
        self.assertEqual(self.aws("list-tags-for-resource", *resource), {"Tags": {"stage": "dev"}})

    def test_guests_wait_for_a_role(self):
        text = "Invalid identity pool configuration. Check assigned IAM roles for this pool."
        refusal = ("GetCredentialsForIdentity", "InvalidIdentityPoolConfigurationException", text)
        self.service_fails(*refusal, "get-credentials-for-identity", "--identity-id", self.guest(self.pool()))

    def test_every_operation_of_the_model_is_called(self):
        """Here, or with the logins that it takes in `public_logins.py`."""
        commands = {xform_name(name, "-") for name in client().meta.service_model.operation_names}
        self.assertEqual(len(commands), 23)
        self.assertEqual(commands - commands_of(Path(__file__)) - commands_of(Path(public_logins.__file__)), set())

    def test_errors_have_their_exit_code_and_text(self):
        describe = ("describe-identity-pool", "--identity-pool-id")
        missing = f"IdentityPool '{NOBODY}' not found."
        self.service_fails("DescribeIdentityPool", "ResourceNotFoundException", missing, *describe, NOBODY)
        pattern = support.breach(
            "x", "identityPoolId", r"Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+"
        )
        self.service_fails("DescribeIdentityPool", "ValidationException", pattern, *describe, "x")
        mismatch = "The request signature we calculated does not match the signature you provided."
        wrong = {"AWS_SECRET_ACCESS_KEY": "wrong"}
        text = (
            f"An error occurred (InvalidSignatureException) when calling the DescribeIdentityPool operation: {mismatch}"
        )
        self.fails(SERVICE_ERROR, text, *describe, NOBODY, **wrong)
        # These never reach the broker.
        self.fails(PARAMETER_ERROR, "Invalid length for parameter IdentityPoolId", *describe, "")

    def test_another_account_and_region_by_the_usual_variables(self):
        pool = self.pool()
        text = f"IdentityPool '{pool}' not found."
        describe = ("describe-identity-pool", "--identity-pool-id", pool)
        refusal = ("DescribeIdentityPool", "ResourceNotFoundException", text, *describe)
        self.service_fails(*refusal, AWS_ACCESS_KEY_ID="121212121212")
        self.service_fails(*refusal, AWS_REGION="eu-west-1", AWS_DEFAULT_REGION="eu-west-1")


# Of the AWS CLI that requirements.txt names, version 1; version 2 has 254 and 252.
SERVICE_ERROR = PARAMETER_ERROR = 255
