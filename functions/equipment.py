"""The equipment registry: `/api/v1/equipment[/{id}]`."""

from __future__ import annotations

import azure.functions as func

bp = func.Blueprint()
