"""Microsoft's emulator containers, where Docker exists: their configuration, and their names for the suites.

``python -m tests.wire.emulators config`` writes the queues of ``infra/topology.json`` as the Service Bus emulator reads
them; ``env`` prints the variables that point the suites to them (``tests/compose.yaml``).
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from shared.topology import QueueSpec, topology

__all__ = ["CONFIG", "config", "variables"]

CONFIG = Path(__file__).resolve().parent.parent / ".emulators" / "servicebus.json"

LONGEST_TTL_SECONDS = 3_600
LONGEST_DUPLICATE_WINDOW_SECONDS = 300
"""What the emulator knows at most; learn.microsoft.com "Overview of the Azure Service Bus emulator", quotas."""

COSMOS_KEY = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="
"""The key that every Cosmos DB emulator has; Microsoft publishes it."""


def config() -> dict[str, Any]:
    """The emulator's configuration file."""
    queues = [{"Name": spec.name, "Properties": _properties(spec)} for spec in topology().queues.values()]
    return {
        "UserConfig": {
            "Namespaces": [{"Name": "sbemulatorns", "Queues": queues, "Topics": []}],
            "Logging": {"Type": "Console"},
        }
    }


def _properties(spec: QueueSpec) -> dict[str, Any]:
    window = min(spec.duplicate_window_seconds, LONGEST_DUPLICATE_WINDOW_SECONDS)
    return {
        "LockDuration": _duration(spec.lock_seconds),
        "MaxDeliveryCount": spec.max_delivery_count,
        "DefaultMessageTimeToLive": _duration(min(spec.ttl_seconds, LONGEST_TTL_SECONDS)),
        "DeadLetteringOnMessageExpiration": spec.dead_letter_on_expiry,
        "RequiresDuplicateDetection": window > 0,
        "DuplicateDetectionHistoryTimeWindow": _duration(window or 20),
        "RequiresSession": False,
        "ForwardTo": "",
        "ForwardDeadLetteredMessagesTo": "",
    }


def _duration(seconds: float) -> str:
    return f"PT{int(seconds)}S"


def variables() -> dict[str, str]:
    """What the suites read (``tests/contract/backends.py``)."""
    return {
        "OVENBRIDGE_TEST_COSMOS": f"AccountEndpoint=http://127.0.0.1:8081/;AccountKey={COSMOS_KEY};",
        "OVENBRIDGE_TEST_SERVICEBUS": "Endpoint=sb://127.0.0.1;SharedAccessKeyName=RootManageSharedAccessKey;"
        "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;",
    }


def main(arguments: list[str]) -> int:
    """Write or print; the exit code."""
    if arguments == ["config"]:
        CONFIG.parent.mkdir(exist_ok=True)
        CONFIG.write_text(json.dumps(config(), indent=2) + "\n", "utf-8")
        print(CONFIG)
    elif arguments == ["env"]:
        for name, value in variables().items():
            print(f"export {name}={shlex.quote(value)}")
    else:
        print("Say `config` or `env`.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
