"""A worker's instruction asks: `/api/requests/{profile}`, and the configuration of profiles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import azure.functions as func
from pydantic import BaseModel, Field

from functions.endpoint import Answer, Call, endpoint
from functions.hook_models import ListQuery
from shared.access import Role
from shared.errors import InvalidInput

if TYPE_CHECKING:
    from shared.platforms.operations1.profile import RequestProfile
    from shared.platforms.operations1.requests import Reply

bp = func.Blueprint()

RESULT_AFTER_SECONDS = "3"
KEY_SURFACE = "/api/requests"


@bp.route("api/requests/{profile}", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@endpoint(Role.VIEWER, key_checked=True)
async def answer_request(call: Call) -> Answer:
    """Answer an external request. The platform can store an address and a function key, and nothing more."""
    return await _answer(call, KEY_SURFACE)


@bp.route("api/v1/requests/{profile}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def answer_request_v1(call: Call) -> Answer:
    """The same for callers with an API token: the host lets nobody without a function key to the other address."""
    return await _answer(call, "/api/v1/requests")


async def _answer(call: Call, surface: str) -> Answer:
    # Whatever content type a device claims: it is JSON, or it is refused as none.
    reply = await call.services.external_requests.answer(
        call.route["profile"],
        call.raw,
        call.headers,
        asked_by=call.caller.name,
        # A function key has no role; what it may have done an engineer wrote into the profile.
        may_act=surface == KEY_SURFACE or call.caller.may(Role.OPERATOR),
    )
    headers = {"X-Unanswered": ",".join(quote(tag) for tag in reply.unanswered)} if reply.unanswered else {}
    if reply.running:
        return _later(call, reply, headers, surface)
    return Answer(reply.body, headers=headers)


def _later(call: Call, reply: Reply, headers: dict[str, str], surface: str) -> Answer:
    """Something was begun whose result comes later: where it can be asked for, by the same kind of caller."""
    urls = {
        tag: f"{call.services.settings.base_url}{surface}/results/{run_id}" for tag, run_id in reply.running.items()
    }
    first = next(iter(urls.values()))
    body = {"status": "running", "result_url": first, "results": urls, "values": reply.body}
    return Answer(body, 202, {**headers, "Location": first, "Retry-After": RESULT_AFTER_SECONDS})


class RequestResult(BaseModel):
    """What became of something that a request began."""

    id: str
    status: Literal["running", "done", "failed", "unknown", "given_up"]
    tag: str
    value: bool | int | float | str | None = Field(description="When it is done.")
    unit: str
    reason: str | None = Field(description="Why there is no value (yet).")
    profile: str
    report_id: str
    order_id: str | None
    started_at: str
    changed_at: str | None


@bp.route("api/requests/results/{run_id}", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
@endpoint(Role.VIEWER, key_checked=True, answers={200: RequestResult, 202: RequestResult})
async def get_request_result(call: Call) -> Answer:
    """What became of something that a request began, for holders of a function key."""
    return await _result(call)


@bp.route("api/v1/requests/results/{run_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, answers={200: RequestResult, 202: RequestResult})
async def get_request_result_v1(call: Call) -> Answer:
    """What became of something that a request began: 202 while it goes on, then 200."""
    return await _result(call)


async def _result(call: Call) -> Answer:
    found = await call.services.platforms.operations1.result(call.route["run_id"])
    if found["status"] == "running":
        return Answer(found, 202, {"Retry-After": RESULT_AFTER_SECONDS})
    return Answer(found)


@bp.route("api/v1/request-profiles", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_request_profiles(call: Call) -> Answer:
    """All profiles."""
    query = call.params(ListQuery)
    page = await call.services.external_requests.profiles.list(limit=query.limit, continuation=query.continuation)
    profiles = [_profile_json(call, name, profile) for name, profile in page.profiles.items()]
    return Answer({"profiles": profiles, "continuation": page.continuation})


@bp.route("api/v1/request-profiles/{profile}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_request_profile(call: Call) -> Answer:
    """One profile."""
    profile, etag = await call.services.external_requests.profiles.get(call.route["profile"])
    return Answer(_profile_json(call, call.route["profile"], profile), headers={"ETag": f'"{etag}"'})


@bp.route("api/v1/request-profiles/{profile}", methods=["PUT"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def put_request_profile(call: Call) -> Answer:
    """Create or replace a profile; with `If-Match` only if nobody else changed it."""
    from shared.platforms.operations1.profile import RequestProfile

    name = _name(call)
    profile = call.body(RequestProfile)
    etag, new = await call.services.external_requests.profiles.put(
        name, profile, etag=call.if_match, caller=call.caller
    )
    return Answer(_profile_json(call, name, profile), 201 if new else 200, {"ETag": f'"{etag}"'})


@bp.route("api/v1/request-profiles/{profile}", methods=["DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def delete_request_profile(call: Call) -> Answer:
    """Delete a profile: its address answers 404 from now on."""
    await call.services.external_requests.profiles.delete(call.route["profile"], etag=call.if_match, caller=call.caller)
    return Answer(status=204)


def _name(call: Call) -> str:
    from shared.platforms.operations1.profile import PROFILE_ID

    name = call.route["profile"]
    if not re.fullmatch(PROFILE_ID, name):
        raise InvalidInput(
            "A request profile is named with lower-case letters, digits and `-`, at most 50 characters.",
            field="profile",
        )
    return name


def _profile_json(call: Call, name: str, profile: RequestProfile) -> dict[str, Any]:
    return {
        "id": name,
        "url": f"{call.services.settings.base_url}/api/requests/{name}",
        **profile.model_dump(mode="json", exclude={"on_missing"}),
        "on_missing": profile.missing,
        # No public contract says what an answer must look like to fill another interaction.
        "answer_verified": False,
    }
