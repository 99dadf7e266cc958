"""Every violation of every constraint of the service model that botocore ships, with the words that must tell it.

What must be answered is worked out here from the model and the rules of docs/compatibility.md alone. Ours, where the contract is open: of one
value the most is told before the least, then the pattern, then the set; sensitive values are `***`; 1024 characters of
a value are shown.
"""

import re
import unicodedata

from botocore.loaders import Loader

from support import NOBODY

# A value of each string shape that has a pattern; its last character may be repeated.
SAMPLES = {
    "IdentityPoolId": NOBODY,
    "IdentityId": NOBODY,
    "AccountId": "123456789012",
    "IdentityPoolName": "pool",
    "DeveloperProviderName": "login.example",
    "IdentityProviderId": "app/1",
    "CognitoIdentityProviderName": "cognito-idp.us-east-1.amazonaws.com/us-east-1_a",
    "CognitoIdentityProviderClientId": "client_1",
    "PaginationKey": "next",
    "RoleType": "authenticated",
    "ClaimName": "claim",
}
BAD_CHARACTERS = [" ", "\t", "\n", "\x0b", "\0", "!", "'", "A", "/", ":", "é", "字", "😀", "\u2028"]
NOT_NULL = "Member must not be null"
ECHO = 1024

MODEL = Loader().load_service_model("cognito-identity", "service-2", "2014-06-30")
SHAPES = MODEL["shapes"]


def lower_first(name):
    return name[:1].lower() + name[1:]


def matches(pattern, text):
    if pattern == r"[\p{L}\p{M}\p{S}\p{N}\p{P}]+":
        return text != "" and all(unicodedata.category(letter)[0] in "LMSNP" for letter in text)
    return re.fullmatch(pattern, text, re.ASCII) is not None


def rules(shape):
    """The shape's own constraints: their words, and whether a value keeps them."""
    kind, least, most = shape["type"], shape.get("min"), shape.get("max")
    size = (lambda value: value) if kind in ("integer", "long") else len
    what = "value" if kind in ("integer", "long") else "length"
    if most is not None:
        yield f"Member must have {what} less than or equal to {most}", lambda value: size(value) <= most
    if least is not None:
        yield f"Member must have {what} greater than or equal to {least}", lambda value: size(value) >= least
    if pattern := shape.get("pattern"):
        yield f"Member must satisfy regular expression pattern: {pattern}", lambda value: matches(pattern, value)
    if values := shape.get("enum"):
        yield f"Member must satisfy enum value set: [{', '.join(values)}]", lambda value: value in values


def broken(shape, value):
    return [words for words, kept in rules(shape) if not kept(value)]


def bracket(shape, values=()):
    words = [words for words, _ in rules(shape)] + [NOT_NULL] * any(value is None for value in values)
    return f"[{', '.join(words)}]"


def show(shape, value):
    """As Java's toString."""
    if value is None:
        return "null"
    kind = shape["type"]
    if kind == "structure":
        members = ((name, value[name]) for name in shape["members"] if value.get(name) is not None)
        return (
            "{"
            + ", ".join(f"{lower_first(n)}={show(SHAPES[shape['members'][n]['shape']], v)}" for n, v in members)
            + "}"
        )
    if kind == "list":
        return "[" + ", ".join(show(SHAPES[shape["member"]["shape"]], element) for element in value) + "]"
    if kind == "map":
        return (
            "{" + ", ".join(f"{key}={show(SHAPES[shape['value']['shape']], value[key])}" for key in sorted(value)) + "}"
        )
    if kind == "boolean":
        return str(value).lower()
    return "***" if shape.get("sensitive") and value != "" else str(value)


def clause(shape, value, path, constraint):
    if value is None:
        return f"Value null at '{path}' failed to satisfy constraint: {constraint}"
    shown = show(shape, value)
    shown = shown if len(shown) <= ECHO else shown[:ECHO] + "..."
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}"


def message(clauses):
    return f"{len(clauses)} validation error{'s' * (len(clauses) > 1)} detected: {'; '.join(clauses)}"


