"""The actions of a profile, done for one request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import FieldProblem, InvalidInput, OvenbridgeError, Unavailable
from shared.platforms.operations1.actions import Action, Calculate, Call, MachineInfo, Start
from shared.platforms.operations1.calculate import CannotCalculate, calculate
from shared.platforms.operations1.entered import as_number
from shared.platforms.operations1.judgement import TagAnswer
from shared.signals import Quality, Value

if TYPE_CHECKING:
    from shared.collection.control import RemoteControl
    from shared.equipment.registry import EquipmentRegistry
    from shared.platforms.operations1.calling import Callers
    from shared.platforms.operations1.machine_told import MachinesTold
    from shared.platforms.operations1.profile import RequestProfile
    from shared.platforms.operations1.starting import Asking, Starts

__all__ = ["Acting", "OnSite", "Work", "calculated"]

ELSEWHERE = "This is done by the hub: enter its address, not the relay's, for this interaction."


@dataclass(frozen=True, slots=True)
class Work:
    """One request, for its actions."""

    asking: Asking
    entered: Mapping[str, Value]
    answers: Mapping[str, TagAnswer]
    """What machines say, by the tags of the profile."""
    accept_uncertain: bool


class OnSite:
    """What a relay can do by itself: calculate, and tell of machines that it reads."""

    def __init__(self, machines: MachinesTold) -> None:
        self._machines = machines

    async def act(self, actions: Mapping[str, Action], work: Work) -> dict[str, TagAnswer]:
        """The result of each, by its tag."""
        return {tag: await self._one(tag, action, work) for tag, action in actions.items()}

    async def _one(self, tag: str, action: Action, work: Work) -> TagAnswer:
        if isinstance(action, Calculate):
            return calculated(action, work)
        if isinstance(action, MachineInfo):
            return await self._machines.tell(action, accept_uncertain=work.accept_uncertain)
        return TagAnswer(None, "", Quality.BAD, None, ELSEWHERE)


class Acting(OnSite):
    """What the hub can do."""

    def __init__(
        self,
        starts: Starts,
        callers: Callers,
        machines: MachinesTold,
        equipment: EquipmentRegistry,
        control: RemoteControl,
    ) -> None:
        super().__init__(machines)
        self._starts = starts
        self._callers = callers
        self._equipment = equipment
        self._control = control

    async def act(self, actions: Mapping[str, Action], work: Work) -> dict[str, TagAnswer]:
        """The result of each, by its tag; all at once, for a worker waits."""
        found = await asyncio.gather(*(self._one(tag, action, work) for tag, action in actions.items()))
        return dict(zip(actions, found, strict=True))

    async def check(self, profile: RequestProfile) -> None:
        """Raises ``InvalidInput``: an action can never be done; names the field of each."""
        problems: list[FieldProblem] = []
        for tag, action in profile.actions.items():
            field = f"actions.{tag}"
            try:
                await self._check(action, field)
            except Unavailable:
                raise
            except InvalidInput as error:
                named = [p for p in error.problems if p.field.startswith(field)]
                problems += named or [FieldProblem(field, error.detail)]
            except OvenbridgeError as error:
                problems.append(FieldProblem(field, error.detail))
        if problems:
            raise InvalidInput(f"{problems[0].field}: {problems[0].problem}", problems=problems)

    async def _check(self, action: Action, field: str) -> None:
        if isinstance(action, Call):
            await self._callers.check(action, field=field)
        elif isinstance(action, Start) and action.value is not None:
            await self._control.check(action.equipment_id, action.signal, action.value)
        elif isinstance(action, Start | MachineInfo):
            await self._equipment.get(action.equipment_id)

    async def _one(self, tag: str, action: Action, work: Work) -> TagAnswer:
        try:
            if isinstance(action, Start):
                return await self._starts.start(tag, action, work.asking, work.entered)
            if isinstance(action, Call):
                return await self._callers.call(tag, action, work.asking, work.entered)
            return await super()._one(tag, action, work)
        except Unavailable as error:
            return TagAnswer(None, "", Quality.BAD, None, error.detail)


def calculated(action: Calculate, work: Work) -> TagAnswer:
    """The result of a calculation. Pure."""
    values: dict[str, float] = {}
    for name, tag in action.needs().items():
        answer = work.answers.get(tag)
        if answer is not None and not answer.usable:
            return TagAnswer(None, "", Quality.BAD, None, f"{tag} is missing. {answer.reason}")
        value = answer.value if answer is not None else work.entered.get(tag)
        if value is None:
            return TagAnswer(None, "", Quality.BAD, None, f"Nothing is entered under {tag} yet.")
        number = as_number(value)
        if number is None:
            return TagAnswer(None, "", Quality.BAD, None, f"What is entered under {tag} is no number.")
        values[name] = number
    try:
        result = calculate(action.expression, values)
    except CannotCalculate as error:
        return TagAnswer(None, "", Quality.BAD, None, f"It cannot be calculated. {error}")
    if action.digits is not None:
        result = round(result) if action.digits == 0 else round(result, action.digits)
    return TagAnswer(result, action.unit, Quality.GOOD, 0.0, None)
