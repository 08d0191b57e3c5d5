"""Plain Python stand-ins for the messages that travel between the Functions host and its Python worker.

Microsoft's worker library takes the message module by injection (reference: ``functions-runtime.md`` section 2.2), so
classes that keep protobuf's presence rules are enough: no gRPC, no protobuf.

* A keyword with value ``None`` leaves the field unset.
* Reading an unset scalar gives its default; an unset list or map gives an empty one that stays attached.
* Reading an unset sub-message gives an empty one that joins its parent at the first write to it, however deep.
* Writing one member of a ``oneof`` clears the others.
"""

from __future__ import annotations

import copy
from collections import UserDict, UserList
from collections.abc import Callable
from enum import IntEnum
from typing import Any, ClassVar

__all__ = [
    "BindingInfo",
    "FunctionLoadResponse",
    "FunctionMetadataResponse",
    "InvocationRequest",
    "InvocationResponse",
    "NullableBool",
    "NullableDouble",
    "NullableString",
    "NullableTimestamp",
    "ParameterBinding",
    "RpcException",
    "RpcFunctionMetadata",
    "RpcHttp",
    "RpcHttpCookie",
    "RpcRetryOptions",
    "StatusResult",
    "Timestamp",
    "TypedData",
    "WorkerInitResponse",
    "WorkerMetadata",
]

_Touch = Callable[[], None]


class _List(UserList[Any]):
    """A repeated field: appending to it makes its parent present."""

    touch: _Touch = staticmethod(lambda: None)

    def append(self, item: Any) -> None:
        super().append(item)
        self.touch()

    def extend(self, other: Any) -> None:
        super().extend(other)
        self.touch()


class _Map(UserDict[str, Any]):
    """A map field; with messages as values, looking one up creates it."""

    of: Callable[[], Message] | None = None
    touch: _Touch = staticmethod(lambda: None)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.touch()

    def __missing__(self, key: str) -> Any:
        if self.of is None:
            raise KeyError(key)
        self[key] = self.of()
        return self.data[key]


class Message:
    """Fields by kind; see the module's docstring for the rules."""

    scalars: ClassVar[dict[str, Any]] = {}
    """Field -> default."""
    messages: ClassVar[dict[str, str]] = {}
    """Field -> class name."""
    lists: ClassVar[tuple[str, ...]] = ()
    maps: ClassVar[dict[str, str | None]] = {}
    """Field -> class name of the values, or None for plain ones."""
    oneofs: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, **given: Any) -> None:
        object.__setattr__(self, "_set", {})
        object.__setattr__(self, "_attached", {})
        object.__setattr__(self, "_touch", None)
        for name, value in given.items():
            if value is None:
                continue
            if name in self.lists:
                getattr(self, name).extend(value)
            elif name in self.maps:
                getattr(self, name).update(value)
            else:
                setattr(self, name, value)

    def _touched(self) -> None:
        if self._touch is not None:
            self._touch()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._set:
            return self._set[name]
        if name in self.scalars:
            return self.scalars[name]
        if name in self._attached:
            return self._attached[name]
        made: Any
        if name in self.lists:
            made = _List()
        elif name in self.maps:
            made = _Map()
            of = self.maps[name]
            made.of = globals()[of] if of else None
        elif name in self.messages:
            made = globals()[self.messages[name]]()
            object.__setattr__(made, "_touch", lambda: self._adopt(name, made))
            self._attached[name] = made
            return made
        else:
            raise AttributeError(f"{type(self).__name__} has no field {name}")
        made.touch = self._touched
        self._attached[name] = made
        return made

    def _adopt(self, name: str, child: Message) -> None:
        if self._set.get(name) is not child:
            self._clear_siblings(name)
            self._set[name] = child
        self._touched()

    def _clear_siblings(self, name: str) -> None:
        for members in self.oneofs.values():
            if name in members:
                for other in members:
                    if other != name:
                        self._set.pop(other, None)
                        self._attached.pop(other, None)

    def __setattr__(self, name: str, value: Any) -> None:
        known = name in self.scalars or name in self.messages or name in self.lists or name in self.maps
        if not known:
            raise AttributeError(f"{type(self).__name__} has no field {name}")
        self._clear_siblings(name)
        self._set[name] = value
        self._touched()

    def SetInParent(self) -> None:  # noqa: N802 - protobuf's name
        """Make this message present in its parent without writing to it."""
        self._touched()

    def HasField(self, name: str) -> bool:  # noqa: N802 - protobuf's name
        """Was it written?"""
        return name in self._set

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802 - protobuf's name
        """The member of the group that is set."""
        return next((name for name in self.oneofs[group] if name in self._set), None)

    def CopyFrom(self, other: Message) -> None:  # noqa: N802 - protobuf's name
        """Become a deep copy of another message of this kind."""
        twin = copy.deepcopy(other)
        object.__setattr__(self, "_set", twin._set)
        object.__setattr__(self, "_attached", twin._attached)
        self._touched()

    def __deepcopy__(self, memo: dict[int, Any]) -> Message:
        twin = type(self)()
        twin._set.update({k: copy.deepcopy(v, memo) for k, v in self._set.items()})
        for name in (*self.lists, *self.maps):
            if name in self._attached:
                getattr(twin, name).data = copy.deepcopy(self._attached[name].data, memo)
        return twin