def valid(name, whole=True):
    """A value that keeps every constraint; with all members if `whole`."""
    shape = SHAPES[name]
    match shape["type"]:
        case "structure":
            required = shape.get("required", [])
            members = [m for m in shape["members"] if whole or m in required]
            return {member: valid(shape["members"][member]["shape"], whole) for member in members}
        case "list":
            return [valid(shape["member"]["shape"], whole)]
        case "map":
            return {valid(shape["key"]["shape"]): valid(shape["value"]["shape"], whole)}
        case "boolean":
            return True
        case "integer" | "long":
            return shape.get("min", 1)
    if shape.get("enum"):
        return shape["enum"][0]
    return SAMPLES.get(name, "x" * max(shape.get("min", 1), 3))


def of_length(name, length):
    """A text of that length, which keeps the pattern if any such text does."""
    sample = valid(name)
    return sample[:length] if length <= len(sample) else sample + sample[-1] * (length - len(sample))


def bad_texts(name):
    """Texts that break a string shape."""
    shape = SHAPES[name]
    if (least := shape.get("min", 0)) > 0:
        yield of_length(name, least - 1)
    if (most := shape.get("max")) is not None:
        yield of_length(name, most + 1)
        yield "é" * (most + 1)
    if shape.get("pattern"):
        sample = valid(name)
        for bad in BAD_CHARACTERS:
            for text in (sample + bad, bad + sample, sample[:2] + bad + sample[2:]):
                if broken(shape, text):
                    yield text
    if values := shape.get("enum"):
        yield from ("", values[0].lower(), values[0] + " ", "Other")


def limit_texts(name):
    """Texts at the limits, which are good."""
    shape = SHAPES[name]
    lengths = [shape.get("min"), shape.get("max")] if not shape.get("enum") else []
    texts = [of_length(name, length) for length in lengths if length is not None] + shape.get("enum", [])
    return [text for text in texts if not broken(shape, text)]


def keys(name, count):
    """That many good keys."""
    return [of_length(name, 3)[:3] + f"{n:03}" for n in range(count)]


def violations(name, path, required=True):
    """Bad values of a shape and the clauses that tell each; `None` is a missing member."""
    shape = SHAPES[name]
    if required:
        yield None, [clause(shape, None, path, NOT_NULL)]
    yield from {
        "string": string_violations,
        "integer": number_violations,
        "long": number_violations,
        "boolean": lambda *_: (),
        "list": list_violations,
        "map": map_violations,
        "structure": structure_violations,
    }[shape["type"]](name, shape, path)


def string_violations(name, shape, path):
    for text in bad_texts(name):
        yield text, [clause(shape, text, path, words) for words in broken(shape, text)]


def number_violations(name, shape, path):
    farthest = 2**31 if shape["type"] == "integer" else 2**63
    for number in (shape["min"] - 1, shape["max"] + 1, -1, farthest - 1, -farthest):
        yield number, [clause(shape, number, path, words) for words in broken(shape, number)]


def list_violations(name, shape, path):
    element = shape["member"]["shape"]
    good = valid(element)
    sizes = [size for size in (shape.get("min", 0) - 1, shape.get("max", -2) + 1) if size >= 0]
    for size in sizes:
        value = [good] * size
        yield value, [clause(shape, value, path, words) for words in broken(shape, value)]
    if SHAPES[element]["type"] == "structure":
        yield [good, None], [clause(SHAPES[element], None, f"{path}.2.member", NOT_NULL)]
        for bad, clauses in violations(element, f"{path}.2.member", required=False):
            yield [good, bad], clauses
        return
    for bad in [None, *bad_texts(element)]:
        value = [good, bad]
        words = f"Member must satisfy constraint: {bracket(SHAPES[element], value)}"
        yield value, [clause(shape, value, path, words)]


