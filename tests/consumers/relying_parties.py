"""Relying parties that verify tokens of a pool, each with a library of its own. All of them live through rotations."""

import functools
import json
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import installed
import stage as stages

HERE = Path(__file__).resolve().parent


class Refused(Exception):
    """What a relying party says of a token that it does not take."""


class PyJwt:
    """PyJWT, with the keys that it finds through discovery and keeps for the JWKS's max-age."""

    name = "PyJWT"
    refusals = {
        "expired": "ExpiredSignatureError",
        "audience": "InvalidAudienceError",
        "issuer": "InvalidIssuerError",
        "tampered": "InvalidSignatureError",
        "key": "Unable to find a signing key",
    }

    def __init__(self, stage, pool, expected=None):
        discovery = stages.fetch(f"{stage.issuer}/.well-known/openid-configuration")
        self.algorithms = discovery["id_token_signing_alg_values_supported"]
        self.keys = jwt.PyJWKClient(discovery["jwks_uri"], lifespan=stages.MAX_AGE)
        self.pool, self.issuer = pool, expected or stage.issuer

    def verify(self, token):
        try:
            key = self.keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=self.algorithms,
                audience=self.pool,
                issuer=self.issuer,
                options={"require": ["exp", "sub", "aud", "iss"]},
            )
        except jwt.PyJWTError as refusal:
            raise Refused(f"{type(refusal).__name__}: {refusal}") from None
        return claims["sub"]

    def renew(self, jwks):
        pass

    def close(self):
        pass


