"""How we sign in: the way that protects the password best, and never to anybody but the pinned server."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pytest
from asyncua import ua

from shared.clock import SystemClock
from shared.connectors.base import Setup
from shared.connectors.oauth import TokenCache
from shared.connectors.opc_ua_memory import OpcUaMemory
from shared.connectors.opc_ua_plan import plan
from shared.connectors.opc_ua_session import Door
from shared.connectors.opc_ua_talk import Talk
from shared.connectors.profiles import profile_of
from shared.errors import DeviceAuthenticationError, DeviceTlsError
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from tests.peers.certificates import user_pair

SERVER = base64.b64decode("".join(line for line in user_pair("server")[0].splitlines() if "-----" not in line))
OTHER = base64.b64decode("".join(line for line in user_pair("other")[0].splitlines() if "-----" not in line))
BASIC = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"
NONE = "http://opcfoundation.org/UA/SecurityPolicy#None"


def chosen(policies: Sequence[tuple[str, str | None]], shown: bytes | None = SERVER, **options: Any) -> str:
    """The policy whose id is taken for a user name, of ``(id, policy URI)``."""
    profile = profile_of("opc_ua")
    assert profile is not None
    targets = TargetPolicy(allow_private=True, allow_http=True)
    given = {"security_policy": "None", "server_cert": base64.b64encode(SERVER).decode()} | options
    config = {"endpoint": "oven", "credentials": {"username": "u", "password": "p"}, "additional_config": given}
    clock = SystemClock()
    setup = Setup("opc_ua", "oven-1", config, profile, OutgoingHttp(targets), clock, TokenCache(clock))
    talk = Talk(setup, plan(config, profile, "oven-1", targets), OpcUaMemory())
    door = Door("opc.tcp://oven:4840", ["127.0.0.1"], 4840, timeout=1.0)
    door.prefer(
        [ua.UserTokenPolicy(PolicyId="anonymous", TokenType=ua.UserTokenType.Anonymous)]
        + [
            ua.UserTokenPolicy(PolicyId=i, TokenType=ua.UserTokenType.UserName, SecurityPolicyUri=u)
            for i, u in policies
        ]
    )
    talk._choose_way_in(door, shown)
    return str(door.server_policy(ua.UserTokenType.UserName).PolicyId)


async def test_the_policy_that_encrypts_is_taken_wherever_it_stands() -> None:
    assert chosen([("plain", NONE), ("safe", BASIC)]) == "safe"
    assert chosen([("safe", BASIC), ("plain", NONE)]) == "safe"


@pytest.mark.parametrize("shown", [OTHER, None, b"nonsense"])
async def test_a_password_is_encrypted_to_the_pinned_server_only(shown: bytes | None) -> None:
    with pytest.raises(DeviceTlsError, match="not the one pinned"):
        chosen([("safe", BASIC)], shown)


async def test_what_nothing_encrypts_is_not_sent() -> None:
    for policies in ([("plain", NONE)], [("own", None)]):
        with pytest.raises(DeviceTlsError, match="so it was not sent"):
            chosen(policies)
        assert chosen(policies, allow_plain_password=True) == policies[0][0]
        assert chosen(policies, security_policy="Basic256Sha256") == policies[0][0]  # the channel encrypts it
    with pytest.raises(DeviceTlsError, match="so it was not sent"):
        chosen([("plain", NONE)], security_policy="Basic256Sha256", security_mode="Sign")
    assert chosen([("own", None)], security_policy="Basic256Sha256", security_mode="Sign") == "own"


async def test_a_server_without_user_names_says_what_it_takes() -> None:
    with pytest.raises(DeviceAuthenticationError, match="what it takes here: anonymous sign-in"):
        chosen([])
