"""What `symbolon trust ceph` prints, run as it is against Ceph's object gateway, with what only the user knows filled in."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import boto3
import botocore.config
from botocore.exceptions import ClientError

import broker as brokers
import ceph as cephs
import installed
from stage import REGION, Stage, part

BUCKET = "for-users"
USERS = "users-of-the-pool"


class Trusting(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="symbolon-consumers-")))
        cls.folder = folder
        cls.ceph = cephs.Ceph(folder / "ceph")
        cls.addClassCleanup(cls.ceph.stop)
        cls.stage = Stage(folder / "broker", SYMBOLON__ISSUER__X5C="true")
        cls.addClassCleanup(cls.stage.stop)
        cls.pool = cls.stage.pool()
        # Its administrator is the one that the script would make.
        script = cls.script(cls.pool)
        made = [line for line in script.splitlines() if line.startswith("radosgw-admin")]
        assert len(made) == 2, script
        (folder / "token.jwt").write_text(cls.stage.token(cls.pool) + "\n")
        cls.output = cls.run_script("\n".join(line for line in script.splitlines() if line not in made))
        cls.client("s3", cls.ceph.access_key, cls.ceph.secret).create_bucket(Bucket=BUCKET)

    @classmethod
    def script(cls, pool):
        printed = cls.stage.command("trust", "ceph", "--pool", pool, "--name", USERS)
        assert printed.returncode == 0, printed.stderr
        assert printed.stdout.startswith("# executed: "), printed.stdout
        return printed.stdout.replace("REPLACE_RGW_ENDPOINT", cls.ceph.endpoint).replace("REPLACE_BUCKET", BUCKET)

    @classmethod
    def run_script(cls, script):
        clients = brokers.ROOT / "target/clients/bin"
        environment = {
            "PATH": f"{clients}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(cls.folder),
            "AWS_ACCESS_KEY_ID": cls.ceph.access_key,
            "AWS_SECRET_ACCESS_KEY": cls.ceph.secret,
            "AWS_DEFAULT_REGION": REGION,
        }
        done = subprocess.run(
            ["sh", "-eu", "-c", script], cwd=cls.folder, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{done.stderr}\n{script}\n{cls.ceph.log()}"
        return done.stdout

    @classmethod
    def client(cls, service, access_key=None, secret=None, session_token=None):
        config = {} if access_key else {"signature_version": botocore.UNSIGNED}
        return boto3.session.Session().client(
            service,
            endpoint_url=cls.ceph.endpoint,
            region_name=REGION,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            aws_session_token=session_token,
            config=botocore.config.Config(retries={"total_max_attempts": 1}, **config),
        )

    def assume(self, token):
        role = f"arn:aws:iam::{cephs.TENANT}:role/{USERS}"
        return self.client("sts").assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="session", WebIdentityToken=token
        )

    def test_the_script_ends_with_credentials_of_the_role(self):
        self.assertIn(f'"Arn": "arn:aws:sts::{cephs.TENANT}:assumed-role/{USERS}/test"', self.output)

    def test_a_user_may_do_what_the_role_says_and_no_more(self):
        found = self.assume(self.stage.token(self.pool))["Credentials"]
        s3 = self.client("s3", found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
        s3.put_object(Bucket=BUCKET, Key="key", Body=b"content")
        self.assertEqual(s3.get_object(Bucket=BUCKET, Key="key")["Body"].read(), b"content")
        for forbidden in (
            lambda: s3.delete_object(Bucket=BUCKET, Key="key"),
            lambda: s3.create_bucket(Bucket="another"),
        ):
            with self.assertRaises(ClientError) as caught:
                forbidden()
            self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], 403)

    def test_tokens_with_principal_tags_and_with_more_audiences_are_taken(self):
        self.assume(self.stage.token(self.pool, PrincipalTags={"team": "blue"}))
        for audience in ("zebra", "aardvark"):
            self.assertEqual(self.stage.command("audience", "add", audience, "--pool", self.pool).returncode, 0)
        wanted = [self.pool, "zebra", "aardvark"]
        audiences = lambda: part(self.stage.token(self.pool), 1)["aud"]
        installed.wait_for(lambda: audiences() == wanted, "the broker to know of the audiences")
        self.assume(self.stage.token(self.pool))

    def test_guests_and_users_of_other_pools_are_not(self):
        guest = self.stage.anonymous("cognito-identity").get_id(IdentityPoolId=self.pool)["IdentityId"]
        guests = self.stage.anonymous("cognito-identity").get_open_id_token(IdentityId=guest)["Token"]
        for token in (guests, self.stage.token(self.stage.pool("another"))):
            with self.assertRaises(ClientError) as caught:
                self.assume(token)
            self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], 403)
