"""The wire protocol over plain HTTP: heads, targets, bodies, CORS."""

import email.utils
import http.client
import json
import os
import time
import urllib.parse

import support
from support import NOBODY, REGION, Case, Signer, breach, call, client, exchange

LIST = {"MaxResults": 1}
NULL_POOL = breach(None, "identityPoolId", "Member must not be null")
EXPOSED = {"x-amzn-requestid", "x-amzn-errortype", "x-amzn-errormessage", "date"}
MAX_BODY = 768 * 1024


def endpoint():
    return os.environ["AWS_ENDPOINT_URL_COGNITO_IDENTITY"]


def names(header):
    return {name.strip().lower() for name in header.split(",")}


class Heads(Case):
    def test_w14_w20_every_answer_has_its_head(self):
        found = set()
        for answer in (call("GetId"), call("ListIdentityPools", LIST), call("ListIdentityPools", LIST, Signer())):
            self.has_usual_head(answer)
            found.add(answer.headers["x-amzn-requestid"])
            at = email.utils.parsedate_to_datetime(answer.headers["date"]).timestamp()
            self.assertLess(abs(time.time() - at), 3)
            # Plain HTTP here; browsers ignore it there.
            self.assertNotIn("strict-transport-security", answer.headers)
        self.assertEqual(len(found), 3)

    def test_w15_operations_without_output_answer_with_an_empty_body(self):
        answer = call("DeleteIdentityPool", {"IdentityPoolId": self.pool()}, Signer())
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.has_usual_head(answer)

    def test_w16_members_that_are_unset_are_left_out(self):
        pool = self.pool(DeveloperProviderName=None)
        shown = call("DescribeIdentityPool", {"IdentityPoolId": pool}, Signer()).json
        members = ["IdentityPoolId", "IdentityPoolName", "AllowUnauthenticatedIdentities", "IdentityPoolTags"]
        self.assertEqual(list(shown), members)
        listed = call("ListIdentityPools", {"MaxResults": 60}, Signer(region="empty-region-1"))
        self.assertEqual(listed.body, b'{"IdentityPools":[]}')

    def test_w5_dates_are_epoch_seconds(self):
        shown = call("DescribeIdentity", {"IdentityId": self.guest(self.pool())}, Signer()).json
        self.assertLess(abs(shown["CreationDate"] - time.time()), 5)

    def test_w18_w19_an_error_is_told_in_body_and_head(self):
        answer = call("GetId", {"IdentityPoolId": NOBODY})
        self.is_error(answer, "ResourceNotFoundException", f"IdentityPool '{NOBODY}' not found.")
        self.assertEqual(answer.headers["x-amzn-errortype"], "ResourceNotFoundException:")

    def test_w19_a_message_that_no_header_can_hold_is_in_the_body_only(self):
        for bad in ("é", "a\nb", "a\r\nSet-Cookie: x=y", "\0", "x" * 2000):
            answer = call("GetId", {"IdentityPoolId": bad})
            self.assertEqual(answer.json["__type"], "ValidationException")
            self.assertNotIn("x-amzn-errormessage", answer.headers)
            self.assertNotIn("set-cookie", answer.headers)

    def test_no_value_of_a_request_begins_a_line_of_the_log(self):
        # A value that breaks a limit may be a secret in the wrong place, and is not logged; the path to it is.
        call("GetId", {"IdentityPoolId": "a\nforged-0"})
        mappings = {"a\nforged-1\rforged-2\u001b[2Jforged-3": {"Type": "Nonsense"}}
        body = {"IdentityPoolId": self.pool(), "Roles": {}, "RoleMappings": mappings}
        answer = call("SetIdentityPoolRoles", body, Signer())
        end = time.monotonic() + 5
        while answer.headers["x-amzn-requestid"] not in support.broker.log() and time.monotonic() < end:
            time.sleep(0.01)
        log = support.broker.log()
        self.assertNotIn("forged-0", log)
        self.assertIn("forged-1", log)
        self.assertNotRegex(log, r"[\n\r\x1b]+(\[2J)?forged")

    def test_a_connection_is_kept(self):
        answers = [call("GetId") for _ in range(3)]
        self.assertEqual([answer.closed for answer in answers], [False] * 3)


