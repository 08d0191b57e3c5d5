"""Ways to read a device: one module per protocol behind one interface, one mapping for all of them.

The connector's methods never raise for a device's problem; a failed read is a reading that says why.
"""

from __future__ import annotations

from shared.connectors.base import BaseIoTConnector, Capabilities, ConnectionTest, Connector
from shared.connectors.factory import ConnectorFactory, Connectors

__all__ = ["BaseIoTConnector", "Capabilities", "ConnectionTest", "Connector", "ConnectorFactory", "Connectors"]
