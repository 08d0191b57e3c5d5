"""The call that a response makes: how it is put together, sent once, and judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared import json_text
from shared.alerts.response_model import Response
from shared.alerts.response_ports import Acted
from shared.alerts.response_templates import NAMES, fill, fill_json, words_of
from shared.connectors.credentials import Credentials
from shared.equipment.shared_credentials import SHARED
from shared.errors import InvalidInput, NotFound
from shared.observability import masked, redact
from shared.outgoing.echo import secrets_in, without
from shared.outgoing.http import OutgoingAnswer, OutgoingError, OutgoingHttp
from shared.secrets import Vault

if TYPE_CHECKING:
    from shared.equipment.shared_credentials import SharedCredentials

__all__ = ["Calls", "Request", "repeatable"]

TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 16_384
SHOWN_CHARACTERS = 500
NOT_TAKEN = frozenset({408, 425, 429, 503})
"""The receiver says that it did not do it, and to come again."""
PERHAPS_TAKEN = frozenset({500, 502, 504})
"""Somebody on the way gave up; what lies behind may have done it."""
LONGEST_PAUSE = 900.0


def repeatable(action: Mapping[str, Any]) -> bool:
    """May a call that may have arrived be made again?"""
    said = action.get("repeatable")
    return bool(said) if said is not None else action.get("method") == "PUT"


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. Never shows its secrets."""

    method: str
    url: str = field(repr=False)
    shown_url: str
    headers: Mapping[str, str] = field(repr=False)
    secret_headers: Mapping[str, str] = field(repr=False)
    body: Any = field(repr=False)
    secret_body: Mapping[str, Any] = field(repr=False)
    secret_url: bool = False
    """The whole address is of the credential set."""

    def shown(self) -> dict[str, Any]:
        """As a person may see it."""
        hidden = dict.fromkeys(self.secret_headers, "[from the credential set]")
        body = self.body
        if isinstance(body, dict) and self.secret_body:
            body = {**body, **dict.fromkeys(self.secret_body, "[from the credential set]")}
        return {"method": self.method, "url": self.shown_url, "headers": {**self.headers, **hidden}, "body": body}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown where a receiver repeats it."""
        url = self.url if self.secret_url else None
        return secrets_in(url=url, headers=self.secret_headers, body=self.secret_body)

    @property
    def content(self) -> bytes:
        """The body's bytes."""
        return json_text.dump({**self.body, **self.secret_body} if self.secret_body else self.body)