class CollectionBytes(Message):
    lists = ("bytes",)


class CollectionString(Message):
    lists = ("string",)


class CollectionDouble(Message):
    lists = ("double",)


class CollectionSInt64(Message):
    lists = ("sint64",)


class TypedData(Message):
    scalars: ClassVar[dict[str, Any]] = {
        "string": "",
        "json": "",
        "bytes": b"",
        "stream": b"",
        "int": 0,
        "double": 0.0,
        "model_binding_data": None,
        "collection_model_binding_data": None,
    }
    messages: ClassVar[dict[str, str]] = {
        "http": "RpcHttp",
        "collection_bytes": "CollectionBytes",
        "collection_string": "CollectionString",
        "collection_double": "CollectionDouble",
        "collection_sint64": "CollectionSInt64",
    }
    oneofs: ClassVar[dict[str, tuple[str, ...]]] = {
        "data": (
            "string",
            "json",
            "bytes",
            "stream",
            "http",
            "int",
            "double",
            "collection_bytes",
            "collection_string",
            "collection_double",
            "collection_sint64",
            "model_binding_data",
            "collection_model_binding_data",
        )
    }


class RpcHttp(Message):
    scalars: ClassVar[dict[str, Any]] = {
        "method": "",
        "url": "",
        "status_code": "",
        "enable_content_negotiation": False,
    }
    maps: ClassVar[dict[str, str | None]] = {"headers": None, "params": None, "query": None}
    lists = ("cookies", "identities")
    messages: ClassVar[dict[str, str]] = {"body": "TypedData"}


class NullableString(Message):
    scalars: ClassVar[dict[str, Any]] = {"value": ""}


class NullableBool(Message):
    scalars: ClassVar[dict[str, Any]] = {"value": False}


class NullableDouble(Message):
    scalars: ClassVar[dict[str, Any]] = {"value": 0.0}


class Timestamp(Message):
    scalars: ClassVar[dict[str, Any]] = {"seconds": 0}


class NullableTimestamp(Message):
    messages: ClassVar[dict[str, str]] = {"value": "Timestamp"}


class RpcHttpCookie(Message):
    SameSite = IntEnum("SameSite", {"None": 0, "Lax": 1, "Strict": 2, "ExplicitNone": 3})
    scalars: ClassVar[dict[str, Any]] = {"name": "", "value": "", "same_site": 0}
    messages: ClassVar[dict[str, str]] = {
        "path": "NullableString",
        "domain": "NullableString",
        "max_age": "NullableDouble",
        "secure": "NullableBool",
        "http_only": "NullableBool",
        "expires": "NullableTimestamp",
    }


