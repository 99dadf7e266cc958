"""Principal-tag maps of pools' providers by boto3."""

import jwt

from support import DEVELOPER, NOBODY, Case, client

TAGS = "https://aws.amazon.com/tags"
OPENID = "arn:aws:iam::123456789012:oidc-provider/idp.example.com"
SAML = "arn:aws:iam::123456789012:saml-provider/okta"
USER_POOL = "cognito-idp.us-east-1.amazonaws.com/us-east-1_a"
PROVIDERS = {
    "SupportedLoginProviders": {"graph.facebook.com": "1"},
    "OpenIdConnectProviderARNs": [OPENID],
    "SamlProviderARNs": [SAML],
    "CognitoIdentityProviders": [{"ProviderName": USER_POOL, "ClientId": "client"}],
}


def unverified(token):
    return jwt.decode(token, options={"verify_signature": False})


class PrincipalTags(Case):
    def setUp(self):
        self.id = self.pool(**PROVIDERS)

    def map_of(self, function, provider, **members):
        answer = function(IdentityPoolId=self.id, IdentityProviderName=provider, **members)
        self.assertEqual((answer["IdentityPoolId"], answer["IdentityProviderName"]), (self.id, provider))
        self.assertEqual(len(answer), 5)
        return answer["UseDefaults"], answer["PrincipalTags"]

    def set(self, provider, **members):
        return self.map_of(client().set_principal_tag_attribute_map, provider, **members)

    def get(self, provider):
        return self.map_of(client().get_principal_tag_attribute_map, provider)

    def test_t1_a_map_is_answered_and_read_back_with_all_four_members(self):
        tags = {"department": "custom:dept", "Team:é": "https://idp.example/claims/team"}
        for members, expected in (
            ({"UseDefaults": False, "PrincipalTags": tags}, (False, tags)),
            ({"PrincipalTags": {"a": "b"}}, (False, {"a": "b"})),
            ({"UseDefaults": True, "PrincipalTags": tags}, (True, tags)),
            ({"UseDefaults": True, "PrincipalTags": {}}, (True, {})),
            ({"UseDefaults": True}, (True, {})),
            ({}, (False, {})),
        ):
            for provider in ("graph.facebook.com", OPENID, "idp.example.com", SAML, USER_POOL, DEVELOPER):
                self.assertEqual((self.set(provider, **members), self.get(provider)), (expected, expected))

    def test_t1_each_provider_has_its_own(self):
        self.set("graph.facebook.com", PrincipalTags={"a": "facebook"})
        self.set(OPENID, PrincipalTags={"a": "openid"})
        self.assertEqual(self.get("graph.facebook.com"), (False, {"a": "facebook"}))
        # By its other name.
        self.assertEqual(self.get("idp.example.com"), (False, {"a": "openid"}))
        other = self.pool(**PROVIDERS)
        text = f"No principal tag attribute map was set for identity provider '{OPENID}'."
        arguments = {"IdentityPoolId": other, "IdentityProviderName": OPENID}
        self.refused("ResourceNotFoundException", text, client().get_principal_tag_attribute_map, **arguments)

    def test_t3_a_map_that_was_never_set_is_not_found(self):
        for provider in ("graph.facebook.com", SAML, USER_POOL, DEVELOPER):
            text = f"No principal tag attribute map was set for identity provider '{provider}'."
            arguments = {"IdentityPoolId": self.id, "IdentityProviderName": provider}
            self.refused("ResourceNotFoundException", text, client().get_principal_tag_attribute_map, **arguments)

    def test_a_provider_or_pool_that_is_not_there(self):
        code = "ResourceNotFoundException"
        for function in (client().get_principal_tag_attribute_map, client().set_principal_tag_attribute_map):
            text = "Identity provider 'www.amazon.com' is not configured on this identity pool."
            self.refused(code, text, function, IdentityPoolId=self.id, IdentityProviderName="www.amazon.com")
            text = f"IdentityPool '{NOBODY}' not found."
            self.refused(code, text, function, IdentityPoolId=NOBODY, IdentityProviderName="www.amazon.com")

    def test_keys_that_are_none_of_session_tags(self):
        function = client().set_principal_tag_attribute_map
        arguments = {"IdentityPoolId": self.id, "IdentityProviderName": SAML}
        text = "Tag key 'aws:a' begins with the reserved prefix 'aws:'."
        self.refused("InvalidParameterException", text, function, **arguments, PrincipalTags={"aws:a": "b"})
        with self.assertRaises(client().exceptions.InvalidParameterException):
            function(**arguments, PrincipalTags={"a?": "b"})

    def test_g64_tags_of_a_token_need_no_map_and_are_not_changed_by_one(self):
        self.set(DEVELOPER, UseDefaults=True, PrincipalTags={"team": "sub"})
        _, token = self.token(self.id, PrincipalTags={"team": "blue"})
        self.assertEqual(unverified(token)[TAGS], {"principal_tags": {"team": ["blue"]}})
        _, token = self.token(self.id)
        self.assertNotIn(TAGS, unverified(token))
