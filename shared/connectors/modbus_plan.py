"""What a Modbus device needs, worked out once from its configuration: its line, its signals, its requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.connectors.config_problems import parsed_config, unfilled
from shared.connectors.mapping import SignalSpec, canonical_key
from shared.connectors.modbus_address import BadModbusAddress, ModbusAddress, parse_address
from shared.connectors.modbus_blocks import Block, blocks_of
from shared.connectors.modbus_config import ModbusConfig, ModbusOptions
from shared.connectors.modbus_decode import shortest
from shared.connectors.modbus_place import Place, place_of
from shared.connectors.profiles import Profile
from shared.connectors.values import bad, reader
from shared.errors import FieldProblem, InvalidInput
from shared.outgoing.targets import TargetPolicy
from shared.signals import SignalValue

__all__ = ["ModbusPlan", "ModbusSignal", "plan"]

MOST_MAPS = 500
_maps: dict[str, RegisterMap] = {}
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class ModbusSignal:
    """One signal of the mapping with its address."""

    key: str
    spec: SignalSpec
    address: ModbusAddress
    value: Callable[[Any], SignalValue]
    """From what was decoded."""


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """A mapping, worked out. Devices of one model share it."""

    signals: tuple[ModbusSignal, ...]
    """In the order of the mapping."""
    blocks: tuple[Block, ...]
    pending: dict[str, SignalValue]
    """Every signal in the order of the mapping, to be copied and filled."""


@dataclass(frozen=True, slots=True)
class ModbusPlan:
    """Ready to be read."""

    place: Place
    unit: int
    map: RegisterMap
    options: ModbusOptions

    @property
    def signals(self) -> tuple[ModbusSignal, ...]:
        """In the order of the mapping."""
        return self.map.signals

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What is asked for."""
        return self.map.blocks

    @property
    def where(self) -> str:
        """``unit 3 at 10.0.0.9:502``, for people."""
        return f"unit {self.unit} at {self.place.words}"


def plan(config: Mapping[str, Any], profile: Profile, equipment_id: str, targets: TargetPolicy) -> ModbusPlan:
    """Check a configuration and work it out.

    Raises:
        InvalidInput: naming every field that is wrong (``additional_config.signals['temperature.core'].at``).
        UnsafeTarget: an address we do not connect to.
    """
    given = parsed_config(ModbusConfig, config, profile.defaults)
    options = given.additional_config
    if options.signals is None:
        raise InvalidInput(
            f"protocol {profile.names[0]} knows no registers by itself: give additional_config.signals from the "
            'register map of the device, such as {"temperature.deck1": {"at": "holding:0:int16", "scale": 0.1}}.',
            field="additional_config.signals",
        )
    place = place_of(given, targets)
    return ModbusPlan(place=place, unit=options.unit, map=_map(options, equipment_id), options=options)


def _map(options: ModbusOptions, equipment_id: str) -> RegisterMap:
    """200 ovens of one model touch the same objects when they are read: a quarter of a reading's time was the
    processor waiting for memory."""
    parts = {"signals", "byte_order", "temperature_unit", "max_gap", "max_registers"}
    known_as = options.model_dump_json(include=parts)
    if any("{" in spec.at for spec in (options.signals or {}).values()):
        known_as += str(sorted(options.variables(equipment_id).items()))
    known = _maps.get(known_as)
    if known is None:
        signals = _signals(options, equipment_id)
        blocks = blocks_of(signals, options.max_gap, options.max_registers)
        known = RegisterMap(signals, blocks, {signal.key: bad("it was not asked for") for signal in signals})
        if len(_maps) >= MOST_MAPS:
            _maps.clear()
        _maps[known_as] = known
    return known


def _signals(options: ModbusOptions, equipment_id: str) -> tuple[ModbusSignal, ...]:
    values = options.variables(equipment_id)
    found: list[ModbusSignal] = []
    problems: list[FieldProblem] = []
    for key, spec in (options.signals or {}).items():
        place = f"signals['{key}'].at"
        try:
            address = parse_address(_filled(spec.at, values, place), order=options.byte_order)
        except BadModbusAddress as err:
            problems.append(FieldProblem(f"additional_config.{place}", str(err)))
            continue
        if problem := _problem(spec, address, options):
            problems.append(FieldProblem(f"additional_config.{place}", problem))
        name = canonical_key(key)
        found.append(ModbusSignal(name, spec, address, _reader(name, spec, address, options)))
    if problems:
        raise InvalidInput("; ".join(f"{p.field}: {p.problem}" for p in problems[:5]) + ".", problems=problems)
    return tuple(found)


def _reader(key: str, spec: SignalSpec, address: ModbusAddress, options: ModbusOptions) -> Callable[[Any], SignalValue]:
    read = reader(key, spec, temperature_unit=options.temperature_unit)
    return (lambda raw: read(shortest(raw))) if address.type == "float32" else read


def _problem(spec: SignalSpec, address: ModbusAddress, options: ModbusOptions) -> str | None:
    if spec.writable and not address.can_be_written:
        return f"a {address.words} cannot be written: leave writable out, or use a coil or holding register"
    if not address.is_bits and address.count > options.max_registers:
        return f"it needs {address.count} registers, and max_registers allows {options.max_registers}"
    return None


def _filled(text: str, values: Mapping[str, str], place: str) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise unfilled(place, match[1], values)
        return values[match[1]]

    return _PLACEHOLDER.sub(value, text)
