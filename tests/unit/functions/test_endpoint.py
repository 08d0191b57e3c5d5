"""Every HTTP function: what is refused, how it is said, and that nothing gets out that should not."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import azure.functions as func
import pytest
from azure.functions.servicebus import ServiceBusMessage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, UtcTime, endpoint, problem, queue_worker, timer_worker
from shared.access import Role
from shared.errors import Conflict, InvalidInput, OvenbridgeError, TooManyRequests, Unavailable
from shared.observability import correlation_id
from shared.services import Services

S = "hunter2-Tr0ub4dor"


class Oven(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = Field(min_length=1)
    limit: float = Field(ge=0, le=500)
    zones: list[int] = Field(default_factory=list)
    since: UtcTime | None = None


class Page(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=1000)


Handler = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]


@endpoint(Role.ENGINEER)
async def take_oven(call: Call) -> Answer:
    oven = call.body(Oven)
    return Answer({"name": oven.name, "since": oven.since}, 201)


@endpoint(Role.VIEWER)
async def list_ovens(call: Call) -> Answer:
    return Answer({"limit": call.params(Page).limit})


def request(
    body: bytes = b"",
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
) -> func.HttpRequest:
    given = {"host": "localhost", "content-type": "application/json"} | (headers or {})
    given = {name: value for name, value in given.items() if value}
    return func.HttpRequest(method, f"http://localhost/x?code={S}", headers=given, params=params, body=body)


async def say(handler: Handler, *args: Any, **kwargs: Any) -> tuple[int, dict[str, Any], func.HttpResponse]:
    response = await handler(request(*args, **kwargs))
    body = json.loads(response.get_body()) if response.get_body() else {}
    return response.status_code, body, response


async def test_a_good_call(house: Services) -> None:
    status, body, response = await say(take_oven, b'{"name":"Oven","limit":250,"since":"2026-11-21T11:00:00+01:00"}')
    assert (status, body) == (201, {"name": "Oven", "since": "2026-11-21T10:00:00Z"})
    assert response.mimetype == "application/json"
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (b'{"name":"O","limit":1,"colour":"red"}', "colour", "no such field"),
        (b'{"name":"O"}', "limit", "required"),
        (b'{"name":"O","limit":"hot"}', "limit", "valid number"),
        (b'{"name":7,"limit":1}', "name", "valid string"),
        (b'{"name":"O","limit":501}', "limit", "less than or equal to 500"),
        (b'{"name":"","limit":1}', "name", "at least 1"),
        (b'{"name":"O","limit":1,"zones":[1,"x"]}', "zones.1", "valid integer"),
        (b'{"name":"O","limit":1,"since":"yesterday"}', "since", "datetime"),
        (b"", "body", "empty"),
        (b"{", "body", "line 1, column"),
        (b'{"name":"O",}', "body", "valid JSON"),
        (b"[]", "body", "JSON object"),
        (b"null", "body", "JSON object"),
        (b'"text"', "body", "JSON object"),
        (b"\xff\xfe", "body", "valid JSON"),
        (b'{"name":"\xff","limit":1}', "body", "valid JSON"),
        (b'{"name":NaN,"limit":1}', "body", "valid JSON"),
        (b'{"a":' * 150 + b"1" + b"}" * 150, "body", "nested deeper"),
        (b"[" * 100_000, "body", "valid JSON"),
    ],
)
async def test_a_wrong_body_is_named(house: Services, body: bytes, field: str, words: str) -> None:
    status, said, response = await say(take_oven, body)
    assert status == 400
    assert response.mimetype == "application/problem+json"
    assert said["type"] == "urn:ovenbridge:problem:invalid-input"
    assert (said["title"], said["status"]) == ("Invalid input", 400)
    assert said["problems"][0]["field"] == field
    assert words in said["problems"][0]["problem"]
    assert said["correlation_id"] == response.headers["X-Correlation-Id"]


async def test_a_key_that_stands_twice_counts_as_written_last(house: Services) -> None:
    status, said, _ = await say(take_oven, b'{"name":"first","limit":1,"name":"last"}')
    assert (status, said["name"]) == (201, "last")


async def test_many_mistakes_make_no_giant_answer(house: Services) -> None:
    wrong = {f"field{n}": S for n in range(5_000)} | {"x" * 50_000: S, "a\r\nb": S}
    status, said, response = await say(take_oven, json.dumps(wrong).encode())
    assert status == 400
    assert len(said["problems"]) == 20
    assert len(response.get_body()) < 10_000
    assert "more" in said["detail"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("Application/JSON", 201),
        ("application/merge-patch+json", 201),
        ("", 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/xml", 415),
        ("text/html; x=json", 415),
    ],
)
async def test_the_content_type_must_be_json(house: Services, kind: str, status: int) -> None:
    got, said, _ = await say(take_oven, b'{"name":"O","limit":1}', headers={"content-type": kind})
    assert got == status
    if status == 415:
        assert "Content-Type: application/json" in said["detail"]


async def test_a_huge_body_is_refused_before_it_is_read(house: Services) -> None:
    limit = house.settings.max_body_bytes
    status, said, _ = await say(take_oven, b"x" * (limit + 1))
    assert (status, said["type"]) == (413, "urn:ovenbridge:problem:payload-too-large")
    assert "1,048,576" in said["detail"]
    assert (await say(take_oven, b"x" * limit))[0] == 400


async def test_a_chunked_body_that_arrives_empty_is_explained(house: Services) -> None:
    status, said, _ = await say(take_oven, b"", headers={"transfer-encoding": "Chunked"})
    assert (status, said["type"]) == (411, "urn:ovenbridge:problem:length-required")
    assert "Content-Length" in said["detail"]


@pytest.mark.parametrize(
    ("params", "field"), [({"limit": "ten"}, "limit"), ({"limit": "0"}, "limit"), ({"offset": "1"}, "offset")]
)
async def test_a_wrong_query_is_named(house: Services, params: dict[str, str], field: str) -> None:
    status, said, _ = await say(list_ovens, method="GET", params=params)
    assert (status, said["problems"][0]["field"]) == (400, field)


async def test_keys_of_the_platform_are_no_unknown_parameters(house: Services) -> None:
    assert (await say(list_ovens, method="GET", params={"code": S, "clientId": "default"}))[0] == 200


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-correlation-id": "order-4711_a"}, "order-4711_a"),
        (
            {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
            "4bf92f3577b34da6a3ce929d0e0e4736",
        ),
        ({"x-correlation-id": "a", "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}, "a"),
    ],
)
async def test_the_callers_correlation_id_is_taken_and_answered(
    house: Services, headers: dict[str, str], expected: str
) -> None:
    seen: list[str | None] = []

    @endpoint(None)
    async def look(call: Call) -> Answer:
        seen.extend((call.correlation_id, correlation_id()))
        return Answer()

    _, _, response = await say(look, headers=headers)
    assert (response.headers["X-Correlation-Id"], seen) == (expected, [expected, expected])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-correlation-id": "a\r\nSet-Cookie: x"},
        {"x-correlation-id": "x" * 129},
        {"x-correlation-id": "größe"},
        {"x-correlation-id": "<script>"},
        {"traceparent": "00-" + "0" * 32 + "-" + "2" * 16 + "-01"},
        {"traceparent": "garbage"},
    ],
)
async def test_otherwise_a_fresh_one(house: Services, headers: dict[str, str]) -> None:
    _, _, response = await say(list_ovens, method="GET", headers=headers)
    fresh = response.headers["X-Correlation-Id"]
    assert len(fresh) == 32
    assert int(fresh, 16)


async def test_roles(house: Services) -> None:
    _, token = await house.access.tokens.create(
        name="dashboard",
        roles=[Role.VIEWER],
        expires_at=None,
        caller=(await house.access.identify({"host": "localhost"}, key_checked=False)),  # type: ignore[arg-type]
    )
    headers = {"authorization": f"Bearer {token}"}
    assert (await say(list_ovens, method="GET", headers=headers))[0] == 200
    status, said, _ = await say(take_oven, b"{}", headers=headers)
    assert (status, said["type"]) == (403, "urn:ovenbridge:problem:forbidden")
    assert "engineer" in said["detail"]
    status, said, response = await say(list_ovens, method="GET", headers={"authorization": "Bearer wrong"})
    assert (status, response.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_who_is_not_asked_is_not_judged(house: Services) -> None:
    """Health and hooks: a wrong credential beside them is nobody's business."""

    @endpoint(None)
    async def anybody(call: Call) -> Answer:
        return Answer({"caller": call.caller.id})

    headers = {"authorization": "Bearer wrong", "host": "evil.example"}
    assert (await say(anybody, headers=headers))[:2] == (200, {"caller": "anonymous"})


