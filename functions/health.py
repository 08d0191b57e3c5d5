"""Is the app alive, and can it work: `/api/health` and `/api/health/ready`."""

from __future__ import annotations

import azure.functions as func

bp = func.Blueprint()
