"""FORCE Bridge as a platform that connections are made to."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from shared.errors import InvalidInput, OvenbridgeError
from shared.inbox.source import HookSource
from shared.outgoing.targets import TargetPolicy
from shared.platforms.connections import ConnectionCheck, PlatformConnection, Secrets
from shared.platforms.force_bridge.api import ForceApi
from shared.platforms.force_bridge.options import ForceOptions, read_options

__all__ = ["NAME", "ForcePlatform"]

NAME = "force_bridge"
_NEEDED = ("client_id", "client_secret")
_VISIBLE = re.compile(r"[\x21-\x7e]{1,1000}")


class ForcePlatform:
    """Checks connections, and tries them."""

    def __init__(
        self,
        targets: TargetPolicy,
        api: Callable[[Secrets], ForceApi],
        *,
        knows_relay: Callable[[str], Awaitable[bool]],
        source_of: Callable[[str], Awaitable[HookSource | None]],
    ) -> None:
        """``api``: with these credentials. ``source_of``: by its id; ``None``: there is none."""
        self._targets = targets
        self._api = api
        self._knows_relay = knows_relay
        self._source_of = source_of

    async def check(self, options: Mapping[str, Any], credentials: Secrets | None) -> tuple[dict[str, Any], str]:
        """See ``Platform``."""
        read = read_options(options)
        _check_credentials(credentials)
        if read.ca_certificate is not None:
            from shared.outgoing.tls import check_ca

            try:
                check_ca(read.ca_certificate)
            except InvalidInput as err:
                raise InvalidInput(err.detail, field="options.ca_certificate") from err
        policy = self._targets
        if read.via is not None:
            if not await self._knows_relay(read.via):
                raise InvalidInput(
                    f"options.via: there is no relay {read.via}. Register it first with POST /api/v1/relays.",
                    field="options.via",
                )
            # Which addresses it connects to is the relay's own setting; looked up they are there.
            policy = TargetPolicy(allow_private=True, allow_http=True)
        addresses = []
        for field, url in (("options.base_url", read.base_url), ("options.token_url", read.token_address)):
            target = policy.check_url(url, field=field)
            if read.via is None:
                target = await policy.check_resolves(url, field=field)
            addresses.append(target.origin)
        await self._check_sources(read)
        # The same private address is another server in every plant: what was given for one is not for the others.
        through = [] if read.via is None else [f"(relay {read.via})"]
        return read.stored(), " ".join([*dict.fromkeys(addresses), *through])

    async def test(self, connection: PlatformConnection, credentials: Secrets) -> ConnectionCheck:
        """Ask for the first registrations."""
        began = time.monotonic()
        try:
            page = await self._api(credentials).get(connection, "callbacks", {"limit": 1, "offset": 0})
        except OvenbridgeError as err:
            return ConnectionCheck(False, err.detail)
        elapsed = round((time.monotonic() - began) * 1000, 1)
        pagination = page.get("pagination") if isinstance(page, dict) else None
        total = pagination.get("total") if isinstance(pagination, dict) else None
        if not isinstance(total, int):
            return ConnectionCheck(
                False, "Something answered that is no list of callbacks: check options.base_url.", elapsed
            )
        return ConnectionCheck(
            True, f"FORCE Bridge answered; it has {total} registrations.", elapsed, {"registrations": total}
        )

    async def _check_sources(self, options: ForceOptions) -> None:
        for place, registration in enumerate(options.registrations):
            if registration.hook_source is None:
                continue
            source = await self._source_of(registration.hook_source)
            if source is None:
                why = "there is no such hook source"
            elif source.kind != NAME:
                why = f"it is of the kind {source.kind}"
            elif source.relay_id is not None:
                why = "its messages come in at a relay, whose address only the plant knows: give it as `url`"
            else:
                continue
            raise InvalidInput(
                f"options.registrations.{place}.hook_source: {why}. A source of the kind {NAME} without relay_id is "
                "made with POST /api/v1/hook-sources.",
                field=f"options.registrations.{place}.hook_source",
            )


def _check_credentials(credentials: Secrets | None) -> None:
    if credentials is None:
        return
    for name in _NEEDED:
        if not _VISIBLE.fullmatch(credentials.get(name, "")):
            raise InvalidInput(f"credentials.{name} is needed: visible ASCII characters.", field=f"credentials.{name}")
    for name in credentials:
        if name not in _NEEDED:
            raise InvalidInput(f"There is no credential {name[:50]}; leave it out.", field=f"credentials.{name[:50]}")
