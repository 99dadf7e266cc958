"""Logins of Facebook, Amazon and Twitter by boto3, against stand-ins that answer as the providers document it."""

import base64
import hashlib
import hmac
import json
import os
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import broker as brokers
from developer_flow import TAGS, Verifier
from support import Case, client

FACEBOOK, AMAZON, TWITTER = "graph.facebook.com", "www.amazon.com", "api.twitter.com"
APP, LWA_CLIENT, LWA_APP = "1234567890", "amzn1.application-oa2-client.abc", "amzn1.application.abc"
CONSUMER_KEY, CONSUMER_SECRET = "xvz1evFS4wEEPTGEFPHBog", "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"
APPLICATIONS = {FACEBOOK: f"999;{APP}", AMAZON: LWA_CLIENT, TWITTER: f"{CONSUMER_KEY};{CONSUMER_SECRET}"}
# A token of each, the client it is for, and its user.
ANN = {
    FACEBOOK: ("EAAG|ann+&x=y", APP, "10150000000000001"),
    AMAZON: ("Atza|ann/+=", LWA_CLIENT, "amzn1.account.ANN"),
    TWITTER: ("370773112-ann;se+cret", CONSUMER_KEY, "370773112"),
}

stand_in = broker = None


class StandIn:
    """The three providers. Tokens not listed here are none."""

    def __init__(self):
        self.is_down = False
        self.facebook = {ANN[FACEBOOK][0]: (APP, ANN[FACEBOOK][2]), "of-another-app": ("666", ANN[FACEBOOK][2])}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, path, query, authorization):
        if self.is_down:
            return 503, {}
        token = query.get("access_token")
        match path:
            case "/app" | "/me":
                if token in self.facebook and query["fields"] == "id":
                    return 200, {"id": self.facebook[token][path == "/me"]}
                return 400, {"error": {"message": "Invalid OAuth access token.", "type": "OAuthException", "code": 190}}
            case "/tokeninfo":
                if token == ANN[AMAZON][0]:
                    ids = {"user_id": ANN[AMAZON][2], "aud": LWA_CLIENT, "app_id": LWA_APP}
                    return 200, {"iss": "https://www.amazon.com", "exp": 3597, "iat": 1311280970} | ids
                return 400, {"error": "invalid_token", "error_description": "The request has an invalid parameter"}
            case "/verify.json":
                if self.is_signed(path, query, authorization):
                    return 200, {"id_str": ANN[TWITTER][2], "screen_name": "ann"}
                return 401, {"errors": [{"code": 89, "message": "Invalid or expired token."}]}
        return 404, {}

    def is_signed(self, path, query, authorization):
        """RFC 5849 section 3.2."""
        given = {name: urllib.parse.unquote(value) for name, value in re.findall(r'(\w+)="([^"]*)"', authorization)}
        signature = given.pop("oauth_signature")
        token, secret = ANN[TWITTER][0].split(";")
        pairs = sorted((encoded(name), encoded(value)) for name, value in (given | query).items())
        parameters = "&".join(f"{name}={value}" for name, value in pairs)
        base = f"GET&{encoded(self.url + path)}&{encoded(parameters)}"
        key = f"{encoded(CONSUMER_SECRET)}&{encoded(secret)}"
        expected = base64.b64encode(hmac.new(key.encode(), base.encode(), hashlib.sha1).digest()).decode()
        return (given["oauth_consumer_key"], given["oauth_token"], signature) == (CONSUMER_KEY, token, expected)

    def _handler(stand_in):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(url.query))
                status, document = stand_in.answer(url.path, query, self.headers.get("Authorization", ""))
                content = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        return Handler


def encoded(text):
    return urllib.parse.quote(text, safe="-._~")


def setUpModule():
    global stand_in, broker
    stand_in = StandIn()
    broker = brokers.serve(
        SYMBOLON__UPSTREAM__FACEBOOK_GRAPH=stand_in.url,
        SYMBOLON__UPSTREAM__AMAZON_TOKEN_INFO=f"{stand_in.url}/tokeninfo",
        SYMBOLON__UPSTREAM__TWITTER_VERIFY_CREDENTIALS=f"{stand_in.url}/verify.json",
    )


def tearDownModule():
    code = broker.stop()
    stand_in.stop()
    if code != 0:
        raise AssertionError(f"symbolon serve ended with {code} at SIGTERM\n{broker.log()}")


class SocialLogins(Case):
    @classmethod
    def setUpClass(cls):
        cls.client = client(endpoint=broker.endpoint)
        cls.verifier = Verifier(os.environ["AWS_ENDPOINT_URL_COGNITO_IDENTITY"])

    def setUp(self):
        self.id = self.pool(SupportedLoginProviders=APPLICATIONS)

    def get_id(self, logins):
        return self.client.get_id(IdentityPoolId=self.id, Logins=logins)["IdentityId"]

    def test_sl1_sl2_sl3_users_of_each_provider_sign_in(self):
        for key, (token, application, user) in ANN.items():
            ann = self.get_id({key: token})
            self.assertEqual(self.get_id({key: token}), ann)
            answer = self.client.get_open_id_token(IdentityId=ann, Logins={key: token})
            claims = self.verifier.verify(answer["Token"], self.id)
            self.assertEqual(claims["sub"], ann)
            self.assertEqual(claims["amr"], ["authenticated", key, f"{key}:{application}:{user}"])
            self.assertNotIn(TAGS, claims)
        shown = self.client.describe_identity_pool(IdentityPoolId=self.id)
        self.assertEqual(shown["SupportedLoginProviders"], APPLICATIONS)

    def test_sl1_sl2_sl3_what_proves_nothing_is_refused(self):
        for logins, why in [
            ({FACEBOOK: "of-another-app"}, " Incorrect token audience."),
            ({FACEBOOK: "expired"}, ""),
            ({AMAZON: "expired"}, ""),
            ({TWITTER: "370773112-ann;other"}, ""),
            ({TWITTER: "370773112-ann"}, " Not an access token of this provider."),
            ({FACEBOOK: ANN[FACEBOOK][0], AMAZON: "expired"}, ""),
        ]:
            message = f"Invalid login token.{why}"
            self.refused("NotAuthorizedException", message, self.client.get_id, IdentityPoolId=self.id, Logins=logins)

    def test_sl6_a_provider_that_is_down(self):
        stand_in.is_down = True
        self.addCleanup(setattr, stand_in, "is_down", False)
        message = "A login provider could not be asked. Try again."
        for key, (token, *_) in ANN.items():
            logins = {key: token}
            self.refused("ExternalServiceException", message, self.client.get_id, IdentityPoolId=self.id, Logins=logins)
