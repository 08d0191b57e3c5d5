"""Queues: the port and the backends behind it."""

from shared.messaging.port import DeadLetter, Outgoing, Queue, QueueDepth, QueueReceiver, Received

__all__ = ["DeadLetter", "Outgoing", "Queue", "QueueDepth", "QueueReceiver", "Received"]
