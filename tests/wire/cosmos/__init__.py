"""A Cosmos DB account on this machine, for the real SDK (azure-cosmos 4.17, sync and aio) to talk to.

::

    with CosmosServer(clock=clock) as server:
        server.create_topology()                 # every container of infra/topology.json, as infra/modules make it
        server.connection_string                 # for the app
        server.fail(Fault(operation="create", container="deliveries", cut="after"))
        with server.counting() as count: ...     # count.calls, count.charge, count.by_operation()
        assert not server.cross_partition_orders

``python -m tests.wire.cosmos`` runs it as a process of its own. It is strict on purpose: what the service refuses it
refuses, and what it does not know it refuses rather than guesses.

Nothing here was compared with Azure. What follows is **inferred**: neither the reference nor the SDK's source says it.

- *Texts and sub-statuses* of refusals follow what the service is known to say; only these are relied on by the SDK:
  404/1003, 400/1001, 400/1004, 400/1024, 410/1002, 412/1110, 429/3200, 403/5300. Codes of query errors (``SC1001``
  syntax, ``SC2001`` unknown name, ``SC2005`` unknown function, others) are partly guesses.
- *Charges*: all but the anchors named in ``charges.py``. A filter by a property that is not indexed is answered, loads
  and charges every document that the index does not exclude, and is noted in ``server.observed.scans``.
- *Index*: ORDER BY one excluded property is refused; several need a composite index with exactly these paths and
  directions, or all of them turned round. ``id`` and ``_ts`` are always indexed. A document that lacks the property
  comes first, also under a composite index. Only the partition key itself and indexed properties help a filter;
  functions do not, but for IS_DEFINED, STARTSWITH, ENDSWITH, CONTAINS, StringEquals and ARRAY_CONTAINS.
- *Across partitions* everything but a plain filter is answered 400/1004, with one physical partition too; the plan
  that the SDK then asks for always names all partitions. Without the key's value and without the cross flag: 400, even
  where the filter fixes the key.
- *Pages*: 100 documents unless asked, 1,000 at most for -1, 4 MB at most; a page is only followed by a token when there
  is more. A token leads on behind the last document, whatever was written since (by number for joins, groups and
  DISTINCT); it belongs to its query, its parameters and its container.
- *Conditions*: an upsert with If-Match over nothing creates; If-None-Match ``*`` over something is 412 (the reference
  allows 409 too); every refused write costs 1 unit, a throttled one nothing.
- *Patch*: ``incr`` of what is not there sets it, ``move`` is served, ``add`` inserts into an array and ``set``
  overwrites; ids, keys and system properties cannot be touched. It asks for the data action ``items/replace``.
- *Batches* have the same 2 MB as an item; the role is asked for each operation in it.
- *Unique keys*: a missing value counts as a value.
- *Time to live*: a document is gone at ``_ts + ttl``, to the second; 0, below -1 and what is no whole number is 400. A
  container without a default ignores the documents' own.
- *Language*: undefined in every comparison between types; SUM, AVG, MIN and MAX of nothing are undefined; SUM and AVG
  of anything but numbers, MIN and MAX of arrays and objects too. NOT binds looser than a comparison. Words of the
  language are no property names after a dot. DateTimeBin knows days and what is shorter, DateTimeDiff counts edges.
  ``c.a`` and ``c["a"]`` are the same group. Numbers come back as they were written (``1.0`` stays ``1.0``).
- *Tokens*: subject, signature and end are read, the audience is not; a role acts at once; ``readMetadata`` anywhere is
  good for the whole account; no token makes, changes or deletes databases and containers (403/5302).
- *A container made anew* under an old name is told from it by ``x-ms-cosmos-intended-collection-rid`` (400/1024).

Not served, and refused: the change feed, stored procedures, triggers, user-defined functions, permissions, geography,
vectors and full text. Not shown at all: consistency weaker than strong, several regions, splits of a partition,
throttling by load.
"""

from tests.wire.cosmos.faults import Fault
from tests.wire.cosmos.roles import CONTRIBUTOR, CREATE_ONLY, READER
from tests.wire.cosmos.server import TEST_KEY, CosmosServer
from tests.wire.cosmos.signature import token

__all__ = ["CONTRIBUTOR", "CREATE_ONLY", "READER", "TEST_KEY", "CosmosServer", "Fault", "token"]
