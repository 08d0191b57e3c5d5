"""What was measured in this process: `/api/v1/metrics`, as JSON or, for Prometheus, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, endpoint
from shared.access import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.tally import Family, Series

bp = func.Blueprint()


class MetricsQuery(BaseModel):
    """Which measures."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    name: str = Field("", max_length=100, description="Only measures whose name begins so, e.g. `poll.`.")


@bp.route("api/v1/metrics", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_metrics(call: Call) -> Answer:
    """Sums since this process started, quantiles of the last minutes; `Accept: text/plain` for Prometheus."""
    from shared.tally import tally

    wanted = call.params(MetricsQuery).name
    families = [family for family in tally().families() if family.measure.name.startswith(wanted)]
    if _wants_text(call.headers.get("accept", "")):
        from shared.prometheus import CONTENT_TYPE, exposition

        return Answer(exposition(families).encode(), content_type=CONTENT_TYPE)
    return Answer(_report(families))


def _wants_text(accept: str) -> bool:
    """Prometheus asks for text first and for anything else last; a person's tool that says nothing gets JSON."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return "text/plain" in kinds and "application/json" not in kinds


def _report(families: Iterable[Family]) -> dict[str, Any]:
    from datetime import UTC, datetime

    from shared.clock import iso
    from shared.tally import WINDOW_SECONDS, tally

    return {
        "since": iso(datetime.fromtimestamp(tally().since, UTC)),
        "quantiles_over_seconds": [WINDOW_SECONDS, 2 * WINDOW_SECONDS],
        "metrics": [
            {
                "name": family.measure.name,
                "kind": family.measure.kind,
                "unit": family.measure.unit,
                "description": family.measure.description,
                "series": [{"attributes": attributes, **_numbers(series)} for attributes, series in family.series],
            }
            for family in families
        ],
    }


def _numbers(series: Series) -> dict[str, Any]:
    from shared.tally import QUANTILES

    if series.kind == "counter":
        return {"value": series.total}
    if series.kind == "gauge":
        return {"value": series.last}
    found = series.quantiles()
    quantiles = {f"p{round(share * 100)}": found[i] if found else None for i, share in enumerate(QUANTILES)}
    return {"count": series.count, "sum": series.total, **quantiles}
