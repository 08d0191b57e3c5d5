"""Links: what is carried arrives as it was written, and cannot become a word of the link (trap 16)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidInput
from shared.platforms.scope_ar.deeplinks import (
    DEFERRED,
    RESERVED,
    DeeplinkTemplates,
    WantedDeeplink,
    build,
    check_template,
)
from shared.platforms.scope_ar.options import References
from shared.services import Services
from shared.signals import Reading, SignalValue
from shared.work.sessions_found import FoundRecord
from tests.api import Api

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,10}(\[[A-Za-z0-9_.-]{0,5}\])?", fullmatch=True)


def link(**wanted: Any) -> Any:
    return build(
        WantedDeeplink.model_validate(wanted), references=References(), templates=DeeplinkTemplates(), requested_at=None
    )


def carried(url: str) -> list[tuple[str, str]]:
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc) == ("worklink", "resource")
    return parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)


@given(asset=TEXT, order=TEXT, data=st.dictionaries(KEYS, TEXT, max_size=5))
def test_round_trip(asset: str, order: str, data: dict[str, str]) -> None:
    lowered = [key.lower() for key in data]
    clash = len(set(lowered)) < len(lowered) or "work_order_id" in lowered
    if clash or any(key.partition("[")[0] in RESERVED for key in lowered):
        with pytest.raises(InvalidInput):
            link(asset=asset, work_order_id=order, external_data=data)
        return
    made = link(asset=asset, work_order_id=order, external_data=data)
    expected = [("action", "fetch_catalog"), ("asset", asset), ("work_order_id", order), *data.items()]
    assert carried(made.deep_link) == expected
    assert made.deep_link.isascii()
    assert " " not in made.deep_link
    assert "+" not in made.deep_link
    assert made.deferred_link.startswith(DEFERRED)
    assert unquote(made.deferred_link.removeprefix(DEFERRED)) == made.deep_link
    assert not set(made.deferred_link.removeprefix(DEFERRED)) & set("&?#=/:")


def test_as_the_documents_write_it() -> None:
    made = link(asset="Generator Model #1234", work_order_id="WO&action=fetch_user")
    assert made.deep_link == (
        "worklink://resource?action=fetch_catalog&asset=Generator%20Model%20%231234"
        "&work_order_id=WO%26action%3Dfetch_user"
    )
    assert link(catalog="c/1+2=").deep_link == "worklink://resource?action=fetch_catalog&catalog=c%2F1%2B2%3D"


@pytest.mark.parametrize("key", ["action", "Asset", "CATALOG", "deep_link", "asset[x]", "work_order_id"])
def test_reserved_and_doubled_keys_are_refused(key: str) -> None:
    with pytest.raises(InvalidInput):
        link(asset="a", work_order_id="W", external_data={key: "x"})


@pytest.mark.parametrize("value", ["a\nb", "a\x00", "\x7f", "\ud800"])
def test_what_a_link_cannot_carry_is_refused(value: str) -> None:
    with pytest.raises((InvalidInput, ValueError)):
        link(asset="a", external_data={"k": value})


def test_a_link_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at most 2000"):
        link(asset="a", external_data={f"k{n}": "ü" * 400 for n in range(5)})


def test_a_pasted_template() -> None:
    template = "worklink://resource?action=fetch_scenario&scenario={id}"
    made = link(kind="scenario", target="s/1&x", template=template, alert_id="A:1")
    assert carried(made.deep_link) == [("action", "fetch_scenario"), ("scenario", "s/1&x"), ("alert_id", "A:1")]
    pasted = link(template=DEFERRED + "worklink%3A%2F%2Fresource%3Faction%3Dfetch_user%26user%3D7")
    assert carried(pasted.deep_link) == [("action", "fetch_user"), ("user", "7")]
    with pytest.raises(InvalidInput, match="word of the link"):
        link(kind="scenario", target="1", template=template, external_data={"scenario": "2"})


@pytest.mark.parametrize(
    "template",
    [
        "https://evil.example/?action=x&id={id}",
        "worklink://other?action=x&id={id}",
        "worklink://resource?id={id}",
        "worklink://resource?action=x&{id}=1",
        "worklink://resource?action=x&a={id}&b={id}",
        "worklink://resource?action=x",
        "worklink://resource",
    ],
)
def test_other_templates_are_refused(template: str) -> None:
    with pytest.raises(InvalidInput):
        check_template(template, field="template", needs_place=True)


async def test_over_the_api(api: Api) -> None:
    refused = await api.post("/api/v1/deeplinks", json={"kind": "contact", "target": "c-1"})
    assert refused.status == 400
    assert "copy one from the CMS" in refused.json()["detail"]
    kept = {"contact": "worklink://resource?action=fetch_company_contact&contact={id}"}
    assert (await api.put("/api/v1/deeplinks/templates", json=kept)).status == 200
    assert (await api.get("/api/v1/deeplinks/templates")).json()["contact"] == kept["contact"]
    made = await api.post(
        "/api/v1/deeplinks", json={"kind": "contact", "target": "c-1", "work_order_id": "W", "stamp": True}
    )
    assert made.status == 200
    assert made.json()["deep_link"] == (
        "worklink://resource?action=fetch_company_contact&contact=c-1&work_order_id=W"
        "&requested_at=2026-11-21T10%3A00%3A00.000Z"
    )
    bad = await api.put("/api/v1/deeplinks/templates", json={"user": "https://x"})
    assert bad.status == 400
    assert (await api.post("/api/v1/deeplinks", json={"asset": "a", "catalog": "c"})).status == 400
    assert (await api.post("/api/v1/deeplinks", json={"asset": "a", "connection": "none"})).status == 400


async def test_the_keys_that_a_connection_reads(api: Api) -> None:
    body = {
        "id": "cms",
        "platform": "scope_ar",
        "options": {"url": "http://127.0.0.1:1/graphql", "references": {"work_order": ["orderNo", "work_order_id"]}},
        "credentials": {"token": "t-0123456789"},
    }
    assert (await api.post("/api/v1/connections", json=body)).status == 201
    made = await api.post("/api/v1/deeplinks", json={"asset": "a", "connection": "cms", "work_order_id": "W"})
    assert made.json()["external_data"] == {"orderNo": "W"}


async def test_from_an_alert_to_the_remark_on_it(api: Api, house: Services, clock: Any) -> None:
    oven = await api.post("/api/v1/equipment", json={"id": "oven1", "name": "Oven 1", "site": "Plant"})
    assert oven.status == 201, oven.body
    rule = {"equipment_id": "oven1", "name": "Hot", "kind": "high", "signal": "temperature.core", "limit": 100}
    made = await api.post("/api/v1/alert-rules", json=rule)
    assert made.status == 201, made.body
    machine, _ = await house.equipment.get("oven1")
    reading = Reading(
        "oven1", clock.now(), received_at=clock.now(), values={"temperature.core": SignalValue(150.0, unit="C")}
    )
    await house.ingest.take(machine, reading)
    [alert] = (await api.get("/api/v1/equipment/iot-alerts")).json()["alerts"]
    answer = await api.get(f"/api/v1/alerts/{alert['id']}/deeplink?work_order_id=W-1")
    assert answer.status == 200, answer.body
    external = answer.json()["external_data"]
    assert external == {"work_order_id": "W-1", "equipment_id": "oven1", "alert_id": alert["id"]}
    assert dict(carried(answer.json()["deep_link"]))["asset"] == "oven1"
    ended = FoundRecord(
        kind="session",
        source="scope_ar",
        account="cms",
        external_id="x",
        as_of=clock.now(),
        asked=True,
        ended=True,
        started_at=clock.now() + timedelta(minutes=10),
        ended_at=clock.now() + timedelta(minutes=25),
        external_data=external,
        alert_id=external["alert_id"],
    )
    clock.advance(1800)
    await house.work.sessions.take(ended)
    [remark] = (await api.get(f"/api/v1/alerts/{alert['id']}")).json()["comments"]
    assert "took 0:15:00." in remark["text"]
    assert "It ended 0:25:00 after the alert was raised." in remark["text"]
