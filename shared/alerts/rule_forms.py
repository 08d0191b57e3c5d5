"""A rule as it is written: by a caller (snake_case, in the unit they chose), and in the store (camelCase, Celsius)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from shared.alerts.conditions import EXACT
from shared.alerts.model import ERROR_WORDS, Direction, Gate, Kind, Rule, Severity, is_temperature
from shared.alerts.presets import PRESETS
from shared.alerts.response_forms import ResponseForm, one_name_each
from shared.alerts.response_model import DEFAULT_COOLDOWN_SECONDS, MAX_RESPONSES, Response
from shared.alerts.rule_fields import TAKEN, problems_of
from shared.alerts.units import inside, inside_difference, limit_is_difference, outside, outside_difference, unit_of
from shared.errors import FieldProblem, InvalidInput
from shared.signals import Value

__all__ = ["GateForm", "NewRule", "RuleForm", "as_written", "from_document", "read_form", "to_document"]

WEEK = 604_800.0
DAY = 86_400.0
MAX_TEXT = 200
MAX_GATES = 20

Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e9, le=1e9)]
MachineId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ProfileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Signal = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,127}$")]


def _as_list(value: Any) -> Any:
    return value if value is None or isinstance(value, list) else [value]


def _known_values(values: list[Any] | None) -> list[Any] | None:
    for value in values or ():
        good_text = isinstance(value, str) and 0 < len(value) <= MAX_TEXT
        good_number = isinstance(value, int | float) and abs(value) <= EXACT
        if not (good_text or good_number):
            raise ValueError("write a text, a number, true or false, or a list of these (any of)")
    return values


Values = Annotated[list[Any], Field(min_length=1, max_length=50)]
AnyOf = Annotated[Values, BeforeValidator(_as_list), AfterValidator(_known_values)]
MaybeAnyOf = Annotated[Values | None, BeforeValidator(_as_list), AfterValidator(_known_values)]

Responses = Annotated[list[ResponseForm], Field(max_length=MAX_RESPONSES), AfterValidator(one_name_each)]


class GateForm(BaseModel):
    """``{"signal": "status", "equals": "running"}``; a list means any of."""

    model_config = ConfigDict(extra="forbid")

    signal: Signal
    equals: AnyOf


class RuleForm(BaseModel):
    """The fields of a rule. Which of them a kind takes and needs: ``rule_fields.py``, ``docs/alerts.md``."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind | None = None
    preset: str | None = Field(None, max_length=64)
    signal: Signal | None = None
    limit: Number | None = None
    unit: Annotated[str, Field(min_length=1, max_length=16)] | None = None
    deadband: Annotated[Number, Field(ge=0)] | None = None
    on_delay_seconds: Annotated[Number, Field(ge=0, le=WEEK)] | None = None
    off_delay_seconds: Annotated[Number, Field(ge=0, le=WEEK)] | None = None
    when: Annotated[Annotated[list[GateForm], Field(max_length=MAX_GATES)] | None, BeforeValidator(_as_list)] = None
    unless: Annotated[Annotated[list[GateForm], Field(max_length=MAX_GATES)] | None, BeforeValidator(_as_list)] = None
    settle_seconds: Annotated[Number, Field(ge=0, le=DAY)] | None = None
    setpoint_signal: Signal | None = None
    direction: Direction | None = None
    window_seconds: Annotated[Number, Field(ge=10, le=DAY)] | None = None
    equals: MaybeAnyOf = None
    after_seconds: Annotated[Number, Field(ge=10, le=WEEK)] | None = None
    hold_seconds: Annotated[Number, Field(ge=0, le=DAY)] | None = None
    failures: Annotated[int, Field(strict=True, ge=1, le=100)] | None = None
    severity: Severity | None = None
    enabled: StrictBool | None = None
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    message: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    responses: Responses | None = None
    response_cooldown_seconds: Annotated[Number, Field(ge=0, le=DAY)] | None = None


class NewRule(RuleForm):
    """A rule for one machine, or for all machines of a profile."""

    equipment_id: MachineId | None = None
    profile: ProfileName | None = None


_KIND_DEFAULTS: Mapping[Kind, Mapping[str, Any]] = {
    Kind.EQUIPMENT_ERROR: {"signal": "status", "equals": list(ERROR_WORDS), "severity": "critical"},
    Kind.CONNECTION_LOST: {"on_delay_seconds": 60, "failures": 2},
    Kind.REACH: {"severity": "critical"},
}
"""What a kind has when the caller says nothing."""

