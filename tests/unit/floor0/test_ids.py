from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from shared.ids import digest_id, new_id, new_secret


def test_new_ids_have_the_form_clients_expect() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"[0-9A-F]{32}", i) for i in ids)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_a_digest_is_the_same_only_for_the_same_parts(a: list[str], b: list[str]) -> None:
    assert (digest_id(*a) == digest_id(*b)) == (a == b)


def test_digest_parts_do_not_run_together() -> None:
    assert digest_id("ab", "c") != digest_id("a", "bc")
    assert digest_id("a", b"b") == digest_id("a", "b")


def test_secrets_are_long_and_differ() -> None:
    assert len({new_secret() for _ in range(100)}) == 100
    assert len(new_secret(16)) >= 22
