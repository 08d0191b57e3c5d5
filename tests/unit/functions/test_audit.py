"""`/api/v1/audit`: who may read it, and what it answers."""

from __future__ import annotations

import hashlib

import pytest

from shared.audit import chain
from shared.clock import ManualClock
from shared.services import Services
from shared.storage import Query
from tests.api import Api, run_timer

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
    assert everything == {
        "intact": True,
        "streams": 2,
        "entries": 4,
        "results": [],
        "anchors": {
            "count": 0,
            "seals": 0,
            "newest_at": None,
            "intact": True,
            "first_break": None,
            "doubt": None,
        },
        "continuation": None,
    }

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
        "anchor": None,
    }


async def test_verify_says_since_when_a_stream_is_anchored(house: Services, api: Api, clock: ManualClock) -> None:
    """The names of these fields are a contract: docs/audit.md lists them."""
    await fill(house)
    assert (await api.get("/api/v1/audit/verify?stream=equipment:A")).json()["results"][0]["anchored"] is None
    await run_timer("anchor_audit")
    clock.advance(3600)
    await fill(house, 1)
    await run_timer("anchor_audit")
    head = (await house.audit.entries(stream="equipment:A", limit=1)).entries[0]
    assert (await api.get("/api/v1/audit/verify?stream=equipment:A")).json() == {
        "intact": True,
        "streams": 1,
        "entries": 4,
        "results": [
            {
                "stream": "equipment:A",
                "intact": True,
                "entries": 4,
                "head": {"seq": 4, "hash": head.hash},
                "anchored": {
                    "since": "2026-11-21T10:00:00.000Z",
                    "anchors": 2,
                    "seq": 4,
                    "at": "2026-11-21T11:00:00.000Z",
                    "anchor": 2,
                },
                "first_break": None,
                "doubt": None,
            }
        ],
        "anchors": {
            "count": 2,
            "seals": 1,
            "newest_at": "2026-11-21T11:00:00.000Z",
            "intact": True,
            "first_break": None,
            "doubt": None,
        },
    }


async def test_a_removed_stream_is_named_when_all_are_verified(house: Services, api: Api) -> None:
    await fill(house)
    await run_timer("anchor_audit")
    page = await house.store.query("audit", Query(), partition=("rule:A",))
    await house.store.delete("audit", ("rule:A", "2026-11"), page.items[0].document["id"])
    found = (await api.get("/api/v1/audit/verify")).json()
    assert (found["intact"], found["streams"]) == (False, 2)
    assert [(r["stream"], r["first_break"]["kind"], r["first_break"]["anchor"]) for r in found["results"]] == [
        ("rule:A", "stream_missing", 1)
    ]


async def test_anchors_that_were_touched_are_named_whatever_is_asked(house: Services, api: Api) -> None:
    await fill(house)
    await run_timer("anchor_audit")
    path = house.settings.data_dir / "audit-anchors" / "seal-000000001.json"
    path.chmod(0o600)
    path.write_bytes(b"{}")
    for query in ("", "?stream=rule:A"):
        found = (await api.get(f"/api/v1/audit/verify{query}")).json()
        assert (found["intact"], found["anchors"]["intact"]) == (False, False)
        assert found["anchors"]["first_break"]["kind"] == "seal_altered"


async def test_anchors_are_listed_newest_first(house: Services, api: Api, clock: ManualClock) -> None:
    for _ in range(3):
        await fill(house, 1)
        await run_timer("anchor_audit")
        clock.advance(3600)
    first = (await api.get("/api/v1/audit/anchors?limit=2")).json()
    assert [a["number"] for a in first["anchors"]] == [3, 2]
    assert first["anchors"][0]["previous_sha256"] == first["anchors"][1]["sha256"]
    data = await house.anchor_blobs.read(first["anchors"][0]["name"])
    assert first["anchors"][0] == {
        "kind": "anchor",
        "number": 3,
        "name": "anchor-000000003.json",
        "at": "2026-11-21T12:00:00.000Z",
        "sha256": hashlib.sha256(data).hexdigest(),
        "previous_sha256": first["anchors"][1]["sha256"],
        "streams": 2,
        "problem": None,
    }
    rest = (await api.get(f"/api/v1/audit/anchors?limit=2&heads=true&continuation={first['continuation']}")).json()
    assert ([a["number"] for a in rest["anchors"]], rest["continuation"]) == ([1], None)
    assert [(h["stream"], h["seq"]) for h in rest["anchors"][0]["heads"]] == [("equipment:A", 1), ("rule:A", 1)]
    seals = (await api.get("/api/v1/audit/anchors?kind=seal")).json()["anchors"]
    assert [(s["kind"], s["number"], s["anchors"]) for s in seals] == [("seal", 1, {"count": 1, "through": 1})]


async def test_a_damaged_anchor_is_listed_as_such(house: Services, api: Api) -> None:
    await fill(house)
    await run_timer("anchor_audit")
    path = house.settings.data_dir / "audit-anchors" / "anchor-000000001.json"
    path.chmod(0o600)
    path.write_bytes(b"nothing")
    (listed,) = (await api.get("/api/v1/audit/anchors")).json()["anchors"]
    assert "changed after it was written" in listed["problem"]
    assert listed["sha256"] == hashlib.sha256(b"nothing").hexdigest()


async def test_the_nightly_timer_checks(house: Services, caplog: pytest.LogCaptureFixture) -> None:
    await fill(house)
    await run_timer("anchor_audit")
    page = await house.store.query("audit", Query(), partition=("rule:A",))
    await house.store.replace("audit", {**page.items[0].document, "target": "else"})
    await run_timer("check_audit")
    assert "does not hold, stream rule:A" in caplog.text


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
        ("/api/v1/audit/anchors?kind=chain", "kind"),
        ("/api/v1/audit/anchors?limit=101", "limit"),
        ("/api/v1/audit/anchors?continuation=x", "continuation"),
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
@pytest.mark.parametrize("path", ["/api/v1/audit", "/api/v1/audit/verify", "/api/v1/audit/anchors"])
async def test_only_auditors_read_it(api: Api, path: str, role: str, status: int) -> None:
    token = (await api.post("/api/v1/tokens", json={"name": "x", "roles": [role]})).json()["token"]
    answer = await api.get(path, headers={"Authorization": f"Bearer {token}"})
    assert answer.status == status
