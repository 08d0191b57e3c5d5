"""docs/audit.md against the code: field names, kinds, and the queries' containers, parameters and properties."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from shared.clock import ManualClock
from shared.services import Services
from shared.topology import topology
from tests.api import Api
from tests.unit.audit.auditor_queries import DOCUMENT, QUERIES, AuditorQuery

TEXT = DOCUMENT.read_text("utf-8")
ACTOR = {"id": "token:1", "name": "Anna", "how": "api_token"}


def test_there_are_queries() -> None:
    assert len(QUERIES) == TEXT.count("```sql") == 8


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.title)
def test_each_query_names_what_there_is(query: AuditorQuery) -> None:
    spec = topology().containers[query.container]
    assert set(re.findall(r"@\w+", query.sql)) == set(query.parameters)
    named = set(re.findall(r"\bc\.(\w+) (?:=|>=|<|BETWEEN)", query.sql))
    known = {*spec.partition_key, *spec.indexed}
    assert named <= known | {"actor"}, "a condition on what is not indexed reads the whole container"
    ordered = re.findall(r"ORDER BY c\.(\w+)", query.sql)
    assert set(ordered) <= set(spec.indexed), "Cosmos DB refuses an order over what is not indexed"


def test_every_kind_of_break_is_explained() -> None:
    source = "".join(path.read_text("utf-8") for path in (DOCUMENT.parents[1] / "shared" / "audit").glob("*.py"))
    kinds = set(re.findall(r'Break\(\s*[\w.]+,\s*"(\w+)"', source)) | {"anchor_missing", "seal_missing", "seal_altered"}
    assert len(kinds) >= 12
    for kind in kinds:
        assert f"`{kind}`" in TEXT, kind


async def test_the_fields_of_the_answers_are_listed(house: Services, api: Api, clock: ManualClock) -> None:
    await house.audit.append("token", actor=ACTOR, action="token.created", target="x")
    await house.anchoring.anchor()
    await house.anchoring.seal()
    verified = (await api.get("/api/v1/audit/verify?stream=token")).json()
    listed = (await api.get("/api/v1/audit/anchors")).json()["anchors"][0]
    (result,) = verified["results"]
    names = {*verified, *result, *result["head"], *result["anchored"], *verified["anchors"], *listed}
    for name in names - {"stream"}:
        assert f"`{name}`" in TEXT or f"`results[].{name}`" in TEXT or f"`{name}[]`" in TEXT, name
    anchor = (await house.anchor_blobs.read("anchor-000000001.json")).decode()
    for name in re.findall(r'"(\w+)":', anchor):
        assert f"`{name}`" in TEXT, name


async def test_the_embedded_store_can_be_read_without_our_code(house: Services, tmp_path: Path) -> None:
    await house.audit.append("token", actor=ACTOR, action="token.created", target="x")
    (statement,) = re.findall(r"sqlite3 data/ovenbridge\.db '([^']+)'", TEXT)
    connection = sqlite3.connect(tmp_path / "data" / "ovenbridge.db")
    try:
        ((body,),) = connection.execute(statement).fetchall()
    finally:
        connection.close()
    assert body.startswith('{"id":"token:000000000001"')