@pytest.mark.parametrize(
    "error", [ValueError(S), KeyError(S), RuntimeError(f"https://u:{S}@oven/?code={S}"), AssertionError(S)]
)
async def test_an_unexpected_error_is_a_500_that_gives_nothing_away(
    house: Services, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    @endpoint(None)
    async def fails(call: Call) -> Answer:
        raise error

    status, said, response = await say(fails)
    assert (status, said["type"]) == (500, "urn:ovenbridge:problem:ovenbridge-error")
    assert response.headers["X-Correlation-Id"] in said["detail"]
    assert S.encode() not in response.get_body()
    assert type(error).__name__ not in response.get_body().decode()
    assert type(error).__name__ in caplog.text, "the log tells, the answer does not"


async def test_an_answer_that_cannot_be_written_is_a_500_too(house: Services) -> None:
    @endpoint(None)
    async def nonsense(call: Call) -> Answer:
        return Answer({"object": object()})

    assert (await say(nonsense))[0] == 500


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [(Unavailable("away", retry_after=2.2), 503, "3"), (TooManyRequests("slow", retry_after=0.1), 429, "1")],
)
async def test_when_to_come_back(house: Services, error: OvenbridgeError, status: int, retry: str) -> None:
    @endpoint(None)
    async def busy(call: Call) -> Answer:
        raise error

    got, _, response = await say(busy)
    assert (got, response.headers["Retry-After"]) == (status, retry)


