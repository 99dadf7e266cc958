"""The calls of Terraform's AWS provider, in its order and with its members, and what it makes of the answers.

The provider itself is in no package registry, so its sequences are replayed here as its source has them
(hashicorp/terraform-provider-aws, internal/service/cognitoidentity and internal/service/iam; the account,
hashicorp/aws-sdk-go-base). Each resource reads itself back after it was applied, and its plan must then be empty. The
account is left out of ARNs of pools, as with `skip_requesting_account_id`, unless it was asked for.
"""

import json
import urllib.parse
import uuid

import boto3
import botocore.config
import botocore.handlers
import jwt

from support import REGION, Case, client

LOGINS = {"graph.facebook.com": "7346241598935552", "accounts.google.com": "123456789012.apps.googleusercontent.com"}
SAML = [f"arn:aws:iam::123456789012:saml-provider/{name}" for name in ("z", "a", "m")]
OPENID = [f"arn:aws:iam::123456789012:oidc-provider/{name}" for name in ("foo.example.com", "bar.example.com/realm")]
USER_POOL = "cognito-idp.us-east-1.amazonaws.com/us-east-1_Zr231apJu"
CLIENTS = [
    {"client_id": "7kodkvfqfb4qfkp39eurffae", "provider_name": USER_POOL, "server_side_token_check": False},
    {"client_id": "6lhlkkfbfb4q5kpp90urffae", "provider_name": USER_POOL, "server_side_token_check": True},
]
ROLE = "arn:aws:iam::123456789012:role/authenticated"
GUESTS = "arn:aws:iam::123456789012:role/unauthenticated"


def a_set(values):
    """Elements without an order, as a schema's TypeSet compares them."""
    return sorted(values, key=repr)


def found(function, **arguments):
    """What a read gives; nothing when the resource is gone, which takes it out of the state."""
    try:
        return function(**arguments)
    except client().exceptions.ResourceNotFoundException:
        return None


class Resource:
    """A resource of a configuration: attributes as they were written, with the schema's defaults."""

    DEFAULTS = {}

    def __init__(self, **configuration):
        unknown = configuration.keys() - self.DEFAULTS.keys()
        assert not unknown, f"no such attributes: {unknown}"
        self.wanted = self.DEFAULTS | configuration
        self.create()

    def change(self, **configuration):
        before, self.wanted = self.wanted, self.wanted | configuration
        self.update({name for name in self.wanted if self.wanted[name] != before[name]})

    def plan(self):
        """What an apply would change: attributes with state and configuration; everything when it is gone."""
        state = self.read()
        if state is None:
            return {"": "create"}
        assert state.keys() == self.wanted.keys(), (state, self.wanted)
        return {name: (state[name], self.wanted[name]) for name in state if state[name] != self.wanted[name]}


