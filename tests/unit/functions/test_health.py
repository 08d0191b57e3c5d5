"""Alive and ready: answers anybody, names what is wrong and what to do, gives nothing away."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path

import pytest

from shared import readiness
from shared.errors import OvenbridgeError, Unavailable
from shared.readiness import Probe, Readiness
from shared.services import Services
from shared.version import VERSION
from tests.api import Api


class Backend:
    """Works, fails, or hangs."""

    def __init__(self, problem: Exception | None = None, *, hangs: bool = False) -> None:
        self.problem = problem
        self.hangs = hangs
        self.let_go = asyncio.Event()
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        if self.hangs:
            await self.let_go.wait()
        if self.problem is not None:
            raise self.problem


def probes(**backends: Backend) -> Readiness:
    return Readiness(
        {name: Probe(lambda backend=backend: backend, f"Check the {name}.") for name, backend in backends.items()},  # type: ignore[misc]
        show_details=True,
    )


async def test_alive_without_touching_anything(api: Api, monkeypatch: pytest.MonkeyPatch, house: Services) -> None:
    answer = await api.get("/api/health", headers={"Authorization": "Bearer wrong", "Host": "any.example"})
    assert (answer.status, answer.json()) == (200, {"status": "ok", "version": VERSION})
    assert "store" not in vars(house), "nothing was built for it"


async def test_ready(api: Api) -> None:
    answer = await api.get("/api/health/ready")
    assert answer.status == 200
    assert answer.json() == {
        "status": "ready",
        "checks": {name: {"status": "ok"} for name in ("settings", "store", "queue", "vault", "anchors")},
    }


async def test_not_ready_says_what_and_what_to_do(
    api: Api, house: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away() -> None:
        raise Unavailable("Cannot write to /srv/secret-place/data: no space left.")

    monkeypatch.setattr(house.store, "check", away)
    answer = await api.get("/api/health/ready")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["checks"]["queue"] == {"status": "ok"}
    store = answer.json()["checks"]["store"]
    assert store["status"] == "unavailable"
    assert "Check the document store" in store["advice"]
    assert "no space left" in store["problem"], "on a loopback host the details help"
    assert "no space left" in caplog.text


async def test_strangers_see_what_to_do_and_no_names(caplog: pytest.LogCaptureFixture) -> None:
    backend = Backend(Unavailable("cosmos-42.documents.azure.com refused us"))
    outside = Readiness({"store": Probe(lambda: backend, "Check the store.")}, show_details=False)
    assert (await outside.check())["checks"]["store"] == {"status": "unavailable", "advice": "Check the store."}
    assert "cosmos-42" in caplog.text
    detailed = (await outside.check(details=True))["checks"]["store"]
    assert detailed["problem"] == "cosmos-42.documents.azure.com refused us"


async def test_advice_of_the_backend_itself_is_better_than_ours() -> None:
    backend = Backend(Unavailable("kv-42: 403", advice="Give the app's identity the role X."))
    outside = Readiness({"vault": Probe(lambda: backend, "Check the vault.")}, show_details=False)
    found = await outside.check()
    assert found["checks"]["vault"] == {"status": "unavailable", "advice": "Give the app's identity the role X."}


async def test_one_that_hangs_is_named_in_time_and_the_others_are_still_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "TIMEOUT_SECONDS", 0.05)
    found = await probes(store=Backend(hangs=True), queue=Backend(hangs=True), vault=Backend()).check()
    assert [check["status"] for check in found["checks"].values()] == ["unavailable", "unavailable", "ok"]
    assert "did not answer" in found["checks"]["store"]["problem"]


async def test_a_backend_that_cannot_even_be_built() -> None:
    def broken() -> Backend:
        raise OSError("permission denied")

    found = await Readiness({"vault": Probe(broken, "Check the vault.")}, show_details=True).check()
    assert found["status"] == "not_ready"
    assert "OSError" in found["checks"]["vault"]["problem"]


async def test_asking_often_is_no_load_and_recovery_shows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend()
    asked = probes(store=backend)
    await asyncio.gather(*(asked.check() for _ in range(50)))
    await asked.check()
    assert backend.asked == 1
    monkeypatch.setattr(readiness, "REMEMBER_BAD_SECONDS", 0.05)
    backend.problem = OvenbridgeError("x")
    failing = probes(store=backend)
    answers = await asyncio.gather(*(failing.check() for _ in range(50)))
    assert {answer["status"] for answer in answers} == {"not_ready"}
    assert backend.asked == 2, "also while it fails"
    backend.problem = None
    async with asyncio.timeout(2):
        while (await failing.check())["status"] != "ready":  # noqa: ASYNC110 - asking is what is tried here
            await asyncio.sleep(0.01)


async def test_who_leaves_does_not_take_the_answer_along() -> None:
    backend = Backend(hangs=True)
    asked = probes(store=backend)
    hasty, patient = (asyncio.create_task(asked.check()) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    hasty.cancel()
    backend.let_go.set()
    assert (await patient)["status"] == "ready"
    assert (hasty.cancelled(), backend.asked) == (True, 1)


async def test_the_same_trouble_is_logged_once_and_its_end_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(readiness, "REMEMBER_BAD_SECONDS", 0.0)
    monkeypatch.setattr(readiness, "REMEMBER_SECONDS", 0.0)
    backend = Backend(Unavailable("gone"))
    asked = probes(store=backend)
    for _ in range(3):
        await asked.check()
    backend.problem = Unavailable("gone for another reason")
    await asked.check()
    backend.problem = None
    for _ in range(3):
        await asked.check()
    assert [r.getMessage() for r in caplog.records] == [
        "Not ready: the store: gone",
        "Not ready: the store: gone for another reason",
        "Ready again: the store",
    ]


class Ending:
    sentence = "The secret cb-1 ends."


async def test_who_may_see_details_is_told_of_what_ends_soon() -> None:
    async def ending() -> list[Ending]:
        return [Ending()]

    async def away() -> list[Ending]:
        raise Unavailable("no list")

    asked = Readiness({}, show_details=False, expiring=ending)
    assert "warnings" not in await asked.check()
    assert (await asked.check(details=True))["warnings"] == ["The secret cb-1 ends."]
    blind = await Readiness({}, show_details=True, expiring=away).check()
    assert blind["status"] == "ready", "a warning that cannot be had is no reason to take the app out"
    assert "no list" in blind["warnings"][0]


def test_there_is_one_version() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["version"] == VERSION
