"""The endpoint where an app in App Service or Functions gets tokens of its managed identities.

``GET {IDENTITY_ENDPOINT}?api-version=2019-08-01&resource=...&client_id=...`` with the header ``X-IDENTITY-HEADER``.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from dataclasses import dataclass

from aiohttp import web

from tests.wire.identity.tokens import issue
from tests.wire.serving import Serving

__all__ = ["ManagedIdentityServer", "TokenFault"]

PATH = "/msi/token"
API_VERSIONS = ("2017-09-01", "2019-08-01")


@dataclass(slots=True)
class TokenFault:
    """What the next requests get instead of a token."""

    status: int = 500
    """``200``: a token after all, after ``delay``."""
    delay: float = 0.0
    """Seconds."""
    text: str | None = None
    """Instead of the JSON of the platform: what a proxy in between would say."""
    times: int = 1_000_000


class ManagedIdentityServer:
    """The platform's endpoint for one app."""

    def __init__(self, *, port: int = 0) -> None:
        self._serving = Serving(self._application, port=port)
        self.client_id = str(uuid.uuid4())
        """Of the user-assigned identity of this app."""
        self.oid = str(uuid.uuid4())
        self.header = secrets.token_hex(16).upper()
        self.assigned = {self.client_id}
        """Client ids of the identities that the app has; empty it: none was assigned."""
        self.expires_in = 86_400.0
        self.fault: TokenFault | None = None
        self.asked: list[str] = []
        """The resource of each token that was asked for."""

    @property
    def environment(self) -> dict[str, str]:
        """As the platform sets it for the app."""
        return {
            "IDENTITY_ENDPOINT": self._serving.url + PATH,
            "IDENTITY_HEADER": self.header,
            "AZURE_CLIENT_ID": self.client_id,
        }

    def start(self) -> None:
        """Serve."""
        self._serving.start()

    def stop(self) -> None:
        """Serve no longer."""
        self._serving.stop()

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get(PATH, self._token)
        return application

    async def _token(self, request: web.Request) -> web.Response:
        query = request.query
        if request.headers.get("X-IDENTITY-HEADER") != self.header:
            return _refused(401, "The header X-IDENTITY-HEADER is missing or wrong.")
        self.asked.append(query.get("resource", ""))
        fault = self.fault
        if fault is not None and fault.times > 0:
            fault.times -= 1
            await asyncio.sleep(fault.delay)
            if fault.text is not None:
                return web.Response(status=fault.status, text=fault.text, content_type="text/html")
            if fault.status != 200:
                return _refused(fault.status, "An attempt to get a token failed.")
        if query.get("api-version") not in API_VERSIONS:
            return _refused(400, "The api-version is missing or not supported.")
        if not query.get("resource"):
            return _refused(400, "The resource is missing.")
        client_id = query.get("client_id", "")
        if client_id not in self.assigned:
            name = "ClientId/ResourceId/PrincipalId"
            return _refused(400, f"No User Assigned or Delegated Managed Identity found for specified {name}.")
        token, expires = issue(query["resource"], oid=self.oid, client_id=client_id, expires_in=self.expires_in)
        return web.json_response(
            {
                "access_token": token,
                "expires_on": str(expires),
                "resource": query["resource"],
                "token_type": "Bearer",
                "client_id": client_id,
            }
        )


def _refused(status: int, message: str) -> web.Response:
    return web.json_response(
        {"statusCode": status, "message": message, "correlationId": str(uuid.uuid4())}, status=status
    )
