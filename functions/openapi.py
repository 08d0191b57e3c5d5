"""What this app can be asked: `/openapi.json` (OpenAPI 3.1), made from the code by `python -m infra.openapi`."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import azure.functions as func
from pydantic import BaseModel, ConfigDict

from functions.endpoint import Answer, Call, endpoint

bp = func.Blueprint()

FILE = Path(__file__).with_name("openapi.json")


class NoQuery(BaseModel):
    """There is nothing to ask for."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


@bp.route("openapi.json", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None)
async def openapi(call: Call) -> Answer:
    """This description."""
    call.params(NoQuery)
    body, etag = _file()
    headers = {"ETag": etag, "Cache-Control": "public, max-age=300"}
    if etag in call.headers.get("if-none-match", ""):
        return Answer(status=304, headers=headers)
    return Answer(body, headers=headers)


@cache
def _file() -> tuple[bytes, str]:
    body = FILE.read_bytes()
    return body, f'"{hashlib.sha256(body).hexdigest()[:16]}"'
