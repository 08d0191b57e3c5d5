"""What hub and relay say to each other. Version 1; whoever meets another version or an unknown field refuses it.

On the wire everything is JSON, gzip-compressed when that is over 1 KB (:func:`pack`), at most 200 KB as it travels. The
same words always give the same bytes, so that a message which is sent again can be told from a new one.
"""

from __future__ import annotations

import gzip
import zlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from shared.clock import iso
from shared.errors import InvalidInput, PayloadTooLarge
from shared.ids import digest_id
from shared.json_text import canonical, load_foreign

__all__ = [
    "MAX_COMMANDS",
    "MAX_INBOUND_PACKED",
    "MAX_LAN_MESSAGES",
    "MAX_PACKED",
    "MAX_READINGS",
    "MAX_UNPACKED",
    "RELAY_ID",
    "Assignments",
    "CertificateEnd",
    "Command",
    "CommandAnswer",
    "CommandError",
    "CommandKind",
    "Commands",
    "Device",
    "DevicesSummary",
    "Heartbeat",
    "InboundBatch",
    "InboundTaken",
    "LanMessage",
    "LanSource",
    "Lost",
    "ReadingBatch",
    "SpoolSummary",
    "Taken",
    "Wake",
    "certificate_due",
    "pack",
    "unpack",
]

RELAY_ID = r"^[a-z0-9][a-z0-9-]{0,39}$"
"""Part of queue names and message ids."""

MAX_PACKED = 200 * 1024
"""Bytes of a message as it travels: what a queue takes."""
MAX_UNPACKED = 8 * 1024 * 1024
"""Bytes of a message unpacked. Readings compress about 1:15; more than this is none of ours."""
COMPRESSED_FROM = 1024
MAX_READINGS = 5_000
MAX_INBOUND_PACKED = 1024 * 1024
"""Bytes of an :class:`InboundBatch` as it travels, by HTTPS alone."""
MAX_LAN_MESSAGES = 200
MAX_COMMANDS = 20
"""Most commands in one answer of the long poll."""

_GZIP = b"\x1f\x8b"

Message = TypeVar("Message", bound="_Message")


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("that is no time that every calendar has") from None


