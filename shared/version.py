"""The version of Ovenbridge; a test holds ``pyproject.toml`` against it."""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "0.1.0"
