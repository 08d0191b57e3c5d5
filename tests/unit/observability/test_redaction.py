"""Secrets are taken out wherever they turn up, and what is no secret stays readable."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.redaction import REDACTED, masked, redact

S = "hunter2-Tr0ub4dor"


@pytest.mark.parametrize(
    "text",
    [
        f"https://oven.example/api?code={S}&x=1",
        f"POST https://flow.example/trigger?api-version=1&sp=%2Ftrig&sig={S} failed",
        f"?key={S}",
        f"code={S}&clientId=default",
        f"Authorization: Bearer {S}",
        f"authorization: Basic {S}==",
        f"Authorization: {S}",
        f"x-functions-key: {S}",
        f"X-API-Key={S}",
        f"Ocp-Apim-Subscription-Key: {S}",
        f"Bearer {S}",
        f"https://user:{S}@oven.local:8080/status",
        f"https://{S}@oven.local/",
        f"mqtt://baker:pa@{S}@broker.local",
        f'{{"password": "{S}"}}',
        f'{{"user": "a", "client_secret":"{S}", "n": 1}}',
        f'{{"password": "with \\"quotes\\" {S}"}}',
        f'body: "{{\\"token\\": \\"{S}\\"}}"',
        f"{{'password': '{S}', 'n': 1}}",
        f"{{b'authorization': b'Bearer {S}'}}",
        f"[(b'authorization', b'Basic {S}'), ('host', 'x')]",
        f"('x-functions-key', '{S}')",
        f"AccountEndpoint=https://x.documents.azure.com/;AccountKey={S}==;",
        f"Endpoint=sb://x/;SharedAccessKeyName=root;SharedAccessKey={S}",
        f"grant_type=client_credentials&client_id=a&client_secret={S}",
        f"refresh_token={S}",
        f"Set-Cookie: session={S}",
        f"POST /api/hooks/press/{S} HTTP/1.1",
        f"https://x.example/api/hooks/press/{S}?x=1",
        f"ob_0123456789abcdef_{S}{S}{S}",
        "whsec_" + S.replace("-", "A"),
        f"eyJhbGciOiJIUzI1NiJ9.{S}.{S}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{S}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{S}",
        f"httpx.ConnectError: cannot connect to 'https://u:{S}@oven/?sig={S}'",
        f'password = "{S}',
        f"device_password={S}",
        f"mqtt-password: {S}",
    ],
)
def test_no_secret_remains(text: str) -> None:
    cleaned = redact(text)
    assert S not in cleaned
    assert S.replace("-", "A") not in cleaned
    assert REDACTED in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "plan_polls sent 12 batches to poll-batches",
        "The oven answered 401; check its credentials in the vault",
        "status code 404 from https://oven.local:8080/api/status?unit=C",
        "The token has expired. Ask an administrator.",
        "equipment OVEN-1: temperature.core 93.5 C, quality good",
        "Contact ops@example.com about https://oven.local/a@b",
        "POST /api/v1/tokens 201",
        "GET /api/v1/hook-sources/press 200",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("around", ["https://{}@oven.local/x", "https://x.example/?code={}&a=1", '{{"password":"{}"}}'])
@given(secret=st.from_regex(r"[A-Za-z0-9_.~-]{8,40}", fullmatch=True))
def test_any_secret_is_taken_out_of(around: str, secret: str) -> None:
    assert secret not in redact(around.format(secret)).replace("oven.local", "").replace("password", "")


@given(st.text(max_size=300))
def test_redaction_never_fails_and_is_stable(text: str) -> None:
    once = redact(text)
    assert redact(once) == once or len(redact(once)) <= len(once) + len(REDACTED)


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "piece",
    [
        '"\\',
        "key",
        "eyJ",
        "a_",
        "a.",
        "a://",
        "://a@",
        'password: \\"',
        'password: "\\',
        '"password',
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "/hooks/a",
        "ob_0123456789abcdef_",
        "bearer ",
        "token token ",
        "?code",
        "x-api-",
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    """What is logged may be an attacker's: a pattern must not go over it again and again."""
    redact("password: " + piece * (100_000 // len(piece)))


def test_values_are_masked_at_any_depth() -> None:
    value: dict[str, Any] = {
        "name": "oven",
        "apiKey": S,
        "credentials": {"user": "a", "password": S},
        "nested": [{"client-secret": S}, (f"https://u:{S}@x/",), f"Bearer {S}xx".encode()],
        "Authorization": f"Bearer {S}",
        "token": None,
        "credential_ref": "set-1",
        "signed": True,
        "count": 3,
    }
    cleaned = masked(value)
    assert S not in json.dumps(cleaned)
    assert (cleaned["name"], cleaned["credential_ref"], cleaned["token"], cleaned["count"]) == (
        "oven",
        "set-1",
        None,
        3,
    )
    assert value["apiKey"] == S, "a copy: what is masked is still needed"
