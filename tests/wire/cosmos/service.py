"""The account: databases, containers, documents, and what each request does to them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.wire.cosmos import charges
from tests.wire.cosmos.batches import patch, run_batch
from tests.wire.cosmos.containers import MAX_ITEM_BYTES, Container, Written, too_large
from tests.wire.cosmos.partitions import Key, key_from_header, ranges
from tests.wire.cosmos.protocol import Answer, Call, CosmosError, bad_request, json_bytes, not_found
from tests.wire.cosmos.queries import Queries
from tests.wire.cosmos.roles import Roles, check

__all__ = ["Account", "Database", "name_operation"]

_CONTAINER_DEPTH = 4
NO_SUCH_OWNER = "Owner resource does not exist"
NO_SUCH_RESOURCE = "Resource Not Found. Learn more: https://aka.ms/cosmosdb-tsg-not-found"


@dataclass(slots=True)
class Database:
    """Containers by name."""

    name: str
    rid: str
    containers: dict[str, Container] = field(default_factory=dict)

    def properties(self) -> dict[str, Any]:
        """What reading it gives."""
        system = {"_rid": self.rid, "_self": f"dbs/{self.rid}/", "_etag": '"0000-0000"', "_ts": 1_700_000_000}
        return {"id": self.name, **system, "_colls": "colls/", "_users": "users/"}


def name_operation(call: Call) -> None:
    """Give a request its operation, its container and its item. ``unknown``: not served."""
    parts, method = call.segments, call.method
    if len(parts) >= _CONTAINER_DEPTH and parts[0] == "dbs" and parts[2] == "colls":
        call.container = parts[3]
    call.operation = _operation(call, parts, method)
    if call.operation in ("create", "upsert"):
        payload = call.json()
        call.item_id = str(payload.get("id")) if isinstance(payload, dict) else None
    elif len(parts) == _CONTAINER_DEPTH + 2 and parts[4] == "docs":
        call.item_id = parts[5]


_PLAIN: dict[tuple[tuple[str, ...], str], str] = {
    ((), "GET"): "read_account",
    (("dbs",), "POST"): "create_database",
    (("dbs",), "GET"): "list_databases",
    (("dbs", ""), "GET"): "read_database",
    (("dbs", ""), "DELETE"): "delete_database",
    (("dbs", "", "colls"), "POST"): "create_container",
    (("dbs", "", "colls"), "GET"): "list_containers",
    (("dbs", "", "colls", ""), "GET"): "read_container",
    (("dbs", "", "colls", ""), "PUT"): "replace_container",
    (("dbs", "", "colls", ""), "DELETE"): "delete_container",
    (("dbs", "", "colls", "", "pkranges"), "GET"): "pkranges",
    (("dbs", "", "colls", "", "docs"), "POST"): "create",
    (("dbs", "", "colls", "", "docs"), "GET"): "read_feed",
    (("dbs", "", "colls", "", "docs", ""), "GET"): "read",
    (("dbs", "", "colls", "", "docs", ""), "PUT"): "replace",
    (("dbs", "", "colls", "", "docs", ""), "PATCH"): "patch",
    (("dbs", "", "colls", "", "docs", ""), "DELETE"): "delete",
    (("dbs", "", "colls", "", "operations", "partitionkeydelete"), "POST"): "delete_partition",
    (("offers",), "POST"): "create_offer",
    (("offers",), "GET"): "list_offers",
}


def _operation(call: Call, parts: tuple[str, ...], method: str) -> str:
    special = parts[-2:] == ("operations", "partitionkeydelete")
    shape = tuple("" if at % 2 and not (special and at == len(parts) - 1) else part for at, part in enumerate(parts))
    found = _PLAIN.get((shape, method), "unknown")
    if found == "create":
        if call.flag("x-ms-cosmos-is-query-plan-request"):
            return "query_plan"
        if call.flag("x-ms-documentdb-isquery"):
            return "query"
        if call.flag("x-ms-cosmos-is-batch-request"):
            return "batch"
        return "upsert" if call.flag("x-ms-documentdb-is-upsert") else "create"
    if found in ("create_database", "create_container", "create_offer") and call.flag("x-ms-documentdb-isquery"):
        return {"create_database": "list_databases", "create_container": "list_containers"}.get(found, "list_offers")
    return found


class Account:
    """All that a request can reach."""

    def __init__(self, now: Callable[[], float], physical_partitions: int, consistency: str) -> None:
        self.now, self.consistency = now, consistency
        self.physical = physical_partitions
        self.databases: dict[str, Database] = {}
        self.offers: dict[str, dict[str, Any]] = {}
        self.queries = Queries(now, physical_partitions)
        self.roles: Roles = {}
        self._made = 0

    def perform(self, call: Call) -> Answer:
        """Do what the request asks. Raises :class:`CosmosError`."""
        if call.subject is not None:
            self._check_role(call)
        handler = _HANDLERS.get(call.operation)
        if handler is None:
            raise bad_request(f"{call.method} /{call.path} is not served by this server.")
        return handler(self, call)

    def _check_role(self, call: Call) -> None:
        database = call.segments[1] if len(call.segments) > 1 else None
        wanted = [call.operation]
        if call.operation == "batch":
            payload = call.json()
            wanted = [str(one.get("operationType", "")).lower() for one in payload] if isinstance(payload, list) else []
        for operation in wanted:
            check(self.roles, str(call.subject), operation, database, call.container)

    # finding

    def database(self, call: Call) -> Database:
        """The database addressed, by name or resource id. Raises 404."""
        name = call.segments[1]
        found = self.databases.get(name) or next((d for d in self.databases.values() if d.rid == name), None)
        if found is None:
            inside = len(call.segments) > 2
            raise not_found(NO_SUCH_OWNER if inside else NO_SUCH_RESOURCE, substatus=1003 if inside else 0)
        return found

    def container(self, call: Call) -> Container:
        """The container addressed. Raises 404; 400/1024 when the client means one that was there before."""
        containers, name = self.database(call).containers, call.segments[3]
        found = containers.get(name) or next((c for c in containers.values() if c.rid == name), None)
        if found is None:
            inside = len(call.segments) > _CONTAINER_DEPTH
            raise not_found(NO_SUCH_OWNER if inside else NO_SUCH_RESOURCE, substatus=1003 if inside else 0)
        intended = call.header("x-ms-cosmos-intended-collection-rid")
        if intended and intended not in (found.rid, "None") and len(call.segments) > _CONTAINER_DEPTH:
            raise bad_request("Collection rid does not match the one intended by the client.", substatus=1024)
        return found

    def _rid(self, prefix: bytes = b"") -> str:
        self._made += 1
        tail = self._made.to_bytes(4, "big") if not prefix else (0x80000000 | self._made).to_bytes(4, "big")
        return base64.b64encode(prefix + tail).decode().replace("/", "-")

    # databases and containers

    def create_database(self, name: str) -> Database:
        """Raises 409."""
        if name in self.databases:
            raise CosmosError(409, "Conflict", "Database with the specified id already exists in the system.")
        made = self.databases[name] = Database(name, self._rid())
        return made

    def create_container(self, database: Database, definition: dict[str, Any]) -> Container:
        """Raises 400, 409."""
        name = definition.get("id")
        if not isinstance(name, str) or not name or any(c in name for c in "/\\?#"):
            raise bad_request("The container needs an id without / \\ ? #.")
        if name in database.containers:
            raise CosmosError(409, "Conflict", "Resource with specified id, name, or unique index already exists.")
        rid = self._rid(base64.b64decode(database.rid.replace("-", "/")))
        made = database.containers[name] = Container(name, rid, database.rid, definition, self.now)
        return made

    def _read_account(self, call: Call) -> Answer:
        location = [{"name": "West Europe", "databaseAccountEndpoint": call.base_url}]
        replication = {"minReplicaSetSize": 1, "maxReplicasetSize": 4, "asyncReplication": False}
        body = {
            "_self": "",
            "id": "ovenbridge-wire",
            "_rid": "ovenbridge-wire",
            "media": "//media/",
            "addresses": "//addresses/",
            "_dbs": "//dbs/",
            "writableLocations": location,
            "readableLocations": location,
            "enableMultipleWriteLocations": False,
            "continuousBackupEnabled": False,
            "userReplicationPolicy": replication,
            "userConsistencyPolicy": {"defaultConsistencyLevel": self.consistency},
            "systemReplicationPolicy": {"minReplicaSetSize": 1, "maxReplicasetSize": 4},
            "readPolicy": {"primaryReadCoefficient": 1, "secondaryReadCoefficient": 1},
            "queryEngineConfiguration": "{}",
        }
        return Answer.of(200, body, charge=charges.METADATA)

    def _create_database(self, call: Call) -> Answer:
        return Answer.of(201, self.create_database(str(call.json().get("id"))).properties())

    def _list_databases(self, call: Call) -> Answer:
        return _listing("", "Databases", [d.properties() for d in self.databases.values()], call)

    def _read_database(self, call: Call) -> Answer:
        return Answer.of(200, self.database(call).properties())

    def _delete_database(self, call: Call) -> Answer:
        del self.databases[self.database(call).name]
        return Answer(204)

    def _create_container(self, call: Call) -> Answer:
        made = self.create_container(self.database(call), call.json())
        throughput = call.header("x-ms-offer-throughput")
        if throughput is not None:
            self._offer(made, int(throughput))
        return Answer.of(201, made.properties(), etag=made.etag)

    def _list_containers(self, call: Call) -> Answer:
        database = self.database(call)
        made = [c.properties() for c in database.containers.values()]
        return _listing(database.rid, "DocumentCollections", made, call)

    def _read_container(self, call: Call) -> Answer:
        found = self.container(call)
        return Answer.of(200, found.properties(), etag=found.etag)

    def _replace_container(self, call: Call) -> Answer:
        found, definition = self.container(call), call.json()
        if definition.get("partitionKey", found.definition["partitionKey"]) != found.definition["partitionKey"]:
            raise bad_request("Document collection partition key cannot be changed.")
        found.define({**definition, "partitionKey": found.definition["partitionKey"]})
        return Answer.of(200, found.properties(), etag=found.etag)

    def _delete_container(self, call: Call) -> Answer:
        found = self.container(call)
        del self.database(call).containers[found.name]
        self.offers = {rid: offer for rid, offer in self.offers.items() if offer["offerResourceId"] != found.rid}
        return Answer(204)

    def _pkranges(self, call: Call) -> Answer:
        found = self.container(call)
        if call.header("if-none-match"):
            return Answer(304, etag=found.etag)
        made = [
            {"id": r.id, "minInclusive": r.low, "maxExclusive": r.high, "status": "online", "parents": []}
            for r in ranges(self.physical)
        ]
        return _listing(found.rid, "PartitionKeyRanges", made, call, etag=found.etag)

    def _offer(self, container: Container, throughput: int) -> None:
        rid = f"of{len(self.offers):02d}"
        self.offers[rid] = {
            "id": rid,
            "_rid": rid,
            "_self": f"offers/{rid}/",
            "resource": container.link,
            "offerResourceId": container.rid,
            "offerType": "Invalid",
            "offerVersion": "V2",
            "content": {"offerThroughput": throughput},
        }

    def _list_offers(self, call: Call) -> Answer:
        made = list(self.offers.values())
        if call.method == "POST":
            wanted = {entry["value"] for entry in call.json().get("parameters", [])}
            made = [offer for offer in made if offer["resource"] in wanted]
        return _listing("", "Offers", made, call)

    # documents

    def _key(self, call: Call, container: Container) -> Key | None:
        given = call.header("x-ms-documentdb-partitionkey")
        return None if given is None else key_from_header(given, len(container.paths))

    def _full_key(self, call: Call, container: Container) -> Key:
        key = self._key(call, container)
        if key is None:
            raise bad_request("PartitionKey value must be supplied for this operation.")
        if len(key) != len(container.paths):
            raise bad_request(
                "Partition key provided either doesn't correspond to definition in the collection or doesn't match "
                "partition key field values specified in the document.",
                substatus=1001,
            )
        return key

    def _create(self, call: Call) -> Answer:
        container = self.container(call)
        return _written(container.create(self._full_key(call, container), _body(call), call.header("if-none-match")))

    def _upsert(self, call: Call) -> Answer:
        container = self.container(call)
        key, match, none = self._full_key(call, container), call.header("if-match"), call.header("if-none-match")
        return _written(container.upsert(key, _body(call), match, none))

    def _read(self, call: Call) -> Answer:
        container = self.container(call)
        item = container.find(self._full_key(call, container), call.segments[5])
        if call.header("if-none-match") in (item.etag, "*"):
            return Answer(304, charge=charges.not_modified(), etag=item.etag)
        return Answer(200, item.raw, charges.point_read(len(item.raw)), item.etag)

    def _replace(self, call: Call) -> Answer:
        container = self.container(call)
        key = self._full_key(call, container)
        return _written(container.replace(key, call.segments[5], _body(call), call.header("if-match")))

    def _patch(self, call: Call) -> Answer:
        container = self.container(call)
        key, match = self._full_key(call, container), call.header("if-match")
        return _written(patch(container, key, call.segments[5], _body(call), match, self.queries.holds))

    def _delete(self, call: Call) -> Answer:
        container = self.container(call)
        return _written(container.delete(self._full_key(call, container), call.segments[5], call.header("if-match")))

    def _delete_partition(self, call: Call) -> Answer:
        container = self.container(call)
        key = self._key(call, container)
        if not key:
            raise bad_request("PartitionKey value must be supplied for this operation.")
        container.delete_partition(key)
        return Answer(200)

    def _batch(self, call: Call) -> Answer:
        container = self.container(call)
        key = self._full_key(call, container)
        status, results = run_batch(container, key, _body(call), self.queries.holds)
        return Answer(status, json_bytes(results), round(sum(one["requestCharge"] for one in results), 2))

    def _query(self, call: Call) -> Answer:
        return self.queries.query(call, self.container(call))

    def _query_plan(self, call: Call) -> Answer:
        return self.queries.plan(call, self.container(call))

    def _read_feed(self, call: Call) -> Answer:
        return self.queries.feed(call, self.container(call))


def _body(call: Call) -> Any:
    if len(call.body) > MAX_ITEM_BYTES:
        raise too_large()
    return call.json()


def _written(written: Written) -> Answer:
    if written.item is None:
        return Answer(written.status, charge=written.charge)
    return Answer(written.status, written.item.raw, written.charge, written.item.etag)


def _listing(rid: str, name: str, entries: list[dict[str, Any]], call: Call, etag: str | None = None) -> Answer:
    """A list of resources; a query over them may name one by its id."""
    if call.flag("x-ms-documentdb-isquery") and name != "Offers":
        wanted = [entry["value"] for entry in call.json().get("parameters") or []]
        entries = [entry for entry in entries if not wanted or entry["id"] in wanted]
    headers = {"x-ms-item-count": str(len(entries))}
    return Answer.of(200, {"_rid": rid, name: entries, "_count": len(entries)}, etag=etag, headers=headers)


_HANDLERS: dict[str, Callable[[Account, Call], Answer]] = {
    "read_account": Account._read_account,
    "create_database": Account._create_database,
    "list_databases": Account._list_databases,
    "read_database": Account._read_database,
    "delete_database": Account._delete_database,
    "create_container": Account._create_container,
    "list_containers": Account._list_containers,
    "read_container": Account._read_container,
    "replace_container": Account._replace_container,
    "delete_container": Account._delete_container,
    "pkranges": Account._pkranges,
    "list_offers": Account._list_offers,
    "create": Account._create,
    "upsert": Account._upsert,
    "read": Account._read,
    "replace": Account._replace,
    "patch": Account._patch,
    "delete": Account._delete,
    "delete_partition": Account._delete_partition,
    "batch": Account._batch,
    "query": Account._query,
    "query_plan": Account._query_plan,
    "read_feed": Account._read_feed,
}
