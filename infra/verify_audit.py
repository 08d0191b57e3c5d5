"""Check an exported audit log against its anchors, without any code of Ovenbridge: Python 3.9 or later, nothing else.

    python3 verify_audit.py --entries entries.jsonl --anchors FOLDER

``entries.jsonl``: the documents of the container ``audit``, one JSON document a line, or one JSON list.
``FOLDER``: the blobs of the container ``audit-anchors``, as they are. What is computed, and why it proves anything, is
written in docs/audit.md; read this file beside it. Exit code 0: intact, 1: not intact, 2: could not look.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

ZERO = "0" * 64


# The bytes that are hashed -----------------------------------------------------------------------------------------


def canonical(value: Any) -> str:
    """JSON without spaces, keys in the order of their Unicode code points, nothing escaped that need not be."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    if isinstance(value, float):
        return number(value)
    return json.dumps(value, ensure_ascii=False)


def number(value: float) -> str:
    """The shortest digits that give this number back; whole ones without a point, tiny ones as ``1.5e-7``."""
    if value.is_integer():
        return str(int(value))
    text = repr(value)
    if "e" not in text:
        return text
    digits, exponent = text.split("e")
    if int(exponent) < -5:
        return f"{digits}e{int(exponent)}"
    sign, digits = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    return f"{sign}0.{'0' * (-int(exponent) - 1)}{digits.replace('.', '')}"


def entry_hash(entry: dict[str, Any]) -> str:
    """SHA-256 of everything the entry says, but its hash and what Cosmos DB adds (names that begin with ``_``)."""
    said = {key: value for key, value in entry.items() if key != "hash" and not key.startswith("_")}
    return hashlib.sha256(canonical(said).encode()).hexdigest()


# The chain of one stream -------------------------------------------------------------------------------------------


def check_chain(stream: str, entries: list[dict[str, Any]]) -> str | None:
    """What is wrong with the entries of a stream, in the order of their numbers; ``None``: nothing."""
    previous, month = ZERO, None
    for expected, entry in enumerate(entries, start=1):
        if entry.get("seq") != expected:
            return f"entry {expected} is missing, or stands there twice"
        if entry.get("hash") != entry_hash(entry):
            return f"entry {expected} was changed: its hash is not the hash of what it says"
        if entry.get("id") != f"{stream}:{expected:012d}" or entry.get("stream") != stream:
            return f"entry {expected} is called {entry.get('id')}"
        if entry.get("prevHash") != previous:
            return f"entry {expected} does not follow entry {expected - 1}"
        filed, at = str(entry.get("month")), str(entry.get("at"))
        if month is not None and filed != month:
            return f"entry {expected} is filed under {filed}, not {month}"
        previous, month = str(entry["hash"]), max(filed, at[:7])
    return None


def check_heads(entries: list[dict[str, Any]], heads: list[tuple[int, dict[str, Any]]]) -> str | None:
    """What the anchors hold of a stream that its chain does not; ``None``: it holds all."""
    for anchor, head in heads:
        if head["seq"] > len(entries):
            return f"anchor {anchor} holds entry {head['seq']}, the stream ends with {len(entries)}: it was cut off"
        if entries[head["seq"] - 1]["hash"] != head["hash"]:
            return f"anchor {anchor} holds entry {head['seq']} with another hash: the chain was written anew"
    return None


# The anchors -------------------------------------------------------------------------------------------------------


def read_sequence(folder: Path, kind: str, problems: list[str]) -> list[tuple[dict[str, Any], str]]:
    """Anchors, or seals, by number, each with the SHA-256 of its file; what is wrong with them goes to ``problems``."""
    found: list[tuple[dict[str, Any], str]] = []
    previous = ZERO
    names = sorted(p.name for p in folder.iterdir() if re.fullmatch(rf"{kind}-\d{{9}}\.json", p.name))
    for expected, name in enumerate(names, start=1):
        if name != f"{kind}-{expected:09d}.json":
            problems.append(f"{kind} {expected} is missing")
            break
        data = (folder / name).read_bytes()
        try:
            document = json.loads(data)
            if (document["kind"], document["number"]) != (kind, expected):
                problems.append(f"{kind} {expected} says that it is another one")
            if document["previous"] != previous:
                problems.append(f"{kind} {expected} does not follow the one before it: one of them was replaced")
            if not all(isinstance(head["seq"], int) and head["hash"] and head["stream"] for head in document["heads"]):
                problems.append(f"{kind} {expected} holds something that is no head")
        except (ValueError, KeyError, TypeError):
            problems.append(f"{kind} {expected} is not of the form that was written")
            break
        previous = hashlib.sha256(data).hexdigest()
        found.append((document, previous))
    return found


