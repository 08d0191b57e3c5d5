"""The machines: registry, IoT configuration, capabilities, credential references."""

from shared.equipment.forms import EquipmentChange, IotConnectionConfig, NewEquipment
from shared.equipment.listing import EquipmentFilter, EquipmentPage
from shared.equipment.model import Equipment
from shared.equipment.registry import EquipmentRegistry

__all__ = [
    "Equipment",
    "EquipmentChange",
    "EquipmentFilter",
    "EquipmentPage",
    "EquipmentRegistry",
    "IotConnectionConfig",
    "NewEquipment",
]
