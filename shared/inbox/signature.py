"""Standard Webhooks: verifying ``webhook-id``, ``webhook-timestamp``, ``webhook-signature`` over the raw bytes.

Contract: https://www.standardwebhooks.com, as in ``reference/azure.md`` 4.1. Several signatures may stand beside each
other while a sender changes its secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime

from shared.errors import InvalidInput

__all__ = ["TOLERANCE_SECONDS", "decode_secret", "why_not_genuine"]

TOLERANCE_SECONDS = 300
"""How far the sender's clock may be from ours, and how long a recorded message could be sent again."""
MIN_SECRET_BYTES = 16
MAX_SIGNATURES = 10


def decode_secret(text: str) -> bytes:
    """The key out of ``whsec_<base64>``.

    Raises:
        InvalidInput: it is no such secret, or too short to be one.
    """
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < MIN_SECRET_BYTES:
        raise InvalidInput(
            f"A signing secret is `whsec_` and base64 of at least {MIN_SECRET_BYTES} bytes.", field="signing_secret"
        )
    return key


def why_not_genuine(key: bytes, headers: Mapping[str, str], raw: bytes, now: datetime) -> str | None:
    """``None``: the signature is right. Else why it is not, as a sentence for the operator."""
    given = {name: headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")}
    missing = [f"webhook-{name}" for name, value in given.items() if not value]
    if missing:
        return f"The signature is incomplete: the header {missing[0]} is missing."
    stamp = given["timestamp"]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        return "The header webhook-timestamp is no Unix time in seconds."
    if abs(now.timestamp() - int(stamp)) > TOLERANCE_SECONDS:
        return "The signature is too old or from the future; compare the sender's clock with ours."
    signed = f"{given['id']}.{stamp}.".encode("utf-8", "surrogateescape") + raw
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    for part in given["signature"].split(" ")[:MAX_SIGNATURES]:
        version, _, value = part.partition(",")
        if version == "v1" and hmac.compare_digest(value.encode("utf-8", "surrogateescape"), expected.encode()):
            return None
    return "The signature does not match: the secret is another one, or the body was changed on the way."
