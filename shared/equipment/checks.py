"""Is this connection one we would save? Checked whole before anything is stored, errors in the caller's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.connectors import ConnectorFactory
from shared.equipment.addresses import Address, address_of
from shared.equipment.model import Equipment
from shared.errors import FieldProblem, InvalidInput
from shared.observability import redact
from shared.outgoing.targets import TargetPolicy

__all__ = ["GUIDE", "RESOURCE", "Names", "check_connection", "connector_form"]


@dataclass(frozen=True, slots=True)
class Names:
    """What the parts of a connection are called where the caller wrote them."""

    protocol: str
    endpoint: str
    port: str
    credentials: str
    additional_config: str

    def of(self, part: str) -> str:
        """The caller's word for ours: ``additional_config.timeout`` -> ``iot_config.timeout``."""
        head = re.split(r"[.\[]", part, maxsplit=1)[0]
        named = getattr(self, head, None) if head in self.__slots__ else None
        return part if named is None else f"{named}{part[len(head) :]}"


GUIDE = Names("protocol", "endpoint", "port", "credentials", "additional_config")
RESOURCE = Names("iot_protocol", "iot_endpoint", "iot_port", "iot_credentials", "iot_config")

PLANT = TargetPolicy(allow_private=True, allow_http=True)
"""Addresses of a plant's own network. Names there are unknown here: the relay looks them up, and vets them again."""

_SECRET_NAMES = frozenset(
    (
        "password", "passwd", "pwd", "secret", "client_secret", "clientsecret", "api_key", "apikey", "token",
        "access_token", "accesstoken", "refresh_token", "private_key", "privatekey", "authorization", "credentials",
    )
)  # fmt: skip
_SECRET_HEADER = re.compile(r"(?i)key|token|secret|passw|auth|cookie|credential")


def connector_form(equipment: Equipment, credentials: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as connectors take it, in the guide's form."""
    return {
        "endpoint": equipment.endpoint,
        "port": equipment.port,
        "credentials": dict(credentials),
        "additional_config": dict(equipment.iot_config),
    }


async def check_connection(
    equipment: Equipment, credentials: Mapping[str, Any], targets: TargetPolicy, names: Names
) -> Address | None:
    """Check protocol, address, options and credentials together; where it leads. Nothing is sent to the device.

    Raises:
        InvalidInput, UnsafeTarget: naming the field as the caller wrote it.
    """
    if equipment.protocol is None:
        _nothing_without_protocol(equipment, credentials, names)
        return None
    _no_secrets(equipment, names)
    if equipment.endpoint is None:
        raise InvalidInput(
            f"{names.endpoint} is missing: give the address of the device, such as https://oven-3.example.com.",
            field=names.endpoint,
        )
    on_site = equipment.polled_from == "relay"
    try:
        ConnectorFactory.check(
            equipment.protocol, connector_form(equipment, credentials), targets=PLANT if on_site else targets
        )
    except InvalidInput as err:
        raise _in_words(err, names) from None  # its own cause could hold what was sent
    address = address_of(equipment.protocol, equipment.endpoint, equipment.port, field=names.endpoint)
    if on_site:
        return address
    await address.vet(targets, field=names.endpoint)
    token_url = credentials.get("token_url") or credentials.get("tokenUrl")
    if isinstance(token_url, str) and "://" in token_url:
        await targets.check_resolves(token_url, field=f"{names.credentials}.token_url")
    return address


def _nothing_without_protocol(equipment: Equipment, credentials: Mapping[str, Any], names: Names) -> None:
    given = {
        names.endpoint: equipment.endpoint is not None,
        names.port: equipment.port is not None,
        names.credentials: bool(credentials),
        names.additional_config: bool(equipment.iot_config),
        "iot_enabled": equipment.iot_enabled,
    }
    for field, is_given in given.items():
        if is_given:
            raise InvalidInput(
                f"{field} needs {names.protocol} beside it: how is the device read? For instance rest_api.",
                field=names.protocol,
            )


def _orders(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """How signals are written over REST, with their place."""
    signals = config.get("signals")
    for key, spec in signals.items() if isinstance(signals, Mapping) else ():
        write = spec.get("write") if isinstance(spec, Mapping) else None
        if isinstance(write, Mapping):
            yield f"signals['{key}'].write", write


def _keys(body: Any) -> Iterator[str]:
    """All names in a document."""
    parts = body.values() if isinstance(body, Mapping) else body if isinstance(body, list) else ()
    if isinstance(body, Mapping):
        yield from (str(name) for name in body)
    for part in parts:
        yield from _keys(part)


def _no_secrets(equipment: Equipment, names: Names) -> None:
    """What is not a credential is stored in the clear, shown and audited: secrets have no place in it."""
    config = equipment.iot_config
    found = [names.of(f"additional_config.{name}") for name in config if name.lower() in _SECRET_NAMES]
    headers = config.get("headers")
    if isinstance(headers, Mapping):
        found += [names.of(f"additional_config.headers.{name}") for name in headers if _SECRET_HEADER.search(name)]
    texts = {names.endpoint: equipment.endpoint} | {
        names.of(f"additional_config.{name}"): config.get(name) for name in ("data_endpoint", "status_endpoint", "path")
    }
    for place, write in _orders(config):
        where = names.of(f"additional_config.{place}")
        texts[f"{where}.path"] = write.get("path")
        found += [f"{where}.body.{name}" for name in _keys(write.get("body")) if name.lower() in _SECRET_NAMES]
    found += [field for field, text in texts.items() if isinstance(text, str) and "?" in text and redact(text) != text]
    if found:
        shown = [field[:100] for field in found]
        problems = [
            FieldProblem(
                field, f"This looks like a secret and would be stored in the clear: put it into {names.credentials}."
            )
            for field in shown
        ]
        raise InvalidInput(
            f"{shown[0]} looks like a secret and would be stored in the clear: put it into {names.credentials} "
            "(username and password, token, api_key with api_key_header, or OAuth2).",
            problems=problems,
        )


def _in_words(error: InvalidInput, names: Names) -> InvalidInput:
    problems = [FieldProblem(names.of(p.field), _renamed(p.problem, p.field, names)) for p in error.problems]
    detail = error.detail
    for problem in error.problems:
        detail = _renamed(detail, problem.field, names)
    return type(error)(detail, problems=problems)


def _renamed(text: str, field: str, names: Names) -> str:
    return names.of(field) + text[len(field) :] if text.startswith(field) else text
