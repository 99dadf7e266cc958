"""Tokens under the eyes of five independent verifiers: before, during and after rotations, and after a revocation."""

import tempfile
import unittest
from pathlib import Path

import installed
import relying_parties
from relying_parties import Refused
from stage import MAX_AGE, Stage, kid, tampered

STRANGER = "https://stranger.example"
NAMES = [kind.name for kind in relying_parties.ALL]


def said(party, token):
    """The identity that the relying party takes the token for, or its refusal."""
    try:
        return party.verify(token)
    except Refused as refusal:
        return refusal


def is_refusal(party, why, answer):
    return isinstance(answer, Refused) and party.refusals[why] in str(answer)


class Verifiers:
    """The tests, for one algorithm."""

    algorithm = None

    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="symbolon-consumers-"))
        cls.stage = Stage(Path(folder, "broker"), SYMBOLON__ISSUER__ALGORITHM=cls.algorithm)
        cls.addClassCleanup(cls.end)
        cls.pool, cls.other = cls.stage.pool(), cls.stage.pool("other")
        cls.parties = [cls.party(kind) for kind in relying_parties.ALL]

    @classmethod
    def party(cls, kind, expected=None):
        party = kind(cls.stage, cls.pool, expected)
        cls.addClassCleanup(party.close)
        return party

    @classmethod
    def end(cls):
        if problems := cls.stage.stop():
            raise AssertionError(f"{problems}\n{cls.stage.broker.log()}")

    def is_taken(self, *pairs):
        """All verifiers take the tokens, for the identities beside them."""
        for identity, token in pairs:
            self.assertEqual({party.name: said(party, token) for party in self.parties}, dict.fromkeys(NAMES, identity))

    def not_refused(self, why, token, parties=None):
        """What the verifiers say that do not refuse the token for this reason."""
        answers = [(party, said(party, token)) for party in parties or self.parties]
        return {party.name: answer for party, answer in answers if not is_refusal(party, why, answer)}

    def is_refused(self, why, token, parties=None):
        self.assertEqual(self.not_refused(why, token, parties), {})

    def renew(self):
        """What an operator's timer does for those that cannot fetch keys, or do not when one is revoked."""
        jwks = self.stage.jwks()
        for party in self.parties:
            party.renew(jwks)

    def test_a_token_is_taken_for_its_identity(self):
        pair = self.stage.developer(self.pool, "größe 字 😀")
        guest = self.stage.anonymous("cognito-identity")
        identity = guest.get_id(IdentityPoolId=self.pool)["IdentityId"]
        guests = (identity, guest.get_open_id_token(IdentityId=identity)["Token"])
        self.is_taken(pair, guests)

    def test_a_token_that_has_expired_is_refused(self):
        self.is_refused("expired", self.stage.expired(self.pool))

    def test_a_token_of_another_pool_is_refused(self):
        self.is_refused("audience", self.stage.token(self.other))

    def test_a_token_whose_claims_were_changed_is_refused(self):
        self.is_refused("tampered", tampered(self.stage.token(self.pool)))

    def test_a_token_of_another_issuer_is_refused(self):
        token = self.stage.token(self.pool)
        strangers = [self.party(kind, STRANGER) for kind in relying_parties.ALL]
        self.is_refused("issuer", token, strangers)

    def test_every_token_is_taken_before_during_and_after_two_rotations(self):
        pairs = [self.stage.developer(self.pool)]
        rounds = []

        def meanwhile():
            rounds.append(kid(pairs[-1][1]))
            self.is_taken(*pairs, self.stage.developer(self.pool, "bob"))

        for _ in range(2):
            meanwhile()
            self.renew()
            self.stage.rotate(self.pool, meanwhile)
            pairs.append(self.stage.developer(self.pool))
            meanwhile()
        self.assertEqual(len({kid(token) for _, token in pairs}), 3)
        self.assertGreater(len(rounds), 6)
        published = [key["kid"] for key in self.stage.jwks()["keys"]]
        for _, token in pairs:
            self.assertIn(kid(token), published)

    def test_tokens_of_a_revoked_key_are_refused_by_whoever_has_fetched_the_keys_again(self):
        pair = self.stage.developer(self.pool)
        self.is_taken(pair)
        self.stage.revoke(kid(pair[1]))
        self.renew()

        # The others keep what they have for the max-age of the JWKS, and no longer.
        forgotten = lambda: not self.not_refused("key", pair[1])
        installed.wait_for(forgotten, "all verifiers to fetch the keys again", patience=MAX_AGE + 20)
        self.is_taken(self.stage.developer(self.pool), self.stage.developer(self.pool, "bob"))


class Rs256(Verifiers, unittest.TestCase):
    algorithm = "RS256"


class Es256(Verifiers, unittest.TestCase):
    algorithm = "ES256"
