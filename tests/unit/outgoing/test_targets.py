"""Every trap of reference/azure.md section 4.2, and an oracle for what nobody thought of."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from shared.errors import InvalidInput, UnsafeTarget
from shared.outgoing import targets as targets_module
from shared.outgoing.addresses import Reach, judge
from shared.outgoing.targets import NameNotFound, TargetPolicy

PLANT = TargetPolicy(allow_private=True, allow_http=True)
CLOUD = TargetPolicy(allow_private=False, allow_http=False)

NEVER = [
    "169.254.169.254",
    "169.254.1.1",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "240.0.0.1",
    "::",
    "fe80::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::ffff:0:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "2002:a83f:8110::1",
    "2002:a00:5::1",
    "64:ff9b:1::808:808",
    "::169.254.169.254",
    "64:ff9b::e000:1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]
PRIVATE = [
    "127.0.0.1",
    "127.8.9.10",
    "10.0.0.5",
    "172.16.0.1",
    "192.168.1.20",
    "100.64.0.1",
    "::1",
    "fd12:3456::1",
    "fec0::1",
    "4000::1",
    "::ffff:10.0.0.5",
    "64:ff9b::a00:5",
    "::ffff:127.0.0.1",
]
PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822", "::ffff:93.184.216.34"]


def _url(address: str) -> str:
    return f"https://[{address}]/" if ":" in address else f"https://{address}/"


@pytest.mark.parametrize("address", NEVER)
def test_refused_whatever_is_allowed(address: str) -> None:
    for policy in (PLANT, CLOUD):
        with pytest.raises(UnsafeTarget) as refused:
            policy.check_url(_url(address), field="callbackUrl")
        assert refused.value.problems[0].field == "callbackUrl"
        with pytest.raises(UnsafeTarget):
            policy.vet("oven.example", ["93.184.216.34", address])


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_only_where_allowed(address: str) -> None:
    assert PLANT.check_url(_url(address), field="endpoint").port == 443
    PLANT.vet("oven", [address])
    with pytest.raises(UnsafeTarget, match="ALLOW_PRIVATE_TARGETS"):
        CLOUD.check_url(_url(address), field="endpoint")
    with pytest.raises(UnsafeTarget, match="ALLOW_PRIVATE_TARGETS"):
        CLOUD.vet("oven", ["93.184.216.34", address])


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert CLOUD.check_url(_url(address), field="endpoint").scheme == "https"
    CLOUD.vet("oven.example", [address])


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "empty"),
        ("oven", "write https:// or http://host/path"),
        ("https:oven", "no full URL"),
        ("https:/oven", "no full URL"),
        ("//oven/", "no full URL"),
        ("ftp://oven.example/", "use https:// or http://"),
        ("file:///etc/passwd", "use https:// or http://"),
        ("gopher://oven/", "use https:// or http://"),
        ("https://", "no host"),
        ("https:///path", "no host"),
        ("https://:443/", "no host"),
        ("https://./", "no host"),
        ("https://?x", "no host"),
        ("https://2130706433/", "four decimal numbers"),
        ("https://0x7f.1/", "four decimal numbers"),
        ("https://0x7f000001/", "four decimal numbers"),
        ("https://017700000001/", "four decimal numbers"),
        ("https://127.1/", "four decimal numbers"),
        ("https://127.0.0.01/", "four decimal numbers"),
        ("https://127.0.0.1./", "four decimal numbers"),
        ("https://１２７.0.0.1/", "four decimal numbers"),
        ("https://oven.0x10/", "four decimal numbers"),
        ("https://1.2.3.4.5/", "four decimal numbers"),
        ("https://example.com@127.0.0.1/", "user name or password"),
        ("https://user:secret@oven.example/", "user name or password"),
        ("https://evil.com\\@169.254.169.254/", "backslash"),
        ("https:\\\\evil.com/", "backslash"),
        ("https://oven.example/a b", "spaces"),
        ("https://oven.example/\r\nHost: x", "spaces or control"),
        ("https://oven.example/\x00", "control"),
        ("https://oven\u200b.example/", "control"),
        (" https://oven.example/", "spaces"),
        ("https://oven.example/\u00a0", "spaces"),
        ("https://oven.example/ä", "percent-encode"),
        ("https://oven.example/#x", "fragment"),
        ("https://oven.example:0/", "port"),
        ("https://oven.example:65536/", "port"),
        ("https://oven.example:/", "port"),
        ("https://oven.example:+80/", "port"),
        ("https://oven.example:８0/", "port"),
        ("https://oven.example:80:80/", "port"),
        ("https://[::1/", "host"),
        ("https://::1]/", "cannot be read"),
        ("https://[::1]x/", "between the address and the port"),
        ("https://[fe80::1%25eth0]/", "zone id"),
        ("https://[fe80::1%eth0]/", "zone id"),
        ("https://[127.0.0.1]/", "IPv6"),
        ("https://[v1.x]/", "IPv6"),
        ("https://oven..example/", "host name"),
        ("https://-oven.example/", "host name"),
        ("https://oven%2eexample/", "host name"),
        ("https://a,b/", "host name"),
        ("https://" + "a" * 64 + ".example/", "host name"),
        ("https://" + "a." * 130 + "example/", "host name"),
        ("https://xn--a\u0308\u2260.example/", "DNS"),
        ("https://oven.example/" + "a" * 9000, "longer than"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_refused_for_its_form(url: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as refused:
        PLANT.check_url(url, field="callbackUrl")
    assert refused.value.problems[0].field == "callbackUrl"
    assert "callbackUrl" in refused.value.detail
    assert "secret" not in refused.value.detail


@pytest.mark.parametrize(
    "url", ["https://localhost/", "https://localhost./", "https://LOCALHOST/", "https://a.localhost/"]
)
def test_localhost_needs_no_look_up_to_be_refused(url: str) -> None:
    with pytest.raises(UnsafeTarget, match="loopback"):
        CLOUD.check_url(url, field="endpoint")
    assert PLANT.check_url(url, field="endpoint").host.endswith("localhost")


def test_plain_http_only_where_allowed() -> None:
    assert PLANT.check_url("http://oven.example", field="endpoint").port == 80
    with pytest.raises(UnsafeTarget, match="ALLOW_HTTP_TARGETS"):
        CLOUD.check_url("http://oven.example", field="endpoint")


def test_the_parts_of_a_target() -> None:
    target = CLOUD.check_url("HTTPS://Bücher.Example.:443/a%2Fb?sig=x%2F%3d&sp&k=v=w", field="endpoint")
    assert (target.scheme, target.host, target.port) == ("https", "xn--bcher-kva.example", 443)
    assert target.origin == "https://xn--bcher-kva.example"
    assert target.display == "https://xn--bcher-kva.example/a%2Fb?sig=***&***&k=***"
    assert target.url == "https://xn--bcher-kva.example/a%2Fb?sig=x%2F%3d&sp&k=v=w"
    assert "sig" not in repr(target).replace(target.display, "")
    v6 = CLOUD.check_url("https://[2606:2800:220:1:248:1893:25C8:1946]:8443/x", field="endpoint")
    assert v6.origin == "https://[2606:2800:220:1:248:1893:25c8:1946]:8443"


def test_userinfo_where_the_caller_allows_it() -> None:
    target = PLANT.check_url("https://user:p%40ss@oven.example/x", field="callbackUrl", allow_userinfo=True)
    assert target.userinfo == "user:p%40ss"
    assert (target.url, target.display) == ("https://oven.example/x", "https://oven.example/x")
    assert "p%40ss" not in repr(target)
    with pytest.raises(InvalidInput, match="percent-encode"):
        PLANT.check_url("https://a@b@oven.example/", field="callbackUrl", allow_userinfo=True)
    with pytest.raises(UnsafeTarget):
        PLANT.check_url("https://u:p@169.254.169.254/", field="callbackUrl", allow_userinfo=True)


def test_other_schemes_where_the_caller_names_them() -> None:
    target = PLANT.check_url("mqtt://10.0.0.7/external/x", field="callbackUrl", schemes=("https", "mqtt"))
    assert (target.port, target.origin) == (1883, "mqtt://10.0.0.7")
    with pytest.raises(UnsafeTarget):
        PLANT.check_url("mqtt://169.254.169.254/x", field="callbackUrl", schemes=("mqtt",))


# Resolving -------------------------------------------------------------------------------------------------------


def _resolving(answers: Sequence[str] | OSError, *, allow_private: bool = False) -> TargetPolicy:
    async def resolve(host: str, port: int) -> Sequence[str]:
        if isinstance(answers, OSError):
            raise answers
        return answers

    return TargetPolicy(allow_private=allow_private, allow_http=True, resolve=resolve)


async def test_every_address_of_a_name_has_to_be_allowed() -> None:
    good = _resolving(["93.184.216.34", "2606:2800:220:1::1"])
    assert (await good.check_resolves("https://oven.example/", field="endpoint")).note is None
    for other in ("10.0.0.5", "127.0.0.1", "169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1%eth0", "nonsense"):
        with pytest.raises(UnsafeTarget) as refused:
            await _resolving(["93.184.216.34", other]).check_resolves("https://oven.example/", field="endpoint")
        assert refused.value.problems[0].field == "endpoint"
    with pytest.raises(UnsafeTarget, match=r"oven\.example resolves to 169\.254\.169\.254"):
        await _resolving(["169.254.169.254"], allow_private=True).check_resolves("https://oven.example/", field="x")


@pytest.mark.parametrize("nothing", [OSError("no such name"), ()], ids=["error", "empty"])
async def test_a_name_that_is_not_found(nothing: Sequence[str] | OSError) -> None:
    """The plant may be switched off; a public name that does not exist is a typo."""
    with pytest.raises(InvalidInput, match=r"endpoint: the name oven\.example is not found"):
        await _resolving(nothing).check_resolves("https://oven.example/", field="endpoint")
    target = await _resolving(nothing, allow_private=True).check_resolves("https://oven.example/", field="endpoint")
    assert target.note is not None
    assert "not found at the moment" in target.note
    with pytest.raises(NameNotFound):
        await _resolving(nothing).addresses("oven.example", 443)


async def test_a_name_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    monkeypatch.setattr(targets_module, "DNS_SECONDS", 0.05)
    with pytest.raises(NameNotFound, match="does not answer"):
        await TargetPolicy(allow_private=True, allow_http=True, resolve=never).addresses("oven.example", 443)


async def test_the_systems_resolver() -> None:
    assert set(await PLANT.addresses("localhost", 80)) & {"127.0.0.1", "::1"}
    with pytest.raises(UnsafeTarget):
        await CLOUD.addresses("localhost", 80)
    with pytest.raises(NameNotFound):
        await PLANT.addresses("no-such-name.invalid", 80)
    assert await PLANT.addresses("10.0.0.5", 80) == ("10.0.0.5",), "a literal is not looked up"


async def test_look_ups_that_hang_are_bounded_and_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead name server: at most so many threads, none that the process would wait for, and it recovers by itself."""
    answers = threading.Event()

    def hangs(host: str, port: int, **_: object) -> list[object]:
        answers.wait(30)
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    monkeypatch.setattr(targets_module, "DNS_SECONDS", 0.1)
    policy = TargetPolicy(allow_private=True, allow_http=True)
    many = [policy.addresses(f"oven-{n}.example", 80) for n in range(targets_module.DNS_THREADS + 5)]
    outcomes = await asyncio.gather(*many, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {NameNotFound}
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("dns oven-")]
    assert len(mine) == targets_module.DNS_THREADS
    assert all(thread.daemon for thread in mine)
    answers.set()
    monkeypatch.setattr(targets_module, "DNS_SECONDS", 5.0)
    assert await policy.addresses("oven-99.example", 80) == ("127.0.0.1",)


