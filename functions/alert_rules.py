"""Alert rules: `/api/v1/alert-rules[/{id}]`, and the presets to start from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, endpoint
from shared.access import Role
from shared.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from shared.alerts.rules import Effective
    from shared.equipment.model import Equipment

bp = func.Blueprint()

MachineId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ProfileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class RuleQuery(BaseModel):
    """Whose rules; neither: all that are stored."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    equipment_id: MachineId | None = None
    profile: ProfileName | None = None
    limit: int = Field(100, ge=1, le=1000)
    continuation: str | None = Field(None, max_length=2000)


@bp.route("api/v1/alert-rules", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def create_alert_rule(call: Call) -> Answer:
    """Add a rule to a machine or a profile."""
    from shared.alerts.rule_forms import NewRule
    from shared.alerts.rules import profile_scope, rule_view

    wanted = call.body(NewRule)
    if (wanted.equipment_id is None) == (wanted.profile is None):
        raise InvalidInput("Say whose rule it is: either equipment_id or profile.", field="equipment_id")
    if wanted.equipment_id is not None:
        await _machine(call, wanted.equipment_id)
    scope = wanted.equipment_id or profile_scope(wanted.profile or "")
    created = await call.services.alert_rules.create(scope, wanted, call.caller)
    view = rule_view(created)
    location = f"{call.services.settings.base_url}/api/v1/alert-rules/{view['id']}"
    return Answer(view, 201, {"Location": location, "ETag": f'"{created.etag}"'})


@bp.route("api/v1/alert-rules", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_alert_rules(call: Call) -> Answer:
    """The rules that count for a machine or a profile, each with its origin; or all stored ones."""
    from shared.alerts.rules import rule_view

    query = call.params(RuleQuery)
    rules = call.services.alert_rules
    if query.equipment_id is not None and query.profile is not None:
        raise InvalidInput("Ask for either equipment_id or profile.", field="profile")
    if query.equipment_id is not None:
        found = await rules.effective(await _machine(call, query.equipment_id))
    elif query.profile is not None:
        found = await rules.effective_for_profile(query.profile)
    else:
        page = await rules.stored(query.limit, query.continuation)
        return Answer({"rules": [rule_view(rule) for rule in page.rules], "continuation": page.continuation})
    return Answer({"rules": [rule_view(rule) for rule in found], "continuation": None})


@bp.route("api/v1/alert-rules/{rule_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_alert_rule(call: Call) -> Answer:
    """One rule as it counts for its machine or profile."""
    scope, rule_id, profile = await _place(call)
    return _answer(await call.services.alert_rules.get(scope, rule_id, profile))


@bp.route("api/v1/alert-rules/{rule_id}", methods=["PATCH"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def change_alert_rule(call: Call) -> Answer:
    """Change some fields; null puts one back to its default. A changed default counts for this machine only."""
    from shared.alerts.rule_forms import RuleForm

    form = call.body(RuleForm)
    if not form.model_fields_set:
        raise InvalidInput("Nothing to change: send the fields that are to be different.", field="body")
    scope, rule_id, profile = await _place(call)
    changed = await call.services.alert_rules.change(
        scope, rule_id, form, call.caller, profile=profile, etag=call.if_match
    )
    return _answer(changed)


@bp.route("api/v1/alert-rules/{rule_id}", methods=["DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def delete_alert_rule(call: Call) -> Answer:
    """Delete a stored rule; the default whose place it took counts again."""
    from shared.alerts.rules import split_rule_id

    scope, rule_id = split_rule_id(call.route["rule_id"])
    await call.services.alert_rules.delete(scope, rule_id, call.caller, etag=call.if_match)
    return Answer(status=204)


class Rehearsal(BaseModel):
    """How a response is tried out."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    equipment_id: MachineId | None = Field(None, description="Of which machine; needed for a profile's rule.")
    send: bool = Field(False, strict=True, description="Make the call, marked with `X-Ovenbridge-Test: true`.")


@bp.route("api/v1/alert-rules/{rule_id}/responses/{name}/test", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def test_alert_response(call: Call) -> Answer:
    """Say what a response would do, without doing it; a call may be sent as a marked test."""
    from shared.alerts.rules import split_rule_id

    asked = call.body(Rehearsal) if call.raw else Rehearsal(equipment_id=None, send=False)
    scope, rule_id = split_rule_id(call.route["rule_id"])
    if scope.startswith("profile:") and asked.equipment_id is None:
        raise InvalidInput("The rule is a profile's: say for which machine.", field="equipment_id")
    if not scope.startswith("profile:") and asked.equipment_id not in (None, scope):
        raise InvalidInput(f"The rule is one of {scope} alone; leave equipment_id out.", field="equipment_id")
    machine = await _machine(call, asked.equipment_id or scope)
    rule = (await call.services.alert_rules.get(scope, rule_id, machine.profile)).rule
    rehearsal = call.services.responding.rehearsal
    return Answer(await rehearsal.rehearse(rule, call.route["name"], machine, send=asked.send, caller=call.caller))


@bp.route("api/v1/alert-rule-presets", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_alert_rule_presets(call: Call) -> Answer:
    """Limits that a jurisdiction sets, to start a rule from."""
    from shared.alerts.presets import PRESETS

    presets = [
        {
            "name": preset.name,
            "meaning": preset.meaning,
            "jurisdiction": preset.jurisdiction,
            "source": preset.source,
            "fields": dict(preset.fields),
        }
        for preset in PRESETS.values()
    ]
    return Answer({"presets": presets})


async def _machine(call: Call, equipment_id: str) -> Equipment:
    try:
        machine, _ = await call.services.equipment.get(equipment_id)
    except NotFound as err:
        raise NotFound(f"equipment_id: there is no machine {equipment_id}. Register it first.") from err
    return machine


async def _place(call: Call) -> tuple[str, str, str | None]:
    """Scope, rule id, and the machine's profile."""
    from shared.alerts.rules import split_rule_id

    scope, rule_id = split_rule_id(call.route["rule_id"])
    if scope.startswith("profile:"):
        return scope, rule_id, None
    return scope, rule_id, (await _machine(call, scope)).profile


def _answer(rule: Effective) -> Answer:
    from shared.alerts.rules import rule_view

    return Answer(rule_view(rule), headers={"ETag": f'"{rule.etag}"'})
