"""The rules of a connector (reference/azure.md section 5.4), for want of Microsoft's validator, which needs a sign-in.

Each rule is a function that tells what breaks it; ``RULES`` names them all, and a test plants a fault for each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["RULES", "problems"]

Json = dict[str, Any]
Found = Iterator[str]
_NOT_IN_TITLES = re.compile(r"(?i)\b(api|connector|power ?automate|power ?apps|flow|logic apps)\b")
_PASCAL = re.compile(r"[A-Z][A-Za-z0-9]*")
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
_TAKEN_COLORS = ("#007ee5", "#ffffff")
_METADATA = ("Website", "Privacy policy", "Categories")
_VISIBLE = ("important", "advanced", "internal", "none")
_METHODS = ("get", "put", "post", "delete", "patch")
_UNKNOWN_TO_SWAGGER = ("anyOf", "oneOf", "const", "nullable", "$defs", "examples", "prefixItems")


def problems(definition: Json, properties: Json) -> list[str]:
    """Everything that is wrong, in sentences that name the place."""
    return [f"{rule.__name__}: {wrong}" for rule in RULES for wrong in rule(definition, properties)]


# Reading it ----------------------------------------------------------------------------------------------------------


def _operations(definition: Json) -> Iterator[tuple[str, str, str, Json]]:
    """Where (for people), path, method, operation."""
    for path, methods in definition.get("paths", {}).items():
        for method, operation in methods.items():
            if method in _METHODS:
                yield f"{method.upper()} {path}", path, method, operation


def _schemas(definition: Json) -> Iterator[tuple[str, Json]]:
    """Every schema by its place, the inner ones too."""
    for where, _, _, operation in _operations(definition):
        for parameter in operation.get("parameters", []):
            yield from _inside(f"{where} {parameter.get('name')}", parameter.get("schema"))
        for status, answer in operation.get("responses", {}).items():
            yield from _inside(f"{where} {status}", answer.get("schema"))
        content = operation.get("x-ms-notification-content")
        if content is not None:
            yield from _inside(f"{where} notification", content.get("schema"))
    for name, schema in definition.get("definitions", {}).items():
        yield from _inside(f"definition {name}", schema)


def _inside(where: str, schema: Any) -> Iterator[tuple[str, Json]]:
    if not isinstance(schema, dict):
        return
    yield where, schema
    yield from _inside(f"{where}[]", schema.get("items"))
    for name, inner in schema.get("properties", {}).items():
        yield from _inside(f"{where}.{name}", inner)


def _fields(definition: Json) -> Iterator[tuple[str, Json]]:
    """What makers see: parameters, and fields of bodies."""
    for where, _, _, operation in _operations(definition):
        for parameter in operation.get("parameters", []):
            yield f"{where} {parameter.get('name')}", parameter
    for where, schema in _schemas(definition):
        for name, inner in schema.get("properties", {}).items():
            yield f"{where}.{name}", inner


def _ids(definition: Json) -> Counter[str]:
    return Counter(str(operation.get("operationId")) for _, _, _, operation in _operations(definition))


# The rules -----------------------------------------------------------------------------------------------------------


def is_swagger_2(definition: Json, properties: Json) -> Found:
    """The designer reads nothing newer."""
    if definition.get("swagger") != "2.0":
        yield 'swagger is not "2.0".'


def title_says_no_platform(definition: Json, properties: Json) -> Found:
    """At most 30 characters, without the words that everything there has."""
    title = definition["info"].get("title", "")
    if not 1 <= len(title) <= 30 or _NOT_IN_TITLES.search(title):
        yield f"the title {title!r} is empty, longer than 30 characters, or says API, Connector or Power something."


def description_has_its_length(definition: Json, properties: Json) -> Found:
    """30 to 500 characters."""
    length = len(definition["info"].get("description", ""))
    if not 30 <= length <= 500:
        yield f"the description has {length} characters; 30 to 500 are wanted."


def is_reached_by_https(definition: Json, properties: Json) -> Found:
    """A host alone, https alone."""
    if definition.get("schemes") != ["https"] or not re.fullmatch(r"[a-z0-9.-]+", definition.get("host", "")):
        yield "schemes is not https alone, or host is not a host name alone."


def metadata_is_there(definition: Json, properties: Json) -> Found:
    """Website, privacy policy, categories; and whom to ask."""
    there = {entry.get("propertyName") for entry in definition.get("x-ms-connector-metadata", [])}
    yield from (f"x-ms-connector-metadata has no {name}." for name in _METADATA if name not in there)
    if not definition["info"].get("contact", {}).get("email"):
        yield "info.contact names nobody to ask."


def ids_are_unique_pascal_case(definition: Json, properties: Json) -> Found:
    """``GetOvenNow``, once."""
    for operation, times in _ids(definition).items():
        if times > 1 or not _PASCAL.fullmatch(operation):
            yield f"operationId {operation!r} stands {times} times, or is not in PascalCase."


def summaries_are_short(definition: Json, properties: Json) -> Found:
    """At most 80 characters, no full stop."""
    for where, _, _, operation in _operations(definition):
        summary = operation.get("summary", "")
        if not 1 <= len(summary) <= 80 or summary.endswith(".") or not summary[0].isupper():
            yield f"{where}: the summary {summary!r} is empty, too long, in lower case, or ends with a full stop."


def descriptions_are_sentences(definition: Json, properties: Json) -> Found:
    """Of operations and of everything a maker sees."""
    for where, _, _, operation in _operations(definition):
        if not operation.get("description", "").endswith("."):
            yield f"{where}: the description does not end with a full stop."
        if operation.get("description", "").rstrip(".") == operation.get("summary"):
            yield f"{where}: the description says no more than the summary."
    for where, field in _fields(definition):
        if not field.get("description", "").endswith("."):
            yield f"{where}: the description does not end with a full stop."


def everything_has_a_title(definition: Json, properties: Json) -> Found:
    """``x-ms-summary`` on every parameter and field."""
    for where, field in _fields(definition):
        title = field.get("x-ms-summary", "")
        if not 1 <= len(title) <= 80 or title.endswith("."):
            yield f"{where}: x-ms-summary is missing, too long, or ends with a full stop."


def path_parameters_are_encoded_once(definition: Json, properties: Json) -> Found:
    """Required, declared, ``x-ms-url-encoding: single``."""
    for where, path, _, operation in _operations(definition):
        declared = [p for p in operation.get("parameters", []) if p.get("in") == "path"]
        for parameter in declared:
            if parameter.get("x-ms-url-encoding") != "single" or parameter.get("required") is not True:
                yield f"{where} {parameter['name']}: not required, or without x-ms-url-encoding single."
        if {p["name"] for p in declared} != set(re.findall(r"\{(\w+)\}", path)):
            yield f"{where}: the path and its declared parameters differ."


def good_answers_have_a_schema(definition: Json, properties: Json) -> Found:
    """Every 2xx but 204, and there is one; refusals are described."""
    for where, _, _, operation in _operations(definition):
        good = {s: a for s, a in operation.get("responses", {}).items() if s.startswith("2")}
        if not good:
            yield f"{where}: no 2xx answer."
        for status, answer in good.items():
            if status != "204" and not answer.get("schema"):
                yield f"{where}: {status} has no schema."
        if "default" not in operation.get("responses", {}):
            yield f"{where}: refusals are not described."


def webhooks_are_whole(definition: Json, properties: Json) -> Found:
    """Notification content, one notification URL, 201, a hint, and a DELETE where the subscription lies."""
    deleted = [path for _, path, method, _ in _operations(definition) if method == "delete"]
    for where, path, method, operation in _operations(definition):
        if operation.get("x-ms-trigger") != "single":
            continue
        if not operation.get("x-ms-notification-content", {}).get("schema", {}).get("properties"):
            yield f"{where}: no x-ms-notification-content with fields."
        urls = [w for w, field in _of_body(operation) if field.get("x-ms-notification-url") is True]
        if len(urls) != 1:
            yield f"{where}: {len(urls)} fields are x-ms-notification-url, one is wanted."
        if method != "post" or "201" not in operation.get("responses", {}):
            yield f"{where}: it is subscribed to by POST and answered 201."
        if not operation.get("x-ms-trigger-hint"):
            yield f"{where}: no x-ms-trigger-hint."
        if not any(
            path == end.rpartition("/")[0] or path.rpartition("/")[0] == end.rpartition("/")[0] for end in deleted
        ):
            yield f"{where}: no DELETE ends its subscription."


def _of_body(operation: Json) -> Iterator[tuple[str, Json]]:
    for parameter in operation.get("parameters", []):
        yield from parameter.get("schema", {}).get("properties", {}).items()


def polls_say_so(definition: Json, properties: Json) -> Found:
    """A trigger by polling is GET, has a hint and gives rows."""
    for where, _, method, operation in _operations(definition):
        if operation.get("x-ms-trigger") == "batch" and (
            method != "get" or not operation.get("x-ms-trigger-hint") or not _rows(operation)
        ):
            yield f"{where}: a polling trigger is GET, has a hint, and its answer is rows or items."
        if operation.get("x-ms-trigger") not in (None, "single", "batch"):
            yield f"{where}: x-ms-trigger is single or batch."


def _rows(operation: Json) -> bool:
    schema: Json = operation["responses"].get("200", {}).get("schema", {})
    return bool(schema.get("type") == "array" or schema.get("properties", {}).get("items", {}).get("type") == "array")


def references_resolve(definition: Json, properties: Json) -> Found:
    """Every ``$ref``."""
    for where, schema in _schemas(definition):
        reference = schema.get("$ref")
        if reference is not None and reference.removeprefix("#/definitions/") not in definition.get("definitions", {}):
            yield f"{where}: {reference} is not there."


def schemas_are_of_swagger_2(definition: Json, properties: Json) -> Found:
    """One type each, nothing that came later; notifications are flat."""
    for where, schema in _schemas(definition):
        newer = [key for key in _UNKNOWN_TO_SWAGGER if key in schema]
        if newer or not (isinstance(schema.get("type"), str) or "$ref" in schema):
            yield f"{where}: has {', '.join(newer) or 'no single type'}."
    for where, _, _, operation in _operations(definition):
        told = operation.get("x-ms-notification-content", {}).get("schema", {}).get("properties", {})
        for name, field in told.items():
            if field.get("type") in ("object", "array"):
                yield f"{where} notification.{name}: not flat, so a maker cannot pick it."


def hidden_and_required_has_a_default(definition: Json, properties: Json) -> Found:
    """Nobody can fill in what nobody sees, but the platform its URL."""
    for where, _, _, operation in _operations(definition):
        for parameter in operation.get("parameters", []):
            if (
                parameter.get("x-ms-visibility") == "internal"
                and parameter.get("required")
                and "default" not in parameter
            ):
                yield f"{where} {parameter['name']}: internal and required, without a default."
            schema = parameter.get("schema", {})
            for name in schema.get("required", []):
                field = schema.get("properties", {}).get(name, {})
                hidden = field.get("x-ms-visibility") == "internal" and "default" not in field
                if hidden and not field.get("x-ms-notification-url"):
                    yield f"{where} {name}: internal and required, without a default."


def visibilities_are_known(definition: Json, properties: Json) -> Found:
    """important, advanced, internal."""
    operations = ((where, operation) for where, _, _, operation in _operations(definition))
    for where, thing in (*operations, *_fields(definition)):
        if thing.get("x-ms-visibility", "none") not in _VISIBLE:
            yield f"{where}: there is no x-ms-visibility {thing['x-ms-visibility']!r}."


def choices_can_be_made(definition: Json, properties: Json) -> Found:
    """``x-ms-dynamic-values`` names an operation, its collection, value and title, and parameters that are there."""
    by_id: Json = {str(operation.get("operationId")): operation for _, _, _, operation in _operations(definition)}
    for where, _, _, operation in _operations(definition):
        siblings = {p["name"] for p in operation.get("parameters", [])} | {name for name, _ in _of_body(operation)}
        for name, field in ((p["name"], p) for p in operation.get("parameters", [])):
            yield from _choice(f"{where} {name}", field, by_id, siblings)
        for name, field in _of_body(operation):
            yield from _choice(f"{where} {name}", field, by_id, siblings)


def _choice(where: str, field: Json, by_id: Json, siblings: set[str]) -> Found:
    choice = field.get("x-ms-dynamic-values")
    if choice is None:
        return
    operation = by_id.get(choice.get("operationId"))
    if operation is None:
        yield f"{where}: x-ms-dynamic-values names no operation of this connector."
        return
    answer = operation["responses"].get("200", {}).get("schema", {}).get("properties", {})
    row = answer.get(choice.get("value-collection"), {}).get("items", {}).get("properties", {})
    if choice.get("value-path") not in row or choice.get("value-title") not in row:
        yield f"{where}: {choice['operationId']} gives no {choice.get('value-path')} and {choice.get('value-title')}."
    needed = {p["name"] for p in operation.get("parameters", []) if p.get("required")}
    given = choice.get("parameters", {})
    wrong = [p for p in given.values() if isinstance(p, dict) and p.get("parameter") not in siblings]
    if wrong or needed - set(given):
        yield f"{where}: the parameters of {choice['operationId']} are not given, or from fields that are not there."


def color_is_our_own(definition: Json, properties: Json) -> Found:
    """``iconBrandColor``, and not the one of the template."""
    color = properties["properties"].get("iconBrandColor", "")
    if not _COLOR.fullmatch(color) or color.lower() in _TAKEN_COLORS:
        yield f"iconBrandColor {color!r} is missing, no colour, or one of the template."


def connection_asks_for_what_is_needed(definition: Json, properties: Json) -> Found:
    """The way to sign in of the definition, and the customer's host."""
    asked = properties["properties"].get("connectionParameters", {})
    kinds = {
        definition["securityDefinitions"].get(name, {}).get("type") for use in definition["security"] for name in use
    }
    if kinds == {"apiKey"}:
        if asked.get("api_key", {}).get("type") != "securestring":
            yield "api_key is not asked for as a securestring."
    elif kinds == {"oauth2"}:
        found = [p for p in asked.values() if p.get("type") == "oauthSetting"]
        if not found or any(p["oAuthSettings"].get("identityProvider") != "aad" for p in found):
            yield "no oauthSetting with the identity provider aad."
    else:
        yield f"the definition signs in by {sorted(map(str, kinds))}."
    for name, parameter in asked.items():
        shown = parameter.get("uiDefinition", {})
        if parameter.get("type") != "oauthSetting" and not (shown.get("displayName") and shown.get("description")):
            yield f"{name}: without displayName and description."


