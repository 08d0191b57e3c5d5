"""Names: undefined, declared twice, in a circle, never used; functions that do not exist or get the wrong number of
arguments; types and decorators that do not exist."""

from __future__ import annotations

from collections.abc import Iterator

from tests.infra import syntax
from tests.infra.circles import circles
from tests.infra.functions import FUNCTIONS, NAMESPACES
from tests.infra.problem import Place, Problem
from tests.infra.program import Program

__all__ = ["check_symbols"]

_DECORATORS = {
    "allowed", "batchSize", "description", "discriminator", "export", "maxLength", "maxValue", "metadata", "minLength",
    "minValue", "onlyIfNotExists", "retryOn", "sealed", "secure", "waitUntil",
}  # fmt: skip
_PARAMETER_ONLY = {"utcNow", "newGuid"}

Names = frozenset[str]


def check_symbols(program: Program) -> Iterator[Problem]:
    """Everything about names, file by file."""
    for file in program.files.values():
        checker = _Checker(file)
        yield from checker.problems()
        yield from circles(program, file)


class _Checker:
    def __init__(self, file: syntax.BicepFile) -> None:
        self._file = file
        self._functions = {function.name: function for function in file.of(syntax.Function)}
        imports = {found.name for found in file.of(syntax.Import)}
        self._namespaces = {found.name for found in file.of(syntax.Import) if found.original == "*"}
        self._imported = imports - self._namespaces
        self._types = {found.name for found in file.of(syntax.TypeDeclaration)} | self._imported
        self._used: set[str] = set()
        values = syntax.Parameter | syntax.Variable | syntax.Resource | syntax.Module | syntax.Import
        self._top: Names = frozenset(found.name for found in file.declarations if isinstance(found, values))

    def problems(self) -> Iterator[Problem]:
        yield from self._twice()
        for expression in self._file.loose:
            yield from self._expression(expression, self._top)
        for declaration in self._file.declarations:
            yield from self._declaration(declaration, self._top)
        yield from self._unused()

    def _twice(self) -> Iterator[Problem]:
        for outputs in (False, True):
            seen: dict[str, Place] = {}
            for found in self._file.declarations:
                if isinstance(found, syntax.Output) is not outputs:
                    continue
                if found.name in seen:
                    what = "output" if outputs else "name"
                    sentence = f"the {what} `{found.name}` is declared twice; first on line {seen[found.name].line}."
                    yield Problem(found.at, sentence)
                seen.setdefault(found.name, found.at)

    def _declaration(self, declaration: syntax.Declaration, names: Names) -> Iterator[Problem]:
        for decorator in declaration.decorators:
            if decorator.name not in _DECORATORS:
                yield Problem(decorator.at, f"there is no decorator `@{decorator.name}()`.")
            for argument in decorator.arguments:
                yield from self._expression(argument, names)
        match declaration:
            case syntax.Parameter(type=kind, default=default):
                yield from self._type(kind)
                if default is not None:
                    yield from self._expression(default, names, in_default=True)
            case syntax.Variable(value=value):
                yield from self._expression(value, names)
            case syntax.Output(type=kind, value=value):
                yield from self._type(kind)
                yield from self._expression(value, names)
            case syntax.TypeDeclaration(type=kind):
                yield from self._type(kind)
            case syntax.Function(parameters=parameters, returns=returns, body=body):
                for _, kind in parameters:
                    yield from self._type(kind)
                yield from self._type(returns)
                yield from self._expression(body, frozenset(name for name, _ in parameters))
            case syntax.Resource() | syntax.Module():
                yield from self._body(declaration, names)

    def _body(self, declaration: syntax.Resource | syntax.Module, names: Names) -> Iterator[Problem]:
        if declaration.condition is not None:
            yield from self._expression(declaration.condition, names)
        value = declaration.value
        if isinstance(value, syntax.Loop):
            yield from self._expression(value.over, names)
            names |= {value.item, *([value.index] if value.index else [])}
            if value.condition is not None:
                yield from self._expression(value.condition, names)
        body = declaration.body
        if body is None:
            yield Problem(declaration.at, f"`{declaration.name}` needs a body in braces.")
            return
        names |= {nested.name for nested in body.nested}
        yield from self._expression(body, names)
        for nested in body.nested:
            yield from self._declaration(nested, names)

    def _expression(
        self, expression: syntax.Expression, names: Names, *, in_default: bool = False
    ) -> Iterator[Problem]:
        match expression:
            case syntax.Name(at=at, name=name):
                self._used.add(name)
                if name not in names:
                    yield Problem(at, f"`{name}` is not declared{_like(name, names)}.")
            case syntax.Call():
                yield from self._call(expression, in_default=in_default)
            case syntax.Loop(item=item, index=index, over=over):
                yield from self._expression(over, names)
                names |= {item, *([index] if index else [])}
                for inner in (expression.condition, expression.body):
                    if inner is not None:
                        yield from self._expression(inner, names)
                return
            case syntax.Lambda(parameters=parameters):
                names |= set(parameters)
            case syntax.Object(entries=entries):
                yield from _keys_twice(entries)
        for child in syntax.children(expression):
            yield from self._expression(child, names, in_default=in_default)

    def _call(self, call: syntax.Call, *, in_default: bool) -> Iterator[Problem]:
        name, count = call.name, len(call.arguments)
        if call.of is not None:
            if not (isinstance(call.of, syntax.Name) and call.of.name in (*NAMESPACES, *self._namespaces)):
                yield Problem(call.at, f"`.{name}()` is no function that may be used here.")
            return
        self._used.add(name)
        if name in self._imported:
            return
        if name in self._functions:
            least = most = len(self._functions[name].parameters)
        elif name in FUNCTIONS:
            least, most = FUNCTIONS[name].least, FUNCTIONS[name].most
        elif name.startswith("list"):
            return  # tests.infra.secrets has more to say about it
        else:
            yield Problem(call.at, f"there is no function `{name}`{_like(name, {*FUNCTIONS, *self._functions})}.")
            return
        if not least <= count <= most:
            wanted = str(least) if least == most else f"at least {least}" if most >= 1000 else f"{least} to {most}"
            yield Problem(call.at, f"`{name}` takes {wanted} arguments, here it gets {count}.")
        if name in _PARAMETER_ONLY and not in_default:
            yield Problem(call.at, f"`{name}` may only stand in the default of a parameter.")

    def _type(self, kind: syntax.Type) -> Iterator[Problem]:
        match kind:
            case syntax.NamedType(at=at, name=name, within=within):
                self._used.add(within or name)
                known = within in self._namespaces if within else name in self._types
                if not known:
                    yield Problem(at, f"there is no type `{within or name}`.")
            case syntax.UnionType(options=options):
                for option in options:
                    yield from self._type(option)
            case syntax.ArrayType(item=inner) | syntax.NullableType(of=inner):
                yield from self._type(inner)
            case syntax.ObjectType(properties=properties):
                for found in properties:
                    yield from self._type(found.type)

    def _unused(self) -> Iterator[Problem]:
        """bicepconfig.json makes these errors."""
        for found in self._file.declarations:
            if found.name in self._used or found.decorator("export"):
                continue
            if isinstance(found, syntax.Parameter | syntax.Variable | syntax.Function | syntax.Import):
                yield Problem(found.at, f"`{found.name}` is declared, but nothing uses it.")
            elif isinstance(found, syntax.Resource) and found.existing:
                yield Problem(found.at, f"the existing resource `{found.name}` is looked up, but nothing uses it.")


def _keys_twice(entries: tuple[syntax.Entry, ...]) -> Iterator[Problem]:
    seen: set[str] = set()
    for entry in entries:
        if entry.key is not None and entry.key in seen:
            yield Problem(entry.at, f"the property `{entry.key}` is set twice.")
        seen |= {entry.key} if entry.key is not None else set()


def _like(name: str, names: Names | set[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, sorted(names), 1)
    return f"; did you mean `{close[0]}`?" if close else ""
