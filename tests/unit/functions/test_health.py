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
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
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
        "checks": {name: {"status": "ok"} for name in ("store", "queue", "vault", "anchors")},
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


async def test_outside_a_laptop_details_go_to_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    backend = Backend(Unavailable("cosmos-42.documents.azure.com refused us"))
    outside = Readiness({"store": Probe(lambda: backend, "Check the store.")}, show_details=False)
    found = await outside.check()
    assert found["checks"]["store"] == {"status": "unavailable", "advice": "Check the store."}
    assert "cosmos-42" in caplog.text


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


async def test_asking_often_is_no_load_and_recovery_shows_at_once() -> None:
    backend = Backend()
    asked = probes(store=backend)
    await asyncio.gather(*(asked.check() for _ in range(50)))
    assert backend.asked == 1
    backend.problem = OvenbridgeError("x")
    failing = probes(store=backend)
    assert (await failing.check())["status"] == "not_ready"
    backend.problem = None
    assert (await failing.check())["status"] == "ready"


def test_there_is_one_version() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["version"] == VERSION
