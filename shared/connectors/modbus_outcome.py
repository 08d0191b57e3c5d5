"""How a request to a Modbus device can end other than well. Inside the room only; people get sentences."""

from __future__ import annotations

__all__ = ["ADDRESS_CODES", "GATEWAY_CODES", "Garbled", "Lost", "NoAnswer", "Outcome", "Refused"]

ADDRESS_CODES = (2, 3)
"""Illegal address, illegal value (the length, for some): what strict devices say to a request over a gap."""
GATEWAY_CODES = (10, 11)
"""A gateway speaks: it has no way to the unit, or the unit does not answer it."""


class Outcome(Exception):
    """Not an answer."""


class NoAnswer(Outcome):
    """Nothing came in time."""


class Lost(Outcome):
    """The connection ended while we waited."""


class Garbled(Outcome):
    """Something came that is no answer to the question; the text says what."""


class Refused(Outcome):
    """The device answered with an exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
