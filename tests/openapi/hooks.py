"""What is not asked of the app."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import schemathesis

MOST = 7_500
"""Characters of a query. A host refuses a request line of more than 8 KB before the app hears of it."""


@schemathesis.hook
def filter_query(context: Any, query: dict[str, Any] | None) -> bool:
    """Queries that fit into a request line."""
    return query is None or len(urlencode(query, doseq=True)) < MOST
