"""Tags of pools by boto3, and rates of operations."""

import time

from botocore.exceptions import ClientError

import broker as brokers
from support import NOBODY, REGION, Case, Signer, call, client

# That of the developer whom `symbolon dev` makes.
ACCOUNT = "000000000000"


def arn(pool, account="", region=REGION):
    return f"arn:aws:cognito-identity:{region}:{account}:identitypool/{pool}"


class Tags(Case):
    def setUp(self):
        self.id = self.pool(IdentityPoolTags={"first": "1"})

    def list(self, resource=None):
        return client().list_tags_for_resource(ResourceArn=resource or arn(self.id))["Tags"]

    def tag(self, tags, resource=None):
        return client().tag_resource(ResourceArn=resource or arn(self.id), Tags=tags)

    def untag(self, *keys):
        return client().untag_resource(ResourceArn=arn(self.id), TagKeys=list(keys))

    def test_x1_x2_tags_are_merged_and_are_those_of_the_pool(self):
        self.assertEqual(self.list(), {"first": "1"})
        self.tag({"First": "2", "second": ""})
        self.tag({"second": "3", "é_.:/=+-@ ": "x"})
        merged = {"first": "1", "First": "2", "second": "3", "é_.:/=+-@ ": "x"}
        self.assertEqual(self.list(), merged)
        self.assertEqual(client().describe_identity_pool(IdentityPoolId=self.id)["IdentityPoolTags"], merged)
        self.untag("first", "absent", "second")
        self.untag("absent")
        self.assertEqual(self.list(), {"First": "2", "é_.:/=+-@ ": "x"})
        self.untag(*self.list())
        self.assertEqual(self.list(), {})

    def test_x1_the_account_may_be_given_or_left_out(self):
        self.tag({"given": "yes"}, arn(self.id, ACCOUNT))
        self.assertEqual(self.list(arn(self.id, ACCOUNT)), {"first": "1", "given": "yes"})
        self.assertEqual(self.list(), {"first": "1", "given": "yes"})
        text = f"IdentityPool '{self.id}' not found."
        function = client().list_tags_for_resource
        for other in (arn(self.id, "999999999999"), arn(self.id, ACCOUNT, "eu-west-1")):
            self.refused("ResourceNotFoundException", text, function, ResourceArn=other)
        text = f"IdentityPool '{NOBODY}' not found."
        self.refused("ResourceNotFoundException", text, function, ResourceArn=arn(NOBODY))

    def test_w15_the_answers_without_members_are_empty_objects(self):
        for operation, more in (("TagResource", {"Tags": {"a": "b"}}), ("UntagResource", {"TagKeys": ["a"]})):
            answer = call(operation, {"ResourceArn": arn(self.id)} | more, Signer())
            self.assertEqual((answer.status, answer.body), (200, b"{}"))
            self.has_usual_head(answer)

    def test_w11_x1_what_is_no_arn_of_a_pool_is_denied(self):
        for given in (self.id, arn(self.id).replace("cognito-identity:", "cognito-idp:"), "x" * 20):
            for operation, more in (
                ("ListTagsForResource", {}),
                ("TagResource", {"Tags": {"a": "b"}}),
                ("UntagResource", {"TagKeys": ["a"]}),
            ):
                answer = call(operation, {"ResourceArn": given} | more, Signer())
                user = f"arn:aws:iam::{ACCOUNT}:user/{Signer().key}"
                text = (
                    f"User: {user} is not authorized to perform: cognito-identity:{operation} on resource: {given} "
                    f"because no identity-based policy allows the cognito-identity:{operation} action"
                )
                self.is_error(answer, "AccessDeniedException", text)
        with self.assertRaises(ClientError) as caught:
            client().list_tags_for_resource(ResourceArn=self.id)
        self.assertEqual(caught.exception.response["Error"]["Code"], "AccessDeniedException")

    def test_x2_fifty_after_the_merge_and_the_rules_of_tags(self):
        self.tag({f"k{n}": "v" for n in range(49)})
        self.tag({f"k{n}": "w" for n in range(49)})
        text = "A resource can have at most 50 tags."
        function, resource = client().tag_resource, arn(self.id)
        self.refused("InvalidParameterException", text, function, ResourceArn=resource, Tags={"one more": "v"})
        for tags in ({"aws:x": "y"}, {"AWS:x": "y"}, {"k1": "a\n"}, {"a*": "b"}):
            with self.assertRaises(client().exceptions.InvalidParameterException):
                function(ResourceArn=resource, Tags=tags)
        self.assertEqual(self.list(), {"first": "1"} | {f"k{n}": "w" for n in range(49)})


class Rates(Case):
    def test_i11_d10_an_operation_has_the_rate_that_is_configured_and_none_by_default(self):
        resource = arn(self.pool())
        for _ in range(40):
            client().list_tags_for_resource(ResourceArn=resource)
        second = brokers.serve(SYMBOLON__LIMITS__REQUESTS_PER_SECOND__LISTTAGSFORRESOURCE="2")
        try:
            limited = client(endpoint=second.endpoint)
            answers, start = [], time.monotonic()
            for _ in range(20):
                try:
                    limited.list_tags_for_resource(ResourceArn=resource)
                except limited.exceptions.TooManyRequestsException as refusal:
                    answers.append((refusal.response["Error"]["Code"], refusal.response["Error"]["Message"]))
            admitted = 20 - len(answers)
            # A burst of two, and two a second.
            self.assertLessEqual(admitted, 3 + 2 * (time.monotonic() - start))
            self.assertEqual(set(answers), {("TooManyRequestsException", "Rate exceeded")})
            for _ in range(20):
                limited.tag_resource(ResourceArn=resource, Tags={"a": "b"})
        finally:
            self.assertEqual(second.stop(), 0)
