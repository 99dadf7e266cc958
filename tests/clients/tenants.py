"""Tenants, regions and page tokens: what is somebody else's is as what does not exist."""

import jwt

from support import DEVELOPER, NOBODY, Case, Signer, call, client

ALICE, BOB = "111111111111", "222222222222"
POOLS = "arn:aws:cognito-identity:us-east-1::identitypool/"
NAMED = {"IdentityPoolName": "p", "AllowUnauthenticatedIdentities": False}


def questions(pool, identity):
    """Every signed operation that is implemented and names a pool or an identity."""
    user = {"DeveloperProviderName": DEVELOPER, "DeveloperUserIdentifier": "alice"}
    merge = {"SourceUserIdentifier": "alice", "DestinationUserIdentifier": "alice", "DeveloperProviderName": DEVELOPER}
    return [
        ("DescribeIdentityPool", {"IdentityPoolId": pool}),
        ("UpdateIdentityPool", {"IdentityPoolId": pool} | NAMED),
        ("DeleteIdentityPool", {"IdentityPoolId": pool}),
        ("ListIdentities", {"IdentityPoolId": pool, "MaxResults": 1}),
        ("GetOpenIdTokenForDeveloperIdentity", {"IdentityPoolId": pool, "Logins": {DEVELOPER: "alice"}}),
        (
            "GetOpenIdTokenForDeveloperIdentity",
            {"IdentityPoolId": pool, "Logins": {DEVELOPER: "alice"}, "IdentityId": identity},
        ),
        ("LookupDeveloperIdentity", {"IdentityPoolId": pool, "DeveloperUserIdentifier": "alice"}),
        ("LookupDeveloperIdentity", {"IdentityPoolId": pool, "IdentityId": identity}),
        ("MergeDeveloperIdentities", {"IdentityPoolId": pool} | merge),
        ("UnlinkDeveloperIdentity", {"IdentityPoolId": pool, "IdentityId": identity} | user),
        ("GetIdentityPoolRoles", {"IdentityPoolId": pool}),
        ("SetIdentityPoolRoles", {"IdentityPoolId": pool, "Roles": {}}),
        ("GetPrincipalTagAttributeMap", {"IdentityPoolId": pool, "IdentityProviderName": DEVELOPER}),
        ("SetPrincipalTagAttributeMap", {"IdentityPoolId": pool, "IdentityProviderName": DEVELOPER}),
        ("ListTagsForResource", {"ResourceArn": f"{POOLS}{pool}"}),
        ("TagResource", {"ResourceArn": f"{POOLS}{pool}", "Tags": {"taken": "over"}}),
        ("UntagResource", {"ResourceArn": f"{POOLS}{pool}", "TagKeys": ["taken"]}),
        ("DescribeIdentity", {"IdentityId": identity}),
        ("DeleteIdentities", {"IdentityIdsToDelete": [identity]}),
    ]


class Foreign(Case):
    def setUp(self):
        self.alice = client(account=ALICE)
        self.theirs = self.pool(of=self.alice)
        self.identity, _ = self.token(self.theirs, of=self.alice)

    def snapshot(self):
        pool = self.alice.describe_identity_pool(IdentityPoolId=self.theirs)
        identity = self.alice.describe_identity(IdentityId=self.identity)
        users = self.alice.lookup_developer_identity(IdentityPoolId=self.theirs, IdentityId=self.identity)
        return [
            {name: value for name, value in part.items() if name != "ResponseMetadata"}
            for part in (pool, identity, users)
        ]

    def same_answers(self, signer, ids, absent):
        """The same answers, but for the ids that were sent, and nothing of `ids` changed."""
        before = self.snapshot()
        for (operation, foreign), (_, missing) in zip(questions(*ids), questions(*absent)):
            with self.subTest(operation=operation, arguments=foreign):
                got, wanted = call(operation, foreign, signer), call(operation, missing, signer)
                self.has_usual_head(got)
                self.assertEqual(got.status, 200 if operation == "DeleteIdentities" else 400)
                shown = got.body.decode()
                for id, other in zip(ids, absent):
                    shown = shown.replace(id, other)
                self.assertEqual((got.status, shown), (wanted.status, wanted.body.decode()))
                changing = ("x-amzn-requestid", "date", "x-amzn-errormessage")
                heads = [{n: v for n, v in answer.headers.items() if n not in changing} for answer in (got, wanted)]
                self.assertEqual(*heads)
        self.assertEqual(self.snapshot(), before)

    def test_d5_s9_another_tenants_pool_and_identity_do_not_exist(self):
        absent = (NOBODY, NOBODY[:-1] + "1")
        self.same_answers(Signer(key=BOB, secret="test"), (self.theirs, self.identity), absent)

    def test_d5_another_tenants_identity_in_a_pool_of_ones_own(self):
        own = self.pool(of=client(account=BOB))
        self.token(own, "alice", of=client(account=BOB))
        signer = Signer(key=BOB, secret="test")
        for (operation, foreign), (_, missing) in zip(questions(own, self.identity), questions(own, NOBODY)):
            if "IdentityId" in foreign:
                got, wanted = call(operation, foreign, signer), call(operation, missing, signer)
                self.assertEqual(got.body.decode().replace(self.identity, NOBODY), wanted.body.decode())
                self.assertEqual((got.status, got.json["__type"]), (400, "ResourceNotFoundException"))

    def test_d1_another_regions_pool_and_identity_do_not_exist(self):
        absent = (NOBODY, NOBODY[:-1] + "1")
        signer = Signer(key=ALICE, secret="test", region="eu-west-1")
        self.same_answers(signer, (self.theirs, self.identity), absent)

    def test_d1_lists_show_the_callers_region_and_tenant_only(self):
        of = [
            client(account="333333333333"),
            client("eu-west-1", account="333333333333"),
            client(account="444444444444"),
        ]
        made = [self.pool(of=each) for each in of]
        listed = [
            [entry["IdentityPoolId"] for entry in each.list_identity_pools(MaxResults=60)["IdentityPools"]]
            for each in of
        ]
        self.assertEqual(listed, [[pool] for pool in made])

    def test_the_account_number_is_in_the_tokens_arn(self):
        _, token = self.token(self.theirs, of=self.alice)
        claims = jwt.decode(token, options={"verify_signature": False})
        arn = f"arn:aws:cognito-identity:us-east-1:{ALICE}:identitypool/{self.theirs}"
        self.assertEqual(claims["https://cognito-identity.amazonaws.com/identity-pool-arn"], arn)

    def test_unsigned_operations_find_the_pool_of_any_tenant(self):
        guest = client().get_id(IdentityPoolId=self.theirs)["IdentityId"]
        self.assertEqual(self.alice.describe_identity(IdentityId=guest)["IdentityId"], guest)
        text = f"Identity '{guest}' not found."
        self.refused("ResourceNotFoundException", text, client().describe_identity, IdentityId=guest)


