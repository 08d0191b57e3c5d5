from __future__ import annotations

import pytest

from shared import errors
from shared.errors import FieldProblem, InvalidInput, OvenbridgeError
from shared.topology import topology


def test_every_error_has_a_sentence_a_title_and_a_status() -> None:
    classes = [getattr(errors, name) for name in errors.__all__]
    for kind in (c for c in classes if issubclass(c, OvenbridgeError)):
        error = kind("It is so.")
        assert (error.detail, str(error)) == ("It is so.", "It is so.")
        assert 400 <= error.status < 600
        assert error.title


def test_invalid_input_names_its_fields() -> None:
    assert InvalidInput("no").problems == ()
    assert InvalidInput("no", field="x").problems == (FieldProblem("x", "no"),)
    both = (FieldProblem("a", "1"), FieldProblem("b", "2"))
    assert InvalidInput("no", problems=both).problems == both


def test_the_topology_is_complete() -> None:
    plan = topology()
    assert plan.containers["readings"].partition_key == ("equipmentId", "day")
    assert plan.containers["audit"].ttl_seconds is None, "an audit entry is for ever"
    assert plan.queues["callback-deliveries"].max_delivery_count == 10
    assert topology() is plan, "read once"
    for container in plan.containers.values():
        assert 1 <= len(container.partition_key) <= 3
    for queue in plan.queues.values():
        assert queue.lock_seconds <= 300, "the longest lock of Service Bus"


def test_a_delivery_attempt_fits_into_the_lock() -> None:
    from shared.settings import Settings

    longest = Settings.model_fields["delivery_timeout_seconds"].metadata
    assert any(getattr(m, "le", 0) and m.le < topology().queues["callback-deliveries"].lock_seconds for m in longest)


def test_unknown_names_are_key_errors() -> None:
    with pytest.raises(KeyError):
        topology().containers["nothing"]
