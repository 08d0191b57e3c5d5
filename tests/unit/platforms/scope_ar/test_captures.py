"""Photos of a session: copied while their addresses live, from listed hosts, once, within bounds."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.services import Services
from tests.platforms.scope_ar import SESSION_ID, completed
from tests.unit.platforms.scope_ar.conftest import World

PHOTO = b"\xff\xd8\xff\xe0" + b"a photo of a clean oven" * 10


def capture(url: str, name: str = "cap/1+=") -> dict[str, Any]:
    return {
        "id": name,
        "type": "PHOTO",
        "photo": {"fileUrl": url},
        "scenarioSessionStep": {"scenarioStep": {"id": "step1", "name": "Step 1"}},
    }


@pytest.fixture
async def photographed(world: World) -> World:
    world.cms.nodes[SESSION_ID] = completed()
    world.cms.files["/files/1"] = ("image/jpeg", PHOTO)
    world.cms.captures[SESSION_ID] = [capture(f"{world.cms.url}/files/1?signature=secret")]
    return world


async def one(world: World) -> dict[str, Any]:
    (record,) = await world.records()
    return dict(record["captures"][0])


async def test_copied_once_and_given_back(photographed: World) -> None:
    for number in range(3):
        message = await photographed.hook(webhook_id=str(number))
        assert message["status"] == "handled"
    assert photographed.cms.fetched == ["/files/1"]
    (record,) = await photographed.records()
    details = (await photographed.api.get(f"/api/v1/sessions/{record['id']}")).json()
    (copied,) = details["captures"]
    assert (copied["status"], copied["step"], copied["bytes"]) == ("copied", "Step 1", len(PHOTO))
    assert copied["sha256"] == hashlib.sha256(PHOTO).hexdigest()
    answer = await photographed.api.get(copied["url"])
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, PHOTO, "image/jpeg")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_addresses_of_files_are_not_kept(photographed: World) -> None:
    await photographed.hook()
    assert "signature" not in str(await photographed.records())


async def test_addresses_in_a_result_are_not_kept_either(world: World) -> None:
    node = completed(events={"nodes": [{"id": "e", "photo": {"fileUrl": "https://x.example/?signature=s"}}]})
    await world.hook({"data": {"node": node}})
    (record,) = await world.records()
    assert "signature" not in str(record)
    assert record["told"]["events"]["nodes"] == [{"id": "e", "photo": {}}]


async def test_no_credentials_go_to_where_files_are(photographed: World) -> None:
    seen: list[dict[str, str]] = []
    real = photographed.house.http.send

    async def spy(method: str, url: str, **how: Any) -> Any:
        if method == "GET":
            seen.append(dict(how["headers"]))
        return await real(method, url, **how)

    photographed.house.http.send = spy  # type: ignore[method-assign]
    await photographed.hook()
    assert seen == [{"Accept": "*/*"}]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://169.254.169.254/latest/meta-data", "not listed"),
        ("http://localhost:1/files/1", "not listed"),
        ("file:///etc/passwd", "none that files"),
        ("http://127.0.0.1@evil.example/x", "none that files"),
        ("http://[::1", "is none"),
        ("", None),
    ],
)
async def test_other_hosts_are_not_called(photographed: World, url: str, why: str | None) -> None:
    photographed.cms.captures[SESSION_ID] = [capture(url)]
    message = await photographed.hook()
    assert message["status"] == "handled", "the session is recorded all the same"
    (record,) = await photographed.records()
    if why is None:
        assert record["captures"] == []
    else:
        assert (record["captures"][0]["status"], why in record["captures"][0]["reason"]) == ("failed", True)


async def test_a_redirect_to_a_host_that_is_not_listed(photographed: World) -> None:
    photographed.cms.redirects["/files/1"] = "http://169.254.169.254/latest/meta-data"
    await photographed.hook()
    assert "169.254.169.254, which is not listed" in (await one(photographed))["reason"]


async def test_a_redirect_to_where_files_are_stored(photographed: World) -> None:
    photographed.cms.redirects["/files/1"] = "/files/stored"
    photographed.cms.files["/files/stored"] = ("image/png", PHOTO)
    await photographed.hook()
    assert ((await one(photographed))["status"], photographed.cms.fetched) == ("copied", ["/files/1", "/files/stored"])


async def test_a_redirect_to_no_address(photographed: World) -> None:
    photographed.cms.redirects["/files/1"] = "http://["
    message = await photographed.hook()
    assert message["status"] == "handled", "the session is recorded all the same"
    assert "sends on to what is no address" in (await one(photographed))["reason"]


async def test_redirects_end(photographed: World) -> None:
    photographed.cms.redirects["/files/1"] = "/files/1"
    await photographed.hook()
    assert (await one(photographed))["reason"] == "Its address sends on and on."


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        ("text/html", b"<script>", "none of capture_types"),
        ("image/jpeg", b"x" * 2_000, "over 1,500 bytes"),
        ("", b"", "answered 404"),
    ],
)
async def test_what_is_no_photo_is_not_kept(bare: World, kind: str, body: bytes, why: str) -> None:
    await bare.connect(max_capture_bytes=1_500)
    await bare.listen()
    bare.cms.nodes[SESSION_ID] = completed()
    bare.cms.files["/files/1"] = (kind, body)
    bare.cms.captures[SESSION_ID] = [capture(f"{bare.cms.url}/files/1")]
    await bare.hook()
    capture_now = await one(bare)
    assert (capture_now["status"], why in capture_now["reason"]) == ("failed", True)


async def test_a_file_that_is_late_is_fetched_when_it_is_there(photographed: World, clock: ManualClock) -> None:
    photographed.cms.files["/files/1"] = ("image/jpeg", b"")
    message = await photographed.hook()
    assert (message["status"], "still to be fetched" in message["reason"]) == ("received", True)
    assert (await one(photographed))["status"] == "pending"
    photographed.cms.files["/files/1"] = ("image/jpeg", PHOTO)
    clock.advance(61)
    await photographed.house.inbound.sweep()
    assert (await photographed.effect(message["id"]))["status"] == "handled"
    assert (await one(photographed))["status"] == "copied"


async def test_a_file_that_never_comes_does_not_hold_the_session(photographed: World, clock: ManualClock) -> None:
    photographed.cms.files["/files/1"] = ("image/jpeg", b"")
    message = await photographed.hook()
    for _ in range(6):
        clock.advance(3700)
        await photographed.house.inbound.sweep()
        message = await photographed.effect(message["id"])
    assert (message["status"], (await one(photographed))["status"]) == ("handled", "failed")
    assert len(photographed.cms.fetched) == 5


async def test_captures_that_cannot_be_looked_for_are_a_gap(bare: World) -> None:
    await bare.connect(captures_query="query($id: ID!) { wrong(id: $id) { id } }")
    await bare.listen()
    bare.cms.nodes[SESSION_ID] = completed()
    message = await bare.hook()
    assert message["status"] == "handled"
    assert "captures could not be looked for" in message["effect"]["gaps"][0]


async def test_whoever_does_not_want_copies_gets_none(photographed: World) -> None:
    options = (await photographed.api.get("/api/v1/connections/cms")).json()["options"] | {"copy_captures": False}
    await photographed.api.patch("/api/v1/connections/cms", json={"options": options})
    await photographed.hook()
    (record,) = await photographed.records()
    assert (record.get("captures"), photographed.cms.fetched) == (None, [])


def test_the_container_in_azure_is_the_one_that_the_templates_make() -> None:
    from shared.settings import Settings

    root = Path(__file__).resolve().parents[4]
    given = {"AuditAnchorsConnection__blobServiceUri": "https://x.blob.core.windows.net", "DATA_DIR": "/nowhere"}
    house = Services(Settings.from_environment(given))
    assert house.capture_blobs._container == "session-captures"  # type: ignore[attr-defined]
    assert "var capturesContainer = 'session-captures'" in (root / "infra" / "main.bicep").read_text("utf-8")