_NOT_A_FIELD = frozenset({"preset", "equipment_id", "profile"})


def read_form(form: BaseModel, *, id: str, scope: str, base: Rule | None = None) -> Rule:
    """A rule of what a caller wrote.

    Args:
        form: a ``RuleForm``; only the fields that were sent count, and ``null`` puts a field back to its default.
        id: of the rule.
        scope: whose it is.
        base: the rule that is changed; ``None``: a new one.

    Raises:
        InvalidInput: naming every field that is wrong, and what would be right.
    """
    sent = {k: v for k, v in form.model_dump(mode="json").items() if k in form.model_fields_set}
    said = _with_preset({} if base is None else as_written(base), sent)
    if base is not None:
        _refuse_other_rule(base, sent)
    if said.get("kind") is None:
        raise InvalidInput(
            f"kind is required: one of {', '.join(k.value for k in Kind)}; or name a preset.", field="kind"
        )
    kind = Kind(said["kind"])
    said = {**_KIND_DEFAULTS.get(kind, {}), **{k: v for k, v in said.items() if v is not None}}
    if problems := problems_of(kind, said):
        more = f" ({len(problems) - 1} more in `problems`)" if len(problems) > 1 else ""
        raise InvalidInput(f"{problems[0].field}: {problems[0].problem}{more}", problems=problems)
    return _build(kind, said, id=id, scope=scope, version=1 if base is None else base.version + 1)


