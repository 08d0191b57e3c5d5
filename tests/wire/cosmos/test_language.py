"""The query language itself: what it gives, what it refuses, and that nothing makes it fall over."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.wire.cosmos.indexing import DEFAULT_POLICY, IndexingPolicy
from tests.wire.cosmos.protocol import CosmosError, json_bytes
from tests.wire.cosmos.sql.execution import run
from tests.wire.cosmos.sql.functions import like_pattern
from tests.wire.cosmos.sql.parser import parse
from tests.wire.cosmos.sql.values import UNDEFINED, compare, equal, freeze, same, sort_key

NOW = 1_795_255_200.0
POLICY = IndexingPolicy(DEFAULT_POLICY)


class Document:
    """What is queried."""

    def __init__(self, number: int, body: dict[str, Any]) -> None:
        self.number, self.body, self.raw = number, body, json_bytes(body)


def ask(text: str, *bodies: dict[str, Any], **parameters: Any) -> list[Any]:
    """All rows."""
    items = [Document(number, body) for number, body in enumerate(bodies)]
    given_ = {f"@{name}": value for name, value in parameters.items()}
    return run(parse(text), items, POLICY, given_, lambda: NOW, page_size=1000).values


def value_of(expression: str, body: dict[str, Any] | None = None, **parameters: Any) -> Any:
    """One expression over one document; ``UNDEFINED`` when it gives nothing."""
    found = ask(f"SELECT VALUE {expression} FROM c", body or {}, **parameters)
    return found[0] if found else UNDEFINED


OVEN: dict[str, Any] = {
    "id": "a",
    "n": 3,
    "name": "Stikken 3",
    "on": True,
    "none": None,
    "tags": ["rye", "wheat"],
    "zones": [{"zone": "core", "t": 96.5}, {"zone": "deck", "t": 240}],
    "values": {"temperature.core": {"v": 72}},
    "order by": 1,
}


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("c.n", 3),
        ("c['n']", 3),
        ('c["values"]["temperature.core"].v', 72),
        ('c["values"]["temperature.core"]["v"]', 72),
        ('c["order by"]', 1),
        ("c.zones[1].t", 240),
        ("c.zones[2].t", UNDEFINED),
        ("c.zones[-1]", UNDEFINED),
        ("c.n.deeper", UNDEFINED),
        ("c.none", None),
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 4 - 3", 3),
        ("7 % 4", 3),
        ("-7 % 4", -3),
        ("1 / 0", UNDEFINED),
        ("1 / 4", 0.25),
        ("1 + 'a'", UNDEFINED),
        ("'a' || 'b' || 'c'", "abc"),
        ("-c.n", -3),
        ("6 & 3 | 8", 10),
        ("1e3", 1000),
        (".5", 0.5),
        ("'it\\'s'", "it's"),
        ('"a\\"b\\\\c\\u00fc\\n"', 'a"b\\cü\n'),
        ("'\\uD834\\uDD1E'", "𝄞"),
        # three truths
        ("true AND c.absent", UNDEFINED),
        ("false AND c.absent", False),
        ("c.absent AND false", False),
        ("true OR c.absent", True),
        ("c.absent OR true", True),
        ("false OR c.absent", UNDEFINED),
        ("NOT c.absent", UNDEFINED),
        ("NOT c.on = false", True),
        ("NOT NOT c.on", True),
        ("1 AND true", UNDEFINED),
        # comparing, never between types
        ("1 = 1.0", True),
        ("1 = '1'", UNDEFINED),
        ("1 = true", UNDEFINED),
        ("1 != '1'", UNDEFINED),
        ("null = null", True),
        ("c.none = null", True),
        ("c.absent = null", UNDEFINED),
        ("c.absent = c.absent", UNDEFINED),
        ("c.tags = ['rye', 'wheat']", True),
        ("{'a': 1} = {'a': 1}", True),
        ("[1] = [true]", False),
        ("'a' < 'b'", True),
        ("1 < 'b'", UNDEFINED),
        ("2 <> 3", True),
        ("c.n BETWEEN 3 AND 4", True),
        ("c.n NOT BETWEEN 3 AND 4", False),
        ("c.n BETWEEN 'a' AND 'b'", UNDEFINED),
        ("c.n IN (1, 2, 3)", True),
        ("c.n NOT IN (1, 2)", True),
        ("c.n IN ('3')", False),
        ("c.absent IN (1)", UNDEFINED),
        ("c.none IN (null)", True),
        ("c.name LIKE 'Stik%'", True),
        ("c.name LIKE '_tikken [0-9]'", True),
        ("c.name LIKE '%[^0-9]'", False),
        ("'50%' LIKE '50!%' ESCAPE '!'", True),
        ("'505' LIKE '50!%' ESCAPE '!'", False),
        ("'b-' LIKE '[a-c][x-]'", True),
        ("'b' LIKE '[^a-c]'", False),
        ("'&' LIKE '[|&~]'", True),
        # choosing
        ("c.on ? 'yes' : 'no'", "yes"),
        ("c.absent ? 'yes' : 'no'", "no"),
        ("1 ? 'yes' : 'no'", "no"),
        ("c.absent ?? c.none ?? 'none'", "none"),
        ("c.n ?? 5", 3),
        ("c.absent ?? 5", 5),
        ("IIF(c.n > 2, 'many', 'few')", "many"),
        # functions
        ("IS_DEFINED(c.none)", True),
        ("IS_DEFINED(c.absent)", False),
        ("NOT IS_DEFINED(c.absent)", True),
        ("IS_NULL(c.none)", True),
        ("IS_NUMBER(c.on)", False),
        ("is_bool(c.on)", True),
        ("IS_STRING(c.name)", True),
        ("IS_ARRAY(c.tags)", True),
        ("IS_OBJECT(c['values'])", True),
        ("IS_PRIMITIVE(c.tags)", False),
        ("STARTSWITH(c.name, 'stik')", False),
        ("STARTSWITH(c.name, 'stik', true)", True),
        ("CONTAINS(c.name, 'KEN', true)", True),
        ("ENDSWITH(c.name, '3')", True),
        ("StringEquals(c.name, 'STIKKEN 3', true)", True),
        ("CONTAINS(c.n, '3')", UNDEFINED),
        ("UPPER(c.name)", "STIKKEN 3"),
        ("CONCAT(c.name, '!', 'x')", "Stikken 3!x"),
        ("LENGTH(c.name)", 9),
        ("SUBSTRING(c.name, 1, 3)", "tik"),
        ("LEFT(c.name, 2)", "St"),
        ("RIGHT(c.name, 1)", "3"),
        ("INDEX_OF(c.name, 'k')", 3),
        ("REPLACE(c.name, 'k', 'c')", "Sticcen 3"),
        ("TRIM('  a ')", "a"),
        ("ToString(1.5)", "1.5"),
        ("StringToNumber('1.5')", 1.5),
        ("StringToNumber('x')", UNDEFINED),
        ("RegexMatch(c.name, '^stik', 'i')", True),
        ("ROUND(2.5)", 3),
        ("ROUND(-2.5)", -3),
        ("FLOOR(-0.5)", -1),
        ("SQRT(-1)", UNDEFINED),
        ("POWER(2, 10)", 1024),
        ("ARRAY_CONTAINS(c.tags, 'rye')", True),
        ("ARRAY_CONTAINS(c.tags, @p)", False),
        ("ARRAY_CONTAINS(c.zones, {'zone': 'core'}, true)", True),
        ("ARRAY_CONTAINS(c.zones, {'zone': 'core'})", False),
        ("ARRAY_CONTAINS([1], true)", False),
        ("ARRAY_LENGTH(c.tags)", 2),
        ("ARRAY_SLICE(c.tags, -1)", ["wheat"]),
        ("ARRAY_CONCAT(c.tags, [1])", ["rye", "wheat", 1]),
        ("SetIntersect([1, 2, 2], [2, 3])", [2]),
        ("{'a': c.n, 'b': c.absent}", {"a": 3}),
        ("[c.n, c.absent]", [3]),
        # subqueries
        ("EXISTS(SELECT VALUE z FROM z IN c.zones WHERE z.t > 200)", True),
        ("EXISTS(SELECT VALUE z FROM z IN c.zones WHERE z.t > 300)", False),
        ("ARRAY(SELECT VALUE z.zone FROM z IN c.zones)", ["core", "deck"]),
        ("(SELECT VALUE MAX(z.t) FROM z IN c.zones)", 240),
        ("(SELECT VALUE COUNT(1) FROM z IN c.zones WHERE z.t < c.n)", 0),
        # time
        ("GetCurrentDateTime()", "2026-11-21T10:00:00.0000000Z"),
        ("GetCurrentTimestamp()", 1_795_255_200_000),
        ("DateTimeAdd('minute', -15, '2026-11-21T10:00:00.000Z')", "2026-11-21T09:45:00.0000000Z"),
        ("DateTimeAdd('month', 1, '2026-01-31T10:00:00Z')", "2026-02-28T10:00:00.0000000Z"),
        ("DateTimeAdd('yyyy', -1, '2024-02-29')", "2023-02-28T00:00:00.0000000Z"),
        ("DateTimeAdd('dd', 40, '2026-11-21T10:00:00.1234567Z')", "2026-12-31T10:00:00.1234567Z"),
        ("DateTimeDiff('minute', '2026-11-21T10:00:59Z', '2026-11-21T10:01:00Z')", 1),
        ("DateTimeDiff('minute', '2026-11-21T10:00:00Z', '2026-11-21T10:00:59Z')", 0),
        ("DateTimeDiff('hour', '2026-11-22T00:00:00Z', '2026-11-21T23:00:00Z')", -1),
        ("DateTimeDiff('year', '2025-12-31T23:59:59Z', '2026-01-01T00:00:00Z')", 1),
        ("DateTimeDiff('minute', c.absent, '2026-11-21T10:01:00Z')", UNDEFINED),
        ("DateTimeDiff('minute', 'yesterday', '2026-11-21T10:01:00Z')", UNDEFINED),
        ("DateTimeDiff('fortnight', '2026-11-21T10:01:00Z', '2026-11-21T10:01:00Z')", UNDEFINED),
        ("DateTimeBin('2026-11-21T10:07:31.123Z', 'minute', 5)", "2026-11-21T10:05:00.0000000Z"),
        ("DateTimeBin('2026-11-21T10:07:31.123Z', 'hour')", "2026-11-21T10:00:00.0000000Z"),
        ("DateTimeBin('2026-11-21T10:07:31Z', 'dd', 7)", "2026-11-19T00:00:00.0000000Z"),
        ("DateTimeBin('2026-11-21T10:07:31Z', 'dd', 7, '2026-11-11T06:00:00Z')", "2026-11-18T06:00:00.0000000Z"),
        ("DateTimePart('mm', '2026-11-21T10:07:31Z')", 11),
        ("DateTimePart('ms', '2026-11-21T10:07:31.25Z')", 250),
        ("DateTimeToTimestamp('2026-11-21T10:00:00Z')", 1_795_255_200_000),
        ("TimestampToDateTime(1795255200000)", "2026-11-21T10:00:00.0000000Z"),
    ],
)
def test_expressions(expression: str, result: Any) -> None:
    found = value_of(expression, OVEN, p="barley")
    assert same(found, result), found


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("SELECT * FROM c WHERE c.n = 3", [OVEN]),
        ("select c.id from c where c.n = 3 -- remark", [{"id": "a"}]),
        ("SELECT c.id, c['n'] AS number, c.n + 1, c.absent FROM c", [{"id": "a", "number": 3, "$1": 4}]),
        ('SELECT c["values"]["temperature.core"] FROM c', [{"temperature.core": {"v": 72}}]),
        ("SELECT VALUE x.n FROM root x", [3]),
        ("SELECT VALUE x.n FROM anything AS x", [3]),
        ("SELECT VALUE t FROM t IN c.tags", ["rye", "wheat"]),
        ("SELECT VALUE zones FROM c.zones", [OVEN["zones"]]),
        ("SELECT c.id, z.t FROM c JOIN z IN c.zones WHERE z.t > 100", [{"id": "a", "t": 240}]),
        (
            "SELECT VALUE [t, z.t] FROM c JOIN t IN c.tags JOIN z IN c.zones WHERE z.t < 99",
            [["rye", 96.5], ["wheat", 96.5]],
        ),
        ("SELECT DISTINCT VALUE LENGTH(t) > 1 FROM c JOIN t IN c.tags", [True]),
        ("SELECT COUNT(1) AS n, SUM(z.t) AS s FROM c JOIN z IN c.zones", [{"n": 2, "s": 336.5}]),
        ("SELECT VALUE COUNT(1) FROM c WHERE false", [0]),
        ("SELECT VALUE MAX(c.n) FROM c WHERE false", []),
        ("SELECT VALUE {'hot': ARRAY(SELECT VALUE z.t FROM z IN c.zones WHERE z.t > 99)} FROM c", [{"hot": [240]}]),
        ("SELECT 1 AS one", [{"one": 1}]),
        ("SELECT c.on, COUNT(1) AS n FROM c GROUP BY c.on", [{"on": True, "n": 1}]),
        ("SELECT c.absent, COUNT(1) AS n FROM c GROUP BY c.absent", [{"n": 1}]),
    ],
)  # fmt: skip
def test_queries(text: str, result: list[Any]) -> None:
    assert ask(text, OVEN) == result


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELEC * FROM c", "SC1001.*incorrect syntax near 'SELEC'"),
        ("SELECT * FRMO c", "SC1001.*incorrect syntax near 'FRMO'"),
        ("SELECT * FROM c WHERE", "SC1001.*unexpected end"),
        ("SELECT * FROM c WHERE c.order = 1", "SC1001.*near 'order'"),
        ("SELECT c.value FROM c", "SC1001.*near 'value'"),
        ("SELECT * FROM c WHERE c.a == 1", "SC1001.*near '='"),
        ("SELECT * FROM c WHERE c.a = 'x", "SC1012"),
        ("SELECT * FROM c WHERE c.a = 12ab", "SC1010"),
        ("SELECT * FROM c; DROP", "SC1012"),
        ("SELECT * FROM c WHERE x.a = 1", "SC2001.*Identifier 'x' could not be resolved"),
        ("SELECT * FROM c WHERE c.a = @absent", "SC2001.*'@absent'"),
        ("SELECT * FROM c WHERE FOO(c.a)", "SC2005.*'FOO' is not a recognized built-in function name"),
        ("SELECT * FROM c WHERE udf.mine(c.a)", "SC2005"),
        ("SELECT * FROM c WHERE LOWER(c.a, 1)", "SC2050.*LOWER function requires 1"),
        ("SELECT * FROM c JOIN t IN c.tags", "SC2040"),
        ("SELECT c.a, c['a'] FROM c", "duplicate property name"),
        ("SELECT TOP -1 * FROM c", "SC1001"),
        ("SELECT TOP @p * FROM c", "TOP"),
        ("SELECT * FROM c ORDER BY c.a + 1", "could not be mapped"),
        ("SELECT c.a FROM c JOIN t IN c.tags ORDER BY c.a", "correlated"),
        ("SELECT VALUE SUM(COUNT(1)) FROM c", "aggregate of an aggregate|cannot be taken"),
        ("SELECT VALUE COUNT(1, 2) FROM c", "SC2050"),
        ("SELECT * FROM c WHERE " + "(" * 200 + "1" + ")" * 200, "SC3023"),
        ("SELECT * FROM c WHERE " + "NOT " * 5000 + "true", "SC3023"),
        ("SELECT * FROM c WHERE c" + ".a" * 5000, "SC3023"),
        ("SELECT * FROM c WHERE " + " AND ".join(["true"] * 5000), "SC3023"),
    ],
)
def test_refusals(text: str, said: str) -> None:
    with pytest.raises(CosmosError, match=said) as refused:
        ask(text, OVEN, p="x")
    assert refused.value.status == 400


def test_a_thousand_choices_are_no_nesting() -> None:
    assert ask(f"SELECT VALUE c.n FROM c WHERE c.n IN ({', '.join(map(str, range(1000)))})", OVEN) == [3]


# properties

NAMES = st.text(min_size=1, max_size=6)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    SCALARS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
@settings(deadline=None)
def test_a_parameter_is_given_back_as_it_is(value: Any) -> None:
    assert same(value_of("@v", v=value), value)
    assert value_of("@v = @w", v=value, w=value) is True


@given(st.text(max_size=20))
@settings(deadline=None)
def test_a_text_literal_is_json(text: str) -> None:
    literal = json_bytes(text).decode()
    assert value_of(literal) == text


@given(NAMES, JSON)
@settings(deadline=None)
def test_any_name_can_be_reached(name: str, value: Any) -> None:
    place = json_bytes(name).decode()
    assert same(value_of(f"c[{place}]", {name: value}), value)
    assert same(value_of(f'c["in"][{place}]', {"in": {name: value}}), value)
    assert value_of(f"IS_DEFINED(c[{place}])", {}) is False


@given(JSON, JSON)
@settings(deadline=None)
def test_comparisons_agree(left: Any, right: Any) -> None:
    order = compare(left, right)
    for operator, holds in (("<", (-1,)), ("<=", (-1, 0)), (">", (1,)), (">=", (0, 1))):
        found = value_of(f"@l {operator} @r", l=left, r=right)
        assert found is UNDEFINED if order is None else found is (order in holds)
    assert value_of("@l = @r", l=left, r=right) is equal(left, right)
    if equal(left, right) is not UNDEFINED:
        assert value_of("@l != @r", l=left, r=right) is (not equal(left, right))
        assert (freeze(left) == freeze(right)) is same(left, right)


@given(st.lists(SCALARS | st.text(max_size=4), max_size=12), st.booleans())
@settings(deadline=None)
def test_order_is_total_and_stable(values: list[Any], down: bool) -> None:
    bodies = [{"id": f"{n}", "v": v} for n, v in enumerate(values)]
    found = ask(f"SELECT VALUE c.id FROM c ORDER BY c.v {'DESC' if down else ''}", *bodies)
    keys = [sort_key(values[int(name)]) for name in found]
    assert keys == sorted(keys, reverse=down)
    assert sorted(found, key=int) == [body["id"] for body in bodies]


@given(st.lists(st.integers(-100, 100), max_size=20), st.integers(1, 7), st.booleans(), st.integers(0, 5))
@settings(deadline=None)
def test_pages_give_every_row_once(values: list[int], size: int, ordered: bool, offset: int) -> None:
    items = [Document(number, {"id": f"{number}", "v": value}) for number, value in enumerate(values)]
    order = "ORDER BY c.v" if ordered else ""
    tree = parse(f"SELECT VALUE c.v FROM c WHERE c.v != 7 {order} OFFSET {offset} LIMIT 15")
    kept = [value for value in values if value != 7]
    found: list[int] = []
    position = None
    for _ in range(40):
        page = run(tree, items, POLICY, {}, lambda: NOW, page_size=size, position=position)
        assert len(page.values) <= size
        found += page.values
        position = page.position
        if position is None:
            break
    assert position is None
    assert found == (sorted(kept) if ordered else kept)[offset : offset + 15]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
@settings(deadline=None)
def test_aggregates_are_what_python_says(values: list[float]) -> None:
    text = "SELECT COUNT(c.v) AS n, MIN(c.v) AS lo, MAX(c.v) AS hi, SUM(c.v) AS s, AVG(c.v) AS mean FROM c"
    (found,) = ask(text, *({"v": value} for value in values), {})
    assert (found["n"], found["lo"], found["hi"]) == (len(values), min(values), max(values))
    assert math.isclose(found["s"], math.fsum(values), abs_tol=1e-9)
    assert math.isclose(found["mean"], math.fsum(values) / len(values), abs_tol=1e-9)


@given(st.text("ab%_[]^-!\\.*&|~", max_size=8), st.text("ab%_.", max_size=8))
@example("[", "[")
@example("[]", "[]")
@example("[a--b]", "a")
@example("[[a]", "[")
@example("[z-a]", "z")
@settings(deadline=None)
def test_like_never_falls_over(pattern: str, text: str) -> None:
    like_pattern(pattern, None).fullmatch(text)
    like_pattern(pattern, "!").fullmatch(text)


@given(st.text("ab", max_size=6), st.text("ab", max_size=3))
@settings(deadline=None)
def test_like_with_a_percent_sign_is_startswith(text: str, start: str) -> None:
    assert value_of("@t LIKE @p", t=text, p=start + "%") is text.startswith(start)


_WORDS = st.sampled_from(
    [
        *(
            "SELECT",
            "VALUE",
            "TOP",
            "DISTINCT",
            "FROM",
            "c",
            "WHERE",
            "AND",
            "OR",
            "NOT",
            "IN",
            "BETWEEN",
            "LIKE",
            "JOIN",
        ),
        *("ORDER", "BY", "GROUP", "OFFSET", "LIMIT", "EXISTS", "ARRAY", "COUNT", "LOWER", "udf", "x", "_", "c.a", "@p"),
        *("(", ")", "[", "]", "{", "}", ",", ".", ":", "?", "??", "=", "!=", "<", ">", "+", "-", "*", "/", "%", ";"),
        *("'a'", '"b"', "1", "2.5", "null", "true", "undefined", "\\", "'", '"'),
    ]
)


def refused_or_answered(text: str) -> bool:
    try:
        ask(text, OVEN, p=1)
    except CosmosError as refused:
        return refused.status == 400
    return True


@given(st.lists(_WORDS, max_size=14).map(lambda words: "SELECT " + " ".join(words)))
@settings(deadline=None)
def test_whatever_is_asked_is_answered_or_refused(text: str) -> None:
    assert refused_or_answered(text)


@given(st.text(max_size=40))
@settings(deadline=None)
def test_noise_is_refused(text: str) -> None:
    assert refused_or_answered(text)
