"""Alerts and alert rules: `/api/v1/equipment/iot-alerts`, `/api/v1/alerts`, `/api/v1/alert-rules`."""

from __future__ import annotations

import azure.functions as func

bp = func.Blueprint()
