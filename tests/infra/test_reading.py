"""Bicep text becomes the right objects: order of operators, strings, places, and what the grammar gets wrong."""

from __future__ import annotations

import pytest

from tests.infra import syntax
from tests.infra.reading import read


def shown(expression: syntax.Expression) -> str:
    """The expression with every pair of parentheses that it means."""
    match expression:
        case syntax.Text(plain=text):
            return f"'{text}'" if text is not None else "'...'"
        case syntax.Number(value=value):
            return str(value)
        case syntax.Truth(value=truth):
            return str(truth).lower()
        case syntax.Null():
            return "null"
        case syntax.Name(name=name):
            return name
        case syntax.Member(of=of, name=name, safe=safe):
            return f"{shown(of)}{'.?' if safe else '.'}{name}"
        case syntax.Child(of=of, name=name):
            return f"{shown(of)}::{name}"
        case syntax.Index(of=of, index=index, safe=safe):
            return f"{shown(of)}[{'?' if safe else ''}{shown(index)}]"
        case syntax.Call(name=name, arguments=arguments, of=of):
            return f"{shown(of) + '.' if of else ''}{name}({', '.join(map(shown, arguments))})"
        case syntax.Operation(operator="post!", operands=(operand,)):
            return f"{shown(operand)}!"
        case syntax.Operation(operator=operator, operands=(operand,)):
            return f"({operator}{shown(operand)})"
        case syntax.Operation(operator=operator, operands=(left, right)):
            return f"({shown(left)} {operator} {shown(right)})"
        case syntax.Choice(condition=condition, yes=yes, no=no):
            return f"({shown(condition)} ? {shown(yes)} : {shown(no)})"
        case syntax.Lambda(parameters=parameters, body=body):
            return f"({', '.join(parameters)} => {shown(body)})"
        case syntax.Array(items=items):
            return f"[{', '.join(map(shown, items))}]"
    return "?"


def variable(text: str) -> syntax.Expression:
    file, problems = read("x.bicep", f"var it = {text}\n")
    assert not problems
    return file.of(syntax.Variable)[0].value


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a == b.c", "(a == b.c)"),
        ("a.b == c.d && e.f", "((a.b == c.d) && e.f)"),
        ("a && b.c == d", "(a && (b.c == d))"),
        ("a || b && c.d", "(a || (b && c.d))"),
        ("a + b.c * d.e", "(a + (b.c * d.e))"),
        ("a.b * c + d", "((a.b * c) + d)"),
        ("a ?? b[0]", "(a ?? b[0])"),
        ("(a ?? b).c", "(a ?? b).c"),
        ("a == (b ?? c).d", "(a == (b ?? c).d)"),
        ("(a == b) == c", "((a == b) == c)"),
        ("(a && b.c) == d", "((a && b.c) == d)"),
        ("a ? b : c.d", "(a ? b : c.d)"),
        ("a ? b : c.d == e", "(a ? b : (c.d == e))"),
        ("a.b ? c.d : e.f ? g : h", "(a.b ? c.d : (e.f ? g : h))"),
        ("(a ? b : c).d", "(a ? b : c).d"),
        ("!a.b && c", "((!a.b) && c)"),
        ("!empty(a.b)", "(!empty(a.b))"),
        ("-a.b", "(-a.b)"),
        ("a!.b.c", "a!.b.c"),
        ("a.?b.c ?? d", "(a.?b.c ?? d)"),
        ("a[?'b']", "a[?'b']"),
        ("a::b.c == d::e.f", "(a::b.c == d::e.f)"),
        ("map(a, x => x.b)", "map(a, (x => x.b))"),
        ("map(a, x => x.b == c.d ? e : f.g)", "map(a, (x => ((x.b == c.d) ? e : f.g)))"),
        ("map(a, (x, i) => x.b + i)", "map(a, (x, i => (x.b + i)))"),
        ("sys.toLower(a) == az.deployment().name", "(toLower(a) == deployment().name)"),
        ("a == sys.toLower('x')", "(a == toLower('x'))"),
        ("[a(b), c[d].e, f]", "[a(b), c[d].e, f]"),
        ("[\n  resourceGroup().id\n  a.b[0]\n  !a.b\n]", "[resourceGroup().id, a.b[0], (!a.b)]"),
        ("[x.a(b).c == d ? 1 : 2]", "[((x.a(b).c == d) ? 1 : 2)]"),
        (r"'it\'s \${x} \u{41}\n'", "'it's ${x} A\n'"),
        ("'''\na ${b}\n'''", "'a ${b}\n'"),
    ],
)
def test_expressions_mean_what_bicep_means(text: str, meant: str) -> None:
    assert shown(variable(text)) == meant


def test_everything_knows_its_line() -> None:
    file, _ = read("x.bicep", "param a string\n\nvar b = {\n  c: [\n    a\n  ]\n}\n")
    assert [found.at.line for found in file.declarations] == [1, 3]
    body = file.of(syntax.Variable)[0].value
    assert isinstance(body, syntax.Object)
    assert body.entries[0].at.line == 4
    array = body.entries[0].value
    assert isinstance(array, syntax.Array)
    assert array.items[0].at.line == 5


def test_resources_are_read_with_all_that_stands_around_them() -> None:
    file, problems = read(
        "x.bicep",
        "@batchSize(2)\nresource a 'A.B/c@2024-01-01' existing = [for (x, i) in y: if (x.z) {\n  name: x.name\n\n"
        "  resource b 'd' = if (i > 0) {\n    name: 'b'\n  }\n}]\n",
    )
    assert not problems
    (resource,) = file.of(syntax.Resource)
    assert (resource.type, resource.version, resource.existing, resource.looped) == ("A.B/c", "2024-01-01", True, True)
    assert resource.decorator("batchSize") is not None
    assert isinstance(resource.value, syntax.Loop)
    assert (resource.value.item, resource.value.index) == ("x", "i")
    assert resource.value.condition is not None
    assert resource.body is not None
    (nested,) = resource.body.nested
    assert (nested.type, nested.version, nested.name) == ("d", None, "b")
    assert nested.condition is not None


@pytest.mark.parametrize(
    "text",
    [
        "param a",
        "var a = {",
        "var a = [",
        "var a = 'x",
        "var a 'x'",
        'var a = "x"',
        "parameter a string",
        "var a = f(b c)",
        "var a = 1 2",
        "var a = '${b'",
        "var a = { ...b }",
    ],
)
def test_what_is_no_bicep_is_reported(text: str) -> None:
    _, problems = read("x.bicep", f"var fine = 1\n{text}\n")
    assert problems
    assert all(problem.at.file == "x.bicep" and 1 <= problem.at.line <= 3 for problem in problems)
