"""Who may do what: role ids from the allow-list alone, Cosmos data roles in their place, the audit log append-only."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.infra import syntax
from tests.infra.evaluation import Evaluator
from tests.infra.expressions import everything
from tests.infra.hardening import at_path
from tests.infra.problem import Place, Problem
from tests.infra.resources import bodies
from tests.infra.values import Fields, texts

__all__ = ["COSMOS_ROLES", "ROLES", "assigned_containers", "check_roles"]

ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "090c5cfd-751d-490a-894a-3ce6f1109419": "Azure Service Bus Data Owner",
    "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0": "Azure Service Bus Data Receiver",
    "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39": "Azure Service Bus Data Sender",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "21090545-7ca7-4776-b22c-e363652d74d2": "Key Vault Reader",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "43d0d8ad-25c7-4714-9337-8ba259a9fe05": "Monitoring Reader",
    "73c42c96-874c-492b-b04d-ab87d138a893": "Log Analytics Reader",
    "de139f84-1756-47ae-9be6-808fbbe84772": "Website Contributor",
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
    "8311e382-0749-4cb8-b61a-304f252e45ec": "AcrPush",
    "fbdf93bf-df7d-467e-a4d2-9458aa1360c8": "Cosmos DB Account Reader Role",
}
"""Built-in roles that may be assigned. Reference "Azure architecture", section 1.4; Blob Data Reader for auditors."""

COSMOS_ROLES = {
    "00000000-0000-0000-0000-000000000001": "Cosmos DB Built-in Data Reader",
    "00000000-0000-0000-0000-000000000002": "Cosmos DB Built-in Data Contributor",
}
"""Data plane roles: for ``sqlRoleAssignments`` alone."""

_CONTRIBUTOR = "00000000-0000-0000-0000-000000000002"
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ONE_CONTAINER = re.compile(r"/dbs/[^/]+/colls/([^/]+)$")
_REWRITES = re.compile(
    r"/items/(replace|upsert|delete|\*)$|/containers/\*$|/sqlDatabases/\*$|databaseAccounts/\*$|^\*$"
)

_SQL = "Microsoft.DocumentDB/databaseAccounts"


def check_roles(evaluator: Evaluator) -> Iterator[Problem]:
    """All role ids, assignments and definitions."""
    for file in evaluator.program.files.values():
        for expression in everything(file):
            yield from _listed(expression)
    for placed in evaluator.program.all_resources():
        if placed.resource.existing:
            continue
        for body in bodies(evaluator, placed):
            if placed.full_type == "Microsoft.Authorization/roleAssignments":
                yield from _assignment(body)
            elif placed.full_type == f"{_SQL}/sqlRoleAssignments":
                yield from _data_assignment(body)
            elif placed.full_type == f"{_SQL}/sqlRoleDefinitions":
                yield from _data_definition(body)


def _listed(expression: syntax.Expression) -> Iterator[Problem]:
    """Every id is on the list; where it stands beside a name, the name is its own."""
    known = ROLES | COSMOS_ROLES
    if isinstance(expression, syntax.Object):
        for entry in expression.entries:
            value = entry.value.plain if isinstance(entry.value, syntax.Text) else None
            name = known.get((value or "").casefold())
            if name is not None and entry.key is not None and " " in entry.key and entry.key != name:
                yield Problem(entry.at, f"{value} is the role '{name}', not '{entry.key}'.")
    if isinstance(expression, syntax.Text):
        for part in expression.parts:
            for role in _GUID.findall(part) if isinstance(part, str) else ():
                if role.casefold() not in known:
                    yield Problem(expression.at, f"{role} is not on the list of roles in tests/infra/roles.py.")


def _ids(body: Fields, path: str) -> Iterator[tuple[Place, str]]:
    for at, text in texts(list(at_path(body, path.split(".")))):
        for role in _GUID.findall(text):
            yield at, role.casefold()


def _assignment(body: Fields) -> Iterator[Problem]:
    for where, role in _ids(body, "properties.roleDefinitionId"):
        if role in COSMOS_ROLES:
            sentence = f"'{COSMOS_ROLES[role]}' is a data role of Cosmos DB: only sqlRoleAssignments take it."
            yield Problem(where, sentence)
    if not list(at_path(body, ["properties", "principalType"])):
        yield Problem(body.at, "a role assignment needs `principalType`: without it a new identity may not be found.")


def _data_assignment(body: Fields) -> Iterator[Problem]:
    roles = {role for _, role in _ids(body, "properties.roleDefinitionId")}
    for where, role in _ids(body, "properties.roleDefinitionId"):
        if role not in COSMOS_ROLES:
            yield Problem(where, f"'{ROLES.get(role, role)}' is no data role of Cosmos DB.")
    if _CONTRIBUTOR not in roles:
        return
    for outcome in at_path(body, ["properties", "scope"]):
        known = [text for _, text in texts([outcome])]
        container = _ONE_CONTAINER.search(known[0]) if known else None
        if container is None:
            yield Problem(outcome.at, "the data contributor is for one container at a time, or the audit log is open.")
        elif container[1] in ("audit", "*"):
            yield Problem(outcome.at, "here the data contributor could rewrite the audit log.")


def _data_definition(body: Fields) -> Iterator[Problem]:
    """Own roles that reach the audit log can add to it, and change nothing."""
    scopes = [text for _, text in texts(list(at_path(body, ["properties", "assignableScopes"])))]
    others = [scope for scope in scopes if (found := _ONE_CONTAINER.search(scope)) and found[1] not in ("audit", "*")]
    if scopes and others == scopes:
        return
    for outcome in at_path(body, ["properties", "permissions", "dataActions"]):
        for at, action in texts([outcome]):
            if _REWRITES.search(action):
                yield Problem(at, f"with '{action}' the holder of this role could rewrite the audit log.")


def assigned_containers(evaluator: Evaluator) -> set[str]:
    """The containers that the app's identity gets a data role on, by name."""
    found: set[str] = set()
    for placed in evaluator.program.all_resources():
        if placed.full_type == f"{_SQL}/sqlRoleAssignments" and not placed.resource.existing:
            for body in bodies(evaluator, placed):
                for _, text in texts(list(at_path(body, ["properties", "scope"]))):
                    if container := _ONE_CONTAINER.search(text):
                        found.add(container[1])
    return found
