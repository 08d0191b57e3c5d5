"""What is configured: of a connection to the GraphQL API, and of a source of webhooks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from shared.errors import FieldProblem, InvalidInput
from shared.platforms.scope_ar.queries import CALL_QUERY, CAPTURES_QUERY, SESSION_QUERY

__all__ = ["ConnectionOptions", "HookOptions", "ImportOptions", "References", "checked"]

Model = TypeVar("Model", bound=BaseModel)
Key = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=100)]
Host = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, pattern=r"^[a-z0-9.-]{1,253}$")]
QueryText = Annotated[str, StringConstraints(max_length=20_000)]

_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")
_OURS = ("authorization", "content-type", "content-length", "host", "accept", "connection", "transfer-encoding")


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class References(_Options):
    """Under which keys of ``externalData`` the link wrote what a session belongs to. The first that is there counts;
    ``order.number`` looks inside ``order``."""

    work_order: tuple[Key, ...] = Field(("work_order_id",), max_length=10)
    equipment: tuple[Key, ...] = Field(("equipment_id",), max_length=10)
    batch: tuple[Key, ...] = Field(("batch_id",), max_length=10)
    alert: tuple[Key, ...] = Field(("alert_id",), max_length=10)


class ImportOptions(_Options):
    """How sessions and calls are found that no webhook brought."""

    enabled: bool = True
    every_minutes: int = Field(60, ge=10, le=10_080, description="A walk through the list begins so often.")
    history_days: int = Field(30, ge=1, le=3_650, description="What began earlier is left where it is.")
    grace_minutes: int = Field(10, ge=1, le=1_440, description="So long a webhook may take before it counts as missed.")
    overlap_minutes: int = Field(60, ge=0, le=10_080, description="`$since` is so much earlier than the walk before.")
    recheck_minutes: int = Field(30, ge=5, le=10_080, description="What goes on is asked for again so often.")
    pages_per_run: int = Field(20, ge=1, le=200)
    sessions_query: str | None = Field(
        None,
        max_length=20_000,
        description="With `$first`, `$after` and pageInfo; `$since` (an ISO time) is filled in where it is declared. "
        "Unverified: default is scenarioSessions, whose name and filters no public contract shows.",
    )
    calls_query: str | None = Field(
        None, max_length=20_000, description="The same for calls. Unverified, so that there is none by default."
    )

    @field_validator("sessions_query", "calls_query")
    @classmethod
    def _a_list(cls, value: str | None) -> str | None:
        if value is not None and (
            "$first" not in value or "$after" not in value or "pageInfo" not in value or "mutation" in value
        ):
            raise ValueError("write a query with $first, $after and pageInfo { hasNextPage endCursor }")
        return value


class ConnectionOptions(_Options):
    """How the GraphQL API is asked."""

    url: str = Field("https://cms.scopear.com/api/v3/graphql", max_length=2_000, description="On premises: your own.")
    sign_in_url: str | None = Field(
        None, max_length=2_000, description="Default: /api/v2/users/sign_in.json of the same host."
    )
    permalink: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._-]{1,100}$", description="The company, for super administrators."
    )
    permalink_in: Literal["query", "body"] = Field(
        "query", description="Where it goes. Unverified: the documents say query, the vendor's demo body."
    )
    authorization: Literal["token", "bearer"] = Field(
        "token",
        description="`Token token=...` or `Bearer token=...`. Unverified: the documents say one, the demo the other.",
    )
    extra_header: str | None = Field(
        None, description="A header beside it, such as PrivateAccessCode; its value is credentials.extra_header."
    )
    timeout_seconds: float = Field(15.0, ge=1, le=30)
    page_size: int = Field(25, ge=1, le=100, description="`first` of every connection; small for heavy queries.")
    max_pages: int = Field(40, ge=1, le=1_000)
    session_query: QueryText | None = Field(None, description="With `$id`. Default: all fields that are published.")
    call_query: QueryText | None = Field(
        None, description="With `$id`. Unverified: of calls only externalData is published; add what the test lists."
    )
    captures_query: QueryText | None = Field(None, description="With `$id`: events of a session with `fileUrl`.")
    duration_unit: Literal["seconds", "milliseconds"] = Field(
        "seconds", description="Of duration and idleDuration where they are numbers. Unverified."
    )
    ended_states: tuple[Word, ...] = Field(
        ("completed", "complete", "finished", "ended"), max_length=20, description="Unverified; endedAt counts anyway."
    )
    references: References = References()
    imports: ImportOptions = ImportOptions()
    copy_captures: bool = Field(True, description="Keep photos while their addresses live.")
    capture_hosts: tuple[Host, ...] = Field(
        (), max_length=20, description="Hosts that files may be fetched from, beside the one of `url`."
    )
    capture_types: tuple[Word, ...] = Field(
        ("image/jpeg", "image/png", "image/webp", "image/heic", "image/gif", "video/mp4", "application/pdf"),
        max_length=30,
    )
    max_capture_bytes: int = Field(15_000_000, ge=1_000, le=33_000_000)

    @field_validator("extra_header")
    @classmethod
    def _a_header(cls, value: str | None) -> str | None:
        if value is not None and (not _HEADER.fullmatch(value) or value.lower() in _OURS):
            raise ValueError("name a header of letters, digits and -, none of those that every request has")
        return value

    @field_validator("session_query", "call_query", "captures_query")
    @classmethod
    def _a_query(cls, value: str | None) -> str | None:
        if value is not None and ("$id" not in value or "mutation" in value.split("{")[0]):
            raise ValueError("write a query with the variable $id: ID!")
        return value

    def query(self, kind: Literal["session", "call", "captures"]) -> str:
        """The query for one of them."""
        own = {"session": self.session_query, "call": self.call_query, "captures": self.captures_query}[kind]
        return own or {"session": SESSION_QUERY, "call": CALL_QUERY, "captures": CAPTURES_QUERY}[kind]


class HookOptions(_Options):
    """What is made of webhooks."""

    connection: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
        description="The connection that is asked for what a webhook points at. Without one only webhooks work whose "
        "subscription has a query of its own.",
    )
    session_topics: tuple[Word, ...] = Field(("scenario_session",), max_length=20, description="Before the slash.")
    call_topics: tuple[Word, ...] = Field(
        ("call",), max_length=20, description="Before the slash. Unverified: no public contract names the topic."
    )
    session_types: tuple[Word, ...] = Field(
        ("scenariosession", "scenario"), max_length=20, description="resource-type of generation 1, as letters only."
    )
    call_types: tuple[Word, ...] = Field(("call",), max_length=20)
    unsigned_generation_1: bool = Field(
        False, description="Take webhooks of generation 1, which cannot sign, although a signing secret is set."
    )
    identical_within_seconds: int = Field(
        60, ge=0, le=3_600, description="Equal bodies without a webhook id within so many seconds are one; 0: never."
    )
    references: References | None = Field(None, description="Default: those of the connection.")


def checked(model: type[Model], options: Mapping[str, Any], *, where: str = "options") -> Model:
    """The options with their defaults. Raises ``InvalidInput`` naming ``options.<field>``."""
    try:
        return model.model_validate(dict(options))
    except ValidationError as err:
        problems = [
            FieldProblem(".".join([where, *(str(part)[:100] for part in found["loc"][:6])]), _sentence(found))
            for found in err.errors(include_url=False, include_input=False, include_context=False)[:20]
        ]
        raise InvalidInput(f"{problems[0].field}: {problems[0].problem}", problems=problems) from None


def _sentence(found: Mapping[str, Any]) -> str:
    if found["type"] == "extra_forbidden":
        return "There is no such option; check its spelling or leave it out."
    return str(found["msg"]).removeprefix("Value error, ")
