"""Which item of a list is ours: one machine of an account, or the newest of several points in time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.connectors.mapping import Scalar
from shared.connectors.paths import BadAddress, Path, PathMissing, as_text, parse_path
from shared.connectors.source_time import Times, moment_of
from shared.errors import DeviceProtocolError

__all__ = ["ItemSpec", "Pick", "list_at", "with_list"]

SHOWN = 8


class ItemSpec(BaseModel):
    """Which item of ``items`` the addresses begin at."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    where: dict[str, Scalar] = Field(
        default_factory=dict,
        max_length=10,
        description="Address in the item -> what stands there, such as {unit}.",
    )
    newest: str | None = Field(None, description="Address in the item of its time: the newest one is taken.")

    @field_validator("where")
    @classmethod
    def _addresses(cls, value: dict[str, Scalar]) -> dict[str, Scalar]:
        for address in value:
            _checked(address)
        return value

    @field_validator("newest")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            _checked(value)
        return value

    @model_validator(mode="after")
    def _says_something(self) -> ItemSpec:
        if not self.where and self.newest is None:
            raise ValueError('give where, such as {"serial": "{unit}"}, or newest, such as "time"')
        return self


def _checked(address: str) -> None:
    try:
        parse_path(address)
    except BadAddress as err:
        raise ValueError(str(err)) from err


@dataclass(slots=True)
class Pick:
    """Goes through the items as they come, page by page."""

    where: Sequence[tuple[Path, str]]
    newest: Path | None
    times: Times
    found: Any = None
    found_any: bool = False
    _at: datetime | None = None
    _untimed: str | None = None
    _others: dict[str, None] | None = None

    def take(self, items: Iterable[Any]) -> bool:
        """Look at these. ``True``: ours is found, and no other can be better."""
        for item in items:
            if not self._ours(item):
                continue
            if self.newest is None:
                self.found, self.found_any = item, True
                return True
            self._compare(item)
        return False

    def missing(self, place: str, pages: int) -> DeviceProtocolError:
        """Why there is none."""
        read = f" ({pages} pages were read)" if pages > 1 else ""
        if not self.where:
            return DeviceProtocolError(f"{place} has no items{read}.")
        wanted = " and ".join(f"{path} = {value}" for path, value in self.where)
        there = list(self._others or ())
        listed = ", ".join(there[:SHOWN]) + (", ..." if len(there) > SHOWN else "")
        seen = f"there are {listed}" if there else f"no item has a `{self.where[0][0]}`"
        return DeviceProtocolError(f"{place} has no item with {wanted}{read}; {seen}.")

    def _ours(self, item: Any) -> bool:
        for number, (path, value) in enumerate(self.where):
            try:
                spelled = as_text(path.find(item))
            except PathMissing:
                return False
            if spelled != value:
                if number == 0:
                    self._others = self._others or {}
                    if len(self._others) <= SHOWN:
                        self._others[spelled[:40]] = None
                return False
        return True

    def _compare(self, item: Any) -> None:
        if self.newest is None:
            return
        try:
            at = moment_of(self.newest.find(item), self.times).at
        except PathMissing:
            at = None
        # One whose time cannot be believed is taken only where there is no other; extract says what is wrong with it.
        if not self.found_any or (at is not None and (self._at is None or at > self._at)):
            self.found, self.found_any, self._at = item, True, at


def list_at(document: Any, path: Path) -> list[Any]:
    """The list at this address.

    Raises:
        DeviceProtocolError: there is none.
    """
    try:
        found = path.find(document)
    except PathMissing as err:
        raise DeviceProtocolError(f"items: {err}.") from None
    if found is None:
        return []
    if not isinstance(found, list):
        raise DeviceProtocolError(f"items: `{path}` is no list." if path.steps else "items: the answer is no list.")
    return found


def with_list(document: Any, path: Path, items: list[Any]) -> Any:
    """The document with another list at this address; the document itself stays as it is."""
    if not path.steps:
        return items
    copy: Any = document.copy()
    here = copy
    for step, following in zip(path.steps, [*path.steps[1:], None], strict=True):
        key = step.key if hasattr(step, "key") else step.position
        here[key] = items if following is None else here[key].copy()
        here = here[key]
    return copy
