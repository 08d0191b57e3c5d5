"""`python -m local audit`, and the script that checks an export without our code: they must come to one verdict."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra import verify_audit
from local.audit import main
from shared import json_text
from shared.audit.chain import GENESIS, entry_hash, plain
from shared.clock import ManualClock
from shared.services import Services
from shared.settings import Settings
from tests.unit.audit import test_chain as chains
from tests.unit.audit import test_tampering as tampering

ROOT = Path(__file__).resolve().parents[3]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON)
def test_both_hash_the_same_bytes(value: Any) -> None:
    kept = plain(value)
    assert verify_audit.canonical(kept).encode() == json_text.canonical(kept)
    entry = {"after": kept, "_etag": "x", "hash": "y", "stream": "ä"}
    assert verify_audit.entry_hash(entry) == entry_hash(entry)


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15) | st.floats(0, 1e-3))
def test_both_write_numbers_the_same(value: float) -> None:
    kept = plain(value)
    assert verify_audit.canonical(kept).encode() == json_text.dump(kept)


@settings(deadline=None)
@given(st.data())
def test_both_judge_a_chain_the_same(draw: st.DataObject) -> None:
    """Something is done to a chain, hashes made good or not: both see it, or neither."""
    entries = chains.chain_of(6)
    victim, other = draw.draw(st.integers(0, 5)), draw.draw(st.integers(0, 5))
    done = draw.draw(st.sampled_from(["nothing", "change", "drop", "swap", "month", "twice", "rename", "previous"]))
    if done == "change":
        entries[victim]["target"] = "x"
    elif done == "drop":
        del entries[victim]
    elif done == "swap":
        entries[victim]["seq"], entries[other]["seq"] = entries[other]["seq"], entries[victim]["seq"]
    elif done == "month":
        entries[victim]["month"] = "2027-01"
    elif done == "twice":
        entries.insert(victim, dict(entries[other]))
    elif done == "rename":
        entries[victim]["id"] = entries[other]["id"]
    elif done == "previous":
        entries[victim]["prevHash"] = entries[other]["hash"]
    made_good = draw.draw(st.sampled_from(["nothing", "hashes", "chain"]))
    previous = GENESIS
    for entry in sorted(entries, key=lambda entry: int(entry["seq"])):
        if made_good == "chain":
            entry["prevHash"] = previous
        if made_good != "nothing":
            entry["hash"] = previous = entry_hash(entry)
    in_order = sorted(entries, key=lambda entry: int(entry["seq"]))
    assert (verify_audit.check_chain(chains.STREAM, in_order) is None) == chains.verdict(entries).intact


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with some days of audit, as a host that was stopped leaves it."""
    return tmp_path / "data"


async def _live(data: Path, clock: ManualClock, happening: Callable[[Services], Awaitable[None]] | None) -> None:
    house = Services(Settings(data_dir=data), clock)
    try:
        for day in range(2):
            for _ in range(3):
                for stream in ("token", "equipment:A"):
                    await house.audit.append(
                        stream,
                        actor={"id": "token:1", "name": "Bäckerin", "how": "api_token"},
                        action="equipment.changed",
                        target="x",
                        after={"limit": 1.5e-5 * (day + 1), "note": "größer \u2028\u0007"},
                    )
                await house.anchoring.anchor()
                clock.advance(3600)
            await house.anchoring.seal()
            clock.advance(21 * 3600)
        await house.audit.append("token", actor={"id": "t"}, action="token.created", target="y")
        for _ in range(2):
            await house.audit.append("token", actor={"id": "t"}, action="token.created", target="y")
            await house.anchoring.anchor()
            clock.advance(3600)
        if happening is not None:
            await happening(house)
    finally:
        await house.close()


def live(data: Path, clock: ManualClock, happening: Callable[[Services], Awaitable[None]] | None = None) -> None:
    asyncio.run(_live(data, clock, happening))


