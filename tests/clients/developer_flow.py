"""GetOpenIdTokenForDeveloperIdentity by boto3; its tokens verified by PyJWT through discovery and JWKS alone."""

import base64
import hashlib
import json
import os
import time
import unittest.mock
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import jwt

from support import DEVELOPER, NOBODY, Case, breach, client

TAGS = "https://aws.amazon.com/tags"
POOL_ARN = "https://cognito-identity.amazonaws.com/identity-pool-arn"
CLAIMS = ["sub", "aud", "amr", "iss", POOL_ARN, "exp", "iat"]
ID_PATTERN = r"Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+"
LONGEST = "Member must have length less than or equal to"
SHORTEST = "Member must have length greater than or equal to"
UNSUPPORTED = "This identity pool does not support the specified developer provider"
FORBIDDEN = "Access to Identity '{}' is forbidden."
MISMATCH = "Logins don't match. Please include at least one valid login for this identity or identity pool."
REGISTERED = "This developer user identifier is already registered with Cognito."


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


class Verifier:
    """A relying party that knows the issuer's URL, and nothing else of the broker."""

    def __init__(self, issuer):
        self.issuer = issuer
        self.discovery = fetch(f"{issuer}/.well-known/openid-configuration")
        self.keys = jwt.PyJWKClient(self.discovery["jwks_uri"])

    def verify(self, token, pool, **options):
        key = self.keys.get_signing_key_from_jwt(token)
        algorithms = self.discovery["id_token_signing_alg_values_supported"]
        return jwt.decode(token, key, algorithms=algorithms, audience=pool, issuer=self.issuer, options=options)


class Flow(Case):
    @classmethod
    def setUpClass(cls):
        cls.verifier = Verifier(os.environ["AWS_ENDPOINT_URL_COGNITO_IDENTITY"])

    def claims(self, token, pool, **options):
        return self.verifier.verify(token, pool, **options)

    def goitfdi(self, code, message, pool, **arguments):
        function = client(validation=False).get_open_id_token_for_developer_identity
        return self.refused(code, message, function, IdentityPoolId=pool, **arguments)

    def is_unknown(self, pool, user):
        self.refused(
            "ResourceNotFoundException",
            "Developer user identifier not found.",
            client().lookup_developer_identity,
            IdentityPoolId=pool,
            DeveloperUserIdentifier=user,
        )


