"""Who may ask a relay in the plant: pages whose origin is listed, and whoever has a token."""

from __future__ import annotations

import json

import azure.functions as func
import pytest

from functions.relay_requests import answer_local_request, preflight_local_request
from shared.services import Services

LISTED = "https://bakery.example"


def asked(method: str, origin: str | None) -> func.HttpRequest:
    headers = {"content-type": "application/json"} | ({} if origin is None else {"origin": origin})
    url = "http://relay.plant.local/local/requests/temperatures"
    return func.HttpRequest(method, url, headers=headers, route_params={"profile": "temperatures"}, body=b"{}")


@pytest.mark.parametrize("listed", ["", LISTED, f"{LISTED},"])
@pytest.mark.parametrize("origin", ["", "null", "https://elsewhere.example", LISTED + "."])
async def test_a_page_that_is_not_listed(house: Services, listed: str, origin: str) -> None:
    """An empty `Origin` is in no list, not even in an empty one: any program can send it."""
    object.__setattr__(house, "settings", house.settings.model_copy(update={"relay_cors_origins": listed}))
    answer = await answer_local_request(asked("POST", origin))
    assert (answer.status_code, "may not ask this relay" in json.loads(answer.get_body())["detail"]) == (403, True)
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert (await preflight_local_request(asked("OPTIONS", origin))).status_code == 403


async def test_a_page_that_is_listed(house: Services) -> None:
    object.__setattr__(house, "settings", house.settings.model_copy(update={"relay_cors_origins": LISTED}))
    answer = await preflight_local_request(asked("OPTIONS", LISTED))
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (204, LISTED)
