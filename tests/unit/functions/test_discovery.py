"""`/opc-ua/certificate`, `.../discover`, `.../trust-certificate` where no OPC UA server is needed."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509

from shared.clock import ManualClock
from shared.services import Services
from tests.api import Api

OURS = "/api/v1/opc-ua/certificate"
OVEN = "/api/v1/equipment/oven-1"


async def test_our_certificate_in_every_form_is_the_same_and_its_key_is_in_none(api: Api) -> None:
    shown = (await api.get(OURS)).json()
    pem, der = await api.get(f"{OURS}?format=pem"), await api.get(f"{OURS}?format=der")
    assert hashlib.sha256(der.body).hexdigest() == shown["fingerprint"]
    assert hashlib.sha1(der.body, usedforsecurity=False).hexdigest() == shown["thumbprint_sha1"]
    assert pem.body.decode() == shown["pem"]
    assert x509.load_pem_x509_certificate(pem.body) == x509.load_der_x509_certificate(der.body)
    assert der.headers["content-type"] == "application/pkix-cert"
    assert der.headers["content-disposition"].endswith('.der"')
    for answer in (pem, der, await api.get(OURS)):
        assert b"PRIVATE" not in answer.body


async def test_its_end_is_told_of(api: Api, clock: ManualClock) -> None:
    await api.get(OURS)
    clock.advance((5 * 365 - 30) * 86_400)
    assert "expires on 2031-11-20" in (await api.get(OURS)).json()["warning"]


async def test_it_is_renewed_by_naming_the_one_it_replaces(api: Api, house: Services) -> None:
    before = (await api.get(OURS)).json()
    refused = await api.post(f"{OURS}/renew", json={"replaces": "ab" * 32})
    assert (refused.status, (await api.get(OURS)).json()) == (409, before)
    after = (await api.post(f"{OURS}/renew", json={"replaces": before["fingerprint"]})).json()
    assert after["fingerprint"] != before["fingerprint"]
    assert after["application_uri"] == before["application_uri"]
    assert (await api.get(OURS)).json() == after
    page = await house.audit.entries(stream="opc-ua")
    assert [entry.action for entry in page.entries] == ["opc_ua.certificate_renewed"]


@pytest.mark.parametrize("path", ["discover", "trust-certificate"])
async def test_machines_that_cannot_be_asked(api: Api, path: str) -> None:
    body = {"fingerprint": "ab" * 32} if path == "trust-certificate" else None
    assert (await api.post(f"{OVEN}/{path}", json=body)).status == 404
    await api.post("/api/v1/equipment", json={"id": "oven-1", "name": "Oven"})
    assert (await api.post(f"{OVEN}/{path}", json=body)).status == 409
    config = {"protocol": "opc_ua", "endpoint": "127.0.0.1", "port": 9}
    await api.post(f"{OVEN}/iot-config?test=false", json=config)
    answer = await api.post(f"{OVEN}/{path}", json=body)
    assert answer.status == 409
    assert "Nothing listens on 127.0.0.1:9" in answer.json()["detail"]
    assert "server_cert" not in (await api.get(OVEN)).json()["iot_config"]


async def test_who_may(api: Api) -> None:
    await api.post("/api/v1/equipment", json={"id": "oven-1", "name": "Oven"})
    token = (await api.post("/api/v1/tokens", json={"name": "wall", "roles": ["operator"]})).json()["token"]
    operator = Api({"authorization": f"Bearer {token}"})
    assert (await operator.get(OURS)).status == 200
    for path in (f"{OVEN}/discover", f"{OVEN}/trust-certificate", f"{OURS}/renew"):
        assert (await operator.post(path, json={"fingerprint": "ab" * 32})).status == 403