# Properties ------------------------------------------------------------------------------------------------------

_REFUSED_V4 = [
    IPv4Network(net)
    for net in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "168.63.129.16/32",
        "100.100.100.200/32",
        "224.0.0.0/3",
        "192.0.0.192/32",
    )
]


def _reach_v4(address: IPv4Address) -> Reach:
    """The oracle: written from the rules, not from the code."""
    if any(address in net for net in _REFUSED_V4) or address.is_link_local or address.is_multicast:
        return Reach.NEVER
    return Reach.PUBLIC if address.is_global else Reach.PRIVATE


@given(st.ip_addresses(v=4))
@example(ip_address("168.63.129.16"))
@example(ip_address("169.254.169.254"))
def test_v4_and_all_its_disguises_agree(address: IPv4Address) -> None:
    expected = _reach_v4(address)
    number = int(address)
    assert judge(address).reach is expected
    for disguised in (
        (0xFFFF << 32) | number,  # ::ffff:a.b.c.d
        (0x64FF9B << 96) | number,  # 64:ff9b::a.b.c.d
    ):
        assert judge(IPv6Address(disguised)).reach is expected, IPv6Address(disguised)
    tunnelled = IPv6Address((0x2002 << 112) | (number << 80) | 1)  # 2002:aabb:ccdd::1
    assert judge(tunnelled).reach is Reach.NEVER


