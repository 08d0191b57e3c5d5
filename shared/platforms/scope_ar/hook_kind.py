"""Webhooks of WorkLink: judged at the door over their raw bytes, then asked about and recorded.

Generation 2 signs: base64 of HMAC-SHA256 over the raw body, with the shared secret as it was given to the subscription.
Generation 1 cannot sign, so that where a secret is set leaving the topic's header away must not open the door.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.errors import Conflict, InvalidInput, NotFound, Unavailable
from shared.inbox.kinds import Look, NotNow, SourceKeys
from shared.inbox.model import InboundMessage
from shared.platforms.scope_ar.graphql import NotReadable
from shared.platforms.scope_ar.options import HookOptions, checked
from shared.platforms.scope_ar.sign_in import CredentialsRefused
from shared.platforms.scope_ar.translate import kind_of_type
from shared.platforms.scope_ar.webhook import TOPIC, Notice, event_name, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.inbox.source import HookSource
    from shared.platforms.scope_ar.sessions import ScopeSessions, Upserted
    from shared.storage import Document
    from shared.work.sessions_found import Kind

__all__ = ["ScopeArKind"]

SIGNATURE = "x-scope-hmac-sha256"
WEBHOOK_ID = "x-scope-webhook-id"
MAX_ID = 256
MIN_SECRET = 16
CLOCKS_DIFFER = timedelta(seconds=5)


class ScopeArKind:
    """The kind ``scope_ar``."""

    def __init__(self, sessions: Callable[[], ScopeSessions]) -> None:
        self._sessions = sessions

    def check(self, options: Mapping[str, Any], keys: SourceKeys) -> dict[str, Any]:
        """See the port."""
        if keys.credentials:
            raise InvalidInput("WorkLink does not sign in; its webhooks are signed.", field="credentials")
        for secret in keys.signing:
            if len(secret) < MIN_SECRET:
                raise InvalidInput(f"The shared secret has at least {MIN_SECRET} characters.", field="signing_secret")
        return checked(HookOptions, options).model_dump(mode="json")

    def look(self, source: HookSource, keys: SourceKeys, raw: bytes, headers: Mapping[str, str], now: datetime) -> Look:
        """The same when its webhook id is; without one, when its body is. The ``time`` of generation 1 is when it was
        sent: it takes part as any other word of the body does, and no more."""
        options = checked(HookOptions, source.options)
        reason = _why_not_genuine(keys, raw, headers, options)
        given = headers.get(WEBHOOK_ID, "").strip()
        key: str | None = None
        within: int | None = None
        if headers.get(TOPIC) and 0 < len(given) <= MAX_ID:
            key = f"scope:{given}"
        elif seconds := source.identical_within_seconds or options.identical_within_seconds:
            key, within = f"body:{headers.get(TOPIC, '')[:100]}:{hashlib.sha256(raw).hexdigest()}", seconds
        signed = bool(keys.signing) and bool(headers.get(TOPIC))
        return Look(
            "rejected" if reason else "verified" if signed else "unsigned",
            reason,
            event_name(headers, raw) or source.event_name,
            key,
            within,
            source.equipment_id,
        )

    async def handle(self, source: HookSource, message: InboundMessage) -> dict[str, Any]:
        """Ask for what it points at, and record it; idempotent, for the record is found by the platform's id.

        Raises:
            InvalidInput: it cannot be understood, or the token may not read what it points at.
            NotNow: the API is away, refuses the credentials, or files are still to be fetched.
        """
        options = checked(HookOptions, source.options)
        notice = read(message.headers, message.raw, options)
        if notice.kind is None:
            return {"ignored": notice.why}
        if notice.refused or notice.external_id is None:
            raise InvalidInput(f"The subscription may not read it: {'; '.join(notice.problems)[:400]}.")
        try:
            if notice.node is not None:
                return await self._record_result(source, options, notice, notice.node, message)
            if options.connection is None:
                raise InvalidInput(
                    f"The source {source.id} names no connection to ask: set options.connection, then replay this.",
                    field="options.connection",
                )
            return await self._ask(options.connection, options, notice, notice.external_id, notice.kind, message)
        except NotReadable as error:
            raise InvalidInput(f"{error.detail} Give it the right, then replay this message.") from error
        except NotFound:
            raise InvalidInput(f"There is no connection {options.connection}: make it, then replay this.") from None
        except (Unavailable, CredentialsRefused, Conflict) as error:
            raise NotNow(error.detail) from error

    async def _record_result(
        self, source: HookSource, options: HookOptions, notice: Notice, node: Mapping[str, Any], message: InboundMessage
    ) -> dict[str, Any]:
        """The subscription's query has fetched it already."""
        done = await self._sessions().upsert_session(
            options.connection,
            node,
            asked_at=message.received_at,
            kind=kind_of_type(node.get("__typename")) or notice.kind or "session",
            asked=False,
            account=source.id,
            gaps=[f"The webhook said: {problem}" for problem in notice.problems],
            references=options.references,
        )
        return _effect(done, notice)

    async def _ask(
        self,
        connection: str,
        options: HookOptions,
        notice: Notice,
        external_id: str,
        kind: Kind,
        message: InboundMessage,
    ) -> dict[str, Any]:
        sessions = self._sessions()
        known = await sessions.known(connection, external_id, kind)
        if known is not None and _asked_since(known, message):
            return _told(known, "known", notice) | {"why": "It was asked for after this webhook had come in."}
        fetched = await sessions.fetch_session(connection, external_id, kind=kind)
        if fetched.node is None:
            gone = await sessions.note_gone(connection, external_id, kind)
            return {"gone": external_id, "recorded_before": gone}
        if fetched.kind is None:
            return {"ignored": f"{fetched.node.get('__typename')} {external_id[:100]} is neither a session nor a call."}
        done = await sessions.upsert_session(
            connection,
            fetched.node,
            asked_at=fetched.asked_at,
            kind=fetched.kind,
            external_id=external_id,
            gaps=fetched.gaps,
            references=options.references,
        )
        return _effect(done, notice)


