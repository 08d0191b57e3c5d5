"""IoT of one machine: configuration, connection test, live data, history, connection log, capabilities."""

from __future__ import annotations

import azure.functions as func

bp = func.Blueprint()
