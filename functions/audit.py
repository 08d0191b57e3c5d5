"""Who changed what: `/api/v1/audit`."""

from __future__ import annotations

import azure.functions as func

bp = func.Blueprint()
