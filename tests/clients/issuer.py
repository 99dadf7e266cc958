"""OpenID Connect issuers for the tests: any number of them below one address on loopback, each with its own keys."""

import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/.well-known/jwks.json"
INTROSPECTION = "/introspect"


class Key:
    """A signing key, and what is published of it."""

    def __init__(self, algorithm, kid):
        self.algorithm, self.kid = algorithm, kid
        if algorithm.startswith("ES"):
            self.private = ec.generate_private_key(ec.SECP256R1())
        else:
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        kind = jwt.get_algorithm_by_name(algorithm)
        public = kind.to_jwk(self.private.public_key(), as_dict=True)
        self.jwk = public | {"kid": kid, "alg": algorithm, "use": "sig"}

    def sign(self, claims):
        return jwt.encode(claims, self.private, self.algorithm, headers={"kid": self.kid})


class Realm:
    """One issuer: its `iss`, its login key, its keys, and the tokens it makes."""

    def __init__(self, base, name, algorithm="RS256"):
        self.url = f"{base}/{name}"
        self.login_key = self.url.partition("://")[2]
        self.key = Key(algorithm, f"{name}-1")
        self.is_down = False
        self.revoked = set()

    def rotate(self):
        """Signs with another key from now on; the one before is published no more."""
        name, _, number = self.key.kid.rpartition("-")
        self.key = Key(self.key.algorithm, f"{name}-{int(number) + 1}")

    def token(self, user, client="web", **changed):
        """An ID token of ten minutes, with claims added, replaced, or left out where None."""
        now = int(time.time())
        claims = {"iss": self.url, "sub": user, "aud": client, "iat": now, "exp": now + 600} | changed
        return self.key.sign({name: value for name, value in claims.items() if value is not None})

    def document(self, path, form):
        """What is at a path below the issuer; nothing, if nothing is."""
        if path == DISCOVERY:
            return {"issuer": self.url, "jwks_uri": f"{self.url}{KEYS}"}
        if path == KEYS:
            return {"keys": [self.key.jwk]}
        if path == INTROSPECTION and form is not None:
            return {"active": form["token"][0] not in self.revoked}
        return None


class Issuer:
    """The server. `realm` makes the issuers."""

    def __init__(self):
        self.realms = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def realm(self, name, algorithm="RS256"):
        self.realms[name] = Realm(self.url, name, algorithm)
        return self.realms[name]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def _handler(issuer):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer(None)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.answer(urllib.parse.parse_qs(body))

            def answer(self, form):
                _, name, rest = self.path.split("/", 2)
                realm = issuer.realms.get(name)
                document = realm and realm.document(f"/{rest}", form)
                status = 404 if document is None else 500 if realm.is_down else 200
                content = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        return Handler
