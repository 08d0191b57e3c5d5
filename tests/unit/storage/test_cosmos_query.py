"""The compiled SQL holds no value and no unquoted name, whatever is asked."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidInput
from shared.storage import BucketQuery, Condition, Equals, In, IsDefined, Query, Range
from shared.storage.cosmos_query import Binder, bucket_statement, check_limit, condition_sql, conditions, head, quoted
from shared.topology import topology

READINGS = topology().containers["readings"]
RULES = topology().containers["alertRules"]

KEYS = st.text(st.sampled_from("abcXYZ019_:@$+-"), min_size=1, max_size=8)
PATHS = st.lists(KEYS, min_size=1, max_size=4).map(".".join)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=30)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
BOUNDS = NUMBERS | TEXTS

CONDITIONS: st.SearchStrategy[Condition] = st.one_of(
    st.builds(Equals, PATHS, SCALARS),
    st.builds(In, PATHS, st.lists(SCALARS, max_size=5).map(tuple)),
    st.builds(IsDefined, PATHS, st.booleans()),
    st.builds(Range, PATHS, ge=BOUNDS, lt=BOUNDS),
    st.builds(Range, PATHS, gt=BOUNDS),
    st.builds(Range, PATHS, le=BOUNDS),
)

PLACE = r'c(?:\["[A-Za-z0-9_:@$+-]+"\])+'
ONE = re.compile(
    rf"false|{PLACE} = @p\d+|{PLACE} IN \(@p\d+(?:, @p\d+)*\)|(?:NOT )?IS_DEFINED\({PLACE}\)"
    rf"|{PLACE} (?:>=|>|<=|<) @p\d+(?: AND {PLACE} (?:>=|>|<=|<) @p\d+)*"
)


def values_of(condition: Condition) -> list[Any]:
    if isinstance(condition, Equals):
        return [condition.value]
    if isinstance(condition, In):
        return list(condition.values)
    if isinstance(condition, Range):
        return [b for b in (condition.ge, condition.gt, condition.le, condition.lt) if b is not None]
    return []


@given(CONDITIONS)
def test_values_are_parameters_and_names_are_quoted(condition: Condition) -> None:
    bind = Binder()
    sql = condition_sql(bind, condition)
    assert ONE.fullmatch(sql), sql
    assert [p["value"] for p in bind.parameters] == values_of(condition)
    assert re.findall(r"@p\d+", sql) == [p["name"] for p in bind.parameters]
    json.dumps(bind.parameters, allow_nan=False)


@given(st.text(max_size=50))
def test_a_quoted_text_is_one_literal(text: str) -> None:
    literal = quoted(text)
    assert literal.isascii()
    assert re.fullmatch(r'"(?:[^"\\\x00-\x1f]|\\.)*"', literal)
    assert json.loads(literal) == text


@pytest.mark.parametrize("path", ["", "a b", 'a"]', "a'", "a..b", "a]", "c[0]", "ä", "a" * 200, ".".join("a" * 17), 7])
def test_a_path_that_is_none_is_refused(path: Any) -> None:
    for condition in (Equals(path, 1), In(path, (1,)), IsDefined(path), Range(path, ge=1)):
        with pytest.raises(InvalidInput):
            condition_sql(Binder(), condition)


@pytest.mark.parametrize(
    "condition",
    [
        Equals("a", [1]),  # type: ignore[arg-type]
        In("a", ({},)),  # type: ignore[arg-type]
        In("a", tuple(range(101))),
        Range("a"),
        Range("a", ge=True),
        Range("a", ge=math.nan),
        Range("a", lt=math.inf),
    ],
    ids=repr,
)
def test_a_condition_that_is_none_is_refused(condition: Condition) -> None:
    with pytest.raises(InvalidInput):
        condition_sql(Binder(), condition)


def test_nothing_equals_what_is_no_json_number() -> None:
    bind = Binder()
    assert condition_sql(bind, Equals("a", math.nan)) == "false"
    assert condition_sql(bind, In("a", (math.inf,))) == "false"
    assert condition_sql(bind, In("a", (math.inf, 1))) == 'c["a"] IN (@p0)'
    assert bind.parameters == [{"name": "@p0", "value": 1}]


def test_what_the_partition_key_says_is_not_said_again() -> None:
    where: list[Condition] = [Equals("equipmentId", "a"), In("day", ("1", "2")), Equals("ts", "x")]
    assert conditions(Binder(), where, READINGS, ("a", "1")) == ['c["ts"] = @p0']
    assert len(conditions(Binder(), where, READINGS, ("a",))) == 2
    assert len(conditions(Binder(), where, READINGS, ("b", "3"))) == 3, "a contradiction is asked, and finds nothing"


@pytest.mark.parametrize("limit", [0, 1001, -1, True, 1.0, "1", None])
def test_a_limit_that_is_none_is_refused(limit: Any) -> None:
    with pytest.raises(InvalidInput):
        check_limit(limit)


def test_the_head_names_what_is_fetched() -> None:
    assert head(READINGS, Query()) == "SELECT * FROM c"
    assert head(READINGS, Query(), 7) == "SELECT TOP 7 * FROM c"
    fields = (
        '"id": c["id"], "equipmentId": c["equipmentId"], "day": c["day"], "values": c["values"], "_etag": c["_etag"]'
    )
    assert head(READINGS, Query(select=("values",))) == f"SELECT VALUE {{{fields}}} FROM c"
    assert head(READINGS, Query(select=("values",), order_by="ts"), 3) == (
        f'SELECT TOP 3 VALUE {{{fields}, "ts": c["ts"]}} FROM c'
    )
    assert r'"x\"]} FROM c --": c["x\"]} FROM c --"]' in head(RULES, Query(select=('x"]} FROM c --',)))


def test_buckets_fetch_the_time_and_the_values() -> None:
    query = BucketQuery(
        "ts", "2026-11-21T10:00:00Z", "2026-11-21T12:00:00+01:00", 60, {"core": ("values", "temperature.core", "v")}
    )
    statement = bucket_statement(query)
    assert statement.text == (
        'SELECT VALUE {"t": c["ts"], "s0": c["values"]["temperature.core"]["v"]} FROM c '
        'WHERE c["ts"] >= @p0 AND c["ts"] < @p1'
    )
    assert [p["value"] for p in statement.parameters] == ["2026-11-21T10:00:00.000Z", "2026-11-21T11:00:00.000Z"]
    assert "GROUP BY" not in statement.text
