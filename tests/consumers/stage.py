"""A broker whose keys live for seconds instead of days, and what its operator and its clients do with it."""

import atexit
import base64
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import boto3
import botocore.config

import broker as brokers
import installed

SCRIPTS = Path(__file__).resolve().parent / "js"

REGION = "us-east-1"
DEVELOPER = "login.example"

# The schedule of docs/explanation/keys.md, scaled down: verifiers keep the JWKS for MAX_AGE, a key is published for
# PUBLISH_LEAD before it signs, and brokers turn within FENCE.
MAX_AGE, PUBLISH_LEAD, FENCE = 2, 5, 4
SCHEDULE = {
    "SYMBOLON__KEYS__ALLOW_UNSAFE": "true",
    "SYMBOLON__KEYS__JWKS_MAX_AGE": str(MAX_AGE),
    "SYMBOLON__KEYS__PUBLISH_LEAD": str(PUBLISH_LEAD),
    "SYMBOLON__KEYS__SIGN_FENCE": str(FENCE),
    "SYMBOLON__KEYS__POLL_INTERVAL": "1",
    "SYMBOLON__KEYS__REPLICA_SKEW": "1",
}


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def part(token, number):
    """The header (0) or the claims (1) of a token that nobody has verified."""
    text = token.split(".")[number]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def kid(token):
    return part(token, 0)["kid"]


def tampered(token):
    """The token with another subject, and the signature that it had."""
    head, _, signature = token.split(".")
    claims = json.dumps(part(token, 1) | {"sub": f"{REGION}:00000000-0000-4000-8000-000000000000"})
    return ".".join([head, base64.urlsafe_b64encode(claims.encode()).decode().rstrip("="), signature])


class Stage:
    """A throw-away `symbolon dev` with the schedule above and the settings given."""

    def __init__(self, folder, **settings):
        self.folder = Path(folder)
        self.folder.mkdir()
        self.broker = brokers.dev(self.folder / "data", self.folder, **(SCHEDULE | settings))
        atexit.register(self._abandon)
        self.issuer = self.broker.endpoint
        self.environment = brokers.sourced(self.folder / "data/env", self.folder) | settings
        self.client = self.anonymous("cognito-identity", aws_access_key_id="test", aws_secret_access_key="test")

    def anonymous(self, service, **options):
        """A boto3 client that has no credentials, unless given."""
        config = {} if options else {"signature_version": botocore.UNSIGNED}
        config = botocore.config.Config(retries={"total_max_attempts": 1}, **config)
        return boto3.session.Session().client(
            service, region_name=REGION, endpoint_url=self.broker.endpoint, config=config, **options
        )

    def pool(self, name="consumers", **settings):
        settings = {"AllowUnauthenticatedIdentities": True, "DeveloperProviderName": DEVELOPER} | settings
        return self.client.create_identity_pool(IdentityPoolName=name, **settings)["IdentityPoolId"]

    def set_roles(self, pool, authenticated, guests):
        roles = {"authenticated": authenticated, "unauthenticated": guests}
        self.client.set_identity_pool_roles(IdentityPoolId=pool, Roles=roles)

    def developer(self, pool, user="alice", **more):
        """Identity and token of a developer user."""
        found = self.client.get_open_id_token_for_developer_identity(
            IdentityPoolId=pool, Logins={DEVELOPER: user}, **more
        )
        return found["IdentityId"], found["Token"]

    def token(self, pool, user="alice", **more):
        return self.developer(pool, user, **more)[1]

    def expired(self, pool):
        """A token of a second that has passed."""
        token = self.token(pool, TokenDuration=1)
        end = part(token, 1)["exp"]
        installed.wait_for(lambda: time.time() > end + 1, "the end of a token of one second")
        return token

    def jwks(self):
        return fetch(f"{self.issuer}/.well-known/jwks.json")

    def in_node(self, script, **arguments):
        """The command that runs a script of `js`. Node finds packages beside the script, hence the copies."""
        folder = self.folder / "js"
        if not folder.exists():
            shutil.copytree(SCRIPTS, folder)
            (folder / "node_modules").symlink_to(brokers.ROOT / "target/clients/js/node_modules")
        return ["node", str(folder / script), json.dumps(arguments)]

    def command(self, *arguments):
        """`symbolon …`, as the operator of this broker runs it."""
        return subprocess.run(
            [str(brokers.BINARY), *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def when_it_is_safe(self, *arguments, meanwhile=lambda: None):
        """Repeats a step of the keys that is refused while verifiers would notice it, until it is not."""

        def done():
            meanwhile()
            ended = self.command("key", *arguments)
            if ended.returncode != 0 and "safe" not in ended.stderr:
                raise AssertionError(f"symbolon key {arguments}: {ended.stderr}")
            return ended.returncode == 0

        installed.wait_for(done, f"symbolon key {' '.join(arguments)}")

    def rotate(self, pool, meanwhile=lambda: None):
        """A planned rotation to its end, by the tokens of the pool; gives the first token of the new key."""
        before = kid(self.token(pool))
        self.when_it_is_safe("rotate", meanwhile=meanwhile)

        def turned():
            meanwhile()
            token = self.token(pool)
            return token if kid(token) != before else None

        return installed.wait_for(turned, "the next key to sign")

    def revoke(self, revoked):
        """An emergency: the key leaves the JWKS."""
        self.when_it_is_safe("revoke", revoked)
        shown = lambda: [key["kid"] for key in self.jwks()["keys"]]
        installed.wait_for(lambda: revoked not in shown(), "the revoked key to leave the JWKS")

    def _abandon(self):
        """Ends the broker of a run that was interrupted."""
        if self.broker.process.poll() is None:
            self.broker.stop()

    def stop(self):
        """Ends the broker; gives what was wrong with it."""
        code = self.broker.stop()
        problems = [] if code == 0 else [f"symbolon dev ended with {code} at SIGTERM"]
        return problems + [line for line in self.broker.log().splitlines() if "panicked" in line]
