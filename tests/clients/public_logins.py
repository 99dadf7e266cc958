"""Logins of OpenID Connect providers and of Cognito user pools by boto3 and the AWS CLI, against a real issuer."""

import json
import os
import re
import subprocess
import time

import boto3

import broker as brokers
import issuer as issuers
from developer_flow import FORBIDDEN, MISMATCH, TAGS, Verifier
from support import DEVELOPER, NOBODY, Case, client

ACCOUNT = "000000000000"
UNSUPPORTED = "Token is not from a supported provider of this identity pool."
NOT_PUBLIC = "Please provide a valid public provider."
NO_ROLE = "Invalid identity pool configuration. Check assigned IAM roles for this pool."
OWN_TOKEN = "cognito-identity.amazonaws.com"
CLIENTS = ["web", "app"]
USER_POOL = "us-east-1_Pool1"
USER_POOL_KEY = f"cognito-idp.us-east-1.amazonaws.com/{USER_POOL}"

issuer = broker = realms = None


def setUpModule():
    """An issuer with its realms, and a second broker that admits it, also in the place of AWS's user pools."""
    global issuer, broker, realms
    issuer = issuers.Issuer()
    algorithms = {"a": "RS256", "b": "ES256", "turning": "ES256", "down": "ES256", USER_POOL: "RS256"}
    realms = {name: issuer.realm(name, algorithm) for name, algorithm in algorithms.items()}
    declared = [realm for name, realm in realms.items() if name != USER_POOL]
    broker = brokers.serve(
        SYMBOLON__UPSTREAM__ALLOW_HTTP_ISSUERS=",".join(realm.url for realm in declared),
        SYMBOLON__UPSTREAM__USER_POOL_ISSUER=f"{issuer.url}/{{user_pool_id}}",
        SYMBOLON__UPSTREAM__USER_POOL_JWKS=f"{issuer.url}/{{user_pool_id}}{issuers.KEYS}",
        SYMBOLON__UPSTREAM__TOKEN_INTROSPECTION=f"{issuer.url}/{{user_pool_id}}{issuers.INTROSPECTION}",
        SYMBOLON__UPSTREAM__REFETCH_COOLDOWN="1",
    )
    iam = boto3.session.Session().client("iam", endpoint_url=broker.endpoint)
    for realm in declared:
        made = iam.create_open_id_connect_provider(Url=realm.url, ClientIDList=CLIENTS)
        assert made["OpenIDConnectProviderArn"] == arn(realm), made


def tearDownModule():
    code = broker.stop()
    issuer.stop()
    if code != 0:
        raise AssertionError(f"symbolon serve ended with {code} at SIGTERM\n{broker.log()}")


def arn(realm):
    return f"arn:aws:iam::{ACCOUNT}:oidc-provider/{realm.login_key}"


class Logins(Case):
    """A pool with all the issuers, and calls of the broker that admits them."""

    @classmethod
    def setUpClass(cls):
        cls.client = client(endpoint=broker.endpoint)
        # Relying parties know the issuer of the tokens, which is the installation's.
        cls.verifier = Verifier(os.environ["AWS_ENDPOINT_URL_COGNITO_IDENTITY"])

    def setUp(self):
        declared = [realm for name, realm in realms.items() if name != USER_POOL]
        self.id = self.pool(OpenIdConnectProviderARNs=[arn(realm) for realm in declared])

    def logins(self, *users):
        """`Logins` of users, each `REALM:NAME`, or a bare name for the developer provider."""
        logins = {}
        for user in users:
            name, _, sub = user.rpartition(":")
            key = realms[name].login_key if name else DEVELOPER
            logins[key] = realms[name].token(sub) if name else sub
        return logins

    def get_id(self, *users, pool=None):
        return self.client.get_id(IdentityPoolId=pool or self.id, Logins=self.logins(*users))["IdentityId"]

    def guest(self):
        return self.client.get_id(IdentityPoolId=self.id)["IdentityId"]

    def open_id_token(self, identity, *users):
        """The identity that is answered, and the verified claims of its token."""
        answer = self.client.get_open_id_token(IdentityId=identity, Logins=self.logins(*users))
        claims = self.verifier.verify(answer["Token"], self.id)
        self.assertEqual(claims["sub"], answer["IdentityId"])
        return answer["IdentityId"], claims

    def providers(self, identity):
        """The names of the identity's realms; the developer provider as it is."""
        keys = self.client.describe_identity(IdentityId=identity).get("Logins", [])
        return [key.rpartition("/")[2] for key in keys]

    def is_forbidden(self, identity):
        for function in (self.client.get_open_id_token, self.client.get_credentials_for_identity):
            self.refused("NotAuthorizedException", FORBIDDEN.format(identity), function, IdentityId=identity)

    def get_id_is_refused(self, code, message, logins, pool=None):
        """So is the same for an identity of the pool."""
        pool = pool or self.id
        guest = self.client.get_id(IdentityPoolId=pool)["IdentityId"]
        self.refused(code, message, self.client.get_id, IdentityPoolId=pool, Logins=logins)
        self.refused(code, message, self.client.get_open_id_token, IdentityId=guest, Logins=logins)

    def amr(self, realm, user):
        return [realms[realm].login_key, f"{arn(realms[realm])}:OIDC:{user}"]


