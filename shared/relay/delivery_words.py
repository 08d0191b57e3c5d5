"""What stands in the body of a ``deliver`` command and of its answer."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Deliver", "Delivered"]


class Deliver(BaseModel):
    """One attempt of one notification."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    callback_id: str = Field(max_length=64)
    headers: dict[str, str] = Field(max_length=50)
    content: str = Field(repr=False)
    """The body, which is UTF-8 text; it leaves as these bytes."""
    timeout_seconds: float = Field(gt=0, le=120)
    url: str = Field(repr=False)
    """Byte for byte as it was registered. Put in when the relay fetches the command, as ``secret_headers``."""
    secret_headers: dict[str, str] = Field(default_factory=dict, max_length=50, repr=False)
    ca_certificate: str | None = Field(None, max_length=20_000, repr=False)


class Delivered(BaseModel):
    """What came of it: the receiver answered, whatever it answered."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    status: int | None = Field(None, ge=100, le=999)
    """Of HTTP; ``None``: a broker acknowledged."""
    ms: float = Field(ge=0)
    """At the relay."""
    answer: str = Field("", max_length=10_000)
    """The beginning of it."""
