"""API tokens: `/api/v1/tokens`."""

from __future__ import annotations

import azure.functions as func

bp = func.Blueprint()
