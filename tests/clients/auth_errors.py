"""Signatures that do not hold, over plain HTTP. botocore signs."""

import datetime
import os
import re
import unittest.mock

import broker as brokers
from developer_flow import Verifier
from support import NOBODY, SERVICE, Case, Signer, call, client, replacing, without

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
    "Key and signing method. Consult the service documentation for details."
)
UNKNOWN_KEY = "The security token included in the request is invalid."
LIST = {"MaxResults": 1}
PUBLIC = {"GetId", "GetOpenIdToken", "GetCredentialsForIdentity", "UnlinkIdentity"}


def at(moment):
    """botocore signs as if it were that time."""
    return unittest.mock.patch("botocore.auth.get_current_datetime", lambda *_: moment)


def basic(moment):
    return moment.strftime("%Y%m%dT%H%M%SZ")


class Signatures(Case):
    def list(self, signer=None, **options):
        return call("ListIdentityPools", options.pop("body", LIST), signer or Signer(), **options)

    def invalid(self, message, answer):
        self.is_error(answer, "InvalidSignatureException", message)

    def incomplete(self, problems, shown, answer):
        self.is_error(answer, "IncompleteSignatureException", f"{problems} Authorization={shown}")

    def test_a_signature_that_holds(self):
        answer = self.list()
        self.assertEqual((answer.status, list(answer.json)[0]), (200, "IdentityPools"))
        self.has_usual_head(answer)

    def test_w10_w11_every_signed_operation_asks_for_a_signature_before_anything_else(self):
        operations = set(client().meta.service_model.operation_names)
        self.assertEqual(len(operations - PUBLIC), 19)
        for operation in operations - PUBLIC:
            for body in (b"", b"{}", b"no json"):
                answer = call(operation, body)
                self.is_error(answer, "MissingAuthenticationTokenException", "Missing Authentication Token")
            self.invalid(MISMATCH, call(operation, b"no json", Signer(secret="wrong")))

    def test_a_wrong_secret(self):
        for secret in ("Test", "test ", "x" * 40):
            self.invalid(MISMATCH, self.list(Signer(secret=secret)))

    def test_an_unknown_key_with_any_secret(self):
        for key in ("AKIAIOSFODNN7EXAMPLE", "Test", "12345678901", "1234567890123", "x" * 128):
            for secret in ("test", "wrong"):
                self.is_error(self.list(Signer(key=key, secret=secret)), "UnrecognizedClientException", UNKNOWN_KEY)

    def test_an_account_number_with_a_wrong_secret_makes_no_tenant(self):
        answer = self.list(Signer(key="999999999999", secret="wrong"))
        self.invalid(MISMATCH, answer)

    def test_a_session_token_that_is_not_ours(self):
        for token in ("stale", "x" * 1000):
            answer = self.list(Signer(token=token))
            self.is_error(answer, "UnrecognizedClientException", UNKNOWN_KEY)

    def test_a_session_token_that_is_not_signed_w13(self):
        answer = self.list(alter=lambda pairs: [*pairs, ("X-Amz-Security-Token", "stale")])
        self.invalid("'x-amz-security-token' must be a 'SignedHeader' in the AWS Authorization.", answer)

    def test_a_clock_that_is_299_seconds_off(self):
        for seconds in (-299, 299):
            now = datetime.datetime.now(datetime.timezone.utc)
            with at(now + datetime.timedelta(seconds=seconds)):
                self.assertEqual(self.list().status, 200)

    def test_a_clock_that_is_late(self):
        texts = r"Signature expired: (\w+) is now earlier than (\w+) \((\w+) - 5 min\.\)"
        self.skewed(-301, texts, lambda now, five: now - five)

    def test_a_clock_that_is_ahead(self):
        # A second more: the broker may read its clock in the next one.
        texts = r"Signature not yet current: (\w+) is still later than (\w+) \((\w+) \+ 5 min\.\)"
        self.skewed(302, texts, lambda now, five: now + five)

    def skewed(self, seconds, pattern, limit):
        before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        signed = before + datetime.timedelta(seconds=seconds)
        with at(signed):
            answer = self.list()
        self.invalid(answer.json["message"], answer)
        found = re.fullmatch(pattern, answer.json["message"])
        self.assertIsNotNone(found, answer.json)
        now = datetime.datetime.strptime(found[3], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        after = datetime.datetime.now(datetime.timezone.utc)
        self.assertTrue(before <= now <= after, (before, now, after))
        self.assertEqual((found[1], found[2]), (basic(signed), basic(limit(now, datetime.timedelta(minutes=5)))))

    def test_a_scope_of_another_day(self):
        today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d")
        answer = self.list(alter=replacing("Authorization", lambda value: value.replace(f"/{today}/", "/20200101/")))
        text = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
        self.invalid(f"{text}'20200101' != '{today}'.", answer)

    def test_a_scope_of_another_service(self):
        for service in ("sts", "cognito-idp", ""):
            text = f"Credential should be scoped to correct service: '{SERVICE}'."
            self.invalid(text, self.list(Signer(service=service)))

    def test_d1_dev_serves_every_well_formed_region_and_no_other(self):
        self.assertEqual(self.list(Signer(region="mars-north-7")).status, 200)
        for region in ("", "US-EAST-1", "us east 1", "us_east_1"):
            self.invalid("Credential should be scoped to a valid region.", self.list(Signer(region=region)))

    def test_a_scope_with_another_end(self):
        answer = self.list(
            alter=replacing("Authorization", lambda value: value.replace("aws4_request", "aws5_request"))
        )
        self.invalid("Credential should be scoped with a valid terminator: 'aws4_request'.", answer)

    def test_a_body_that_was_changed(self):
        signed = Signer().sign(os.environ["AWS_ENDPOINT_URL_COGNITO_IDENTITY"], self.usual_head(), b'{"MaxResults":1}')
        answer = self.list(body=b'{"MaxResults":2}', alter=lambda _: list(signed.items()))
        self.invalid(MISMATCH, answer)

    def test_a_target_that_was_changed(self):
        target = "AWSCognitoIdentityService.DeleteIdentityPool"
        answer = self.list(body={"IdentityPoolId": NOBODY}, alter=replacing("X-Amz-Target", target))
        self.invalid(MISMATCH, answer)

    def test_headers_that_were_changed(self):
        self.invalid(MISMATCH, self.list(alter=replacing("Content-Type", "application/x-amz-json-1.1; charset=utf-8")))
        self.invalid("'host' must be sent once.", self.list(alter=lambda pairs: [*pairs, ("Host", "else.example")]))

    def usual_head(self):
        return {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "AWSCognitoIdentityService.ListIdentityPools",
        }

    def test_a_target_that_is_not_signed(self):
        head = {"Content-Type": "application/x-amz-json-1.1"}
        url = os.environ["AWS_ENDPOINT_URL_COGNITO_IDENTITY"]
        signed = list(Signer().sign(url, head, b"{}").items()) + [("X-Amz-Target", self.usual_head()["X-Amz-Target"])]
        answer = self.list(body=b"{}", alter=lambda _: signed)
        self.invalid("'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.", answer)

    def test_headers_that_are_missing_or_twice(self):
        self.invalid(
            "'x-amz-custom' is a 'SignedHeader' in the AWS Authorization but is not in the request.",
            self.list(headers={"X-Amz-Custom": "1"}, alter=without("X-Amz-Custom")),
        )
        twice = lambda pairs: [*pairs, *[pair for pair in pairs if pair[0] == "Authorization"]]
        self.invalid("'authorization' must be sent once.", self.list(alter=twice))
        twice = lambda pairs: [*pairs, *[pair for pair in pairs if pair[0] == "X-Amz-Date"]]
        self.invalid("'x-amz-date' must be sent once.", self.list(alter=twice))

    def test_an_authorization_that_lacks_its_parts(self):
        self.incomplete(
            "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. "
            "Authorization header requires 'SignedHeaders' parameter. "
            "Authorization header requires existence of a 'X-Amz-Date' header.",
            "...",
            call("ListIdentityPools", headers={"Authorization": "AWS4-HMAC-SHA256"}),
        )
        answer = self.list(alter=without("X-Amz-Date"))
        self.assertEqual(answer.json["__type"], "IncompleteSignatureException")
        text = "Authorization header requires existence of a 'X-Amz-Date' header. Authorization=AWS4-HMAC-SHA256 Credential=test/"
        self.assertIn(text, answer.json["message"])
        self.assertNotRegex(answer.json["message"], "[0-9a-f]{64}")
        for other in ("Bearer abc", "Basic dGVzdDp0ZXN0", "AWS4-ECDSA-P256-SHA256 Credential=a"):
            answer = call("ListIdentityPools", headers={"Authorization": other})
            self.assertEqual(answer.json["__type"], "IncompleteSignatureException")

    def test_dates_that_are_none(self):
        for date in ("now", "2026-01-01T00:00:00Z", "20261341T000000Z"):
            answer = self.list(alter=replacing("X-Amz-Date", date))
            self.assertEqual((answer.status, answer.json["__type"]), (400, "IncompleteSignatureException"))
            self.assertIn("Date must be in ISO-8601 'basic format'.", answer.json["message"])

    def test_w13_presigned_queries_are_refused(self):
        query = (
            "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=test%2F20260101%2Fus-east-1%2Fcognito-identity%2Faws4_request"
            f"&X-Amz-Date=20260101T000000Z&X-Amz-SignedHeaders=host&X-Amz-Signature={'0' * 64}"
        )
        text = "A signed request must be a POST to '/' without a query string."
        self.invalid(text, call("ListIdentityPools", LIST, path=query))
        self.invalid(text, self.list(path="/?a=b"))

    def test_payloads_that_are_not_signed_or_streamed_are_refused(self):
        text = (
            "'x-amz-content-sha256' must be the SHA-256 of the whole payload: unsigned and streamed ones are refused."
        )
        for value in ("UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "A" * 64):
            self.invalid(text, self.list(headers={"X-Amz-Content-SHA256": value}))
        self.invalid(MISMATCH, self.list(headers={"X-Amz-Content-SHA256": "0" * 64}))

    def test_w9_public_operations_are_accepted_with_any_signature_and_with_none(self):
        pool = self.pool()
        broken = [("Authorization", "nonsense")]
        for options in (
            {},
            {"signer": Signer()},
            {"signer": Signer(key="AKIAIOSFODNN7EXAMPLE", secret="wrong", token="stale")},
            {"alter": lambda pairs: [*pairs, *broken]},
        ):
            answer = call("GetId", {"IdentityPoolId": pool}, **options)
            self.assertEqual((answer.status, list(answer.json)), (200, ["IdentityId"]))
            guest = {"IdentityId": answer.json["IdentityId"]}
            answer = call("GetOpenIdToken", guest, **options)
            self.assertEqual((answer.status, list(answer.json)), (200, ["IdentityId", "Token"]))
            # Refused for what they ask, not for how it is signed.
            answer = call("GetCredentialsForIdentity", guest, **options)
            self.assertEqual(answer.json["__type"], "InvalidIdentityPoolConfigurationException")
            answer = call("UnlinkIdentity", guest | {"Logins": {}, "LoginsToRemove": []}, **options)
            self.assertIn("Logins don't match.", answer.json["message"])


class Second(Case):
    """A second `symbolon serve` on other ports works with the env file alone, and here with one region only."""

    @classmethod
    def setUpClass(cls):
        cls.second = brokers.serve(SYMBOLON__REGIONS="us-east-1")

    @classmethod
    def tearDownClass(cls):
        code = cls.second.stop()
        if code != 0:
            raise AssertionError(f"symbolon serve ended with {code} at SIGTERM\n{cls.second.log()}")

    def test_d1_a_region_that_is_not_served(self):
        answer = call("ListIdentityPools", LIST, Signer(region="eu-west-1"), endpoint=self.second.endpoint)
        text = "Credential should be scoped to a valid region. This endpoint serves: us-east-1."
        self.is_error(answer, "InvalidSignatureException", text)
        self.assertEqual(call("ListIdentityPools", LIST, Signer(), endpoint=self.second.endpoint).status, 200)

    def test_both_brokers_know_the_same_things_and_sign_with_the_same_keys(self):
        pool = self.pool()
        other = client(endpoint=self.second.endpoint)
        identity, _ = self.token(pool)
        again, token = self.token(pool, of=other)
        self.assertEqual(again, identity)
        claims = Verifier(os.environ["AWS_ENDPOINT_URL_COGNITO_IDENTITY"]).verify(token, pool)
        self.assertEqual(claims["sub"], identity)

    def test_only_dev_makes_keys_of_account_numbers(self):
        signer = Signer(key="777777777777", secret="test")
        answer = call("ListIdentityPools", LIST, signer, endpoint=self.second.endpoint)
        self.is_error(answer, "UnrecognizedClientException", UNKNOWN_KEY)
        self.assertEqual(call("ListIdentityPools", LIST, signer).status, 200)
        self.assertEqual(call("ListIdentityPools", LIST, signer, endpoint=self.second.endpoint).status, 200)
