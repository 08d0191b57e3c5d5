"""OAuth2 client credentials: fetched once, shared, renewed in time, renewed once when refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from shared.clock import ManualClock
from shared.connectors import Connector, Connectors
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from shared.signals import Quality
from tests.unit.connectors.oven import OAuthOven, json_answer
from tests.unit.outgoing.peers import Authority, Peer, answer, peer

CREDENTIALS = {"token_url": "/oauth/token", "client_id": "bak ery", "client_secret": "s3cr:et", "scope": "read"}


class _Plant:
    """One process' connectors against one vendor cloud."""

    def __init__(self, there: Peer, clock: ManualClock) -> None:
        self._there = there
        self.http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
        self._connectors = Connectors(self.http, clock)

    def open(self, equipment_id: str = "oven-1", **credentials: Any) -> Connector:
        config = {
            "endpoint": self._there.url,
            "credentials": CREDENTIALS | credentials,
            "additional_config": {"data_endpoint": "/units/{id}"},
        }
        return self._connectors.open(protocol="rest_api", equipment_id=equipment_id, config=config)


async def test_one_token_for_many_reads_and_devices(clock: ManualClock) -> None:
    oven = OAuthOven()
    async with oven.serve() as there:
        plant = _Plant(there, clock)
        readings = await asyncio.gather(*(plant.open(f"oven-{n}").get_current_reading() for n in range(20)))
        assert {reading.quality for reading in readings} == {Quality.GOOD}
        assert (await plant.open().get_current_reading()).values["temperature.cabinet"].value == 180
        assert oven.tokens == 1
        await plant.open(client_secret="another").get_current_reading()
        assert oven.tokens == 2, "other credentials, another token"
        await plant.http.close()


async def test_a_token_is_renewed_before_it_runs_out(clock: ManualClock) -> None:
    oven = OAuthOven(expires_in=100)
    async with oven.serve() as there:
        plant = _Plant(there, clock)
        for advance, tokens in ((0, 1), (80, 1), (15, 2), (80, 2), (300, 3)):
            clock.advance(advance)
            assert (await plant.open().get_current_reading()).quality is Quality.GOOD
            assert oven.tokens == tokens
        await plant.http.close()


@pytest.mark.parametrize("expires_in", [None, "soon", -5, 0])
async def test_a_lifetime_that_makes_no_sense_is_short(expires_in: object, clock: ManualClock) -> None:
    oven = OAuthOven(expires_in=expires_in)
    async with oven.serve() as there:
        plant = _Plant(there, clock)
        for advance, tokens in ((0, 1), (200, 1), (100, 2)):
            clock.advance(advance)
            await plant.open().get_current_reading()
            assert oven.tokens == tokens
        await plant.http.close()


async def test_a_refused_token_is_fetched_anew_exactly_once(clock: ManualClock) -> None:
    oven = OAuthOven()
    async with oven.serve() as there:
        plant = _Plant(there, clock)
        await plant.open().get_current_reading()
        oven.accepts = set()  # the vendor revoked it
        readings = await asyncio.gather(*(plant.open(f"oven-{n}").get_current_reading() for n in range(10)))
        assert {reading.quality for reading in readings} == {Quality.GOOD}
        assert oven.tokens == 2, "ten refusals, one new token"
        await plant.http.close()


async def test_a_device_that_never_accepts_ends_after_the_second_try(clock: ManualClock) -> None:
    oven = OAuthOven()
    async with oven.serve() as there:
        plant = _Plant(there, clock)

        class Never(set[str]):
            def __iter__(self) -> Any:
                return iter(())

        oven.accepts = Never()
        oven.token_answer = json_answer({"access_token": "stale", "expires_in": 3600})
        reading = await plant.open().get_current_reading()
        assert (reading.quality, reading.error_code) == (Quality.BAD, "authentication_failed")
        paths = [there.lines(n)[0].split()[1] for n in range(len(there.requests))]
        assert paths.count("/oauth/token") == 2
        assert paths.count("/units/oven-1") == 2
        await plant.http.close()


async def test_how_the_client_shows_itself(clock: ManualClock) -> None:
    oven = OAuthOven()
    async with oven.serve() as there:
        plant = _Plant(there, clock)
        await plant.open(extra={"audience": "ovens"}).get_current_reading()
        assert there.header("authorization", 0) == "Basic YmFrK2VyeTpzM2NyJTNBZXQ=", "RFC 6749 2.3.1: form-encoded"
        form = parse_qs(oven.forms[0])
        assert form == {"grant_type": ["client_credentials"], "scope": ["read"], "audience": ["ovens"]}
        await plant.open(client_auth="body").get_current_reading()
        form = parse_qs(oven.forms[1])
        assert (form["client_id"], form["client_secret"]) == (["bak ery"], ["s3cr:et"])
        await plant.http.close()