def verdicts(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, int, str, str]:
    """Exit codes and texts of the command and of the script."""
    capsys.readouterr()
    ours = main(["verify", "--data", str(data)])
    told = capsys.readouterr().out
    assert main(["export", "--data", str(data)]) == 0
    export = tmp_path / "entries.jsonl"
    export.write_text(capsys.readouterr().out, "utf-8")
    alone = verify_audit.main(["--entries", str(export), "--anchors", str(data / "audit-anchors")])
    return ours, alone, told, capsys.readouterr().out


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Not `splitlines`: it takes U+2028 inside a text for the end of a line."""
    return capsys.readouterr().out.rstrip("\n").split("\n")


def test_an_untouched_log(data: Path, tmp_path: Path, clock: ManualClock, capsys: pytest.CaptureFixture[str]) -> None:
    live(data, clock)
    ours, alone, told, told_alone = verdicts(data, tmp_path, capsys)
    assert (ours, alone) == (0, 0)
    assert told.splitlines() == [
        "STREAM       ENTRIES  ANCHORED  SINCE                     RESULT",
        "equipment:A        6         6  2026-11-21T10:00:00.000Z  intact",
        "token              9         9  2026-11-21T10:00:00.000Z  intact",
        "2 streams, 15 entries, 8 anchors, 2 seals, the newest of 2026-11-23T11:00:00.000Z: intact.",
    ]
    assert told_alone.splitlines() == [
        "equipment:A: 6 entries, intact",
        "token: 9 entries, intact",
        "2 streams: intact.",
    ]


@pytest.mark.parametrize(
    "tamper",
    [
        tampering.cut_the_tail,
        tampering.cut_back_to_yesterday,
        tampering.cut_and_go_on,
        tampering.write_anew,
        tampering.remove_all,
    ],
    ids=lambda f: f.__name__,
)
def test_a_log_that_was_touched(
    data: Path,
    tmp_path: Path,
    clock: ManualClock,
    capsys: pytest.CaptureFixture[str],
    tamper: Callable[[Services], Awaitable[None]],
) -> None:
    live(data, clock, tamper)
    ours, alone, told, told_alone = verdicts(data, tmp_path, capsys)
    assert (ours, alone) == (1, 1)
    assert "NOT INTACT" in told
    assert "NOT INTACT" in told_alone
    assert "equipment:A: 6 entries, intact" in told_alone


@pytest.mark.parametrize("what", [what for what in tampering.TAMPERED if what != "an anchor with more"])
def test_anchors_that_were_touched(
    data: Path, tmp_path: Path, clock: ManualClock, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    live(data, clock)
    tampering.TAMPERED[what][0](data / "audit-anchors")
    ours, alone, told, told_alone = verdicts(data, tmp_path, capsys)
    assert (ours, alone) == (1, 1)
    assert "NOT INTACT" in told
    assert "NOT INTACT" in told_alone


def test_one_stream_and_json(data: Path, clock: ManualClock, capsys: pytest.CaptureFixture[str]) -> None:
    live(data, clock)
    assert main(["verify", "--data", str(data), "--stream", "token", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(s["stream"], s["entries"], s["anchored"]["anchor"]) for s in found["streams"]] == [("token", 9, 8)]
    assert (found["intact"], found["anchors"]["count"]) == (True, 8)
    assert main(["export", "--data", str(data), "--stream", "token"]) == 0
    assert {json.loads(line)["stream"] for line in lines(capsys)} == {"token"}


def test_what_it_cannot_look_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--data", str(tmp_path / "nowhere")]) == 2
    assert "There is no store" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists(), "an empty log would be intact"
    assert verify_audit.main(["--entries", str(tmp_path / "none"), "--anchors", str(tmp_path)]) == 2
    (tmp_path / "bad").write_text("no json")
    assert verify_audit.main(["--entries", str(tmp_path / "bad"), "--anchors", str(tmp_path)]) == 2


def test_lists_as_data_explorer_gives_them(
    data: Path, tmp_path: Path, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    live(data, clock)
    main(["export", "--data", str(data)])
    documents = [json.loads(line) | {"_ts": 1, "_etag": "x"} for line in lines(capsys)]
    for form in (documents, {"Documents": documents}):
        (tmp_path / "list.json").write_text(json.dumps(form))
        arguments = ["--entries", str(tmp_path / "list.json"), "--anchors", str(data / "audit-anchors")]
        assert verify_audit.main(arguments) == 0


@pytest.mark.process
def test_as_they_are_started(data: Path, tmp_path: Path, clock: ManualClock) -> None:
    """The command from the shell; the script alone in an empty folder, without our packages."""
    live(data, clock)
    export = subprocess.run(
        [sys.executable, "-m", "local", "audit", "export", "--data", str(data)],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    (tmp_path / "entries.jsonl").write_bytes(export.stdout)
    verify = subprocess.run(
        [sys.executable, "-m", "local", "audit", "verify", "--data", str(data)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (verify.returncode, verify.stdout.splitlines()[-1].split()[-1]) == (0, "intact.")
    script = tmp_path / "alone" / "verify_audit.py"
    script.parent.mkdir()
    shutil.copy(ROOT / "infra" / "verify_audit.py", script)
    alone = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            script,
            "--entries",
            tmp_path / "entries.jsonl",
            "--anchors",
            data / "audit-anchors",
        ],
        cwd=script.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (alone.returncode, alone.stderr) == (0, "")