class Tokens(Flow):
    def test_only_the_env_file_configures_the_client(self):
        names = {name for name in os.environ if name.startswith(("AWS_", "SYMBOLON_", "DATABASE_"))}
        needed = {
            "AWS_ENDPOINT_URL_COGNITO_IDENTITY",
            "AWS_ENDPOINT_URL_IAM",
            "AWS_ENDPOINT_URL_STS",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_DEFAULT_REGION",
        }
        self.assertLessEqual(needed | {"DATABASE_URL", "SYMBOLON_CONFIG"}, names)
        self.assertEqual(os.listdir(os.environ["HOME"]), [])
        self.assertEqual(client().meta.endpoint_url, os.environ["AWS_ENDPOINT_URL_COGNITO_IDENTITY"])
        self.assertEqual(client().meta.region_name, "us-east-1")

    def test_discovery_names_its_issuer_and_keys_5_3(self):
        document = self.verifier.discovery
        self.assertEqual(document["issuer"], self.verifier.issuer)
        self.assertEqual(document["jwks_uri"], f"{self.verifier.issuer}/.well-known/jwks.json")
        self.assertEqual(document["response_types_supported"], ["id_token"])
        self.assertEqual(document["subject_types_supported"], ["public"])
        self.assertEqual(document["id_token_signing_alg_values_supported"], ["RS256"])
        keys = fetch(document["jwks_uri"])["keys"]
        for key in keys:
            self.assertEqual((key["kty"], key["alg"], key["use"], key["e"]), ("RSA", "RS256", "sig", "AQAB"))
            members = {name: key[name] for name in ("e", "kty", "n")}
            canonical = json.dumps(members, separators=(",", ":")).encode()
            digest = hashlib.sha256(canonical).digest()
            self.assertEqual(key["kid"], base64.urlsafe_b64encode(digest).rstrip(b"=").decode())
            self.assertLessEqual(set(key), {"kty", "use", "alg", "kid", "n", "e"})
        self.assertEqual(fetch(f"{self.verifier.issuer}/.well-known/jwks_uri")["keys"], keys)

    def test_5_1_the_header_is_kid_typ_alg(self):
        _, token = self.token(self.pool())
        header = jwt.get_unverified_header(token)
        self.assertEqual(header | {"kid": ""}, {"kid": "", "typ": "JWT", "alg": "RS256"})

    def test_5_2_the_claims_and_their_order(self):
        pool = self.pool()
        identity, token = self.token(pool, "alice")
        claims = self.claims(token, pool)
        self.assertEqual(list(claims), CLAIMS)
        self.assertEqual((claims["sub"], claims["aud"], claims["iss"]), (identity, pool, self.verifier.issuer))
        self.assertEqual(claims["amr"], ["authenticated", DEVELOPER, f"{DEVELOPER}:{pool}:alice"])
        self.assertEqual(claims[POOL_ARN], f"arn:aws:cognito-identity:us-east-1:000000000000:identitypool/{pool}")
        self.assertIs(type(claims["exp"]), int)
        self.assertIs(type(claims["iat"]), int)
        self.assertLess(abs(claims["iat"] - time.time()), 5)

    def test_5_2_compact_json_and_slashes_as_they_are(self):
        _, token = self.token(self.pool(), "a/b")
        for part in token.split(".")[:2]:
            text = base64.urlsafe_b64decode(part + "==").decode()
            self.assertEqual(text, json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False))

    def test_a_token_of_another_pool_or_issuer_or_changed_is_not_accepted(self):
        pool = self.pool()
        _, token = self.token(pool)
        with self.assertRaises(jwt.InvalidAudienceError):
            self.claims(token, NOBODY)
        with self.assertRaises(jwt.InvalidIssuerError), unittest.mock.patch.object(
            self.verifier, "issuer", "https://else"
        ):
            self.claims(token, pool)
        head, _, signature = token.split(".")
        payload = jwt.decode(token, options={"verify_signature": False}) | {"sub": NOBODY}
        forged = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=").decode()
        with self.assertRaises(jwt.InvalidSignatureError):
            self.claims(f"{head}.{forged}.{signature}", pool)

    def test_g60_the_lifetime_is_900_or_the_duration_exactly(self):
        pool = self.pool()
        for asked, lifetime in [({}, 900)] + [({"TokenDuration": n}, n) for n in (300, 86400)]:
            _, token = self.token(pool, **asked)
            claims = self.claims(token, pool)
            self.assertEqual(claims["exp"] - claims["iat"], lifetime)

    def test_g62_one_second_is_allowed_and_then_over(self):
        pool = self.pool()
        _, token = self.token(pool, TokenDuration=1)
        claims = self.claims(token, pool, verify_exp=False)
        self.assertEqual(claims["exp"] - claims["iat"], 1)
        time.sleep(1.05)
        with self.assertRaises(jwt.ExpiredSignatureError):
            self.claims(token, pool)

    def test_g61_durations_beyond_the_limits_are_refused(self):
        pool = self.pool()
        for value in (0, -1, 86401, 2**63 - 1):
            side = "greater than or equal to 1" if value < 1 else "less than or equal to 86400"
            text = breach(value, "tokenDuration", f"Member must have value {side}")
            self.goitfdi("ValidationException", text, pool, Logins={DEVELOPER: "alice"}, TokenDuration=value)
        self.is_unknown(pool, "alice")

    def test_g63_g65_g67_tags_are_claimed_per_call_and_never_empty(self):
        pool = self.pool()
        tags = {"team": "blue", "größe": "ü/1", "Z": "z"}
        _, token = self.token(pool, PrincipalTags=tags)
        claims = self.claims(token, pool)
        self.assertEqual(list(claims), [*CLAIMS[:3], TAGS, *CLAIMS[3:]])
        self.assertEqual(claims[TAGS], {"principal_tags": {key: [value] for key, value in tags.items()}})
        for arguments in ({"PrincipalTags": {}}, {}):
            _, token = self.token(pool, **arguments)
            self.assertEqual(list(self.claims(token, pool)), CLAIMS)

    def test_g66_the_bounds_of_tags(self):
        pool = self.pool()
        _, token = self.token(pool, PrincipalTags={f"{n:0128}": "v" * (256 if n == 0 else 1) for n in range(50)})
        self.assertEqual(len(self.claims(token, pool)[TAGS]["principal_tags"]), 50)
        of_keys = f"Map keys must satisfy constraint: [{LONGEST} 128, {SHORTEST} 1]"
        of_values = f"Map value must satisfy constraint: [{LONGEST} 256, {SHORTEST} 1]"
        for tags, constraint in [
            ({f"{n:02}": "v" for n in range(51)}, f"{LONGEST} 50"),
            ({"k" * 129: "v"}, of_keys),
            ({"": "v"}, of_keys),
            ({"k": "v" * 257}, of_values),
            ({"k": ""}, of_values),
        ]:
            shown = "{" + ", ".join(f"{key}={value}" for key, value in tags.items()) + "}"
            text = breach(shown, "principalTags", constraint)
            self.goitfdi("ValidationException", text, pool, Logins={DEVELOPER: "alice"}, PrincipalTags=tags)


