"""The body of `POST callbacks`: both spellings, bounds, filters, credentials, what is refused and how."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.callbacks.model import DEFAULT_RETRIES, DEFAULT_UNCONFIRMED
from shared.platforms.force_bridge.registration import Registration

PLAIN: dict[str, Any] = {"eventType": "OPERATION_PHASE_CHANGED", "url": "http://third-party-system:24080/webserver"}


def _parse(**more: Any) -> Registration:
    return Registration.model_validate({**PLAIN, **more})


def _refused(**more: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        _parse(**more)
    first = caught.value.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def test_the_chapters_example() -> None:
    wanted = _parse(
        objectFilter=[{"name": "id", "value": "DA892519507444768080F0E81879513"}],
        eventName="Operation 100 has changed phase",
        maxRedeliverAttempts=5,
        maxUnconfirmedMessages=7,
    ).wanted()
    assert wanted.object_ids == ("DA892519507444768080F0E81879513",), "31 characters, as the chapter prints it"
    assert (wanted.event_name, wanted.max_retries, wanted.max_unconfirmed) == ("Operation 100 has changed phase", 5, 7)


def test_what_is_left_out_or_null() -> None:
    optional = ("objectFilter", "eventName", "maxRedeliverAttempts", "maxRedeliveryAttempts", "maxUnconfirmedMessages")
    for registration in (_parse(), _parse(**dict.fromkeys(optional)), _parse(objectFilter=[], eventName="")):
        wanted = registration.wanted()
        assert (wanted.max_retries, wanted.max_unconfirmed) == (DEFAULT_RETRIES, DEFAULT_UNCONFIRMED)
        assert (wanted.object_ids, wanted.event_name, wanted.credentials.kind) == ((), None, None)


@pytest.mark.parametrize("spelling", ["maxRedeliverAttempts", "maxRedeliveryAttempts"])
@pytest.mark.parametrize("count", [0, 1, 10_000])
def test_both_spellings(spelling: str, count: int) -> None:
    assert _parse(**{spelling: count}).wanted().max_retries == count


def test_both_spellings_at_once() -> None:
    assert _parse(maxRedeliverAttempts=3, maxRedeliveryAttempts=3).wanted().max_retries == 3
    assert "two spellings" in _refused(maxRedeliverAttempts=3, maxRedeliveryAttempts=4)


@pytest.mark.parametrize("field", ["maxRedeliverAttempts", "maxRedeliveryAttempts", "maxUnconfirmedMessages"])
@pytest.mark.parametrize("value", [-1, 10_001, "5", 1.5, True, [], {}])
def test_counts_are_whole_numbers_within_bounds(field: str, value: Any) -> None:
    assert _refused(**{field: value}).startswith(field)


@pytest.mark.parametrize(
    ("filters", "field", "words"),
    [
        ([{"name": "type", "value": "X"}], "objectFilter.0.name", "only `id`"),
        ([{"name": "id", "value": ""}], "objectFilter.0.value", "at least 1"),
        ([{"name": "id", "value": "x" * 257}], "objectFilter.0.value", "at most 256"),
        ([{"name": "id", "value": "DA892519507444768080F0E81879513”"}], "objectFilter.0.value", "curly quotation mark"),
        ([{"name": "id", "value": " A"}], "objectFilter.0.value", "space"),
        ([{"name": "id", "value": "A\n"}], "objectFilter.0.value", "space"),
        ([{"name": "id"}], "objectFilter.0.value", "required"),
        ([{"name": "id", "value": "A", "more": 1}], "objectFilter.0.more", ""),
        ({"name": "id", "value": "A"}, "objectFilter", "list"),
        ([{"name": "id", "value": str(n)} for n in range(1001)], "objectFilter", "at most 1000"),
    ],
    ids=lambda v: str(v)[:30],
)
def test_filters_that_are_refused(filters: Any, field: str, words: str) -> None:
    refused = _refused(objectFilter=filters)
    assert refused.startswith(f"{field}: ")
    assert words in refused


def test_several_ids_are_a_subset() -> None:
    filters = [{"name": "id", "value": value} for value in ("A", "B", "A")]
    assert _parse(objectFilter=filters).wanted().object_ids == ("A", "B")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("MQTT://host:1883/external", "begins with `external`"),
        ("mqtts://host:8883/other/a", "begins with `external`"),
        ("mqtt://host:1883/external/+/a", "wildcards"),
        ("mqtt://host:1883/external/%23", "wildcards"),
        ("mqtt://host:1883/external/a?b=c", "no query"),
        ("mqtt://host:1883/external/%ff", "no UTF-8"),
        ("mqtt://host:1883/external/a%00b", "printable"),
        ("mqtt://host:1883/internal/a", "begins with `external`"),
        ("mqtt://host:1883/external", "begins with `external`"),
        ("mqtt://host:1883/external/", "begins with `external`"),
        ("mqtt://host:1883/externals/a", "begins with `external`"),
        ("mqtt://host", "begins with `external`"),
        ("", "at least 1"),
    ],
)
def test_mqtt_targets_that_are_refused(url: str, words: str) -> None:
    assert words in _refused(url=url)


def test_mqtt_targets_and_relays_are_taken_as_they_are_written() -> None:
    wanted = _parse(url="mqtt://third-party-system:1883/external/OperationPhaseChanged", deliverVia="hall-2").wanted()
    assert (wanted.url, wanted.deliver_via) == (
        "mqtt://third-party-system:1883/external/OperationPhaseChanged",
        "hall-2",
    )
    assert _parse(deliverVia="").wanted().deliver_via is None
    assert "pattern" in _refused(deliverVia="Hall 2")


def test_credentials() -> None:
    basic = _parse(basicAuth={"username": "ann", "password": "pw"}).wanted().credentials
    assert (basic.kind, basic.username, basic.password) == ("basic", "ann", "pw")
    assert _parse(bearer="abc").wanted().credentials.kind == "bearer"
    assert _parse(headers={"X-Api-Key": "k"}).wanted().credentials.kind == "headers"
    assert "exclude each other" in _refused(basicAuth={"username": "a", "password": "b"}, bearer="c")
    assert "no colon" in _refused(basicAuth={"username": "a:b", "password": "c"})


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "x"},
        {"content-length": "1"},
        {"Authorization": "Bearer x"},
        {"webhook-id": "x"},
        {"x y": "z"},
        {"X-A": "line\r\nX-B: injected"},
        {"X-A": "ü"},
        {f"X-{n}": "v" for n in range(21)},
    ],
    ids=str,
)
def test_headers_that_may_not_be_set(headers: dict[str, str]) -> None:
    assert _refused(headers=headers).startswith("headers")


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*PLAIN, "objectFilter", "bearer", "headers", "other"]), st.from_type(object)))
def test_no_body_leads_to_anything_but_yes_or_a_named_field(body: dict[str, Any]) -> None:
    problems = []
    try:
        Registration.model_validate(body).wanted()
    except ValidationError as error:
        problems = error.errors(include_input=False)
    assert all(p["msg"] for p in problems)


def test_secrets_do_not_show_in_errors_or_repr() -> None:
    secret = "hidden-value"
    registration = _parse(bearer=secret)
    assert secret not in repr(registration)
    assert secret not in repr(registration.wanted())
    with pytest.raises(ValidationError) as caught:
        _parse(bearer=secret, basicAuth={"username": "a:" + secret, "password": secret})
    assert secret not in str(caught.value)
