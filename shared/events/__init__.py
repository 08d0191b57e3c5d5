"""Events: what happened, the catalogue of types, and publishing."""

from shared.events.model import Event
from shared.events.publish import Accepted, EventLog, Subscriber

__all__ = ["Accepted", "Event", "EventLog", "Subscriber"]
