"""Notifications to MQTT brokers: mosquitto acknowledges, refuses, is away; what arrives is what HTTP receivers get."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.access import system
from shared.callbacks.browse import DeliveryFilter
from shared.callbacks.carrying import Carrier, NotCarried, Parcel
from shared.callbacks.model import Callback, Credentials, NewCallback
from shared.clock import ManualClock
from shared.events import Event
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from shared.relay.plant_delivery import SiteDelivery
from shared.services import Services
from tests.api import Drained
from tests.peers.broker_certificates import broker_certificates
from tests.peers.conftest import need
from tests.peers.mosquitto import Broker, installed
from tests.peers.tcp_proxy import TcpProxy

pytestmark = pytest.mark.process

TOPIC = "external/bakery/Öfen/1"
PATH = "external/bakery/%C3%96fen/1"
ANNA = system("anna")


class Subscriber:
    """paho's own loop in a thread, with every message and its properties."""

    def __init__(self, port: int, user: str | None = None, password: str | None = None) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        self.seen: list[Any] = []
        self._loop = asyncio.get_running_loop()
        self._ready, self.arrived = asyncio.Event(), asyncio.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if user is not None:
            self._client.username_pw_set(user, password)
        self._client.on_message = lambda _c, _d, message: self._on_loop(self._take, message)
        self._client.on_subscribe = lambda *_: self._on_loop(self._ready.set)
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("#", qos=1)
        self._client.loop_start()

    def _on_loop(self, what: Callable[..., Any], *given: Any) -> None:
        self._loop.call_soon_threadsafe(what, *given)

    def _take(self, message: Any) -> None:
        self.seen.append(message)
        self.arrived.set()

    async def ready(self) -> None:
        async with asyncio.timeout(10):
            await self._ready.wait()

    async def message(self) -> Any:
        async with asyncio.timeout(10):
            await self.arrived.wait()
        self.arrived.clear()
        return self.seen[-1]

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@asynccontextmanager
async def subscribed(*given: Any) -> AsyncIterator[Subscriber]:
    made = Subscriber(*given)
    try:
        await made.ready()
        yield made
    finally:
        await asyncio.to_thread(made.stop)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    need(installed(), "mosquitto")
    async with Broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Broker]:
    """Users with passwords; `line` may write below external/bakery alone."""
    need(installed(), "mosquitto")
    folder = tmp_path / "guarded"
    folder.mkdir()
    users, rights = folder / "users", folder / "rights"
    for user in ("line", "reader"):
        subprocess.run(  # noqa: ASYNC221  # takes no time
            ["mosquitto_passwd", "-b", *([] if users.exists() else ["-c"]), str(users), user, "p@ss:w/rd"], check=True
        )
    rights.write_text("user line\ntopic write external/bakery/#\nuser reader\ntopic read #\n")
    for file in (users, rights):
        file.chmod(0o600)
    lines = (f"password_file {users}", f"acl_file {rights}")
    async with Broker(folder, *lines, anonymous=False) as running:
        yield running


@pytest.fixture
async def deliver(
    house: Services, clock: ManualClock, drain: Callable[[], Awaitable[Drained]]
) -> Callable[..., Awaitable[dict[str, Any]]]:
    async def tell(callback: Callback, id: str | None = "E1") -> dict[str, Any]:
        if id is not None:
            event = Event(id=id, type="EXTERNAL", timestamp=clock.now(), data={"steam": 3}, name="Dampf")
            await house.events.publish(event)
        assert (await drain()).failures == []
        page = await house.deliveries.browse.list(DeliveryFilter(callback.id), limit=10, continuation=None)
        return page.items[0].document

    return tell


async def register(house: Services, port: int, path: str = PATH, **more: Any) -> Callback:
    url = f"mqtt://127.0.0.1:{port}/{path}"
    return await house.callbacks.create(NewCallback("EXTERNAL", url, **more), caller=ANNA)


async def test_a_broker_takes_the_notification(house: Services, broker: Broker, deliver: Any) -> None:
    callback = await register(house, broker.port)
    async with subscribed(broker.port) as reader:
        document = await deliver(callback)
        message = await reader.message()
    assert document["status"] == "confirmed", document
    (tried,) = document["attempts"]
    assert "status" not in tried
    assert (message.topic, message.qos, message.retain) == (TOPIC, 1, False)
    said = json.loads(message.payload)["properties"]
    assert (said["callbackId"], said["data"], said["eventName"]) == (callback.id, {"steam": 3}, "Dampf")
    named = dict(message.properties.UserProperty)
    assert named["webhook-id"] == f"{callback.id}-E1"
    assert named["x-ovenbridge-attempt"] == "1"
    assert message.properties.ContentType == "application/json"


async def test_nobody_has_to_listen(house: Services, broker: Broker, deliver: Any) -> None:
    assert (await deliver(await register(house, broker.port)))["status"] == "confirmed"


