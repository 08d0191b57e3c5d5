"""Calls to Cosmos DB: counted, charged for, repeated while there is patience; their failures told in our words.

A write whose answer is lost may have been done. Repeating it then fails - the document exists, the etag is stale -
though nobody else was there. So such a failure is not believed before the document has been read back (:class:`Doubt`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from shared.errors import OvenbridgeError, Unavailable
from shared.metrics import COSMOS_CHARGE, STORE_CALLS
from shared.storage.cosmos_client import CosmosAccount
from shared.storage.cosmos_errors import Kind, Subject, Verdict, error_of, judge
from shared.topology import ContainerSpec

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy

__all__ = ["PATIENCE_SECONDS", "CosmosCalls", "Doubt", "Receipt"]

PATIENCE_SECONDS = 5.0
"""How long one call of ours may last, with all its repetitions."""

MAX_ATTEMPTS = 12
FIRST_WAIT = 0.05
LONGEST_WAIT = 1.0
SHARE = 0.6
"""Of the patience that is left, for one attempt."""

T = TypeVar("T")


class Receipt:
    """Takes the headers of an answer (the SDK's ``response_hook``) and records what it cost."""

    __slots__ = ("container", "headers", "operation", "sent")

    def __init__(self, container: str, operation: str) -> None:
        self.container = container
        self.operation = operation
        self.headers: Any = {}
        self.sent = False
        """The request may have left us."""

    def __call__(self, headers: Any, _body: Any) -> None:
        self.headers = headers
        self.record(headers)

    def record(self, headers: Any) -> None:
        """Note one request that was answered."""
        STORE_CALLS.record(1, container=self.container, operation=self.operation)
        charge = headers.get("x-ms-request-charge")
        if charge is not None:
            COSMOS_CHARGE.record(float(charge), container=self.container, operation=self.operation)


Call = Callable[["ContainerProxy", Receipt], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class Doubt(Generic[T]):
    """How to find out whether a write was done."""

    settle: Callable[[], Awaitable[T | None]]
    """The result, if what stands in the store shows that it was done."""
    repeatable: bool = True
    """Done twice is done once. If not, it is looked first."""
    tells: bool = True
    """What stands in the store can show it at all."""


class _Failed(Exception):
    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict)
        self.verdict = verdict


class CosmosCalls:
    """The one way to the SDK."""

    def __init__(self, account: CosmosAccount, patience: float) -> None:
        self.account = account
        self.troubles = 0
        """How often a container was missing, or closed to us. The readiness probe looks again when this has grown."""
        self._patience = patience

    async def run(
        self,
        spec: ContainerSpec,
        operation: str,
        call: Call[T],
        *,
        id: str | None = None,
        doubt: Doubt[T] | None = None,
        patience: float | None = None,
    ) -> T:
        """Make the call until it is answered or patience ends.

        Raises:
            OvenbridgeError: what the port promises.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (patience or self._patience)
        subject = Subject(spec.name, id, operation)
        unsure = False
        for attempt in range(MAX_ATTEMPTS):
            receipt = Receipt(spec.name, operation)
            try:
                # A connection that hangs is given up while there is time for another.
                async with asyncio.timeout(max(1.0, SHARE * (deadline - loop.time()))):
                    return await self._attempt(spec, call, receipt)
            except _Failed as failed:
                verdict, cause = failed.verdict, failed.__cause__
            except TimeoutError as error:
                verdict, cause = Verdict(Kind.LATER, unsure=receipt.sent, said="no answer in time"), error
            if doubt is not None:
                unsure = unsure or verdict.unsure
                settled = await _settled(verdict, unsure, doubt, subject)
                if settled is not None:
                    return settled
            wait = _wait(verdict, attempt)
            if verdict.kind is not Kind.LATER or loop.time() + wait >= deadline:
                raise self._translated(verdict, subject) from cause
            await asyncio.sleep(wait)
        raise self._translated(verdict, subject) from cause

    async def _attempt(self, spec: ContainerSpec, call: Call[T], receipt: Receipt) -> T:
        proxy = await self._proxy(spec)
        receipt.sent = True
        try:
            return await call(proxy, receipt)
        except (OvenbridgeError, TimeoutError):
            raise
        except Exception as error:
            headers = getattr(error, "headers", None)
            if headers:
                receipt.record(headers)
            raise _Failed(judge(error)) from error

    async def _proxy(self, spec: ContainerSpec) -> ContainerProxy:
        try:
            return await self.account.container(spec, Receipt(spec.name, "container"))
        except (OvenbridgeError, TimeoutError):
            raise
        except Exception as error:
            verdict = judge(error)
            if verdict.kind is Kind.ABSENT:
                verdict = Verdict(Kind.NO_CONTAINER)
            raise _Failed(replace(verdict, unsure=False)) from error

    def _translated(self, verdict: Verdict, subject: Subject) -> OvenbridgeError:
        if verdict.kind in (Kind.NO_CONTAINER, Kind.REFUSED):
            self.troubles += 1
            self.account.forget(subject.container)
        return error_of(verdict, subject, self.account.connection, self.account.database)


async def _settled(verdict: Verdict, unsure: bool, doubt: Doubt[T], subject: Subject) -> T | None:
    """The result of a write that was done though its answer was lost, if that is so."""
    if verdict.kind is Kind.LATER:
        if doubt.repeatable or not verdict.unsure:
            return None
        if not doubt.tells:
            raise _not_known(subject)
        return await doubt.settle()
    if not unsure or verdict.kind not in (Kind.EXISTS, Kind.ABSENT, Kind.STALE):
        return None
    settled = await doubt.settle()
    if settled is None and not doubt.tells:
        raise _not_known(subject)
    return settled


def _not_known(subject: Subject) -> Unavailable:
    return Unavailable(
        f"The answer to a change of {subject.id} in {subject.container} was lost; it may have been made. Read the "
        "document before you repeat it."
    )


def _wait(verdict: Verdict, attempt: int) -> float:
    """Seconds: what the server asks for and a bit, or growing; with jitter, so that callers do not return at once."""
    if verdict.wait is not None:
        return verdict.wait * random.uniform(1.0, 1.25) + 0.001  # noqa: S311 - jitter
    wait: float = min(LONGEST_WAIT, FIRST_WAIT * 2.0**attempt)
    return wait * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