class Pool(Resource):
    """`aws_cognito_identity_pool`"""

    DEFAULTS = {
        "identity_pool_name": None,
        "allow_unauthenticated_identities": False,
        "allow_classic_flow": False,
        "developer_provider_name": "",
        "supported_login_providers": {},
        "cognito_identity_providers": [],
        "saml_provider_arns": [],
        "openid_connect_provider_arns": [],
        "tags": {},
    }

    @property
    def arn(self):
        return f"arn:aws:cognito-identity:{REGION}::identitypool/{self.id}"

    def flags(self):
        return {
            "IdentityPoolName": self.wanted["identity_pool_name"],
            "AllowUnauthenticatedIdentities": self.wanted["allow_unauthenticated_identities"],
            "AllowClassicFlow": self.wanted["allow_classic_flow"],
        }

    def providers(self):
        return {
            "SupportedLoginProviders": self.wanted["supported_login_providers"],
            "CognitoIdentityProviders": [
                {
                    "ClientId": entry["client_id"],
                    "ProviderName": entry["provider_name"],
                    "ServerSideTokenCheck": entry["server_side_token_check"],
                }
                for entry in self.wanted["cognito_identity_providers"]
            ],
            "SamlProviderARNs": self.wanted["saml_provider_arns"],
            "OpenIdConnectProviderARNs": self.wanted["openid_connect_provider_arns"],
        }

    def create(self):
        # What is empty is left out at creation, and only there.
        more = self.providers() | {
            "DeveloperProviderName": self.wanted["developer_provider_name"],
            "IdentityPoolTags": self.wanted["tags"],
        }
        more = {name: value for name, value in more.items() if value}
        self.id = client().create_identity_pool(**self.flags(), **more)["IdentityPoolId"]

    def read(self):
        pool = found(client().describe_identity_pool, IdentityPoolId=self.id)
        return pool and self.flatten(pool)

    @staticmethod
    def flatten(pool):
        entries = [
            {
                "client_id": entry["ClientId"],
                "provider_name": entry["ProviderName"],
                "server_side_token_check": entry.get("ServerSideTokenCheck", False),
            }
            for entry in pool.get("CognitoIdentityProviders", [])
        ]
        return {
            "identity_pool_name": pool["IdentityPoolName"],
            "allow_unauthenticated_identities": pool["AllowUnauthenticatedIdentities"],
            "allow_classic_flow": pool.get("AllowClassicFlow", False),
            "developer_provider_name": pool.get("DeveloperProviderName", ""),
            "supported_login_providers": pool.get("SupportedLoginProviders", {}),
            "cognito_identity_providers": a_set(entries),
            "saml_provider_arns": pool.get("SamlProviderARNs", []),
            "openid_connect_provider_arns": a_set(pool.get("OpenIdConnectProviderARNs", [])),
            "tags": pool.get("IdentityPoolTags", {}),
        }

    def plan(self):
        self.wanted |= {
            name: a_set(self.wanted[name]) for name in ("cognito_identity_providers", "openid_connect_provider_arns")
        }
        return super().plan()

    def change(self, **configuration):
        self.old_tags = self.wanted["tags"]
        super().change(**configuration)

    def update(self, changed):
        if changed - {"tags"}:
            client().update_identity_pool(IdentityPoolId=self.id, **self.flags(), **self.providers())
        if "tags" in changed:
            old, new = self.old_tags, self.wanted["tags"]
            if removed := [key for key in old if key not in new]:
                client().untag_resource(ResourceArn=self.arn, TagKeys=removed)
            if updated := {key: value for key, value in new.items() if old.get(key) != value}:
                client().tag_resource(ResourceArn=self.arn, Tags=updated)

    def update_of_old_providers(self):
        """Up to version 4.32: the flags, and nothing of providers that have not changed."""
        client().update_identity_pool(IdentityPoolId=self.id, **self.flags())

    def delete(self):
        client().delete_identity_pool(IdentityPoolId=self.id)


class RolesAttachment(Resource):
    """`aws_cognito_identity_pool_roles_attachment`"""

    DEFAULTS = {"identity_pool_id": None, "roles": None, "role_mapping": []}

    @staticmethod
    def expand(mappings):
        expanded = {}
        for mapping in mappings:
            entry = {"Type": mapping["type"], "AmbiguousRoleResolution": mapping["ambiguous_role_resolution"]}
            rules = [
                {
                    "Claim": rule["claim"],
                    "MatchType": rule["match_type"],
                    "RoleARN": rule["role_arn"],
                    "Value": rule["value"],
                }
                for rule in mapping["mapping_rule"]
            ]
            expanded[mapping["identity_provider"]] = entry | ({"RulesConfiguration": {"Rules": rules}} if rules else {})
        return expanded

    def set(self, roles, **mappings):
        client().set_identity_pool_roles(IdentityPoolId=self.wanted["identity_pool_id"], Roles=roles, **mappings)

    def create(self):
        mappings = self.wanted["role_mapping"]
        self.set(self.wanted["roles"], **({"RoleMappings": self.expand(mappings)} if mappings else {}))

    def read(self):
        answer = found(client().get_identity_pool_roles, IdentityPoolId=self.wanted["identity_pool_id"])
        if answer is None:
            return None
        mappings = [
            {
                "identity_provider": provider,
                "type": mapping["Type"],
                "ambiguous_role_resolution": mapping["AmbiguousRoleResolution"],
                "mapping_rule": [
                    {
                        "claim": rule["Claim"],
                        "match_type": rule["MatchType"],
                        "role_arn": rule["RoleARN"],
                        "value": rule["Value"],
                    }
                    for rule in mapping.get("RulesConfiguration", {}).get("Rules", [])
                ],
            }
            for provider, mapping in answer.get("RoleMappings", {}).items()
        ]
        return {
            "identity_pool_id": answer["IdentityPoolId"],
            "roles": answer.get("Roles", {}),
            "role_mapping": a_set(mappings),
        }

    def plan(self):
        self.wanted["role_mapping"] = a_set(self.wanted["role_mapping"])
        return super().plan()

    def update(self, changed):
        mappings = {"RoleMappings": self.expand(self.wanted["role_mapping"])} if "role_mapping" in changed else {}
        self.set(self.wanted["roles"], **mappings)

    def delete(self):
        self.set({}, RoleMappings={})


