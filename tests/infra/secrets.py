"""No key and no connection string anywhere: identities alone open doors."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.infra import syntax
from tests.infra.expressions import everything
from tests.infra.problem import Place, Problem
from tests.infra.program import Program

__all__ = ["check_secrets"]

_CONNECTION_STRING = re.compile(
    r"AccountKey=|SharedAccessKey(Name)?=|SharedAccessSignature|DefaultEndpointsProtocol=|AccountEndpoint=|"
    r"Endpoint=sb://|InstrumentationKey=|[?&]sig=|client_secret|-----BEGIN",
    re.IGNORECASE,
)
_KEY = re.compile(r"^(primary|secondary)\w*(Key|ConnectionString)$|^InstrumentationKey$")
_CALL = re.compile(r"\blist(Keys|ConnectionStrings|Secrets|Credentials|AccountSas|ServiceSas|\w*Keys)\b")


def check_secrets(program: Program) -> Iterator[Problem]:
    """In the Bicep files, and in the JSON files beside them."""
    for file in program.files.values():
        for expression in everything(file):
            yield from _expression(expression)
        for declaration in file.of(syntax.Parameter):
            yield from _default(declaration)
    for path in sorted((program.root / program.folder).rglob("*.json")):
        name = path.relative_to(program.root).as_posix()
        for number, line in enumerate((program.text(name) or "").splitlines(), 1):
            if (found := _CONNECTION_STRING.search(line)) or (found := _CALL.search(line)):
                yield Problem(Place(name, number), f"`{found[0]}` looks like a key or a connection string.")


def _expression(expression: syntax.Expression) -> Iterator[Problem]:
    match expression:
        case syntax.Call(at=at, name=name) if name.startswith("list"):
            yield Problem(at, f"`{name}` hands out keys; give the identity a role in their place.")
        case syntax.Member(at=at, name=name) if _KEY.match(name):
            yield Problem(at, f"`.{name}` is a key; give the identity a role in its place.")
        case syntax.Text(at=at, parts=parts):
            for part in parts:
                if isinstance(part, str) and (found := _CONNECTION_STRING.search(part)):
                    yield Problem(
                        at, f"`{found[0]}` belongs to a connection string; set the address and use the identity."
                    )


def _default(parameter: syntax.Parameter) -> Iterator[Problem]:
    default = parameter.default
    if parameter.decorator("secure") and default is not None:
        empty = (isinstance(default, syntax.Text) and default.plain == "") or isinstance(default, syntax.Null)
        if not empty and not (isinstance(default, syntax.Call) and default.name == "newGuid"):
            yield Problem(default.at, f"`{parameter.name}` is secret; its default would stand here for all to read.")
