"""MQTT devices against mosquitto: nothing that waited is lost or stored twice, and every failure has its words."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from shared.clock import ManualClock
from shared.connectors import ConnectorFactory
from shared.connectors.base import Connector
from shared.equipment.model import Equipment
from shared.errors import Unavailable
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from shared.services import Services
from shared.signals import Quality, Reading
from tests.peers.broker_certificates import broker_certificates
from tests.peers.conftest import need
from tests.peers.mosquitto import Broker, installed, publish
from tests.peers.tcp_proxy import TcpProxy
from tests.unit.collection.plant import NOON, Died, Plant, oven

pytestmark = pytest.mark.process

TOPIC = "bakery/oven/7/telemetry"
SIGNALS: dict[str, Any] = {"temperature.deck1": {"at": "temp.deck1", "unit": "C"}, "door.open": "door"}


@pytest.fixture(autouse=True)
def _there() -> None:
    need(installed(), "mosquitto")


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with Broker(tmp_path / "broker") as running:
        yield running


class Proofer(Plant):
    """One device behind a broker, read by real connectors; everything else of the house is real too, but the rules."""

    def __init__(self, house: Services, port: int, **options: Any) -> None:
        self.config: dict[str, Any] = {
            "endpoint": f"mqtt://127.0.0.1:{port}",
            "credentials": {},
            "additional_config": {"path": TOPIC, "timestamp_at": "ts", "signals": SIGNALS, "timeout": 4, **options},
        }
        self.dies_after: int | None = None
        super().__init__(house, oven(1, protocol="mqtt", poll_interval_seconds=10))

    def open(self, *, protocol: str, equipment_id: str, config: dict[str, Any]) -> Connector:
        self.reads[equipment_id] += 1
        return self.house.connectors.open(protocol=protocol, equipment_id=equipment_id, config=config)

    async def connector_config(self, equipment: Equipment, *, fresh: bool = False) -> dict[str, Any]:
        return self.config

    async def evaluate(self, equipment: Equipment, reading: Reading) -> None:
        await super().evaluate(equipment, reading)
        if self.dies_after is not None and len(self.evaluated) >= self.dies_after:
            raise Died

    async def poll(self) -> None:
        """The device is due now."""
        cast("ManualClock", self.house.clock).advance(10)
        await self.polling.read_batch(self.body(1))

    async def poll_until(self, count: int) -> None:
        """A poll takes what it can in a few seconds, and the next one the rest."""
        for _ in range(10):
            await self.poll()
            if len(await self.stored()) >= count:
                return

    async def stored(self) -> list[Reading]:
        """Every reading there is, oldest first."""
        page = await self.house.readings.history("oven-1", NOON - timedelta(days=1), NOON + timedelta(days=1), 1000)
        assert page.continuation is None
        return page.readings

    async def temperatures(self) -> list[Any]:
        return [r.values["temperature.deck1"].value for r in await self.stored() if "temperature.deck1" in r.values]


def message(number: int, *, door: str = "closed") -> tuple[str, str]:
    """Measured so many tenths of a second after ten minutes before noon."""
    at = NOON - timedelta(minutes=10) + timedelta(seconds=number / 10)
    return TOPIC, json.dumps({"ts": at.isoformat(), "temp": {"deck1": number}, "door": door})


async def send(broker: Broker, *messages: tuple[str, str], **how: Any) -> None:
    await asyncio.to_thread(publish, broker.port, messages, **how)


def connector(port: int, *, http: OutgoingHttp | None = None, scheme: str = "mqtt", host: str = "127.0.0.1",
              credentials: dict[str, str] | None = None, **options: Any) -> Connector:  # fmt: skip
    config = {
        "endpoint": f"{scheme}://{host}:{port}",
        "credentials": credentials or {},
        "additional_config": {"path": TOPIC, "signals": SIGNALS, "timeout": 2, **options},
    }
    http = http or OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
    return ConnectorFactory.create_connector("mqtt", "oven-1", config, http=http)


async def readings_of(one: Connector) -> list[Reading]:
    """Take the whole queue."""
    found: list[Reading] = []
    try:
        more = True
        while more:
            found += await one.get_readings()
            more = await one.acknowledge()
    finally:
        await one.close()
    return found


# The queue -----------------------------------------------------------------------------------------------------------


async def test_what_waited_is_stored_once_with_its_own_times(house: Services, broker: Broker) -> None:
    plant = Proofer(house, broker.port)
    await plant.poll()
    assert await plant.stored() == [], "nothing came: that is no reading"
    status = await plant.health.status("oven-1")
    assert (status.status, status.last_error) == ("connected", None), "and no failure either"
    await send(broker, *map(message, range(700)))
    await plant.poll_until(700)
    stored = await plant.stored()
    assert [r.values["temperature.deck1"].value for r in stored] == list(range(700))
    assert stored[0].at == NOON - timedelta(minutes=10)
    assert stored[0].values["door.open"].value is False
    assert stored[-1].received_at == house.clock.now()
    assert {r.quality for r in stored} == {Quality.GOOD}
    await plant.poll()
    assert len(await plant.stored()) == 700
    assert (await plant.health.status("oven-1")).last_connected == house.clock.now()


@pytest.mark.parametrize("after", [1, 150, 200, 201, 350])
async def test_a_crash_before_the_acknowledgement_loses_nothing_and_doubles_nothing(
    house: Services, broker: Broker, after: int
) -> None:
    plant = Proofer(house, broker.port)
    await plant.poll()
    await send(broker, *map(message, range(350)))
    plant.dies_after = after
    with pytest.raises(Died):
        await plant.poll()
    assert len(await plant.stored()) == after
    plant.dies_after = None
    plant.new_process()
    await plant.poll_until(350)
    assert await plant.temperatures() == list(range(350))
    assert len(plant.evaluated) > 350, "they came again, and were known"


async def test_a_store_that_is_away_leaves_the_queue_as_it_is(house: Services, broker: Broker) -> None:
    plant = Proofer(house, broker.port)
    await plant.poll()
    await send(broker, *map(message, range(5)))
    keep = house.store.create

    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("The store is away.")

    house.store.create = away  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await plant.poll()
    house.store.create = keep  # type: ignore[method-assign]
    await plant.poll()
    assert await plant.temperatures() == list(range(5))


async def test_the_broker_goes_and_comes_back(house: Services, broker: Broker) -> None:
    plant = Proofer(house, broker.port)
    await plant.poll()
    await send(broker, *map(message, range(300)))
    await broker.stop()
    await plant.poll()
    status = await plant.health.status("oven-1")
    assert (status.status, status.last_error_code) == ("disconnected", "cannot_connect")
    assert f"Nothing listens on 127.0.0.1:{broker.port}" in str(status.last_error)
    failed = [r for r in await plant.stored() if r.error_code]
    assert [r.at for r in failed] == [house.clock.now()]
    await broker.start()
    cast("ManualClock", house.clock).advance(600)
    await plant.poll_until(301)
    assert await plant.temperatures() == list(range(300)), "its queue was on its disk"
    status = await plant.health.status("oven-1")
    assert status.connected, "although all that came was measured before the failure"
    assert [e.data["status"] for e in plant.told] == ["disconnected", "connected"]


async def test_what_the_machine_says_of_itself_is_told_by_the_newest_message(house: Services, broker: Broker) -> None:
    plant = Proofer(house, broker.port, signals={"status": "state"})
    await plant.poll()
    for states in (("idle", "running"), ("running",), ("idle",)):
        at = (NOON - timedelta(hours=1)).isoformat()  # its clock is an hour behind
        await send(broker, *((TOPIC, json.dumps({"state": s, "ts": at, "n": len(plant.told)})) for s in states))
        await plant.poll()
    assert (await plant.health.status("oven-1")).operational_status == "idle"
    assert [e.data["status"] for e in plant.told] == ["idle"]


async def test_a_full_queue_is_told(tmp_path: Path) -> None:
    async with Broker(tmp_path / "b", "max_queued_messages 100", "max_inflight_messages 20") as broker:
        assert await readings_of(connector(broker.port, timestamp_at="ts")) == []
        begin = datetime.now(UTC) - timedelta(hours=1)
        times = [(begin + timedelta(seconds=2 * n)).isoformat() for n in range(300)]
        await send(broker, *((TOPIC, json.dumps({"ts": ts, "temp": {"deck1": 1}, "door": 0})) for ts in times))
        found = await readings_of(connector(broker.port, timestamp_at="ts"))
        assert 100 <= len(found) <= 120, "mosquitto dropped the newest"
        tested = await look_at(connector(broker.port, timestamp_at="ts", timeout=0.5))
        assert "max_queued_messages" in str(tested.error_details)


async def test_a_session_the_broker_forgot_is_told(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "b")
    config = tmp_path / "b" / "mosquitto.conf"
    config.write_text(config.read_text().replace("persistence true", "persistence false"))
    async with broker:
        await readings_of(connector(broker.port))
        await broker.stop()
        await broker.start()
        one = connector(broker.port, timeout=0.5)
        assert await readings_of(one) == []
        tested = await look_at(one)
        assert tested.success
        assert "had forgotten our session" in str(tested.error_details)


async def test_messages_nobody_can_use_do_not_stand_in_the_way(house: Services, broker: Broker) -> None:
    plant = Proofer(house, broker.port)
    await plant.poll()
    await send(broker, (TOPIC, "{not json"), (TOPIC, '{"other": 1}'), (TOPIC, "\x00"), (TOPIC, ""), message(1))
    await send(broker, (TOPIC, "x" * 300_000))  # larger than what is taken
    await send(broker, message(2))
    await plant.poll()
    assert await plant.temperatures() == [1, 2, None]
    last = (await plant.stored())[-1]
    assert (last.at, last.quality) == (house.clock.now(), Quality.BAD)
    assert (await plant.health.status("oven-1")).connected
    await plant.poll()
    assert len(await plant.stored()) == 3, "they do not come again"


async def test_messages_without_a_time(house: Services, broker: Broker) -> None:
    plant = Proofer(house, broker.port, timestamp_at=None, path=["bakery/oven/7/+"], signals={
        "temperature.deck1": "@bakery/oven/7/temperature", "door.open": "@bakery/oven/7/door"})  # fmt: skip
    await send(broker, ("bakery/oven/7/temperature", "20"), retain=True)
    await plant.poll()
    (first,) = await plant.stored()
    assert first.values["temperature.deck1"].quality is Quality.UNCERTAIN
    assert "retained" in str(first.values["temperature.deck1"].reason)
    await send(broker, *(("bakery/oven/7/temperature", str(180 + n)) for n in range(3)), ("bakery/oven/7/door", "open"))
    await plant.poll()
    _, second = await plant.stored()
    assert second.at == house.clock.now()
    assert (second.values["temperature.deck1"].value, second.values["door.open"].value) == (182, True)
    assert second.quality is Quality.GOOD
    await send(broker, ("bakery/oven/7/temperature", "190"))
    plant.dies_after = len(plant.evaluated) + 1
    with pytest.raises(Died):
        await plant.poll()
    plant.dies_after = None
    await plant.poll()
    again = (await plant.stored())[-1]
    assert "a second time" in str(again.values["temperature.deck1"].reason)
    cast("ManualClock", house.clock).advance(600)
    await send(broker, ("bakery/oven/7/temperature", "191"))
    await plant.poll()
    late = (await plant.stored())[-1].values["temperature.deck1"]
    assert (late.value, late.quality) == (191, Quality.UNCERTAIN)
    assert "may have waited" in str(late.reason)


# A look --------------------------------------------------------------------------------------------------------------


async def look_at(one: Connector) -> Any:
    try:
        return await one.test_connection()
    finally:
        await one.close()


async def test_a_test_shows_what_stands_at_the_broker_and_takes_nothing(broker: Broker) -> None:
    assert await readings_of(connector(broker.port)) == []
    silent = await look_at(connector(broker.port, timeout=0.5))
    assert (silent.success, silent.status) == (True, "connected")
    assert f"connected; no message yet on {TOPIC}" in str(silent.error_details)
    assert set(silent.signals) == set(SIGNALS)
    await send(broker, message(5, door="open"), retain=True)
    tested = await look_at(connector(broker.port))
    assert tested.success
    assert tested.signals["temperature.deck1"].value == 5
    assert tested.signals["door.open"].value is True
    assert set(tested.supported_features) == {"temperature", "door"}
    capabilities = await (one := connector(broker.port)).get_capabilities()
    await one.close()
    assert (capabilities.supports_realtime, capabilities.temperature_zones) == (True, ("deck1",))
    assert len(await readings_of(connector(broker.port))) == 1, "the queue still has it"


async def test_a_test_waits_for_the_next_message(broker: Broker) -> None:
    one = connector(broker.port, timeout=10)
    looking = asyncio.create_task(one.test_connection())

    async with asyncio.timeout(10):
        while not looking.done():  # it has to be there before the message is
            await send(broker, message(8))
    assert (await looking).signals["temperature.deck1"].value == 8
    await one.close()


async def test_a_message_now_or_the_reason_why_not(broker: Broker) -> None:
    one = connector(broker.port, timeout=0.5)
    reading = await one.get_current_reading()
    assert (reading.quality, reading.error_code) == (Quality.BAD, "timeout")
    assert f"no message came on {TOPIC}" in str(reading.reason)
    await send(broker, message(3), retain=True)
    assert (await one.get_current_reading()).values["temperature.deck1"].value == 3
    await one.close()


# TLS and passwords ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[tuple[Broker, str, Path]]:
    """A broker with TLS under its own CA and a password file; the CA's PEM."""
    folder = tmp_path / "guarded"
    folder.mkdir()
    ca, certificate, key = broker_certificates()
    for name, text in (("ca.pem", ca), ("cert.pem", certificate), ("key.pem", key)):
        (folder / name).write_text(text)
    making = ["mosquitto_passwd", "-c", "-b", str(folder / "users"), "relay", "right"]
    await asyncio.to_thread(subprocess.run, making, check=True)
    lines = (f"certfile {folder}/cert.pem", f"keyfile {folder}/key.pem", f"password_file {folder}/users")
    async with Broker(folder, *lines, anonymous=False) as running:
        yield running, ca, folder / "ca.pem"


