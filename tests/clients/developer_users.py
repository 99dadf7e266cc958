"""LookupDeveloperIdentity, MergeDeveloperIdentities and UnlinkDeveloperIdentity by boto3."""

import os
import time

from developer_flow import Verifier
from support import DEVELOPER, NOBODY, Case, client

UNKNOWN_USER = "Developer user identifier not found."
UNSUPPORTED = "This identity pool does not support the specified developer provider"
NO_POOL = f"IdentityPool '{NOBODY}' not found."
NO_IDENTITY = f"Identity '{NOBODY}' not found."


class Users(Case):
    def lookup(self, pool, **arguments):
        answer = client().lookup_developer_identity(IdentityPoolId=pool, **arguments)
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}

    def lookup_refused(self, code, message, pool, **arguments):
        self.refused(code, message, client().lookup_developer_identity, IdentityPoolId=pool, **arguments)

    def merging(self, pool, source, destination, provider=DEVELOPER):
        return {
            "SourceUserIdentifier": source,
            "DestinationUserIdentifier": destination,
            "DeveloperProviderName": provider,
            "IdentityPoolId": pool,
        }

    def merge(self, *arguments):
        return client().merge_developer_identities(**self.merging(*arguments))["IdentityId"]

    def merge_refused(self, code, message, *arguments):
        self.refused(code, message, client().merge_developer_identities, **self.merging(*arguments))

    def unlinking(self, pool, identity, user, provider=DEVELOPER):
        return {
            "IdentityId": identity,
            "IdentityPoolId": pool,
            "DeveloperProviderName": provider,
            "DeveloperUserIdentifier": user,
        }

    def unlink_refused(self, code, message, *arguments):
        self.refused(code, message, client().unlink_developer_identity, **self.unlinking(*arguments))

    def listed(self, pool, **arguments):
        answer = client().list_identities(IdentityPoolId=pool, MaxResults=60, **arguments)
        return {entry["IdentityId"] for entry in answer["Identities"]}

    def with_users(self, pool, *users):
        """One identity that has all these users."""
        for user in users:
            self.sign_in(pool, user)
        return [self.merge(pool, user, users[0]) for user in users][-1]


