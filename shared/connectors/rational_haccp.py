"""Asking ConnectedCooking for HACCP batches, page by page (its public REST contract, haccp-list).

``from`` and ``to`` mean the last update, in UTC, because a batch is updated after the fact; only the recent month is
served. Asked is with an end in the future and sorted by id: while pages are read, the answer can then only grow, so a
batch that is updated meanwhile may come twice and none is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from shared.clock import Clock, iso
from shared.connectors.device_errors import device_error
from shared.connectors.oauth import TokenCache
from shared.connectors.rational_plan import BatchPlan
from shared.connectors.rest_answers import json_of, refusal
from shared.errors import DeviceError, DeviceProtocolError
from shared.outgoing.answer import OutgoingAnswer
from shared.outgoing.failures import OutgoingError
from shared.outgoing.http import OutgoingHttp

__all__ = ["HaccpPage", "PageTooLarge", "RationalHaccp"]

MAX_PAGE_BYTES = 8 * 1_048_576
"""A page with all measurements of its batches. One that is larger is asked for in halves."""
AHEAD = timedelta(days=1)

_LISTS = ("content", "items", "data", "results", "haccps")
"""Where a list stands that is not the answer itself."""
_NEXT = re.compile(r"rel\s*=\s*\"?next\b", re.IGNORECASE)


class PageTooLarge(DeviceProtocolError):
    """A page holds more than we take at once."""


@dataclass(frozen=True, slots=True)
class HaccpPage:
    """Some batches as the vendor tells them."""

    items: list[Any]
    more: bool
    """Another page follows."""


class RationalHaccp:
    """The vendor's REST service. Tokens and connections are shared."""

    def __init__(self, http: OutgoingHttp, clock: Clock, tokens: TokenCache) -> None:
        self._http = http
        self._clock = clock
        self._tokens = tokens

    async def page(
        self, plan: BatchPlan, since: datetime, page: int, size: int, *, entries: bool = True, until: datetime
    ) -> HaccpPage:
        """One page of the batches that were updated since then.

        Args:
            plan: of the account.
            since: last update at or after.
            page: from 0.
            size: batches per page.
            entries: with their measurements.
            until: the time of asking; the same for all pages of one import.

        Raises:
            PageTooLarge: ask for fewer.
            DeviceError: the service did not give it; the sentence says why.
        """
        query = {
            "from": iso(since),
            "to": iso(until + AHEAD),
            "finished": "true",
            "incomplete": "true",
            "entries": "true" if entries else "false",
            "sort": "id,asc",
            "page": str(page),
            "size": str(size),
        }
        if plan.group_id is not None:
            query["groupId"] = plan.group_id
        answer = await self._answer(plan, {**query, **plan.query})
        if answer.truncated:
            raise PageTooLarge(f"{plan.source.where} answered more than {MAX_PAGE_BYTES // 1_048_576} MB for one page.")
        items = _list_in(json_of(answer, plan.source.where, plan.source.data_path), plan)
        return HaccpPage(items, _more(answer.headers, len(items), page, size))

    async def _answer(self, plan: BatchPlan, query: Mapping[str, str]) -> OutgoingAnswer:
        source = plan.source
        url = source.data_url + ("&" if "?" in source.data_url else "?") + urlencode(query)
        headers = dict(source.headers)
        token: str | None = None
        if source.oauth is not None:
            token = await self._tokens.token(source.oauth, self._http)
            headers["Authorization"] = f"Bearer {token}"
        answer = await self._send(plan, url, headers)
        if answer.status == 401 and source.oauth is not None:
            token = await self._tokens.token(source.oauth, self._http, refused=token)
            answer = await self._send(plan, url, headers | {"Authorization": f"Bearer {token}"})
        refused = refusal(answer, source.where, source.data_path, self._clock.now())
        if refused is not None:
            raise _in_our_words(refused)
        return answer

    async def _send(self, plan: BatchPlan, url: str, headers: dict[str, str]) -> OutgoingAnswer:
        source = plan.source
        try:
            return await self._http.send(
                "GET",
                url,
                headers=headers,
                content=b"",
                timeout_seconds=source.timeout_seconds,
                max_answer_bytes=MAX_PAGE_BYTES,
                verify=source.verify,
                ca_pem=source.ca_pem,
            )
        except OutgoingError as err:
            raise device_error(err) from err


def _in_our_words(error: DeviceError) -> DeviceError:
    """The sentences of the REST connector name its own options."""
    said = error.detail.replace("data_endpoint and the unit in it", "batch_path").replace("data_endpoint", "batch_path")
    said = said.replace("poll_interval_seconds", "batch_interval_minutes")
    return type(error)(said, retry_after=error.retry_after)


def _list_in(document: Any, plan: BatchPlan) -> list[Any]:
    if isinstance(document, list):
        return document
    if isinstance(document, dict):
        for name in _LISTS:
            if isinstance(document.get(name), list):
                return list(document[name])
    raise DeviceProtocolError(
        f"{plan.source.where} answered no list of batches at {plan.source.data_path}: check batch_path."
    )


def _more(headers: Mapping[str, str], count: int, page: int, size: int) -> bool:
    """Does another page follow? By the ``Link`` header, else by ``x-total-count``, else by a full page."""
    if count == 0:
        return False
    link = headers.get("Link", "")
    if link:
        return _NEXT.search(link) is not None
    total = headers.get("x-total-count", "").strip()
    if total.isascii() and total.isdigit():
        return (page + 1) * size < int(total[:12])
    return count >= size
