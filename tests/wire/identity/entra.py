"""The token endpoint of Entra, for an app registration that signs in with a certificate or a secret (a relay)."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tests.wire.certificate import server_context
from tests.wire.identity.tokens import TENANT, issue
from tests.wire.serving import Serving

__all__ = ["EntraServer"]


class EntraServer:
    """``https://login.microsoftonline.com`` for one tenant and one app."""

    def __init__(self, folder: Any, *, port: int = 0) -> None:
        tls, self.ca_file = server_context(folder)
        self._serving = Serving(self._application, port=port, tls=tls)
        self.client_id = str(uuid.uuid4())
        self.oid = str(uuid.uuid4())
        self.certificates: list[x509.Certificate] = []
        """Registered for the app; two overlap during a rotation."""
        self.expired_secret = False
        self.asked: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        """What a relay needs beside its certificate's path, and what points it here instead of at Entra."""
        return {
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": self.client_id,
            "AZURE_AUTHORITY_HOST": self._serving.url,
            "SSL_CERT_FILE": str(self.ca_file),
        }

    def start(self) -> None:
        """Serve."""
        self._serving.start()

    def stop(self) -> None:
        """Serve no longer."""
        self._serving.stop()

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/{tenant}/oauth2/v2.0/token", self._token)
        return application

    async def _token(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        scope = str(form.get("scope", ""))
        self.asked.append(scope)
        if request.match_info["tenant"] != TENANT:
            return _refused(400, "invalid_request", "AADSTS90002: Tenant not found. Check to make sure you have it.")
        if form.get("grant_type") != "client_credentials" or form.get("client_id") != self.client_id:
            return _refused(400, "unauthorized_client", "AADSTS700016: Application was not found in the directory.")
        if "client_secret" in form:
            code = "AADSTS7000222: The provided client secret keys are expired."
            if self.expired_secret:
                return _refused(401, "invalid_client", code)
            return _refused(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
        if not self._proven(str(form.get("client_assertion", ""))):
            return _refused(401, "invalid_client", "AADSTS700027: The certificate is not registered on application.")
        resource = scope.removesuffix("/.default")
        token, _ = issue(resource, oid=self.oid, client_id=self.client_id, expires_in=3599)
        return web.json_response(
            {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token}
        )

    def _proven(self, assertion: str) -> bool:
        head, _, signature = assertion.rpartition(".")
        if not head:
            return False
        said = _decoded(head.partition(".")[0])
        claims = _decoded(head.partition(".")[2])
        if claims["iss"] != self.client_id or urlsplit(claims["aud"]).netloc != urlsplit(self._serving.url).netloc:
            return False
        return any(_signed_by(certificate, said, head, signature) for certificate in self.certificates)


def _signed_by(certificate: x509.Certificate, said: dict[str, Any], head: str, signature: str) -> bool:
    der = certificate.public_bytes(Encoding.DER)
    sha1, sha256 = hashlib.sha1(der).digest(), hashlib.sha256(der).digest()
    if _thumbprint(said.get("x5t", "")) != sha1 and _thumbprint(said.get("x5t#S256", "")) != sha256:
        return False
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    way: Any = padding.PKCS1v15()
    if said["alg"] == "PS256":
        way = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
    try:
        key.verify(_thumbprint(signature), head.encode(), way, hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _thumbprint(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _decoded(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_thumbprint(text))
    return found


def _refused(status: int, error: str, description: str) -> web.Response:
    return web.json_response(
        {"error": error, "error_description": description, "trace_id": str(uuid.uuid4())}, status=status
    )