class Targets(Case):
    def test_w4_any_host_name_works(self):
        for host in ("cognito-identity.us-east-1.amazonaws.com", "broker.internal:8443", "localhost"):
            head = {
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": "AWSCognitoIdentityService.ListIdentityPools",
            }
            signed = Signer().sign(f"https://{host}/", head, b'{"MaxResults":1}')
            answer = exchange(endpoint(), [("Host", host), *signed.items()], b'{"MaxResults":1}', own_host=True)
            self.assertEqual(answer.status, 200, answer.body)

    def target(self, target, **options):
        return call("", {}, target=target, **options)

    def test_w2_w3_short_and_long_targets(self):
        for service in ("AWSCognitoIdentityService", "com.amazonaws.cognito.identity.model.AWSCognitoIdentityService"):
            self.is_error(self.target(f"{service}.GetId"), "ValidationException", NULL_POOL)
            answer = call("", LIST, Signer(), target=f"{service}.ListIdentityPools")
            self.assertEqual(answer.status, 200)

    def test_an_unknown_missing_or_garbled_target(self):
        service = "AWSCognitoIdentityService"
        for target in (
            f"{service}.Nothing",
            f"{service}.getid",
            f"{service}.GetId.",
            f"{service}.",
            service,
            "GetId",
            ".GetId",
            "",
            "AWSCognitoIdentityProviderService.ListUserPools",
            f"XX{service}.GetId",
            f"{service}.GetId é",
            "x" * 4000,
        ):
            with self.subTest(target=target):
                self.unknown(self.target(target))
        self.unknown(call("GetId", headers={"X-Amz-Target": None}))
        self.unknown(call("GetId", alter=lambda pairs: [*pairs, ("X-Amz-Target", "AWSCognitoIdentityService.GetId")]))

    def unknown(self, answer):
        self.is_error(answer, "UnknownOperationException", None)
        self.assertEqual(answer.body, b'{"__type":"UnknownOperationException"}')

    def test_a_content_type_of_another_protocol(self):
        for content_type in (
            None,
            "application/json",
            "text/plain",
            "application/cbor",
            "multipart/form-data",
        ):
            with self.subTest(content_type=content_type):
                answer = call("GetId", headers={"Content-Type": content_type})
                text = b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}'
                self.assertEqual((answer.status, answer.body), (404, text))
                self.has_usual_head(answer)

    def test_content_types_that_are_the_protocols(self):
        for content_type in ("application/x-amz-json-1.1; charset=utf-8", "Application/X-Amz-Json-1.1"):
            answer = call("GetId", headers={"Content-Type": content_type})
            self.is_error(answer, "ValidationException", NULL_POOL)

    def test_other_methods_and_paths_are_not_the_apis(self):
        for method, path, status in [
            ("GET", "/", 405),
            ("PUT", "/", 405),
            ("POST", "/x", 404),
            ("GET", "/x", 404),
            ("POST", "//", 404),
        ]:
            answer = exchange(endpoint(), [], b"", method, path)
            self.assertEqual((answer.status, answer.body), (status, b""), (method, path))
        for path in ("/.well-known/openid-configuration", "/.well-known/jwks.json", "/.well-known/jwks_uri"):
            answer = exchange(endpoint(), [], b"", "GET", path)
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
            self.assertIn("max-age=", answer.headers["cache-control"])
            again = exchange(endpoint(), [("If-None-Match", answer.headers["etag"])], b"", "GET", path)
            self.assertEqual((again.status, again.body), (304, b""))


