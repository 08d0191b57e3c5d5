"""A Cosmos DB account on this machine, for the real SDK to talk to."""

from tests.wire.cosmos.faults import Fault
from tests.wire.cosmos.roles import CONTRIBUTOR, CREATE_ONLY, READER
from tests.wire.cosmos.server import TEST_KEY, CosmosServer
from tests.wire.cosmos.signature import token

__all__ = ["CONTRIBUTOR", "CREATE_ONLY", "READER", "TEST_KEY", "CosmosServer", "Fault", "token"]
