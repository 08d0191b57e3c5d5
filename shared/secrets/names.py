"""What a vault takes as a name and as a value: what every backend can hold."""

from __future__ import annotations

import re

from shared.errors import InvalidInput

__all__ = ["MAX_VALUE_BYTES", "check_name", "check_value"]

_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")

MAX_VALUE_BYTES = 25_000
"""Key Vault's limit ("25 KB"); the same everywhere, so that a plant can move to Azure."""


def check_name(name: str) -> None:
    """Raises ``InvalidInput``: no vault could hold it."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput("A secret's name is 1 to 127 letters, digits and hyphens.", field="name")


def check_value(value: str) -> None:
    """Raises ``InvalidInput``: it is no text, or too long. Never shows it."""
    if not isinstance(value, str):
        raise InvalidInput("A secret's value is a text.", field="value")
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidInput(
            "A secret's value holds characters that are none (lone surrogates).", field="value"
        ) from None
    if length > MAX_VALUE_BYTES:
        raise InvalidInput(f"A secret has at most {MAX_VALUE_BYTES:,} bytes; store less in it.", field="value")