RELAY = {"username": "relay", "password": "right"}


async def test_tls_under_a_ca_of_ones_own(guarded: tuple[Broker, str, Path]) -> None:
    broker, ca, ca_file = guarded
    secure: dict[str, Any] = {"scheme": "mqtts", "host": "localhost", "credentials": RELAY, "ca_certificate": ca}
    assert await readings_of(connector(broker.port, **secure)) == []
    await send(broker, *map(message, range(500)), user="relay", password="right", ca=ca_file)
    found = await readings_of(connector(broker.port, **secure, timestamp_at="ts"))
    assert [r.values["temperature.deck1"].value for r in found] == list(range(500))


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"ca_certificate": None}, "tls_failed", "give that CA as ca_certificate"),
        ({"host": "127.0.0.2"}, "tls_failed", "not made out to this IP address"),
        ({"scheme": "mqtt", "ca_certificate": None}, "cannot_connect", "is it mqtts:// there"),
        (
            {"credentials": {"username": "relay", "password": "wrong"}},
            "authentication_failed",
            "user name and the password",
        ),
        ({"credentials": {}}, "authentication_failed", "in credentials"),
    ],
)
async def test_who_is_not_let_in_is_told_why(
    guarded: tuple[Broker, str, Path], changes: dict[str, Any], code: str, words: str
) -> None:
    broker, ca, _ = guarded
    how: dict[str, Any] = {"scheme": "mqtts", "host": "localhost", "credentials": RELAY, "ca_certificate": ca,
           "allow_plain_password": True} | changes  # fmt: skip
    if how["host"] == "127.0.0.2":
        async with TcpProxyAt("127.0.0.2", broker.port) as proxy:
            (reading,) = await readings_of(connector(proxy.port, **how))
    else:
        (reading,) = await readings_of(connector(broker.port, **how))
        tested = await look_at(connector(broker.port, **how))
        assert (tested.success, tested.status) == (False, code)
    assert reading.error_code == code
    assert words in str(reading.reason)
    assert "wrong" not in str(reading.reason)
    assert "right" not in str(reading.reason)