class Matrix(Flow):
    def test_g3_g5_g10_an_unknown_user_gets_a_new_identity_in_the_pools_region(self):
        pool = self.pool()
        identity = self.sign_in(pool)
        self.assertRegex(identity, r"^us-east-1:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
        self.assertEqual(self.describe(identity)["Logins"], [DEVELOPER])
        west = client("eu-west-1")
        self.assertRegex(self.sign_in(self.pool(of=west), of=west), "^eu-west-1:")

    def test_g11_a_known_user_gets_the_same_identity_always(self):
        pool = self.pool()
        identity = self.sign_in(pool)
        self.assertEqual({self.sign_in(pool) for _ in range(5)}, {identity})
        self.assertNotEqual(self.sign_in(pool, "bob"), identity)
        self.assertNotEqual(self.sign_in(self.pool()), identity)

    def test_s11_concurrent_first_calls_give_one_identity(self):
        pool = self.pool()
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda _: self.sign_in(pool, "carol"), range(24)))
        self.assertEqual(len(set(found)), 1)
        listed = client().list_identities(IdentityPoolId=pool, MaxResults=60)["Identities"]
        self.assertEqual([entry["IdentityId"] for entry in listed], found[:1])

    def test_s6_users_are_compared_byte_for_byte(self):
        pool = self.pool()
        users = [
            "alice",
            "Alice",
            " alice",
            "alice ",
            "é",
            "e\u0301",
            "alice\n",
            "字",
            "a:b",
            "x" * 64,
            "x" * 65,
            "x" * 1024,
        ]
        found = [self.sign_in(pool, user) for user in users]
        self.assertEqual(len(set(found)), len(users))
        self.assertEqual([self.sign_in(pool, user) for user in users], found)

    def test_g4_neither_classic_flow_nor_guests_matter(self):
        for classic in (True, False):
            pool = self.pool(AllowClassicFlow=classic, AllowUnauthenticatedIdentities=not classic)
            self.assertEqual(self.sign_in(pool), self.sign_in(pool))

    def test_g6_linking_moves_the_date_and_a_plain_return_does_not(self):
        pool = self.pool()
        guest = self.guest(pool)
        before = self.describe(guest)
        self.assertEqual(before["CreationDate"], before["LastModifiedDate"])
        time.sleep(0.01)
        self.sign_in(pool, IdentityId=guest)
        linked = self.describe(guest)
        self.assertEqual(linked["CreationDate"], before["CreationDate"])
        self.assertGreater(linked["LastModifiedDate"], before["LastModifiedDate"])
        self.sign_in(pool, IdentityId=guest)
        self.sign_in(pool)
        self.assertEqual(self.describe(guest), linked)

    def test_g13_a_guest_becomes_authenticated_and_keeps_its_id(self):
        pool = self.pool()
        guest = self.guest(pool)
        self.assertEqual(self.sign_in(pool, "dave", IdentityId=guest), guest)
        self.assertEqual(self.sign_in(pool, "dave"), guest)
        self.assertEqual(self.describe(guest)["Logins"], [DEVELOPER])

    def test_g14_g30_a_guest_named_by_a_user_known_elsewhere_changes_nothing(self):
        pool = self.pool()
        known, guest = self.sign_in(pool), self.guest(pool)
        before = self.describe(guest), self.describe(known)
        arguments = {"Logins": {DEVELOPER: "alice"}, "IdentityId": guest}
        self.goitfdi("DeveloperUserAlreadyRegisteredException", REGISTERED, pool, **arguments)
        self.assertEqual((self.describe(guest), self.describe(known)), before)
        self.assertEqual(self.sign_in(pool, "erin", IdentityId=guest), guest)

    def test_g15_an_identity_named_by_its_own_user(self):
        pool = self.pool()
        identity = self.sign_in(pool)
        self.assertEqual(self.sign_in(pool, IdentityId=identity), identity)

    def test_g16_an_authenticated_identity_without_its_login_is_refused(self):
        pool = self.pool()
        identity = self.sign_in(pool)
        self.goitfdi("NotAuthorizedException", MISMATCH, pool, Logins={DEVELOPER: "bob"}, IdentityId=identity)
        self.is_unknown(pool, "bob")
        self.assertEqual(self.describe(identity)["Logins"], [DEVELOPER])

    def test_g18_an_authenticated_identity_named_by_anothers_user(self):
        pool = self.pool()
        alice, bob = self.sign_in(pool), self.sign_in(pool, "bob")
        arguments = {"Logins": {DEVELOPER: "bob"}, "IdentityId": alice}
        self.goitfdi("DeveloperUserAlreadyRegisteredException", REGISTERED, pool, **arguments)
        self.assertEqual((self.sign_in(pool), self.sign_in(pool, "bob")), (alice, bob))

    def test_g19_a_disabled_identity_is_refused_to_known_and_unknown_users(self):
        pool = self.pool()
        gone = self.sign_in(pool, "gone")
        client().unlink_developer_identity(
            IdentityId=gone, IdentityPoolId=pool, DeveloperProviderName=DEVELOPER, DeveloperUserIdentifier="gone"
        )
        self.sign_in(pool)
        for user in ("alice", "gone", "new"):
            arguments = {"Logins": {DEVELOPER: user}, "IdentityId": gone}
            self.goitfdi("NotAuthorizedException", FORBIDDEN.format(gone), pool, **arguments)
        self.is_unknown(pool, "new")

    def test_g20_g21_g22_an_identity_that_is_not_in_the_pool(self):
        pool = self.pool()
        other = self.sign_in(self.pool())
        for identity in (NOBODY, other, "us-east-1:abc", "eu-west-1:" + NOBODY[10:]):
            text = f"Identity '{identity}' not found."
            self.goitfdi("ResourceNotFoundException", text, pool, Logins={DEVELOPER: "new"}, IdentityId=identity)
        self.is_unknown(pool, "new")
        upper = NOBODY.replace(":0", ":A")
        for identity, constraints in [("x", [ID_PATTERN]), ("", [f"{SHORTEST} 1", ID_PATTERN]), (upper, [ID_PATTERN])]:
            text = breach(identity, "identityId", *constraints)
            self.goitfdi("ValidationException", text, pool, Logins={DEVELOPER: "new"}, IdentityId=identity)

    def test_g23_a_missing_pool_wins(self):
        for pool in (NOBODY, "x:a", NOBODY.replace("us-east-1", "nowhere-9")):
            text = f"IdentityPool '{pool}' not found."
            arguments = {"Logins": {"wrong": "alice"}, "IdentityId": NOBODY[:-1] + "1"}
            self.goitfdi("ResourceNotFoundException", text, pool, **arguments)

    def test_g24_a4_a_deleted_identity_frees_its_user(self):
        pool = self.pool()
        identity = self.sign_in(pool)
        client().delete_identities(IdentityIdsToDelete=[identity])
        text = f"Identity '{identity}' not found."
        self.goitfdi("ResourceNotFoundException", text, pool, Logins={DEVELOPER: "alice"}, IdentityId=identity)
        self.assertNotEqual(self.sign_in(pool), identity)


