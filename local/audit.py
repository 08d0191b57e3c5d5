"""``python -m local audit``: is the audit log what was written?

``verify`` holds every chain against every anchor, of the stores that the settings name, those in Azure included, and
says so by its exit code: 0 intact, 1 not intact, 2 could not look. ``export`` writes the entries as they are stored, a
JSON document a line, for ``infra/verify_audit.py``, which checks them without any code of this app. See docs/audit.md.

With the embedded store, stop the host first: one process at a time holds the data folder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from local.host_json import ROOT
from local.settings_file import SettingsFile, app_settings, read_settings_file
from shared.audit.chain import Break, Verification
from shared.audit.evidence import Evidence
from shared.errors import BrokenSettings, OvenbridgeError
from shared.services import Services
from shared.settings import Settings
from shared.storage import Query, every

__all__ = ["main"]

INTACT, NOT_INTACT, COULD_NOT_LOOK = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """Do it; answers with the exit code."""
    given = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(given))
    except OvenbridgeError as error:
        sys.stderr.write(f"{error.detail}\n")
        return COULD_NOT_LOOK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local audit", description="Check or export the audit log.")
    what = parser.add_subparsers(dest="what", required=True)
    verify = what.add_parser("verify", help="hold all chains against all anchors; exit code 1: not intact")
    verify.add_argument("--json", action="store_true", help="the result as JSON instead of a table")
    export = what.add_parser("export", help="all entries as JSON lines on stdout")
    for command in (verify, export):
        command.add_argument("--data", metavar="DIR", help="the host's data folder (default: ./data)")
        command.add_argument(
            "--settings",
            type=Path,
            metavar="FILE",
            help="settings file (default: local.settings.json, if there is one); names the stores in Azure",
        )
        command.add_argument("--stream", action="append", metavar="NAME", help="only this one; may be repeated")
    return parser


async def _run(given: argparse.Namespace) -> int:
    house = Services(_settings(given))
    try:
        return await (_export(house, given.stream) if given.what == "export" else _verify(house, given))
    finally:
        await house.close()


def _settings(given: argparse.Namespace) -> Settings:
    standard = ROOT / "local.settings.json"
    path = given.settings or (standard if standard.exists() else None)
    file = read_settings_file(path) if path else SettingsFile()
    settings = Settings.from_environment(
        app_settings(file, os.environ, data_dir=given.data, url="http://127.0.0.1:7071", loopback=True)
    )
    if not settings.azure.cosmos.wanted and not (settings.data_dir / "ovenbridge.db").exists():
        # Opening it would make an empty one, and an empty log is intact.
        raise BrokenSettings(f"There is no store in {settings.data_dir}. Name the host's data folder with --data.")
    return settings


async def _export(house: Services, streams: list[str] | None) -> int:
    for partition in [(name,) for name in streams] if streams else [None]:
        entries = every(house.store, "audit", Query(limit=1000), partition=partition, at_most=10**8)
        async for stored in entries:
            sys.stdout.write(json.dumps(stored.document, ensure_ascii=False, separators=(",", ":")) + "\n")
    return INTACT


async def _verify(house: Services, given: argparse.Namespace) -> int:
    proof = house.audit_proof
    wanted = set(given.stream) if given.stream else None
    evidence = await proof.evidence(wanted=wanted.__contains__ if wanted else None)
    streams = sorted(wanted) if wanted else await proof.streams(evidence)
    found = [await proof.verify(stream, evidence=evidence) for stream in streams]
    intact = all(verdict.intact for verdict in found) and evidence.first_break is None
    if given.json:
        sys.stdout.write(json.dumps(_as_json(intact, found, evidence), ensure_ascii=False, indent=1) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _table(intact, found, evidence))
    return INTACT if intact else NOT_INTACT


def _as_json(intact: bool, found: Sequence[Verification], evidence: Evidence) -> dict[str, object]:
    return {
        "intact": intact,
        "streams": [asdict(verdict) for verdict in found],
        "anchors": {
            "count": evidence.anchors,
            "seals": evidence.seals,
            "newest_at": evidence.newest,
            "first_break": asdict(evidence.first_break) if evidence.first_break else None,
            "doubt": asdict(evidence.doubt) if evidence.doubt else None,
        },
    }


def _table(intact: bool, found: Sequence[Verification], evidence: Evidence) -> Iterable[str]:
    width = max([len(verdict.stream) for verdict in found] + [len("STREAM")])
    yield f"{'STREAM':<{width}}  ENTRIES  ANCHORED  SINCE                     RESULT"
    for verdict in found:
        anchored = verdict.anchored
        yield (
            f"{verdict.stream:<{width}}  {verdict.entries:>7}  {anchored.seq if anchored else 0:>8}  "
            f"{anchored.since if anchored else '-':<24}  {_verdict(verdict)}"
        )
    for what in (evidence.first_break, evidence.doubt):
        if what is not None:
            yield f"Anchors: {what.detail}"
    entries = sum(verdict.entries for verdict in found)
    yield (
        f"{len(found)} streams, {entries} entries, {evidence.anchors} anchors, {evidence.seals} seals, the newest of "
        f"{evidence.newest or 'never'}: {'intact' if intact else 'NOT INTACT'}."
    )


def _verdict(verdict: Verification) -> str:
    if verdict.first_break is not None:
        return f"NOT INTACT: {_said(verdict.first_break)}"
    return f"intact, but: {_said(verdict.doubt)}" if verdict.doubt is not None else "intact"


def _said(what: Break) -> str:
    return f"{what.kind}: {what.detail}"
