"""Callbacks and events for FORCE Bridge clients: `/ffwebservices/api/v2/...`."""

from __future__ import annotations

import azure.functions as func

bp = func.Blueprint()