class ProviderNames(Flow):
    def test_g51_no_developer_entry(self):
        pool = self.pool(SupportedLoginProviders={"graph.facebook.com": "1"})
        for logins in ({}, {"graph.facebook.com": "token"}):
            text = "Please provide a valid developer provider."
            self.goitfdi("InvalidParameterException", text, pool, Logins=logins)

    def test_g52_g54_names_that_are_not_the_pools(self):
        pool = self.pool()
        for logins in ({"other": "a"}, {"Login.example": "a"}, {DEVELOPER: "a", "other": "a"}, {DEVELOPER + " ": "a"}):
            self.goitfdi("InvalidParameterException", UNSUPPORTED, pool, Logins=logins)
        self.is_unknown(pool, "a")

    def test_g53_a_pool_without_a_developer_provider(self):
        pool = self.pool(DeveloperProviderName=None)
        self.goitfdi("InvalidParameterException", UNSUPPORTED, pool, Logins={DEVELOPER: "alice"})
        client().update_identity_pool(
            IdentityPoolId=pool,
            IdentityPoolName="p",
            AllowUnauthenticatedIdentities=False,
            DeveloperProviderName=DEVELOPER,
        )
        self.sign_in(pool)

    def test_g55_g57_g58_logins_against_the_model(self):
        pool = self.pool()
        of_values = f"Map value must satisfy constraint: [{LONGEST} 50000, {SHORTEST} 1]"
        text = breach(f"{{{DEVELOPER}=}}", "logins", of_values)
        self.goitfdi("ValidationException", text, pool, Logins={DEVELOPER: ""})
        self.goitfdi("ValidationException", breach(None, "logins", "Member must not be null"), pool)
        eleven = {str(n): "secret" for n in range(10, 21)}
        shown = "{" + ", ".join(f"{key}=***" for key in eleven) + "}"
        self.goitfdi("ValidationException", breach(shown, "logins", f"{LONGEST} 10"), pool, Logins=eleven)

    def test_g56_d6_users_that_are_too_long_or_hold_nul(self):
        pool = self.pool()
        identity = self.sign_in(pool, "😀" * 1024)
        self.assertEqual(self.sign_in(pool, "😀" * 1024), identity)
        text = "DeveloperUserIdentifier must not be longer than 1024 characters."
        for user in ("x" * 1025, "😀" * 1025, "x" * 50000):
            self.goitfdi("InvalidParameterException", text, pool, Logins={DEVELOPER: user})
        text = "DeveloperUserIdentifier must not contain the character U+0000."
        self.goitfdi("InvalidParameterException", text, pool, Logins={DEVELOPER: "a\0b"})
