"""What is checked of a rule's responses when the rule is saved, and again whenever one of them runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shared.alerts.model import Rule
from shared.alerts.response_model import Response
from shared.alerts.response_ports import Writes
from shared.errors import FieldProblem, InvalidInput, OvenbridgeError, Unavailable
from shared.outgoing.targets import TargetPolicy

if TYPE_CHECKING:
    from shared.equipment.shared_credentials import SharedCredentials

__all__ = ["ResponseChecks"]


class ResponseChecks:
    """Judges responses with the help of the house."""

    def __init__(self, writes: Writes, targets: TargetPolicy, credentials: SharedCredentials) -> None:
        self._writes = writes
        self._targets = targets
        self._credentials = credentials

    async def check(self, rule: Rule, known: Sequence[Response] = ()) -> None:
        """All responses of a rule that is about to be stored.

        Args:
            rule: as it will be.
            known: responses it had before: those are not judged again, so that a rule whose machine has changed can
                still be disabled. They are judged when they run.

        Raises:
            InvalidInput: naming every field that is wrong.
            Unavailable: our own store or vault is away.
        """
        machine = None if rule.scope.startswith("profile:") else rule.scope
        problems: list[FieldProblem] = []
        for place, response in enumerate(rule.responses):
            if response not in known and (problem := await self.problem(response, machine)) is not None:
                problems.append(FieldProblem(f"responses.{place}.{response.kind}", problem))
        if problems:
            more = f" ({len(problems) - 1} more in `problems`)" if len(problems) > 1 else ""
            raise InvalidInput(f"{problems[0].field}: {problems[0].problem}{more}", problems=problems)

    async def problem(self, response: Response, machine: str | None) -> str | None:
        """Why this cannot be done as things stand; ``None``: as far as is known it can.

        Args:
            response: which.
            machine: the alert's; ``None``: not known yet, the rule belongs to a profile.

        Raises:
            Unavailable: our own store or vault is away.
        """
        try:
            if response.kind == "write":
                await self._write(response.action, machine)
            elif response.kind == "call":
                await self._call(response.action)
        except Unavailable:
            raise
        except OvenbridgeError as error:
            return error.detail
        return None

    async def _write(self, action: Any, machine: str | None) -> None:
        target = action.get("equipment_id") or machine
        if target is not None:
            await self._writes.check(target, action["signal"], action["value"])

    async def _call(self, action: Any) -> None:
        target = await self._targets.check_resolves(action["url"], field="url")
        if action.get("credentials") is not None:
            await self._credentials.for_address(action["credentials"], target.origin, field="credentials")
