"""From a protocol name and a configuration to a connector.

Which names exist is data (``profiles/*.json``); what reads them is the module of this room that the profile names,
with two functions: ``connector(setup)`` and ``check(setup)``. A protocol is added by adding its module.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from shared.clock import Clock, SystemClock
from shared.connectors.base import Connector, Setup
from shared.connectors.oauth import TokenCache
from shared.connectors.opc_ua_memory import OpcUaMemory
from shared.connectors.profiles import Profile, profile_of, profiles
from shared.connectors.rest_shared import SharedReads
from shared.errors import InvalidInput
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy

if TYPE_CHECKING:
    from shared.connectors.opc_ua_application import OpcUaApplication

__all__ = ["ConnectorFactory", "Connectors"]


class _Module(Protocol):
    def connector(self, setup: Setup) -> Connector: ...
    def check(self, setup: Setup) -> None: ...


class ConnectorFactory:
    """Makes connectors, in the form the implementation guide calls it."""

    @staticmethod
    def create_connector(
        protocol: str,
        equipment_id: str,
        config: Mapping[str, Any],
        *,
        http: OutgoingHttp | None = None,
        clock: Clock | None = None,
        tokens: TokenCache | None = None,
        opc_ua: OpcUaMemory | None = None,
        shared: SharedReads | None = None,
    ) -> Connector:
        """A connector for one device; nothing is sent yet.

        Without ``http`` it gets a pool of its own, after the settings of this process, and has to be closed.

        Raises:
            InvalidInput: naming the field that is wrong.
        """
        setup = _setup(protocol, equipment_id, config, http, clock, tokens, opc_ua, shared)
        return _module(setup.profile).connector(setup)

    @staticmethod
    def check(protocol: str, config: Mapping[str, Any], *, targets: TargetPolicy | None = None) -> None:
        """Check a configuration without connecting.

        Without ``targets`` private addresses and ``http://`` pass; the policy of the house decides at every connect.

        Raises:
            InvalidInput: naming the field that is wrong.
        """
        http = OutgoingHttp(targets or TargetPolicy(allow_private=True, allow_http=True))
        setup = _setup(protocol, "equipment", config, http, None, None, None, None)
        _module(setup.profile).check(setup)

    @staticmethod
    def protocols() -> tuple[str, ...]:
        """The names that can be read today."""
        return tuple(sorted(name for name, profile in profiles().items() if _exists(profile.connector)))


class Connectors:
    """Connectors of this process: they share the pool, the OAuth2 tokens, the answers of vendors' accounts and what is
    remembered of OPC UA servers."""

    def __init__(self, http: OutgoingHttp, clock: Clock, application: OpcUaApplication | None = None) -> None:
        self._http = http
        self._clock = clock
        self._tokens = TokenCache(clock)
        self._opc_ua = OpcUaMemory(application)
        self._shared = SharedReads(clock)

    def open(self, *, protocol: str, equipment_id: str, config: Mapping[str, Any]) -> Connector:
        """A connector for one device; cheap, nothing is sent yet. Raises ``InvalidInput``."""
        return ConnectorFactory.create_connector(
            protocol,
            equipment_id,
            config,
            http=self._http,
            clock=self._clock,
            tokens=self._tokens,
            opc_ua=self._opc_ua,
            shared=self._shared,
        )

    async def close(self) -> None:
        """Close what is kept open between polls."""
        from shared.connectors.modbus_line import lines

        lines().close()


def _setup(
    protocol: str,
    equipment_id: str,
    config: Mapping[str, Any],
    http: OutgoingHttp | None,
    clock: Clock | None,
    tokens: TokenCache | None,
    opc_ua: OpcUaMemory | None,
    shared: SharedReads | None,
) -> Setup:
    profile = _profile(protocol)
    clock = clock or SystemClock()
    return Setup(
        protocol=protocol,
        equipment_id=equipment_id,
        config=config,
        profile=profile,
        http=http or _own_http(),
        clock=clock,
        tokens=tokens or TokenCache(clock),
        opc_ua=opc_ua,
        shared=shared,
        owns_http=http is None,
    )


def _profile(protocol: str) -> Profile:
    profile = profile_of(protocol)
    if profile is None:
        readable = ", ".join(ConnectorFactory.protocols())
        raise InvalidInput(f"protocol is not known: use one of {readable}.", field="protocol")
    if not _exists(profile.connector):
        raise InvalidInput(
            f"protocol {protocol}: the reader of {profile.title} is not part of this installation. It reads "
            f"{', '.join(ConnectorFactory.protocols())}; install the complete package, or let a relay that has it read "
            "this machine.",
            field="protocol",
        )
    return profile


@lru_cache(maxsize=64)
def _exists(name: str) -> bool:
    return importlib.util.find_spec(f"{__package__}.{name}") is not None


def _module(profile: Profile) -> _Module:
    return cast("_Module", importlib.import_module(f"{__package__}.{profile.connector}"))


def _own_http() -> OutgoingHttp:
    from shared.settings import Settings

    settings = Settings.from_environment()
    return OutgoingHttp(
        TargetPolicy(allow_private=settings.allow_private_targets, allow_http=settings.allow_http_targets)
    )