def check_seals(
    seals: list[tuple[dict[str, Any], str]], anchors: list[tuple[dict[str, Any], str]], problems: list[str]
) -> None:
    """Every seal lists the anchors since the seal before, with their hashes, and all that they hold."""
    done = 0
    for seal, _ in seals:
        listed = [(anchor["number"], anchor["sha256"]) for anchor in seal["anchors"]]
        there = [(anchor["number"], digest) for anchor, digest in anchors[done : seal["through"]]]
        if listed != there:
            problems.append(f"seal {seal['number']} lists other anchors than there are: some were removed or replaced")
        told = sorted((h["anchor"], h["stream"], h["seq"], h["hash"]) for h in seal["heads"])
        held = sorted(
            (anchor["number"], h["stream"], h["seq"], h["hash"])
            for anchor, _ in anchors[done : seal["through"]]
            for h in anchor["heads"]
        )
        if told != held:
            problems.append(f"seal {seal['number']} does not say what its anchors say")
        done = seal["through"]


# From files to a verdict -------------------------------------------------------------------------------------------


def read_entries(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The entries by stream, in the order of their numbers."""
    text = path.read_text("utf-8")
    try:
        documents = json.loads(text)
    except ValueError:
        documents = [json.loads(line) for line in text.split("\n") if line.strip()]
    if isinstance(documents, dict):
        documents = documents.get("Documents", [documents])
    streams: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for document in documents:
        streams[str(document.get("stream"))].append(document)
    for entries in streams.values():
        entries.sort(key=lambda entry: (not isinstance(entry.get("seq"), int), str(entry.get("seq")).zfill(20)))
    return streams


def verify(streams: dict[str, list[dict[str, Any]]], folder: Path) -> tuple[list[str], dict[str, str | None]]:
    """What is wrong with the anchors, and with each stream (``None``: nothing)."""
    problems: list[str] = []
    anchors = read_sequence(folder, "anchor", problems)
    seals = read_sequence(folder, "seal", problems)
    if not problems:
        check_seals(seals, anchors, problems)
    heads: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for anchor, _ in anchors:
        for head in anchor["heads"]:
            heads[head["stream"]].append((anchor["number"], head))
    verdicts: dict[str, str | None] = {}
    for stream in sorted({*streams, *heads}):
        entries = streams.get(stream, [])
        verdicts[stream] = check_chain(stream, entries) or check_heads(entries, heads[stream])
    return problems, verdicts


def main(arguments: list[str]) -> int:
    """Read, check, tell."""
    parser = argparse.ArgumentParser(description="Check an exported audit log against its anchors.")
    parser.add_argument("--entries", type=Path, required=True, help="documents of the container audit, as JSON (lines)")
    parser.add_argument("--anchors", type=Path, required=True, help="folder with the blobs of audit-anchors")
    given = parser.parse_args(arguments)
    try:
        streams = read_entries(given.entries)
        problems, verdicts = verify(streams, given.anchors)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"Cannot read the files: {error}\n")
        return 2
    for problem in problems:
        sys.stdout.write(f"ANCHORS NOT INTACT: {problem}.\n")
    for stream, verdict in verdicts.items():
        sys.stdout.write(f"{stream}: {len(streams.get(stream, []))} entries, {verdict or 'intact'}\n")
    intact = not problems and not any(verdicts.values())
    sys.stdout.write(f"{len(verdicts)} streams: {'intact' if intact else 'NOT INTACT'}.\n")
    return 0 if intact else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