class OpenIdConnect(Logins):
    def test_i3_new_logins_make_an_identity_and_known_ones_find_it(self):
        ann = self.get_id("a:ann")
        self.assertEqual(self.get_id("a:ann"), ann)
        self.assertNotEqual(self.get_id("a:bob"), ann)
        self.assertNotEqual(self.get_id("b:ann"), ann)
        self.assertEqual(self.providers(ann), ["a"])
        carol = self.get_id("a:carol", "b:carol")
        self.assertEqual([self.get_id("a:carol"), self.get_id("b:carol")], [carol, carol])
        # Any client of the provider will do; the pool is another world.
        token = realms["a"].token("ann", "app")
        found = self.client.get_id(IdentityPoolId=self.id, Logins={realms["a"].login_key: token})["IdentityId"]
        self.assertEqual(found, ann)
        other = self.pool(OpenIdConnectProviderARNs=[arn(realms["a"])])
        self.assertNotEqual(self.get_id("a:ann", pool=other), ann)

    def test_o1_o9_5_2_the_token_says_who_proved_what(self):
        guest = self.guest()
        _, claims = self.open_id_token(guest)
        self.assertEqual((claims["amr"], claims["exp"] - claims["iat"]), (["unauthenticated"], 600))
        self.assertNotIn(TAGS, claims)
        ann = self.get_id("a:ann", "b:ann")
        _, claims = self.open_id_token(ann, "a:ann")
        self.assertEqual(claims["amr"], ["authenticated", *self.amr("a", "ann")])
        self.assertEqual(claims["exp"] - claims["iat"], 600)
        _, claims = self.open_id_token(ann, "a:ann", "b:ann")
        both = self.amr("a", "ann") + self.amr("b", "ann")
        self.assertEqual((claims["amr"][0], sorted(claims["amr"][1:])), ("authenticated", sorted(both)))

    def test_g40_g42_5_2_a_developers_call_links_public_logins_and_tells_all(self):
        ann = self.get_id("a:ann")
        identity, token = self.token(self.id, of=self.client, logins=self.logins("ann", "a:ann", "b:ann"))
        self.assertEqual((identity, self.get_id("b:ann")), (ann, ann))
        claims = self.verifier.verify(token, self.id)
        own = ["authenticated", DEVELOPER, f"{DEVELOPER}:{self.id}:ann"]
        both = self.amr("a", "ann") + self.amr("b", "ann")
        self.assertEqual((claims["amr"][:3], sorted(claims["amr"][3:])), (own, sorted(both)))
        self.assertEqual(claims["exp"] - claims["iat"], 900)
        self.assertEqual(self.token(self.id, "ann", of=self.client)[0], ann)

    def test_g43_g49_a_developers_call_merges_into_the_identity_of_its_user(self):
        public = self.get_id("a:ann")
        own = self.token(self.id, "ann", of=self.client)[0]
        self.assertEqual(self.token(self.id, of=self.client, logins=self.logins("ann", "a:ann"))[0], own)
        self.is_forbidden(public)
        self.assertEqual((self.get_id("a:ann"), self.providers(own)), (own, [DEVELOPER, "a"]))
        # A guest gives way to the identity of a known public login, to which the new user goes.
        bob, guest = self.get_id("a:bob"), self.guest()
        named = self.token(self.id, of=self.client, logins=self.logins("bob", "a:bob"), IdentityId=guest)[0]
        self.assertEqual((named, self.token(self.id, "bob", of=self.client)[0]), (bob, bob))
        self.is_forbidden(guest)
        guest = self.guest()
        named = self.token(self.id, of=self.client, logins=self.logins("carol", "a:carol"), IdentityId=guest)[0]
        self.assertEqual((named, self.get_id("a:carol")), (guest, guest))

    def test_t1_t2_a_tag_map_makes_tags_of_claims(self):
        key = realms["a"].login_key
        tags = {"IdentityPoolId": self.id, "IdentityProviderName": key, "PrincipalTags": {"team": "group"}}
        self.client.set_principal_tag_attribute_map(**tags)
        logins = {key: realms["a"].token("ann", group="blue")}
        identity = self.client.get_id(IdentityPoolId=self.id, Logins=logins)["IdentityId"]
        token = self.client.get_open_id_token(IdentityId=identity, Logins=logins)["Token"]
        claims = self.verifier.verify(token, self.id)
        self.assertEqual(claims[TAGS], {"principal_tags": {"team": ["blue"]}})

    def test_o7_o8_a_guest_becomes_a_user_or_gives_way(self):
        guest = self.guest()
        self.assertEqual(self.open_id_token(guest, "a:ann")[0], guest)
        self.is_forbidden(guest)
        second = self.guest()
        self.assertEqual(self.open_id_token(second, "a:ann")[0], guest)
        self.is_forbidden(second)
        self.assertEqual(self.providers(second), [])

    def test_i4_o6_logins_of_two_identities_make_them_one(self):
        older, newer = self.get_id("a:ann"), self.get_id("b:ann")
        self.assertEqual(self.get_id("b:ann", "a:ann"), older)
        self.is_forbidden(newer)
        self.assertEqual((self.get_id("b:ann"), self.providers(older)), (older, ["a", "b"]))
        # Named, the younger one stays.
        older, newer = self.get_id("a:bob"), self.get_id("b:bob")
        self.assertEqual(self.open_id_token(newer, "a:bob", "b:bob")[0], newer)
        self.is_forbidden(older)

    def test_o5_two_users_of_a_provider_are_a_conflict(self):
        ann = self.get_id("a:ann", "b:ann")
        self.get_id("a:bob")
        text = "Login already linked to a different user of the same provider."
        logins = self.logins("a:bob", "b:ann")
        self.refused("ResourceConflictException", text, self.client.get_id, IdentityPoolId=self.id, Logins=logins)
        function = self.client.get_open_id_token
        self.refused("ResourceConflictException", text, function, IdentityId=ann, Logins=logins)

    def test_o3_o4_c9_an_identity_is_used_with_a_login_of_its_own(self):
        ann = self.get_id("a:ann")
        self.is_forbidden(ann)
        for function in (self.client.get_open_id_token, self.client.get_credentials_for_identity):
            arguments = {"IdentityId": ann, "Logins": self.logins("a:bob")}
            self.refused("NotAuthorizedException", MISMATCH, function, **arguments)
            text = f"Identity '{NOBODY}' not found."
            self.refused("ResourceNotFoundException", text, function, IdentityId=NOBODY)

    def test_c4_c5_credentials_wait_for_a_role(self):
        function = self.client.get_credentials_for_identity
        ann, token = self.token(self.id, "ann", of=self.client)
        for arguments in (
            {"IdentityId": self.guest()},
            {"IdentityId": self.get_id("a:bob"), "Logins": self.logins("a:bob")},
            {"IdentityId": ann, "Logins": {OWN_TOKEN: token}},
        ):
            self.refused("InvalidIdentityPoolConfigurationException", NO_ROLE, function, **arguments)

    def test_k1_k2_k6_unlinking_takes_a_proof(self):
        ann = self.get_id("a:ann", "b:ann")
        unlink = self.client.unlink_identity
        remove = {"IdentityId": ann, "LoginsToRemove": [realms["b"].login_key]}
        self.refused("NotAuthorizedException", MISMATCH, unlink, Logins=self.logins("a:bob"), **remove)
        unlink(Logins=self.logins("a:ann"), **remove)
        self.assertEqual(self.providers(ann), ["a"])
        self.assertNotEqual(self.get_id("b:ann"), ann)
        # The service's own token is none. The last login gone, nobody gets in.
        _, token = self.token(self.id, of=self.client, logins=self.logins("ann", "a:ann"))
        own = {"IdentityId": ann, "Logins": {OWN_TOKEN: token}, "LoginsToRemove": [realms["a"].login_key]}
        self.refused("NotAuthorizedException", "Invalid login token. Can't pass in a Cognito token.", unlink, **own)
        self.assertEqual(self.providers(ann), [DEVELOPER, "a"])
        bob = self.get_id("a:bob")
        unlink(IdentityId=bob, Logins=self.logins("a:bob"), LoginsToRemove=[realms["a"].login_key])
        self.is_forbidden(bob)

    def test_s10_tokens_that_do_not_hold_are_refused_and_change_nothing(self):
        key, now = realms["a"].login_key, int(time.time())
        good = realms["a"].token("ann")
        head, claims, signature = good.split(".")
        for token, why in [
            ("garbage", "Not a valid OpenId Connect identity token."),
            (realms["b"].token("ann"), "Issuer doesn't match providerName"),
            (realms["a"].token("ann", "another-client"), "Incorrect token audience."),
            (realms["a"].token("ann", azp="another-client"), "Incorrect token audience."),
            (realms["a"].token("ann", aud=None), "Missing a required claim: aud"),
            (realms["a"].token(None), "Missing a required claim: sub"),
            (realms["b"].token("ann", iss=realms["a"].url), "Couldn't verify signed token."),
            (f"{head}.{claims}.{realms['a'].token('bob').rpartition('.')[2]}", "Couldn't verify signed token."),
        ]:
            with self.subTest(why=why):
                self.get_id_is_refused("NotAuthorizedException", f"Invalid login token. {why}", {key: token})
                # Nor is a developer's user made, nor the other login linked.
                logins = self.logins("new", "b:new") | {key: token}
                function = self.client.get_open_id_token_for_developer_identity
                arguments = {"IdentityPoolId": self.id, "Logins": logins}
                self.refused("NotAuthorizedException", f"Invalid login token. {why}", function, **arguments)
        expired = {key: realms["a"].token("ann", iat=now - 1200, exp=now - 600)}
        with self.assertRaises(self.client.exceptions.NotAuthorizedException) as caught:
            self.client.get_id(IdentityPoolId=self.id, Logins=expired)
        found = re.fullmatch(
            rf"Invalid login token\. Token expired: (\d+) >= {now - 600}", caught.exception.response["Error"]["Message"]
        )
        self.assertIsNotNone(found, caught.exception)
        self.assertLess(abs(int(found[1]) - now), 60)
        # Within five minutes clocks may differ.
        skewed = {key: realms["a"].token("ann", iat=now - 1200, exp=now - 120)}
        self.client.get_id(IdentityPoolId=self.id, Logins=skewed)
        listed = self.client.list_identities(IdentityPoolId=self.id, MaxResults=60)["Identities"]
        self.assertEqual([entry["Logins"] for entry in listed if "Logins" in entry], [[key]])

    def test_i5_i6_i7_keys_that_are_no_provider_of_the_pool(self):
        _, own = self.token(self.id, of=self.client)
        token = realms["a"].token("ann")
        for logins, code, message in [
            ({"graph.facebook.com": token}, "NotAuthorizedException", UNSUPPORTED),
            ({f"{realms['a'].login_key}/": token}, "NotAuthorizedException", UNSUPPORTED),
            ({DEVELOPER: own}, "InvalidParameterException", NOT_PUBLIC),
            ({OWN_TOKEN: own}, "NotAuthorizedException", "Invalid login token. Can't pass in a Cognito token."),
        ]:
            self.get_id_is_refused(code, message, logins)
        bare = self.pool()
        self.get_id_is_refused("NotAuthorizedException", UNSUPPORTED, self.logins("a:ann"), pool=bare)

    def test_a_key_that_is_turned_is_followed(self):
        turning = realms["turning"]
        before = self.logins("turning:ann")
        ann = self.get_id("turning:ann")
        turning.rotate()
        # What is remembered holds until a new key makes the broker ask again, which it does once a second here.
        self.client.get_id(IdentityPoolId=self.id, Logins=before)
        time.sleep(1.05)
        self.assertEqual(self.get_id("turning:ann"), ann)
        text = "Invalid login token. Couldn't verify signed token."
        self.refused("NotAuthorizedException", text, self.client.get_id, IdentityPoolId=self.id, Logins=before)

    def test_an_issuer_that_is_down_is_an_external_service(self):
        realms["down"].is_down = True
        text = "A login provider could not be asked. Try again."
        logins = self.logins("down:ann")
        self.refused("ExternalServiceException", text, self.client.get_id, IdentityPoolId=self.id, Logins=logins)


