"""``infra/topology.json`` itself: names, key paths, times within what Cosmos DB and Service Bus take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tests.infra import syntax
from tests.infra.judging import nearest
from tests.infra.problem import Place, Problem
from tests.infra.program import Program

__all__ = ["check_topology_file", "plain"]

_CONTAINER = re.compile(r"^[A-Za-z][A-Za-z0-9]{1,62}$")
_QUEUE = re.compile(r"^[a-z0-9][a-z0-9-]{0,58}[a-z0-9]$")
_PATH = re.compile(r"^/[A-Za-z][A-Za-z0-9]*$")
_CONTAINER_KEYS = ("name", "partitionKey", "ttlSeconds", "indexed", "within", "across")
_QUEUE_RANGES = {
    "lockSeconds": (5, 300, "Service Bus locks for 5 to 300 seconds"),
    "maxDeliveryCount": (1, 2000, "Service Bus delivers 1 to 2000 times"),
    "duplicateWindowSeconds": (20, 604_800, "Service Bus detects duplicates for 20 seconds to 7 days"),
    "ttlSeconds": (1, 31_536_000, "more than a year is a mistake"),
}
_LONGEST_TTL = 2_147_483_647

Check = Callable[[syntax.Object, str], Iterator[Problem]]
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


def plain(expression: syntax.Expression | None) -> Json:
    """A JSON document as Python values."""
    match expression:
        case syntax.Text(plain=text):
            return text
        case syntax.Number(value=number):
            return number
        case syntax.Truth(value=truth):
            return truth
        case syntax.Array(items=items):
            return [plain(item) for item in items]
        case syntax.Object(entries=entries):
            return {str(entry.key): plain(entry.value) for entry in entries}
    return None


def check_topology_file(program: Program) -> Iterator[Problem]:
    """Everything about the file, with its lines."""
    name = f"{program.folder}/topology.json"
    document = program.document(name)
    if document is None:
        return
    if not isinstance(document, syntax.Object):
        yield Problem(Place(name, 1), "the topology is an object.")
        return
    yield from _unknown(document, ("containers", "queues", "relay"), "the topology")
    yield from _listed(document, "containers", _CONTAINER, _container)
    yield from _listed(document, "queues", _QUEUE, _queue)
    yield from _relay(document)


def _unknown(found: syntax.Object, known: tuple[str, ...], what: str) -> Iterator[Problem]:
    seen: set[str | None] = set()
    for entry in found.entries:
        if entry.key not in known:
            yield Problem(entry.at, f"{what} has no `{entry.key}`{nearest(str(entry.key), known)}.")
        if entry.key in seen:
            yield Problem(entry.at, f"`{entry.key}` is set twice.")
        seen.add(entry.key)


def _listed(document: syntax.Object, key: str, form: re.Pattern[str], check: Check) -> Iterator[Problem]:
    listed = document.get(key)
    if not isinstance(listed, syntax.Array):
        yield Problem(document.at, f"the array `{key}` is missing.")
        return
    seen: set[Json] = set()
    for item in listed.items:
        if not isinstance(item, syntax.Object):
            yield Problem(item.at, f"each of `{key}` is an object.")
            continue
        name = plain(item.get("name"))
        if not isinstance(name, str) or not form.match(name):
            yield Problem(item.at, f"`{name}` is no name for one of `{key}`: {form.pattern}.")
            continue
        if name in seen:
            yield Problem(item.at, f"`{name}` is listed twice in `{key}`.")
        seen.add(name)
        yield from check(item, name)


def _container(item: syntax.Object, name: str) -> Iterator[Problem]:
    yield from _unknown(item, _CONTAINER_KEYS, f"container {name}")
    keys = plain(item.get("partitionKey"))
    yield from _paths(item, "partitionKey", name)
    if isinstance(keys, list) and not 1 <= len(keys) <= 3:
        yield Problem(item.at, f"container {name}: a partition key has one to three levels.")
    yield from _paths(item, "indexed", name)
    indexed = plain(item.get("indexed"))
    usable = {str(path) for listed in (keys, indexed) if isinstance(listed, list) for path in listed}
    for combinations in ("within", "across"):
        yield from _combinations(item, combinations, name, {*usable, "/id"})
    ttl = plain(item.get("ttlSeconds"))
    if not any(entry.key == "ttlSeconds" for entry in item.entries):
        yield Problem(item.at, f"container {name}: `ttlSeconds` is missing; null: for ever.")
    elif ttl is not None and (type(ttl) is not int or not (ttl == -1 or 1 <= ttl <= _LONGEST_TTL)):
        yield Problem(item.at, f"container {name}: `ttlSeconds` is null, -1 or 1 to {_LONGEST_TTL}, here {ttl}.")
    if name == "audit" and ttl is not None:
        yield Problem(item.at, "the audit log is kept for ever: `ttlSeconds` must be null.")


def _paths(item: syntax.Object, key: str, name: str) -> Iterator[Problem]:
    found = item.get(key)
    if not isinstance(found, syntax.Array):
        yield Problem(item.at, f"container {name}: the array `{key}` is missing.")
        return
    seen: set[Json] = set()
    for path in found.items:
        text = plain(path)
        if not isinstance(text, str) or not _PATH.match(text):
            yield Problem(path.at, f"container {name}: `{text}` in `{key}` must look like /equipmentId.")
        if text in seen:
            yield Problem(path.at, f"container {name}: `{text}` stands twice in `{key}`.")
        seen.add(text if isinstance(text, str) else None)


def _combinations(item: syntax.Object, key: str, name: str, usable: set[str]) -> Iterator[Problem]:
    found = plain(item.get(key))
    if item.get(key) is None:
        return
    if not isinstance(found, list) or not all(isinstance(paths, list) and paths for paths in found):
        yield Problem(item.at, f"container {name}: `{key}` is a list of lists of paths.")
        return
    for paths in found:
        for path in paths if isinstance(paths, list) else ():
            if str(path) not in usable:
                yield Problem(item.at, f"container {name}: `{path}` in `{key}` is neither indexed nor in the key.")


def _queue(item: syntax.Object, name: str, *, commands: bool = False) -> Iterator[Problem]:
    yield from _unknown(item, ("name", *_QUEUE_RANGES, "deadLetterOnExpiry"), f"queue {name}")
    for key, (least, most, why) in _QUEUE_RANGES.items():
        value = plain(item.get(key))
        if commands and key == "duplicateWindowSeconds" and value == 0:
            continue
        if type(value) is not int or not least <= value <= most:
            yield Problem(item.at, f"queue {name}: `{key}` must be {least} to {most}, here {value}: {why}.")
    if not isinstance(plain(item.get("deadLetterOnExpiry")), bool):
        yield Problem(item.at, f"queue {name}: `deadLetterOnExpiry` must be true or false.")


def _relay(document: syntax.Object) -> Iterator[Problem]:
    relay = document.get("relay")
    if relay is None:
        return
    if not isinstance(relay, syntax.Object):
        yield Problem(relay.at, "`relay` is an object.")
        return
    yield from _unknown(relay, ("ingestQueue", "commandQueue"), "`relay`")
    queues = plain(document.get("queues"))
    names = [queue.get("name") for queue in queues if isinstance(queue, dict)] if isinstance(queues, list) else []
    if plain(relay.get("ingestQueue")) not in names:
        yield Problem(relay.at, f"relay: the queue `{plain(relay.get('ingestQueue'))}` is not among `queues`.")
    commands = relay.get("commandQueue")
    if not isinstance(commands, syntax.Object):
        yield Problem(relay.at, "relay: the object `commandQueue` is missing.")
        return
    name = str(plain(commands.get("name")))
    if "{id}" not in name or not _QUEUE.match(name.replace("{id}", "x")):
        yield Problem(commands.at, f"relay: `{name}` needs {{id}} in it, one queue for each relay.")
    yield from _queue(commands, name, commands=True)
