"""Telling subscribers: the delivery queue, the sweeper, and `/api/v1/deliveries`."""

from __future__ import annotations

import azure.functions as func

bp = func.Blueprint()
