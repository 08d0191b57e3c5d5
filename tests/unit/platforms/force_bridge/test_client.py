"""Calling a server: tokens in both dialects, refusals in words, pages, values that come as texts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.access import system
from shared.clock import ManualClock
from shared.platforms.force_bridge.api import number
from shared.platforms.force_bridge.refusals import ForceAway, ForceRefused
from shared.services import Services
from tests.api import Api
from tests.platforms.force_bridge import CLIENT, SECRET, FakeForceBridge
from tests.unit.platforms.force_bridge.conftest import Connect


@pytest.mark.parametrize("dialect", ["oauth_token", "ffauth"])
@pytest.mark.parametrize("by", ["form", "url"])
async def test_both_dialects(connect: Connect, api: Api, force: FakeForceBridge, dialect: str, by: str) -> None:
    where = {"token_url": f"{force.url}/ffauth/oauth2.0/accessToken"} if dialect == "ffauth" else {}
    await connect(dialect=dialect, ffauth_by=by, accept_language="de-DE", **where)
    answer = await api.post("/api/v1/connections/plant-1/test")
    assert answer.json()["success"], answer.json()
    assert answer.json()["details"] == {"registrations": 0}
    assert force.languages == {"de-DE"}
    method = "GET" if (dialect, by) == ("ffauth", "url") else "POST"
    assert force.asked[0].startswith(method)


@pytest.mark.parametrize("path", ["ffwebservice/api/v1", "ffwebservices/api/v2/", "ffwebservices/api/v3"])
def test_where_tokens_are_fetched(path: str) -> None:
    """The base URL is configured whole, in whatever spelling."""
    from shared.platforms.force_bridge.options import read_options

    base = f"https://force.plant.example:24443/{path}"
    assert read_options({"base_url": base}).token_address == f"{base.rstrip('/')}/oauth/token"
    other = read_options({"base_url": base, "dialect": "ffauth"})
    assert other.token_address == "https://force.plant.example:25443/ffauth/oauth2.0/accessToken"
    assert read_options({"base_url": "https://[fd00::1]/x", "dialect": "ffauth"}).token_address.startswith(
        "https://[fd00::1]:25443/"
    )


async def test_one_token_for_many_calls_and_another_when_it_is_refused(
    connect: Connect, house: Services, force: FakeForceBridge
) -> None:
    connection, api = await connect(), house.platforms.force_bridge.api
    for _ in range(3):
        await api.get(connection, "callbacks")
    assert force.count("POST oauth/token") == 1
    force.tokens.clear()
    await api.get(connection, "callbacks")
    assert force.count("POST oauth/token") == 2


async def test_it_gives_up_a_token_that_is_refused_again_and_again(
    connect: Connect, house: Services, force: FakeForceBridge
) -> None:
    connection, api = await connect(), house.platforms.force_bridge.api
    force.trouble = [step for _ in range(9) for step in ("token", 401)]
    with pytest.raises(ForceRefused) as caught:
        await api.get(connection, "callbacks")
    assert caught.value.answered == 401
    assert force.count("GET callbacks") == 3


async def test_a_token_ends(connect: Connect, house: Services, force: FakeForceBridge, clock: ManualClock) -> None:
    connection, api = await connect(), house.platforms.force_bridge.api
    await api.get(connection, "callbacks")
    clock.advance(43_199)
    await api.get(connection, "callbacks")
    assert force.count("POST oauth/token") == 2


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        (400, ForceRefused, "answered 400 (123): Test error"),
        (403, ForceRefused, "Check client id and secret"),
        (500, ForceAway, "answered 500 (123): Test error"),
        (502, ForceAway, "answered 502 without saying why"),
        (429, ForceAway, "429"),
        ("html", ForceAway, "no JSON"),
    ],
)
async def test_refusals_in_words(
    connect: Connect, house: Services, force: FakeForceBridge, trouble: Any, kind: type[Exception], words: str
) -> None:
    connection, api = await connect(), house.platforms.force_bridge.api
    await api.get(connection, "callbacks")
    force.trouble = [trouble]
    with pytest.raises((ForceAway, ForceRefused)) as caught:
        await api.get(connection, "callbacks")
    assert type(caught.value) is kind
    assert words in caught.value.detail


async def test_a_wrong_secret_is_said_and_not_repeated(api: Api, connect: Connect, force: FakeForceBridge) -> None:
    await connect()
    login = {"client_id": CLIENT, "client_secret": "another-secret"}
    await api.patch("/api/v1/connections/plant-1", json={"credentials": login})
    answer = (await api.post("/api/v1/connections/plant-1/test")).json()
    assert (answer["success"], "client id and secret" in answer["message"]) == (False, True)
    for text in (answer["message"], (await api.get("/api/v1/connections/plant-1")).body.decode()):
        assert "another-secret" not in text
        assert SECRET not in text


async def test_all_pages_whatever_their_links_are_called(
    connect: Connect, house: Services, force: FakeForceBridge
) -> None:
    """Its links lead to localhost; and it gives fewer at once than it is asked for."""
    connection, api = await connect(), house.platforms.force_bridge.api
    force.page_limit = 7
    for n in range(23):
        force.workplace(f"W{n}", "PRODUCTION")
    found = [item["properties"]["id"] async for item in api.each(connection, "workplaces", "workplaces")]
    assert found == [f"W{n}" for n in range(23)]
    assert force.count("GET workplaces") == 4


async def test_a_series_by_time_is_followed_to_its_end(
    connect: Connect, house: Services, force: FakeForceBridge
) -> None:
    connection, api = await connect(), house.platforms.force_bridge.api
    force.series = [
        (f"2026-11-21T09:00:{n:02d}.000Z", v) for n, v in enumerate(["21.5", "22,5", "-3", "1e2", "n/a", "7"])
    ]
    start = datetime(2026, 11, 21, 9, tzinfo=UTC)
    found = await api.recorded(connection, "417", "1", start, start)
    assert [value for _, value in found] == [21.5, 22.5, -3.0, 100.0, None, 7.0]
    assert force.count("GET devices/417/recordedTimeSeries") == 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("22874", 22874.0),
        (" 1 ", 1.0),
        ("NaN", None),
        ("1e999", None),
        ("", None),
        (True, None),
        (3, 3.0),
        (None, None),
    ],
)
def test_numbers_that_come_as_texts(value: Any, expected: float | None) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"base_url": "http://169.254.169.254/x"}, "options.base_url"),
        ({"base_url": "no url"}, "options.base_url"),
        ({"base_url": "https://a.example/x?y=1"}, "options.base_url"),
        ({"token_url": "ftp://x/y"}, "options.token_url"),
        ({"ca_certificate": "no PEM"}, "options.ca_certificate"),
        ({"via": "no-such-relay"}, "options.via"),
        ({"publish": ["NO_SUCH"]}, "options.publish"),
        ({"workplaces": {"DA892519507444768080F0E81879513”": "OVEN-1"}}, "options.workplaces"),
        ({"registrations": [{"eventType": "INTERNAL", "hook_source": "force"}]}, "options.registrations.0.eventType"),
        ({"registrations": [{"eventType": "TOOL_UPDATED"}]}, "options.registrations.0"),
        (
            {"registrations": [{"eventType": "TOOL_UPDATED", "hook_source": "none"}]},
            "options.registrations.0.hook_source",
        ),
        (
            {"registrations": [{"eventType": "TOOL_UPDATED", "url": "mqtt://h/internal/x"}]},
            "options.registrations.0.url",
        ),
        ({"trustAny": True}, "options.trustAny"),
    ],
    ids=str,
)
async def test_options_that_cannot_work(api: Api, force: FakeForceBridge, options: Any, field: str) -> None:
    wanted = {
        "id": "plant-1",
        "platform": "force_bridge",
        "credentials": {"client_id": CLIENT, "client_secret": SECRET},
        "options": {"base_url": force.base, **options},
    }
    answer = await api.post("/api/v1/connections", json=wanted)
    assert (answer.status, answer.json()["problems"][0]["field"]) == (400, field)


async def test_another_plant_needs_its_credentials_anew(api: Api, house: Services) -> None:
    """10.0.0.5 is another server in every plant, and a relay sees what it carries."""
    for relay in ("hall-1", "hall-2"):
        await house.relays.create(relay, name=relay, site=None, caller=system("anna"))
    login = {"client_id": CLIENT, "client_secret": SECRET}
    wanted = {"id": "plant-1", "platform": "force_bridge", "credentials": login}
    local = {"base_url": "http://10.0.0.5/api/v3"}
    made = await api.post("/api/v1/connections", json=wanted | {"options": local | {"via": "hall-1"}})
    assert (made.status, made.json()["address"]) == (201, "http://10.0.0.5 (relay hall-1)")
    for options in (local | {"via": "hall-2"}, local):
        answer = await api.patch("/api/v1/connections/plant-1", json={"options": options})
        assert (answer.status, answer.json()["problems"][0]["field"]) == (400, "credentials")
        assert "hall-1" in answer.json()["detail"]
    moved = {"options": local | {"via": "hall-2"}, "credentials": login}
    assert (await api.patch("/api/v1/connections/plant-1", json=moved)).status == 200


async def test_another_address_needs_its_credentials_anew(api: Api, connect: Connect, force: FakeForceBridge) -> None:
    await connect()
    elsewhere = {"base_url": force.base, "token_url": "http://127.0.0.1:9/token"}
    answer = await api.patch("/api/v1/connections/plant-1", json={"options": elsewhere})
    assert (answer.status, answer.json()["problems"][0]["field"]) == (400, "credentials")
