"""What an import remembers: per oven up to when it has everything, per account how the last tries went.

Both stand in the batches' own container, in a partition that no oven can have. The oven's mark moves only after the
last batch of the last page is stored, so a run that dies is repeated, and what it had stored is met again. An account's
name changes with its credentials: new ones are tried at once, whatever the old ones had to wait for; the ovens' marks
stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from shared.clock import iso, parse_iso
from shared.errors import DeviceAuthenticationError, DeviceError, DeviceThrottled, NotFound
from shared.storage import Document, DocumentStore, Query, every

__all__ = ["AccountState", "ImportMarks", "OvenState", "Resume", "pause"]

CONTAINER = "batches"
PLACE = ":imports"
FOR_EVER = -1

FIRST_PAUSE = {DeviceAuthenticationError.code: 900.0, DeviceThrottled.code: 900.0}
OTHERS_FIRST = 300.0
LONGEST_PAUSE = {DeviceAuthenticationError.code: 21_600.0, DeviceThrottled.code: 21_600.0}
OTHERS_LONGEST = 3_600.0
LONGEST_ASKED = 86_400.0


@dataclass(frozen=True, slots=True)
class Resume:
    """Where an import that took too long goes on: pages already read stay read."""

    since: datetime
    until: datetime
    """When it began: what the ovens have once it is through."""
    page: int
    size: int
    ovens: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "since": iso(self.since),
            "until": iso(self.until),
            "page": self.page,
            "size": self.size,
            "ovens": list(self.ovens),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Resume:
        """Back from it."""
        return cls(
            parse_iso(document["since"]),
            parse_iso(document["until"]),
            document["page"],
            document["size"],
            tuple(document["ovens"]),
        )


@dataclass(frozen=True, slots=True)
class AccountState:
    """How the last tries of one account went."""

    account: str
    last_attempt: datetime | None = None
    last_complete: datetime | None = None
    failures: int = 0
    """In a row."""
    failing_since: datetime | None = None
    backoff_until: datetime | None = None
    error: str | None = None
    error_code: str | None = None
    resume: Resume | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    """Of the last run: items, created, changed, same, elsewhere, unreadable."""
    unreadable: tuple[Mapping[str, str], ...] = ()
    """``batch`` and ``reason`` of those that were passed over, some of them."""
    elsewhere: tuple[str, ...] = ()
    """Serial numbers of devices that no oven here has, some of them."""

    def failed(self, error: DeviceError, now: datetime) -> AccountState:
        """After a failure."""
        failures = self.failures + 1
        return replace(
            self,
            last_attempt=now,
            failures=failures,
            failing_since=self.failing_since or now,
            backoff_until=now + timedelta(seconds=pause(error.code, failures, error.retry_after)),
            error=error.detail,
            error_code=error.code,
        )

    def to_document(self) -> Document:
        """The stored form."""
        times = {
            "lastAttempt": self.last_attempt,
            "lastComplete": self.last_complete,
            "failingSince": self.failing_since,
            "backoffUntil": self.backoff_until,
        }
        return {
            "id": f"account:{self.account}",
            "equipmentId": PLACE,
            "ttl": FOR_EVER,
            **{name: iso(moment) for name, moment in times.items() if moment is not None},
            "failures": self.failures,
            "error": self.error,
            "errorCode": self.error_code,
            "resume": None if self.resume is None else self.resume.to_document(),
            "counts": dict(self.counts),
            "unreadable": [dict(one) for one in self.unreadable],
            "elsewhere": list(self.elsewhere),
        }

    @classmethod
    def from_document(cls, document: Document) -> AccountState:
        """Back from it."""
        resume = document.get("resume")
        return cls(
            account=document["id"].removeprefix("account:"),
            last_attempt=_time(document.get("lastAttempt")),
            last_complete=_time(document.get("lastComplete")),
            failures=document["failures"],
            failing_since=_time(document.get("failingSince")),
            backoff_until=_time(document.get("backoffUntil")),
            error=document.get("error"),
            error_code=document.get("errorCode"),
            resume=None if resume is None else Resume.from_document(resume),
            counts=document["counts"],
            unreadable=tuple(document["unreadable"]),
            elsewhere=tuple(document["elsewhere"]),
        )


@dataclass(frozen=True, slots=True)
class OvenState:
    """Up to when an oven's batches are all here."""

    equipment_id: str
    complete_until: datetime
    serial: str
    """Of the device that stood there: another one begins anew."""

    def to_document(self) -> Document:
        """The stored form."""
        return {
            "id": f"oven:{self.equipment_id}",
            "equipmentId": PLACE,
            "ttl": FOR_EVER,
            "completeUntil": iso(self.complete_until),
            "serial": self.serial,
        }

    @classmethod
    def from_document(cls, document: Document) -> OvenState:
        """Back from it."""
        name = document["id"].removeprefix("oven:")
        return cls(name, parse_iso(document["completeUntil"]), document["serial"])


@dataclass(frozen=True, slots=True)
class ImportMarks:
    """Reading and writing them."""

    store: DocumentStore

    async def all(self) -> tuple[dict[str, OvenState], dict[str, AccountState]]:
        """The ovens' and the accounts' states, by their names."""
        ovens: dict[str, OvenState] = {}
        accounts: dict[str, AccountState] = {}
        async for stored in every(self.store, CONTAINER, Query(limit=1000), partition=(PLACE,)):
            kind, _, name = stored.document["id"].partition(":")
            if kind == "oven":
                ovens[name] = OvenState.from_document(stored.document)
            else:
                accounts[name] = AccountState.from_document(stored.document)
        return ovens, accounts

    async def complete(self, ovens: Iterable[OvenState]) -> None:
        """These ovens have everything up to then."""
        for oven in ovens:
            await self.store.upsert(CONTAINER, oven.to_document())

    async def note(self, state: AccountState) -> None:
        """Keep the state of an account."""
        await self.store.upsert(CONTAINER, state.to_document())

    async def of(self, equipment_id: str, account: str | None) -> tuple[OvenState | None, AccountState | None]:
        """Of one oven and its account."""
        oven = await self._read(f"oven:{equipment_id}")
        state = None if account is None else await self._read(f"account:{account}")
        return (
            None if oven is None else OvenState.from_document(oven),
            None if state is None else AccountState.from_document(state),
        )

    async def _read(self, id: str) -> Document | None:
        try:
            return (await self.store.read(CONTAINER, (PLACE,), id)).document
        except NotFound:
            return None


def pause(code: str, failures: int, retry_after: float | None) -> float:
    """Seconds to leave an account alone after a failure: refused credentials and "too often" longer than the rest.

    What the vendor asks for with ``Retry-After`` is honoured up to a day.
    """
    first = FIRST_PAUSE.get(code, OTHERS_FIRST)
    longest = LONGEST_PAUSE.get(code, OTHERS_LONGEST)
    grown = min(longest, first * 2.0 ** min(failures - 1, 20))
    return max(grown, min(retry_after or 0.0, LONGEST_ASKED))


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_iso(text)
