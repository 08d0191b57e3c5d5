"""The rules as they are kept: a machine's own, those of its profile, and the built-in ones under them.

They are merged by id. A rule in a machine's scope under the id of a default takes the default's place, so changing a
default for one machine is storing a rule under the same id; deleting that brings the default back, and the alerts of
the rule keep their history. API ids name the scope: ``{scope}:{id}``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from shared.access import Caller
from shared.alerts.defaults import BUILT_IN_RULES, BUILTIN, resolved
from shared.alerts.model import Rule
from shared.alerts.response_model import Response
from shared.alerts.rule_forms import as_written, from_document, read_form, to_document
from shared.audit.log import AuditLog
from shared.clock import Clock, iso
from shared.errors import Conflict, NotFound, PreconditionFailed
from shared.ids import new_id
from shared.storage import DocumentStore, Query, Stored, every

if TYPE_CHECKING:
    from shared.alerts.response_checks import ResponseChecks
    from shared.equipment.model import Equipment

__all__ = ["AlertRules", "Effective", "RulePage", "profile_scope", "rule_view", "split_rule_id"]

CONTAINER = "alertRules"
CACHE_SECONDS = 60
"""So long a change made by another instance may take to count here; our own counts at once."""
MAX_RULES = 200
"""In one scope."""


@dataclass(frozen=True, slots=True)
class Effective:
    """A rule as it counts for a machine (or a profile), and where it comes from."""

    rule: Rule
    scope: str
    """The machine or profile it counts for."""
    etag: str
    """Of the stored rule; of a default that nobody changed here, a stand-in."""
    own: bool
    """Stored in this scope; otherwise it comes from further down."""
    replaces: str | None = None
    """The origin of the default whose place it takes."""

    @property
    def origin(self) -> str:
        """``equipment``, ``profile:{name}`` or ``builtin``."""
        return self.rule.scope if self.rule.scope.startswith("profile:") or self.rule.scope == BUILTIN else "equipment"


@dataclass(frozen=True, slots=True)
class RulePage:
    """Stored rules of all scopes, in no order."""

    rules: list[Effective]
    continuation: str | None


@dataclass(slots=True)
class _Known:
    """What this process read of a scope."""

    rules: dict[str, tuple[Rule, str]]
    until: datetime


@dataclass(slots=True)
class _Merged:
    """What counts for a machine, as long as nothing it was made of changed."""

    made_of: tuple[Any, ...]
    rules: tuple[Rule, ...] = field(default_factory=tuple)


def profile_scope(name: str) -> str:
    """The scope of a profile's rules."""
    return f"profile:{name}"


def split_rule_id(api_id: str) -> tuple[str, str]:
    """``(scope, id)`` of an API id. Raises ``NotFound`` for what is no id of ours."""
    scope, _, rule_id = api_id.rpartition(":")
    if not scope or not rule_id or len(api_id) > 200:
        raise NotFound("There is no alert rule of this id; ids look like {equipment}:{rule} (see the list).")
    return scope, rule_id


