"""A record is clean when it is made, whoever writes it; a line is one JSON object with the correlation id."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from shared.observability import bound, configure_logging, fields, protect_logs

S = "hunter2-Tr0ub4dor"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the local host would write to stderr."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    configure_logging("DEBUG")
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)


def parsed(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


log = logging.getLogger("ovenbridge.test")


def test_a_line_says_when_who_and_which_call(lines: io.StringIO) -> None:
    with bound("correlation-1", "get_equipment"):
        log.info("Read %s", "OVEN-1", extra=fields(equipment_id="OVEN-1", ms=12.5))
    log.warning("outside")
    first, second = parsed(lines)
    assert first.pop("at").endswith("Z")
    assert first == {
        "level": "INFO",
        "logger": "ovenbridge.test",
        "message": "Read OVEN-1",
        "correlation_id": "correlation-1",
        "function": "get_equipment",
        "equipment_id": "OVEN-1",
        "ms": 12.5,
    }
    assert "correlation_id" not in second


def test_bounds_nest_and_end() -> None:
    from shared.observability import correlation_id

    with bound("a", "outer"):
        with bound("b"):
            assert correlation_id() == "b"
        assert correlation_id() == "a"
    assert correlation_id() is None


def test_secrets_in_messages_arguments_fields_and_exceptions(lines: io.StringIO) -> None:
    log.info("calling https://x/?sig=%s", S)
    log.info("headers %s", {"Authorization": f"Bearer {S}"})
    log.info("fields", extra=fields(password=S, deep=[{"token": S}], raw=f"Bearer {S}".encode()))
    log.info("strange", extra=fields(object=Shows(), level="forged"))
    try:
        try:
            raise ValueError(f"cannot reach https://u:{S}@oven/")
        except ValueError as err:
            raise RuntimeError(f"password={S}") from err
    except RuntimeError:
        log.exception("failed with %s", f"client_secret={S}", stack_info=True)
    assert S not in lines.getvalue()
    last = parsed(lines)[-1]
    assert "RuntimeError" in last["exception"]
    assert "ValueError" in last["exception"], "the cause is told, without its secret"
    assert parsed(lines)[3]["level"] == "INFO", "a field does not overwrite what a line is made of"


class Shows:
    def __str__(self) -> str:
        return f"password={S}"


def test_any_other_handler_sees_clean_records_only() -> None:
    """A telemetry package reads message, arguments and exception of the record itself."""
    protect_logs()
    seen: list[logging.LogRecord] = []

    class Telemetry(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    handler = Telemetry()
    log.addHandler(handler)
    try:
        raise ValueError(f"Bearer {S}")
    except ValueError:
        log.exception("token=%s", S)
    finally:
        log.removeHandler(handler)
    (record,) = seen
    assert S not in str({**vars(record)})
    assert S not in logging.Formatter().format(record)
    assert "ValueError" in logging.Formatter().format(record)


def test_a_line_that_does_not_fit_its_values_ends_no_call(lines: io.StringIO) -> None:
    log.info("%d things", "many")
    assert [line["message"] for line in parsed(lines)] == ["%d things (the values of this line do not fit it)"]


def test_one_record_is_one_line(lines: io.StringIO) -> None:
    log.info("first\nsecond\r\n{'forged': 1}")
    assert len(parsed(lines)) == 1


def test_a_giant_is_cut(lines: io.StringIO) -> None:
    log.info("body %s", "x" * 1_000_000)
    assert len(lines.getvalue()) < 40_000
    assert "1000005 characters" in parsed(lines)[0]["message"]