class PrincipalTag(Resource):
    """`aws_cognito_identity_pool_provider_principal_tag`"""

    DEFAULTS = {
        "identity_pool_id": None,
        "identity_provider_name": None,
        "principal_tags": {},
        "use_defaults": True,
    }

    def ids(self):
        return {
            "IdentityPoolId": self.wanted["identity_pool_id"],
            "IdentityProviderName": self.wanted["identity_provider_name"],
        }

    def create(self):
        # Neither an empty map nor `false` is sent at creation.
        more = {"PrincipalTags": self.wanted["principal_tags"], "UseDefaults": self.wanted["use_defaults"]}
        more = {name: value for name, value in more.items() if value}
        client().set_principal_tag_attribute_map(**self.ids(), **more)

    def read(self):
        answer = found(client().get_principal_tag_attribute_map, **self.ids())
        return answer and {
            "identity_pool_id": answer["IdentityPoolId"],
            "identity_provider_name": answer["IdentityProviderName"],
            "principal_tags": answer.get("PrincipalTags", {}),
            "use_defaults": answer.get("UseDefaults", False),
        }

    def update(self, _):
        tags, defaults = self.wanted["principal_tags"], self.wanted["use_defaults"]
        client().set_principal_tag_attribute_map(**self.ids(), PrincipalTags=tags, UseDefaults=defaults)

    def delete(self):
        arguments = self.ids() | {"UseDefaults": True, "PrincipalTags": {}}
        found(client().set_principal_tag_attribute_map, **arguments)


def aws(service):
    """A client of another service of the environment, which shows documents as they are on the wire."""
    made = boto3.session.Session().client(service, config=botocore.config.Config(retries={"total_max_attempts": 1}))
    made.meta.events.unregister("after-call.iam", botocore.handlers.json_decode_policies)
    return made


class Role(Resource):
    """`aws_iam_role`"""

    DEFAULTS = {
        "name": None,
        "path": "/",
        "assume_role_policy": None,
        "description": "",
        "max_session_duration": 3600,
        "tags": {},
        "inline_policy": [],
        "managed_policy_arns": [],
    }

    @staticmethod
    def normalized(document):
        """As `structure.NormalizeJsonString` has it."""
        return json.dumps(json.loads(document), separators=(",", ":"), sort_keys=True)

    @staticmethod
    def as_tags(tags):
        return [{"Key": key, "Value": value} for key, value in tags.items()]

    def create(self):
        self.iam = aws("iam")
        wanted, more = self.wanted, {}
        if wanted["description"]:
            more["Description"] = wanted["description"]
        if wanted["tags"]:
            more["Tags"] = self.as_tags(wanted["tags"])
        self.name = {"RoleName": wanted["name"]}
        self.iam.create_role(
            **self.name,
            Path=wanted["path"],
            AssumeRolePolicyDocument=self.normalized(wanted["assume_role_policy"]),
            MaxSessionDuration=wanted["max_session_duration"],
            **more,
        )
        self.arn = self.iam.get_role(**self.name)["Role"]["Arn"]

    def read(self):
        try:
            role = self.iam.get_role(**self.name)["Role"]
        except self.iam.exceptions.NoSuchEntityException:
            return None
        document = urllib.parse.unquote_plus(role["AssumeRolePolicyDocument"])
        # `verify.PolicyToSet` keeps the configuration's text where both mean the same.
        same = json.loads(document) == json.loads(self.wanted["assume_role_policy"])
        pages = self.iam.get_paginator
        return {
            "name": role["RoleName"],
            "path": role["Path"],
            "assume_role_policy": self.wanted["assume_role_policy"] if same else document,
            "description": role.get("Description", ""),
            "max_session_duration": role["MaxSessionDuration"],
            "tags": {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])},
            "inline_policy": [
                name for page in pages("list_role_policies").paginate(**self.name) for name in page["PolicyNames"]
            ],
            "managed_policy_arns": [
                policy["PolicyArn"]
                for page in pages("list_attached_role_policies").paginate(**self.name)
                for policy in page["AttachedPolicies"]
            ],
        }

    def change(self, **configuration):
        self.old_tags = self.wanted["tags"]
        super().change(**configuration)

    def update(self, changed):
        wanted = self.wanted
        if "assume_role_policy" in changed:
            document = self.normalized(wanted["assume_role_policy"])
            self.iam.update_assume_role_policy(**self.name, PolicyDocument=document)
        if "description" in changed:
            self.iam.update_role_description(**self.name, Description=wanted["description"])
        if "max_session_duration" in changed:
            self.iam.update_role(**self.name, MaxSessionDuration=wanted["max_session_duration"])
        if "tags" in changed:
            old, new = self.old_tags, wanted["tags"]
            if removed := [key for key in old if key not in new]:
                self.iam.untag_role(**self.name, TagKeys=removed)
            if updated := {key: value for key, value in new.items() if old.get(key) != value}:
                self.iam.tag_role(**self.name, Tags=self.as_tags(updated))

    def delete(self, force_detach_policies=False):
        try:
            profiles = self.iam.list_instance_profiles_for_role(**self.name)["InstanceProfiles"]
            assert profiles == [], "each would be removed from"
            if force_detach_policies:
                assert self.iam.list_attached_role_policies(**self.name)["AttachedPolicies"] == []
                assert self.iam.list_role_policies(**self.name)["PolicyNames"] == []
            self.iam.delete_role(**self.name)
        except self.iam.exceptions.NoSuchEntityException:
            pass