@pytest.mark.parametrize(
    ("raw", "code", "says"),
    [
        (json_answer({"error": "invalid_client"}, "401 Unauthorized"), "authentication_failed", "(401 invalid_client)"),
        (json_answer({"error": "<b>s3cr:et"}, "400 Bad Request"), "authentication_failed", "credentials (400)"),
        (answer(b"<html>", "200 OK"), "unexpected_answer", "without an access_token"),
        (json_answer({"access_token": "a b"}), "unexpected_answer", "without an access_token"),
        (json_answer({"access_token": "a\r\nX: y"}), "unexpected_answer", "without an access_token"),
        (json_answer([]), "unexpected_answer", "without an access_token"),
        (answer(b"", "404 Not Found"), "unexpected_answer", "answered 404 in place of a token"),
        (answer(b"", "302 Found", extra="Location: http://x\r\n"), "unexpected_answer", "answered 302"),
        (answer(b"", "429 Slow"), "throttled", "come less often"),
    ],
    ids=["refused", "strange-error", "html", "space", "injection", "list", "404", "redirect", "throttled"],
)
async def test_a_token_service_that_gives_none(raw: bytes, code: str, says: str, clock: ManualClock) -> None:
    oven = OAuthOven()
    oven.token_answer = raw
    async with oven.serve() as there:
        plant = _Plant(there, clock)
        reading = await plant.open().get_current_reading()
        assert (reading.quality, reading.error_code) == (Quality.BAD, code)
        assert says in (reading.reason or "")
        assert "s3cr" not in (reading.reason or "")
        oven.token_answer = None
        if code == "throttled":
            assert (await plant.open("another").get_current_reading()).error_code == code, "the account keeps away"
            assert len(oven.forms) == 1
            clock.advance(30)
        assert (await plant.open().get_current_reading()).quality is Quality.GOOD, "a failure is not remembered"
        await plant.http.close()


async def test_a_reader_that_gives_up_does_not_fail_the_others(clock: ManualClock) -> None:
    oven = OAuthOven()
    oven.slow.clear()
    async with oven.serve() as there:
        plant = _Plant(there, clock)
        impatient = asyncio.create_task(plant.open("a").get_current_reading())
        patient = asyncio.create_task(plant.open("b").get_current_reading())
        await oven.asked.wait()
        impatient.cancel()
        oven.slow.set()
        assert (await patient).quality is Quality.GOOD
        with pytest.raises(asyncio.CancelledError):
            await impatient
        assert oven.tokens == 1
        await plant.http.close()


async def test_a_token_service_elsewhere(clock: ManualClock) -> None:
    oven, elsewhere = OAuthOven(), OAuthOven()
    async with oven.serve() as there, elsewhere.serve() as identity:
        plant = _Plant(there, clock)
        oven.accepts = {"token-1"}
        reading = await plant.open(token_url=f"{identity.url}/oauth/token").get_current_reading()
        assert reading.quality is Quality.GOOD
        assert (oven.tokens, elsewhere.tokens) == (0, 1)
        await plant.http.close()


async def test_a_token_service_elsewhere_is_verified_although_the_oven_is_not(
    clock: ManualClock, tmp_path: Path
) -> None:
    """The choice to trust one oven blindly must not hand the client secret to whoever answers for the token service."""
    context, pem = Authority(tmp_path).server(self_signed=True)
    token = json_answer({"access_token": "t", "expires_in": 60})
    async with peer(json_answer({"temperature": 1}), tls=context) as there, peer(token, tls=context) as identity:
        http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
        connectors = Connectors(http, clock)

        async def read(**options: object) -> tuple[Quality, str | None]:
            credentials = CREDENTIALS | {"token_url": f"{identity.url}/token"}
            config = {"endpoint": there.url, "credentials": credentials, "additional_config": options}
            connector = connectors.open(protocol="rest_api", equipment_id="e", config=config)
            reading = await connector.get_current_reading()
            return reading.quality, reading.error_code

        assert await read(verify_ssl=False) == (Quality.BAD, "tls_failed")
        assert identity.requests == []
        assert await read(ca_certificate=pem) == (Quality.GOOD, None)
        await http.close()
