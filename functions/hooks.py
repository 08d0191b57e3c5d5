"""Everything that calls in: `/api/hooks/{source}/{token}`, and `/api/v1/inbox`."""

from __future__ import annotations

import azure.functions as func

bp = func.Blueprint()