async def test_a_broker_that_was_away_gets_it_later(
    house: Services, broker: Broker, deliver: Any, clock: ManualClock
) -> None:
    callback = await register(house, broker.port)
    await broker.stop()
    document = await deliver(callback)
    assert (document["status"], document["attempts"][0]["reason"]) == ("retrying", "cannot_connect")
    await broker.start()
    async with subscribed(broker.port) as reader:
        clock.advance(10.1)
        assert (await deliver(callback, None))["status"] == "confirmed"
        assert dict((await reader.message()).properties.UserProperty)["x-ovenbridge-attempt"] == "2"


async def test_credentials_and_rights(house: Services, guarded: Broker, deliver: Any) -> None:
    line = Credentials(username="line", password="p@ss:w/rd")
    given = await register(house, guarded.port, credentials=line)
    assert (given.authentication, "ss" in given.url) == ("basic", False)
    async with subscribed(guarded.port, "reader", "p@ss:w/rd") as reader:
        assert (await deliver(given))["status"] == "confirmed"
        named = dict((await reader.message()).properties.UserProperty)
    assert not [name for name in named if name.lower() == "authorization"]
    url = f"mqtt://line:p%40ss%3Aw%2Frd@127.0.0.1:{guarded.port}/external/other"
    elsewhere = await house.callbacks.create(NewCallback("EXTERNAL", url), caller=ANNA)
    (tried,) = (await deliver(elsewhere, "E2"))["attempts"]
    assert tried["reason"] == "authentication_failed"
    assert "does not let this user publish to external/other" in tried["detail"]
    wrong = await register(house, guarded.port, credentials=Credentials(username="line", password="wrong"))
    (tried,) = (await deliver(wrong, "E3"))["attempts"]
    assert tried["reason"] == "authentication_failed"
    for text in (tried["detail"], elsewhere.url, json.dumps(given.to_document())):
        assert "wrong" not in text
        assert "p@ss" not in text
        assert "p%40ss" not in text


async def test_a_broker_that_is_silent_is_a_timeout(broker: Broker) -> None:
    async with TcpProxy("127.0.0.1", broker.port) as proxy:
        await proxy.set("black-hole")
        http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
        with pytest.raises(NotCarried) as caught:
            await Carrier(http).carry(Parcel(f"mqtt://127.0.0.1:{proxy.port}/external/a", {}, b"{}", 0.3))
        assert caught.value.reason == "timeout"
        await http.close()


@pytest.mark.parametrize(
    ("private", "clear", "url"),
    [
        (False, True, "mqtt://127.0.0.1:{port}/external/a"),
        (True, False, "mqtt://127.0.0.1:{port}/external/a"),
        (True, True, "mqtt://169.254.169.254/external/a"),
        (True, True, "mqtt://rebound.example:{port}/external/a"),
    ],
)
async def test_the_address_is_vetted_at_every_attempt(broker: Broker, private: bool, clear: bool, url: str) -> None:
    async def rebound(host: str, port: int) -> list[str]:
        return ["127.0.0.1", "169.254.169.254"]

    http = OutgoingHttp(TargetPolicy(allow_private=private, allow_http=clear, resolve=rebound))
    with pytest.raises(NotCarried) as caught:
        await Carrier(http).carry(Parcel(url.format(port=broker.port), {}, b"{}", 5.0))
    assert caught.value.reason == "unsafe"
    await http.close()


async def test_a_relay_publishes_for_the_hub(broker: Broker) -> None:
    http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
    body = {"callback_id": "C1", "headers": {"webhook-id": "C1-E1"}, "content": '{"n":1}', "timeout_seconds": 10.0}
    async with subscribed(broker.port) as reader:
        order = body | {"url": f"mqtt://127.0.0.1:{broker.port}/{PATH}"}
        said = await SiteDelivery(Carrier(http)).deliver(order, 10.0)
        message = await reader.message()
    assert (said["status"], said["answer"]) == (None, "")
    assert (message.topic, message.payload) == (TOPIC, b'{"n":1}')
    assert dict(message.properties.UserProperty) == {"webhook-id": "C1-E1"}
    await http.close()


async def test_a_broker_with_a_certificate_of_the_plant(house: Services, tmp_path: Path, deliver: Any) -> None:
    need(installed(), "mosquitto")
    ca, certificate, key = broker_certificates()
    (tmp_path / "cert.pem").write_text(certificate)
    (tmp_path / "key.pem").write_text(key)
    lines = (f"certfile {tmp_path}/cert.pem", f"keyfile {tmp_path}/key.pem")
    async with Broker(tmp_path / "tls", *lines) as broker:
        url = f"mqtts://localhost:{broker.port}/external/a"
        stranger = await house.callbacks.create(NewCallback("EXTERNAL", url), caller=ANNA)
        (tried,) = (await deliver(stranger))["attempts"]
        assert tried["reason"] == "tls_failed"
        assert "give that CA as caCertificate" in tried["detail"]
        known = await house.callbacks.create(NewCallback("EXTERNAL", url, ca_certificate=ca), caller=ANNA)
        assert (await deliver(known, "E2"))["status"] == "confirmed"
        http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=False))
        order = {"callback_id": "C1", "headers": {}, "content": "{}", "timeout_seconds": 10.0, "url": url}
        said = await SiteDelivery(Carrier(http)).deliver(order | {"ca_certificate": ca}, 10.0)
        assert said["status"] is None
        await http.close()
