"""IAM's OpenID Connect providers by boto3, by the AWS CLI, and in the order in which Terraform calls."""

import concurrent.futures
import datetime
import functools
import json
import os
import subprocess
import urllib.request

import boto3
import botocore.config
from botocore.exceptions import ClientError

import support
from support import REQUEST_ID, Case, Signer, exchange

URL = "https://idp.example.com/realms/a"
THUMBPRINT = "9e99a48a9960b14926bb7f3b02e22da2b0ab7280"
OTHER_THUMBPRINT = "990f4193972f2becf12ddeda5237f9c952f20d9e"


@functools.cache
def iam(account=None, region=None, validation=True):
    """A boto3 client for IAM of the environment, but for what is given."""
    options = {"config": botocore.config.Config(parameter_validation=validation, retries={"total_max_attempts": 1})}
    if region:
        options["region_name"] = region
    if account:
        options |= {"aws_access_key_id": account, "aws_secret_access_key": "test"}
    return boto3.session.Session().client("iam", **options)


def body(answer):
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


class Terraform:
    """The calls of `aws_iam_openid_connect_provider` (hashicorp/aws 5 and 6), replayed: the plugin itself is not run."""

    def __init__(self, of, **configuration):
        self.of, self.configuration, self.arn = of, configuration, None

    def create(self):
        wanted = self.configuration
        request = {"Url": wanted["url"], "ClientIDList": wanted["client_id_list"]}
        if wanted.get("thumbprint_list"):
            request["ThumbprintList"] = wanted["thumbprint_list"]
        if wanted["tags"]:
            request["Tags"] = [{"Key": key, "Value": value} for key, value in wanted["tags"].items()]
        self.arn = self.of.create_open_id_connect_provider(**request)["OpenIDConnectProviderArn"]
        return self.read()

    def read(self):
        """The state, flattened as the plugin does."""
        answer = self.of.get_open_id_connect_provider(OpenIDConnectProviderArn=self.arn)
        return {
            "arn": self.arn,
            "url": answer["Url"],
            "client_id_list": answer["ClientIDList"],
            "thumbprint_list": answer["ThumbprintList"],
            "tags_all": {tag["Key"]: tag["Value"] for tag in answer["Tags"]},
        }

    def plan(self):
        """What differs between the configuration and the state. Clients are a set, thumbprints a list; without any in
        the configuration, thumbprints are the server's."""
        state, wanted, changes = self.read(), self.configuration, {}
        # The plugin suppresses the difference that the scheme makes.
        if wanted["url"].removeprefix("https://") != state["url"]:
            changes["url"] = "replace"
        if set(wanted["client_id_list"]) != set(state["client_id_list"]):
            changes["client_id_list"] = state["client_id_list"]
        if wanted.get("thumbprint_list") and wanted["thumbprint_list"] != state["thumbprint_list"]:
            changes["thumbprint_list"] = state["thumbprint_list"]
        if wanted["tags"] != state["tags_all"]:
            changes["tags"] = state["tags_all"]
        return changes

    def update(self, **changed):
        self.configuration |= changed
        state, arn = self.read(), {"OpenIDConnectProviderArn": self.arn}
        plan = self.plan()
        if "tags" in plan:
            old, new = state["tags_all"], self.configuration["tags"]
            if gone := [key for key in old if key not in new]:
                self.of.untag_open_id_connect_provider(**arn, TagKeys=gone)
            if set_ := [{"Key": key, "Value": value} for key, value in new.items() if old.get(key) != value]:
                self.of.tag_open_id_connect_provider(**arn, Tags=set_)
        if "thumbprint_list" in plan:
            thumbprints = self.configuration["thumbprint_list"]
            self.of.update_open_id_connect_provider_thumbprint(**arn, ThumbprintList=thumbprints)
        if "client_id_list" in plan:
            old, new = set(state["client_id_list"]), set(self.configuration["client_id_list"])
            for client in sorted(new - old):
                self.of.add_client_id_to_open_id_connect_provider(**arn, ClientID=client)
            for client in sorted(old - new):
                self.of.remove_client_id_from_open_id_connect_provider(**arn, ClientID=client)

    def destroy(self):
        self.of.delete_open_id_connect_provider(OpenIDConnectProviderArn=self.arn)

    def exists(self):
        try:
            self.read()
        except self.of.exceptions.NoSuchEntityException:
            return False
        return True


