"""A relay and its hub over Service Bus: readings straight into the hub's queue, commands out of the relay's own."""

from __future__ import annotations

import signal
from datetime import datetime
from pathlib import Path

import pytest

from shared.clock import iso
from shared.relay.queue_uplink import QUEUE
from shared.topology import QueueSpec, topology
from tests.faults.host_process import running
from tests.faults.test_relay import OVENS, farm, free_port, register, until_all, until_asked
from tests.wire.azure import AzureWire

OWN = "relay-hall-1-commands"


def own_queue() -> QueueSpec:
    """What ``infra/modules/relay.bicep`` makes for the relay ``hall-1``."""
    found = topology().queue(OWN)
    assert found is not None
    return found


def queues() -> list[QueueSpec]:
    """Those of the topology, and the relay's own."""
    return [*topology().queues.values(), own_queue()]


# As processes --------------------------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.long
@pytest.mark.timeout(180)
async def test_readings_pass_while_the_hub_is_away_and_commands_come_by_the_queue(tmp_path: Path) -> None:
    port = free_port()
    with AzureWire(own_environment=False) as azure:
        namespace = azure.service_bus
        namespace.add_queue(own_queue())
        cloud, bus = azure.environment, {"ServiceBusConnection": namespace.connection_string}
        async with farm() as ovens, running(tmp_path / "hub", port=port, env=cloud) as hub:
            env = {**await register(hub, str(ovens.base_url)), **bus}
            status, body = await hub.call("PATCH", "/api/v1/relays/hall-1", json={"commands_by": "queue"})
            assert (status, body["commands_by"]) == (200, "queue"), body
            status, body = await hub.call(
                "POST", "/api/v1/relays", json={"id": "h2", "name": "x", "commands_by": "queue"}
            )
            assert status == 503, body
            assert "There is no queue relay-h2-commands" in body["detail"]
            assert "infra/main.bicep" in body["detail"]
            async with running(tmp_path / "relay", "--app", "relay", env=env) as relay:
                await until_all(hub, lambda found: all(len(one) >= 2 for one in found))
                status, ready = await relay.call("GET", "/api/health/ready")
                assert (status, sorted(ready["checks"])) == (200, ["relay", "settings", "store", "vault"]), ready
                status, tested = await hub.call("POST", "/api/v1/equipment/oven-1/test-connection")
                assert (status, tested.get("success")) == (200, True), tested
                await hub.end(signal.SIGKILL)
                await until_asked(ovens, 6 * OVENS)
                assert namespace.depth(QUEUE) >= 2, "readings have left the plant, although the hub is away"
                async with running(tmp_path / "hub", port=port, env=cloud) as again:
                    now = iso(datetime.now().astimezone())
                    found = await until_all(
                        again, lambda all_times: all(one and iso(one[-1]) >= now for one in all_times)
                    )
                    asked = (await ovens.get("/asked")).json()
                    for n, one in enumerate(found):
                        assert len(set(one)) == len(one), "none twice"
                        # A read that is slow leaves slots out: what counts is what the oven was asked. The connection
                        # of oven 1 was tested once beside that.
                        times = [at for at in asked[f"oven-{n}"] if one[0].timestamp() < at < one[-1].timestamp()]
                        assert len(times) - (n == 1) <= len(one) - 1, "none lost"
                    status, state = await again.call("GET", "/api/v1/relays/hall-1")
                    assert (state["readings_refused"]["count"], state["batches_not_believed"]["count"]) == (0, 0)
                    assert (await again.end())[0] == 0
                assert (await relay.end())[0] == 0
