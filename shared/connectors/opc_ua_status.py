"""OPC UA status codes of single values, in words. By their names, so that this needs no library."""

from __future__ import annotations

__all__ = ["GONE", "reason_of"]

GONE = frozenset({"BadNodeIdUnknown", "BadNodeIdInvalid"})
"""The node is not there."""

_WORDS = {
    "BadNodeIdUnknown": (
        "the server has no such node: look with discover which there are; right after a restart of the server this "
        "passes by itself"
    ),
    "BadNodeIdInvalid": "the server does not understand this node id: look with discover how it writes it",
    "BadAttributeIdInvalid": "this node is an object, not a value: write a longer address",
    "BadNotReadable": "the server does not let this value be read",
    "BadUserAccessDenied": "the server does not let this user read the value: give it the right at the server",
    "BadSecurityModeInsufficient": "the server gives this value over an encrypted connection only",
    "BadWaitingForInitialData": "the server has no value yet: it has just been started",
    "BadNotConnected": "the server has no connection to the machine behind it",
    "BadNoCommunication": "the server cannot talk to the machine behind it",
    "BadCommunicationError": "the server cannot talk to the machine behind it",
    "BadDeviceFailure": "the machine reports a failure of its own",
    "BadSensorFailure": "the sensor is broken or not connected",
    "BadOutOfService": "this measuring point is out of service",
    "BadConfigurationError": "the server is not set up for this value",
    "BadDeadbandFilterInvalid": "the server is not set up for this value",
    "BadTimeout": "the server did not get the value in time",
    "BadOutOfRange": "the value is outside of what the server can say",
    "BadNoDataAvailable": "the server has no data for this value",
    "BadNoData": "the server has no data for this value",
    "BadDataLost": "the server lost the value",
    "BadDataUnavailable": "the server has no value at the moment",
    "BadResourceUnavailable": "the server has no value at the moment",
    "BadShutdown": "the server is shutting down",
    "BadNotSupported": "the server cannot give this value",
    "BadNotImplemented": "the server cannot give this value",
    "BadTypeMismatch": "the value has another type than the server takes",
    "BadNotWritable": "the server does not let this value be written",
    "BadWriteNotSupported": "the server does not take the value in this form",
    "UncertainLastUsableValue": "the last value known, the machine is not updating it",
    "UncertainNoCommunicationLastUsableValue": "the last value known, there is no connection to the machine",
    "UncertainSubstituteValue": "a value put in by hand",
    "UncertainInitialValue": "the value from the start, not measured yet",
    "UncertainSensorNotAccurate": "the sensor is at its limit or out of calibration",
    "UncertainEngineeringUnitsExceeded": "the value is outside of the range of its sensor",
    "UncertainSubNormal": "computed from fewer good sources than it needs",
    "UncertainSimulatedValue": "a simulated value",
    "UncertainSensorCalibration": "the sensor needs calibration",
    "UncertainConfigurationError": "the machine's own configuration is doubtful",
    "UncertainDataSubNormal": "computed from less data than it needs",
    "UncertainNotAllNodesAvailable": "computed without all of its sources",
}


def reason_of(name: str) -> str:
    """``the sensor is broken or not connected (BadSensorFailure)``."""
    words = _WORDS.get(name)
    if words is None:
        words = "the server doubts the value" if name.startswith("Uncertain") else "the server has no value"
    return f"{words} ({name})"
