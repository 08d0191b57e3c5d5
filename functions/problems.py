"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from functions.call import Answer
from shared.errors import FieldProblem, OvenbridgeError, TooManyRequests, Unauthorized, Unavailable
from shared.observability import correlation_id

__all__ = ["Refusal", "problem"]

Refusal = Callable[[OvenbridgeError], Answer]
"""How an error is said on a surface whose contract has a form of its own."""


def problem(error: OvenbridgeError) -> Answer:
    """The error as a problem document (RFC 9457). ``type`` is stable: ``urn:ovenbridge:problem:invalid-input``."""
    body: dict[str, Any] = {
        "type": _problem_type(type(error).__name__),
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
    }
    headers: dict[str, str] = {}
    problems: Sequence[FieldProblem] = getattr(error, "problems", ())
    if problems:
        body["problems"] = [{"field": p.field, "problem": p.problem} for p in problems]
    if (correlation := correlation_id()) is not None:
        body["correlation_id"] = correlation
    if isinstance(error, TooManyRequests | Unavailable):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return Answer(body, error.status, headers, "application/problem+json")


@cache
def _problem_type(name: str) -> str:
    words = re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
    return f"urn:ovenbridge:problem:{words}"
