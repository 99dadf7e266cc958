"""Pools, guests and the administration of identities by boto3."""

import datetime

import broker as brokers
from support import DEVELOPER, NOBODY, Case, client

NO_POOL = f"IdentityPool '{NOBODY}' not found."

EVERYTHING = {
    "IdentityPoolName": "My pool_1 +=,.@-",
    "AllowUnauthenticatedIdentities": True,
    "AllowClassicFlow": False,
    "SupportedLoginProviders": {"graph.facebook.com": "7346241598935552", "accounts.google.com": "1.apps"},
    "DeveloperProviderName": DEVELOPER,
    "OpenIdConnectProviderARNs": [
        "arn:aws:iam::123456789012:oidc-provider/b.example",
        "arn:aws:iam::123456789012:oidc-provider/a.example",
    ],
    "CognitoIdentityProviders": [
        {
            "ProviderName": "cognito-idp.us-east-1.amazonaws.com/us-east-1_b",
            "ClientId": "c2",
            "ServerSideTokenCheck": True,
        },
        {"ProviderName": "cognito-idp.us-east-1.amazonaws.com/us-east-1_a", "ClientId": "c1"},
    ],
    "SamlProviderARNs": ["arn:aws:iam::123456789012:saml-provider/okta"],
    "IdentityPoolTags": {"team": "blue", "Équipe": ""},
}


def body(answer):
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


