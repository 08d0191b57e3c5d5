"""Answers in pages: how the next one is asked for, and when it is the last. Pure.

Whatever a vendor answers, it stays bounded (pages, bytes, time) and with the origin that was configured: a link to
another address is an error, and credentials go nowhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, unquote, urljoin

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.connectors.paths import BadAddress, Path, PathMissing, parse_path
from shared.errors import DeviceProtocolError, InvalidInput
from shared.outgoing.targets import TargetPolicy

__all__ = ["MAX_BYTES", "PagePlan", "Paging", "Progress", "link_next"]

MAX_BYTES = 8 * 1_048_576
"""Of all pages together."""

DEFAULT_PARAMETER = {"page": "page", "offset": "offset", "cursor": "cursor"}
DEFAULT_AT = {"next": "_links.next.href"}

_PARAMETER = re.compile(r"[A-Za-z0-9_.$~\[\]-]{1,100}")
_LINK = re.compile(r"\s*<([^>]*)>((?:\s*;\s*[^\s;,=]+(?:\s*=\s*(?:\"[^\"]*\"|[^\s;,\"]+))?)*)\s*(?:,|$)")
_REL = re.compile(r";\s*rel\*?\s*=\s*(?:\"([^\"]*)\"|([^\s;,\"]+))", re.IGNORECASE)


class Paging(BaseModel):
    """How the pages of an answer follow each other; ``"link"`` is short for ``{"by": "link"}``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    by: Literal["page", "offset", "cursor", "next", "link"] = Field(
        description="Page number, number of items to skip, cursor or link in the body, or the header Link."
    )
    parameter: str | None = Field(None, description="Of the query, for page, offset and cursor.")
    at: str | None = Field(None, description="Address of the cursor or link in the body.")
    first: int | None = Field(None, ge=0, le=1_000_000, description="Number of the first page: 0 or 1.")
    size_parameter: str | None = Field(None, description="Of the query, for `size`.")
    size: int | None = Field(None, ge=1, le=10_000, description="Items to ask for in one page.")
    total_at: str | None = Field(None, description="Address of the number of all items, where the answer tells it.")
    max_pages: int = Field(20, ge=1, le=200, description="More are not read; the answer is then an error.")
    timeout: float = Field(15.0, ge=0.1, le=60, description="Seconds for all pages together.")

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        return {"by": value} if isinstance(value, str) else value

    @field_validator("at", "total_at")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        try:
            return value if value is None else str(parse_path(value)) and value
        except BadAddress as err:
            raise ValueError(str(err)) from err

    @field_validator("parameter", "size_parameter")
    @classmethod
    def _name(cls, value: str | None) -> str | None:
        if value is not None and _PARAMETER.fullmatch(value) is None:
            raise ValueError("the name of a query parameter has letters, digits and _.$~[]- only")
        return value

    @model_validator(mode="after")
    def _sensible(self) -> Paging:
        if self.by == "page" and self.first is None:
            raise ValueError("first is needed: does the vendor count pages from 0 or from 1?")
        if self.by == "cursor" and self.at is None:
            raise ValueError("at is needed: the address of the cursor in the answer, such as meta.next_cursor")
        if (self.size is None) != (self.size_parameter is None):
            raise ValueError("size and size_parameter belong together: how many, and what the vendor calls it")
        for name, only in (("first", ("page",)), ("at", ("cursor", "next")), ("total_at", ("page", "offset"))):
            if getattr(self, name) is not None and self.by not in only:
                raise ValueError(f"{name} has no effect with by: {self.by}")
        if self.parameter is not None and self.by not in DEFAULT_PARAMETER:
            raise ValueError(f"parameter has no effect with by: {self.by}, whose links are taken as they are")
        return self


@dataclass(frozen=True, slots=True)
class PagePlan:
    """A :class:`Paging` worked out for one URL."""

    paging: Paging
    parameter: str
    at: Path | None
    total: Path | None
    first_url: str = field(repr=False)
    origin: str

    @staticmethod
    def of(paging: Paging, url: str, origin: str) -> PagePlan:
        """Raises ``InvalidInput``: a parameter stands in the path already."""
        parameter = paging.parameter or DEFAULT_PARAMETER.get(paging.by, "")
        at = paging.at or DEFAULT_AT.get(paging.by)
        first = url
        start = {"page": paging.first, "offset": 0}.get(paging.by)
        asked = [(parameter, start), (paging.size_parameter, paging.size)]
        for name, value in asked:
            if name and (value is not None or paging.by == "cursor"):
                if _asks_for(url, name):
                    raise InvalidInput(
                        f"additional_config.paging sets {name} itself: take it out of data_endpoint.",
                        field="additional_config.paging",
                    )
                first = first if value is None else with_parameter(first, name, value)
        return PagePlan(
            paging,
            parameter,
            None if at is None else parse_path(at),
            None if paging.total_at is None else parse_path(paging.total_at),
            first,
            origin,
        )