async def test_tls_where_there_is_none(broker: Broker) -> None:
    (reading,) = await readings_of(connector(broker.port, scheme="mqtts"))
    assert reading.error_code == "cannot_connect"
    assert "or is it mqtt:// there?" in str(reading.reason)


async def test_a_wrong_password_is_not_tried_again_and_again(
    house: Services, guarded: tuple[Broker, str, Path]
) -> None:
    broker, _, _ = guarded
    async with TcpProxy("127.0.0.1", broker.port) as proxy:
        plant = Proofer(house, proxy.port, verify_ssl=False)
        plant.config["endpoint"] = f"mqtts://127.0.0.1:{proxy.port}"
        plant.config["credentials"] = {"username": "relay", "password": "wrong"}
        await plant.poll()
        assert proxy.accepted == 1
        status = await plant.health.status("oven-1")
        assert (status.status, status.last_error_code) == ("error", "authentication_failed")
        assert status.backoff_until is not None
        assert status.backoff_until - house.clock.now() >= timedelta(seconds=150)
        assert len(await plant.stored()) == 1
        await plant.poll()
        assert proxy.accepted == 1, "its back-off counts"


# The network ---------------------------------------------------------------------------------------------------------


async def test_a_black_hole_costs_the_deadline_and_nothing_else(house: Services, broker: Broker) -> None:
    async with TcpProxy("127.0.0.1", broker.port) as proxy:
        plant = Proofer(house, proxy.port, timeout=1)
        await plant.poll()
        await send(broker, *map(message, range(20)))
        threads = set(threading.enumerate())
        await proxy.set("black-hole")
        polling = asyncio.create_task(plant.poll())
        assert await longest_pause(polling) < 0.5, "the event loop was blocked"
        status = await plant.health.status("oven-1")
        assert (status.status, status.last_error_code) == ("disconnected", "timeout")
        await proxy.set("pass")
        cast("ManualClock", house.clock).advance(600)
        await plant.poll()
        assert await plant.temperatures() == list(range(20))
        left = {t.name for t in set(threading.enumerate()) - threads if "paho" in t.name}
        assert not left, "nobody stays behind"


