"""Certificates that end: said on the relay, told to the hub, told on to people 30, 14 and 7 days before."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.clock import ManualClock, iso
from shared.connectors.opc_ua_application import SECRET, OpcUaApplication
from shared.errors import Unavailable
from shared.events.catalogue import RELAY_CERTIFICATE_EXPIRING
from shared.relay.messages import CertificateEnd, Heartbeat, certificate_due, pack, unpack
from shared.relay.plant_certificates import CertificateWatch
from shared.secrets.file_vault import FileVault
from shared.storage import Query, every
from tests.unit.relay.certificates import write_pair
from tests.unit.relay.conftest import Hub, beat

LOG = "ovenbridge.relay"


async def none() -> datetime | None:
    return None


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.name == LOG]
    caplog.clear()
    return found


class TestOnTheRelay:
    async def test_its_https(self, tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
        file = tmp_path / "site.pem"
        ends = clock.now() + timedelta(days=31)
        write_pair(file, tmp_path / "site.key", ends=ends)
        watch = CertificateWatch(clock, https_file=file, opc_ua_end=none)
        assert await watch.ends() == (CertificateEnd(name="https", not_after=ends),)
        assert (said(caplog), watch.warnings()) == ([], [])
        for days, expected in ((1, 1), (1, 0), (16, 1), (7, 1), (5, 0), (1, 1), (1, 0)):
            clock.advance(days * 86_400)
            await watch.ends()
            lines = said(caplog)
            assert len(lines) == expected, (days, lines)
            assert len(watch.warnings()) == 1
        assert "expired on" in watch.warnings()[0]
        assert "TLS_CERTIFICATE_FILE" in watch.warnings()[0]
        write_pair(file, tmp_path / "site.key", ends=clock.now() + timedelta(days=365))
        clock.advance(301)
        await watch.ends()
        assert watch.warnings() == []

    async def test_its_opc_ua_certificate_is_not_made_by_looking(self, tmp_path: Path, clock: ManualClock) -> None:
        vault = FileVault(tmp_path / "vault", clock)
        application = OpcUaApplication(vault, clock)
        watch = CertificateWatch(clock, https_file=None, opc_ua_end=application.known_end)
        assert await watch.ends() == ()
        assert SECRET not in {secret.name for secret in await vault.list()}
        made = await application.certificate()
        clock.advance(301)
        assert [end.name for end in await watch.ends()] == ["opc_ua"]
        clock.advance(601)
        [end] = await watch.ends()
        assert end.not_after == made.certificate.not_after

    async def test_what_cannot_be_read_is_said_once_and_left_out(
        self, tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def away() -> datetime | None:
            raise Unavailable("The vault is away.")

        (tmp_path / "broken.pem").write_text("nonsense")
        watch = CertificateWatch(clock, https_file=tmp_path / "broken.pem", opc_ua_end=away)
        for _ in range(3):
            assert await watch.ends() == ()
            clock.advance(301)
        lines = said(caplog)
        assert len(lines) == 2
        assert any("The vault is away." in line for line in lines)


class TestAtTheHub:
    async def heard(self, hub: Hub, **ends: datetime) -> None:
        certificates = [{"name": name, "not_after": iso(at)} for name, at in ends.items()]
        said = beat(hub.clock.now(), certificates=certificates)
        body = pack(Heartbeat.model_validate(said))
        answer = await hub.relay.post("/api/v1/relays/hall-1/heartbeat", body=body)
        assert answer.status == 204, answer.body

    async def told(self, hub: Hub) -> list[dict[str, Any]]:
        found = [s.document async for s in every(hub.house.store, "events", Query(limit=1000))]
        return sorted(
            (e for e in found if e["type"] == RELAY_CERTIFICATE_EXPIRING), key=lambda e: -e["data"]["days_left"]
        )

    async def test_each_threshold_is_told_once(self, hub: Hub) -> None:
        ends = hub.clock.now() + timedelta(days=31, hours=1)
        kept: dict[str, dict[str, Any]] = {}
        for _ in range(70):  # a beat every half a day; events are forgotten after a month
            await self.heard(hub, https=ends)
            kept |= {event["id"]: event for event in await self.told(hub)}
            hub.clock.advance(43_200)
        told = list(kept.values())
        assert [event["data"]["days_left"] for event in told] == [29, 13, 6, -1]
        assert [event["severity"] for event in told] == ["warning", "warning", "critical", "critical"]
        assert told[0]["data"]["certificate"] == "https"
        shown = (await hub.api.get("/api/v1/relays/hall-1")).json()["certificates"]
        assert [(c["name"], c["status"]) for c in shown] == [("https", "expired")]
        await self.heard(hub, https=hub.clock.now() + timedelta(days=20), opc_ua=hub.clock.now() + timedelta(days=400))
        kept |= {event["id"]: event for event in await self.told(hub)}
        assert len(kept) == 5, "a new one that ends soon is another matter"
        shown = (await hub.api.get("/api/v1/relays/hall-1")).json()["certificates"]
        assert [(c["name"], c["status"]) for c in shown] == [("https", "expires_soon"), ("opc_ua", "ok")]

    async def test_a_relay_that_says_nothing_of_them(self, hub: Hub) -> None:
        await self.heard(hub)
        assert (await hub.api.get("/api/v1/relays/hall-1")).json()["certificates"] == []


def test_what_says_nothing_is_not_sent(clock: ManualClock) -> None:
    """A hub of an earlier version refuses words that it does not know."""
    plain = Heartbeat.model_validate(beat(clock.now()))
    assert b"certificates" not in pack(plain)
    with_one = Heartbeat.model_validate(beat(clock.now(), certificates=[{"name": "https", "not_after": clock.now()}]))
    assert unpack(Heartbeat, pack(with_one)) == with_one


def test_what_is_due(clock: ManualClock) -> None:
    now = clock.now()
    left = {31: None, 30: 30, 15: 30, 14: 14, 7: 7, 1: 7, 0: 0, -5: 0}
    found = {d: certificate_due(CertificateEnd(name="https", not_after=now + timedelta(days=d)), now) for d in left}
    assert found == left
