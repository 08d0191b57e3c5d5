"""docs/platforms.md (systems of record) and docs/work-records.md: commands run as written, all options are told."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from shared.platforms.records.dataverse import DataverseOptions
from shared.platforms.records.places import COMPUTED, FIELDS
from shared.platforms.records.rest import RequestMapping, RestRecordOptions
from shared.platforms.records.salesforce import SalesforceOptions
from shared.platforms.scope_ar.deeplinks import WantedDeeplink
from shared.platforms.scope_ar.options import ImportOptions
from shared.work.sessions_export import COLUMNS
from tests.faults.host_process import running
from tests.platforms.scope_ar import SESSION_ID, TOKEN, lately, worklink
from tests.platforms.systems_of_record import system_of_record

DOCS = Path(__file__).parents[2] / "docs"
SECTION = (DOCS / "platforms.md").read_text("utf-8").partition("## Scope AR: records, deeplinks, import\n")[2]
SECTION = SECTION.partition("\n## ")[0]
PAGE = (DOCS / "work-records.md").read_text("utf-8")
BLOCK = re.compile(r"```sh records\n(.*?)```", re.DOTALL)


@pytest.mark.process
async def test_the_commands_do_what_they_say(tmp_path: Path) -> None:
    async with worklink() as cms, system_of_record() as told:
        cms.nodes[SESSION_ID] = lately()
        told.tokens.add("erp-token")
        connect = (
            'curl -fsS -X POST "$HUB/api/v1/connections" -H "Content-Type: application/json" -d \'{"id": "worklink", '
            f'"platform": "scope_ar", "options": {{"url": "{cms.graphql}"}}, '
            f'"credentials": {{"token": "{TOKEN}"}}}}\'\n'
        )
        script = connect + "\n".join(BLOCK.findall(SECTION) + BLOCK.findall(PAGE))
        for address in (
            "https://bakery.my.salesforce.com",
            "https://bakery.crm4.dynamics.com",
            "https://login.microsoftonline.com",
            "https://erp.example.com",
        ):
            assert address in script
            script = script.replace(address, told.url)
        allowed = {"ALLOW_PRIVATE_TARGETS": "true", "ALLOW_HTTP_TARGETS": "true"}
        async with running(tmp_path / "data", env=allowed) as host:
            given = {
                "HUB": host.url.rstrip("/"),
                "CLIENT_ID": "app",
                "CLIENT_SECRET": "s3cret",
                "ERP_TOKEN": "erp-token",
            }
            process = await asyncio.create_subprocess_exec(
                "bash",
                "-euo",
                "pipefail",
                "-c",
                script,
                env={"PATH": "/usr/bin:/bin", **given},
                cwd=tmp_path,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(60):
                said, wrong = await process.communicate()
            await host.end()
    assert process.returncode == 0, wrong.decode()
    answers = said.decode()
    assert answers.count('"success":true') == 3, answers
    assert (
        "asset=Deck%20oven%201&work_order_id=WO-7%2F2%2B1&equipment_id=oven1&job_type=repair&requested_at=" in answers
    )
    assert "action=fetch_company_contact&contact=c-17" in answers
    assert '"complete":true' in answers
    assert '"missed":{"session":1,"call":0}' in answers
    assert '"group_by":"job_type"' in answers
    # Over the real clock the session lies wherever today is: the files are there, whatever they hold.
    assert (tmp_path / "sessions.csv").read_text().startswith("id,revision,kind,")
    assert (tmp_path / "sessions.parquet").read_bytes().startswith(b"PAR1")


@pytest.mark.parametrize(
    "model", [SalesforceOptions, DataverseOptions, RestRecordOptions, RequestMapping, ImportOptions, WantedDeeplink]
)
def test_every_option_is_explained(model: type[BaseModel]) -> None:
    carried = {"batch_id", "template"} if model is WantedDeeplink else set()
    for name in set(model.model_fields) - carried:
        assert f"`{name}`" in SECTION or f'"{name}"' in SECTION, name


def test_places_and_columns_are_told() -> None:
    for name in (*FIELDS, *(one for one in COMPUTED if one != "idempotency_key")):
        assert f"{{{name}}}" in SECTION, name
    told = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", PAGE.partition("## Columns")[2], re.MULTILINE)
    assert told == [(column.name, column.type, column.meaning) for column in COLUMNS]


def test_what_is_unverified_is_called_so() -> None:
    for name, field in ImportOptions.model_fields.items():
        if "nverified" in (field.description or ""):
            assert any(f"`{name}`" in line and "nverified" in line for line in SECTION.splitlines()), name