async def test_a_surface_with_a_form_of_its_own(house: Services) -> None:
    def refusal(error: OvenbridgeError) -> Answer:
        return Answer({"code": type(error).__name__, "message": error.detail}, error.status)

    @endpoint(None, refusal=refusal)
    async def theirs(call: Call) -> Answer:
        raise Conflict("taken")

    assert (await say(theirs))[:2] == (409, {"code": "Conflict", "message": "taken"})


async def test_secrets_never_reach_a_log_on_any_refusal(house: Services, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    calls = [
        (take_oven, json.dumps({"name": S, "limit": S}).encode(), {}),
        (take_oven, json.dumps({"password": S}).encode(), {}),
        (take_oven, S.encode(), {}),
        (take_oven, b"", {"authorization": f"Bearer {S}"}),
        (take_oven, b"", {"authorization": f"Basic {S}"}),
        (take_oven, b"", {"authorization": f"Bearer ob_0123456789abcdef_{S:A<43}"}),
        (take_oven, b"", {"content-type": "text/plain", "x-functions-key": S}),
        (take_oven, b"x" * 2_000_000, {"x-functions-key": S}),
        (take_oven, b"{}", {"host": "evil.example", "cookie": S}),
        (take_oven, b"", {"transfer-encoding": "chunked", "x-api-key": S}),
    ]
    for handler, body, headers in calls:
        status, said, _ = await say(handler, body, headers=headers)
        assert 400 <= status < 500
        assert S not in json.dumps(said)
    assert caplog.records
    assert S not in caplog.text


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    body=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
    headers=st.dictionaries(
        st.sampled_from(
            ["authorization", "content-type", "origin", "host", "if-match", "x-correlation-id", "traceparent"]
        ),
        st.text(max_size=40),
        max_size=4,
    ),
)
async def test_no_call_ever_ends_in_a_500(house: Services, body: bytes, headers: dict[str, str]) -> None:
    response = await take_oven(func.HttpRequest("POST", "http://localhost/", headers=headers, body=body))
    assert response.status_code == 201 or 400 <= response.status_code < 500
    json.loads(response.get_body())


def test_if_match() -> None:
    def etag(value: str) -> str | None:
        call = Call("PUT", {}, {}, {"if-match": value}, b"", None, "", None)  # type: ignore[arg-type]
        return call.if_match

    assert [etag(v) for v in ("", "*", '"a"', 'W/"a"', "a")] == [None, None, "a", "a", "a"]


def test_problem_types_are_stable_words() -> None:
    assert problem(InvalidInput("x")).body["type"] == "urn:ovenbridge:problem:invalid-input"
    assert problem(Unavailable("x")).body["type"] == "urn:ovenbridge:problem:unavailable"


async def test_what_escapes_a_worker_holds_no_secret(house: Services, caplog: pytest.LogCaptureFixture) -> None:
    """The host writes it into its logs with all its causes."""

    @queue_worker
    async def read_batch(body: bytes, delivery_count: int, house: Services) -> None:
        try:
            raise ValueError(f"https://u:{S}@oven/")
        except ValueError as err:
            if body == b"known":
                raise Unavailable("The oven is away.") from err
            raise RuntimeError(f"password={S}") from err

    for body, words in ((b"known", "The oven is away."), (b"unknown", "read_batch failed unexpectedly (RuntimeError)")):
        message = ServiceBusMessage(
            body=body, message_id="m", correlation_id="c", application_properties={}, user_properties={}
        )
        with pytest.raises(OvenbridgeError, match=words.split("(")[0]) as escaped:
            await read_batch(message)
        assert words in escaped.value.detail
        assert (escaped.value.__cause__, escaped.value.__context__ is None or escaped.value.__suppress_context__) == (
            None,
            True,
        )
    assert "ValueError" in caplog.text
    assert S not in caplog.text


async def test_workers_carry_a_correlation_id_and_a_past_due_flag(house: Services) -> None:
    seen: list[Any] = []

    @timer_worker
    async def plan(past_due: bool, house: Services) -> None:
        seen.append((past_due, correlation_id()))

    class Timer:
        past_due = True

    await plan(Timer())
    assert seen[0][0] is True
    assert len(seen[0][1]) == 32
