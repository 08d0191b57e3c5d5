"""Key Vault's secrets over HTTPS, as its SDK sees them: challenge, tokens, roles, paging, soft delete; and faults.

Contract: the REST reference of Key Vault secrets (7.x), and the notes "Testing Azure without Azure", section 3.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aiohttp import web

from shared.clock import Clock, SystemClock
from tests.wire.certificate import server_context
from tests.wire.identity.tokens import TENANT, BadToken, issue, read
from tests.wire.key_vault.secrets import RECOVERABLE_DAYS, Refused, Secret, Secrets, Version
from tests.wire.serving import Serving

__all__ = ["AUDIENCE", "Fault", "FixedToken", "KeyVaultServer"]

AUDIENCE = "https://vault.azure.net"
MOST_A_PAGE = 25
ACTION = "Microsoft.KeyVault/vaults/secrets/"
_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
_API_VERSION = re.compile(r"7\.\d|20\d\d-\d\d-\d\d")


@dataclass(slots=True)
class Fault:
    """What happens to the next calls that carry a good token, instead of what they ask for or on top."""

    status: int = 0
    """``0``: the call goes its way."""
    code: str = "InternalServerError"
    inner: str | None = None
    message: str = "The service is out of order."
    retry_after: str | None = None
    delay: float = 0.0
    """Seconds before anything happens."""
    late: float = 0.0
    """Seconds between the effect and the answer."""
    cut: Literal["", "before", "after"] = ""
    """The connection breaks before the call takes effect, or after it did and before the answer."""
    plain: str | None = None
    """A page instead of Key Vault's JSON."""
    method: str = ""
    path: str = ""
    """Only calls whose path begins like this."""
    times: int = 1_000_000

    def hits(self, request: web.Request) -> bool:
        """Is this call one of them?"""
        right = self.method in ("", request.method) and request.path.startswith(self.path)
        return self.times > 0 and right


_NONE = Fault()


class FixedToken:
    """A credential that always has a token: for the port's contract, where who we are is not the subject."""

    def __init__(self, resource: str = AUDIENCE, *, expires_in: float = 86_400) -> None:
        self._resource = resource
        self._expires_in = expires_in
        self.given = 0
        self.asking = False

    async def get_token(self, *scopes: str, **_: Any) -> Any:
        """A fresh one."""
        from azure.core.credentials import AccessToken

        self.given += 1
        return AccessToken(*issue(self._resource, oid="fixed", client_id="fixed", expires_in=self._expires_in))

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> FixedToken:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def credential(self) -> Any:
        """As ``AzureIdentity.credential``."""
        return self


