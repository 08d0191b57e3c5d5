"""What the hub wants done now: fetched by long poll, done at most once, answered under the command's id."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from shared.callbacks.carrying import NotCarried
from shared.clock import Clock, iso
from shared.connectors.mapping import canonical_key
from shared.errors import DeviceError, InvalidInput, NotFound, OvenbridgeError, PayloadTooLarge
from shared.relay.answers import certificate_body, discovery_body, signals_body, test_body
from shared.relay.messages import Command, CommandAnswer, CommandError, Device
from shared.relay.plant_calls import SiteCalls
from shared.relay.plant_delivery import SiteDelivery
from shared.relay.plant_hub_link import HubLink
from shared.relay.plant_machine import Plant, config_of
from shared.relay.uplink import HubRefused, Uplink, UplinkError
from shared.telemetry.document import to_document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.connectors import Connector

__all__ = ["CommandLoop"]

log = logging.getLogger("ovenbridge.relay")

WAIT_SECONDS = 20.0
LEAST_SECONDS = 1.0
"""Between two questions: a hub that does not wait is not asked in a circle."""
AT_ONCE = 8
DELIVERIES_AT_ONCE = 16
"""Places of their own: a receiver that hangs must not keep somebody from switching an oven off."""
REMEMBERED = 1_000
LONGEST_SECONDS = 120.0
ANSWER_ATTEMPTS = 3

Assigned = Callable[[str], Device | None]
"""The machine of this id, if it is read here."""


class CommandLoop:
    """Does commands as long as :meth:`run` runs."""

    def __init__(
        self,
        plant: Plant,
        uplink: Uplink,
        clock: Clock,
        *,
        assigned: Assigned,
        delivery: SiteDelivery | None = None,
        calls: SiteCalls | None = None,
    ) -> None:
        self._plant = plant
        self._uplink = uplink
        self._clock = clock
        self._assigned = assigned
        self._delivery = delivery
        self._calls = calls
        self._places = asyncio.Semaphore(AT_ONCE)
        self._delivery_places = asyncio.Semaphore(DELIVERIES_AT_ONCE)
        self._known: OrderedDict[str, None] = OrderedDict()
        self._running: set[asyncio.Task[None]] = set()
        self.link = HubLink("asking for commands", clock)

    async def run(self) -> None:
        """Ask and do until cancelled."""
        try:
            while True:
                begun = asyncio.get_running_loop().time()
                try:
                    commands = await self._uplink.commands(WAIT_SECONDS)
                except UplinkError as error:
                    await self.link.pause(error)
                    continue
                self.link.works()
                for command in commands:
                    self._begin(_by_our_clock(command, self._clock.now()))
                if not commands:
                    await asyncio.sleep(begun + LEAST_SECONDS - asyncio.get_running_loop().time())
        finally:
            for task in self._running:
                task.cancel()

    def _begin(self, command: Command) -> None:
        if command.id in self._known:  # at most once, whatever the hub repeats
            return
        self._known[command.id] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        task = asyncio.create_task(self._do_and_answer(command), name=f"command {command.kind}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _do_and_answer(self, command: Command) -> None:
        async with self._delivery_places if command.kind in ("deliver", "call") else self._places:
            answer = await self.do(command)
        for attempt in range(ANSWER_ATTEMPTS):
            try:
                await self._uplink.answer(answer)
            except HubRefused as error:
                log.warning("The answer to a command %s was refused: %s", command.kind, error.detail)
                return
            except PayloadTooLarge as error:
                answer = self._no(command, "too_large", error.detail)
            except UplinkError as error:
                log.warning("The answer to a command %s did not reach the hub: %s", command.kind, error.detail)
                await asyncio.sleep(2.0**attempt)
            else:
                return

    async def do(self, command: Command) -> CommandAnswer:
        """Do it; whatever goes wrong is the answer."""
        left = (command.expires_at - self._clock.now()).total_seconds()
        if left <= 0:
            return self._no(
                command,
                "expired",
                f"It had to be begun before {iso(command.expires_at)}; nobody waits for it any more.",
            )
        about = command.equipment_id or command.body.get("callback_id")
        log.info("%s of %s, for %s", command.kind, about, command.actor.get("id", "?"))
        try:
            async with asyncio.timeout(min(left, LONGEST_SECONDS)):
                body = await self._done(command, left)
        except NotCarried as error:
            return self._no(command, error.reason, error.detail)
        except TimeoutError:
            return self._no(command, "timeout", "The machine did not answer in the time there was.")
        except DeviceError as error:
            return self._no(command, error.code, error.detail)
        except InvalidInput as error:
            return self._no(command, "invalid", error.detail)
        except NotFound as error:
            return self._no(command, "not_assigned", error.detail)
        except OvenbridgeError as error:
            return self._no(command, "relay_error", error.detail)
        except Exception as error:
            # Whoever asked must hear that it failed, and the other commands go on.
            log.exception("The command %s failed unexpectedly", command.kind)
            return self._no(command, "internal_error", f"It failed unexpectedly ({type(error).__name__}); see the log.")
        return CommandAnswer(id=command.id, ok=True, body=body, at=self._clock.now())

    async def _done(self, command: Command, left: float) -> dict[str, Any]:
        if command.kind == "test_connection":
            async with self._open(self._described(command)) as connector:
                return test_body(await connector.test_connection())
        if command.kind == "discover":
            async with self._open(self._described(command)) as connector:
                return discovery_body(await connector.discover(_seconds(command.body)))
        if command.kind == "certificate":
            async with self._open(self._described(command)) as connector:
                return certificate_body(await connector.shown_certificate())
        if command.kind == "read_now":
            async with self._open(self._own(command)) as connector:
                return {"reading": to_document(await connector.read_now())}
        if command.kind == "write":
            return await self._write(self._own(command), command.body)
        if command.kind == "deliver" and self._delivery is not None:
            return await self._delivery.deliver(command.body, left)
        if command.kind == "call" and self._calls is not None:
            return await self._calls.call(command.body, left)
        raise InvalidInput(f"A relay of this version does not do {command.kind}.", field="kind")

    async def _write(self, device: Device, body: Mapping[str, Any]) -> dict[str, Any]:
        key, value = body.get("signal"), body.get("value")
        if not isinstance(key, str) or not isinstance(value, bool | int | float | str):
            raise InvalidInput("A write needs signal and value.", field="signal")
        _check_writable(device, key)
        async with self._open(device) as connector:
            before = (await connector.read_now()).values.get(canonical_key(key))
            after = await connector.write(key, value)
        said = signals_body({"after": after} | ({} if before is None else {"before": before}))
        return {"before": said.get("before"), "after": said["after"]}

    @asynccontextmanager
    async def _open(self, device: Device) -> AsyncIterator[Connector]:
        """A connection beside the sampler's."""
        config = await config_of(device, self._plant.secrets)
        connector = self._plant.connectors.open(
            protocol=device.protocol, equipment_id=device.equipment_id, config=config
        )
        try:
            yield connector
        finally:
            await connector.close()

    def _own(self, command: Command) -> Device:
        device = self._assigned(command.equipment_id or "")
        if device is None:
            raise NotFound(f"This relay does not read {command.equipment_id}; are its assignments in force yet?")
        return device

    def _described(self, command: Command) -> Device:
        """A machine that is described in the command, because it is not saved yet; else the assigned one."""
        given = command.body.get("device")
        if given is None:
            return self._own(command)
        try:
            return Device.model_validate(given)
        except ValidationError as err:
            raise InvalidInput("The machine in the command cannot be read. Have hub and relay one version?") from err

    def _no(self, command: Command, code: str, detail: str) -> CommandAnswer:
        error = CommandError(code=code, detail=detail[:2_000])
        return CommandAnswer(id=command.id, ok=False, error=error, at=self._clock.now())


def _by_our_clock(command: Command, now: datetime) -> Command:
    """The hub's clock and ours may differ by more than a command lives."""
    if command.valid_seconds is None:
        return command
    return command.model_copy(update={"expires_at": now + timedelta(seconds=command.valid_seconds)})


def _check_writable(device: Device, key: str) -> None:
    """Raises ``InvalidInput``. The hub has looked already; this is the last look before a machine moves."""
    if not device.supports_remote_control:
        raise InvalidInput(f"{device.equipment_id} is not to be written to: supports_remote_control is off.")
    signals = device.iot_config.get("signals")
    for name, spec in signals.items() if isinstance(signals, Mapping) else ():
        if (
            canonical_key(str(name)) == canonical_key(key)
            and isinstance(spec, Mapping)
            and spec.get("writable") is True
        ):
            return
    raise InvalidInput(f"{key} of {device.equipment_id} cannot be written: its mapping does not call it writable.")


def _seconds(body: Mapping[str, Any]) -> float:
    given = body.get("seconds", 20)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= LONGEST_SECONDS:
        raise InvalidInput("seconds is a number above 0 and at most 120.", field="seconds")
    return float(given)