class Bodies(Case):
    def malformed(self, body, reason=None):
        """Both a public and a signed operation refuse it, and show nothing of it."""
        for answer in (call("GetId", body), call("ListIdentityPools", body, Signer())):
            self.assertEqual((answer.status, answer.json["__type"]), (400, "SerializationException"), body[:80])
            self.is_error(answer, "SerializationException", answer.json["message"])
            self.assertNotIn("secret", answer.json["message"])
            if reason:
                self.assertIn(reason, answer.json["message"])

    def test_w7_an_empty_body_is_an_empty_object(self):
        self.is_error(call("GetId", b""), "ValidationException", NULL_POOL)
        text = breach(None, "maxResults", "Member must not be null")
        self.is_error(call("ListIdentityPools", b"", Signer()), "ValidationException", text)

    def test_w6_unknown_members_are_ignored_and_null_is_absent(self):
        pool = self.pool()
        body = {"IdentityPoolId": pool, "Logins": None, "AccountId": None, "Else": {"deep": [1, {"x": None}]}}
        self.assertEqual(call("GetId", body).status, 200)
        self.assertEqual(call("ListIdentityPools", {"MaxResults": 1, "NextToken": None}, Signer()).status, 200)

    def test_malformed_json(self):
        for body in (
            b"{",
            b"{]",
            b"{'a':1}",
            b"{a:1}",
            b'{"a":secret}',
            b'{"a":1,}',
            b"\xff",
            b'{"a":"\xff"}',
            b" ",
            b"{}{}",
            b"{} x",
        ):
            self.malformed(body)
        for body in (b"[]", b"null", b'"secret"', b"1", b"true"):
            self.malformed(body, "the body is not a JSON object")

    def test_keys_twice_are_refused_anywhere_and_however_written(self):
        for body in (
            b'{"MaxResults":1,"MaxResults":1}',
            b'{"a":1,"\\u0061":2}',
            b'{"Logins":{"p":"secret","p":"secret"}}',
            b'{"x":[{"y":1,"y":1}]}',
        ):
            self.malformed(body, "a key twice in one object")

    def test_sixteen_levels_and_no_more(self):
        nested = lambda levels: b'{"x":' * (levels - 1) + b"{}" + b"}" * (levels - 1)
        lists = lambda levels: b'{"x":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"
        for shape in (nested, lists):
            self.is_error(call("GetId", shape(16)), "ValidationException", NULL_POOL)
            self.malformed(shape(17), "nested too deeply")
        self.malformed(b'{"x":' + b"[" * 500_000, "nested too deeply")

    def test_lone_surrogates_and_huge_numbers(self):
        for body in (b'{"a":"\\ud800"}', b'{"\\udc00":1}', b'{"a":1e999}'):
            self.malformed(body)

    def test_a_body_of_768_kib_is_read_and_one_byte_more_is_not(self):
        padded = lambda size: json.dumps({"MaxResults": 1}).encode().ljust(size)
        self.assertEqual(call("ListIdentityPools", padded(MAX_BODY), Signer()).status, 200)
        for signer in (None, Signer()):
            for size in (MAX_BODY + 1, 2 * MAX_BODY):
                answer = call("ListIdentityPools", padded(size), signer)
                text = f"Request body is larger than {MAX_BODY} bytes."
                self.is_error(answer, "RequestEntityTooLargeException", text, 413)
                self.assertEqual((answer.headers["connection"], answer.closed), ("close", True))

    def test_a_body_in_chunks_has_the_same_limit(self):
        host = urllib.parse.urlsplit(endpoint()).netloc
        for size, status in ((1024, 400), (MAX_BODY + 1, 413)):
            connection = http.client.HTTPConnection(host, timeout=30)
            head = {"X-Amz-Target": "AWSCognitoIdentityService.GetId", "Content-Type": "application/x-amz-json-1.1"}
            chunks = [b"{}", b" " * (size - 2)]
            connection.request("POST", "/", iter(chunks), head, encode_chunked=True)
            self.assertEqual(connection.getresponse().status, status)
            connection.close()

    def test_content_encodings_are_refused(self):
        for encoding in ("gzip", "deflate", "br", "aws-chunked", "identity, gzip"):
            text = "Content-Encoding is not supported; send the body as it is."
            answer = call("ListIdentityPools", LIST, Signer(), headers={"Content-Encoding": encoding})
            self.is_error(answer, "SerializationException", text)
        answer = call("ListIdentityPools", LIST, Signer(), headers={"Content-Encoding": "identity"})
        self.assertEqual(answer.status, 200)

    def test_unicode_is_kept(self):
        pool = self.pool()
        user = "größe 字 😀 \u0007 \u2028"
        identity = self.sign_in(pool, user)
        shown = client().lookup_developer_identity(IdentityPoolId=pool, IdentityId=identity)
        self.assertEqual(shown["DeveloperUserIdentifierList"], [user])
        raw = json.dumps({"IdentityPoolId": pool, "DeveloperUserIdentifier": user}, ensure_ascii=False).encode()
        self.assertEqual(call("LookupDeveloperIdentity", raw, Signer()).json["IdentityId"], identity)


class BrowserPages(Case):
    ASKED = "content-type,x-amz-target,x-amz-date,authorization,x-amz-security-token,x-amz-user-agent,amz-sdk-request"

    def test_w17_preflight(self):
        asking = [
            ("Origin", "https://app.example"),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", self.ASKED),
        ]
        answer = exchange(endpoint(), asking, b"", "OPTIONS")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        self.assertEqual(answer.headers["access-control-max-age"], "172800")
        self.assertIn("post", names(answer.headers["access-control-allow-methods"]))
        self.assertEqual(names(answer.headers["access-control-allow-headers"]), names(self.ASKED))
        self.assertNotIn("access-control-allow-credentials", answer.headers)

    def test_w17_answers_show_their_heads_to_pages(self):
        pool = self.pool()
        for body in ({"IdentityPoolId": pool}, {}):
            answer = call("GetId", body, headers={"Origin": "https://app.example"})
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")
            self.assertEqual(names(answer.headers["access-control-expose-headers"]), EXPOSED)

    def test_dev_refuses_signed_requests_of_foreign_pages(self):
        for origin in (
            "https://evil.example",
            "null",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
        ):
            answer = call("ListIdentityPools", LIST, Signer(), headers={"Origin": origin})
            self.assertEqual((answer.status, answer.json["__type"]), (400, "AccessDeniedException"))
            self.is_error(answer, "AccessDeniedException", answer.json["Message"])
            self.assertIn(f"origin {origin} ", answer.json["Message"])
            self.assertIn("dev.allowed_origins", answer.json["Message"])

    def test_dev_admits_signed_requests_of_pages_of_this_machine(self):
        for origin in ("http://localhost:3000", "http://127.0.0.1:8080", "http://[::1]:5173"):
            answer = call("ListIdentityPools", LIST, Signer(region=REGION), headers={"Origin": origin})
            self.assertEqual(answer.status, 200)
