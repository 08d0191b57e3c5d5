"""The route table against the Functions host's rules."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.functions import HttpFunction
from local.route_constraints import UnknownConstraint, constraint
from local.route_template import BadTemplate, parse_template
from local.routes import RouteTable, path_parts


def http(name: str, route: str, *methods: str) -> HttpFunction:
    return HttpFunction(name, print, [], "req", route, frozenset(methods) or None, "anonymous")


def match(template: str, path: str) -> dict[str, str] | None:
    return parse_template(template).match(path_parts(path))


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("", "/", {}),
        ("a/b", "/A/b", {}),
        ("a/b", "/a/b/", {}),
        ("a/b", "/a", None),
        ("a/b", "/a/b/c", None),
        ("a/b", "/a//b", None),
        ("a/{x}", "/a/1", {"x": "1"}),
        ("a/{x}", "/a/", None),
        ("a/{x?}", "/a", {}),
        ("a/{x?}", "/a/1", {"x": "1"}),
        ("a/{x?}", "/a/1/2", None),
        ("a/{x=7}", "/a", {"x": "7"}),
        ("a/{x:int=7}/{y?}", "/a", {"x": "7"}),
        ("a/{x:int=7}/{y?}", "/a/b", None),
        ("a/{*rest}", "/a/b/c", {"rest": "b/c"}),
        ("a/{**rest}", "/a/b/c", {"rest": "b/c"}),
        ("a/{*rest}", "/a", {"rest": ""}),
        ("{page:length(0)?}", "/", {}),
        ("{page:length(0)?}", "/x", None),
        ("a/{x}", "/a/b%20c", {"x": "b c"}),
        ("a/{x}", "/a/b%2Fc", {"x": "b%2Fc"}),
        ("a/{x}", "/a/%C3%B6", {"x": "ö"}),
        ("a/v{major:int}.{minor}", "/a/v1.2", {"major": "1", "minor": "2"}),
        ("a/v{major:int}.{minor}", "/a/vx.2", None),
        ("a/{name}.{ext?}", "/a/oven.json", {"name": "oven", "ext": "json"}),
        ("a/{name}.{ext?}", "/a/oven", {"name": "oven"}),
        ("a/{x:regex(^[a-z]{{2}}$)}", "/a/ab", {"x": "ab"}),
        ("a/{x:regex(^[a-z]{{2}}$)}", "/a/abc", None),
        ("a/{x:regex(^(b|c)(d)$)}", "/a/cd", {"x": "cd"}),
        ("a/{x:regex(^[b:]=$)}", "/a/b=", {"x": "b="}),
        ("a/{x:length(2):alpha}", "/a/a1", None),
        ("a/{{b}}", "/a/{b}", {}),
        ("Api/V1/{Id}", "/api/v1/Q", {"Id": "Q"}),
    ],
)
def test_templates(template: str, path: str, values: dict[str, str] | None) -> None:
    found = match(template, path)
    if values == {"rest": ""}:  # an absent catch-all has no value
        values = {}
    assert found == values


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("int", ["7", "-7", "+7", "2147483647"], ["", "x", "2147483648", "1.5", "1e3"]),
        ("long", ["9223372036854775807"], ["9223372036854775808"]),
        ("bool", ["true", "FALSE"], ["1", "yes"]),
        ("guid", ["0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9", "0A1B2C3D4E5F60718293A4B5C6D7E8F9"], ["0a1b", "{0a1b}"]),
        ("guid", ["{0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9}"], ["{0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9)"]),
        ("alpha", ["abc", "ABC", ""], ["a1", "ä"]),
        ("decimal", ["1.5", "-3", "1,000.25"], ["1e5", "x", "99999999999999999999999999999999"]),
        ("double", ["1.5", "1e5", "NaN"], ["x", "1.5.2"]),
        ("float", ["-.5"], ["--1"]),
        ("datetime", ["2026-11-21", "2026-11-21T10:00:00Z", "11/21/2026"], ["soon", "7", "2026-13-40"]),
        ("length(3)", ["abc"], ["ab", "abcd"]),
        ("length(2,3)", ["ab", "abc"], ["a", "abcd"]),
        ("minlength(2)", ["ab"], ["a"]),
        ("maxlength(2)", ["ab"], ["abc"]),
        ("min(5)", ["5"], ["4", "x"]),
        ("max(5)", ["5", "-9"], ["6"]),
        ("range(1,9)", ["1", "9"], ["0", "10"]),
        ("regex(b+)", ["abbc", "B"], ["ac"]),
        ("required", ["a"], [""]),
    ],
)
def test_constraints(text: str, good: list[str], bad: list[str]) -> None:
    check = constraint(text)
    assert [v for v in good if not check(v)] == []
    assert [v for v in bad if check(v)] == []


@pytest.mark.parametrize("text", ["uuid", "length(x)", "length(1,2,3)", "regex([)", "int(3)", "range(1)"])
def test_unknown_constraints(text: str) -> None:
    with pytest.raises(UnknownConstraint):
        constraint(text)


@pytest.mark.parametrize(
    "text",
    [
        "a/{x",
        "a/x}",
        "a//b",
        "{x}/{X}",
        "{*rest}/a",
        "{a}{b}",
        "a/{x:uuid}",
        "{x?}.y",
        "{}",
        "{x?=1}",
        "~/a",
        "a?b",
        "{x:regex(^(b|c):d$)}",
    ],
)
def test_bad_templates(text: str) -> None:
    with pytest.raises(BadTemplate):
        parse_template(text)


def find(table: RouteTable, method: str, path: str) -> tuple[str, dict[str, str]] | None:
    found = table.find(method, path)
    return (found.function.name, found.params) if found is not None else None


def test_the_first_by_name_wins_not_the_literal() -> None:
    table = RouteTable([http("list_alerts", "equipment/alerts", "GET"), http("get_equipment", "equipment/{id}", "GET")])
    assert find(table, "GET", "/equipment/alerts") == ("get_equipment", {"id": "alerts"})


def test_names_are_ordered_without_case() -> None:
    table = RouteTable([http("B", "x/{one}"), http("a", "x/{two}"), http("C", "x/{three}")])
    assert find(table, "GET", "/x/1") == ("a", {"two": "1"})


def test_a_failed_constraint_goes_on_to_the_next() -> None:
    table = RouteTable([http("a", "x/{id:int}"), http("b", "x/{id:length(3)}"), http("c", "x/all")])
    assert find(table, "GET", "/x/7") == ("a", {"id": "7"})
    assert find(table, "GET", "/x/all") == ("b", {"id": "all"})
    assert find(table, "GET", "/x/four") is None


def test_a_method_that_is_not_listed_is_no_route() -> None:
    table = RouteTable([http("a", "x/{id}", "GET"), http("b", "x/{id}", "POST"), http("c", "y")])
    assert find(table, "POST", "/x/1") == ("b", {"id": "1"})
    assert find(table, "DELETE", "/x/1") is None
    assert find(table, "HEAD", "/x/1") is None
    assert find(table, "OPTIONS", "/y") == ("c", {})
    assert table.methods("/x/1") == ["GET", "POST"]
    assert table.methods("/nowhere") == []


def test_optional_and_catch_all_stand_in_the_tree() -> None:
    table = RouteTable([http("a", "x/{id?}"), http("b", "{*all}"), http("page", "{none:length(0)?}")])
    assert find(table, "GET", "/x") == ("a", {})
    assert find(table, "GET", "/x/1") == ("a", {"id": "1"})
    assert find(table, "GET", "/x/1/2") == ("b", {"all": "x/1/2"})
    assert find(table, "GET", "/") == ("b", {})


SEGMENTS = st.sampled_from(["a", "b", "{x}", "{x:int}", "{x?}", "v{x}", "{x:length(1)}", "{*x}", "1"])
TEMPLATES = st.lists(SEGMENTS, max_size=3).map("/".join)
PATHS = st.lists(st.sampled_from(["a", "A", "b", "1", "12", "v1", "", "%61"]), max_size=4).map(
    lambda p: "/" + "/".join(p)
)
METHODS: list[tuple[str, ...]] = [(), ("GET",), ("POST",), ("GET", "POST")]


@given(st.lists(st.tuples(TEMPLATES, st.sampled_from(METHODS)), max_size=6), PATHS)
def test_the_tree_finds_what_trying_one_after_the_other_finds(routes: list[tuple[str, Any]], path: str) -> None:
    functions = []
    for i, (template, methods) in enumerate(routes):
        unique = re.sub("x", "x" + str(i), template, count=0)
        try:
            parse_template(unique)
        except BadTemplate:
            continue
        functions.append(http(f"f{i}", unique, *methods))
    plain = next(
        (
            (f.name, values)
            for f in functions
            if f.methods is None or "GET" in f.methods
            if (values := parse_template(f.route).match(path_parts(path))) is not None
        ),
        None,
    )
    assert find(RouteTable(functions), "GET", path) == plain
