"""Tokens to a tree: recursive descent, one method for each level of precedence."""

from __future__ import annotations

from functools import lru_cache

from tests.wire.cosmos.protocol import CosmosError
from tests.wire.cosmos.sql.lexer import Token, query_error, tokens, too_deep
from tests.wire.cosmos.sql.syntax import (
    ArrayLiteral,
    Between,
    Binary,
    Call,
    Expr,
    In,
    Like,
    Literal,
    Member,
    Name,
    ObjectLiteral,
    OrderItem,
    Parameter,
    Query,
    SelectItem,
    Source,
    Span,
    Subquery,
    Ternary,
    Unary,
)
from tests.wire.cosmos.sql.values import UNDEFINED

__all__ = ["parse"]

_COMPARISONS = {"=", "!=", "<>", "<", "<=", ">", ">="}
_ARITHMETIC: tuple[frozenset[str], ...] = (
    frozenset({"|"}),
    frozenset({"^"}),
    frozenset({"&"}),
    frozenset({"<<", ">>", ">>>"}),
    frozenset({"+", "-", "||"}),
    frozenset({"*", "/", "%"}),
)
_CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None, "UNDEFINED": UNDEFINED}
_MAX_DEPTH = 40


@lru_cache(maxsize=512)
def parse(text: str) -> Query:
    """The tree of a query. Raises 400."""
    try:
        return _Parser(text).whole()
    except RecursionError:
        raise too_deep() from None


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.at = 0
        self.depth = 0

    # tokens

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.token
        self.at += 1
        return token

    def is_(self, text: str) -> bool:
        return self.token.text == text and self.token.kind in ("symbol", "keyword")

    def took(self, text: str) -> bool:
        if self.is_(text):
            self.at += 1
            return True
        return False

    def need(self, text: str) -> Token:
        if not self.is_(text):
            raise self.refusal()
        return self.take()

    def refusal(self) -> CosmosError:
        token = self.token
        if token.kind == "end":
            return query_error("SC1001", "Syntax error, unexpected end of query.", token.start, token.end)
        near = self.text[token.start : token.end]
        return query_error("SC1001", f"Syntax error, incorrect syntax near '{near}'.", token.start, token.end)

    def span(self, start: int) -> Span:
        return Span(start, self.tokens[self.at - 1].end)

    # the query

    def whole(self) -> Query:
        query = self.query()
        if self.token.kind != "end":
            raise self.refusal()
        return query

    def query(self) -> Query:
        start = self.need("SELECT").start
        distinct = self.took("DISTINCT")
        top = self.count() if self.took("TOP") else None
        select, value = self.columns()
        sources = self.sources() if self.took("FROM") else ()
        where = self.expr() if self.took("WHERE") else None
        group: list[Expr] = []
        if self.took("GROUP"):
            self.need("BY")
            group = self.list_of()
        order = self.order()
        offset = limit = None
        if self.took("OFFSET"):
            offset = self.count()
            self.need("LIMIT")
            limit = self.count()
        return Query(
            self.span(start),
            select,
            value,
            distinct,
            top,
            sources,
            where,
            tuple(group),
            order,
            offset,
            limit,
            self.text,
        )

    def count(self) -> Expr:
        if self.token.kind == "number" and isinstance(self.token.value, int):
            token = self.take()
            return Literal(Span(token.start, token.end), token.value)
        if self.token.kind == "parameter":
            return self.primary()
        raise self.refusal()

    def columns(self) -> tuple[tuple[SelectItem, ...] | None, Expr | None]:
        if self.took("VALUE"):
            return (), self.expr()
        if self.took("*"):
            return None, None
        items = [self.column()]
        while self.took(","):
            items.append(self.column())
        return tuple(items), None

    def column(self) -> SelectItem:
        expr = self.expr()
        if self.took("AS") or self.token.kind == "name":
            return SelectItem(expr, self.name())
        return SelectItem(expr, None)

    def name(self) -> str:
        if self.token.kind != "name":
            raise self.refusal()
        return self.take().text

    def sources(self) -> tuple[Source, ...]:
        found = [self.source(first=True)]
        while self.took("JOIN"):
            found.append(self.source(first=False))
        return tuple(found)

    def source(self, *, first: bool) -> Source:
        start = self.token.start
        if self.took("("):
            inner: Expr = Subquery(self.span(start), "array", self.query())
            self.need(")")
            self.took("AS")
            return Source(self.span(start), self.name(), inner, each=True)
        name = self.name()
        if self.took("IN"):
            token = self.token
            collection = self.postfix(Name(Span(token.start, token.end), self.name()), token.start)
            return Source(self.span(start), name, collection, each=True)
        root = Name(Span(start, self.tokens[self.at - 1].end), name)
        value = self.postfix(root, start)
        if self.took("AS") or self.token.kind == "name":
            alias = self.name()
        else:
            alias = str(value.key.value) if isinstance(value, Member) and isinstance(value.key, Literal) else name
        return Source(self.span(start), alias, value, root=first and value is root)

    def order(self) -> tuple[OrderItem, ...]:
        if not self.took("ORDER"):
            return ()
        self.need("BY")
        items: list[OrderItem] = []
        while True:
            expr = self.expr()
            descending = self.took("DESC")
            if not descending:
                self.took("ASC")
            items.append(OrderItem(expr, descending))
            if not self.took(","):
                return tuple(items)

    def list_of(self) -> list[Expr]:
        items = [self.expr()]
        while self.took(","):
            items.append(self.expr())
        return items

    # expressions, from the loosest binding to the tightest

    def expr(self) -> Expr:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise too_deep()
        start = self.token.start
        test = self.coalesce()
        if self.took("?"):
            yes = self.expr()
            self.need(":")
            no = self.expr()
            test = Ternary(self.span(start), test, yes, no)
        self.depth -= 1
        return test

    def coalesce(self) -> Expr:
        start = self.token.start
        left = self.either()
        if self.took("??"):
            return Binary(self.span(start), "??", left, self.coalesce())
        return left

    def either(self) -> Expr:
        start = self.token.start
        left = self.both()
        while self.took("OR"):
            right = self.both()
            left = Binary(self.span(start), "OR", left, right)
        return left

    def both(self) -> Expr:
        start = self.token.start
        left = self.negation()
        while self.took("AND"):
            right = self.negation()
            left = Binary(self.span(start), "AND", left, right)
        return left

    def negation(self) -> Expr:
        start, depth = self.token.start, 0
        while self.took("NOT"):
            depth += 1
        operand = self.comparison()
        for _ in range(depth):
            operand = Unary(self.span(start), "NOT", operand)
        return operand

    def comparison(self) -> Expr:
        start = self.token.start
        left = self.arithmetic(0)
        while True:
            if self.token.kind == "symbol" and self.token.text in _COMPARISONS:
                operator = self.take().text
                right = self.arithmetic(0)
                left = Binary(self.span(start), "!=" if operator == "<>" else operator, left, right)
                continue
            negated = self.is_("NOT") and self.tokens[self.at + 1].text in ("IN", "BETWEEN", "LIKE")
            if negated:
                self.take()
            found = self.predicate(start, left)
            if found is None:
                return left
            left = Unary(self.span(start), "NOT", found) if negated else found

    def predicate(self, start: int, operand: Expr) -> Expr | None:
        if self.took("IN"):
            self.need("(")
            choices = self.list_of()
            self.need(")")
            return In(self.span(start), operand, tuple(choices))
        if self.took("BETWEEN"):
            low = self.arithmetic(0)
            self.need("AND")
            high = self.arithmetic(0)
            return Between(self.span(start), operand, low, high)
        if self.took("LIKE"):
            pattern = self.arithmetic(0)
            escape = self.arithmetic(0) if self.took("ESCAPE") else None
            return Like(self.span(start), operand, pattern, escape)
        return None

    def arithmetic(self, level: int) -> Expr:
        if level == len(_ARITHMETIC):
            return self.unary()
        start = self.token.start
        left = self.arithmetic(level + 1)
        while self.token.kind == "symbol" and self.token.text in _ARITHMETIC[level]:
            operator = self.take().text
            right = self.arithmetic(level + 1)
            left = Binary(self.span(start), operator, left, right)
        return left

    def unary(self) -> Expr:
        start, found = self.token.start, []
        while self.token.kind == "symbol" and self.token.text in ("-", "+", "~"):
            found.append(self.take().text)
        inner = self.token.start
        operand = self.postfix(self.primary(), inner)
        for operator in reversed(found):
            operand = Unary(self.span(start), operator, operand)
        return operand

    def postfix(self, base: Expr, start: int) -> Expr:
        while True:
            if self.took("."):
                token = self.token
                key: Expr = Literal(Span(token.start, token.end), self.name())
            elif self.took("["):
                key = self.expr()
                self.need("]")
            else:
                return base
            base = Member(self.span(start), base, key)

    def primary(self) -> Expr:
        token = self.token
        span = Span(token.start, token.end)
        if token.kind in ("number", "text"):
            self.take()
            return Literal(span, token.value if token.kind == "number" else token.text)
        if token.kind == "parameter":
            self.take()
            return Parameter(span, token.text)
        if token.kind == "keyword":
            return self.keyword(token, span)
        if token.kind == "name":
            self.take()
            return self.call(token) if self.is_("(") else Name(span, token.text)
        return self.enclosed(token)

    def keyword(self, token: Token, span: Span) -> Expr:
        if token.text in _CONSTANTS:
            self.take()
            return Literal(span, _CONSTANTS[token.text])
        if token.text in ("EXISTS", "ARRAY"):
            self.take()
            self.need("(")
            query = self.query()
            self.need(")")
            return Subquery(self.span(token.start), token.text.lower(), query)
        if token.text == "UDF":
            raise query_error("SC2005", "User-defined functions are not registered.", token.start, token.end)
        raise self.refusal()

    def call(self, token: Token) -> Expr:
        self.need("(")
        arguments = [] if self.is_(")") else self.list_of()
        self.need(")")
        return Call(self.span(token.start), token.text.upper(), tuple(arguments))

    def enclosed(self, token: Token) -> Expr:
        if self.took("("):
            if self.is_("SELECT"):
                inner: Expr = Subquery(self.span(token.start), "scalar", self.query())
            else:
                inner = self.expr()
            self.need(")")
            return inner
        if self.took("["):
            items = [] if self.is_("]") else self.list_of()
            self.need("]")
            return ArrayLiteral(self.span(token.start), tuple(items))
        if self.took("{"):
            entries: list[tuple[str, Expr]] = []
            while not self.is_("}"):
                if entries:
                    self.need(",")
                if self.token.kind not in ("text", "name"):
                    raise self.refusal()
                name = self.take().text
                self.need(":")
                entries.append((name, self.expr()))
            self.need("}")
            return ObjectLiteral(self.span(token.start), tuple(entries))
        raise self.refusal()
