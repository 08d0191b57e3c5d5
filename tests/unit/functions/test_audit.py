"""`/api/v1/audit`: who may read it, and what it answers."""

from __future__ import annotations

import pytest

from shared.audit import chain
from shared.services import Services
from shared.storage import Query
from tests.api import Api

ACTOR = {"id": "token:1", "name": "Anna", "how": "api_token"}


async def fill(house: Services, count: int = 3) -> None:
    for n in range(count):
        await house.audit.append("equipment:A", actor=ACTOR, action="equipment.changed", target="A", after={"n": n})
    await house.audit.append("rule:A", actor=ACTOR, action="rule.created", target="R")


async def test_entries_are_listed_with_paging(house: Services, api: Api) -> None:
    await fill(house)
    first = (await api.get("/api/v1/audit?stream=equipment:A&limit=2")).json()
    assert [e["seq"] for e in first["entries"]] == [3, 2]
    assert first["entries"][0] | {"hash": "", "correlation_id": None} == {
        "stream": "equipment:A",
        "seq": 3,
        "at": "2026-11-21T10:00:00.000Z",
        "actor": ACTOR,
        "action": "equipment.changed",
        "target": "A",
        "before": None,
        "after": {"n": 2},
        "correlation_id": None,
        "hash": "",
    }
    rest = (await api.get(f"/api/v1/audit?stream=equipment:A&limit=2&continuation={first['continuation']}")).json()
    assert ([e["seq"] for e in rest["entries"]], rest["continuation"]) == ([1], None)
    by_action = (await api.get("/api/v1/audit?action=rule.created&since=2026-11-21T09:00:00&actor=token:1")).json()
    assert [e["stream"] for e in by_action["entries"]] == ["rule:A"]


async def test_verify_one_stream_and_all(house: Services, api: Api) -> None:
    await fill(house)
    one = (await api.get("/api/v1/audit/verify?stream=equipment:A")).json()
    assert (one["intact"], one["entries"]) == (True, 3)
    head = one["results"][0]["head"]
    noted = await api.get(f"/api/v1/audit/verify?stream=equipment:A&seq={head['seq']}&hash={head['hash']}")
    assert noted.json()["intact"] is True
    everything = (await api.get("/api/v1/audit/verify")).json()
    assert everything == {"intact": True, "streams": 2, "entries": 4, "results": [], "continuation": None}

    page = await house.store.query("audit", Query(), partition=("equipment:A",))
    await house.store.delete("audit", ("equipment:A", "2026-11"), max(item.document["id"] for item in page.items))
    cut = await api.get(f"/api/v1/audit/verify?stream=equipment:A&seq={head['seq']}&hash={head['hash']}")
    assert cut.json()["results"][0]["first_break"]["kind"] == "head_missing"
    await house.store.delete("audit", ("equipment:A", "2026-11"), chain.entry_id("equipment:A", 1))
    broken = (await api.get("/api/v1/audit/verify")).json()
    assert (broken["intact"], broken["streams"]) == (False, 2)
    assert broken["results"][0]["first_break"] == {
        "seq": 1,
        "kind": "front_missing",
        "detail": "The stream begins with entry 2: those before it are gone.",
    }


async def test_verifying_all_stops_in_time_and_goes_on(
    house: Services, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(house)
    monkeypatch.setattr("functions.audit.VERIFY_SECONDS", -1.0)
    first = (await api.get("/api/v1/audit/verify")).json()
    assert (first["streams"], first["continuation"]) == (1, "equipment:A")
    second = (await api.get(f"/api/v1/audit/verify?continuation={first['continuation']}")).json()
    assert (second["streams"], second["continuation"]) == (1, None)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/audit?limit=0", "limit"),
        ("/api/v1/audit?limit=ten", "limit"),
        ("/api/v1/audit?since=yesterday", "since"),
        ("/api/v1/audit?stream=a/b", "stream"),
        ("/api/v1/audit?sort=up", "sort"),
        ("/api/v1/audit?continuation=nonsense", "continuation"),
        ("/api/v1/audit/verify?stream=a&seq=1", "hash"),
        ("/api/v1/audit/verify?stream=a&seq=x&hash=y", "seq"),
        ("/api/v1/audit/verify?seq=1&hash=" + "0" * 64, "stream"),
    ],
)
async def test_wrong_questions_are_named(api: Api, path: str, field: str) -> None:
    answer = await api.get(path)
    assert answer.status == 400
    assert answer.json()["problems"][0]["field"] == field


@pytest.mark.parametrize(("role", "status"), [("auditor", 200), ("admin", 200), ("viewer", 403), ("engineer", 403)])
@pytest.mark.parametrize("path", ["/api/v1/audit", "/api/v1/audit/verify"])
async def test_only_auditors_read_it(api: Api, path: str, role: str, status: int) -> None:
    token = (await api.post("/api/v1/tokens", json={"name": "x", "roles": [role]})).json()["token"]
    answer = await api.get(path, headers={"Authorization": f"Bearer {token}"})
    assert answer.status == status
