"""The inbox: what came in from outside, as it came, with verdict, duplicates and effect."""

from shared.inbox.model import InboundMessage, Verdict

__all__ = ["InboundMessage", "Verdict"]
