"""The AWS SDK for JavaScript in Node, and the guide's files: developer users, guests, credential providers."""

import urllib.request

import node
import support
from support import DEVELOPER, NOBODY, Case, client

# Composed and decomposed, right to left, outside of the basic plane, and what JSON must escape.
USERS = ["größe", "gro\u0308ße", "字", "😀🏳️‍🌈", "مستخدم", 'a"b\\c/d', "tab\tline\nseparator\u2028"]
TAGS = "https://aws.amazon.com/tags"


def answered(operation):
    """How often the broker has answered an operation, by exception or `OK`."""
    with urllib.request.urlopen(f"{support.broker.admin}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    counts = {}
    for line in lines:
        if line.startswith("symbolon_requests_total{") and f'operation="{operation}"' in line:
            labels, count = line.rsplit(" ", 1)
            counts[labels.split('code="')[1].split('"')[0]] = int(count)
    return counts


def since(before, operation):
    now = answered(operation)
    return {code: count - before.get(code, 0) for code, count in now.items() if count != before.get(code, 0)}


class JavaScript(Case):
    @classmethod
    def setUpClass(cls):
        cls.workplace = node.Workplace()
        cls.addClassCleanup(cls.workplace.close)

    def run_script(self, name, credentials=True, **arguments):
        return self.workplace.run(name, credentials, **arguments)

    def listed(self, pool):
        identities = client().list_identities(IdentityPoolId=pool, MaxResults=60)["Identities"]
        return [entry["IdentityId"] for entry in identities]

    def test_every_file_of_the_guide_is_run(self):
        self.assertEqual(
            set(node.files_of_the_guide()), {"backend.mjs", "guest.mjs", "user.mjs", "verify.mjs", "refusal.mjs"}
        )
        self.assertEqual(node.GUIDE.read_text().count("```js\n"), 5)

    def test_developer_users_with_names_in_any_script(self):
        done = self.run_script("developer.mjs", provider=DEVELOPER, users=USERS)
        pool = done["pool"]
        verified = self.run_script("verify.mjs", pool=pool, other=self.pool(), tokens=done["tokens"])["claims"]
        for user, claims in zip(USERS, verified):
            self.assertEqual(claims["amr"], ["authenticated", DEVELOPER, f"{DEVELOPER}:{pool}:{user}"])
            self.assertEqual(claims[TAGS], {"principal_tags": {"Équipe": [user]}})
            self.assertEqual(claims["exp"] - claims["iat"], 300)
        self.assertEqual(len(verified), len(USERS) + 1)
        # boto3 finds by the same bytes what JavaScript wrote.
        for user in USERS[1:]:
            found = client().lookup_developer_identity(IdentityPoolId=pool, DeveloperUserIdentifier=user)
            self.assertEqual(found["DeveloperUserIdentifierList"], [user])

    def test_refusals_are_the_sdks_own_classes(self):
        self.run_script("refusals.mjs", pool=self.pool(), provider=DEVELOPER, nobody=NOBODY)

    def test_a_guest_needs_no_credentials(self):
        pool, classicless = self.pool(AllowClassicFlow=True), self.pool(AllowClassicFlow=False)
        user = self.sign_in(pool)
        done = self.run_script("guest.mjs", credentials=False, pool=pool, classicless=classicless, user=user)
        self.assertEqual(set(self.listed(pool)), {user, done["identity"]})

    def test_c4_from_cognito_identity_pool_asks_for_an_identity_once_and_is_told_that_there_are_no_roles(self):
        pool = self.pool()
        before = {name: answered(name) for name in ("GetId", "GetCredentialsForIdentity")}
        self.run_script("providers.mjs", credentials=False, pool=pool)
        self.assertEqual(since(before["GetId"], "GetId"), {"OK": 1})
        refused = since(before["GetCredentialsForIdentity"], "GetCredentialsForIdentity")
        self.assertEqual(refused, {"InvalidIdentityPoolConfigurationException": 1})
        self.assertEqual(len(self.listed(pool)), 1)

    def test_c5_a_developer_users_token_is_taken_by_the_provider_and_there_are_no_roles(self):
        pool = self.pool()
        identity, token = self.token(pool)
        self.run_script("providers.mjs", credentials=False, user={"identity": identity, "token": token})
        self.assertEqual(self.listed(pool), [identity])

    def test_c5_c6_c7_i7_what_a_users_own_token_proves_and_what_not(self):
        pool = self.pool()
        alice, bob = (dict(zip(("identity", "token"), self.token(pool, user))) for user in ("alice", "bob"))
        self.run_script("own_token.mjs", credentials=False, pool=pool, provider=DEVELOPER, alice=alice, bob=bob)
        self.assertEqual(set(self.listed(pool)), {alice["identity"], bob["identity"]})
        self.assertEqual(self.describe(alice["identity"])["Logins"], [DEVELOPER])
