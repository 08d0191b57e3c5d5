"""`/openapi.json` says what the app does: generated, in step, valid, complete."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from infra.openapi.__main__ import FILE, text
from local.functions import HttpFunction, load
from tests.api import Api

DOCUMENT: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
NO_BODY = {
    "activate",
    "enable_callback",
    "keep_registrations_now",
    "replay_delivery",
    "replay_inbox_message",
    "revoke_hook_source",
    "test_callback",
    "test_flow_subscription",
    "try_connection",
    "try_webhook",
}
"""Acts that need no words. A POST that is neither here nor has a body in the document has one that was not found."""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_it_is_in_step() -> None:
    assert FILE.read_text("utf-8") == text(), "run `python -m infra.openapi`"


def test_it_is_openapi() -> None:
    validate(DOCUMENT)


def test_every_route_is_described() -> None:
    routes = {
        (method, "/" + re.sub(r"\{\*?(\w+)[^}]*\}", r"{\1}", function.route))
        for function in load("function_app", "")
        if isinstance(function, HttpFunction)
        for method in (function.methods or {"GET"})
    }
    assert routes == {(method, path) for method, path, _ in operations()}


@pytest.mark.parametrize(
    ("method", "path", "operation"), list(operations()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_an_operation_is_told_in_words(method: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert len(operation["summary"]) < 160
    assert any(status.startswith(("2", "3")) for status in operation["responses"])
    if method in ("POST", "PUT", "PATCH") and "requestBody" not in operation:
        assert re.sub(r"_\d+$", "", operation["operationId"]) in NO_BODY


async def test_it_is_served(api: Api) -> None:
    answer = await api.get("/openapi.json")
    assert (answer.status, answer.json()) == (200, DOCUMENT)
    again = await api.get("/openapi.json", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
