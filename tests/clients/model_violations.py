"""Model-driven: every violation that constraints.py finds, sent to every operation."""

import copy
import json

from constraints import (
    MODEL,
    NOT_NULL,
    SHAPES,
    clause,
    input_of,
    limits,
    lower_first,
    message,
    valid,
    violations,
    wrong_types,
)
from support import Case, Signer, call

def send(operation, body):
    public = MODEL["operations"][operation].get("authtype") == "none"
    return call(operation, body, None if public else Signer())


class Violations(Case):
    operations = list(MODEL["operations"])

    def check(self, cases, at_least):
        """Runs all cases, then tells the failures: (operation, body, check of the answer)."""
        failures, count = [], 0
        for operation, body, check in cases:
            count += 1
            answer = send(operation, body)
            try:
                check(answer)
            except AssertionError as failure:
                failures.append(
                    f"{operation} {json.dumps(body)[:600]}\n  {answer.status} {answer.body[:800]!r}\n  {failure}"
                )
        if failures:
            self.fail(f"{len(failures)} of {count} failed:\n" + "\n".join(failures[:10]))
        self.assertGreater(count, at_least)

    def test_every_operation_of_the_model_is_served(self):
        self.assertEqual(len(self.operations), 23)
        unknown = b'{"__type":"UnknownOperationException"}'
        self.assertEqual([name for name in self.operations if send(name, {}).body == unknown], [])

    def test_v1_to_v8_every_violation_of_every_constraint(self):
        def cases():
            for operation in self.operations:
                for body, clauses in violations(input_of(operation), "", required=False):
                    text = message(clauses)
                    yield operation, body, lambda answer, text=text: self.is_error(answer, "ValidationException", text)

        self.check(cases(), 1200)

    def test_v4_required_members_that_are_absent_or_null(self):
        def cases():
            for operation in self.operations:
                shape = SHAPES[input_of(operation)]
                required = [name for name in shape["members"] if name in shape.get("required", [])]
                text = message([clause({}, None, lower_first(name), NOT_NULL) for name in required])
                for body in ({}, dict.fromkeys(shape["members"]), {name.lower(): "x" for name in required}):
                    yield operation, body, lambda answer, text=text: self.is_error(answer, "ValidationException", text)
                for name in required:
                    text = message([clause({}, None, lower_first(name), NOT_NULL)])
                    body = valid(input_of(operation))
                    del body[name]
                    yield operation, body, lambda answer, text=text: self.is_error(answer, "ValidationException", text)

        self.check(cases(), 50)

    def test_v2_v6_all_members_wrong_at_once_are_told_in_the_models_order(self):
        def cases():
            for operation in self.operations:
                for turn in range(3):
                    body, clauses = {}, []
                    for name, place in SHAPES[input_of(operation)]["members"].items():
                        bad = list(violations(place["shape"], lower_first(name), required=False))
                        if bad:
                            body[name], more = bad[turn % len(bad)]
                            clauses += more
                        else:
                            body[name] = valid(place["shape"])
                    text = message(clauses)
                    yield operation, body, lambda answer, text=text: self.is_error(answer, "ValidationException", text)

        self.check(cases(), 35)

    def test_w8_every_wrong_type(self):
        def cases():
            for operation in self.operations:
                for body, text in wrong_types(input_of(operation)):
                    if isinstance(body, dict):
                        yield operation, body, lambda answer, text=text: self.is_error(
                            answer, "SerializationException", text
                        )

        self.check(cases(), 400)

    def test_w8_a_wrong_type_wins_over_a_violation(self):
        body = {"IdentityPoolId": "", "IdentityId": 1}
        answer = send("LookupDeveloperIdentity", body)
        self.is_error(answer, "SerializationException", "NUMBER_VALUE can not be converted to a String")

    def test_values_at_the_limits_break_nothing(self):
        def admitted(answer):
            kind = json.loads(answer.body or b"{}").get("__type", "")
            self.assertNotIn(kind, ("ValidationException", "SerializationException", "InternalErrorException"))
            self.assertIn(answer.status, (200, 400))
            self.has_usual_head(answer)

        def cases():
            for operation in self.operations:
                for body in limits(input_of(operation)):
                    yield operation, copy.deepcopy(body), admitted

        self.check(cases(), 150)