def map_violations(name, shape, path):
    key, element = shape["key"]["shape"], shape["value"]["shape"]
    good_key, good = valid(key), valid(element)
    if (most := shape.get("max")) is not None and not SHAPES[key].get("pattern"):
        value = {name: good for name in keys(key, most + 1)}
        yield value, [clause(shape, value, path, words) for words in broken(shape, value)]
    for bad in bad_texts(key):
        value = {good_key: good, bad: good}
        yield value, [clause(shape, value, path, f"Map keys must satisfy constraint: {bracket(SHAPES[key])}")]
    if SHAPES[element]["type"] == "structure":
        place = f"{path}.{good_key}.member"
        yield {good_key: None}, [clause(SHAPES[element], None, place, NOT_NULL)]
        for bad, clauses in violations(element, place, required=False):
            yield {good_key: bad}, clauses
        return
    for bad in [None, *bad_texts(element)]:
        value = {good_key: bad}
        words = f"Map value must satisfy constraint: {bracket(SHAPES[element], [bad])}"
        yield value, [clause(shape, value, path, words)]


def structure_violations(name, shape, path):
    for member, place in shape["members"].items():
        below = f"{path}.{lower_first(member)}" if path else lower_first(member)
        for bad, clauses in violations(place["shape"], below, required=member in shape.get("required", [])):
            yield valid(name) | {member: bad}, clauses


TYPE_ERRORS = {
    "string": ("a String", [1, 1.5, True, False, [], {}, ["x"]]),
    "boolean": ("a Boolean", ["true", "", 1, 0, [], {}]),
    "integer": ("an Integer", ["1", True, 1.5, 2**31, -(2**31) - 1, 1e300, [], {}]),
    "long": ("a Long", ["1", False, 1.5, 2**63, 2**64, -(2**64), [], {}]),
    "list": ("list", ["x", 1, True, {}]),
    "map": ("map", ["x", 1, False, []]),
    "structure": ("map", ["x", 1, True, []]),
}
FOUND = {str: "STRING_VALUE", int: "NUMBER_VALUE", float: "NUMBER_VALUE", True: "TRUE_VALUE", False: "FALSE_VALUE"}


def wrong_types(name):
    """Values of another JSON type at every depth, and what the refusal says."""
    shape = SHAPES[name]
    kind = shape["type"]
    wanted, values = TYPE_ERRORS[kind]
    for value in values:
        if kind in ("list", "map", "structure"):
            yield value, f"Expected {wanted} or null"
        elif isinstance(value, (dict, list)):
            thing = "structure or map" if isinstance(value, dict) else "list"
            yield value, f"Start of {thing} found where not expected."
        else:
            found = FOUND[value if isinstance(value, bool) else type(value)]
            yield value, f"{found} can not be converted to {wanted}"
    if kind == "structure":
        for member, place in shape["members"].items():
            yield from ((valid(name) | {member: bad}, text) for bad, text in wrong_types(place["shape"]))
    elif kind == "list":
        yield from (
            ([valid(shape["member"]["shape"]), bad], text) for bad, text in wrong_types(shape["member"]["shape"])
        )
    elif kind == "map":
        key = valid(shape["key"]["shape"])
        yield from (({key: bad}, text) for bad, text in wrong_types(shape["value"]["shape"]))


def limits(name):
    """Values at the limits of a shape and of all in it: none of them breaks a constraint."""
    shape = SHAPES[name]
    match shape["type"]:
        case "string":
            yield from limit_texts(name)
        case "integer" | "long":
            yield from (shape["min"], shape["max"], float(shape["max"]))
        case "list":
            good = valid(shape["member"]["shape"])
            yield from ([good] * size for size in (shape.get("min", 0), shape.get("max", 2)))
            yield from ([value] for value in limits(shape["member"]["shape"]))
        case "map":
            key, element = shape["key"]["shape"], shape["value"]["shape"]
            yield {}
            if not SHAPES[key].get("pattern"):
                yield {name: valid(element) for name in keys(key, shape.get("max", 2))}
            yield from ({text: valid(element)} for text in limit_texts(key))
            yield from ({valid(key): value} for value in limits(element))
        case "structure":
            yield from (valid(name, whole) for whole in (True, False))
            for member, place in shape["members"].items():
                yield from (valid(name) | {member: value} for value in limits(place["shape"]))


def input_of(operation):
    return MODEL["operations"][operation]["input"]["shape"]
