"""Tokens as Entra gives them, signed with a key that everybody here knows: made by the identity endpoints, read by the
services. They prove who called for what until when, not that anybody guards a secret."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import Any

__all__ = ["TENANT", "BadToken", "issue", "read"]

TENANT = "72f988bf-0000-4000-8000-2d7cd011db47"
_KEY = b"tokens of the wire tests"


class BadToken(Exception):
    """No token of ours, or it is over. The text says which."""


def issue(resource: str, *, oid: str, client_id: str, expires_in: float = 86_400) -> tuple[str, int]:
    """A token for a resource (``https://vault.azure.net``), and the second when it ends."""
    now = int(time.time())
    expires = now + int(expires_in)
    claims = {
        "aud": resource,
        "iss": f"https://sts.windows.net/{TENANT}/",
        "iat": now,
        "nbf": now - 300,
        "exp": expires,
        "appid": client_id,
        "oid": oid,
        "sub": oid,
        "tid": TENANT,
        "idtyp": "app",
        "ver": "1.0",
    }
    head = f"{_part({'typ': 'JWT', 'alg': 'HS256'})}.{_part(claims)}"
    return f"{head}.{_encoded(_signature(head))}", expires


def read(token: str) -> dict[str, Any]:
    """Its claims. Raises ``BadToken``."""
    head, _, signature = token.rpartition(".")
    try:
        good = hmac.compare_digest(_signature(head), _decoded(signature))
        claims: dict[str, Any] = json.loads(_decoded(head.partition(".")[2])) if good else {}
    except (ValueError, binascii.Error):
        raise BadToken("it is no token") from None
    if not good:
        raise BadToken("its signature is wrong")
    if claims["exp"] <= time.time():
        raise BadToken("it has expired")
    return claims


def _part(value: dict[str, Any]) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _signature(head: str) -> bytes:
    return hmac.new(_KEY, head.encode(), hashlib.sha256).digest()