class PageTokens(Case):
    """S12: a page token is good for its own question only."""

    @classmethod
    def setUpClass(cls):
        cls.alice, cls.bob = client(account="555500000001"), client(account="555500000002")
        new = {"DeveloperProviderName": DEVELOPER} | NAMED
        pools = [of.create_identity_pool(**new)["IdentityPoolId"] for of in (cls.alice, cls.alice, cls.bob, cls.bob)]
        cls.pools = pools
        for of, pool in zip((cls.alice, cls.alice, cls.bob, cls.bob), pools):
            for user in ("a", "b", "c", "d"):
                of.get_open_id_token_for_developer_identity(IdentityPoolId=pool, Logins={DEVELOPER: user})
            merge = {"IdentityPoolId": pool, "DeveloperProviderName": DEVELOPER}
            of.merge_developer_identities(SourceUserIdentifier="a", DestinationUserIdentifier="b", **merge)
            of.merge_developer_identities(SourceUserIdentifier="c", DestinationUserIdentifier="d", **merge)

    def ask(self, operation, of=None, **arguments):
        return getattr(of or self.alice, operation)(MaxResults=1, **arguments)

    def test_s12_a_token_for_another_question_is_refused(self):
        mine, other, theirs, _ = self.pools
        lists = {"IdentityPoolId": mine}
        lookup = {"IdentityPoolId": mine, "DeveloperUserIdentifier": "a"}
        tokens = {
            "list_identity_pools": self.ask("list_identity_pools")["NextToken"],
            "list_identities": self.ask("list_identities", **lists)["NextToken"],
            "lookup_developer_identity": self.ask("lookup_developer_identity", **lookup)["NextToken"],
        }
        own = {"list_identity_pools": {}, "list_identities": lists, "lookup_developer_identity": lookup}
        for operation, token in tokens.items():
            self.assertRegex(token, r"^[A-Za-z0-9_-]+$")
            # It is good for its own question, twice.
            answers = [self.ask(operation, **own[operation], NextToken=token) for _ in range(2)]
            self.assertEqual(
                *[{k: v for k, v in answer.items() if k not in ("ResponseMetadata", "NextToken")} for answer in answers]
            )
        refused = [
            ("list_identities", {"IdentityPoolId": other}, "list_identities"),
            ("list_identities", lists | {"HideDisabled": True}, "list_identities"),
            ("lookup_developer_identity", lookup | {"DeveloperUserIdentifier": "c"}, "lookup_developer_identity"),
            ("lookup_developer_identity", lookup | {"IdentityPoolId": other}, "lookup_developer_identity"),
        ]
        refused += [(to, own[to], by) for to in tokens for by in tokens if to != by]
        cases = [(self.alice, *case) for case in refused]
        elsewhere = client("eu-west-1", account="555500000001")
        cases += [(of, "list_identity_pools", {}, "list_identity_pools") for of in (self.bob, elsewhere)]
        cases += [(self.bob, "list_identities", {"IdentityPoolId": theirs}, "list_identities")]
        cases += [(self.bob, "list_identities", lists, "list_identities")]
        for of, operation, arguments, by in cases:
            with self.subTest(operation=operation, arguments=arguments, token=by):
                function = getattr(of, operation)
                text = "Invalid NextToken"
                self.refused(
                    "InvalidParameterException", text, function, MaxResults=1, NextToken=tokens[by], **arguments
                )

    def test_s12_a_garbled_token_is_refused(self):
        token = self.ask("list_identity_pools")["NextToken"]
        flipped = ("B" if token[20] == "A" else "A").join((token[:20], token[21:]))
        for bad in ("x", "-", token[:-4], token + "AAAA", flipped, token + "=", "é" * 20, "A" * 60000):
            function = self.alice.list_identity_pools
            self.refused("InvalidParameterException", "Invalid NextToken", function, MaxResults=1, NextToken=bad)
