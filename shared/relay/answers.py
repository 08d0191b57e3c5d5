"""What a relay found out, as it travels in ``CommandAnswer.body``: written on the relay, read in the hub.

Values travel in the form of stored readings, so that nothing of them is lost on the way. The hub reads leniently what
a newer relay may add, and believes nothing that is not of the right form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.clock import iso
from shared.connectors import ConnectionTest
from shared.connectors.base import ServerCertificate
from shared.connectors.discovery import Discovery
from shared.errors import OvenbridgeError
from shared.signals import Reading, SignalValue
from shared.telemetry.document import from_document, to_document

__all__ = [
    "UnreadableAnswer",
    "certificate_body",
    "certificate_from",
    "discovery_body",
    "read_signals",
    "signals_body",
    "test_body",
    "test_from",
]

MAX_SIGNALS = 1_000


class UnreadableAnswer(OvenbridgeError):
    """A relay answered something that is none of the words agreed."""

    status = 502
    title = "Unreadable answer of a relay"


class _Certificate(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
    thumbprint: str = Field(max_length=100)
    subject: str = Field(max_length=1_000)
    valid_until: AwareDatetime
    trusted: bool


class _Test(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    success: bool
    status: str = Field(max_length=100)
    response_time_ms: float | None = Field(None, ge=0)
    supported_features: list[str] = Field(default_factory=list, max_length=100)
    error_details: str | None = Field(None, max_length=4_000)
    signals: dict[str, dict[str, Any]] = Field(default_factory=dict, max_length=MAX_SIGNALS)
    server_certificate: _Certificate | None = None


def signals_body(signals: Mapping[str, SignalValue]) -> dict[str, Any]:
    """Values by key, as in a stored reading, each with its own source time."""
    body: dict[str, Any] = {}
    for key, value in signals.items():
        document = to_document(Reading("relay", _NOON, {key: value}))
        body[key] = document["values"][key] | ({"st": document["st"]} if "st" in document else {})
    return body


_NOON = datetime.fromisoformat("2026-01-01T12:00:00+00:00")
"""Values are written in the frame of a reading; its time is not used."""


def read_signals(body: Mapping[str, Any]) -> dict[str, SignalValue]:
    """The values back.

    Raises:
        UnreadableAnswer: they are of another form.
    """
    document = {"id": "r:x:relay", "equipmentId": "relay", "ts": iso(_NOON), "values": body}
    try:
        values = dict(from_document(document).values)
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise UnreadableAnswer("The relay's values cannot be read. Do hub and relay have the same version?") from err
    if any(not isinstance(value.value, float | int | str | bool | None) for value in values.values()):
        raise UnreadableAnswer("The relay's values are no numbers, texts or truths.")
    return values


def certificate_body(shown: ServerCertificate) -> dict[str, Any]:
    """The body of the answer to ``certificate``."""
    return {"server_certificate": asdict(shown) | {"valid_until": iso(shown.valid_until)}}


def certificate_from(body: Mapping[str, Any]) -> ServerCertificate:
    """The certificate back from :func:`certificate_body`.

    Raises:
        UnreadableAnswer: it is of another form.
    """
    try:
        return ServerCertificate(**dict(_Certificate.model_validate(body.get("server_certificate"))))
    except ValidationError as err:
        raise UnreadableAnswer("The relay's certificate cannot be read. Have hub and relay one version?") from err


def test_body(tested: ConnectionTest) -> dict[str, Any]:
    """The body of the answer to ``test_connection``."""
    shown = tested.server_certificate
    return {
        "success": tested.success,
        "status": tested.status,
        "response_time_ms": tested.response_time_ms,
        "supported_features": list(tested.supported_features),
        "error_details": tested.error_details,
        "signals": signals_body(tested.signals),
        "server_certificate": None if shown is None else asdict(shown) | {"valid_until": iso(shown.valid_until)},
    }


def test_from(body: Mapping[str, Any]) -> ConnectionTest:
    """The connection test back from :func:`test_body`.

    Raises:
        UnreadableAnswer: it is of another form.
    """
    try:
        said = _Test.model_validate(dict(body))
    except ValidationError as err:
        raise UnreadableAnswer("The relay's connection test cannot be read. Have hub and relay one version?") from err
    return ConnectionTest(
        said.success,
        said.status,
        said.response_time_ms,
        tuple(said.supported_features),
        said.error_details,
        read_signals(said.signals),
        ServerCertificate(**dict(said.server_certificate)) if said.server_certificate is not None else None,
    )


def discovery_body(found: Discovery) -> dict[str, Any]:
    """The body of the answer to ``discover``: ``devices``, ``nodes`` and ``notes``, as the API shows them."""
    body: dict[str, Any] = asdict(found)
    return body
