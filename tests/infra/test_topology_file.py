"""``topology.json``: what the form of the file must be, with the line of what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.infra.gate import ROOT
from tests.infra.program import Program
from tests.infra.topology_file import check_topology_file


def container(**changed: Any) -> dict[str, Any]:
    return {"name": "readings", "partitionKey": ["/equipmentId"], "ttlSeconds": None, "indexed": ["/ts"], **changed}


def queue(**changed: Any) -> dict[str, Any]:
    times = {"lockSeconds": 60, "maxDeliveryCount": 10, "duplicateWindowSeconds": 600, "ttlSeconds": 60}
    return {"name": "work", **times, "deadLetterOnExpiry": True, **changed}


def without(found: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != key}


def topology(**changed: Any) -> dict[str, Any]:
    commands = queue(name="relay-{id}-commands", duplicateWindowSeconds=0)
    relay = {"ingestQueue": "work", "commandQueue": commands}
    return {"containers": [container()], "queues": [queue()], "relay": relay, **changed}


def reported(document: Any) -> list[str]:
    text = json.dumps(document, indent=1)
    program = Program(ROOT, instead={"infra/topology.json": text})
    return [problem.sentence for problem in check_topology_file(program)]


def test_a_right_one_is_not_reported() -> None:
    assert not reported(topology())
    assert not reported(without(topology(), "relay"))
    assert not reported(topology(containers=[container(within=[["/ts"], ["/equipmentId", "/ts"]], across=[["/id"]])]))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "the topology is an object"),
        (topology(topics=[]), "the topology has no `topics`"),
        (topology(containers={}), "the array `containers` is missing"),
        (topology(queues=["work"]), "each of `queues` is an object"),
        (topology(containers=[container(name="a/b")]), "`a/b` is no name for one of `containers`"),
        (topology(queues=[queue(name="Work")]), "`Work` is no name for one of `queues`"),
        (topology(containers=[container(), container()]), "`readings` is listed twice"),
        (topology(containers=[container(partitionKey=[])]), "one to three levels"),
        (topology(containers=[container(partitionKey=["/a", "/b", "/c", "/d"])]), "one to three levels"),
        (topology(containers=[container(partitionKey=["/a.b"])]), "must look like /equipmentId"),
        (topology(containers=[without(container(), "indexed")]), "the array `indexed` is missing"),
        (topology(containers=[container(indexed=["/ts", "/ts"])]), "`/ts` stands twice in `indexed`"),
        (topology(containers=[container(within=["/ts"])]), "`within` is a list of lists"),
        (topology(containers=[container(across=[["/other"]])]), "`/other` in `across` is neither indexed"),
        (topology(containers=[without(container(), "ttlSeconds")]), "`ttlSeconds` is missing"),
        (topology(containers=[container(ttlSeconds=0)]), "`ttlSeconds` is null, -1 or 1 to"),
        (topology(containers=[container(ttlSeconds=True)]), "`ttlSeconds` is null, -1 or 1 to"),
        (topology(containers=[container(name="audit", ttlSeconds=1)]), "the audit log is kept for ever"),
        (topology(containers=[container(ttl=1)]), "container readings has no `ttl`"),
        (topology(queues=[queue(lockSeconds=4)]), "`lockSeconds` must be 5 to 300, here 4"),
        (topology(queues=[queue(maxDeliveryCount="10")]), "`maxDeliveryCount` must be 1 to 2000, here 10"),
        (topology(queues=[queue(duplicateWindowSeconds=0)]), "`duplicateWindowSeconds` must be 20 to 604800"),
        (topology(queues=[queue(deadLetterOnExpiry="yes")]), "`deadLetterOnExpiry` must be true or false"),
        (topology(relay=[]), "`relay` is an object"),
        (
            topology(relay={"ingestQueue": "other", "commandQueue": queue(name="a-{id}")}),
            "`other` is not among `queues`",
        ),
        (topology(relay={"ingestQueue": "work"}), "the object `commandQueue` is missing"),
        (topology(relay={"ingestQueue": "work", "commandQueue": queue()}), "`work` needs {id} in it"),
    ],
)
def test_what_is_wrong_is_said(document: Any, words: str) -> None:
    assert any(words in sentence for sentence in reported(document)), reported(document)


def test_the_line_is_said() -> None:
    text = json.dumps(topology(queues=[queue(lockSeconds=1)]), indent=1)
    (problem,) = check_topology_file(Program(ROOT, instead={"infra/topology.json": text}))
    assert problem.at.line == 1 + text[: text.index('"name": "work"')].count("\n") - 1
