"""The kind ``innius``: webhooks of both generations at one address.

The API generation names its event in a header and may sign; the newer ones, made in the Admin app, sign in with Basic
or not at all. What is configured decides what must be there: with a public key, nothing of the API generation counts
unsigned, and nothing without an event's name counts unless it signs in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.errors import InvalidInput
from shared.inbox.kinds import Look, SourceKeys, signed_in
from shared.inbox.model import InboundMessage
from shared.inbox.source import HookSource
from shared.platforms.innius.bodies import body_of, text, ui_change
from shared.platforms.innius.effects import Effects
from shared.platforms.innius.options import InniusOptions, checked, options_of
from shared.platforms.innius.signature import decode_base64, is_genuine, load_public_key
from shared.platforms.innius.words import EVENT_HEADER, SIGNATURE_HEADER, canonical_event

__all__ = ["InniusKind"]

_EVENT = EVENT_HEADER.lower()
_SIGNATURE = SIGNATURE_HEADER.lower()


class InniusKind:
    """Judges messages at the door and hands them on."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects

    def check(self, options: Mapping[str, Any], keys: SourceKeys) -> dict[str, Any]:
        """See ``options.py``. Keys are public and stand in the options; a signing secret it has none."""
        if keys.signing:
            raise InvalidInput(
                "innius signs with its own key: put the public key of its answer into options.public_keys.",
                field="signing_secret",
            )
        return checked(options)

    def look(self, source: HookSource, keys: SourceKeys, raw: bytes, headers: Mapping[str, str], now: datetime) -> Look:
        """Verified over the raw bytes; parsed only after that."""
        options = options_of(source.options)
        given = {name.lower(): value for name, value in headers.items()}
        event = canonical_event(given.get(_EVENT, "")) or None
        reason = _why_not(options, keys, raw, given, event)
        if reason is not None:
            return Look("rejected", reason, event)
        key = within = None
        if options.retry_seconds:
            key = f"innius:{event or ''}:{hashlib.sha256(raw).hexdigest()}"
            within = options.retry_seconds
        return Look(
            "verified" if options.public_keys or keys.credentials else "unsigned",
            None,
            event,
            key,
            within,
            _equipment(source, options, raw, event),
        )

    async def handle(self, source: HookSource, message: InboundMessage) -> dict[str, Any]:
        """See ``effects.py``."""
        return await self._effects.of(source, options_of(source.options), message)


def _why_not(
    options: InniusOptions, keys: SourceKeys, raw: bytes, headers: Mapping[str, str], event: str | None
) -> str | None:
    signature = headers.get(_SIGNATURE)
    if options.public_keys and (event is not None or signature is not None):
        return _why_not_genuine(options.public_keys, signature, raw)
    if keys.credentials:
        return signed_in(keys, headers)
    if options.public_keys:
        return (
            f"The headers {EVENT_HEADER} and {SIGNATURE_HEADER} are missing. For webhooks made in the Admin app at "
            "this address, let them sign in (Basic) and give the source the same credentials."
        )
    return None


def _why_not_genuine(public_keys: list[str], signature: str | None, raw: bytes) -> str | None:
    if not signature:
        return f"The header {SIGNATURE_HEADER} is missing."
    decoded = decode_base64(signature)
    if decoded is None:
        return f"The header {SIGNATURE_HEADER} is no base64 text."
    if any(is_genuine(load_public_key(text), decoded, raw) for text in public_keys):
        return None
    return "The signature does not fit the body: compare options.public_keys with what the registration answered."


def _equipment(source: HookSource, options: InniusOptions, raw: bytes, event: str | None) -> str | None:
    try:
        machine = ui_change(raw, options.ui_body).machine if event is None else text(body_of(raw), "machinetrn", 500)
    except InvalidInput:
        machine = None
    return options.equipment(machine, source.equipment_id)