@dataclass(slots=True)
class Progress:
    """Where we are in the pages of one answer."""

    plan: PagePlan
    targets: TargetPolicy
    where: str
    """``host:port``, for the sentences."""
    pages: int = 0
    seen: int = 0
    """Items so far."""
    size: int = 0
    """Bytes so far."""
    _full: int = 0
    _before: bytes | None = None
    _asked: dict[str, int] = field(default_factory=dict)

    def next_url(self, url: str, document: Any, items: list[Any], link: str | None, size: int) -> str | None:
        """The page after this one, which came from ``url``; ``None``: there is none.

        Raises:
            DeviceProtocolError: the pages do not end, run in a circle, or lead elsewhere.
        """
        self.pages += 1
        self.seen += len(items)
        self.size += size
        self._asked[url] = self.pages
        following = self._following(url, document, items, link)
        if following is None:
            return None
        if following in self._asked:
            raise DeviceProtocolError(
                f"{self.where}: page {self.pages} leads back to page {self._asked[following]}, so the pages never end."
            )
        if self.pages >= self.plan.paging.max_pages:
            raise DeviceProtocolError(
                f"{self.where} has more than {self.pages} pages (max_pages): let data_endpoint ask for less, larger "
                "pages or one machine, or raise paging.max_pages."
            )
        if self.size > MAX_BYTES:
            raise DeviceProtocolError(
                f"{self.where}: {self.pages} pages are more than {MAX_BYTES // 1_048_576} MB, and there are more: let "
                "data_endpoint ask for less."
            )
        return following

    def _following(self, url: str, document: Any, items: list[Any], link: str | None) -> str | None:
        plan = self.plan
        if plan.paging.by in ("page", "offset"):
            return self._counted(document, items)
        target = link_next(link or "") if plan.paging.by == "link" else _there(plan.at, document)
        if target is None or target == "" or target is False:
            return None
        if plan.paging.by == "cursor":
            if isinstance(target, bool) or not isinstance(target, str | int):
                raise DeviceProtocolError(f"{self.where}: paging.at `{plan.at}` is no cursor but something larger.")
            return with_parameter(plan.first_url, plan.parameter, target)
        if not isinstance(target, str):
            raise DeviceProtocolError(f"{self.where}: paging.at `{plan.at}` is no link: give the address of its text.")
        return self._vetted(url, target)

    def _counted(self, document: Any, items: list[Any]) -> str | None:
        plan = self.plan
        if not items:
            return None
        self._full = self._full or len(items)
        total = _there(plan.total, document)
        if isinstance(total, int | float) and not isinstance(total, bool):
            if self.seen >= total:
                return None
        elif len(items) < self._full:
            return None
        printed = _printed(items)
        if printed is not None and printed == self._before:
            raise DeviceProtocolError(
                f"{self.where} answers the same items to page {self.pages} as to the one before: does it know the "
                f"parameter {plan.parameter}?"
            )
        self._before = printed
        number = self.seen if plan.paging.by == "offset" else (plan.paging.first or 0) + self.pages
        return with_parameter(plan.first_url, plan.parameter, number)

    def _vetted(self, url: str, target: str) -> str:
        try:
            absolute = urljoin(url, target.strip()).partition("#")[0]
            origin = self.targets.check_url(absolute, field="its link").origin
        except (InvalidInput, ValueError) as err:
            said = err.detail if isinstance(err, InvalidInput) else "its link cannot be read."
            raise DeviceProtocolError(
                f"{self.where}: page {self.pages} names a next page that is not asked for: {said}"
            ) from None
        if origin != self.plan.origin:
            raise DeviceProtocolError(
                f"{self.where}: page {self.pages} names a next page at {origin}, not at {self.plan.origin}. It is not "
                "asked for, because credentials never leave their address. If it is right, write that as endpoint."
            )
        return absolute


def link_next(header: str) -> str | None:
    """The target of ``rel="next"`` in a ``Link`` header (RFC 8288); several headers joined by commas."""
    at = 0
    while at < len(header):
        match = _LINK.match(header, at)
        if match is None or match.end() == at:
            return None
        relation = _REL.search(match[2])  # the first one counts (RFC 8288 section 3.3)
        if relation and "next" in (relation[1] if relation[1] is not None else relation[2]).lower().split():
            return match[1]
        at = match.end()
    return None


def with_parameter(url: str, name: str, value: str | int) -> str:
    """The URL with this parameter of its query set."""
    path, _, query = url.partition("?")
    kept = [part for part in query.split("&") if part and unquote(part.partition("=")[0]) != name]
    kept.append(quote(name, safe="") + "=" + quote(str(value), safe=""))
    return f"{path}?{'&'.join(kept)}"


def _printed(items: list[Any]) -> bytes | None:
    """For comparing; ``None``: it holds what cannot be written (a number of thirty digits, half a character)."""
    try:
        return orjson.dumps(items, option=orjson.OPT_SORT_KEYS, default=str)
    except orjson.JSONEncodeError:
        return None


def _asks_for(url: str, name: str) -> bool:
    return any(unquote(part.partition("=")[0]) == name for part in url.partition("?")[2].split("&"))


def _there(path: Path | None, document: Any) -> Any:
    if path is None:
        return None
    try:
        return path.find(document)
    except PathMissing:
        return None