async def test_a_cable_pulled_before_the_acknowledgement(broker: Broker) -> None:
    async with TcpProxy("127.0.0.1", broker.port) as proxy:
        await readings_of(connector(proxy.port))
        await send(broker, *map(message, range(20)))
        one = connector(proxy.port, timestamp_at="ts")
        first = await one.get_readings()
        await proxy.set("black-hole")
        assert await one.acknowledge() is False
        await one.close()
        await proxy.set("pass")
        second = await readings_of(connector(proxy.port, timestamp_at="ts"))
        assert [(r.at, r.source) for r in second] == [(r.at, r.source) for r in first], (
            "the same readings, by their ids"
        )
        assert len(second) == 20


@pytest.mark.parametrize("mode", ["reset", "refuse"])
async def test_a_connection_that_is_cut_is_a_bad_reading(broker: Broker, mode: Any) -> None:
    async with TcpProxy("127.0.0.1", broker.port) as proxy:
        await proxy.set(mode)
        (reading,) = await readings_of(connector(proxy.port))
        assert reading.error_code == "cannot_connect"
        assert reading.reason


async def test_two_places_that_read_one_device_are_told_of_each_other(broker: Broker) -> None:
    first = connector(broker.port)
    assert await first.get_readings() == []
    await send(broker, message(1))
    second = connector(broker.port)
    assert len(await second.get_readings()) == 1, "the session is theirs now"
    assert await first.acknowledge() is False
    for one in (first, second):
        await one.close()
    assert len(await readings_of(connector(broker.port))) == 1, "nobody acknowledged it"


async def longest_pause(task: asyncio.Task[None]) -> float:
    """Seconds for which nobody else had a turn, until the task was done."""
    loop = asyncio.get_running_loop()
    worst, begun = 0.0, loop.time()
    while not task.done():
        before = loop.time()
        await asyncio.sleep(0.01)
        worst = max(worst, loop.time() - before)
        assert loop.time() - begun < 4, "the deadline is not kept"
    await task
    return worst


class TcpProxyAt(TcpProxy):
    """Listens on another loopback address."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self._at = host

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, self._at, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