_LOW_64 = IPv6Network("::/64")
"""IPv4-mapped, -translated and -compatible forms lie here; the address inside decides."""


@given(st.ip_addresses(v=6))
@example(ip_address("fe80::1"))
@example(ip_address("ff02::1"))
@example(ip_address("::1"))
@example(ip_address("fec0::"))
@example(ip_address("64:ff9b:1:1b48:8954:8ebc:100:0"))
@example(ip_address("64:ff9b:1::808:808"))
def test_v6_never_passes_what_the_library_already_calls_special(address: IPv6Address) -> None:
    reach = judge(address).reach
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        assert reach is Reach.NEVER
    elif address.is_private or address.is_loopback or address.is_site_local:
        embeds = address.ipv4_mapped or address in _LOW_64
        assert reach is not Reach.PUBLIC or embeds
    if reach is Reach.PUBLIC:
        CLOUD.vet("host", [str(address)])
    else:
        with pytest.raises(UnsafeTarget):
            CLOUD.vet("host", [str(address)])


_HOSTS = st.one_of(
    st.from_regex(r"[a-z0-9.\-_%@\[\]:\\x]{0,25}", fullmatch=True),
    st.ip_addresses().map(str),
    st.ip_addresses(v=4).map(lambda a: str(int(a))),
    st.ip_addresses(v=4).map(lambda a: hex(int(a))),
    st.ip_addresses(v=6).map(lambda a: f"[{a}]"),
    st.text(max_size=12),
)


@given(host=_HOSTS, port=st.sampled_from(["", ":80", ":0", ":x"]), rest=st.text(max_size=12).map(lambda t: "/" + t))
@example(host="evil.com\\@169.254.169.254", port="", rest="/")
@example(host="a@127.0.0.1", port="", rest="/")
def test_whatever_passes_is_read_the_same_by_the_library_that_sends_it(host: str, port: str, rest: str) -> None:
    """No second reading: what aiohttp connects to is what was vetted, and what follows leaves as written."""
    try:
        target = CLOUD.check_url(f"https://{host}{port}{rest}", field="url")
    except InvalidInput:
        return
    sent = URL(target.url, encoded=True)
    assert (sent.raw_host, sent.port, sent.scheme) == (target.host, target.port, target.scheme)
    assert sent.user is None
    assert sent.raw_path_qs == rest or rest.endswith("?")
    try:
        literal = ip_address(target.host)
    except ValueError:
        assert not target.host.replace(".", "").isdigit()
    else:
        assert judge(literal).reach is Reach.PUBLIC