CommandKind = Literal["test_connection", "discover", "certificate", "read_now", "write", "deliver", "call"]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
RelayId = Annotated[str, Field(pattern=RELAY_ID)]
SourceId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Moment = Annotated[AwareDatetime, AfterValidator(_utc), PlainSerializer(iso, return_type=str, when_used="json")]
"""Travels as ``2026-11-21T10:30:00.000Z``."""
Count = Annotated[int, Field(ge=0, le=2**53)]
Seq = Annotated[int, Field(ge=1, le=2**53)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Message(_Part):
    v: Literal[1] = 1


# Hub to relay --------------------------------------------------------------------------------------------------------


class Device(_Part):
    """One machine that a relay reads. No secrets: ``credential_ref`` names them, the relay resolves it on site."""

    equipment_id: Id
    name: str
    protocol: str
    profile: str | None = None
    endpoint: str | None = None
    port: int | None = None
    credential_ref: str | None = None
    credential_owner: Literal["hub", "site"] = "site"
    """``hub``: the hub chose the name, and holds the credentials to this address itself. ``site``: a person named what
    lies on the relay, which then holds them to the address that they were given for."""
    iot_config: dict[str, Any] = Field(default_factory=dict, description="`additional_config` of the connector.")
    poll_interval_seconds: int = Field(ge=1)
    timeout_seconds: float = Field(gt=0, description="Hard deadline of one read.")
    supports_remote_control: bool = False


class LanSource(_Part):
    """A hook source whose messages come in at the relay. Of its address only hashes are known; of what its sender signs
    with, nothing: the hub judges that, by the time at which the message came in."""

    id: SourceId
    kind: str = Field(max_length=40)
    token_hash: str = Field(max_length=64)
    old_token_hash: str | None = Field(None, max_length=64)
    old_token_until: Moment | None = None
    expires_at: Moment | None = None
    created_at: Moment
    broker: dict[str, Any] | None = None
    """Where its messages are fetched from, if they are. ``relay_credential_ref`` in it names what lies on site."""


class Assignments(_Message):
    """What a relay has to do. Kept on its disk and used while the hub is away."""

    relay_id: RelayId
    etag: str
    """Changes with anything below."""
    devices: tuple[Device, ...] = ()
    request_profiles: tuple[dict[str, Any], ...] = ()
    """External requests that are answered on site, as the hub stores them. Never their keys."""
    commands_by: Literal["http", "queue"] = "http"
    """Where commands are waited for."""
    hook_sources: tuple[LanSource, ...] = Field((), max_length=1_000)
    """Who may call in on site."""

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What says nothing new is left out: relays of earlier versions refuse words that they do not know."""
        said: dict[str, Any] = dump(self)
        silent = {"commands_by"} if self.commands_by == "http" else set()
        silent |= set() if self.hook_sources else {"hook_sources"}
        return {name: value for name, value in said.items() if name not in silent}


class Command(_Message):
    """Something the hub wants done now, at most once."""

    id: Id
    """The answer carries it back."""
    kind: CommandKind
    equipment_id: Id | None = None
    body: dict[str, Any] = Field(default_factory=dict)
    """``test_connection``: empty, or ``device`` (a :class:`Device`) to try what is not saved; ``write``: ``signal`` and
    ``value``; ``discover``: ``seconds``; ``certificate``: as ``test_connection``; ``deliver``:
    ``shared.relay.delivery_words.Deliver``; ``call``: ``shared.relay.call_words.Call``."""
    expires_at: Moment
    """After this it must not be begun: nobody waits for its answer any more."""
    valid_seconds: float | None = Field(None, ge=0)
    """How much of that time was left when it was given out: what counts on a relay whose clock is not the hub's."""
    actor: dict[str, str] = Field(default_factory=dict)
    """Who asked, as the audit log names them."""


class Wake(_Message):
    """In the relay's own queue: a command waits in the store. It is fetched from there, so that it is done once."""

    id: Id
    """Of the command."""
    expires_at: Moment


class Commands(_Message):
    """The answer of the long poll; empty when there was nothing to do."""

    commands: tuple[Command, ...] = ()


# Relay to hub --------------------------------------------------------------------------------------------------------


class Lost(_Part):
    """Readings that had to be dropped because the spool was full or they were too old, since the batch before."""

    history: Count = 0


class ReadingBatch(_Message):
    """Some readings, in the order in which they were taken."""

    relay_id: RelayId
    first_seq: Seq
    last_seq: Seq
    priority: Literal["alarm", "history"] = "history"
    readings: tuple[dict[str, Any], ...] = Field(min_length=1, max_length=MAX_READINGS)
    """Each as ``shared.telemetry.document.to_document`` writes it. Its id is made of machine, time and source, so
    taking it twice is taking it once."""
    lost: Lost = Lost()

    @model_validator(mode="after")
    def _in_order(self) -> ReadingBatch:
        if self.last_seq < self.first_seq:
            raise ValueError("last_seq is before first_seq")
        return self

    @property
    def message_id(self) -> str:
        """The id of the queue message. Sent again it is the same; a relay that begins to count anew, because its disk
        was replaced, has other readings and so another id."""
        return f"{self.relay_id}:{self.first_seq}-{self.last_seq}:{digest_id(canonical(list(self.readings)))[:16]}"


class LanMessage(_Part):
    """Something that was posted, or published, to this relay."""

    id: Annotated[str, Field(pattern=r"^[0-9A-F]{32}$")]
    source: SourceId
    received_at: Moment
    """By the relay's clock."""
    headers: dict[str, str] = Field(max_length=100)
    body: Base64Bytes
    """As it came."""


class InboundBatch(_Message):
    """Messages in the order in which they came, and how the brokers on site are."""

    relay_id: RelayId
    messages: tuple[LanMessage, ...] = Field((), max_length=MAX_LAN_MESSAGES)
    brokers: dict[SourceId, str | None] = Field(default_factory=dict, max_length=1_000)
    """By source: why its messages cannot be fetched; ``None``: they can."""


class Taken(_Part):
    """What became of one of them."""

    id: str = Field(max_length=64)
    status: Literal["taken", "duplicate", "rejected", "refused"]
    """``rejected``: kept without effect, because its signature is wrong; ``refused``: not kept."""
    reason: str | None = Field(None, max_length=1_000)


class InboundTaken(_Message):
    """The answer to an :class:`InboundBatch`: the relay may forget these."""

    messages: tuple[Taken, ...] = ()


class SpoolSummary(_Part):
    """What waits on the relay's disk."""

    readings: Count = 0
    bytes: Count = 0
    oldest_at: Moment | None = None


class DevicesSummary(_Part):
    """How the relay's machines are."""

    connected: Count = 0
    failing: Count = 0


class CertificateEnd(_Part):
    """A certificate of the relay and when it ends."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]
    """``https`` (what pages on site see) or ``opc_ua`` (what OPC UA servers see)."""
    not_after: Moment


CERTIFICATE_DAYS = (0, 7, 14, 30)
"""So many days before its end is a certificate spoken of."""


def certificate_due(end: CertificateEnd, now: datetime) -> int | None:
    """The least of :data:`CERTIFICATE_DAYS` that has come for it (0: it has ended); ``None``: it is good for longer."""
    left = end.not_after - now
    return next((days for days in CERTIFICATE_DAYS if left <= timedelta(days=days)), None)


class Heartbeat(_Message):
    """A sign of life, every 30 seconds."""

    relay_id: RelayId
    at: Moment
    """By the relay's clock: the hub shows how far it is off."""
    version: str = Field(max_length=100)
    started_at: Moment
    spool: SpoolSummary = SpoolSummary()
    devices: DevicesSummary = DevicesSummary()
    lost_total: Count = 0
    """Readings dropped since the spool was made."""
    assignments_etag: str | None = Field(None, max_length=100)
    """Of the assignments in force."""
    certificates: tuple[CertificateEnd, ...] = Field((), max_length=10)
    """Those that it shows to others."""

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What says nothing is left out: hubs of earlier versions refuse words that they do not know."""
        said: dict[str, Any] = dump(self)
        return said if self.certificates else {k: v for k, v in said.items() if k != "certificates"}


class CommandError(_Part):
    """Why a command was not done."""

    code: str = Field(max_length=100)
    detail: str = Field(max_length=2_000)
    """A sentence for a person."""


class CommandAnswer(_Message):
    """What came of a command."""

    id: Id
    ok: bool
    """It was done. A device that cannot be reached is a finding of a ``test_connection``, which is then ok."""
    body: dict[str, Any] = Field(default_factory=dict)
    """``shared.relay.answers`` writes and reads it: ``test_body``, ``discovery_body``; ``read_now``: ``reading``, as
    stored; ``certificate``: ``server_certificate``; ``write``: ``before`` and ``after``, each a value as in a stored
    reading; ``deliver``: ``shared.relay.delivery_words.Delivered``."""
    error: CommandError | None = None
    at: Moment


# Bytes ---------------------------------------------------------------------------------------------------------------


def pack(message: BaseModel, *, most: int = MAX_PACKED) -> bytes:
    """The message as it travels; the same message gives the same bytes.

    Raises:
        PayloadTooLarge: over ``most`` (200 KB) even compressed. Send less at once.
    """
    data = canonical(message.model_dump(mode="json"))
    if len(data) > COMPRESSED_FROM:
        data = gzip.compress(data, compresslevel=6, mtime=0)
    if len(data) > most:
        raise PayloadTooLarge(f"The message has {len(data):,} bytes; at most {most:,} travel at once.")
    return data


def unpack(model: type[Message], data: bytes) -> Message:
    """The message back from what :func:`pack` made.

    Raises:
        InvalidInput: it is no such message, or of another version.
        PayloadTooLarge: it unfolds to more than 8 MB.
    """
    try:
        return model.model_validate(load_foreign(_unfolded(data)))
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part)[:100] for part in first["loc"][:10]) or "body"
        raise InvalidInput(f"This is no {model.__name__} of version 1. {field}: {first['msg']}", field=field) from None


def _unfolded(data: bytes) -> bytes:
    if not data.startswith(_GZIP):
        return data
    unfolding = zlib.decompressobj(wbits=31)
    try:
        text = unfolding.decompress(data, MAX_UNPACKED)
    except zlib.error as err:
        raise InvalidInput("The body is broken: it begins like gzip and cannot be unpacked.", field="body") from err
    if unfolding.unconsumed_tail:
        raise PayloadTooLarge(f"The body unfolds to more than {MAX_UNPACKED:,} bytes.")
    if not unfolding.eof:
        raise InvalidInput("The body is cut off: send it whole.", field="body")
    return text
