"""From a plan to an open session: vet, pin, connect, sign in; and from every failure to a ``DeviceError``."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from asyncua import ua
from asyncua.crypto.security_policies import SecurityPolicy
from asyncua.ua.uaerrors import UaError, UaStatusCodeError
from cryptography import x509

from shared.connectors.base import Setup
from shared.connectors.device_errors import device_error
from shared.connectors.opc_ua_application import ApplicationCertificate
from shared.connectors.opc_ua_certificates import load_user_certificate, seen
from shared.connectors.opc_ua_errors import Offer, offer_problem, refused, silent
from shared.connectors.opc_ua_kept import Kept
from shared.connectors.opc_ua_memory import OpcUaMemory
from shared.connectors.opc_ua_plan import OpcUaPlan
from shared.connectors.opc_ua_session import POLICIES, Door, NotOpcUa, bounded
from shared.errors import (
    DeviceAuthenticationError,
    DeviceConnectionError,
    DeviceError,
    DeviceNotSupported,
    DeviceProtocolError,
    DeviceTlsError,
    InvalidInput,
)
from shared.outgoing.failures import explain

__all__ = ["Talk"]

log = logging.getLogger("ovenbridge.connectors")

DIAGNOSIS_SECONDS = 2.0
"""Spent beside the deadline on finding out why a server refused us."""

KEPT_SHARE = 0.25
"""Of the whole time for a read over a kept session; the rest is for a new one, should it be dead."""

R = TypeVar("R")

Use = Callable[[Door], Awaitable[R]]


@dataclass(slots=True)
class Talk:
    """Conversations with the server of one device."""

    setup: Setup
    plan: OpcUaPlan
    memory: OpcUaMemory
    application: ApplicationCertificate | None = None

    async def read(self, use: Use[R], kept: Kept) -> R:
        """:meth:`run` over the session that is kept, where there is one; what does not work with it is done anew.

        Raises:
            DeviceError: whatever went wrong, in words.
            Unavailable: our own vault is away; that says nothing about the device.
        """
        allowed = self.plan.timeout_seconds
        until = monotonic() + allowed
        door = kept.take()
        if door is None:
            return await self.run(use, kept=kept)

        async def again() -> R:
            return await use(door)

        try:
            result = await bounded(again(), allowed * KEPT_SHARE, door.abort)
        except Exception as err:  # noqa: BLE001  # the reason is what a new session says
            if isinstance(err, TimeoutError):
                kept.pause()
            if isinstance(err, TimeoutError | OSError):
                door.abort()
            else:
                await door.leave()
            return await self.run(use, seconds=max(0.05, until - monotonic()), kept=kept)
        if not kept.put(door, fresh=False):
            await door.leave()
        return result

    async def run(
        self, use: Use[R], *, doing: str = "read", seconds: float | None = None, kept: Kept | None = None
    ) -> R:
        """Connect, sign in, ``use`` the session, leave; all in so many seconds (the plan's, if not given). ``kept``: it
        may stay there for the next time.

        Raises:
            DeviceError: whatever went wrong, in words.
            InvalidInput: as ``use`` raises it.
            Unavailable: our own vault is away; that says nothing about the device.
        """
        allowed = seconds or self.plan.timeout_seconds
        until = monotonic() + allowed
        addresses = await self._addresses()
        policy = None
        if self.plan.secured:
            certificate = await self._server_certificate(addresses, until)
            policy = await self._policy(certificate)
        door = self._door(addresses, until)
        if policy is not None:
            door.secure(policy)

        async def converse() -> R:
            await self._enter(door)
            door.stage = doing
            return await use(door)

        try:
            result = await bounded(converse(), max(0.01, until - monotonic()), door.abort)
        except InvalidInput:  # the caller's words, not the server's fault
            await door.leave()
            raise
        except Exception as err:
            raise await self._failed(err, door, addresses, allowed) from err
        if kept is None or not kept.put(door, fresh=True):
            await door.leave()
        return result

    async def offers(self) -> list[Offer]:
        """What the server offers to anybody. Raises ``DeviceError``."""
        return await self._offers(await self._addresses(), self.plan.timeout_seconds)

    # Inside ------------------------------------------------------------------------------------------------------

    async def _failed(self, err: Exception, door: Door, addresses: tuple[str, ...], seconds: float) -> DeviceError:
        """What it means, after the door is closed. A session that can still be closed is: servers have few."""
        error = self._translated(err, door, seconds)
        if isinstance(err, TimeoutError | OSError):
            door.abort()
        else:
            await door.leave()
        if door.stage in ("channel", "session") and not isinstance(err, TimeoutError):
            return await self._diagnosed(addresses, error)
        return error

    async def _addresses(self) -> tuple[str, ...]:
        try:
            return await self.setup.http.targets.addresses(self.plan.host, self.plan.port)
        except Exception as err:
            raise device_error(explain(err, self.plan.where)) from err

    def _door(self, addresses: tuple[str, ...], until: float) -> Door:
        return Door(self.plan.url, addresses, self.plan.port, timeout=max(0.05, until - monotonic()))

    async def _server_certificate(self, addresses: tuple[str, ...], until: float) -> bytes:
        """The pinned one, whole. A fingerprint becomes a certificate by asking the server, once per process."""
        for pin in self.plan.pins:
            known = pin.der or self.memory.certificates.get(pin.fingerprint)
            if known is not None and len(self.plan.pins) == 1:
                return known
        offers = await self._offers(addresses, max(0.05, until - monotonic()))
        problem = offer_problem(self.plan, offers, self.setup.equipment_id)
        if problem is not None:
            raise problem
        pinned = {pin.fingerprint for pin in self.plan.pins}
        shown = next(o.certificate for o in offers if o.certificate is not None and o.certificate.fingerprint in pinned)
        return self.memory.keep(self.memory.certificates, shown.fingerprint, shown.der)

    async def _policy(self, server_certificate: bytes) -> SecurityPolicy:
        house = self.memory.application
        if house is None:
            raise DeviceNotSupported(
                "This process has no OPC UA application certificate, so it reads only servers without security."
            )
        self.application = await house.certificate()
        return POLICIES[self.plan.policy](
            x509.load_der_x509_certificate(server_certificate),
            self.application.loaded,
            self.application.private_key,
            ua.MessageSecurityMode[self.plan.mode],
        )

    async def _enter(self, door: Door) -> None:
        if self.application is not None:
            door.application_uri = self.application.application_uri
        await door.open_channel()
        door.stage = "session"
        created = await door.create_session()
        door.stage = "sign-in"
        self._choose_way_in(door, created.ServerCertificate)
        given = self.plan.credentials
        if given.user_certificate and given.user_private_key:
            door.user_certificate, door.user_private_key = load_user_certificate(
                given.user_certificate, given.user_private_key, given.user_private_key_password
            )
        await door.activate_session(username=given.username, password=given.password, certificate=door.user_certificate)

    def _choose_way_in(self, door: Door, server_certificate: bytes | None) -> None:
        """Take the policy that protects the password best; refuse to send it where nothing does."""
        given = self.plan.credentials
        kind = ua.UserTokenType.Anonymous
        if given.user_certificate:
            kind = ua.UserTokenType.Certificate
        elif given.username:
            kind = ua.UserTokenType.UserName
        offered = door.user_policies()
        fitting = [policy for policy in offered if policy.TokenType == kind]
        if not fitting:
            ways = (
                ", ".join(sorted({_WAYS.get(policy.TokenType, policy.TokenType.name) for policy in offered})) or "none"
            )
            raise DeviceAuthenticationError(
                f"{self.plan.where} does not let anybody in by {_WAYS[kind]}; what it takes here: {ways}. Change the "
                "credentials, or switch this way on at the server."
            )
        own = self.plan.policy
        fitting.sort(key=lambda policy: _policy_name(policy.SecurityPolicyUri, own) == "None")
        door.prefer(fitting)
        if kind != ua.UserTokenType.UserName or not given.password or self.plan.allow_plain_password:
            return
        encrypted = _policy_name(fitting[0].SecurityPolicyUri, own) != "None"
        if not encrypted and not (self.plan.secured and self.plan.mode == "SignAndEncrypt"):
            raise DeviceTlsError(
                f"{self.plan.where} would get the password unencrypted, so it was not sent: use security_policy "
                "Basic256Sha256 with SignAndEncrypt, or set allow_plain_password to true where the network is your own."
            )
        if not self.plan.secured and not self._pinned(server_certificate):
            shown = seen(server_certificate or b"")
            what = "no certificate" if shown is None else f"one with the SHA-256 fingerprint {shown.fingerprint}"
            raise DeviceTlsError(
                f"{self.plan.where} shows {what}, which is not the one pinned as server_cert, so the password was not "
                "encrypted to it and not sent."
            )

    def _pinned(self, server_certificate: bytes | None) -> bool:
        shown = seen(server_certificate or b"")
        return shown is not None and shown.fingerprint in {pin.fingerprint for pin in self.plan.pins}

    async def _offers(self, addresses: tuple[str, ...], seconds: float) -> list[Offer]:
        door = self._door(addresses, monotonic() + seconds)

        async def ask() -> list[Offer]:
            await door.open_channel()
            return [_offer(endpoint) for endpoint in await door.get_endpoints()]

        try:
            found = await bounded(ask(), seconds, door.abort)
        except Exception as err:
            door.abort()
            raise self._translated(err, door, seconds) from err
        await door.leave()
        return [offer for offer in found if offer.url.startswith("opc.tcp:")]

    async def _diagnosed(self, addresses: tuple[str, ...], error: DeviceError) -> DeviceError:
        """A server refuses for many reasons with one code; what it offers often tells which."""
        try:
            offers = await self._offers(addresses, DIAGNOSIS_SECONDS)
        except DeviceError:
            return error
        return offer_problem(self.plan, offers, self.setup.equipment_id) or error

    def _translated(self, err: Exception, door: Door, seconds: float) -> DeviceError:
        cause = door.failure if not isinstance(err, UaStatusCodeError) else None
        for one in (cause, err):
            if isinstance(one, DeviceError):
                return one
            if isinstance(one, UaStatusCodeError):
                return refused(type(one).__name__, door.stage, self.plan, self.application)
            if isinstance(one, NotOpcUa):
                return DeviceProtocolError(
                    f"{self.plan.where} answers something that is not OPC UA: is it the right port?"
                )
        if isinstance(err, AssertionError) and door.stage == "channel":
            return refused("BadSecurityChecksFailed", door.stage, self.plan, self.application)
        if isinstance(err, TimeoutError):
            return silent(door.stage, self.plan, round(seconds, 1))
        if isinstance(err, UaError) and "certificate mismatch" in str(err):
            return refused("BadCertificateInvalid", door.stage, self.plan, None)
        if isinstance(err, OSError):
            return self._lost(err, door)
        # Not a case we know: what it was must be found in the log.
        log.warning("Talking to %s failed unexpectedly at the step %s", self.plan.where, door.stage, exc_info=err)
        return DeviceProtocolError(
            f"{self.plan.where} answers in a way that cannot be read ({type(err).__name__}, at the step {door.stage})."
        )

    def _lost(self, err: OSError, door: Door) -> DeviceError:
        if err.errno is None and door.stage != "connect":
            return DeviceConnectionError(
                f"{self.plan.where} closed the connection ({door.stage}): is it restarting, is it an OPC UA server, or "
                "does something between cut the connection?"
            )
        return device_error(explain(err, self.plan.where))


_WAYS = {
    ua.UserTokenType.Anonymous: "anonymous sign-in",
    ua.UserTokenType.UserName: "user name",
    ua.UserTokenType.Certificate: "user certificate",
    ua.UserTokenType.IssuedToken: "issued token",
}


def _policy_name(uri: str | None, own: str) -> str:
    """``Basic256Sha256`` of a policy's URI; an empty one means the channel's own."""
    return own if not uri else uri.rpartition("#")[2].replace("_", "")


def _offer(endpoint: ua.EndpointDescription) -> Offer:
    shown = seen(endpoint.ServerCertificate) if endpoint.ServerCertificate else None
    mode = ua.MessageSecurityMode(endpoint.SecurityMode).name.rstrip("_")
    return Offer(endpoint.EndpointUrl or "", _policy_name(endpoint.SecurityPolicyUri, "None"), mode, shown)
