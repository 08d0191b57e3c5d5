"""Texts and values without what may be a secret, wherever it turns up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["REDACTED", "masked", "redact"]

REDACTED = "[redacted]"

# Most texts hold none of these words and are given back after this one search.
_SUSPICIOUS = re.compile(
    r"(?i)pass|pwd|secret|token|key|auth|bearer|basic|cookie|code|sig|credential|://[^/\s]*@|/hooks/|ob_|eyJ|whsec_"
)

_NAMES = (
    r"(?:[a-z0-9_.-]{0,40}[_.-])?(?:password|passwd|passphrase|pwd|secret|authorization|api[_-]?key|apikey|access[_-]?key"
    r"|account[_-]?key|private[_-]?key|shared[_-]?access[_-]?(?:key|signature)|functions[_-]?key|subscription[_-]?key"
    r"|client[_-]?secret|signing[_-]?secret|(?:access|refresh|id|auth|bearer|session)?[_-]?token|credentials?"
    r"|set-cookie|cookie)"
)

# Patterns as texts: `re` compiles and keeps them at first use. At start nothing is logged yet, and ten compilations
# would be a tenth of the cold start.
# `?code=`, `&sig=`: short names, secrets in an address only.
_QUERY = r"(?i)((?:^|[?&;\"'])(?:code|sig|signature|key|token|password|secret)=)([^&\s\"'<>,;)]+)"
# name: value, name=value, "name": "value", 'name': b'value', \"name\": \"value\" (JSON inside JSON)
_FIELD = (
    rf"(?i)(?<![a-z0-9])({_NAMES}[\\\"']{{0,4}}\s*[:=]\s*)"
    r"(?:\\{1,4}\"(?:.{0,500}?)\\{1,4}\"|b?\"(?:[^\"\\]|\\.)*\"?|b?'(?:[^'\\]|\\.)*'?"
    r"|(?:basic|bearer|token|digest|sharedaccesssignature)\s+[^\s,;}\]\"'&]+|[^\s,;}\]\"'&]+)"
)
# ('authorization', 'Bearer ...'): headers as pairs
_PAIR = rf"(?i)(b?[\"']{_NAMES}[\"']\s*,\s*)b?(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
_SCHEME = r"(?i)\b(basic|bearer)\s+[a-z0-9+/=._~-]{6,}"
_USERINFO = r"(?i)(\b[a-z][a-z0-9+.-]{0,20}://)[^/\s\"'<>]*@"
# Not the template itself: `/api/hooks/{source}/{token}`.
_HOOK = r"(?i)(/hooks/[^/\s\"'?]+/)(?!\{token\}(?:[/\s\"'?,;)]|$))[^/\s\"'?,;)]+"
_OURS = r"(ob_[0-9a-f]{16}_)[A-Za-z0-9_-]{20,}"
_SIGNING = r"whsec_[A-Za-z0-9+/=_-]+"
_JWT = r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"
_PEM = r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"

_SECRET_FIELDS = frozenset(
    (
        "password", "passwd", "passphrase", "pwd", "secret", "clientsecret", "signingsecret", "apikey", "accesskey",
        "accountkey", "sharedaccesskey", "accesstoken", "refreshtoken", "idtoken", "bearertoken", "authtoken", "token",
        "authorization", "proxyauthorization", "xfunctionskey", "xapikey", "code", "sig", "signature", "privatekey",
        "credentials", "credential", "key", "cookie", "setcookie",
    )
)  # fmt: skip
"""Names of fields, in lower case without separators, whose value is a secret."""

# Every pattern is bounded where it could go over a text again and again: what is logged may be an attacker's.


def redact(text: str) -> str:
    """The text without what may be a secret.

    Passwords, keys, tokens and Authorization in headers, JSON and forms; ``code`` and ``sig`` in addresses;
    ``user:password@``; the secret path of hooks; our own API tokens; JWTs; PEM keys. What remains can be read.
    """
    if _SUSPICIOUS.search(text) is None:
        return text
    text = re.sub(_PEM, REDACTED, text)
    text = re.sub(_USERINFO, rf"\1{REDACTED}@", text)
    text = re.sub(_HOOK, rf"\1{REDACTED}", text)
    text = re.sub(_OURS, rf"\1{REDACTED}", text)
    text = re.sub(_SIGNING, REDACTED, text)
    text = re.sub(_JWT, REDACTED, text)
    text = re.sub(_PAIR, rf"\1'{REDACTED}'", text)
    text = re.sub(_FIELD, rf"\1{REDACTED}", text)
    text = re.sub(_SCHEME, rf"\1 {REDACTED}", text)
    return re.sub(_QUERY, rf"\1{REDACTED}", text)


def masked(value: Any) -> Any:
    """A copy of a JSON value in which the values of fields with a secret's name, and secrets in texts, are hidden."""
    if isinstance(value, Mapping):
        return {str(name): _masked_field(str(name), item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return redact(bytes(value).decode("utf-8", "replace"))
    return redact(value) if isinstance(value, str) else value


def _masked_field(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if name.lower().replace("_", "").replace("-", "") in _SECRET_FIELDS:
        return REDACTED
    return masked(value)
