"""Reading one answer to its end: page after page, until our item is found or there are no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.connectors.extract import Where
from shared.connectors.rest_answers import NothingThere
from shared.connectors.rest_items import Pick, list_at, with_list
from shared.connectors.rest_paging import Progress
from shared.connectors.rest_plan import Items, RestPlan
from shared.connectors.rest_shared import Page
from shared.connectors.source_time import Times
from shared.errors import DeviceTimeout
from shared.outgoing.targets import TargetPolicy

__all__ = ["Answer", "Ask", "read_answer"]

Ask = Callable[[str], Awaitable[Page]]
"""One page. Raises ``DeviceError``."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the device said, in one piece."""

    where: Where
    at: datetime
    """When the oldest of its pages was asked for."""
    elapsed_ms: float


async def read_answer(plan: RestPlan, targets: TargetPolicy, times: Times, ask: Ask) -> Answer:
    """Ask for the values.

    Raises:
        DeviceError: they could not be had; the sentence says why.
    """
    if plan.pages is None or plan.items is None:
        page = await ask(plan.data_url)
        if plan.items is None:
            return Answer(Where(page.document, page.document), page.at, page.elapsed_ms)
        pick = plan.items.pick(times)
        pick.take(list_at(page.document, plan.items.path))
        return Answer(_chosen(pick, plan.items, page.document, 1), page.at, page.elapsed_ms)
    seconds = plan.pages.paging.timeout
    progress = Progress(plan.pages, targets, plan.where)
    try:
        async with asyncio.timeout(seconds):
            return await _all_pages(plan.items, progress, times, ask)
    except TimeoutError:
        raise DeviceTimeout(
            f"{plan.where}: there is more after page {progress.pages}, and {seconds:g} s (paging.timeout) are over."
        ) from None


async def _all_pages(items: Items, progress: Progress, times: Times, ask: Ask) -> Answer:
    pages = progress.plan
    pick = items.pick(times)
    read: list[Page] = []
    merged: list[Any] = []
    url: str | None = pages.first_url
    while url is not None:  # bounded by max_pages
        try:
            page = await ask(url)
        except NothingThere:
            if not read or pages.paging.by not in ("page", "offset"):
                raise
            break  # some vendors say so after the last page
        read.append(page)
        here = list_at(page.document, items.path)
        if items.chosen and pick.take(here):
            break
        if not items.chosen:
            merged += here
        url = progress.next_url(url, page.document, here, page.link, page.size)
    first = read[0].document
    if items.chosen:
        where = _chosen(pick, items, first, len(read))
    else:
        whole = with_list(first, items.path, merged)
        where = Where(whole, whole)
    return Answer(where, min(page.at for page in read), sum(page.elapsed_ms for page in read))


def _chosen(pick: Pick, items: Items, whole: Any, pages: int) -> Where:
    if not pick.found_any:
        raise pick.missing(f"`{items.path}`" if items.path.steps else "the answer", pages)
    return Where(pick.found, whole, "the item")