class Lookup(Users):
    def test_l1_neither_identity_nor_user(self):
        text = "Either IdentityId or DeveloperUserIdentifier must be provided."
        self.lookup_refused("InvalidParameterException", text, self.pool())

    def test_l2_by_user_gives_the_identity_and_all_its_users(self):
        pool = self.pool()
        identity = self.with_users(pool, "alice", "alice@work")
        for user in ("alice", "alice@work"):
            expected = {"IdentityId": identity, "DeveloperUserIdentifierList": ["alice", "alice@work"]}
            self.assertEqual(self.lookup(pool, DeveloperUserIdentifier=user), expected)

    def test_l3_l8_by_identity_in_pages_of_a_stable_order(self):
        pool = self.pool()
        users = [f"user-{n:02}" for n in range(7)] + ["x" * 100, "é"]
        identity = self.with_users(pool, *users)
        whole = self.lookup(pool, IdentityId=identity)
        self.assertEqual(set(whole), {"IdentityId", "DeveloperUserIdentifierList"})
        self.assertCountEqual(whole["DeveloperUserIdentifierList"], users)
        for by in ({"IdentityId": identity}, {"DeveloperUserIdentifier": "é"}):
            for size in (1, 2, 3, 9, 60):
                pages, token = [], {}
                while token is not None:
                    page = self.lookup(pool, **by, MaxResults=size, **token)
                    self.assertLessEqual(len(page["DeveloperUserIdentifierList"]), size)
                    self.assertEqual(page["IdentityId"], identity)
                    pages.append(page["DeveloperUserIdentifierList"])
                    token = {"NextToken": page["NextToken"]} if "NextToken" in page else None
                self.assertEqual(sum(pages, []), whole["DeveloperUserIdentifierList"])
                self.assertEqual(len(pages), -(-len(users) // size))

    def test_l4_both_and_matching_is_answered_as_asked(self):
        pool = self.pool()
        identity = self.with_users(pool, "alice", "bob")
        answer = self.lookup(pool, IdentityId=identity, DeveloperUserIdentifier="bob")
        self.assertEqual(answer, {"IdentityId": identity, "DeveloperUserIdentifierList": ["bob"]})

    def test_l5_both_and_not_matching(self):
        pool = self.pool()
        self.sign_in(pool, "bob")
        text = "DeveloperUserIdentifier does not match the given IdentityId."
        for identity in (self.sign_in(pool), self.guest(pool)):
            arguments = {"IdentityId": identity, "DeveloperUserIdentifier": "bob"}
            self.lookup_refused("ResourceConflictException", text, pool, **arguments)

    def test_l6_an_unknown_user(self):
        pool = self.pool()
        identity = self.sign_in(pool)
        for named in ({}, {"IdentityId": identity}):
            arguments = {"DeveloperUserIdentifier": "Alice"} | named
            self.lookup_refused("ResourceNotFoundException", UNKNOWN_USER, pool, **arguments)

    def test_l7_an_identity_without_developer_users(self):
        pool = self.pool()
        self.lookup_refused("ResourceNotFoundException", UNKNOWN_USER, pool, IdentityId=self.guest(pool))

    def test_l_s7_pool_or_identity_not_found(self):
        pool = self.pool()
        self.lookup_refused("ResourceNotFoundException", NO_POOL, NOBODY, DeveloperUserIdentifier="alice")
        self.lookup_refused("ResourceNotFoundException", NO_IDENTITY, pool, IdentityId=NOBODY)
        other = self.sign_in(self.pool())
        self.lookup_refused("ResourceNotFoundException", f"Identity '{other}' not found.", pool, IdentityId=other)


class Merge(Users):
    def test_m1_m2_m3_the_destination_takes_all_and_the_source_is_disabled(self):
        pool = self.pool()
        source, destination = self.sign_in(pool, "guest-7"), self.sign_in(pool, "alice")
        before = self.describe(destination)["LastModifiedDate"]
        time.sleep(0.01)
        self.assertEqual(self.merge(pool, "guest-7", "alice"), destination)
        self.assertEqual({self.sign_in(pool, user) for user in ("guest-7", "alice")}, {destination})
        self.assertEqual(self.listed(pool), {source, destination})
        self.assertEqual(self.listed(pool, HideDisabled=False), {source, destination})
        self.assertEqual(self.listed(pool, HideDisabled=True), {destination})
        self.assertNotIn("Logins", self.describe(source))
        self.assertGreater(self.describe(destination)["LastModifiedDate"], before)
        text = f"Access to Identity '{source}' is forbidden."
        function = client().get_open_id_token_for_developer_identity
        arguments = {"IdentityPoolId": pool, "IdentityId": source, "Logins": {DEVELOPER: "guest-7"}}
        self.refused("NotAuthorizedException", text, function, **arguments)

    def test_m5_more_than_twenty_logins_are_refused_and_nothing_changes(self):
        pool = self.pool()
        identity = self.with_users(pool, *(f"user-{n:02}" for n in range(20)))
        other = self.sign_in(pool, "one-more")
        text = "Too many linked logins."
        self.merge_refused("ResourceConflictException", text, pool, "one-more", "user-00")
        self.merge_refused("ResourceConflictException", text, pool, "user-00", "one-more")
        self.assertEqual(self.sign_in(pool, "one-more"), other)
        self.assertEqual(len(self.lookup(pool, IdentityId=identity)["DeveloperUserIdentifierList"]), 20)
        self.assertEqual(self.listed(pool, HideDisabled=True), {identity, other})

    def test_m6_an_unknown_user(self):
        pool = self.pool()
        self.sign_in(pool)
        for users in (("alice", "nobody"), ("nobody", "alice"), ("nobody", "nobody")):
            self.merge_refused("ResourceNotFoundException", UNKNOWN_USER, pool, *users)

    def test_m7_a_wrong_provider_name(self):
        pool = self.pool()
        self.with_users(pool, "alice", "bob")
        self.merge_refused("InvalidParameterException", UNSUPPORTED, pool, "alice", "bob", "other")
        without = self.pool(DeveloperProviderName=None)
        self.merge_refused("InvalidParameterException", UNSUPPORTED, without, "alice", "bob")

    def test_m8_users_of_one_identity_stay_as_they_are(self):
        pool = self.pool()
        identity = self.with_users(pool, "alice", "bob")
        before = self.describe(identity)
        for users in (("alice", "bob"), ("bob", "alice"), ("alice", "alice")):
            self.assertEqual(self.merge(pool, *users), identity)
        self.assertEqual(self.describe(identity), before)

    def test_m9_chains_move_everything(self):
        pool = self.pool()
        identities = [self.sign_in(pool, user) for user in "abc"]
        self.assertEqual(self.merge(pool, "a", "b"), identities[1])
        self.assertEqual(self.merge(pool, "b", "c"), identities[2])
        answer = self.lookup(pool, DeveloperUserIdentifier="a")
        self.assertEqual(answer, {"IdentityId": identities[2], "DeveloperUserIdentifierList": ["a", "b", "c"]})
        self.assertEqual(self.listed(pool, HideDisabled=True), {identities[2]})

    def test_m_s7_the_pool_is_not_found(self):
        self.merge_refused("ResourceNotFoundException", NO_POOL, NOBODY, "alice", "bob")


class Unlink(Users):
    def unlink(self, *arguments):
        answer = client().unlink_developer_identity(**self.unlinking(*arguments))
        self.assertEqual((set(answer), answer["ResponseMetadata"]["HTTPStatusCode"]), ({"ResponseMetadata"}, 200))

    def test_u1_the_user_seen_again_gets_a_new_identity(self):
        pool = self.pool()
        identity = self.with_users(pool, "alice", "bob")
        self.unlink(pool, identity, "bob")
        self.assertEqual(self.sign_in(pool), identity)
        self.assertNotEqual(self.sign_in(pool, "bob"), identity)
        self.assertEqual(self.lookup(pool, IdentityId=identity)["DeveloperUserIdentifierList"], ["alice"])

    def test_u2_the_last_login_gone_the_identity_is_disabled_and_no_guest(self):
        pool = self.pool()
        identity = self.sign_in(pool)
        self.unlink(pool, identity, "alice")
        self.assertNotIn("Logins", self.describe(identity))
        self.assertEqual((self.listed(pool), self.listed(pool, HideDisabled=True)), ({identity}, set()))
        text = f"Access to Identity '{identity}' is forbidden."
        function = client().get_open_id_token_for_developer_identity
        arguments = {"IdentityPoolId": pool, "IdentityId": identity, "Logins": {DEVELOPER: "alice"}}
        self.refused("NotAuthorizedException", text, function, **arguments)
        self.assertNotEqual(self.sign_in(pool), identity)

    def test_u3_a_user_of_another_identity_or_of_none(self):
        pool = self.pool()
        alice, bob = self.sign_in(pool), self.sign_in(pool, "bob")
        text = "DeveloperUserIdentifier is not linked to the given IdentityId."
        self.unlink_refused("ResourceConflictException", text, pool, alice, "bob")
        self.unlink_refused("ResourceNotFoundException", UNKNOWN_USER, pool, alice, "nobody")
        self.assertEqual((self.sign_in(pool), self.sign_in(pool, "bob")), (alice, bob))

    def test_u4_a_wrong_provider_name_pool_or_identity(self):
        pool = self.pool()
        identity, other = self.sign_in(pool), self.sign_in(self.pool())
        self.unlink_refused("InvalidParameterException", UNSUPPORTED, pool, identity, "alice", "other")
        self.unlink_refused("ResourceNotFoundException", NO_POOL, NOBODY, identity, "alice")
        self.unlink_refused("ResourceNotFoundException", NO_IDENTITY, pool, NOBODY, "alice")
        self.unlink_refused("ResourceNotFoundException", f"Identity '{other}' not found.", pool, other, "alice")
        self.assertEqual(self.sign_in(pool), identity)

    def test_u5_a_token_outlives_its_login(self):
        pool = self.pool()
        identity, token = self.token(pool)
        self.unlink(pool, identity, "alice")
        self.assertEqual(Verifier(os.environ["AWS_ENDPOINT_URL_COGNITO_IDENTITY"]).verify(token, pool)["sub"], identity)