def policy_document(pool, kind, *actions):
    """What `data.aws_iam_policy_document` gives: indented, single values not in lists, an empty Sid left out."""
    statement = {
        "Effect": "Allow",
        "Action": actions or "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": "cognito-identity.amazonaws.com"},
        "Condition": {
            "ForAnyValue:StringLike": {"cognito-identity.amazonaws.com:amr": kind},
            "StringEquals": {"cognito-identity.amazonaws.com:aud": pool},
        },
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)


def rule(claim, value, role=ROLE, match_type="Equals"):
    return {"claim": claim, "match_type": match_type, "role_arn": role, "value": value}


def mapping(provider, *rules):
    return {
        "identity_provider": provider,
        "type": "Rules" if rules else "Token",
        "ambiguous_role_resolution": "AuthenticatedRole",
        "mapping_rule": list(rules),
    }


class Terraform(Case):
    def is_applied(self, *resources):
        for resource in resources:
            self.assertEqual(resource.plan(), {}, type(resource).__name__)

    def everything(self, **more):
        settings = {
            "identity_pool_name": self._testMethodName,
            "developer_provider_name": "login.example",
            "supported_login_providers": LOGINS,
            "cognito_identity_providers": CLIENTS,
            "saml_provider_arns": SAML,
            "openid_connect_provider_arns": OPENID,
            "tags": {"team": "blue", "stage": "dev"},
        }
        return Pool(**settings | more)

    def test_a_pool_is_created_read_changed_and_destroyed(self):
        pool = Pool(identity_pool_name="basic")
        self.is_applied(pool)
        for change in (
            {"allow_unauthenticated_identities": True, "allow_classic_flow": True},
            {"supported_login_providers": LOGINS},
            {"supported_login_providers": {"graph.facebook.com": "1"}},
            {"cognito_identity_providers": CLIENTS},
            {"cognito_identity_providers": CLIENTS[:1], "saml_provider_arns": SAML},
            {"saml_provider_arns": SAML[::-1], "openid_connect_provider_arns": OPENID},
            {"openid_connect_provider_arns": [], "saml_provider_arns": [], "supported_login_providers": {}},
            {"cognito_identity_providers": [], "allow_classic_flow": False},
        ):
            pool.change(**change)
            self.is_applied(pool)
        pool.delete()
        self.assertEqual(pool.plan(), {"": "create"})

    def test_a_pool_with_everything_keeps_its_developer_name_and_tags(self):
        pool = self.everything()
        self.is_applied(pool)
        pool.change(allow_unauthenticated_identities=True, supported_login_providers={})
        self.is_applied(pool)
        identity = self.sign_in(pool.id)
        # In place, since 2025: the id stays, and so do its users.
        before = pool.id
        pool.change(identity_pool_name="another name")
        self.is_applied(pool)
        self.assertEqual((pool.id, self.sign_in(pool.id)), (before, identity))

    def test_tags_are_changed_by_an_arn_without_account(self):
        pool = self.everything()
        for tags in ({"team": "red", "stage": "dev"}, {"team": "red", "Owner": "é"}, {}, {"team": "blue"}):
            pool.change(tags=tags)
            self.is_applied(pool)
        pool.change(tags={"team": "green"}, allow_unauthenticated_identities=True)
        self.is_applied(pool)

    def test_old_versions_that_leave_providers_out_see_them_reset(self):
        pool = self.everything()
        pool.wanted["allow_unauthenticated_identities"] = True
        pool.update_of_old_providers()
        reset = {
            "supported_login_providers",
            "cognito_identity_providers",
            "saml_provider_arns",
            "openid_connect_provider_arns",
        }
        self.assertEqual(pool.plan().keys(), reset)
        pool.update({"supported_login_providers"})
        self.is_applied(pool)

    def test_roles_are_attached_changed_and_detached(self):
        pool = self.everything()
        roles = RolesAttachment(identity_pool_id=pool.id, roles={"authenticated": ROLE})
        self.is_applied(roles)
        facebook, user_pool = "graph.facebook.com", f"{USER_POOL}:{CLIENTS[0]['client_id']}"
        many = [rule(f"claim{n}", "x", match_type="NotEqual") for n in range(25)]
        for mappings in (
            [mapping(facebook, rule("isAdmin", "paid"))],
            [mapping(facebook, rule("isPaid", "unpaid"), rule("isFoo", "bar", GUESTS))],
            [mapping(facebook, rule("isFoo", "bar", GUESTS), rule("isPaid", "unpaid"))],
            [mapping(facebook, *many), mapping(user_pool), mapping(SAML[0]), mapping(OPENID[1], rule("a", "b"))],
            [],
        ):
            roles.change(role_mapping=mappings)
            self.is_applied(roles, pool)
        roles.delete()
        answer = client().get_identity_pool_roles(IdentityPoolId=pool.id)
        self.assertEqual(answer.keys(), {"IdentityPoolId", "ResponseMetadata"})
        # `roles` forces a new resource.
        roles = RolesAttachment(
            identity_pool_id=pool.id,
            roles={"authenticated": ROLE, "unauthenticated": GUESTS},
            role_mapping=[mapping(user_pool)],
        )
        self.is_applied(roles)
        roles.delete()
        pool.delete()
        self.assertEqual(roles.plan(), {"": "create"})

    def test_the_provider_starts_by_asking_whose_the_key_is(self):
        """`sts:GetCallerIdentity`, in the account's home region; the account comes from the ARN."""
        arn = aws("sts").get_caller_identity()["Arn"]
        self.assertEqual(arn.split(":")[:5], ["arn", "aws", "iam", "", "000000000000"])

    def test_a_role_is_created_read_changed_and_destroyed(self):
        pool = self.everything()
        name = f"terraform-{uuid.uuid4()}"
        role = Role(name=name, assume_role_policy=policy_document(pool.id, "authenticated"))
        self.is_applied(role)
        tagging = ("sts:AssumeRoleWithWebIdentity", "sts:TagSession")
        service = json.dumps(
            {
                "Statement": [
                    {"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}
                ],
                "Version": "2012-10-17",
            }
        )
        for change in (
            {"assume_role_policy": policy_document(pool.id, "unauthenticated")},
            {"assume_role_policy": policy_document(pool.id, "authenticated", *tagging)},
            {"assume_role_policy": service},
            {"description": "What users get & keep <é>"},
            {"max_session_duration": 43200},
            {"max_session_duration": 7200, "description": "shorter"},
            {"tags": {"team": "blue", "stage": "dev"}},
            {"tags": {"team": "red"}, "description": ""},
            {"tags": {}, "max_session_duration": 3600, "assume_role_policy": policy_document(pool.id, "authenticated")},
        ):
            role.change(**change)
            self.is_applied(role)
        # A new path, or name, is a new resource.
        role.delete()
        self.assertEqual(role.plan(), {"": "create"})
        role = Role(name=name, path="/web/", assume_role_policy=service, description="first", tags={"a": "b"})
        self.is_applied(role)
        self.assertEqual(role.arn, f"arn:aws:iam::000000000000:role/web/{name}")
        role.delete(force_detach_policies=True)
        self.assertEqual(role.plan(), {"": "create"})
        role.delete()

    def test_a_guest_gets_credentials_of_the_roles_that_were_applied(self):
        pool = Pool(identity_pool_name=self._testMethodName, allow_unauthenticated_identities=True)
        name = f"guests-{uuid.uuid4()}"
        role = Role(name=name, path="/web/", assume_role_policy=policy_document(pool.id, "unauthenticated"))
        attachment = RolesAttachment(identity_pool_id=pool.id, roles={"unauthenticated": role.arn})
        self.is_applied(pool, role, attachment)
        given = client().get_credentials_for_identity(IdentityId=self.guest(pool.id))["Credentials"]
        session = boto3.session.Session(given["AccessKeyId"], given["SecretKey"], given["SessionToken"])
        arn = f"arn:aws:sts::000000000000:assumed-role/{name}/CognitoIdentityCredentials"
        self.assertEqual(session.client("sts").get_caller_identity()["Arn"], arn)

    def test_principal_tags_are_set_changed_and_unset(self):
        pool = self.everything()
        for provider in (USER_POOL, "graph.facebook.com", "foo.example.com", OPENID[0], SAML[0], "login.example"):
            defaults = PrincipalTag(identity_pool_id=pool.id, identity_provider_name=provider)
            self.is_applied(defaults)
            defaults.delete()
            tags = PrincipalTag(
                identity_pool_id=pool.id,
                identity_provider_name=provider,
                principal_tags={"test": "value"},
                use_defaults=False,
            )
            self.is_applied(tags)
            tags.change(principal_tags={"test": "value", "new": "claim"})
            self.is_applied(tags)
            tags.change(principal_tags={}, use_defaults=True)
            self.is_applied(tags)
            tags.delete()
            answer = client().get_principal_tag_attribute_map(**tags.ids())
            self.assertEqual((answer["UseDefaults"], answer["PrincipalTags"]), (True, {}))
        # The provider goes before its tags do: they are taken for gone, and destroying them is no error.
        tags = PrincipalTag(identity_pool_id=pool.id, identity_provider_name="graph.facebook.com")
        pool.change(supported_login_providers={})
        self.assertEqual(tags.plan(), {"": "create"})
        tags.delete()
        pool.delete()
        self.assertEqual(tags.plan(), {"": "create"})
        tags.delete()

    def test_the_ephemeral_token_has_the_identity_and_the_tags_that_were_asked_for(self):
        pool = self.everything()
        arguments = {"IdentityPoolId": pool.id, "Logins": {"login.example": "alice"}}
        opened = client().get_open_id_token_for_developer_identity(**arguments)
        again = client().get_open_id_token_for_developer_identity(
            **arguments, IdentityId=opened["IdentityId"], PrincipalTags={"team": "blue"}, TokenDuration=1
        )
        self.assertEqual(again["IdentityId"], opened["IdentityId"])
        claims = jwt.decode(again["Token"], options={"verify_signature": False})
        self.assertEqual(claims["exp"] - claims["iat"], 1)
        self.assertEqual(claims["https://aws.amazon.com/tags"], {"principal_tags": {"team": ["blue"]}})

    def test_the_data_source_finds_a_pool_by_its_name_on_any_page(self):
        pools = [self.everything(identity_pool_name=f"pool {number} of 25") for number in range(25)]
        for wanted in (pools[0], pools[11], pools[24]):
            name, pool_id = wanted.wanted["identity_pool_name"], None
            for page in client().get_paginator("list_identity_pools").paginate(PaginationConfig={"PageSize": 20}):
                for pool in page["IdentityPools"]:
                    if pool["IdentityPoolName"] == name:
                        pool_id = pool["IdentityPoolId"]
                        break
            self.assertEqual(pool_id, wanted.id)
            answer = client().describe_identity_pool(IdentityPoolId=pool_id)
            self.assertEqual(Pool.flatten(answer), wanted.read())
