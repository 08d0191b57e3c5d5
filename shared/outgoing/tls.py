"""How the other side's certificate is judged: the system's CAs, a CA of one's own beside them, or not at all."""

from __future__ import annotations

import hashlib
import ssl

from shared.errors import InvalidInput

__all__ = ["check_ca", "tls_choice", "tls_key"]


def tls_key(verify: bool, ca_pem: str | None) -> str:
    """One word for one TLS choice. Needs no CA text kept."""
    if not verify:
        return "unverified"
    return "system" if ca_pem is None else "ca:" + hashlib.sha256(ca_pem.encode()).hexdigest()


def check_ca(ca_pem: str) -> None:
    """Raise ``InvalidInput`` naming ``ca_certificate`` unless this is PEM text of certificates."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as err:
        raise InvalidInput(
            "ca_certificate is no PEM text: paste it whole, from -----BEGIN CERTIFICATE----- to its end line.",
            field="ca_certificate",
        ) from err


def tls_choice(verify: bool, ca_pem: str | None) -> ssl.SSLContext | bool:
    """What aiohttp wants for this choice.

    Raises:
        InvalidInput: the CA is no PEM text.
    """
    if not verify:
        return False
    if ca_pem is None:
        return True
    check_ca(ca_pem)
    # Beside the system's CAs, not in their place: a plant's proxy and a vendor's token service may both be behind it.
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=ca_pem)
    # Plants make their own certificates: the oven's own may stand here in place of a CA, and the strict RFC 5280
    # reading that Python 3.13 turned on would refuse most of them.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
