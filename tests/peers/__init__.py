"""Connectors against servers that nobody here wrote: node-opcua, libmodbus, modbus-serial, mosquitto."""
