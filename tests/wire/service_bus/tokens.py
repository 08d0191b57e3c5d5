"""Tokens as ``$cbs`` takes them: shared access signatures, and JSON web tokens for identities.

The SDK names both ``jwt``; they are told apart by their first words. Strict: a signature, an expiry or an audience that
is not right is refused with a sentence.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote_plus, unquote_plus, urlsplit

from azure.core.credentials import AccessToken

__all__ = ["Keys", "Refused", "StaticCredential", "covers"]

SAS_WORD = "SharedAccessSignature "
AUDIENCE = "https://servicebus.azure.net"


class Refused(Exception):
    """This token opens nothing; the text says why."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The secrets of a namespace."""

    policy: str = "RootManageSharedAccessKey"
    key: str = "b3ZlbmJyaWRnZS1lbXVsYXRvci1rZXk="
    signer: bytes = b"the directory that signs identities' tokens"

    def check(self, token: str, audience: str) -> float:
        """Until when the token is good for this audience, in seconds since the epoch. Raises ``Refused``."""
        expiry = self._check_sas(token, audience) if token.startswith(SAS_WORD) else self._check_jwt(token)
        if expiry <= time.time():
            raise Refused("ExpiredToken: the token has expired.")
        return expiry

    def _check_sas(self, token: str, audience: str) -> float:
        fields = dict(parse_qsl(token.removeprefix(SAS_WORD)))
        if not {"sr", "sig", "se", "skn"} <= fields.keys():
            raise Refused("MalformedToken: a shared access signature has sr, sig, se and skn.")
        if unquote_plus(fields["skn"]) != self.policy:
            raise Refused(f"InvalidSignature: there is no policy {fields['skn']}.")
        signed = f"{quote_plus(fields['sr'])}\n{fields['se']}".encode()
        wanted = base64.b64encode(hmac.new(self.key.encode(), signed, hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(wanted, fields["sig"]):
            raise Refused("InvalidSignature: The token has an invalid signature.")
        if not covers(fields["sr"], audience):
            raise Refused("InvalidAudience: the token was made for another entity.")
        return float(fields["se"])

    def _check_jwt(self, token: str) -> float:
        try:
            head, body, signature = token.split(".")
            claims = json.loads(_decode(body))
            wanted = hmac.new(self.signer, f"{head}.{body}".encode(), hashlib.sha256).digest()
            genuine = hmac.compare_digest(wanted, _decode(signature))
        except ValueError as error:
            raise Refused("MalformedToken: this is no JSON web token.") from error
        if not genuine:
            raise Refused("InvalidSignature: nobody we trust signed this token.")
        if str(claims.get("aud", "")).rstrip("/") != AUDIENCE:
            raise Refused(f"InvalidAudience: the token is not for {AUDIENCE}.")
        return float(claims.get("exp", 0))

    def jwt(self, *, seconds: float = 3600, audience: str = AUDIENCE) -> str:
        """An identity's token, as a directory would sign it."""
        claims = {"aud": audience, "exp": int(time.time() + seconds), "oid": "00000000-0000-0000-0000-000000000001"}
        text = f"{_encode(json.dumps({'alg': 'HS256', 'typ': 'JWT'}))}.{_encode(json.dumps(claims))}"
        return f"{text}.{_encode(hmac.new(self.signer, text.encode(), hashlib.sha256).digest())}"


def covers(resource: str, entity: str) -> bool:
    """Is this entity the resource, or inside it? ``sb://host/queue`` covers ``amqps://host/queue/$management``."""
    outer, inner = _path(resource), _path(entity)
    return inner == outer or inner.startswith(f"{outer}/") or outer == ""


def _path(uri: str) -> str:
    """The entity path alone: the host's name is whatever the client called us by."""
    text = unquote_plus(uri)
    return (urlsplit(text).path if "://" in text else text).strip("/").lower()


def _encode(data: str | bytes) -> str:
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(slots=True)
class StaticCredential:
    """A credential that hands out one token, for the SDK's aio clients."""

    token: str
    asked: int = 0

    async def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        """The token, whatever it is asked for."""
        self.asked += 1
        return AccessToken(self.token, int(time.time()) + 3600)

    async def close(self) -> None:
        """Nothing to let go of."""

    async def __aenter__(self) -> StaticCredential:
        return self

    async def __aexit__(self, *args: object) -> None:
        return None
