"""Each rule of the connector's lint finds the fault that is planted for it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.connector.__main__ import HERE
from infra.connector.lint import RULES, problems

Json = dict[str, Any]
DEFINITION: Json = json.loads((HERE / "apiDefinition.swagger.json").read_text("utf-8"))
PROPERTIES: Json = json.loads((HERE / "apiProperties.json").read_text("utf-8"))

ALERT = "/api/v1/flows/subscriptions/alert-raised"
END = "/api/v1/flows/subscriptions/{subscription_id}"
OVENS = "/api/v1/flows/ovens"
VALUE = "/api/v1/flows/ovens/{equipment_id}/value"
POLL = "/api/v1/events/poll"


def op(definition: Json, path: str, method: str = "get") -> Json:
    found: Json = definition["paths"][path][method]
    return found


def body(definition: Json) -> Json:
    found: Json = op(definition, ALERT, "post")["parameters"][0]["schema"]
    return found


def policy(properties: Json, number: int) -> Json:
    found: Json = properties["properties"]["policyTemplateInstances"][number]
    return found


Fault = Callable[[Json, Json], object]

FAULTS: list[tuple[str, Fault]] = [
    ("is_swagger_2", lambda d, p: d.update(swagger="3.0.0")),
    ("title_says_no_platform", lambda d, p: d["info"].update(title="Ovenbridge Connector")),
    ("title_says_no_platform", lambda d, p: d["info"].update(title="Ovenbridge API")),
    ("title_says_no_platform", lambda d, p: d["info"].update(title="Power Automate ovens")),
    ("title_says_no_platform", lambda d, p: d["info"].update(title="O" * 31)),
    ("description_has_its_length", lambda d, p: d["info"].update(description="Ovens.")),
    ("description_has_its_length", lambda d, p: d["info"].update(description="o" * 501)),
    ("is_reached_by_https", lambda d, p: d.update(schemes=["http", "https"])),
    ("is_reached_by_https", lambda d, p: d.update(host="https://ovens.example")),
    ("metadata_is_there", lambda d, p: d["x-ms-connector-metadata"].pop()),
    ("metadata_is_there", lambda d, p: d["info"].pop("contact")),
    ("ids_are_unique_pascal_case", lambda d, p: op(d, OVENS).update(operationId="listOvens")),
    ("ids_are_unique_pascal_case", lambda d, p: op(d, VALUE).update(operationId="ListOvens")),
    ("summaries_are_short", lambda d, p: op(d, OVENS).update(summary="List ovens.")),
    ("summaries_are_short", lambda d, p: op(d, OVENS).update(summary="L" * 81)),
    ("summaries_are_short", lambda d, p: op(d, OVENS).pop("summary")),
    ("descriptions_are_sentences", lambda d, p: op(d, OVENS).update(description="Gives ovens")),
    ("descriptions_are_sentences", lambda d, p: op(d, OVENS).update(description="List ovens.")),
    ("descriptions_are_sentences", lambda d, p: op(d, OVENS)["parameters"][0].pop("description")),
    ("descriptions_are_sentences", lambda d, p: body(d)["properties"]["site"].update(description="Plant")),
    ("everything_has_a_title", lambda d, p: op(d, OVENS)["parameters"][0].pop("x-ms-summary")),
    ("everything_has_a_title", lambda d, p: body(d)["properties"]["site"].pop("x-ms-summary")),
    ("path_parameters_are_encoded_once", lambda d, p: op(d, VALUE)["parameters"][0].pop("x-ms-url-encoding")),
    ("path_parameters_are_encoded_once", lambda d, p: op(d, VALUE)["parameters"].pop(0)),
    ("good_answers_have_a_schema", lambda d, p: op(d, OVENS)["responses"]["200"].pop("schema")),
    ("good_answers_have_a_schema", lambda d, p: op(d, OVENS)["responses"].pop("200")),
    ("good_answers_have_a_schema", lambda d, p: op(d, OVENS)["responses"].pop("default")),
    ("webhooks_are_whole", lambda d, p: op(d, ALERT, "post").pop("x-ms-notification-content")),
    ("webhooks_are_whole", lambda d, p: body(d)["properties"]["callback_url"].pop("x-ms-notification-url")),
    ("webhooks_are_whole", lambda d, p: body(d)["properties"]["site"].update({"x-ms-notification-url": True})),
    ("webhooks_are_whole", lambda d, p: d["paths"].pop(END)),
    ("webhooks_are_whole", lambda d, p: op(d, ALERT, "post")["responses"].pop("201")),
    ("webhooks_are_whole", lambda d, p: op(d, ALERT, "post").pop("x-ms-trigger-hint")),
    ("polls_say_so", lambda d, p: op(d, POLL).pop("x-ms-trigger-hint")),
    ("polls_say_so", lambda d, p: op(d, POLL).update({"x-ms-trigger": "many"})),
    ("polls_say_so", lambda d, p: op(d, POLL)["responses"]["200"].update(schema={"type": "string"})),
    ("references_resolve", lambda d, p: d["definitions"].pop("Error")),
    ("schemas_are_of_swagger_2", lambda d, p: body(d)["properties"]["site"].update(anyOf=[])),
    ("schemas_are_of_swagger_2", lambda d, p: body(d)["properties"]["site"].update(type=["string", "null"])),
    (
        "schemas_are_of_swagger_2",
        lambda d, p: op(d, ALERT, "post")["x-ms-notification-content"]["schema"]["properties"]["url"].update(
            type="object", properties={}
        ),
    ),
    ("hidden_and_required_has_a_default", lambda d, p: op(d, POLL)["parameters"][1].pop("default")),
    ("hidden_and_required_has_a_default", lambda d, p: op(d, POLL)["parameters"][0].update(required=True)),
    (
        "hidden_and_required_has_a_default",
        lambda d, p: (
            body(d)["required"].append("site"),
            body(d)["properties"]["site"].update({"x-ms-visibility": "internal"}),
        ),
    ),
    ("visibilities_are_known", lambda d, p: op(d, OVENS).update({"x-ms-visibility": "hidden"})),
    (
        "choices_can_be_made",
        lambda d, p: body(d)["properties"]["equipment_id"]["x-ms-dynamic-values"].update(operationId="NoSuch"),
    ),
    (
        "choices_can_be_made",
        lambda d, p: body(d)["properties"]["equipment_id"]["x-ms-dynamic-values"].update({"value-path": "id"}),
    ),
    (
        "choices_can_be_made",
        lambda d, p: op(d, VALUE)["parameters"][1]["x-ms-dynamic-values"].pop("parameters"),
    ),
    ("color_is_our_own", lambda d, p: p["properties"].update(iconBrandColor="#007EE5")),
    ("color_is_our_own", lambda d, p: p["properties"].update(iconBrandColor="#ffffff")),
    ("color_is_our_own", lambda d, p: p["properties"].pop("iconBrandColor")),
    (
        "connection_asks_for_what_is_needed",
        lambda d, p: p["properties"]["connectionParameters"]["api_key"].update(type="string"),
    ),
    (
        "connection_asks_for_what_is_needed",
        lambda d, p: p["properties"]["connectionParameters"]["hostUrl"].pop("uiDefinition"),
    ),
    ("connection_asks_for_what_is_needed", lambda d, p: d["securityDefinitions"]["api_key"].update(type="oauth2")),
    ("connection_asks_for_what_is_needed", lambda d, p: d["securityDefinitions"]["api_key"].update(type="basic")),
    ("host_is_the_customers", lambda d, p: p["properties"]["policyTemplateInstances"].pop(0)),
    ("host_is_the_customers", lambda d, p: p["properties"]["connectionParameters"].pop("hostUrl")),
    ("policies_name_operations", lambda d, p: op(d, POLL + "/alert-raised").update(operationId="Other")),
    (
        "policies_name_operations",
        lambda d, p: policy(p, 1)["parameters"].pop("x-ms-apimTemplate-operationName"),
    ),
]


@pytest.mark.parametrize(("rule", "fault"), FAULTS, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(FAULTS)])
def test_a_planted_fault_is_found(rule: str, fault: Fault) -> None:
    definition, properties = copy.deepcopy(DEFINITION), copy.deepcopy(PROPERTIES)
    fault(definition, properties)
    assert rule in {found.partition(":")[0] for found in problems(definition, properties)}


def test_every_rule_has_a_fault() -> None:
    assert {rule.__name__ for rule in RULES} == {rule for rule, _ in FAULTS}
