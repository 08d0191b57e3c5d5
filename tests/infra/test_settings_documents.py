"""The settings page, the sample file, the templates and the other documents name the same settings, spelt the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from local.host_settings import HOST_SETTINGS
from local.settings_page import PAGE, in_azure
from shared.azure_connections import CONNECTION_FORMS, AzureConnections
from tests.infra.app_settings import read_by_code, settings_set
from tests.infra.evaluation import Evaluator
from tests.infra.gate import ROOT
from tests.infra.program import Program
from tests.infra.values import Scalar

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "infra").rglob("*.md"))]
_PREFIXES = "|".join(["AzureWebJobsStorage", *(form.setting for form in CONNECTION_FORMS)])


def documented() -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE))


def test_every_setting_that_anybody_reads_is_on_the_page() -> None:
    assert set(read_by_code(ROOT)) <= documented()
    assert {setting.name for setting in HOST_SETTINGS} <= documented()


def test_the_page_says_of_the_templates_what_they_do() -> None:
    """The page finds the app settings by their looks; the gate evaluates them."""
    evaluated = settings_set(Evaluator(Program(ROOT)))
    assert set(in_azure()) == {name for _, entries in evaluated for name in entries}
    for _, entries in evaluated:
        for name, words in in_azure().items():
            if words.startswith("`") and name in entries:
                assert [o.value for o in entries[name].outcomes() if isinstance(o, Scalar)] == [words.strip("`")]


def test_the_sample_names_nothing_that_the_page_does_not() -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text("utf-8"))["Values"]
    assert set(sample) <= documented()


def test_the_settings_of_the_templates_make_usable_connections() -> None:
    (_, entries), *_ = settings_set(Evaluator(Program(ROOT)))
    known = {name: [o.value for o in later.outcomes() if isinstance(o, Scalar)] for name, later in entries.items()}
    given = {name: str(values[0]) if values else "x" for name, values in known.items()}
    given |= {"KEY_VAULT_URI": "https://x.vault.azure.net/"}
    for form in CONNECTION_FORMS:
        given[f"{form.setting}__{form.part}"] = form.example.replace("<", "").replace(">", "")
    found = AzureConnections.from_environment(given)
    for connection in (found.cosmos, found.service_bus, found.key_vault, found.anchors):
        assert connection.wanted, connection.setting
        assert not connection.problem
        assert connection.client_id == "x"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_spell_connections_as_the_host_does(document: Path) -> None:
    named = set(re.findall(rf"\b(?:{_PREFIXES})__\w+", document.read_text("utf-8")))
    assert named <= documented(), f"{document.name} names {named - documented()}"