class AlertRules:
    """What counts as wrong."""

    def __init__(
        self,
        store: DocumentStore,
        audit: AuditLog,
        clock: Clock,
        *,
        checks: Callable[[], ResponseChecks] | None = None,
    ) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock
        self._checks = checks
        self._known: dict[str, _Known] = {}
        self._merged: dict[str, _Merged] = {}

    async def rules_for(self, equipment: Equipment) -> Sequence[Rule]:
        """The rules to judge a reading of this machine by: enabled, with times worked out. Cached for a minute."""
        own = await self._scope(equipment.id)
        profile = await self._scope(profile_scope(equipment.profile)) if equipment.profile else None
        made_of = (own, profile, _read_by_us(equipment), equipment.poll_interval_seconds, equipment.iot_config)
        merged = self._merged.get(equipment.id)
        if merged is None or merged.made_of != made_of:
            effective = await self.effective(equipment)
            rules = tuple(resolved(e.rule, equipment) for e in effective if e.rule.enabled)
            merged = self._merged[equipment.id] = _Merged(made_of, rules)
        return merged.rules

    async def effective(self, equipment: Equipment) -> list[Effective]:
        """All rules that count for a machine, disabled ones too, each with its origin."""
        return await self._effective(equipment.id, equipment.profile, with_builtin=_read_by_us(equipment))

    async def effective_for_profile(self, name: str) -> list[Effective]:
        """All rules that count for the machines of a profile, unless they have their own."""
        return await self._effective(profile_scope(name), None, with_builtin=True)

    async def get(self, scope: str, rule_id: str, profile: str | None) -> Effective:
        """One rule as it counts in this scope. ``profile`` is the machine's. Raises ``NotFound``."""
        self._known.pop(scope, None)
        for effective in await self._effective(scope, profile, with_builtin=True):
            if effective.rule.id == rule_id:
                return effective
        raise NotFound(f"There is no alert rule {rule_id} for {scope}.")

    async def stored(self, limit: int, continuation: str | None) -> RulePage:
        """All stored rules, page by page."""
        page = await self._store.query(CONTAINER, Query(limit=limit, continuation=continuation))
        return RulePage([_own(item) for item in page.items], page.continuation)

    async def create(self, scope: str, form: BaseModel, caller: Caller) -> Effective:
        """Store a new rule. Raises ``InvalidInput``, ``Conflict`` (too many)."""
        rule = read_form(form, id=new_id(), scope=scope)
        if len(await self._scope(scope)) >= MAX_RULES:
            raise Conflict(f"{scope} has {MAX_RULES} rules already; delete some first.")
        await self._check_responses(rule, ())
        return await self._create(rule, caller, before=None)

    async def change(
        self, scope: str, rule_id: str, form: BaseModel, caller: Caller, *, profile: str | None, etag: str | None
    ) -> Effective:
        """Change a rule; changing a default stores a rule that takes its place in this scope.

        Raises:
            NotFound: there is no such rule.
            InvalidInput: naming the field.
            PreconditionFailed: the etag is stale.
        """
        now = await self.get(scope, rule_id, profile)
        if etag is not None and etag != now.etag:
            raise PreconditionFailed("The rule was changed in the meantime. Read it again, then repeat the change.")
        rule = read_form(form, id=rule_id, scope=scope, base=now.rule)
        await self._check_responses(rule, now.rule.responses)
        if not now.own:
            return replace(await self._create(rule, caller, before=as_written(now.rule)), replaces=now.origin)
        async with self._recorded("alert_rule.changed", rule, caller, as_written(now.rule), as_written(rule)):
            stored = await self._store.replace(CONTAINER, self._document(rule), etag=now.etag)
        self._forget(scope)
        return replace(now, rule=rule, etag=stored.etag)

    async def delete(self, scope: str, rule_id: str, caller: Caller, *, etag: str | None) -> None:
        """Delete a stored rule; a default whose place it took counts again.

        Raises:
            NotFound: there is no such rule.
            Conflict: it is a default; those are disabled.
            PreconditionFailed: the etag is stale.
        """
        known = {**{r.id: (r, "") for r in BUILT_IN_RULES}, **await self._scope(scope, fresh=True)}
        if rule_id not in known:
            raise NotFound(f"There is no alert rule {rule_id} stored for {scope}.")
        rule, stored_etag = known[rule_id]
        if rule.scope == BUILTIN:
            raise Conflict('This rule is built in and cannot be deleted; disable it with PATCH {"enabled": false}.')
        async with self._recorded("alert_rule.deleted", rule, caller, as_written(rule), None):
            await self._store.delete(CONTAINER, (scope,), rule_id, etag=etag or stored_etag)
        self._forget(scope)

    async def _check_responses(self, rule: Rule, known: Sequence[Response]) -> None:
        if rule.responses and self._checks is not None:
            await self._checks().check(rule, known)

    async def _create(self, rule: Rule, caller: Caller, *, before: Any) -> Effective:
        action = "alert_rule.created" if before is None else "alert_rule.changed"
        async with self._recorded(action, rule, caller, before, as_written(rule)):
            stored = await self._store.create(CONTAINER, self._document(rule))
        self._forget(rule.scope)
        return Effective(rule, rule.scope, stored.etag, own=True)

    def _recorded(self, action: str, rule: Rule, caller: Caller, before: Any, after: Any) -> Any:
        target = f"{rule.scope}:{rule.id}"
        return self._audit.recorded(
            f"rule:{rule.scope}", actor=caller.actor, action=action, target=target, before=before, after=after
        )

    def _document(self, rule: Rule) -> dict[str, Any]:
        return {**to_document(rule), "changedAt": iso(self._clock.now())}

    def _forget(self, scope: str) -> None:
        self._known.pop(scope, None)

    async def _effective(self, scope: str, profile: str | None, *, with_builtin: bool) -> list[Effective]:
        merged: dict[str, Effective] = {}
        if with_builtin:
            merged.update({r.id: _inherited(r, scope) for r in BUILT_IN_RULES})
        layers = [profile_scope(profile)] if profile and not scope.startswith("profile:") else []
        for layer in (*layers, scope):
            for rule_id, (rule, etag) in (await self._scope(layer)).items():
                below = merged.get(rule_id)
                replaces = below.origin if below is not None else None
                stands = Effective(rule, scope, etag, own=layer == scope, replaces=replaces)
                merged[rule_id] = stands if stands.own else replace(_inherited(rule, scope), replaces=replaces)
        return list(merged.values())

    async def _scope(self, scope: str, *, fresh: bool = False) -> dict[str, tuple[Rule, str]]:
        """The stored rules of one scope, cached."""
        now = self._clock.now()
        known = self._known.get(scope)
        if known is None or known.until <= now or fresh:
            rules: dict[str, tuple[Rule, str]] = {}
            async for item in every(self._store, CONTAINER, Query(limit=MAX_RULES), partition=(scope,), at_most=1000):
                rules[item.document["id"]] = (from_document(item.document), item.etag)
            if known is not None and known.rules == rules:
                rules = known.rules  # the same object: what was merged of it stays
            known = self._known[scope] = _Known(rules, now + timedelta(seconds=CACHE_SECONDS))
        return known.rules


def _read_by_us(equipment: Equipment) -> bool:
    """Is this machine read, so that the built-in rules mean something?"""
    return equipment.iot_enabled and equipment.supports_realtime


def _inherited(rule: Rule, scope: str) -> Effective:
    return Effective(rule, scope, f"default-{rule.scope}-{rule.version}".replace(":", "-"), own=False)


def _own(item: Stored) -> Effective:
    rule = from_document(item.document)
    return Effective(rule, rule.scope, item.etag, own=True)


def rule_view(effective: Effective) -> dict[str, Any]:
    """The rule as the API shows it."""
    rule, scope = effective.rule, effective.scope
    written = as_written(rule)
    where = {"profile": scope.removeprefix("profile:")} if scope.startswith("profile:") else {"equipment_id": scope}
    body = {"id": f"{scope}:{rule.id}", **where, **written, "origin": effective.origin, "version": rule.version}
    if effective.replaces is not None:
        body["replaces"] = effective.replaces
    if rule.unit == "F" and rule.limit is not None:
        body["limit_celsius"] = round(rule.limit, 2)
    return body
