"""What passes between the server's parts: one request, one answer, one refusal."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

__all__ = ["Answer", "Call", "CosmosError", "bad_request", "json_bytes", "not_found"]


class CosmosError(Exception):
    """A refusal, with the status, the code and the text that Cosmos DB gives."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        substatus: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status}/{substatus} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.substatus = substatus
        self.headers = dict(headers or {})


def bad_request(message: str, *, substatus: int = 0) -> CosmosError:
    """A 400."""
    return CosmosError(400, "BadRequest", message, substatus=substatus)


def not_found(message: str, *, substatus: int = 0) -> CosmosError:
    """A 404: sub-status 0 for an item, 1003 when what should hold it is missing."""
    return CosmosError(404, "NotFound", message, substatus=substatus)


@dataclass(slots=True)
class Call:
    """One request, as it came."""

    method: str
    path: str
    """Decoded, without slashes at the ends."""
    segments: tuple[str, ...]
    headers: Mapping[str, str]
    body: bytes
    base_url: str
    subject: str | None = None
    """Whose token it carries; ``None``: the account key."""
    operation: str = "unknown"
    container: str | None = None
    item_id: str | None = None
    _payload: Any = None

    def header(self, name: str) -> str | None:
        """A header, or ``None``."""
        return self.headers.get(name)

    def flag(self, name: str) -> bool:
        """Does the header say true?"""
        return (self.headers.get(name) or "").lower() == "true"

    def json(self) -> Any:
        """The body, read once. Raises 400 when it is no JSON."""
        if self._payload is None:
            self._payload = self._read()
        return self._payload

    def _read(self) -> Any:
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise bad_request("The request payload is invalid. Ensure to provide a valid request payload.") from error


@dataclass(slots=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes = b""
    charge: float = 1.0
    etag: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, value: Any, **rest: Any) -> Answer:
        """An answer with a JSON body."""
        return cls(status, json_bytes(value), **rest)

    @classmethod
    def refusal(cls, error: CosmosError, activity_id: str | None = None) -> Answer:
        """The answer that says no."""
        message = (
            f"{error.message}\r\nActivityId: {activity_id or uuid.uuid4()}, Microsoft.Azure.Documents.Common/2.14.0"
        )
        headers = {"x-ms-substatus": str(error.substatus), **error.headers}
        return cls(error.status, json_bytes({"code": error.code, "message": message}), headers=headers)


def json_bytes(value: Any) -> bytes:
    """JSON as it goes over the wire."""
    return orjson.dumps(value)