def _why_not_genuine(keys: SourceKeys, raw: bytes, headers: Mapping[str, str], options: HookOptions) -> str | None:
    if not keys.signing:
        return None
    if not headers.get(TOPIC):
        if options.unsigned_generation_1:
            return None
        return (
            "It has no X-Scope-Topic, so it is of generation 1 and not signed, but a secret is set. If both "
            "generations come, set unsigned_generation_1, or give each a source of its own."
        )
    given = headers.get(SIGNATURE, "").strip()
    if not given:
        return "The header X-Scope-Hmac-Sha256 is missing: give the subscription the shared secret of this source."
    right = False
    for secret in keys.signing:
        expected = base64.b64encode(hmac.digest(secret.encode(), raw, hashlib.sha256))
        right |= hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected)
    return None if right else "The signature does not match: the secret is another one, or the body was changed."


def _asked_since(known: Document, message: InboundMessage) -> bool:
    """Of ten updates in a row one question is enough, if nothing is left to do."""
    if message.replays or known.get("gaps") or not known["asked"] or "unpublished" in known:
        return False
    if any(capture["status"] == "pending" for capture in known.get("captures", [])):
        return False
    return bool(datetime.fromisoformat(known["asOf"]) >= message.received_at + CLOCKS_DIFFER)


def _effect(done: Upserted, notice: Notice) -> dict[str, Any]:
    if done.captures_waiting:
        raise NotNow(
            f"{done.record['id']} is recorded; {done.captures_waiting} of its captures are still to be fetched."
        )
    return _told(done.record, done.outcome, notice)


def _told(record: Document, outcome: str, notice: Notice) -> dict[str, Any]:
    said: dict[str, Any] = {
        "record": record["id"],
        "outcome": outcome,
        "state": record.get("state"),
        "work_order_id": record.get("workOrderId"),
        "equipment_id": record.get("equipmentId"),
    }
    if notice.problems:
        said["problems"] = list(notice.problems)
    if gaps := record.get("gaps"):
        said["gaps"] = gaps
    if captures := record.get("captures"):
        said["captures"] = {one["id"]: one["status"] for one in captures}
    return said
