"""What a resource must say so that nobody gets in without an Entra token and TLS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.infra.assignable import told
from tests.infra.evaluation import Evaluator
from tests.infra.problem import Problem
from tests.infra.program import Placed
from tests.infra.resources import bodies
from tests.infra.values import Fields, Items, Outcome, Reference, Scalar

__all__ = ["check_hardening"]


@dataclass(frozen=True, slots=True)
class _Rule:
    path: str
    values: tuple[str | bool | int, ...]
    why: str


_TOKENS = "only Entra tokens open it"
_TLS = "older TLS can be broken"

_RULES: dict[str, tuple[_Rule, ...]] = {
    "Microsoft.DocumentDB/databaseAccounts": (
        _Rule("properties.disableLocalAuth", (True,), _TOKENS),
        _Rule("properties.disableKeyBasedMetadataWriteAccess", (True,), _TOKENS),
        _Rule("properties.minimalTlsVersion", ("Tls12", "Tls13"), _TLS),
        _Rule("properties.backupPolicy.type", ("Continuous",), "restore to any second of the last days depends on it"),
    ),
    "Microsoft.ServiceBus/namespaces": (
        _Rule("properties.disableLocalAuth", (True,), _TOKENS),
        _Rule("properties.minimumTlsVersion", ("1.2", "1.3"), _TLS),
    ),
    "Microsoft.Storage/storageAccounts": (
        _Rule("properties.allowSharedKeyAccess", (False,), _TOKENS),
        _Rule("properties.allowBlobPublicAccess", (False,), "no container may be open to the world"),
        _Rule("properties.minimumTlsVersion", ("TLS1_2", "TLS1_3"), _TLS),
        _Rule("properties.supportsHttpsTrafficOnly", (True,), "nothing travels in the clear"),
    ),
    "Microsoft.Storage/storageAccounts/blobServices/containers": (
        _Rule("properties.publicAccess", ("None",), "no container may be open to the world"),
    ),
    "Microsoft.KeyVault/vaults": (
        _Rule("properties.enableRbacAuthorization", (True,), "roles alone decide"),
        _Rule("properties.enablePurgeProtection", (True,), "what was deleted must come back"),
        _Rule("properties.enableSoftDelete", (True,), "what was deleted must come back"),
        _Rule("properties.softDeleteRetentionInDays", (90,), "what was deleted must come back"),
    ),
    "Microsoft.Web/sites": (
        _Rule("properties.httpsOnly", (True,), "nothing travels in the clear"),
        _Rule("properties.siteConfig.minTlsVersion", ("1.2", "1.3"), _TLS),
        _Rule("properties.siteConfig.scmMinTlsVersion", ("1.2", "1.3"), _TLS),
        _Rule("identity.type", ("UserAssigned",), "one identity, whose roles stand before the app does"),
    ),
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": (
        _Rule("properties.allow", (False,), "no user name and password for deployment"),
    ),
    "Microsoft.Insights/components": (_Rule("properties.DisableLocalAuth", (True,), _TOKENS),),
    "Microsoft.OperationalInsights/workspaces": (_Rule("properties.features.disableLocalAuth", (True,), _TOKENS),),
}


def check_hardening(evaluator: Evaluator) -> Iterator[Problem]:
    """Every resource that the files create, with every value that it can have."""
    for placed in evaluator.program.all_resources():
        if placed.resource.existing:
            continue
        for body in bodies(evaluator, placed):
            for rule in _RULES.get(placed.full_type, ()):
                yield from _rule(placed, body, rule)
    yield from _publishing(evaluator)


def _rule(placed: Placed, body: Fields, rule: _Rule) -> Iterator[Problem]:
    wanted = " or ".join(f"'{value}'" if isinstance(value, str) else str(value).lower() for value in rule.values)
    found = list(at_path(body, rule.path.split(".")))
    if not found:
        where = f"`{placed.resource.name}` ({placed.full_type})"
        yield Problem(placed.resource.at, f"{where} must set `{rule.path}` to {wanted}: {rule.why}.")
    for outcome in found:
        if not isinstance(outcome, Scalar) or not any(
            type(outcome.value) is type(value) and outcome.value == value for value in rule.values
        ):
            yield Problem(outcome.at, f"`{rule.path}` must be {wanted}, here it is {told(outcome)}: {rule.why}.")


def at_path(body: Outcome, path: Sequence[str]) -> Iterator[Outcome]:
    """The values at a path; nothing where it does not lead anywhere."""
    if not path:
        yield body
    elif isinstance(body, Fields) and path[0] in body.entries:
        for outcome in body.entries[path[0]].outcomes():
            yield from at_path(outcome, path[1:])
    elif isinstance(body, Items):
        for item in body.items:
            for outcome in item.outcomes():
                yield from at_path(outcome, path)


def _publishing(evaluator: Evaluator) -> Iterator[Problem]:
    """Every site says no to both ways of publishing by password."""
    said: set[tuple[str, str]] = set()
    sites: list[Placed] = []
    for placed in evaluator.program.all_resources():
        if placed.resource.existing:
            continue
        if placed.full_type == "Microsoft.Web/sites":
            sites.append(placed)
        elif placed.full_type == "Microsoft.Web/sites/basicPublishingCredentialsPolicies":
            for body in bodies(evaluator, placed):
                parents = [o.resource.name for o in at_path(body, ["parent"]) if isinstance(o, Reference)]
                above = placed.around.resource.name if placed.around else "".join(parents[:1])
                said |= {(above, str(o.value)) for o in at_path(body, ["name"]) if isinstance(o, Scalar)}
    for site in sites:
        for way in ("ftp", "scm"):
            if (site.resource.name, way) not in said:
                sentence = (
                    f"`{site.resource.name}` needs a basicPublishingCredentialsPolicies '{way}' with allow: false."
                )
                yield Problem(site.resource.at, sentence)