class UserPools(Logins):
    """A user pool as an emulator serves it, under the login key of AWS's."""

    def setUp(self):
        self.id = self.user_pools(False)

    def user_pools(self, check, clients=CLIENTS):
        provider = {"ProviderName": USER_POOL_KEY, "ServerSideTokenCheck": check}
        return self.pool(CognitoIdentityProviders=[provider | {"ClientId": client} for client in clients])

    def id_token(self, user="ann", client="web", **changed):
        return realms[USER_POOL].token(user, client, **{"token_use": "id"} | changed)

    def get_id(self, token, pool=None, of=None):
        answer = (of or self.client).get_id(IdentityPoolId=pool or self.id, Logins={USER_POOL_KEY: token})
        return answer["IdentityId"]

    def is_refused(self, why, token, pool=None, of=None):
        arguments = {"IdentityPoolId": pool or self.id, "Logins": {USER_POOL_KEY: token}}
        self.refused("NotAuthorizedException", why, (of or self.client).get_id, **arguments)

    def test_s10_5_2_an_id_token_of_a_client_is_a_login(self):
        token = self.id_token()
        ann = self.get_id(token)
        self.assertEqual(self.get_id(self.id_token(client="app")), ann)
        self.assertEqual(self.client.describe_identity(IdentityId=ann)["Logins"], [USER_POOL_KEY])
        answer = self.client.get_open_id_token(IdentityId=ann, Logins={USER_POOL_KEY: token})
        claims = self.verifier.verify(answer["Token"], self.id)
        self.assertEqual(claims["amr"], ["authenticated", USER_POOL_KEY, f"{USER_POOL_KEY}:CognitoSignIn:ann"])

    def test_s10_what_is_no_id_token_of_a_client_is_refused(self):
        access = self.id_token(aud=None, client_id="web", token_use="access")
        self.is_refused("Invalid login token. Missing a required claim: aud", access)
        not_id = self.id_token(token_use="access")
        self.is_refused("Invalid login token. Not a valid OpenId Connect identity token.", not_id)
        self.is_refused(UNSUPPORTED, self.id_token(client="another"))
        other, forged = realms["a"].token("ann", token_use="id"), {"iss": realms[USER_POOL].url, "token_use": "id"}
        self.is_refused("Invalid login token. Issuer doesn't match providerName", other)
        self.is_refused("Invalid login token. Couldn't verify signed token.", realms["a"].token("ann", **forged))

    def test_s10_the_user_pool_is_asked_whether_it_still_honours_a_token(self):
        checked = self.user_pools(True)
        kept, revoked = self.id_token("kept"), self.id_token("revoked")
        self.get_id(kept, checked)
        identity = self.get_id(revoked, checked)
        realms[USER_POOL].revoked.add(revoked)
        self.is_refused("Invalid login token. Token is no longer honoured by its user pool.", revoked, checked)
        self.get_id(kept, checked)
        # Signed in anew, the user is back. Without the check nobody is asked.
        self.assertEqual(self.get_id(self.id_token("revoked", jti="2"), checked), identity)
        self.get_id(revoked)

    def test_s10_a_check_that_is_not_configured_is_refused(self):
        """By a broker with the keys alone, for which the issuer is AWS's own."""
        keys = f"{issuer.url}/{{user_pool_id}}{issuers.KEYS}"
        second = brokers.serve(SYMBOLON__UPSTREAM__USER_POOL_JWKS=keys)
        try:
            of = client(endpoint=second.endpoint)
            token = self.id_token(iss=f"https://{USER_POOL_KEY}")
            self.get_id(token, of=of)
            self.is_refused("Invalid login token. Issuer doesn't match providerName", self.id_token(), of=of)
            text = "The provider asks for ServerSideTokenCheck, and upstream.token_introspection is not configured."
            self.is_refused(f"Invalid login token. {text}", token, self.user_pools(True), of=of)
        finally:
            self.assertEqual(second.stop(), 0, second.log())


class CommandLine(Logins):
    def aws(self, *arguments):
        environment = dict(os.environ) | {"AWS_ENDPOINT_URL_COGNITO_IDENTITY": broker.endpoint}
        command = ["aws", "cognito-identity", *arguments, "--output", "json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout) if done.stdout else None

    def test_the_command_line_signs_in_with_a_login_and_takes_it_away(self):
        logins = ",".join(f"{key}={token}" for key, token in self.logins("a:ann", "b:ann").items())
        ann = self.aws("get-id", "--identity-pool-id", self.id, "--logins", logins)["IdentityId"]
        answer = self.aws("get-open-id-token", "--identity-id", ann, "--logins", logins)
        self.assertEqual(answer["IdentityId"], ann)
        self.assertEqual(self.verifier.verify(answer["Token"], self.id)["sub"], ann)
        remove = ("--logins-to-remove", realms["b"].login_key)
        self.assertIsNone(self.aws("unlink-identity", "--identity-id", ann, "--logins", logins, *remove))
        self.assertEqual(self.providers(ann), ["a"])
