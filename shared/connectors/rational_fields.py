"""Where a HACCP batch of ConnectedCooking holds what: data (``profiles/fields/rational-haccp.json``), read once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath

from pydantic import BaseModel, ConfigDict

from shared.connectors.paths import Path, parse_path
from shared.json_text import load

__all__ = ["FIELDS", "BatchFields"]


class BatchFields(BaseModel):
    """Names of our own -> addresses in the vendor's document, tried in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    confirmed: dict[str, tuple[str, ...]]
    unverified: dict[str, tuple[str, ...]]

    @property
    def names(self) -> frozenset[str]:
        """What can be found in a batch."""
        return frozenset((*self.confirmed, *self.unverified))

    def paths(self, overrides: Mapping[str, Path]) -> dict[str, tuple[Path, ...]]:
        """Parsed, with what a site configured in place of ours."""
        known = self.confirmed | self.unverified
        parsed = {name: tuple(parse_path(address) for address in addresses) for name, addresses in known.items()}
        return parsed | {name: (path,) for name, path in overrides.items()}


FIELDS = BatchFields.model_validate(
    load((FilePath(__file__).parent / "profiles" / "fields" / "rational-haccp.json").read_bytes())
)
