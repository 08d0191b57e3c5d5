"""Reading devices: the timer that plans, the queue that reads."""

from __future__ import annotations

import azure.functions as func

bp = func.Blueprint()
