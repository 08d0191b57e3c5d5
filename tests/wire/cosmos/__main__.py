"""``python -m tests.wire.cosmos [--port N] [--database NAME]``: serve until SIGTERM or Ctrl-C.

The first line of its output is the connection string.
"""

from __future__ import annotations

import argparse
import signal
import threading

from tests.wire.cosmos import CosmosServer


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.wire.cosmos", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--database", default="ovenbridge", help="made at start, with all containers of the topology")
    parser.add_argument("--physical-partitions", type=int, default=1)
    arguments = parser.parse_args()
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    with CosmosServer(port=arguments.port, physical_partitions=arguments.physical_partitions) as server:
        server.create_topology(arguments.database)
        print(server.connection_string, flush=True)
        over.wait()


if __name__ == "__main__":
    main()
