"""Every refusal of a server is a sentence for a person."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua.ua.uaerrors import UaStatusCodeError

from shared.connectors.opc_ua_certificates import SeenCertificate
from shared.connectors.opc_ua_errors import Offer, ServerNotTrusted, offer_problem, refused, silent
from shared.connectors.opc_ua_plan import OpcUaPlan, plan
from shared.connectors.opc_ua_status import reason_of
from shared.connectors.profiles import profile_of
from shared.outgoing.targets import TargetPolicy

STAGES = ["connect", "hello", "channel", "session", "sign-in", "read", "write", "discover"]
NAMES = sorted(
    {cls.__name__ for cls in UaStatusCodeError.__subclasses__()}
    | {sub.__name__ for cls in UaStatusCodeError.__subclasses__() for sub in cls.__subclasses__()}
)


def planned(**given: Any) -> OpcUaPlan:
    profile = profile_of("opc_ua")
    assert profile is not None
    credentials = given.pop("credentials", {})
    config = {"endpoint": "opc.tcp://oven.example", "credentials": credentials, "additional_config": given}
    return plan(config, profile, "oven-1", TargetPolicy(allow_private=True, allow_http=True))


def certificate(fingerprint: str = "ab" * 32) -> SeenCertificate:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    return SeenCertificate(fingerprint, "cd" * 20, "oven", moment, moment, b"")


def test_the_library_tells_many_codes() -> None:
    assert len(NAMES) > 200


@pytest.mark.parametrize("stage", STAGES)
def test_every_status_code_at_every_stage_is_a_sentence(stage: str) -> None:
    for name in NAMES:
        for credentials in ({}, {"username": "u", "password": "geheim"}):
            error = refused(name, stage, planned(credentials=credentials), None)
            assert error.detail.startswith("oven.example:4840 "), error.detail
            assert error.detail.endswith((".", "?")), error.detail
            assert "{" not in error.detail
            assert "geheim" not in error.detail


def test_every_quality_is_a_reason() -> None:
    for name in NAMES:
        assert reason_of(name).endswith(f"({name})")


@pytest.mark.parametrize("stage", STAGES)
def test_silence_says_how_far_it_came(stage: str) -> None:
    assert "2 s" in silent(stage, planned(), 2.0).detail


@pytest.mark.parametrize(
    ("name", "stage", "code"),
    [
        ("BadUserAccessDenied", "sign-in", "authentication_failed"),
        ("BadIdentityTokenRejected", "sign-in", "authentication_failed"),
        ("BadIdentityTokenInvalid", "sign-in", "authentication_failed"),
        ("BadSecurityChecksFailed", "channel", "tls_failed"),
        ("BadCertificateUntrusted", "session", "tls_failed"),
        ("BadTooManySessions", "session", "throttled"),
        ("BadSessionIdInvalid", "sign-in", "throttled"),
        ("BadSessionIdInvalid", "read", "cannot_connect"),
        ("BadTcpEndpointUrlInvalid", "hello", "cannot_connect"),
        ("BadTimeout", "read", "timeout"),
        ("BadOutOfMemory", "read", "unexpected_answer"),
    ],
)
def test_the_code_decides_what_polling_does_next(name: str, stage: str, code: str) -> None:
    assert refused(name, stage, planned(), None).code == code


SECURED = Offer("opc.tcp://x", "Basic256Sha256", "SignAndEncrypt", certificate())
SIGNED = Offer("opc.tcp://x", "Basic256Sha256", "Sign", certificate())
NONE = Offer("opc.tcp://x", "None", "None", None)


def said(given: OpcUaPlan, *offers: Offer) -> str:
    problem = offer_problem(given, offers, "oven-1")
    return "" if problem is None else problem.detail


def test_what_the_server_offers_decides() -> None:
    assert said(planned(server_cert="ab" * 32), SIGNED, SECURED) == ""
    assert said(planned(security_policy="None"), SECURED, NONE) == ""
    assert "names no endpoints" in said(planned())
    assert "It offers: Basic256Sha256 (Sign); None." in said(planned(), SIGNED, NONE)
    assert "shows no certificate" in said(planned(), Offer("", "Basic256Sha256", "SignAndEncrypt", None))
    assert "is not trusted here yet" in said(planned(), SECURED)
    assert "AB:AB:AB" in said(planned(), SECURED)
    assert "another certificate than the one" in said(planned(server_cert="cd" * 32), SECURED)


def test_the_unknown_certificate_comes_with_the_error() -> None:
    problem = offer_problem(planned(), [SECURED], "oven-1")
    assert isinstance(problem, ServerNotTrusted)
    assert problem.certificate.fingerprint == "ab" * 32
