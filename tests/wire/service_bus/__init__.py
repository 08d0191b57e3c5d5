"""A Service Bus namespace that speaks AMQP 1.0, for tests: strict where the service is, and breakable on purpose."""

from tests.wire.service_bus.server import ServiceBusServer

__all__ = ["ServiceBusServer"]
