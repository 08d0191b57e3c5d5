"""Building the ``func.HttpRequest`` a function gets, as the Functions host and worker would build it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import unquote_plus

from azure.functions.http import HttpRequest

__all__ = ["build_request", "join_headers", "query_params"]


def query_params(query: str) -> dict[str, str]:
    """A raw query string as the host passes it: names without case, repeated ones joined with ``,``, empty values
    left out."""
    found: dict[str, tuple[str, list[str]]] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if not value:
            continue
        name = unquote_plus(name)
        found.setdefault(name.lower(), (name, []))[1].append(unquote_plus(value))
    return {name: ",".join(values) for name, values in found.values()}


def join_headers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Header fields with lower-case names; a repeated field is joined with ``,``."""
    joined: dict[str, str] = {}
    for given, value in pairs:
        name = given.lower()
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def build_request(
    method: str, url: str, query: str, headers: Mapping[str, str], params: Mapping[str, str], body: bytes
) -> HttpRequest:
    """The request object for a function.

    Args:
        method: in upper case.
        url: absolute, with the query string.
        query: the raw query string.
        headers: joined, with lower-case names.
        params: route values.
        body: empty unless the caller sent a ``Content-Length``.
    """
    return HttpRequest(
        method,
        url,
        headers=headers,
        params=query_params(query) if query else {},
        route_params=params,
        body_type="bytes",
        body=body,
    )