class Providers(Case):
    def denied(self, status, code, message, function, **arguments):
        """boto3 raises the modelled exception, with this status and this very message."""
        with self.assertRaises(ClientError) as caught:
            function(**arguments)
        answer = caught.exception.response
        self.assertEqual((answer["Error"]["Code"], answer["Error"]["Message"]), (code, message))
        self.assertEqual(answer["Error"]["Type"], "Sender")
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], status)
        return caught.exception

    def create(self, of, url=URL, **more):
        return of.create_open_id_connect_provider(Url=url, **more)["OpenIDConnectProviderArn"]

    def test_a_provider_lives_from_create_to_delete(self):
        of = iam("100000000001")
        tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}]
        made = of.create_open_id_connect_provider(
            Url=URL, ClientIDList=["web", "app"], ThumbprintList=[THUMBPRINT], Tags=tags
        )
        arn = "arn:aws:iam::100000000001:oidc-provider/idp.example.com/realms/a"
        self.assertEqual(body(made), {"OpenIDConnectProviderArn": arn, "Tags": tags})
        self.assertRegex(made["ResponseMetadata"]["RequestId"], REQUEST_ID)
        shown = body(of.get_open_id_connect_provider(OpenIDConnectProviderArn=arn))
        age = datetime.datetime.now(datetime.UTC) - shown.pop("CreateDate")
        self.assertLess(abs(age.total_seconds()), 60)
        self.assertEqual(
            shown,
            {
                "Url": "idp.example.com/realms/a",
                "ClientIDList": ["web", "app"],
                "ThumbprintList": [THUMBPRINT],
                "Tags": tags,
            },
        )
        self.assertEqual(body(of.list_open_id_connect_providers()), {"OpenIDConnectProviderList": [{"Arn": arn}]})
        self.assertEqual(body(of.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)), {})
        self.assertEqual(body(of.list_open_id_connect_providers()), {"OpenIDConnectProviderList": []})
        text = f"OpenIDConnect Provider not found for arn {arn}"
        error = self.denied(404, "NoSuchEntity", text, of.get_open_id_connect_provider, OpenIDConnectProviderArn=arn)
        self.assertIsInstance(error, of.exceptions.NoSuchEntityException)
        of.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)

    def test_refusals_are_the_modelled_exceptions(self):
        of = iam("100000000002")
        self.create(of)
        create = of.create_open_id_connect_provider
        text = f"Provider with url {URL} already exists."
        error = self.denied(409, "EntityAlreadyExists", text, create, Url=URL)
        self.assertIsInstance(error, of.exceptions.EntityAlreadyExistsException)
        text = "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100"
        clients = [str(number) for number in range(101)]
        error = self.denied(409, "LimitExceeded", text, create, Url=f"{URL}/b", ClientIDList=clients)
        self.assertIsInstance(error, of.exceptions.LimitExceededException)
        text = "Invalid Open ID Connect Provider URL. The URL must not have a query or a fragment."
        error = self.denied(400, "InvalidInput", text, create, Url=f"{URL}?x=y")
        self.assertIsInstance(error, of.exceptions.InvalidInputException)
        bare = iam("100000000002", validation=False)
        text = "1 validation error detected: Value null at 'url' failed to satisfy constraint: Member must not be null"
        self.denied(400, "ValidationError", text, bare.create_open_id_connect_provider)
        text = "Could not find operation ListUsers for version 2010-05-08"
        self.denied(400, "InvalidAction", text, of.list_users)

    def test_limits_are_those_of_the_client_model(self):
        """What boto3's own model admits at its bounds is taken, and one more is not."""
        of, model = iam("100000000003", validation=False), iam().meta.service_model
        shape = model.operation_model("CreateOpenIDConnectProvider").input_shape.members
        longest = "https://a.example/"
        longest += "p" * (shape["Url"].metadata["max"] - len(longest))
        client = "c" * shape["ClientIDList"].member.metadata["max"]
        tag = shape["Tags"].member.members
        tags = [
            {"Key": f"{n:02}".ljust(tag["Key"].metadata["max"], "k"), "Value": "v" * tag["Value"].metadata["max"]}
            for n in range(shape["Tags"].metadata["max"])
        ]
        arn = self.create(of, longest, ClientIDList=[client], ThumbprintList=["a" * 40] * 5, Tags=tags)
        shown = of.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        self.assertEqual((shown["ClientIDList"], shown["Tags"]), ([client], tags))
        for broken in (
            {"Url": longest + "p"},
            {"Url": ""},
            {"ClientIDList": [client + "c"]},
            {"ClientIDList": [""]},
            {"ThumbprintList": ["a" * 39]},
            {"ThumbprintList": ["a" * 41]},
            {"Tags": [*tags, {"Key": "one more", "Value": ""}]},
            {"Tags": [{"Key": "k" * 129, "Value": ""}]},
            {"Tags": [{"Key": "", "Value": ""}]},
            {"Tags": [{"Key": "k", "Value": "v" * 257}]},
            {"Tags": [{"Key": "k"}]},
        ):
            with self.subTest(broken=list(broken)), self.assertRaises(ClientError) as caught:
                of.create_open_id_connect_provider(**{"Url": "https://b.example"} | broken)
            self.assertEqual(caught.exception.response["Error"]["Code"], "ValidationError")
        self.assertEqual(len(of.list_open_id_connect_providers()["OpenIDConnectProviderList"]), 1)

    def test_a_provider_of_another_account_is_as_none(self):
        owner, other = iam("100000000004"), iam("100000000005")
        arn = self.create(owner, ClientIDList=["web"])
        text = f"OpenIDConnect Provider not found for arn {arn}"
        named = {"OpenIDConnectProviderArn": arn}
        self.denied(404, "NoSuchEntity", text, other.get_open_id_connect_provider, **named)
        self.denied(404, "NoSuchEntity", text, other.add_client_id_to_open_id_connect_provider, **named, ClientID="x")
        other.delete_open_id_connect_provider(**named)
        self.assertEqual(owner.get_open_id_connect_provider(**named)["ClientIDList"], ["web"])
        self.assertEqual(self.create(other), arn.replace("100000000004", "100000000005"))

    def test_any_region_leads_to_the_same_providers(self):
        account = "100000000006"
        arn = self.create(iam(account))
        for region in ("eu-central-1", "us-east-1", "ap-southeast-2"):
            listed = iam(account, region).list_open_id_connect_providers()["OpenIDConnectProviderList"]
            self.assertEqual(listed, [{"Arn": arn}])

    def test_tags_come_in_pages(self):
        of = iam("100000000007")
        tags = [{"Key": f"k{number}", "Value": "v"} for number in range(5)]
        arn = self.create(of, Tags=tags)
        pages, more = [], {}
        while not pages or pages[-1]["IsTruncated"]:
            answer = of.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn, MaxItems=2, **more)
            pages.append(answer)
            more = {"Marker": answer.get("Marker")}
        self.assertEqual([len(page["Tags"]) for page in pages], [2, 2, 1])
        self.assertEqual([tag for page in pages for tag in page["Tags"]], tags)

    def test_clients_added_at_the_same_time_are_all_there(self):
        of = iam("100000000008")
        arn = self.create(of)
        clients = [f"client{number}" for number in range(12)]
        add = of.add_client_id_to_open_id_connect_provider
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda client: add(OpenIDConnectProviderArn=arn, ClientID=client), clients))
        shown = of.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        self.assertEqual(sorted(shown["ClientIDList"]), sorted(clients))

    def test_wrong_credentials_are_refused_as_iam_does(self):
        session = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="wrong")
        wrong = session.client("iam", config=botocore.config.Config(retries={"total_max_attempts": 1}))
        with self.assertRaises(ClientError) as caught:
            wrong.list_open_id_connect_providers()
        answer = caught.exception.response
        self.assertEqual(answer["Error"]["Code"], "SignatureDoesNotMatch")
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 403)
        endpoint = os.environ["AWS_ENDPOINT_URL_IAM"]
        form = b"Action=ListOpenIDConnectProviders&Version=2010-05-08"
        head = {"Content-Type": "application/x-www-form-urlencoded"}
        unsigned = exchange(endpoint, list(head.items()), form)
        self.assertEqual(unsigned.status, 403)
        self.assertIn(b"<Code>MissingAuthenticationToken</Code>", unsigned.body)
        signed = Signer(service="iam").sign(endpoint, head, form)
        self.assertEqual(exchange(endpoint, list(signed.items()), form).status, 200)

    def test_the_broker_counts_operations_by_their_name(self):
        of = iam("100000000009")
        self.create(of)
        with urllib.request.urlopen(f"{support.broker.admin}/metrics", timeout=10) as answer:
            counts = answer.read().decode()
        self.assertRegex(
            counts, r'symbolon_requests_total\{operation="CreateOpenIDConnectProvider",code="OK"\} [1-9]'
        )


