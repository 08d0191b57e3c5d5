"""``python -m tests.wire.service_bus [port]``: the server as a process of its own; prints its connection string."""

from __future__ import annotations

import signal
import sys
import threading

from tests.wire.service_bus.server import ServiceBusServer


def main() -> int:
    """Serve until SIGTERM or Ctrl-C."""
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    with ServiceBusServer(int(sys.argv[1]) if len(sys.argv) > 1 else 0) as server:
        print(server.connection_string, flush=True)
        done.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
