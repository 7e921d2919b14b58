# SPDX-License-Identifier: Apache-2.0
"""Values of the program's own types: dataclasses, and pydantic models where pydantic is there.

They travel as plain JSON, which every language reads. A field that is unknown here is passed by,
and one that is missing takes its default: so two versions of a program can often read each other.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import sys
import types
import weakref
from typing import Any, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from .codec import JSON, Codec

T = TypeVar("T")

_AWAITABLES = (
    collections.abc.Awaitable,
    collections.abc.Coroutine,
)
_UNIONS = (Union, getattr(types, "UnionType", Union))
_PLAIN = (str, int, float, bool, type(None))


class _Reader(Protocol):
    # Makes plain JSON of a value, and a value of plain JSON.

    def dump(self, value: Any) -> Any: ...

    def load(self, data: Any) -> Any: ...


def typed(kind: type[T] | Any) -> Codec:
    """The codec of values of this type, as JSON.

    Calls do that by themselves where the function says what it returns
    (``def load(lead) -> Profile``); this is for those that have no function, or one that does not
    say. The type may be a dataclass, a pydantic model, and lists, dicts, tuples and Optional of
    them.

    Raises:
        TypeError: the type holds something else; with pydantic installed, much more goes.
    """
    return _TypedCodec(_reader(kind))


class _TypedCodec:
    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def encode(self, value: Any) -> bytes:
        return JSON.encode(self._reader.dump(value))

    def decode(self, data: bytes) -> Any:
        return self._reader.load(JSON.decode(data))


def codec_of(function: object, codec: Codec) -> Codec:
    """``codec``; but one for the type that the function returns, where JSON is not enough."""
    if codec is not JSON:
        return codec
    function = getattr(function, "__func__", function)
    if not inspect.isfunction(function):
        return _find(function)
    if "return" not in function.__annotations__ and not hasattr(function, "__wrapped__"):
        return codec
    found = _found.get(function)
    if found is None:
        found = _found[function] = _find(function)
    return found


def codec_of_value(value: object, codec: Codec) -> Codec:
    """``codec``; but one for the type of the value, where JSON is not enough."""
    return typed(type(value)) if codec is JSON and _is_own(type(value)) else codec


# It takes its time to find out what a function returns, and the answer stays the same.
_found: weakref.WeakKeyDictionary[Any, Codec] = weakref.WeakKeyDictionary()


def _find(function: object) -> Codec:
    kind = _returned(function)
    return JSON if kind is None or not _is_own(kind) else typed(kind)


def _returned(function: object) -> Any:
    # None: it does not say, or says what cannot be found out.
    while isinstance(function, functools.partial):
        function = function.func
    if not callable(function):
        return None
    function = inspect.unwrap(function)
    if not inspect.isroutine(function):
        function = type(function).__call__
    if "return" not in getattr(function, "__annotations__", ()):
        return None
    try:
        kind = get_type_hints(function, localns=_names_of(function))["return"]
    except Exception:  # a name that is only there for type checkers, for instance
        return None
    if get_origin(kind) in _AWAITABLES:
        kind = get_args(kind)[-1]
    return kind


def _names_of(function: Any) -> dict[str, Any]:
    # A function inside a function may return a class that is local there, too.
    function = getattr(function, "__func__", function)
    names: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # it is empty yet
            continue
    return names


def _is_model(kind: Any) -> bool:
    pydantic = sys.modules.get("pydantic")  # a model cannot be there without it
    return pydantic is not None and inspect.isclass(kind) and issubclass(kind, pydantic.BaseModel)


def _is_own(kind: Any) -> bool:
    # Whether a type of the program's own is in it.
    if inspect.isclass(kind) and dataclasses.is_dataclass(kind):
        return True
    return _is_model(kind) or any(_is_own(part) for part in get_args(kind))


# ---- readers

# The dataclasses that a type is a part of.
_Outer = dict[Any, _Reader]


def _reader(kind: Any) -> _Reader:
    try:
        return _make(kind, {})
    except TypeError:
        try:
            from pydantic import TypeAdapter
        except ImportError:
            raise
        return _Pydantic(TypeAdapter(kind))


def _make(kind: Any, outer: _Outer) -> _Reader:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any or kind is object:
        return _Anything()
    if kind is None or kind in _PLAIN:
        return _Plain(type(None) if kind is None else kind)
    if _is_model(kind):
        raise TypeError(f"{kind} is for pydantic")
    if inspect.isclass(kind) and dataclasses.is_dataclass(kind):
        return outer[kind] if kind in outer else _Dataclass(kind, outer)
    if kind in (list, dict) or (origin in (list, dict, tuple) and parts):
        return _Container(origin or kind, parts, outer)
    if origin in _UNIONS and len(parts) == 2 and type(None) in parts:
        return _Optional(_make(next(part for part in parts if part is not type(None)), outer))
    raise TypeError(
        f"values with {kind} in them are not made of dataclasses, lists, dicts, texts, numbers and "
        "None: install pydantic, or give the call a codec of your own (codec=)"
    )


class _Anything:
    def dump(self, value: Any) -> Any:
        return value

    def load(self, data: Any) -> Any:
        return data


class _Plain:
    def __init__(self, kind: type) -> None:
        self._kind = kind

    def dump(self, value: Any) -> Any:
        return self._checked(value)

    def load(self, data: Any) -> Any:
        return self._checked(data)

    def _checked(self, value: Any) -> Any:
        if self._kind is float and type(value) is int:
            return float(value)
        if not isinstance(value, self._kind) or (type(value) is bool and self._kind is not bool):
            raise TypeError(f"{value!r} is no {self._kind.__name__}")
        return value


class _Optional:
    def __init__(self, inner: _Reader) -> None:
        self._inner = inner

    def dump(self, value: Any) -> Any:
        return None if value is None else self._inner.dump(value)

    def load(self, data: Any) -> Any:
        return None if data is None else self._inner.load(data)


class _Container:
    def __init__(self, kind: type, parts: tuple[Any, ...], outer: _Outer) -> None:
        self._kind = kind
        self._many = kind is not tuple or (len(parts) == 2 and parts[1] is Ellipsis)
        if kind is dict and parts and parts[0] is not str:
            raise TypeError(f"the keys of {dict} are {parts[0]}, and JSON only has texts")
        if kind is tuple and self._many:
            parts = parts[:1]
        if kind is dict:
            parts = parts[-1:]
        self._parts = [_make(part, outer) for part in parts] or [_Anything()]

    def dump(self, value: Any) -> Any:
        if not isinstance(value, self._kind):
            raise TypeError(f"{value!r} is no {self._kind.__name__}")
        if isinstance(value, dict):
            return {key: self._parts[0].dump(item) for key, item in value.items()}
        return [part.dump(item) for part, item in self._pairs(value)]

    def load(self, data: Any) -> Any:
        if not isinstance(data, dict if self._kind is dict else list):
            raise TypeError(f"{data!r} is no {self._kind.__name__}")
        if isinstance(data, dict):
            return {key: self._parts[0].load(item) for key, item in data.items()}
        return self._kind(part.load(item) for part, item in self._pairs(data))

    def _pairs(self, items: Any) -> list[tuple[_Reader, Any]]:
        if self._many:
            return [(self._parts[0], item) for item in items]
        if len(items) != len(self._parts):
            raise TypeError(f"{items!r} does not have {len(self._parts)} parts")
        return list(zip(self._parts, items))


class _Dataclass:
    def __init__(self, kind: Any, outer: _Outer) -> None:
        self._kind = kind
        hints = get_type_hints(kind)
        within = {**outer, kind: self}  # a node of a tree has nodes in it
        fields = [field.name for field in dataclasses.fields(kind) if field.init]
        self._fields = {name: _make(hints[name], within) for name in fields}

    def dump(self, value: Any) -> Any:
        if type(value) is not self._kind:
            raise TypeError(f"{value!r} is no {self._kind.__name__}")
        return {name: part.dump(getattr(value, name)) for name, part in self._fields.items()}

    def load(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise TypeError(f"{data!r} is no {self._kind.__name__}")
        known = {name: part for name, part in self._fields.items() if name in data}
        return self._kind(**{name: part.load(data[name]) for name, part in known.items()})


class _Pydantic:
    def __init__(self, adapter: Any) -> None:
        self._adapter: Any = adapter

    def dump(self, value: Any) -> Any:
        return self._adapter.dump_python(value, mode="json", warnings="error")

    def load(self, data: Any) -> Any:
        return self._adapter.validate_python(data)
