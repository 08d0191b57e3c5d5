"""What a token's subject may do: data actions per container, as a role assignment grants them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tests.wire.cosmos.protocol import CosmosError

__all__ = ["CONTRIBUTOR", "CREATE_ONLY", "READER", "check"]

_PREFIX = "Microsoft.DocumentDB/databaseAccounts/"
_ITEMS = "sqlDatabases/containers/"

ACTION_OF = {
    "read_account": "readMetadata",
    "read_database": "readMetadata",
    "read_container": "readMetadata",
    "pkranges": "readMetadata",
    "query_plan": "readMetadata",
    "create": _ITEMS + "items/create",
    "read": _ITEMS + "items/read",
    "upsert": _ITEMS + "items/upsert",
    "replace": _ITEMS + "items/replace",
    "patch": _ITEMS + "items/replace",
    "delete": _ITEMS + "items/delete",
    "delete_partition": _ITEMS + "items/delete",
    "query": _ITEMS + "executeQuery",
    "read_feed": _ITEMS + "readChangeFeed",
}
"""Operation -> data action. What is not here no token may do: creating and deleting containers is for the portal."""

READER = frozenset({"readMetadata", _ITEMS + "items/read", _ITEMS + "executeQuery", _ITEMS + "readChangeFeed"})
CREATE_ONLY = READER | {_ITEMS + "items/create"}
"""The role of the writer of the audit log."""
CONTRIBUTOR = READER | {_ITEMS + "*", _ITEMS + "items/*"}

Roles = Mapping[str, Mapping[str, Collection[str]]]


def check(roles: Roles, subject: str, operation: str, database: str | None, container: str | None) -> None:
    """Raises 403 when no role of the subject gives it the action. ``roles``: subject -> container -> actions; the
    container ``*`` stands for the whole account. ``readMetadata`` is good for everything if it is given anywhere."""
    action = ACTION_OF.get(operation)
    if action is None:
        raise CosmosError(
            403,
            "Forbidden",
            f"Request blocked by Auth : Request for {operation} cannot be authorized by AAD token in data plane. "
            "Learn more: https://aka.ms/cosmos-native-rbac.",
            substatus=5302,
        )
    granted = roles.get(subject, {})
    scopes = granted.values() if action == "readMetadata" else (granted.get("*", ()), granted.get(container or "", ()))
    if not any(_allows(given, action) for scope in scopes for given in scope):
        resource = f"dbs/{database}/colls/{container}" if container else f"dbs/{database}" if database else "/"
        raise CosmosError(
            403,
            "Forbidden",
            f"Request blocked by Auth : Request is blocked because principal [{subject}] does not have required RBAC "
            f"permissions to perform action [{_PREFIX}{action}] on resource [{resource}]. "
            "Learn more: https://aka.ms/cosmos-native-rbac.",
            substatus=5300,
        )


def _allows(given: str, action: str) -> bool:
    given = given.removeprefix(_PREFIX)
    return given == action or (given.endswith("*") and action.startswith(given[:-1]))