class Calls:
    """Puts calls together and makes them."""

    def __init__(self, http: OutgoingHttp, vault: Vault, credentials: SharedCredentials) -> None:
        self._http = http
        self._vault = vault
        self._credentials = credentials

    async def request(self, response: Response, facts: Mapping[str, Any], *, test: bool = False) -> Request:
        """What would be sent.

        Raises:
            InvalidInput: the credential set is gone, belongs elsewhere, or cannot be used for a call.
            Unavailable: the vault or the store is away.
        """
        action, words = response.action, words_of(facts)
        target = self._http.targets.check_url(action["url"], field="url")
        headers = {name: _header(fill(text, words)) for name, text in (action.get("headers") or {}).items()}
        headers |= {"Content-Type": "application/json", "Idempotency-Key": str(facts["response_id"])}
        if test:
            headers["X-Ovenbridge-Test"] = "true"
        template = action.get("body")
        body = fill_json(template, words) if template is not None else _everything(words)
        url: str = action["url"]
        secret_headers: dict[str, str] = {}
        secret_body: dict[str, Any] = {}
        if (set_id := action.get("credentials")) is not None:
            await self._credentials.for_address(set_id, target.origin, field="credentials")
            url, secret_headers, secret_body = await self._secrets(set_id, url, target.origin)
        if secret_body and not isinstance(body, dict):
            raise InvalidInput(
                f"The credential set {set_id} adds fields to the body, which therefore has to be an object.",
                field="body",
            )
        return Request(
            method=action["method"],
            url=url,
            shown_url=target.display,
            headers=headers,
            secret_headers=secret_headers,
            body=body,
            secret_body=secret_body,
            secret_url=url != action["url"],
        )

    async def send(self, request: Request, *, again: bool) -> Acted:
        """Send it once. Never raises for what a receiver does.

        Args:
            request: what.
            again: whether a call that may have arrived may be repeated.
        """
        try:
            answer = await self._http.send(
                request.method,
                request.url,
                headers={**request.headers, **request.secret_headers},
                content=request.content,
                timeout_seconds=TIMEOUT_SECONDS,
                max_answer_bytes=MAX_ANSWER_BYTES,
                once=True,
            )
        except OutgoingError as error:
            return _no_answer(error, again)
        return _judge(answer, again, request.secrets)

    async def _secrets(self, set_id: str, url: str, origin: str) -> tuple[str, dict[str, str], dict[str, Any]]:
        try:
            secret = await self._vault.get(SHARED + set_id)
        except NotFound as err:
            raise InvalidInput(
                f"The vault holds nothing for the credential set {set_id}: give it its values again.",
                field="credentials",
            ) from err
        values = dict(json_text.load(secret.value))
        whole, body = values.pop("url", None), values.pop("body", {})
        try:
            known = Credentials.model_validate(values)
        except ValueError:
            known = None
        if known is None or known.client_id is not None or not isinstance(body, dict):
            # Not pydantic's own words: they might show a value.
            raise InvalidInput(
                f"The credential set {set_id} cannot be used for a call: it may hold api_key, api_key_header, token, "
                "username and password, url (the whole address) and body (fields of the body).",
                field="credentials",
            )
        if whole is None:
            return url, known.headers(), body
        if not isinstance(whole, str) or self._http.targets.check_url(whole, field="credentials").origin != origin:
            raise InvalidInput(f"The url in the credential set {set_id} leads elsewhere.", field="credentials")
        return whole, known.headers(), body


def _everything(words: Mapping[str, Any]) -> dict[str, Any]:
    """The body where a rule has none of its own: ``{"alert": {...}, "equipment": {...} ...}``."""
    body: dict[str, Any] = {}
    for name in NAMES:
        group, _, field_name = name.partition(".")
        body.setdefault(group, {})[field_name] = words[name]
    return body


def _header(text: str) -> str:
    """What can stand in a header."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)[:1_000].strip()


def _no_answer(error: OutgoingError, again: bool) -> Acted:
    result = {"reason": error.kind}
    if error.kind == "unsafe":
        return Acted("failed", error.detail, result)
    never_left = error.kind in ("dns", "refused", "unreachable", "tls") or "did not take the connection" in error.detail
    if never_left or again:
        return Acted("again", error.detail, result)
    return Acted(
        "unknown",
        f"{error.detail} The call may have arrived, and its rule does not say that it is repeatable: look at the "
        "receiver.",
        result,
    )


def _judge(answer: OutgoingAnswer, again: bool, secrets: Sequence[str]) -> Acted:
    status = answer.status
    result: dict[str, Any] = {"http_status": status}
    if answer.body:
        result["answer"] = _shown(answer.body, secrets)
    if 200 <= status < 300:
        return Acted("done", f"The receiver answered {status}.", result)
    said = f"The receiver answered {status}."
    if status in NOT_TAKEN or (status >= 500 and again):
        return Acted("again", said, result, _pause(answer))
    if status in PERHAPS_TAKEN:
        return Acted(
            "unknown",
            f"{said} It may have done it all the same, and the rule does not say that the call is repeatable: look at "
            "the receiver.",
            result,
        )
    if 300 <= status < 400:
        said = f"The receiver answered {status}, a redirect, which is never followed: write the final address."
    elif status in (401, 403):
        said = f"The receiver answered {status}: check the credential set of this response."
    return Acted("failed", said, result)


def _shown(body: bytes, secrets: Sequence[str]) -> Any:
    """The beginning of an answer. Some receivers repeat what they were sent, and anybody may read this."""
    return masked(redact(without(body.decode("utf-8", "replace"), secrets)[:SHOWN_CHARACTERS]))


def _pause(answer: OutgoingAnswer) -> float | None:
    said = next((v for k, v in answer.headers.items() if k.lower() == "retry-after"), "")
    return min(float(said), LONGEST_PAUSE) if said.isdecimal() else None
