"""What the tests of innius share: a vendor with a key, who signs as node's crypto does, and an address of ours."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shared.services import Services
from tests.api import Api, ApiAnswer, Drained

TRN = "trn:company:1::machine:m-1"
_KEYS = [rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for _ in range(2)]


@dataclass(frozen=True)
class Vendor:
    """Somebody with a private key."""

    key: rsa.RSAPrivateKey

    @property
    def public(self) -> str:
        """Base64 PKIX, as a registration answers it."""
        der = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(der).decode()

    def sign(self, raw: bytes, salt: int | Any = padding.PSS.MAX_LENGTH, digest: Any = None) -> str:
        mgf = padding.MGF1(digest or hashes.SHA256())
        return base64.b64encode(self.key.sign(raw, padding.PSS(mgf, salt), hashes.SHA256())).decode()


@pytest.fixture(scope="session")
def vendor() -> Vendor:
    return Vendor(_KEYS[0])


@pytest.fixture(scope="session")
def other_vendor() -> Vendor:
    return Vendor(_KEYS[1])


class Address:
    """A hook source of ours, and what is posted there."""

    def __init__(self, api: Api, house: Services, drain: Callable[..., Awaitable[Drained]]) -> None:
        self.api = api
        self.house = house
        self._drain = drain
        self.path = ""

    async def make(self, options: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Make the source ``plant``."""
        wanted = {"id": "plant", "kind": "innius", "options": {"machines": {TRN: "OVEN-1"}} | (options or {})} | more
        answer = await self.api.post("/api/v1/hook-sources", json=wanted)
        assert answer.status == 201, answer.body
        made: dict[str, Any] = answer.json()
        self.path = str(urlsplit(made["url"]).path)
        return made

    async def post(
        self, event: str | None, body: dict[str, Any] | bytes, vendor: Vendor | None = None, **headers: str
    ) -> ApiAnswer:
        """As innius does."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        said = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if event is not None:
            said["X-Innius-Event"] = event
        if vendor is not None:
            said["X-innius-validation"] = vendor.sign(raw)
        return await self.api.post(self.path, body=raw, headers=said)

    async def effect(self, answer: ApiAnswer) -> dict[str, Any]:
        """What the message led to."""
        assert answer.status in (200, 202), answer.body
        drained = await self._drain(queues=("inbound-events",))
        assert drained.failures == []
        message: dict[str, Any] = (await self.api.get(f"/api/v1/inbox/{answer.json()['id']}")).json()
        return message

    async def alerts(self, status: str = "active") -> list[dict[str, Any]]:
        """Of all machines."""
        found = (await self.api.get(f"/api/v1/equipment/iot-alerts?status={status}")).json()
        return list(found["alerts"])


@pytest.fixture
async def address(api: Api, house: Services, drain: Callable[..., Awaitable[Drained]]) -> Address:
    assert (await api.post("/api/v1/equipment", json={"id": "OVEN-1", "name": "Oven 1"})).status == 201
    return Address(api, house, drain)


def state(status: int, **more: Any) -> dict[str, Any]:
    """Body of a SensorStateChange."""
    return {
        "sensorid": "s-1",
        "machinetrn": TRN,
        "conversationid": "c-1",
        "status": status,
        "previousValue": 80.0,
        "currentValue": 95.5,
    } | more
