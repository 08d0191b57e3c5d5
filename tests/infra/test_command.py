"""``python -m tests.infra``: what a person sees."""

from __future__ import annotations

import re

import pytest

from tests.infra.__main__ import main
from tests.infra.app_settings import UNSET, read_by_code
from tests.infra.gate import ROOT, judged
from tests.infra.second_opinion import UNREADABLE


def test_nothing_wrong_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "not `bicep build`" in capsys.readouterr().out


def test_problems_are_printed_with_their_places(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tests/infra/faults"]) == 1
    *problems, total = capsys.readouterr().out.splitlines()
    assert len(problems) > 100
    assert total == f"{len(problems)} problems."
    for line in problems:
        file, number, sentence = re.fullmatch(r"([\w./-]+):(\d+): (.+)", line).groups()  # type: ignore[union-attr]
        assert (ROOT / file).exists() or file == "tests/infra/faults/topology.json", line
        assert int(number) >= 1
        assert sentence[0].islower() or sentence[0] in "`'0123456789ACDFKLMOPSTW", line


def test_a_folder_without_templates_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs"]) == 1
    assert "docs:1: there is no Bicep file here." in capsys.readouterr().out


def test_what_the_code_reads_is_found() -> None:
    found = read_by_code(ROOT)
    for name in (
        "COSMOS_DATABASE",
        "CosmosConnection__accountEndpoint",
        "ServiceBusConnection__fullyQualifiedNamespace",
        "AuditAnchorsConnection__blobServiceUri",
        "KEY_VAULT_URI",
        "AZURE_CLIENT_ID",
    ):
        assert name in found
    assert set(UNSET) <= set(found)


def test_the_list_of_unset_settings_does_not_grow_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UNSET, "LONG_GONE", "it was there once")
    (problem,) = judged(ROOT)
    assert problem.sentence == "LONG_GONE is on the list of unset ones, but nobody reads it."


def test_pycep_has_its_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses what tree-sitter takes; what it cannot read is on a list that does not grow old either."""
    file = "infra/modules/identity.bicep"
    text = (ROOT / file).read_text("utf-8")
    union = judged(ROOT, instead={file: text + "\nparam size 'small' | 'large' = 'small'\noutput size string = size\n"})
    assert [problem.at.file for problem in union] == [file]
    assert "a second parser (pycep) does not take this" in union[0].sentence
    monkeypatch.setitem(UNREADABLE, file, "a union, inline")
    (problem,) = judged(ROOT)
    assert "pycep reads this file by now" in problem.sentence
