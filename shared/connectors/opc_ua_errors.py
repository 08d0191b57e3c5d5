"""From what went wrong with an OPC UA server to a sentence that tells a person what to do. The one boundary.

Everything goes by the names of the protocol's status codes, so this needs no library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.connectors.opc_ua_certificates import SeenCertificate, spelled
from shared.errors import (
    DeviceAuthenticationError,
    DeviceConnectionError,
    DeviceError,
    DeviceProtocolError,
    DeviceThrottled,
    DeviceTimeout,
    DeviceTlsError,
)

if TYPE_CHECKING:
    from shared.connectors.opc_ua_application import ApplicationCertificate
    from shared.connectors.opc_ua_plan import OpcUaPlan

__all__ = ["Offer", "ServerNotTrusted", "offer_problem", "refused", "silent"]


@dataclass(frozen=True, slots=True)
class Offer:
    """One endpoint of a server, as it tells anybody who asks."""

    url: str
    policy: str
    """``Basic256Sha256``: without underscores."""
    mode: str
    certificate: SeenCertificate | None


class ServerNotTrusted(DeviceTlsError):
    """The server showed a certificate that nobody has trusted here."""

    def __init__(self, detail: str, certificate: SeenCertificate) -> None:
        super().__init__(detail)
        self.certificate = certificate


def offer_problem(plan: OpcUaPlan, offers: Sequence[Offer], equipment_id: str) -> DeviceError | None:
    """What is wrong between what is configured and what the server offers; ``None``: nothing."""
    if not offers:
        return DeviceProtocolError(f"{plan.where} names no endpoints: is its OPC UA server set up completely?")
    wanted = [
        offer for offer in offers if offer.policy == plan.policy and (offer.mode == plan.mode or not plan.secured)
    ]
    if not wanted:
        offered: dict[str, list[str]] = {}
        for offer in offers:
            offered.setdefault(offer.policy, []).append(offer.mode)
        listed = "; ".join(
            policy if policy == "None" else f"{policy} ({', '.join(sorted(set(modes)))})"
            for policy, modes in sorted(offered.items())
        )
        asked = plan.policy if not plan.secured else f"{plan.policy} with {plan.mode}"
        return DeviceTlsError(
            f"{plan.where} does not offer the security {asked}. It offers: {listed}. Set security_policy and "
            "security_mode in additional_config to one of these, or switch it on at the server."
        )
    if not plan.secured:
        return None
    shown = [offer.certificate for offer in wanted if offer.certificate is not None]
    if not shown:
        return DeviceTlsError(f"{plan.where} shows no certificate: give its OPC UA server one.")
    pinned = {pin.fingerprint for pin in plan.pins}
    if any(certificate.fingerprint in pinned for certificate in shown):
        return None
    return _not_trusted(plan, shown[0], equipment_id)


def _not_trusted(plan: OpcUaPlan, certificate: SeenCertificate, equipment_id: str) -> ServerNotTrusted:
    about = (
        f"SHA-256 fingerprint {spelled(certificate.fingerprint)} (SHA-1 thumbprint {spelled(certificate.thumbprint)}), "
        f"made out to {certificate.subject}, valid until {certificate.not_after:%Y-%m-%d}"
    )
    act = (
        f'POST /api/v1/equipment/{equipment_id}/trust-certificate {{"fingerprint": "{certificate.fingerprint}"}}, or '
        "write the fingerprint as server_cert in additional_config"
    )
    if plan.pins:
        text = (
            f"{plan.where} shows another certificate than the one that is trusted here: {about}. If it was renewed on "
            f"purpose, compare the fingerprint at the server and trust it: {act}. If nobody renewed it, somebody may "
            "be sitting between: find out first."
        )
    else:
        text = (
            f"The certificate of {plan.where} is not trusted here yet: {about}. Compare the fingerprint with the one "
            f"the server itself shows; if they are the same, trust it: {act}."
        )
    return ServerNotTrusted(text, certificate)


def refused(name: str, stage: str, plan: OpcUaPlan, application: ApplicationCertificate | None) -> DeviceError:
    """The server said no, with the status code of this name."""
    where = plan.where
    if name in _OUR_CERTIFICATE or (name == "BadSecurityChecksFailed" and stage in ("channel", "session")):
        return DeviceTlsError(_let_us_in(name, where, application))
    if name in ("BadUserAccessDenied", "BadIdentityTokenRejected"):
        if plan.credentials.user_certificate:
            return DeviceAuthenticationError(
                f"{where} does not let this user's certificate in: move it to the trusted user certificates of the "
                "server, or give another in credentials."
            )
        if plan.credentials.username:
            return DeviceAuthenticationError(
                f"{where} refuses this user name or password: check credentials.username and credentials.password."
            )
        return DeviceAuthenticationError(f"{where} lets nobody in without signing in: give credentials.")
    if name == "BadIdentityTokenInvalid":
        return DeviceAuthenticationError(f"{where} does not take this way of signing in ({_way_in(plan)}).")
    if name == "BadSessionIdInvalid" and stage == "sign-in":
        # At its limit a server may drop sessions that have not signed in yet (OPC 10000-4 section 5.7.2).
        return DeviceThrottled(_SENTENCES["BadTooManySessions"][1].format(where=where, name=name))
    kind, sentence = _SENTENCES.get(name, (DeviceProtocolError, "{where} answers {name} while {doing}."))
    return kind(sentence.format(where=where, name=name, doing=_DOING.get(stage, "reading"), url=plan.url))


def silent(stage: str, plan: OpcUaPlan, seconds: float) -> DeviceTimeout:
    """It did not answer in time."""
    where = plan.where
    if stage == "connect":
        return DeviceTimeout(
            f"{where} does not react to connection attempts within {seconds:g} s: is it switched on, is the "
            "address right, does a firewall swallow the port?"
        )
    if stage == "hello":
        return DeviceTimeout(
            f"{where} takes the connection and then says nothing ({seconds:g} s): is this the port of the "
            "OPC UA server, and is it running?"
        )
    return DeviceTimeout(
        f"{where} fell silent while {_DOING.get(stage, 'reading')} ({seconds:g} s): is the network cut, or the server "
        "overloaded? A longer timeout in additional_config helps only against the latter."
    )


def _let_us_in(name: str, where: str, application: ApplicationCertificate | None) -> str:
    if application is None:
        return f"{where} refuses our certificate ({name})."
    ours = application.certificate
    if name in ("BadCertificateTimeInvalid", "BadCertificateIssuerTimeInvalid"):
        return (
            f"{where} finds our certificate out of its time ({ours.not_before:%Y-%m-%d} to {ours.not_after:%Y-%m-%d}): "
            "check the clock of the server; if ours has ended, renew it with POST /api/v1/opc-ua/certificate/renew."
        )
    return (
        f"{where} does not trust our certificate yet ({name}). At the server, move the certificate of {ours.subject} "
        f"(SHA-1 thumbprint {spelled(ours.thumbprint)}, SHA-256 {spelled(ours.fingerprint)}) from its rejected to its "
        "trusted certificates; GET /api/v1/opc-ua/certificate gives the file if it has to be copied there."
    )


def _way_in(plan: OpcUaPlan) -> str:
    if plan.credentials.user_certificate:
        return "a user's certificate"
    return "user name and password" if plan.credentials.username else "anonymous: give credentials"


_DOING = {
    "channel": "the secure channel was being opened",
    "session": "the session was being opened",
    "sign-in": "we were signing in",
    "read": "reading",
    "write": "writing",
    "discover": "browsing",
}

_OUR_CERTIFICATE = frozenset(
    (
        "BadCertificateUntrusted", "BadCertificateInvalid", "BadCertificateTimeInvalid", "BadCertificateUriInvalid",
        "BadCertificateUseNotAllowed", "BadCertificateIssuerTimeInvalid", "BadCertificateIssuerUseNotAllowed",
        "BadCertificateRevocationUnknown", "BadCertificateIssuerRevocationUnknown", "BadCertificateChainIncomplete",
        "BadCertificateRevoked", "BadCertificateHostNameInvalid", "BadCertificatePolicyCheckFailed",
        "BadApplicationSignatureInvalid",
    )
)  # fmt: skip

_SENTENCES: dict[str, tuple[type[DeviceError], str]] = {
    "BadTooManySessions": (
        DeviceThrottled,
        "{where} has no session left ({name}): close other clients, allow more sessions there, or poll less often.",
    ),
    "BadTcpServerTooBusy": (DeviceThrottled, "{where} is too busy ({name}): poll less often."),
    "BadServerTooBusy": (DeviceThrottled, "{where} is too busy ({name}): poll less often."),
    "BadTooManyOperations": (DeviceThrottled, "{where} takes not even single reads ({name}): is it overloaded?"),
    "BadTooManyPublishRequests": (DeviceThrottled, "{where} is too busy ({name}): poll less often."),
    "BadSecurityModeRejected": (
        DeviceTlsError,
        "{where} does not accept this security ({name}): set security_policy and security_mode to what it offers.",
    ),
    "BadSecurityPolicyRejected": (
        DeviceTlsError,
        "{where} does not accept this security ({name}): set security_policy and security_mode to what it offers.",
    ),
    "BadNonceInvalid": (DeviceTlsError, "{where} and this side cannot agree on keys ({name}): update the server."),
    "BadTcpEndpointUrlInvalid": (
        DeviceConnectionError,
        "{where} does not know itself under {url}: write host and path as the server names its endpoint.",
    ),
    "BadServerUriInvalid": (
        DeviceConnectionError,
        "{where} does not know itself under {url}: write host and path as the server names its endpoint.",
    ),
    "BadTcpNotEnoughResources": (DeviceThrottled, "{where} has no resources left ({name}): restart its server."),
    "BadTcpMessageTooLarge": (
        DeviceProtocolError, "{where} finds the request too large ({name}): map fewer signals.",
    ),
    "BadResponseTooLarge": (DeviceProtocolError, "{where} has too large an answer ({name}): map fewer signals."),
    "BadEncodingLimitsExceeded": (DeviceProtocolError, "{where} has too large an answer ({name}): map fewer signals."),
    "BadServerHalted": (DeviceConnectionError, "{where} is halted or starting: wait, or start its server."),
    "BadShutdown": (DeviceConnectionError, "{where} is shutting down: start its server again."),
    "BadSessionIdInvalid": (DeviceConnectionError, "{where} forgot our session while {doing}: did it restart?"),
    "BadSessionClosed": (DeviceConnectionError, "{where} closed our session while {doing}: did it restart?"),
    "BadSecureChannelClosed": (DeviceConnectionError, "{where} closed the channel while {doing}: did it restart?"),
    "BadSecureChannelIdInvalid": (DeviceConnectionError, "{where} forgot the channel while {doing}: did it restart?"),
    "BadTimeout": (DeviceTimeout, "{where} gave up while {doing} ({name}): is it overloaded?"),
    "BadUnexpectedError": (
        DeviceProtocolError, "{where} had an error of its own while {doing} ({name}): its log says more.",
    ),
    "BadInternalError": (
        DeviceProtocolError, "{where} had an error of its own while {doing} ({name}): its log says more.",
    ),
    "BadServiceUnsupported": (DeviceProtocolError, "{where} cannot do this ({name}) while {doing}."),
}  # fmt: skip