class Worker:
    """A relying party in another language: requests and answers are lines of JSON."""

    def __init__(self, command, env):
        self.process = subprocess.Popen(
            [*installed.bound(), *command],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request):
        # One that hangs is ended, and then has answered nothing.
        timer = threading.Timer(installed.PATIENCE, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            raise AssertionError(f"{self.name} ended with {self.process.wait(10)}\n{self.process.stderr.read()}")
        return json.loads(line)

    def verify(self, token):
        answer = self.ask(token=token)
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer["subject"]

    def renew(self, jwks):
        self.ask(renew=True, jwks=jwks)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


class GoOidc(Worker):
    """go-oidc 2. It keeps a key for as long as it knows one by the token's `kid`; a revocation calls for `renew`."""

    name = "go-oidc"
    refusals = {
        "expired": "token is expired",
        "audience": "expected audience",
        "issuer": "different provider",
        "tampered": "failed to verify id token signature",
        "key": "failed to verify id token signature",
    }

    def __init__(self, stage, pool, expected=None):
        others = [expected] if expected else []
        super().__init__([str(self.program()), stage.issuer, pool, *others], stage.environment)

    @staticmethod
    @functools.cache
    def program():
        """Builds the relying party from Debian's packages."""
        program = installed.FOLDER / "verify-oidc"
        environment = installed.environment(installed.FOLDER) | {
            "GO111MODULE": "off",
            "GOPATH": f"{installed.PREFIX}/usr/share/gocode:/usr/share/gocode",
            "GOCACHE": str(installed.FOLDER / "go-cache"),
            "CGO_ENABLED": "0",
        }
        for root in installed.PREFIX.glob("usr/lib/go-*"):
            environment["GOROOT"] = str(root)
        installed.run(["go", "build", "-o", str(program), str(HERE / "go/verify.go")], environment, timeout=300)
        return program


class InNode(Worker):
    """A script of `js`."""

    script = None

    def __init__(self, stage, pool, expected=None):
        arguments = {"issuer": stage.issuer, "audience": pool, "maxAge": stages.MAX_AGE}
        arguments |= {"expected": expected} if expected else {}
        super().__init__(stage.in_node(self.script, **arguments), stage.environment)


class Jose(InNode):
    """jose, with the keys that it finds through discovery and keeps for the JWKS's max-age."""

    name, script = "jose", "jose.mjs"
    refusals = {
        "expired": "JWTExpired",
        "audience": 'unexpected "aud" claim',
        "issuer": 'unexpected "iss" claim',
        "tampered": "JWSSignatureVerificationFailed",
        "key": "JWKSNoMatchingKey",
    }


class AwsJwtVerify(InNode):
    """aws-jwt-verify, with the keys that it is handed."""

    name, script = "aws-jwt-verify", "aws_jwt_verify.mjs"
    refusals = {
        "expired": "JwtExpiredError",
        "audience": "JwtInvalidAudienceError",
        "issuer": "JwtInvalidIssuerError",
        "tampered": "JwtInvalidSignatureError",
        "key": "KidNotFoundInJwksError",
    }

    def __init__(self, stage, pool, expected=None):
        super().__init__(stage, pool, expected)
        self.renew(stage.jwks())


HAPROXY = """\
global
    stats socket {folder}/haproxy-{number}.sock
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend door
    bind 127.0.0.1:{port}
    http-request set-var(txn.token) http_auth_bearer
    http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
    http-request set-var(txn.now) date()
{signed}
    http-request return status 401 content-type text/plain string signature unless is_signed
    acl is_of_issuer var(txn.token),jwt_payload_query('$.iss') -m str {issuer}
    http-request return status 401 content-type text/plain string issuer unless is_of_issuer
    acl is_for_pool var(txn.token),jwt_payload_query('$.aud') -m str {pool}
    http-request return status 401 content-type text/plain string audience unless is_for_pool
    acl is_alive var(txn.exp),sub(txn.now) -m int gt 0
    http-request return status 401 content-type text/plain string expired unless is_alive
    http-request return status 200 content-type text/plain lf-string %[var(txn.token),jwt_payload_query('$.sub')]
"""


class HaProxy:
    """HAProxy, with a PEM of each key in the JWKS that it is handed; it reads its configuration anew for others."""

    name = "HAProxy"
    refusals = {
        "expired": "expired",
        "audience": "audience",
        "issuer": "issuer",
        "tampered": "signature",
        "key": "signature",
    }

    def __init__(self, stage, pool, expected=None):
        self.pool, self.issuer = pool, expected or stage.issuer
        self.folder = stage.folder / f"haproxy-{id(self)}"
        self.folder.mkdir()
        self.env = installed.environment(self.folder)
        self.port, self.number, self.program = installed.free_port(), 0, None
        self.renew(stage.jwks())

    def _signed(self, jwks):
        """One rule for each key: any of them will do, with the algorithm that is its own."""
        for number, jwk in enumerate(jwks["keys"]):
            pem = self.folder / f"{self.number}-{number}.pem"
            pem.write_bytes(jwt.PyJWK(jwk).key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
            yield f"    acl is_signed var(txn.token),jwt_verify({jwk['alg']},{pem}) -m int 1"

    def renew(self, jwks):
        self.number += 1
        conf = self.folder / f"{self.number}.cfg"
        signed = "\n".join(self._signed(jwks))
        of_here = {"folder": self.folder, "number": self.number, "port": self.port}
        conf.write_text(HAPROXY.format(signed=signed, issuer=self.issuer, pool=self.pool, **of_here))
        # The new process takes over from the one before, which ends.
        before = self.program
        replaced = ["-sf", str(before.process.pid)] if before else []
        command = ["haproxy", "-db", "-f", str(conf), *replaced]
        self.program = installed.Program("haproxy", command, self.folder / f"{self.number}.log", self.env)
        # Its socket is there once it serves.
        serves = self.folder / f"haproxy-{self.number}.sock"
        self.program.wait_for(lambda: serves.exists() and self._answers(), "to serve")
        if before:
            before.process.wait(installed.PATIENCE)

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def verify(self, token):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/", headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as refusal:
            raise Refused(refusal.read().decode()) from None

    def close(self):
        self.program.stop()


ALL = [PyJwt, GoOidc, Jose, AwsJwtVerify, HaProxy]