class TerraformsResource(Case):
    def test_the_plan_is_empty_after_each_apply(self):
        resource = Terraform(
            iam("100000000010"),
            url="https://Accounts.example.com/",
            client_id_list=["266362248691-re108qaeld573ia0l6clj2i5ac7r7291.apps.example.com", "a"],
            thumbprint_list=[OTHER_THUMBPRINT, THUMBPRINT],
            tags={"Name": "x", "key2": ""},
        )
        state = resource.create()
        self.assertEqual(resource.plan(), {})
        self.assertEqual(state["arn"], "arn:aws:iam::100000000010:oidc-provider/Accounts.example.com/")
        resource.update(client_id_list=["b", "a"])
        self.assertEqual(resource.plan(), {})
        resource.update(thumbprint_list=[THUMBPRINT])
        self.assertEqual(resource.plan(), {})
        resource.update(tags={"key2": "changed", "key3": "new"})
        self.assertEqual(resource.plan(), {})
        resource.update(client_id_list=["c"], thumbprint_list=[OTHER_THUMBPRINT.upper()], tags={})
        self.assertEqual(resource.plan(), {})
        self.assertEqual(resource.read()["client_id_list"], ["c"])
        resource.destroy()
        self.assertFalse(resource.exists())
        # Destroyed behind its back, it is destroyed again without an error.
        resource.destroy()

    def test_thumbprints_that_are_not_configured_make_no_plan(self):
        resource = Terraform(iam("100000000011"), url="https://idp.example.com", client_id_list=["a"], tags={})
        resource.create()
        self.assertEqual(resource.plan(), {})

    def test_an_import_reads_the_same_state(self):
        of = iam("100000000012")
        resource = Terraform(of, url=URL, client_id_list=["z", "a"], thumbprint_list=[THUMBPRINT], tags={"a": "b"})
        state = resource.create()
        imported = Terraform(of, **resource.configuration)
        imported.arn = state["arn"]
        self.assertEqual((imported.read(), imported.plan()), (state, {}))
        self.assertEqual(state["client_id_list"], ["z", "a"])