def host_is_the_customers(definition: Json, properties: Json) -> Found:
    """Policy ``dynamichosturl`` with a parameter of the connection."""
    hosts = [p for p in _policies(properties) if p.get("templateId") == "dynamichosturl"]
    asked = properties["properties"].get("connectionParameters", {})
    if len(hosts) != 1:
        yield "not exactly one policy dynamichosturl."
    for policy in hosts:
        template = policy["parameters"].get("x-ms-apimTemplateParameter.urlTemplate", "")
        named = re.findall(r"@connectionParameters\('(\w+)'\)", template)
        if not template.startswith("https://") or not named or any(name not in asked for name in named):
            yield f"urlTemplate {template!r} is not https:// with a parameter of the connection."


def policies_name_operations(definition: Json, properties: Json) -> Found:
    """``x-ms-apimTemplate-operationName`` and the polling trigger's."""
    known = _ids(definition)
    for policy in _policies(properties):
        names = policy.get("parameters", {}).get("x-ms-apimTemplate-operationName", [])
        yield from (f"{policy['templateId']}: there is no operation {name}." for name in names if name not in known)
        if policy.get("templateId") == "pollingtrigger" and not names:
            yield "pollingtrigger names no operation."


def _policies(properties: Json) -> list[Json]:
    found: list[Json] = properties["properties"].get("policyTemplateInstances", [])
    return found


RULES: tuple[Callable[[Json, Json], Found], ...] = (
    is_swagger_2,
    title_says_no_platform,
    description_has_its_length,
    is_reached_by_https,
    metadata_is_there,
    ids_are_unique_pascal_case,
    summaries_are_short,
    descriptions_are_sentences,
    everything_has_a_title,
    path_parameters_are_encoded_once,
    good_answers_have_a_schema,
    webhooks_are_whole,
    polls_say_so,
    references_resolve,
    schemas_are_of_swagger_2,
    hidden_and_required_has_a_default,
    visibilities_are_known,
    choices_can_be_made,
    color_is_our_own,
    connection_asks_for_what_is_needed,
    host_is_the_customers,
    policies_name_operations,
)
