"""Which IP addresses may be connected to. Pure; the judgement of one address, whatever form it hides in.

``ipaddress`` alone is not enough: it calls Azure's wire server, multicast, and the NAT64 and 6to4 forms of the
metadata address *global* (reference/azure.md section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

__all__ = ["Address", "Reach", "Verdict", "judge", "parse_address"]

Address = IPv4Address | IPv6Address


class Reach(StrEnum):
    """Where an address leads."""

    PUBLIC = "public"
    PRIVATE = "private"
    """Loopback, a plant's own network, shared or reserved ranges: only where private targets are allowed."""
    NEVER = "never"
    """Cloud metadata, link-local, multicast, unspecified: no oven and no receiver lives there."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where an address leads, and what it is in words: ``a link-local address (cloud metadata lives there)``."""

    reach: Reach
    what: str


_NEVER: tuple[tuple[IPv4Network | IPv6Network, str], ...] = tuple(
    (ip_network(network), what)
    for network, what in (
        ("0.0.0.0/8", "an unspecified address"),
        ("169.254.0.0/16", "a link-local address (cloud metadata lives there)"),
        ("168.63.129.16/32", "the platform address of Azure"),
        ("100.100.100.200/32", "a cloud metadata address"),
        ("192.0.0.192/32", "a cloud metadata address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved or broadcast address"),
        ("::/128", "an unspecified address"),
        ("fe80::/10", "a link-local address"),
        ("ff00::/8", "a multicast address"),
        ("fd00:ec2::/32", "a cloud metadata address"),
        ("fd20:ce::254/128", "a cloud metadata address"),
        ("2001::/32", "a Teredo tunnel address"),
        ("2002::/16", "a 6to4 tunnel address"),
        # Where in it the IPv4 address stands is up to its operator (RFC 8215): nobody can judge what is inside.
        ("64:ff9b:1::/48", "a local NAT64 address"),
    )
)

_EMBEDDING_V4: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b::/96", "NAT64"),
        ("::/96", "IPv4-compatible"),
    )
)
"""IPv6 ranges that carry an IPv4 address in their last 32 bits; the one inside is judged."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that is public (RFC 4291); ``ipaddress`` calls site-local and unassigned space global too."""


@lru_cache(maxsize=4_096)
def parse_address(text: str) -> Address | None:
    """An address in its canonical form, without a zone id; ``None`` for anything else."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if isinstance(address, IPv6Address) and address.scope_id is not None else address


@lru_cache(maxsize=4_096)
def judge(address: Address) -> Verdict:
    """Where this address leads. IPv6 forms of IPv4 addresses are judged by the address inside."""
    for network, what in _NEVER:
        if address in network:
            return Verdict(Reach.NEVER, what)
    if isinstance(address, IPv6Address) and address != IPv6Address("::1"):
        for carrier, form in _EMBEDDING_V4:
            if address in carrier:
                inside = judge(IPv4Address(int(address) & 0xFFFF_FFFF))
                return Verdict(inside.reach, f"the {form} form of {inside.what}")
    if address.is_loopback:
        return Verdict(Reach.PRIVATE, "a loopback address (this machine itself)")
    if not address.is_global or (isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST):
        return Verdict(Reach.PRIVATE, "a private address")
    return Verdict(Reach.PUBLIC, "a public address")