class ParameterBinding(Message):
    scalars: ClassVar[dict[str, Any]] = {"name": "", "rpc_shared_memory": None}
    messages: ClassVar[dict[str, str]] = {"data": "TypedData"}
    oneofs: ClassVar[dict[str, tuple[str, ...]]] = {"rpc_data": ("data", "rpc_shared_memory")}


class BindingInfo(Message):
    out, inout = 1, 2
    undefined, string, binary, stream = 0, 1, 2, 3
    scalars: ClassVar[dict[str, Any]] = {"type": "", "direction": 0, "data_type": 0}
    maps: ClassVar[dict[str, str | None]] = {"properties": None}


class RpcRetryOptions(Message):
    scalars: ClassVar[dict[str, Any]] = {
        "max_retry_count": 0,
        "retry_strategy": "",
        "delay_interval": None,
        "minimum_interval": None,
        "maximum_interval": None,
    }


class RpcFunctionMetadata(Message):
    scalars: ClassVar[dict[str, Any]] = {
        "name": "",
        "directory": "",
        "script_file": "",
        "entry_point": "",
        "function_id": "",
        "language": "",
        "is_proxy": False,
        "managed_dependency_enabled": False,
    }
    maps: ClassVar[dict[str, str | None]] = {"bindings": "BindingInfo", "properties": None}
    lists = ("raw_bindings",)
    messages: ClassVar[dict[str, str]] = {"retry_options": "RpcRetryOptions"}


class WorkerMetadata(Message):
    scalars: ClassVar[dict[str, Any]] = {
        "runtime_name": "",
        "runtime_version": "",
        "worker_version": "",
        "worker_bitness": "",
    }
    maps: ClassVar[dict[str, str | None]] = {"custom_properties": None}


class RpcException(Message):
    scalars: ClassVar[dict[str, Any]] = {"message": "", "stack_trace": "", "source": ""}


class StatusResult(Message):
    Failure, Success, Cancelled = 0, 1, 2
    scalars: ClassVar[dict[str, Any]] = {"status": 0, "result": ""}
    messages: ClassVar[dict[str, str]] = {"exception": "RpcException"}


class WorkerInitResponse(Message):
    messages: ClassVar[dict[str, str]] = {"result": "StatusResult", "worker_metadata": "WorkerMetadata"}
    maps: ClassVar[dict[str, str | None]] = {"capabilities": None}


class FunctionMetadataResponse(Message):
    scalars: ClassVar[dict[str, Any]] = {"use_default_metadata_indexing": False}
    lists = ("function_metadata_results",)
    messages: ClassVar[dict[str, str]] = {"result": "StatusResult"}


class FunctionLoadResponse(Message):
    scalars: ClassVar[dict[str, Any]] = {"function_id": ""}
    messages: ClassVar[dict[str, str]] = {"result": "StatusResult"}


class RpcTraceContext(Message):
    scalars: ClassVar[dict[str, Any]] = {"trace_parent": "", "trace_state": ""}
    maps: ClassVar[dict[str, str | None]] = {"attributes": None}


class RetryContext(Message):
    scalars: ClassVar[dict[str, Any]] = {"retry_count": 0, "max_retry_count": 0}
    messages: ClassVar[dict[str, str]] = {"exception": "RpcException"}


class InvocationRequest(Message):
    scalars: ClassVar[dict[str, Any]] = {"invocation_id": "", "function_id": ""}
    lists = ("input_data",)
    maps: ClassVar[dict[str, str | None]] = {"trigger_metadata": "TypedData"}
    messages: ClassVar[dict[str, str]] = {"trace_context": "RpcTraceContext", "retry_context": "RetryContext"}


class InvocationResponse(Message):
    scalars: ClassVar[dict[str, Any]] = {"invocation_id": ""}
    lists = ("output_data",)
    messages: ClassVar[dict[str, str]] = {"return_value": "TypedData", "result": "StatusResult"}