class CommandLine(Case):
    def aws(self, *arguments, **environment):
        environment = dict(os.environ) | {"AWS_ACCESS_KEY_ID": "100000000013"} | environment
        command = ["aws", "iam", *arguments, "--output", "json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout) if done.stdout else None

    def test_every_command_works_with_nothing_but_the_env_file(self):
        made = self.aws(
            "create-open-id-connect-provider",
            f"--url={URL}",
            "--client-id-list",
            "web",
            "app",
            "--thumbprint-list",
            THUMBPRINT,
            "--tags",
            "Key=team,Value=blue",
        )
        arn = made["OpenIDConnectProviderArn"]
        of = ("--open-id-connect-provider-arn", arn)
        self.assertEqual(made["Tags"], [{"Key": "team", "Value": "blue"}])
        self.assertEqual(
            self.aws("list-open-id-connect-providers"), {"OpenIDConnectProviderList": [{"Arn": arn}]}
        )
        self.assertIsNone(self.aws("add-client-id-to-open-id-connect-provider", *of, "--client-id=cli"))
        self.assertIsNone(self.aws("remove-client-id-from-open-id-connect-provider", *of, "--client-id=web"))
        thumbprint = ("--thumbprint-list", OTHER_THUMBPRINT)
        self.assertIsNone(self.aws("update-open-id-connect-provider-thumbprint", *of, *thumbprint))
        self.assertIsNone(self.aws("tag-open-id-connect-provider", *of, "--tags", "Key=Team,Value=red"))
        self.assertIsNone(self.aws("tag-open-id-connect-provider", *of, "--tags", "Key=x,Value=y"))
        self.assertIsNone(self.aws("untag-open-id-connect-provider", *of, "--tag-keys", "x"))
        tags = [{"Key": "Team", "Value": "red"}]
        listed = self.aws("list-open-id-connect-provider-tags", *of)
        # The CLI asks for every page by itself, and shows what they come to.
        self.assertEqual(listed, {"Tags": tags})
        shown = self.aws("get-open-id-connect-provider", *of)
        del shown["CreateDate"]
        self.assertEqual(
            shown,
            {
                "Url": "idp.example.com/realms/a",
                "ClientIDList": ["app", "cli"],
                "ThumbprintList": [OTHER_THUMBPRINT],
                "Tags": tags,
            },
        )
        self.assertIsNone(self.aws("delete-open-id-connect-provider", *of))
        self.assertEqual(self.aws("list-open-id-connect-providers"), {"OpenIDConnectProviderList": []})