class Pools(Case):
    def create(self, **settings):
        return body(client().create_identity_pool(**settings))

    def read(self, pool):
        return body(client().describe_identity_pool(IdentityPoolId=pool))

    def update(self, pool, **settings):
        settings = {"IdentityPoolName": "new", "AllowUnauthenticatedIdentities": False} | settings
        return body(client().update_identity_pool(IdentityPoolId=pool, **settings))

    def test_p1_create_answers_with_all_that_was_set(self):
        pool = self.create(**EVERYTHING)
        self.assertRegex(pool["IdentityPoolId"], "^us-east-1:[0-9a-f-]{36}$")
        self.assertEqual(pool, EVERYTHING | {"IdentityPoolId": pool["IdentityPoolId"]})
        self.assertEqual(self.read(pool["IdentityPoolId"]), pool)

    def test_p1_w16_unset_members_are_left_out_but_for_tags(self):
        settings = {"IdentityPoolName": "p", "AllowUnauthenticatedIdentities": False}
        pool = self.create(**settings)
        self.assertEqual(pool, settings | {"IdentityPoolId": pool["IdentityPoolId"], "IdentityPoolTags": {}})
        self.assertEqual(self.read(pool["IdentityPoolId"]), pool)
        self.assertIn("AllowClassicFlow", self.create(**settings, AllowClassicFlow=False))

    def test_s1_names_are_not_unique(self):
        self.assertNotEqual(self.pool(), self.pool())

    def test_p2_the_developer_provider_name_stays(self):
        pool = self.pool()
        function = client().update_identity_pool
        arguments = {"IdentityPoolId": pool, "IdentityPoolName": "p", "AllowUnauthenticatedIdentities": True}
        text = "DeveloperProviderName cannot be changed."
        self.refused("InvalidParameterException", text, function, **arguments, DeveloperProviderName="other")
        self.assertEqual(self.update(pool, DeveloperProviderName=DEVELOPER)["DeveloperProviderName"], DEVELOPER)
        later = self.pool(DeveloperProviderName=None)
        self.assertEqual(self.update(later, DeveloperProviderName="later")["DeveloperProviderName"], "later")

    def test_p3_p4_p9_update_clears_providers_and_keeps_name_tags_and_classic_flow(self):
        pool = self.create(**EVERYTHING)["IdentityPoolId"]
        kept = ("DeveloperProviderName", "IdentityPoolTags", "AllowClassicFlow")
        expected = {name: EVERYTHING[name] for name in kept} | {
            "IdentityPoolId": pool,
            "IdentityPoolName": "new",
            "AllowUnauthenticatedIdentities": False,
        }
        self.assertEqual(self.update(pool), expected)
        self.assertEqual(self.read(pool), expected)

    def test_p3_update_replaces_what_it_names(self):
        pool = self.pool()
        changed = self.update(pool, **EVERYTHING | {"IdentityPoolTags": {"a": "b"}, "AllowClassicFlow": True})
        expected = EVERYTHING | {"IdentityPoolId": pool, "IdentityPoolTags": {"a": "b"}, "AllowClassicFlow": True}
        self.assertEqual((changed, self.read(pool)), (expected, expected))

    def test_p5_entries_that_are_no_user_pool_client(self):
        name = "cognito-idp.us-east-1.amazonaws.com/us-east-1_a"
        settings = {"IdentityPoolName": "p", "AllowUnauthenticatedIdentities": False}
        for entry in ({}, {"ProviderName": name}, {"ClientId": "c"}, {"ProviderName": "us-east-1_a", "ClientId": "c"}):
            arguments = settings | {"CognitoIdentityProviders": [entry]}
            text = "Invalid Cognito Identity Provider"
            self.refused("InvalidParameterException", text, client().create_identity_pool, **arguments)

    def test_p6_d10_the_count_of_pools_has_a_limit(self):
        account = "666600000006"
        of = client(account=account)
        for _ in range(3):
            self.pool(of=of)
        second = brokers.serve(SYMBOLON__LIMITS__IDENTITY_POOLS_PER_ACCOUNT="4")
        try:
            small = client(account=account, endpoint=second.endpoint)
            self.pool(of=small)
            arguments = {"IdentityPoolName": "p", "AllowUnauthenticatedIdentities": False}
            with self.assertRaises(small.exceptions.LimitExceededException) as caught:
                small.create_identity_pool(**arguments)
            self.assertIn("4", caught.exception.response["Error"]["Message"])
            # What one broker makes, the other knows at once.
            self.assertEqual(len(of.list_identity_pools(MaxResults=60)["IdentityPools"]), 4)
        finally:
            self.assertEqual(second.stop(), 0)

    def test_p7_deleting_makes_all_unreachable_at_once(self):
        pool = self.pool()
        identity, guest = self.sign_in(pool), self.guest(pool)
        answer = client().delete_identity_pool(IdentityPoolId=pool)
        self.assertEqual((body(answer), answer["ResponseMetadata"]["HTTPStatusCode"]), ({}, 200))
        code, text = "ResourceNotFoundException", f"IdentityPool '{pool}' not found."
        for function, arguments in [
            (client().describe_identity_pool, {}),
            (client().delete_identity_pool, {}),
            (client().get_id, {}),
            (client().list_identities, {"MaxResults": 1}),
            (client().lookup_developer_identity, {"DeveloperUserIdentifier": "alice"}),
            (client().get_open_id_token_for_developer_identity, {"Logins": {DEVELOPER: "alice"}}),
        ]:
            self.refused(code, text, function, IdentityPoolId=pool, **arguments)
        for gone in (identity, guest):
            self.refused(code, f"Identity '{gone}' not found.", client().describe_identity, IdentityId=gone)
        listed = client().get_paginator("list_identity_pools").paginate(PaginationConfig={"PageSize": 60})
        self.assertNotIn(pool, [entry["IdentityPoolId"] for page in listed for entry in page["IdentityPools"]])

    def test_p8_the_list_is_paged_by_boto3s_paginator(self):
        of = client(account="888800000008")
        self.assertEqual(body(of.list_identity_pools(MaxResults=60)), {"IdentityPools": []})
        made = {self.pool(of=of, IdentityPoolName=f"pool {n}"): f"pool {n}" for n in range(7)}
        for size in (1, 3, 7, 60):
            pages = list(of.get_paginator("list_identity_pools").paginate(PaginationConfig={"PageSize": size}))
            entries = [entry for page in pages for entry in page["IdentityPools"]]
            self.assertEqual(len(pages), -(-7 // size))
            self.assertEqual({tuple(entry) for entry in entries}, {("IdentityPoolId", "IdentityPoolName")})
            self.assertEqual({entry["IdentityPoolId"]: entry["IdentityPoolName"] for entry in entries}, made)
            self.assertEqual(len(entries), 7)

    def test_x2_tags_follow_their_rules(self):
        settings = {"IdentityPoolName": "p", "AllowUnauthenticatedIdentities": False}
        for tags in ({"aws:x": "y"}, {"a*": "b"}, {f"k{n}": "v" for n in range(51)}):
            with self.assertRaises(client().exceptions.InvalidParameterException):
                client().create_identity_pool(**settings, IdentityPoolTags=tags)
        tags = {f"k{n} _.:/=+-@": "v" for n in range(50)}
        self.assertEqual(self.create(**settings, IdentityPoolTags=tags)["IdentityPoolTags"], tags)

    def test_p_s7_the_pool_is_not_found(self):
        more = {"IdentityPoolName": "p", "AllowUnauthenticatedIdentities": True}
        for function, arguments in [
            (client().describe_identity_pool, {}),
            (client().delete_identity_pool, {}),
            (client().update_identity_pool, more),
            (client().list_identities, {"MaxResults": 1}),
            (client().get_id, {}),
        ]:
            self.refused("ResourceNotFoundException", NO_POOL, function, IdentityPoolId=NOBODY, **arguments)


class Guests(Case):
    def test_i1_i8_i10_a_new_guest_at_every_call(self):
        pool = self.pool()
        found = [
            client().get_id(IdentityPoolId=pool, **more)["IdentityId"]
            for more in ({}, {"Logins": {}}, {"AccountId": "999999999999"})
        ]
        self.assertEqual(len(set(found)), 3)
        for guest in found:
            self.assertNotIn("Logins", self.describe(guest))

    def test_i2_guests_that_are_not_allowed(self):
        pool = self.pool(AllowUnauthenticatedIdentities=False)
        text = "Unauthenticated access is not supported for this identity pool."
        self.refused("NotAuthorizedException", text, client().get_id, IdentityPoolId=pool)
        client().update_identity_pool(IdentityPoolId=pool, IdentityPoolName="p", AllowUnauthenticatedIdentities=True)
        self.guest(pool)
        client().update_identity_pool(IdentityPoolId=pool, IdentityPoolName="p", AllowUnauthenticatedIdentities=False)
        self.refused("NotAuthorizedException", text, client().get_id, IdentityPoolId=pool)

    def test_i5_i6_i7_logins_that_are_of_no_public_provider(self):
        pool = self.pool()
        _, token = self.token(pool)
        unsupported = "Token is not from a supported provider of this identity pool."
        for logins, code, text in [
            ({"graph.facebook.com": "token"}, "NotAuthorizedException", unsupported),
            ({DEVELOPER: token}, "InvalidParameterException", "Please provide a valid public provider."),
            (
                {"cognito-identity.amazonaws.com": token},
                "NotAuthorizedException",
                "Invalid login token. Can't pass in a Cognito token.",
            ),
        ]:
            self.refused(code, text, client().get_id, IdentityPoolId=pool, Logins=logins)


class Identities(Case):
    def test_a1_describe_shows_names_of_providers_and_dates(self):
        pool = self.pool()
        identity = self.sign_in(pool, "secret-user")
        shown = self.describe(identity)
        self.assertEqual(list(shown), ["IdentityId", "Logins", "CreationDate", "LastModifiedDate"])
        self.assertEqual((shown["IdentityId"], shown["Logins"]), (identity, [DEVELOPER]))
        now = datetime.datetime.now(datetime.timezone.utc)
        for name in ("CreationDate", "LastModifiedDate"):
            self.assertLess(abs((now - shown[name]).total_seconds()), 5)
        text = f"Identity '{NOBODY}' not found."
        self.refused("ResourceNotFoundException", text, client().describe_identity, IdentityId=NOBODY)

    def test_a3_the_list_shows_what_describe_shows_in_pages(self):
        pool = self.pool()
        made = [self.sign_in(pool, f"user-{n}") for n in range(4)] + [self.guest(pool) for _ in range(3)]
        for size in (1, 3, 7, 60):
            found, token = [], {}
            while token is not None:
                page = body(client().list_identities(IdentityPoolId=pool, MaxResults=size, **token))
                self.assertEqual(page["IdentityPoolId"], pool)
                self.assertLessEqual(len(page["Identities"]), size)
                found += page["Identities"]
                token = {"NextToken": page["NextToken"]} if "NextToken" in page else None
            self.assertCountEqual(found, [self.describe(identity) for identity in made])
        self.assertEqual(client().list_identities(IdentityPoolId=self.pool(), MaxResults=1)["Identities"], [])

    def test_a2_a4_deleting_frees_logins_and_unknown_ids_count_as_done(self):
        pool = self.pool()
        alice, bob, guest = self.sign_in(pool), self.sign_in(pool, "bob"), self.guest(pool)
        asked = [alice, guest, NOBODY, "us-east-1:abc", alice]
        answer = client().delete_identities(IdentityIdsToDelete=asked)
        self.assertEqual(body(answer), {"UnprocessedIdentityIds": []})
        listed = client().list_identities(IdentityPoolId=pool, MaxResults=60)["Identities"]
        self.assertEqual([entry["IdentityId"] for entry in listed], [bob])
        self.assertNotIn(self.sign_in(pool), (alice, bob))
        self.assertEqual(self.sign_in(pool, "bob"), bob)
