"""Node addresses: ``nsu=http://vendor/;s=Oven.Temp``, ``ns=2;s=...``, ``i=``, ``g=``, ``b=``. Pure.

The namespace's URI comes first in all we write, because the index of a namespace changes when a server is changed.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["BadNodeAddress", "NodeAddress", "parse_node"]

FORMS = (
    "write nsu=http://vendor.example/machine/;s=Oven.Temperature (or ns=2;s=..., i= a number, g= a GUID, b= base64), "
    "as a browser of the server or our discover shows it"
)
_SHAPE = re.compile(r"(?:nsu=(?P<uri>[^;]{1,400});|ns=(?P<index>[0-9]{1,5});)?(?P<kind>[sigb])=(?P<id>.+)", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class BadNodeAddress(ValueError):
    """The text is no node address. The message shows the right form."""


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """One node of a server, as a person writes it."""

    kind: Literal["s", "i", "g", "b"]
    identifier: str
    uri: str | None = None
    """Of the namespace; ``None``: by ``index``."""
    index: int = 0

    def __str__(self) -> str:
        if self.uri is not None:
            return f"nsu={self.uri};{self.kind}={self.identifier}"
        return (f"ns={self.index};" if self.index else "") + f"{self.kind}={self.identifier}"

    def placeholders(self) -> frozenset[str]:
        """The names in braces."""
        return frozenset(_PLACEHOLDER.findall(f"{self.uri or ''}{self.identifier}"))

    def filled(self, values: Mapping[str, str]) -> NodeAddress:
        """With its placeholders filled in. What is filled in stays inside the identifier or the URI.

        Raises:
            BadNodeAddress: the identifier is none any more.
        """

        def fill(text: str) -> str:
            return _PLACEHOLDER.sub(lambda found: values[found[1]], text)

        filled = replace(self, identifier=fill(self.identifier), uri=None if self.uri is None else fill(self.uri))
        _check(filled)
        return filled


def parse_node(text: str) -> NodeAddress:
    """Take an address apart.

    Raises:
        BadNodeAddress: it is none.
    """
    stripped = text.strip()
    shape = _SHAPE.fullmatch(stripped)
    if shape is None:
        raise BadNodeAddress(f"{stripped[:80]!r} is no node address: {FORMS}")
    kind = shape["kind"]
    index = int(shape["index"] or 0)
    if index > 65_535:
        raise BadNodeAddress("ns= is a number up to 65535")
    found = NodeAddress(kind, shape["id"], shape["uri"], index)  # type: ignore[arg-type]  # the shape says so
    if not found.placeholders():
        _check(found)
    return found


def _check(node: NodeAddress) -> None:
    text = node.identifier
    if node.uri is not None and (";" in node.uri or not node.uri.strip()):
        raise BadNodeAddress("the URI of the namespace (nsu=) may not be empty or hold a semicolon")
    if node.kind == "i" and not (text.isascii() and text.isdigit() and int(text) <= 0xFFFF_FFFF):
        raise BadNodeAddress(f"i={text[:40]} is no number from 0 to 4294967295: a text needs s=")
    if node.kind == "g":
        try:
            uuid.UUID(text)
        except ValueError:
            raise BadNodeAddress(f"g={text[:40]} is no GUID such as 72962B91-FA75-4AE6-8D28-B404DC7DAF63") from None
    if node.kind == "b":
        try:
            base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise BadNodeAddress(f"b={text[:40]} is no base64") from None