class KeyVaultServer:
    """One vault."""

    def __init__(self, *, port: int = 0, clock: Clock | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="wire-key-vault-")
        tls, self.ca_file = server_context(Path(self._folder.name))
        self._serving = Serving(self._application, port=port, tls=tls)
        self._clock = clock or SystemClock()
        self.secrets = Secrets(lambda: int(self._clock.now().timestamp()))
        self.denied: set[str] = set()
        """Actions that no role allows: ``getSecret/action``, ``setSecret/action``, ``readMetadata/action``, ``delete``,
        ``recover/action``, ``purge/action``; ``*``: no role at all."""
        self.challenge_resource = AUDIENCE
        self.page_size = MOST_A_PAGE
        self.faults: list[Fault] = []
        self.calls: list[str] = []
        """``GET /secrets/name`` of every call that carried a good token."""
        self.challenged = 0
        """Calls that were sent to fetch a token first."""

    @property
    def url(self) -> str:
        """The vault's address."""
        return f"{self._serving.url}/"

    @property
    def settings(self) -> dict[str, str]:
        """What points an app here."""
        return {"KEY_VAULT_URI": self.url, "SSL_CERT_FILE": str(self.ca_file)}

    def start(self) -> None:
        """Serve."""
        self._serving.start()

    def stop(self) -> None:
        """Serve no longer; what it holds stays until the process ends."""
        self._serving.stop()

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._folder.cleanup()

    # HTTP --------------------------------------------------------------------------------------------------------

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=1024 * 1024)
        routes: list[tuple[str, str, str, Callable[[web.Request], Awaitable[web.Response]]]] = [
            ("GET", "/secrets", "readMetadata/action", self._list),
            ("PUT", "/secrets/{name}", "setSecret/action", self._set),
            ("DELETE", "/secrets/{name}", "delete", self._delete),
            ("GET", "/secrets/{name}/versions", "readMetadata/action", self._versions),
            ("GET", "/secrets/{name}", "getSecret/action", self._get),
            ("GET", "/secrets/{name}/{version:[0-9a-f]*}", "getSecret/action", self._get),
            ("PATCH", "/secrets/{name}/{version:[0-9a-f]*}", "update/action", self._change),
            ("GET", "/deletedsecrets", "readMetadata/action", self._list_deleted),
            ("GET", "/deletedsecrets/{name}", "getSecret/action", self._get_deleted),
            ("POST", "/deletedsecrets/{name}/recover", "recover/action", self._recover),
            ("DELETE", "/deletedsecrets/{name}", "purge/action", self._purge),
        ]
        for method, path, action, handler in routes:
            application.router.add_route(method, path, self._guarded(action, handler))
        return application

    def _guarded(
        self, action: str, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def guarded(request: web.Request) -> web.Response:
            try:
                claims = self._who(request)
                fault = next((f for f in self.faults if f.hits(request)), _NONE)
                fault.times -= 1
                await asyncio.sleep(fault.delay)
                if fault.cut == "before":
                    return _cut(request)
                if fault.status:
                    return _faulty(fault)
                self.calls.append(f"{request.method} {request.path.rstrip('/')}")
                self._check(request, action, claims)
                answer = await handler(request)
                await asyncio.sleep(fault.late)
            except _Challenge as challenge:
                self.challenged += 1
                return _error(401, "Unauthorized", str(challenge), headers={"WWW-Authenticate": self._challenge()})
            except Refused as refused:
                return _error(refused.status, refused.code, refused.message, refused.inner)
            return _cut(request) if fault.cut == "after" else answer

        return guarded

    def _challenge(self) -> str:
        return f'Bearer authorization="https://login.windows.net/{TENANT}", resource="{self.challenge_resource}"'

    def _who(self, request: web.Request) -> dict[str, Any]:
        said = request.headers.get("Authorization", "")
        if not said.startswith("Bearer "):
            raise _Challenge("AKV10000: Request is missing a Bearer or PoP token.")
        try:
            claims = read(said.removeprefix("Bearer "))
        except BadToken as bad:
            raise _Challenge(f"AKV10041: Error validating token: {bad}.") from None
        if claims["aud"].rstrip("/") != AUDIENCE:
            raise _Challenge(f"AKV10022: Invalid audience. Expected {AUDIENCE}, found: {claims['aud']}.")
        return claims

    def _check(self, request: web.Request, action: str, claims: dict[str, Any]) -> None:
        if not _API_VERSION.fullmatch(request.query.get("api-version", "")):
            raise Refused(400, "BadParameter", "The request URI is invalid: api-version is missing or unknown.")
        if self.denied & {action, "*"}:
            said = (
                "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or "
                "role definitions were changed recently, please observe propagation time.\r\n"
                f"Caller: appid={claims['appid']};oid={claims['oid']};iss={claims['iss']}\r\nAction: '{ACTION}{action}'"
                f"\r\nResource: '{request.path}'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\n"
            )
            raise Refused(403, "Forbidden", said, "ForbiddenByRbac")
        name = request.match_info.get("name")
        if name is not None and not _NAME.fullmatch(name):
            raise Refused(400, "BadParameter", "The request URI contains an invalid name.")

    # Secrets -----------------------------------------------------------------------------------------------------

    async def _set(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            raise Refused(415, "UnsupportedMediaType", "The content type must be application/json.")
        return self._bundle(*self.secrets.set(request.match_info["name"], await request.json()))

    async def _get(self, request: web.Request) -> web.Response:
        found = self.secrets.get(request.match_info["name"], request.match_info.get("version", ""))
        return self._bundle(*found)

    async def _change(self, request: web.Request) -> web.Response:
        info = request.match_info
        secret, version = self.secrets.change(info["name"], info["version"], await request.json())
        return web.json_response(self._item(secret, version, with_version=True))

    async def _versions(self, request: web.Request) -> web.Response:
        secret = self.secrets.get(request.match_info["name"])[0]
        items = [self._item(secret, v, with_version=True) for v in self.secrets.versions(secret.name)]
        return self._page(request, items)

    async def _list(self, request: web.Request) -> web.Response:
        return self._page(request, [self._item(s, s.versions[-1]) for s in self.secrets.living()])

    async def _delete(self, request: web.Request) -> web.Response:
        return web.json_response(self._buried(self.secrets.delete(request.match_info["name"])))

    async def _list_deleted(self, request: web.Request) -> web.Response:
        return self._page(request, [self._buried(s) for s in self.secrets.deleted()])

    async def _get_deleted(self, request: web.Request) -> web.Response:
        return web.json_response(self._buried(self.secrets.get_deleted(request.match_info["name"])))

    async def _recover(self, request: web.Request) -> web.Response:
        secret = self.secrets.recover(request.match_info["name"])
        return web.json_response(self._item(secret, secret.versions[-1], with_version=True))

    async def _purge(self, request: web.Request) -> web.Response:
        self.secrets.purge(request.match_info["name"])
        return web.Response(status=204)

    # Forms -------------------------------------------------------------------------------------------------------

    def _bundle(self, secret: Secret, version: Version) -> web.Response:
        return web.json_response(
            {"value": version.value, **self._item(secret, version, with_version=True)},
            headers={"x-ms-request-id": str(uuid.uuid4())},
        )

    def _item(self, secret: Secret, version: Version, *, with_version: bool = False) -> dict[str, Any]:
        item: dict[str, Any] = {
            "id": f"{self.url}secrets/{secret.name}{f'/{version.id}' if with_version else ''}",
            "attributes": {
                "enabled": True,
                **version.attributes,
                "created": version.created,
                "updated": version.updated,
                "recoveryLevel": "Recoverable" if self.secrets.purge_protection else "Recoverable+Purgeable",
                "recoverableDays": RECOVERABLE_DAYS,
            },
        }
        if version.content_type is not None:
            item["contentType"] = version.content_type
        if version.tags:
            item["tags"] = version.tags
        return item

    def _buried(self, secret: Secret) -> dict[str, Any]:
        assert secret.deleted is not None
        return {
            "recoveryId": f"{self.url}deletedsecrets/{secret.name}",
            "deletedDate": secret.deleted,
            "scheduledPurgeDate": secret.deleted + RECOVERABLE_DAYS * 86_400,
            **self._item(secret, secret.versions[-1], with_version=True),
        }

    def _page(self, request: web.Request, items: list[dict[str, Any]]) -> web.Response:
        """Marked by the position; the real mark cannot be read either."""
        wanted = int(request.query.get("maxresults", self.page_size))
        if not 1 <= wanted <= MOST_A_PAGE:
            raise Refused(400, "BadParameter", f"maxresults must be between 1 and {MOST_A_PAGE}.")
        begin = int(request.query.get("$skiptoken", "0"), 16)
        end = begin + min(wanted, self.page_size)
        following = None
        if end < len(items):
            following = str(request.url.update_query({"$skiptoken": f"{end:x}", "maxresults": str(wanted)}))
        return web.json_response({"value": items[begin:end], "nextLink": following})


class _Challenge(Exception):
    """No token, or none that counts."""


def _error(
    status: int, code: str, message: str, inner: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    body: dict[str, Any] = {"code": code, "message": message}
    if inner is not None:
        body["innererror"] = {"code": inner}
    return web.json_response({"error": body}, status=status, headers=headers)


def _faulty(fault: Fault) -> web.Response:
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    if fault.plain is not None:
        return web.Response(status=fault.status, text=fault.plain, content_type="text/html", headers=headers)
    return _error(fault.status, fault.code, fault.message, fault.inner, headers)


def _cut(request: web.Request) -> web.Response:
    transport = request.transport
    if transport is not None:
        transport.abort()
    return web.Response()