def _with_preset(base: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    name = sent.get("preset")
    if name is None:
        return {**base, **{k: v for k, v in sent.items() if k not in _NOT_A_FIELD}}
    if name not in PRESETS:
        raise InvalidInput(f"There is no preset of this name. There are: {', '.join(PRESETS)}.", field="preset")
    preset = PRESETS[name]
    said = {k: v for k, v in sent.items() if k not in _NOT_A_FIELD}
    if said.get("kind") not in (None, preset.fields["kind"]):
        raise InvalidInput(f"The preset {name} is of kind {preset.fields['kind']}; leave kind out.", field="kind")
    if said.get("unit") == "F" and said.get("limit") is None:
        raise InvalidInput("The presets are in Celsius; leave unit out, or say the limit as well.", field="unit")
    return {**base, "name": preset.meaning, **preset.fields, **said}


def _refuse_other_rule(base: Rule, sent: Mapping[str, Any]) -> None:
    now = as_written(base)
    problems = [
        FieldProblem(name, f"The {name} of a rule stays what it is; delete this rule and create another.")
        for name in ("kind", "signal")
        if name in sent and sent[name] != now.get(name)
    ]
    changes_unit = sent.get("unit") is not None and sent["unit"] != now.get("unit")
    if changes_unit and sent.get("limit") is None and "F" in (sent["unit"], now.get("unit")):
        problems.append(FieldProblem("limit", "Say the limit again (and the deadband) in the new unit."))
    if problems:
        raise InvalidInput(f"{problems[0].field}: {problems[0].problem}", problems=problems)


def _build(kind: Kind, said: Mapping[str, Any], *, id: str, scope: str, version: int) -> Rule:
    unit = said.get("unit")
    known: dict[str, Any] = {
        name: said[name]
        for name in (
            *("signal", "setpoint_signal", "window_seconds", "after_seconds", "hold_seconds", "failures", "enabled"),
            *("on_delay_seconds", "off_delay_seconds", "settle_seconds", "name", "message", "unit"),
        )
        if name in said and (name in TAKEN[kind] or name in ("enabled", "name", "message"))
    }
    known["responses"] = tuple(Response.read(response) for response in said.get("responses") or ())
    if "response_cooldown_seconds" in said:
        known["response_cooldown_seconds"] = said["response_cooldown_seconds"]
    if "limit" in said:
        known["limit"] = (inside_difference if limit_is_difference(kind) else inside)(float(said["limit"]), unit)
    if said.get("deadband") and "deadband" in TAKEN[kind]:
        known["deadband"] = inside_difference(float(said["deadband"]), unit)
    if "equals" in said:
        known["equals"] = _listed(said["equals"])
    for name in ("when", "unless"):
        if said.get(name):
            gates = said[name] if isinstance(said[name], list) else [said[name]]
            known[name] = tuple(Gate(g["signal"], _listed(g["equals"])) for g in gates)
    if "direction" in said:
        known["direction"] = Direction(said["direction"])
    if "severity" in said:
        known["severity"] = Severity(said["severity"])
    return Rule(id=id, scope=scope, kind=kind, version=version, **known)


def _listed(value: Any) -> tuple[Value, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


def _single(values: tuple[Value, ...]) -> Value | list[Value]:
    return values[0] if len(values) == 1 else list(values)


def as_written(rule: Rule) -> dict[str, Any]:
    """The rule as its author wrote it: in their unit, with every field its kind takes."""
    entered = rule.unit if is_temperature(rule.signal) else None
    to_limit = outside_difference if limit_is_difference(rule.kind) else outside
    taken = TAKEN[rule.kind]
    every: dict[str, Any] = {
        "signal": rule.signal,
        "limit": to_limit(rule.limit, entered) if rule.limit is not None else None,
        "unit": (rule.unit or unit_of(rule)) or None,
        "deadband": outside_difference(rule.deadband, entered),
        "on_delay_seconds": rule.on_delay_seconds,
        "off_delay_seconds": rule.off_delay_seconds,
        "when": _written_gates(rule.when),
        "unless": _written_gates(rule.unless),
        "settle_seconds": rule.settle_seconds,
        "setpoint_signal": rule.setpoint_signal,
        "direction": rule.direction.value,
        "window_seconds": rule.window_seconds,
        "equals": _single(rule.equals) if rule.equals else None,
        "after_seconds": rule.after_seconds,
        "hold_seconds": rule.hold_seconds,
        "failures": rule.failures,
    }
    return {
        "kind": rule.kind.value,
        **{name: value for name, value in every.items() if name in taken},
        "severity": rule.severity.value,
        "enabled": rule.enabled,
        "name": rule.name,
        "message": rule.message,
        **_written_responses(rule),
    }


def _written_responses(rule: Rule) -> dict[str, Any]:
    """Only where there are some: most rules have none, and every alert keeps its rule."""
    cooldown = rule.response_cooldown_seconds
    if not rule.responses and cooldown == DEFAULT_COOLDOWN_SECONDS:
        return {}
    return {
        "responses": [response.as_written() for response in rule.responses],
        "response_cooldown_seconds": cooldown,
    }


def _written_gates(when: tuple[Gate, ...]) -> Any:
    gates = [{"signal": g.signal, "equals": _single(g.equals)} for g in when]
    return (gates[0] if len(gates) == 1 else gates) or None


# The store -----------------------------------------------------------------------------------------------------------


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


_OWN_FORM = frozenset({"scope", "gap_seconds", "when", "unless", "equals", "responses"})
_STORED = [f for f in fields(Rule) if f.name not in _OWN_FORM]


def to_document(rule: Rule) -> dict[str, Any]:
    """The stored form; what has its default is left out."""
    document: dict[str, Any] = {"equipmentId": rule.scope, "enabled": rule.enabled}
    for f in _STORED:
        value = getattr(rule, f.name)
        if f.default is MISSING or value != f.default:
            document[_camel(f.name)] = value
    if rule.equals:
        document["equals"] = list(rule.equals)
    if rule.responses:
        document["responses"] = [response.as_written() for response in rule.responses]
    for name, gates in (("when", rule.when), ("unless", rule.unless)):
        if gates:
            document[name] = [{"signal": g.signal, "equals": list(g.equals)} for g in gates]
    return document


def from_document(document: Mapping[str, Any]) -> Rule:
    """The rule back from its stored form."""
    known: dict[str, Any] = {f.name: document[_camel(f.name)] for f in _STORED if _camel(f.name) in document}
    known["kind"] = Kind(known["kind"])
    if "severity" in known:
        known["severity"] = Severity(known["severity"])
    if "direction" in known:
        known["direction"] = Direction(known["direction"])
    return Rule(
        scope=document["equipmentId"],
        equals=tuple(document.get("equals", ())),
        responses=tuple(Response.read(said) for said in document.get("responses", ())),
        when=tuple(Gate(g["signal"], tuple(g["equals"])) for g in document.get("when", ())),
        unless=tuple(Gate(g["signal"], tuple(g["equals"])) for g in document.get("unless", ())),
        **known,
    )
