"""Roles and role mappings of pools by boto3."""

import broker as brokers
from support import DEVELOPER, NOBODY, Case, Signer, call, client

ROLE = "arn:aws:iam::123456789012:role/Cognito_authenticated"
GUESTS = "arn:aws:iam::123456789012:role/guests/Cognito_unauthenticated"
USER_POOL = "cognito-idp.us-east-1.amazonaws.com/us-east-1_a"
OPENID = "arn:aws:iam::123456789012:oidc-provider/idp.example.com"
SAML = "arn:aws:iam::123456789012:saml-provider/okta"
TOKEN = {"Type": "Token", "AmbiguousRoleResolution": "AuthenticatedRole"}
PROVIDERS = {
    "SupportedLoginProviders": {"graph.facebook.com": "1"},
    "OpenIdConnectProviderARNs": [OPENID],
    "SamlProviderARNs": [SAML],
    "CognitoIdentityProviders": [{"ProviderName": USER_POOL, "ClientId": "client"}],
}


def rules(count=1, role=ROLE):
    each = [
        {"Claim": f"claim:{n}", "MatchType": kind, "Value": f"value {n}", "RoleARN": role}
        for n, kind in zip(range(count), ["StartsWith", "Equals", "NotEqual", "Contains"] * 100)
    ]
    return {"Type": "Rules", "AmbiguousRoleResolution": "Deny", "RulesConfiguration": {"Rules": each}}


class Roles(Case):
    def setUp(self):
        self.id = self.pool(**PROVIDERS)

    def set(self, roles, **mappings):
        return client().set_identity_pool_roles(IdentityPoolId=self.id, Roles=roles, **mappings)

    def get(self):
        answer = client().get_identity_pool_roles(IdentityPoolId=self.id)
        self.assertEqual(answer.pop("IdentityPoolId"), self.id)
        del answer["ResponseMetadata"]
        return answer

    def test_r1_both_members_are_replaced_and_mappings_left_out_are_removed(self):
        both = {"authenticated": ROLE, "unauthenticated": GUESTS}
        self.set(both, RoleMappings={"graph.facebook.com": TOKEN, SAML: rules(3)})
        self.assertEqual(self.get(), {"Roles": both, "RoleMappings": {"graph.facebook.com": TOKEN, SAML: rules(3)}})
        self.set({"authenticated": ROLE}, RoleMappings={OPENID: rules(25)})
        self.assertEqual(self.get(), {"Roles": {"authenticated": ROLE}, "RoleMappings": {OPENID: rules(25)}})
        self.set({"unauthenticated": GUESTS})
        self.assertEqual(self.get(), {"Roles": {"unauthenticated": GUESTS}})

    def test_r2_only_what_is_set_is_shown(self):
        self.assertEqual(self.get(), {})
        self.set({}, RoleMappings={"graph.facebook.com": TOKEN})
        self.assertEqual(self.get(), {"RoleMappings": {"graph.facebook.com": TOKEN}})
        self.set({"authenticated": ROLE}, RoleMappings={})
        self.assertEqual(self.get(), {"Roles": {"authenticated": ROLE}})
        self.set({}, RoleMappings={})
        self.assertEqual(self.get(), {})

    def test_w15_set_answers_with_an_empty_body(self):
        answer = call("SetIdentityPoolRoles", {"IdentityPoolId": self.id, "Roles": {}, "RoleMappings": None}, Signer())
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.has_usual_head(answer)

    def test_r3_d3_malformed_roles_are_forbidden(self):
        for role in ("no-role-but-long-enough", "arn:aws:iam::1234:role/short-account", ROLE.replace("role", "user")):
            text = f"Access to Role '{role}' is forbidden."
            for arguments in (
                {"Roles": {"authenticated": role}},
                {"Roles": {}, "RoleMappings": {SAML: rules(2, role)}},
            ):
                function = client().set_identity_pool_roles
                self.refused("NotAuthorizedException", text, function, IdentityPoolId=self.id, **arguments)
        self.assertEqual(self.get(), {})

    def test_r4_keys_of_mappings_are_configured_providers(self):
        known = ["graph.facebook.com", OPENID, "idp.example.com", SAML, f"{USER_POOL}:client", DEVELOPER]
        self.set({}, RoleMappings={key: TOKEN for key in known})
        self.assertEqual(self.get()["RoleMappings"], {key: TOKEN for key in known})
        for key in ("accounts.google.com", USER_POOL, f"{USER_POOL}:other", f"https://{USER_POOL}:client", "a role"):
            text = f"({key}) is not a valid RoleMapping ProviderName or is not a configured provider."
            arguments = {"IdentityPoolId": self.id, "Roles": {}, "RoleMappings": {key: TOKEN}}
            self.refused("InvalidParameterException", text, client().set_identity_pool_roles, **arguments)

    def test_r5_mappings_that_are_not_whole(self):
        undecided = {name: value for name, value in rules().items() if name != "AmbiguousRoleResolution"}
        resolution = "must have AmbiguousRoleResolution: AuthenticatedRole or Deny."
        for mapping, text in (
            ({"Type": "Token"}, resolution),
            (undecided, resolution),
            ({"Type": "Rules", "AmbiguousRoleResolution": "Deny"}, "is of type Rules and must have RulesConfiguration."),
            (rules(26), "can have at most 25 rules."),
        ):
            arguments = {"IdentityPoolId": self.id, "Roles": {}, "RoleMappings": {SAML: mapping}}
            text = f"The role mapping of '{SAML}' {text}"
            self.refused("InvalidParameterException", text, client().set_identity_pool_roles, **arguments)

    def test_r5_the_count_of_rules_can_be_raised_to_the_models_400(self):
        second = brokers.serve(SYMBOLON__LIMITS__RULES_PER_ROLE_MAPPING="400")
        try:
            more = client(endpoint=second.endpoint)
            more.set_identity_pool_roles(IdentityPoolId=self.id, Roles={}, RoleMappings={SAML: rules(400)})
            self.assertEqual(self.get()["RoleMappings"], {SAML: rules(400)})
        finally:
            self.assertEqual(second.stop(), 0)

    def test_s7_the_pool_is_not_found(self):
        text = f"IdentityPool '{NOBODY}' not found."
        for function, arguments in (
            (client().get_identity_pool_roles, {}),
            (client().set_identity_pool_roles, {"Roles": {"authenticated": "no-role-but-long-enough"}}),
        ):
            self.refused("ResourceNotFoundException", text, function, IdentityPoolId=NOBODY, **arguments)
