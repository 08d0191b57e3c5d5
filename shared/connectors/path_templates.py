"""Paths below a device's endpoint, with ``{names}`` in them that become exactly one segment each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BeforeValidator, Field

from shared.errors import InvalidInput
from shared.outgoing.urls import SplitUrl

__all__ = ["PLACEHOLDER", "PathTemplate", "url_below"]

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def _path_template(value: Any) -> Any:
    if isinstance(value, str):
        if "://" in value or value.startswith("//"):
            raise ValueError("write the path only, such as /api/v1/ovens/{equipment_id}; the host stands in endpoint")
        if "#" in value or "\\" in value or not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError("it has characters that cannot stand in a path: percent-encode them")
    return value


PathTemplate = Annotated[Annotated[str, Field(max_length=2_000)] | None, BeforeValidator(_path_template)]


def url_below(base: SplitUrl, template: str | None, values: Mapping[str, str], field: str) -> str:
    """The template under the endpoint's own path: ``https://host/api`` and ``/ovens/{id}`` make ``/api/ovens/7``.

    Raises:
        InvalidInput: a name has no value, or one that would change the path.
    """
    if not template:
        return base.wire
    if "?" in base.rest:
        raise InvalidInput(
            "endpoint has a query, so no path can follow it: move the query into data_endpoint.", field="endpoint"
        )
    filled = PLACEHOLDER.sub(lambda match: _segment(match[1], values, field), template)
    return base.origin + base.rest.rstrip("/") + "/" + filled.removeprefix("/")


def _segment(name: str, values: Mapping[str, str], field: str) -> str:
    value = values.get(name)
    if value is None:
        raise InvalidInput(
            f"{field} has {{{name[:40]}}}, which has no value: give {name[:40]} in additional_config "
            f"(known here: {', '.join(sorted(values))}).",
            field=field,
        )
    if value in ("", ".", ".."):
        said = value or "nothing"
        raise InvalidInput(f"{field}: {{{name}}} is filled with {said}, which would change the path.", field=field)
    return quote(value, safe="")
