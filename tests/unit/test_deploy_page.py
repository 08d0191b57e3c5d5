"""What ``docs/deploy.md`` and the files beside the Bicep say, held against what they speak of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from shared.access import Role

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "deploy.md").read_text("utf-8")


def read_json(name: str) -> Any:
    """A committed file."""
    return json.loads((ROOT / name).read_text("utf-8"))


def table(heading: str) -> list[list[str]]:
    """The rows of the table that begins with this heading, without its head."""
    lines = PAGE.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_containers_are_those_of_the_topology() -> None:
    wanted = [
        [f"`{c['name']}`", ", ".join(f"`{p}`" for p in c["partitionKey"]), lifetime(c["ttlSeconds"])]
        for c in read_json("infra/topology.json")["containers"]
    ]
    assert [[name, key, re.sub(r" \(.*", "", kept)] for name, key, kept in table("container")] == wanted


def lifetime(seconds: int | None) -> str:
    """As the page writes it."""
    if seconds is None:
        return "for ever"
    days = seconds // 86_400
    return f"{days} day{'' if days == 1 else 's'}"


def test_the_queues_are_those_of_the_topology() -> None:
    topology = read_json("infra/topology.json")
    assert table("queue") == [
        [
            f"`{q['name']}`{', one per relay' if '{id}' in q['name'] else ''}",
            f"{q['lockSeconds']} s",
            str(q["maxDeliveryCount"]),
            f"{q['duplicateWindowSeconds']} s" if q["duplicateWindowSeconds"] else "off",
            f"{q['ttlSeconds']} s",
            "yes" if q["deadLetterOnExpiry"] else "no",
        ]
        for q in [*topology["queues"], topology["relay"]["commandQueue"]]
    ]


def test_every_parameter_it_names_exists() -> None:
    declared = set(re.findall(r"^param (\w+)", (ROOT / "infra" / "main.bicep").read_text("utf-8"), re.MULTILINE))
    inline = re.findall(r"`([a-z]\w*[A-Z]\w*|relays)(?:=[^`]*)?`", PAGE)
    in_file = re.findall(r'"(\w+)": \{"value"', PAGE)
    named = {name for name in [*inline, *in_file] if name not in FIELDS}
    assert {"vnetEnabled", "environmentName", "relays", "cosmosAccountName"} <= named
    assert named <= declared, f"no such parameter: {named - declared}"
    assert set(read_json("infra/main.parameters.json")["parameters"]) <= declared


FIELDS = {c["name"] for c in read_json("infra/topology.json")["containers"]} - {"relays"}
"""Names in camel case that are no parameters. `relays` is both."""


def test_a_parameter_that_azd_fills_in_is_never_a_list() -> None:
    """azd puts text in place of ``${...}``; a list has to stand in the file itself."""
    main = (ROOT / "infra" / "main.bicep").read_text("utf-8")
    kinds = dict(re.findall(r"^param (\w+) (\w+)", main, re.MULTILINE))
    for name, given in read_json("infra/main.parameters.json")["parameters"].items():
        value = given["value"]
        shown = {"array": list, "object": dict, "bool": bool, "int": int, "string": str}[kinds[name]]
        assert isinstance(value, shown), name


def test_entra_gives_out_the_roles_that_the_app_knows() -> None:
    roles = read_json("infra/entra-app-roles.json")
    assert {r["value"].lower() for r in roles} == {role.value for role in Role}
    assert len({r["id"] for r in roles}) == len(roles)
    assert all(r["isEnabled"] and r["allowedMemberTypes"] == ["User", "Application"] for r in roles)


def test_azure_cli_is_let_in_to_the_scope_there_is() -> None:
    api, cli = (read_json(f"infra/{name}.json")["api"] for name in ("entra-api", "entra-azure-cli"))
    assert cli["oauth2PermissionScopes"] == api["oauth2PermissionScopes"], "a PATCH without it would take it away"
    (known,) = cli["preAuthorizedApplications"]
    assert known["delegatedPermissionIds"] == [api["oauth2PermissionScopes"][0]["id"]]


def test_the_image_of_the_relay_holds_what_it_needs() -> None:
    """Docker copies what the Dockerfile names, out of what the ignore file lets through."""
    folder = ROOT / "infra" / "relay"
    let_through = set(re.findall(r"^!(\S+)$", (folder / "Dockerfile.dockerignore").read_text("utf-8"), re.MULTILINE))
    copied = set(re.findall(r"^COPY (\S+) ", (folder / "Dockerfile").read_text("utf-8"), re.MULTILINE))
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)
    assert {"relay_app.py", "host.json", "functions", "shared", "infra/topology.json", "requirements.txt"} == copied
