"""Who is calling and what that lets them do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.errors import Forbidden

__all__ = ["Caller", "Role"]


class Role(StrEnum):
    """What a caller may do. ``engineer`` includes ``operator`` includes ``viewer``; ``auditor`` includes
    ``viewer``; ``admin`` includes all."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    """Acknowledge alerts, replay deliveries."""
    ENGINEER = "engineer"
    """Configure equipment, rules and callbacks."""
    AUDITOR = "auditor"
    """Read the audit log and export."""
    ADMIN = "admin"


_INCLUDES: dict[Role, frozenset[Role]] = {
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.VIEWER, Role.OPERATOR}),
    Role.ENGINEER: frozenset({Role.VIEWER, Role.OPERATOR, Role.ENGINEER}),
    Role.AUDITOR: frozenset({Role.VIEWER, Role.AUDITOR}),
    Role.ADMIN: frozenset(Role),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody we know, for one call."""

    id: str
    """Stable: ``developer``, ``token:<id>``, ``key``, ``system:<function>``, ``entra:<oid>``,
    ``relay:<id>``."""
    name: str
    """For people who read the audit log."""
    roles: frozenset[Role]
    how: str
    """How we know: ``loopback``, ``api_token``, ``relay_token``, ``entra``, ``function_key``, ``system``."""

    @property
    def actor(self) -> dict[str, str]:
        """How the audit log names the caller."""
        return {"id": self.id, "name": self.name, "how": self.how}

    def may(self, role: Role) -> bool:
        """Does one of the caller's roles include this one?"""
        return any(role in _INCLUDES[own] for own in self.roles)

    def require(self, role: Role) -> None:
        """Raises ``Forbidden`` unless the caller may act in this role."""
        if not self.may(role):
            raise Forbidden(f"This needs the role {role.value}; {self.name} has not got it. Ask an administrator.")


def system(function: str) -> Caller:
    """The caller for what a timer or queue does on its own."""
    return Caller(id=f"system:{function}", name=f"Ovenbridge ({function})", roles=frozenset({Role.ADMIN}), how="system")
