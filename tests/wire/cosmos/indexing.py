"""What is indexed: the policy of a container, as the topology means it, and what it can serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.topology import ContainerSpec
from tests.wire.cosmos.protocol import bad_request

__all__ = ["DEFAULT_POLICY", "IndexingPolicy", "policy_of"]

DEFAULT_POLICY: dict[str, Any] = {
    "indexingMode": "consistent",
    "automatic": True,
    "includedPaths": [{"path": "/*"}],
    "excludedPaths": [{"path": '/"_etag"/?'}],
}

_ALWAYS = {("id",), ("_ts",)}
"""Indexed whatever the policy excludes."""

Path = tuple[str, ...]


def policy_of(spec: ContainerSpec) -> dict[str, Any]:
    """The indexing policy of a container of ``infra/topology.json``, as ``infra/modules/cosmos.bicep`` makes it: key
    and indexed paths, nothing else; a composite index for each combination of several."""
    included = [name for name in dict.fromkeys([*spec.partition_key, *spec.indexed]) if name != "id"]
    composites = [names for names in dict.fromkeys([*spec.within, *spec.across]) if len(names) > 1]
    return {
        "automatic": True,
        "indexingMode": "consistent",
        "includedPaths": [{"path": f"/{name}/?"} for name in included],
        "excludedPaths": [{"path": "/*"}],
        "compositeIndexes": [[{"path": f"/{n}", "order": "ascending"} for n in names] for names in composites],
    }


class IndexingPolicy:
    """A policy that can be asked."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        """Raises 400 for a policy without a root path."""
        self.raw = dict(raw)
        self._none = raw.get("indexingMode", "consistent").lower() == "none"
        self._rules = [(_pattern(entry["path"]), True) for entry in raw.get("includedPaths", [])]
        self._rules += [(_pattern(entry["path"]), False) for entry in raw.get("excludedPaths", [])]
        if not self._none and not any(pattern == ((), True) for pattern, _ in self._rules):
            raise bad_request('The special mandatory indexing path "/" is not provided in any of the path type sets.')
        self._composites = [
            [(_pattern(entry["path"])[0], entry.get("order", "ascending").lower() == "descending") for entry in entries]
            for entries in raw.get("compositeIndexes", [])
        ]
        self._known: dict[Path, bool] = {}

    def serves(self, path: Path) -> bool:
        """Is this property indexed? The longest rule that fits decides."""
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._decide(path)
        return known

    def _decide(self, path: Path) -> bool:
        if path in _ALWAYS:
            return True
        if self._none:
            return False
        fitting = [
            (len(pattern), included)
            for (pattern, deep), included in self._rules
            if path[: len(pattern)] == pattern and (deep or len(path) == len(pattern))
        ]
        return max(fitting, default=(0, False))[1]

    def check_order(self, order: Sequence[tuple[Path, bool]]) -> None:
        """Can this ORDER BY (path, descending) be served? Raises 400 with the service's words when not."""
        if len(order) == 1:
            if not self.serves(order[0][0]):
                raise bad_request("The index path corresponding to the specified order-by item is excluded.")
            return
        turned = [(path, not down) for path, down in order]
        if list(order) not in self._composites and turned not in self._composites:
            raise bad_request(
                "The order by query does not have a corresponding composite index that it can be served from."
            )

    def terms(self, document: Any, path: Path = ()) -> int:
        """How many values of the document go into the index."""
        if isinstance(document, dict):
            return sum(self.terms(value, (*path, name)) for name, value in document.items())
        if isinstance(document, list):
            return sum(self.terms(value, (*path, "[]")) for value in document)
        return int(self.serves(path))


def _pattern(path: str) -> tuple[Path, bool]:
    """``/a/?`` -> ``(("a",), False)``, ``/a/*`` -> ``(("a",), True)``."""
    parts = [part.strip('"') for part in path.split("/") if part]
    deep = bool(parts) and parts[-1] == "*"
    if parts and parts[-1] in ("*", "?"):
        parts = parts[:-1]
    return tuple(parts), deep or path == "/"
