"""A worker's instruction asks: `/api/requests/{profile}`, and the configuration of profiles."""

from __future__ import annotations

import azure.functions as func

bp = func.Blueprint()
