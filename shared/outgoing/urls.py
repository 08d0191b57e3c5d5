"""Taking a URL apart strictly, so that no two libraries can read it differently.

What leaves is built from the parts found here: the host that was vetted is the host that is connected to, and
everything after it goes out byte for byte (a signed query must not be normalised).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from shared.errors import InvalidInput, UnsafeTarget
from shared.outgoing.addresses import Address, parse_address

__all__ = ["SplitUrl", "split_url"]

DEFAULT_PORTS = {
    "http": 80,
    "https": 443,
    "mqtt": 1883,
    "mqtts": 8883,
    "opc.tcp": 4840,
    "modbus+tcp": 502,
}
MAX_URL_CHARACTERS = 8_192

_SHAPE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://(?P<authority>[^/?#]*)(?P<rest>[/?#].*)?", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class SplitUrl:
    """The parts of a URL, host in its canonical form. ``repr`` shows nothing secret."""

    scheme: str
    host: str
    """Lower case, ASCII (IDN as punycode), without brackets and without a dot at the end."""
    port: int
    address: Address | None
    """Set when the host is an IP literal."""
    userinfo: str | None = field(repr=False)
    rest: str = field(repr=False)
    """Path and query exactly as they were written; empty, or begins with ``/`` or ``?``."""
    port_written: bool = False
    """The port stands in the URL; otherwise it is the scheme's own."""

    @property
    def origin(self) -> str:
        """``https://host:port``, without the default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == DEFAULT_PORTS.get(self.scheme) else f":{self.port}")

    @property
    def wire(self) -> str:
        """The URL to send to: without userinfo, path and query untouched."""
        return self.origin + self.rest

    @property
    def display(self) -> str:
        """For people: without userinfo, the query's values masked."""
        path, mark, query = self.rest.partition("?")
        if not mark:
            return self.origin + path
        masked = "&".join(f"{p.split('=', 1)[0]}=***" if "=" in p else "***" for p in query.split("&"))
        return f"{self.origin}{path}?{masked}"


def split_url(url: str, *, field: str, schemes: tuple[str, ...], allow_userinfo: bool = False) -> SplitUrl:
    """Take a URL apart.

    Raises:
        InvalidInput: it is no URL we would read the same way everywhere; the sentence names the field and what would
            be right, never the value.
        UnsafeTarget: it carries credentials where none may be.
    """
    _check_characters(url, field)
    shape = _SHAPE.fullmatch(url)
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)
    if shape is None:
        raise InvalidInput(f"{field} is no full URL: write {wanted}host/path.", field=field)
    scheme = shape["scheme"].lower()
    if scheme not in schemes:
        raise InvalidInput(
            f"{field} begins with {scheme[:20]}://, which is not possible here: use {wanted}.", field=field
        )
    rest = shape["rest"] or ""
    if "#" in rest:
        raise InvalidInput(
            f"{field} has a fragment (#...), which is never sent: leave it out or write %23.", field=field
        )
    if not rest.isascii():
        raise InvalidInput(
            f"{field} has letters in its path or query that cannot be sent as they are: percent-encode them.",
            field=field,
        )
    userinfo, authority = _userinfo(shape["authority"], field, allow_userinfo)
    host, address, port = _host_and_port(authority, field)
    if port is None:
        return SplitUrl(scheme, host, DEFAULT_PORTS.get(scheme, 0), address, userinfo, rest)
    return SplitUrl(scheme, host, port, address, userinfo, rest, port_written=True)


def _check_characters(url: str, field: str) -> None:
    if not url:
        raise InvalidInput(f"{field} is empty: write a full URL such as https://host/path.", field=field)
    if len(url) > MAX_URL_CHARACTERS:
        raise InvalidInput(f"{field} is longer than {MAX_URL_CHARACTERS} characters.", field=field)
    if "\\" in url:
        raise InvalidInput(f"{field} has a backslash: use / instead.", field=field)
    if " " in url or not url.isprintable():  # control characters and every other kind of space are not printable
        raise InvalidInput(f"{field} has spaces or control characters: percent-encode or remove them.", field=field)


def _userinfo(authority: str, field: str, allowed: bool) -> tuple[str | None, str]:
    userinfo, at, host = authority.rpartition("@")
    if not at:
        return None, authority
    if not allowed:
        raise UnsafeTarget(
            f"{field} carries a user name or password (before the @): leave them out and give them as credentials.",
            field=field,
        )
    if "@" in userinfo or not userinfo.isascii():
        raise InvalidInput(f"{field}: percent-encode special characters of the user name and password.", field=field)
    return userinfo, host


def _host_and_port(authority: str, field: str) -> tuple[str, Address | None, int | None]:
    host: str
    address: Address | None
    bracketed, _, after = authority.rpartition("]")
    if bracketed:
        if not bracketed.startswith("["):
            raise InvalidInput(
                f"{field} has a host that cannot be read: write https://[2001:db8::1]:443/.", field=field
            )
        host, address = _ipv6(bracketed[1:], field)
        colon, port = after[:1], after[1:]
        if colon not in ("", ":"):
            raise InvalidInput(f"{field} has something between the address and the port.", field=field)
    else:
        name, colon, port = authority.partition(":")
        host, address = _name_or_ipv4(name, field)
    return host, address, _port(port, field) if colon else None


def _port(text: str, field: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    if not 1 <= number <= 65_535:
        raise InvalidInput(f"{field} has no usable port after the colon: write a number from 1 to 65535.", field=field)
    return number


def _ipv6(text: str, field: str) -> tuple[str, Address]:
    if "%" in text:
        raise UnsafeTarget(
            f"{field} has an IPv6 address with a zone id (%...), which is link-local: give a routable address.",
            field=field,
        )
    address = parse_address(text)
    if address is None or address.version != 6:
        raise InvalidInput(f"{field} has no valid IPv6 address between the brackets.", field=field)
    return address.compressed, address


def _name_or_ipv4(text: str, field: str) -> tuple[str, Address | None]:
    host = _ascii_host(text, field).removesuffix(".")
    if not host:
        raise InvalidInput(f"{field} has no host: write https://host/path.", field=field)
    labels = host.split(".")
    if _NUMBER_LABEL.fullmatch(labels[-1]):
        # 2130706433, 0x7f.1, 017700000001, 127.1: forms that the system's resolver would turn into an address.
        address = parse_address(host)
        if address is None or host != text:
            raise UnsafeTarget(
                f"{field} has an address in an unusual form: write four decimal numbers such as 10.0.0.5.", field=field
            )
        return host, address
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidInput(
            f"{field} has a host name that is not valid: use letters, digits, dots and hyphens.", field=field
        )
    return host, None


def _ascii_host(text: str, field: str) -> str:
    if text.isascii():
        return text.lower()
    import idna

    try:
        return idna.encode(text, uts46=True).decode("ascii").lower()
    except idna.IDNAError as err:
        raise InvalidInput(f"{field} has a host name that cannot be written in the DNS.", field=field) from err
