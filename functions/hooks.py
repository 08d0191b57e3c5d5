"""Everything that calls in: `/api/hooks/{source}/{token}`, its sources, and `/api/v1/inbox`."""

from __future__ import annotations

import base64
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import azure.functions as func

from functions.endpoint import Answer, Call, endpoint, queue_worker, timer_worker
from functions.hook_models import (
    ChangeHookSource,
    HookSecrets,
    InboxQuery,
    ListQuery,
    RotateHookSource,
    WantedHookSource,
    message_json,
    source_json,
)
from shared.access import Role
from shared.errors import InvalidInput
from shared.outgoing.targets import TargetPolicy
from shared.services import Services

if TYPE_CHECKING:
    from shared.inbox.kinds import SourceKeys
    from shared.inbox.source import HookSource

bp = func.Blueprint()

MAX_HOOK_BYTES = 1_048_576
"""Whole reports with hundreds of steps come in one message; the body is stored as it is."""


@bp.route("api/hooks/{source}/{token}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None, max_body_bytes=MAX_HOOK_BYTES)
async def receive_hook(call: Call) -> Answer:
    """Take a message: 202 when it is stored, 200 when it was there already."""
    accepted = await call.services.hooks.receive(
        call.route["source"], call.route["token"], call.raw, call.headers, call.query
    )
    status = "duplicate" if accepted.duplicate else "accepted"
    return Answer({"status": status, "id": accepted.id}, 200 if accepted.duplicate else 202)


@bp.service_bus_queue_trigger(arg_name="msg", queue_name="inbound-events", connection="ServiceBusConnection")
@queue_worker
async def handle_inbound(body: bytes, delivery_count: int, house: Services) -> None:
    """Give a message its effect."""
    await house.inbound.handle(body, delivery_count)


@bp.timer_trigger(schedule="*/30 * * * * *", arg_name="timer", run_on_startup=False)
@timer_worker
async def sweep_inbound(past_due: bool, house: Services) -> None:
    """Queue again what was stored and never handled."""
    await house.inbound.sweep()


@bp.timer_trigger(schedule="*/10 * * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
@timer_worker
async def fetch_notifications(past_due: bool, house: Services) -> None:
    """Take what waits at the brokers of sources whose messages are fetched."""
    await house.lan_notifications.fetch()


@bp.route("api/v1/hook-sources", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def create_hook_source(call: Call) -> Answer:
    """Create a source. The answer shows its address, and a generated signing secret, once."""
    wanted = call.body(WantedHookSource)
    secret = _new_secret() if wanted.generate_signing_secret else wanted.signing_secret
    login = None if wanted.credentials is None else wanted.credentials.model_dump()
    options = call.services.platforms.kinds.get(wanted.kind).check(wanted.options, _keys(secret, login))
    broker_credentials: dict[str, str] = {}
    if wanted.broker is not None:
        broker_credentials = wanted.broker.credentials()
        targets = None if wanted.relay_id is None else TargetPolicy(allow_private=True, allow_http=True)
        call.services.lan_notifications.check(wanted.id, wanted.broker.config(), broker_credentials, targets)
    if wanted.relay_id is not None and not await call.services.relays.exists(wanted.relay_id):
        raise InvalidInput(
            f"relay_id: there is no relay {wanted.relay_id}. Register it first with POST /api/v1/relays.",
            field="relay_id",
        )
    source, token = await call.services.hook_sources.create(
        replace(wanted.wanted(), options=options),
        signing_secret=secret,
        credentials=login,
        broker_credentials=broker_credentials,
        caller=call.caller,
    )
    answer = {**source_json(source, call.services.clock.now()), **_address(call, source, token)}
    if wanted.generate_signing_secret:
        answer["signing_secret"] = secret
    return Answer(answer, 201, {"Location": f"{call.services.settings.base_url}/api/v1/hook-sources/{source.id}"})


@bp.route("api/v1/hook-sources/{source}", methods=["PATCH"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def change_hook_source(call: Call) -> Answer:
    """Change a source; its address and secrets stay."""
    fields = call.body(ChangeHookSource).fields()
    if not fields:
        raise InvalidInput("Name at least one field to change.")
    sources = call.services.hook_sources
    source = await sources.get(call.route["source"])
    if "options" in fields:
        kind = call.services.platforms.kinds.get(source.kind)
        fields["options"] = kind.check(fields["options"], await sources.keys(source))
    source = await sources.change(source.id, fields, caller=call.caller)
    return Answer(source_json(source, call.services.clock.now()))


@bp.route("api/v1/hook-sources/{source}/secrets", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def give_hook_source_secrets(call: Call) -> Answer:
    """Give a source other secrets; the ones before count on for a while. A generated one is shown once."""
    wanted = call.body(HookSecrets)
    secret = _new_secret() if wanted.generate_signing_secret else wanted.signing_secret
    login = None if wanted.credentials is None else wanted.credentials.model_dump()
    if secret is None and login is None:
        raise InvalidInput("Give a signing_secret, generate_signing_secret or credentials.", field="signing_secret")
    sources = call.services.hook_sources
    source = await sources.get(call.route["source"])
    if login is not None and source.relay_id is not None:
        raise InvalidInput(
            "A relay does not keep what senders sign in with: let them sign (`signing_secret`).", field="credentials"
        )
    call.services.platforms.kinds.get(source.kind).check(source.options, _keys(secret, login))
    source = await sources.give_secrets(
        source.id,
        signing_secret=secret,
        credentials=login,
        keep_old_seconds=wanted.keep_old_seconds,
        caller=call.caller,
    )
    answer = source_json(source, call.services.clock.now())
    if wanted.generate_signing_secret:
        answer["signing_secret"] = secret
    return Answer(answer)


@bp.route("api/v1/hook-sources", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_hook_sources(call: Call) -> Answer:
    """All sources, without their secrets."""
    query = call.params(ListQuery)
    found, place = await call.services.hook_sources.list(limit=query.limit, continuation=query.continuation)
    return Answer(
        {"sources": [source_json(source, call.services.clock.now()) for source in found], "continuation": place}
    )


@bp.route("api/v1/hook-sources/{source}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_hook_source(call: Call) -> Answer:
    """One source, without its secrets."""
    return Answer(source_json(await call.services.hook_sources.get(call.route["source"]), call.services.clock.now()))


@bp.route("api/v1/hook-sources/{source}/rotate", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def rotate_hook_source(call: Call) -> Answer:
    """Give a source a new address; the old one counts on for a while."""
    wanted = call.body(RotateHookSource) if call.raw else RotateHookSource()
    source, token = await call.services.hook_sources.rotate(
        call.route["source"],
        keep_old_seconds=wanted.keep_old_seconds,
        expires_at=wanted.expires_at,
        caller=call.caller,
    )
    return Answer({**source_json(source, call.services.clock.now()), **_address(call, source, token)})


@bp.route("api/v1/hook-sources/{source}/revoke", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def revoke_hook_source(call: Call) -> Answer:
    """Close a source's address; the source and what came in stay. Rotating opens it again at a new address."""
    source = await call.services.hook_sources.revoke(call.route["source"], caller=call.caller)
    return Answer(source_json(source, call.services.clock.now()))


@bp.route("api/v1/hook-sources/{source}", methods=["DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def delete_hook_source(call: Call) -> Answer:
    """Delete a source: its address answers 404 from now on. What came in stays in the inbox."""
    await call.services.hook_sources.delete(call.route["source"], caller=call.caller)
    return Answer(status=204)


@bp.route("api/v1/inbox", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_inbox(call: Call) -> Answer:
    """What came in, newest first, without bodies."""
    from shared.inbox.service import InboxFilter

    query = call.params(InboxQuery)
    wanted = InboxFilter(**query.model_dump(exclude={"limit", "continuation"}))
    found, place = await call.services.inbox.list(wanted, limit=query.limit, continuation=query.continuation)
    return Answer({"messages": [message_json(m, whole=False) for m in found], "continuation": place})


@bp.route("api/v1/inbox/{message_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_inbox_message(call: Call) -> Answer:
    """One message with its headers and its body, as it came."""
    return Answer(message_json(await call.services.inbox.get(call.route["message_id"]), whole=True))


@bp.route("api/v1/inbox/{message_id}/replay", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def replay_inbox_message(call: Call) -> Answer:
    """Have a message handled again, as a new happening."""
    message = await call.services.inbox.replay(call.route["message_id"], actor=call.caller.actor)
    return Answer(message_json(message, whole=False), 202)


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def _keys(secret: str | None, login: dict[str, str] | None) -> SourceKeys:
    from shared.inbox.kinds import SourceKeys

    return SourceKeys((secret,) if secret else (), (login,) if login else ())


def _address(call: Call, source: HookSource, token: str) -> dict[str, str | None]:
    """Where to call in. Where a relay is reached in its plant only the plant knows."""
    if source.relay_id is not None:
        return {"url": None, "local_path": f"/local/hooks/{source.id}/{token}"}
    return {"url": f"{call.services.settings.base_url}/api/hooks/{source.id}/{token}"}
