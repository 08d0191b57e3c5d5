"""Access: who is calling, their roles, and API tokens."""

from shared.access.model import Caller, Role, system

__all__ = ["Caller", "Role", "system"]
