"""The topology reaches Azure as it stands, and holds everything that the code names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tests.infra import syntax
from tests.infra.code_names import code_names
from tests.infra.evaluation import Evaluator
from tests.infra.hardening import at_path
from tests.infra.problem import Place, Problem
from tests.infra.program import Placed
from tests.infra.resources import bodies
from tests.infra.roles import assigned_containers
from tests.infra.topology_file import check_topology_file
from tests.infra.values import Fields, Items, OfKind, Outcome, Scalar

__all__ = ["UNINDEXED", "check_topology"]

UNINDEXED = {
    ("audit", "actor.id"): "inside one stream, after a range over seq or at has narrowed it down",
    ("readings", "values"): "inside one oven's day, after a range over ts has narrowed it down",
}
"""Properties that queries filter by without an index, and why that is cheap enough."""

_CONTAINERS = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers"
_QUEUES = "Microsoft.ServiceBus/namespaces/queues"
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers"


def check_topology(evaluator: Evaluator) -> Iterator[Problem]:
    """Code, topology and templates say the same."""
    program = evaluator.program
    name = f"{program.folder}/topology.json"
    try:
        topology = json.loads(program.text(name) or "")
        containers = {one["name"]: one for one in topology["containers"]}
        queues = {one["name"]: one for one in topology["queues"]}
    except (ValueError, KeyError, TypeError):
        yield Problem(Place(name, 1), "the topology is not there, or cannot be read.")
        return
    yield from _code(evaluator, containers, queues)
    if any(True for _ in check_topology_file(program)):
        return
    yield from _reaches(evaluator, _CONTAINERS, containers, _container, name)
    yield from _reaches(evaluator, _QUEUES, queues, _queue, name)
    missing = set(containers) - assigned_containers(evaluator)
    for container in sorted(missing if assigned_containers(evaluator) else set()):
        yield Problem(Place(name, 1), f"nobody is given a data role on the container {container}.")


def _code(evaluator: Evaluator, containers: dict[str, Any], queues: dict[str, Any]) -> Iterator[Problem]:
    named = code_names(evaluator.program.root)
    for what, known, used in (("container", containers, named.containers), ("queue", queues, named.queues)):
        for name, place in sorted(used.items()):
            if name not in known:
                yield Problem(place, f"the code names the {what} `{name}`, which is not in topology.json.")
    for candidates, path, place in named.queried:
        usable = [one for one in sorted(candidates) if one in containers]
        if usable and not any(_indexed(containers[one], path) or (one, path) in UNINDEXED for one in usable):
            where = " nor ".join(usable)
            yield Problem(place, f"a query names `{path}`, which is not indexed in {where}; see topology.json.")
    blobs = {o.value for o in _names(evaluator, _BLOBS) if isinstance(o, Scalar)}
    for name, place in sorted(named.blobs.items()):
        if name not in blobs and any(True for _ in _names(evaluator, _BLOBS)):
            yield Problem(place, f"the code names the blob container `{name}`, which no template creates.")


def _indexed(container: dict[str, Any], path: str) -> bool:
    known = {*container["partitionKey"], *container["indexed"], "/id"}
    return "/" + path.replace(".", "/") in known


def _names(evaluator: Evaluator, kind: str) -> Iterator[Outcome]:
    for placed in _created(evaluator, kind):
        for body in bodies(evaluator, placed):
            for outcome in at_path(body, ["name"]):
                yield from _given(evaluator, placed, outcome)


def _given(evaluator: Evaluator, placed: Placed, outcome: Outcome) -> Iterator[Outcome]:
    """A name that is a parameter of a module: what the callers give it."""
    body = placed.resource.body
    name = body.get("name") if body else None
    if not isinstance(outcome, OfKind) or not isinstance(name, syntax.Name):
        yield outcome
        return
    program = evaluator.program
    for file in program.files.values():
        for module in file.of(syntax.Module):
            if program.beside(file.path, module.path) == placed.file.path and module.body is not None:
                for given in evaluator.evaluate(module.body, evaluator.scope_of(file)):
                    yield from at_path(given, ["params", name.name])


def _created(evaluator: Evaluator, kind: str) -> list[Placed]:
    return [
        placed
        for placed in evaluator.program.all_resources()
        if placed.full_type == kind and not placed.resource.existing
    ]


def _reaches(evaluator: Evaluator, kind: str, wanted: dict[str, Any], compare: Any, file: str) -> Iterator[Problem]:
    created = _created(evaluator, kind)
    found: dict[str, Fields] = {}
    for placed in created:
        for body in bodies(evaluator, placed):
            found |= {str(o.value): body for o in at_path(body, ["name"]) if isinstance(o, Scalar)}
    for name in sorted(set(wanted) - set(found)) if created else ():
        yield Problem(Place(file, 1), f"no template creates `{name}` ({kind}).")
    for name, body in found.items():
        if name in wanted:
            yield from compare(body, wanted[name])


def _container(body: Fields, spec: dict[str, Any]) -> Iterator[Problem]:
    resource = ["properties", "resource"]
    keys, name = spec["partitionKey"], spec["name"]
    yield from _same(body, [*resource, "partitionKey", "paths"], keys, name)
    yield from _same(body, [*resource, "partitionKey", "kind"], "MultiHash" if len(keys) > 1 else "Hash", name)
    yield from _same(body, [*resource, "partitionKey", "version"], 2, name)
    yield from _same(body, [*resource, "defaultTtl"], spec["ttlSeconds"], name)
    yield from _same(body, [*resource, "indexingPolicy", "excludedPaths", "path"], ["/*"], name)
    included = sorted({f"{path}/?" for path in [*keys, *spec["indexed"]] if path != "/id"})
    listed = _plain(at_path(body, [*resource, "indexingPolicy", "includedPaths", "path"]))
    if sorted(map(str, listed)) != included:
        yield Problem(body.at, f"{name}: the indexed paths are {listed}, topology.json has {included}.")


def _queue(body: Fields, spec: dict[str, Any]) -> Iterator[Problem]:
    for path, wanted in (
        ("lockDuration", f"PT{spec['lockSeconds']}S"),
        ("maxDeliveryCount", spec["maxDeliveryCount"]),
        ("duplicateDetectionHistoryTimeWindow", f"PT{spec['duplicateWindowSeconds']}S"),
        ("defaultMessageTimeToLive", f"PT{spec['ttlSeconds']}S"),
        ("deadLetteringOnMessageExpiration", spec["deadLetterOnExpiry"]),
        ("requiresDuplicateDetection", True),
    ):
        yield from _same(body, ["properties", path], wanted, spec["name"])


def _same(body: Fields, path: Sequence[str], wanted: Any, name: str) -> Iterator[Problem]:
    outcomes = list(at_path(body, path))
    if isinstance(wanted, list) and len(outcomes) == 1 and isinstance(outcomes[0], Items):
        outcomes = [inner for item in outcomes[0].items for inner in item.outcomes()]
    found = _plain(outcomes)
    if found != (wanted if isinstance(wanted, list) else [wanted]):
        at = outcomes[0].at if outcomes else body.at
        yield Problem(at, f"{name}: `{'.'.join(path)}` is {found}, topology.json has {wanted}.")


def _plain(outcomes: Any) -> list[Any]:
    return [outcome.value if isinstance(outcome, Scalar) else "?" for outcome in outcomes]
