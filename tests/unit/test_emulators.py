"""What the emulator containers are told comes from the topology; that they start is shown where Docker is."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.topology import topology
from tests.wire import emulators


def test_every_queue_is_there_within_what_the_emulator_knows() -> None:
    queues = emulators.config()["UserConfig"]["Namespaces"][0]["Queues"]
    assert [queue["Name"] for queue in queues] == list(topology().queues)
    for queue in queues:
        said, spec = queue["Properties"], topology().queues[queue["Name"]]
        assert said["MaxDeliveryCount"] == spec.max_delivery_count
        assert said["LockDuration"] == f"PT{spec.lock_seconds}S"
        assert int(said["DefaultMessageTimeToLive"][2:-1]) == min(spec.ttl_seconds, 3600)
        assert int(said["DuplicateDetectionHistoryTimeWindow"][2:-1]) <= 300


def test_the_command_writes_and_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(emulators, "CONFIG", tmp_path / "x" / "servicebus.json")
    assert emulators.main(["config"]) == 0
    assert "callback-deliveries" in emulators.CONFIG.read_text("utf-8")
    assert emulators.main(["env"]) == 0
    assert "export OVENBRIDGE_TEST_SERVICEBUS='Endpoint=sb://127.0.0.1;" in capsys.readouterr().out
    assert emulators.main([]) == 2
