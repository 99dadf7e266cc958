"""A page in Chromium that calls the broker across origins, by the AWS SDK for JavaScript and by plain fetches."""

import email.utils
import json
import os
import shutil
import subprocess
import threading
import time

import node
from support import NOBODY, REQUEST_ID, Case, client

NO_ROLES = "Invalid identity pool configuration. Check assigned IAM roles for this pool."


class Chromium:
    """The browser and the site that it visits, as one process."""

    def __init__(self):
        self.workplace = node.Workplace()
        chromium = shutil.which("chromium")
        if chromium is None:
            raise RuntimeError("Chromium is not there: run `make clients`")
        self.log = self.workplace.path / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["node", "driver.mjs", chromium],
                cwd=self.workplace.path,
                env=self.workplace.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        # A browser that hangs is not waited for without an end.
        self.watch = threading.Timer(600, self.process.kill)
        self.watch.start()
        try:
            self.version = self._answer()["version"]
        except BaseException:
            self.close()
            raise

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the browser's driver has ended\n{self.log.read_text()}")
        return json.loads(line)

    def visit(self, call, host="localhost", **arguments):
        """Opens the page under this name of its site and calls one of its functions."""
        self.process.stdin.write(json.dumps({"host": host, "call": call, "input": arguments}) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise AssertionError(json.dumps(answer, indent=2))
        return answer

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.watch.cancel()
        self.process.stdout.close()
        self.workplace.close()


class Page(Case):
    @classmethod
    def setUpClass(cls):
        cls.chromium = Chromium()
        cls.addClassCleanup(cls.chromium.close)
        cls.endpoint = os.environ["AWS_ENDPOINT_URL_COGNITO_IDENTITY"]

    def visit(self, call, complaints=0, **arguments):
        """The page's result, and its requests to the broker. A browser complains once of each answer with 400."""
        visited = self.chromium.visit(call, endpoint=self.endpoint, **arguments)
        self.assertFalse(self.endpoint.startswith(visited["origin"]))
        text = "Failed to load resource: the server responded with a status of 400 (Bad Request)"
        self.assertEqual(visited["complaints"], [text] * complaints)
        requests = [entry for entry in visited["requests"] if entry["url"].startswith(self.endpoint)]
        return visited["result"], [self.summary(entry) for entry in requests]

    def summary(self, request):
        if request["method"] == "POST":
            return request["target"].removeprefix("AWSCognitoIdentityService.")
        return f"{request['method']} {request['url'].removeprefix(self.endpoint)}"

    def has_no_roles(self, refusal):
        self.assertRegex(refusal.pop("requestId"), REQUEST_ID)
        self.assertEqual(
            refusal,
            {
                "name": "InvalidIdentityPoolConfigurationException",
                "message": NO_ROLES,
                "status": 400,
                "isServiceException": True,
                "isConfigurationException": True,
            },
        )

    def test_w17_a_guest_gets_a_token_and_verifies_it_after_one_preflight(self):
        pool = self.pool()
        result, requests = self.visit("guest", pool=pool)
        claims = result["claims"]
        self.assertEqual((claims["sub"], claims["aud"], claims["iss"]), (result["identity"], pool, self.endpoint))
        self.assertEqual(claims["amr"], ["unauthenticated"])
        documents = ["GET /.well-known/openid-configuration", "GET /.well-known/jwks.json"]
        calls = [entry for entry in requests if entry != "OPTIONS /"]
        self.assertEqual(calls, ["GetId", "GetOpenIdToken", *documents])
        # The second call rests on the first one's preflight; the documents need none.
        self.assertEqual(requests.count("OPTIONS /"), 1)
        self.assertEqual(client().describe_identity(IdentityId=result["identity"])["IdentityId"], result["identity"])

    def test_c4_a_guest_is_told_that_there_are_no_roles_with_a_request_id(self):
        refusal, requests = self.visit("credentialsOfGuest", identity=self.guest(self.pool()), complaints=1)
        self.has_no_roles(refusal)
        self.assertIn("GetCredentialsForIdentity", requests)

    def test_c5_a_developer_user_signs_in_at_the_backend(self):
        pool = self.pool()
        result, requests = self.visit("user", pool=pool, user="größe 字", complaints=1)
        self.assertEqual(result["claims"]["sub"], result["identity"])
        self.assertEqual(result["claims"]["amr"][2], f"login.example:{pool}:größe 字")
        self.assertEqual(result["identity"], self.sign_in(pool, "größe 字"))
        self.has_no_roles(result["credentials"])
        # The page itself asked for no token.
        self.assertNotIn("GetOpenIdTokenForDeveloperIdentity", requests)

    def test_w17_a_page_reads_the_heads_of_answers(self):
        refused, _ = self.visit("plain", operation="GetId", input={"IdentityPoolId": NOBODY}, complaints=1)
        head, text = refused["headers"], f"IdentityPool '{NOBODY}' not found."
        self.assertEqual(refused["status"], 400)
        self.assertEqual(refused["body"], {"__type": "ResourceNotFoundException", "message": text})
        self.assertEqual(head["x-amzn-errortype"], "ResourceNotFoundException:")
        self.assertEqual(head["x-amzn-errormessage"], text)
        answered, _ = self.visit("plain", operation="GetId", input={"IdentityPoolId": self.pool()})
        self.assertEqual((answered["status"], set(answered["body"])), (200, {"IdentityId"}))
        for head in (refused["headers"], answered["headers"]):
            self.assertRegex(head["x-amzn-requestid"], REQUEST_ID)
            self.assertLess(abs(email.utils.parsedate_to_datetime(head["date"]).timestamp() - time.time()), 10)

    def test_in_dev_a_page_of_this_machine_may_sign_and_a_foreign_one_may_not(self):
        tenant = "565656565656"
        pool = self.pool(of=client(account=tenant))
        for host in ("localhost", "127.0.0.1"):
            with self.subTest(host=host):
                result, _ = self.visit("pools", host=host, accessKeyId=tenant, secretAccessKey="test")
                self.assertEqual(result, {"answer": [pool]})
        known = {"accessKeyId": os.environ["AWS_ACCESS_KEY_ID"], "secretAccessKey": os.environ["AWS_SECRET_ACCESS_KEY"]}
        refusal, _ = self.visit("pools", host="app.example", complaints=1, **known)
        self.assertEqual((refusal["name"], refusal["status"]), ("AccessDeniedException", 400))
        self.assertIn("origin http://app.example:", refusal["message"])
        self.assertIn("dev.allowed_origins", refusal["message"])
