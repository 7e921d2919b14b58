# SPDX-License-Identifier: Apache-2.0
"""How values become bytes, and bytes values. Never by pickle: followers read what others wrote."""

from __future__ import annotations

import json
import re
from typing import Any, Protocol


class Codec(Protocol):
    """What is wanted of a codec. All callers of a key must use the same."""

    def encode(self, value: Any) -> bytes:
        """The bytes of a value. What it raises becomes an EncodeError."""

    def decode(self, data: bytes) -> Any:
        """The value of bytes. What it raises becomes a DecodeError."""


# Beyond these not every language can tell an integer from its neighbours.
_INTEGER_MAX = 2**53 - 1

_LONG_NUMBER = re.compile(r"\d{16}")

_HINT = "give the call a codec of your own (codec=)"


class JsonCodec:
    """JSON, in UTF-8: the default. Every language reads it, and it loses nothing on the way.

    A tuple becomes a list, for the leader too. Dataclasses and pydantic models are values as well
    where the type of the value is known: see :func:`singleflight.typed`.
    """

    def encode(self, value: Any) -> bytes:
        """Without spaces.

        Raises:
            ValueError: NaN, infinity, or an integer that other languages would round.
            TypeError: what JSON has no word for.
        """
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except ValueError as error:
            raise ValueError(f"{error}: other languages cannot read it; {_HINT}") from error
        except TypeError as error:
            raise TypeError(_type_text(error)) from error
        _check(value, _LONG_NUMBER.search(text) is not None)
        return text.encode()

    def decode(self, data: bytes) -> Any:
        """No bytes at all are None."""
        return json.loads(data) if data else None


def _type_text(error: TypeError) -> str:
    hint = _HINT
    if "bytes" in str(error) or "bytearray" in str(error) or "memoryview" in str(error):
        hint = "codec=RAW is for bytes"
    elif "coroutine" in str(error):
        hint = "the function was not awaited"
    return f"{error}; {hint}"


def _check(value: Any, has_long_numbers: bool) -> None:
    # What json.dumps() takes, and changes: keys that are no text, integers too large for others.
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            for key in item:
                if not isinstance(key, str):
                    kind = type(key).__name__
                    raise TypeError(f"the key {key!r} is {kind}, and JSON only has texts; {_HINT}")
            todo.extend(_worth_a_look(item.values(), has_long_numbers))
        elif isinstance(item, (list, tuple)):
            todo.extend(_worth_a_look(item, has_long_numbers))
        elif isinstance(item, int) and not -_INTEGER_MAX <= item <= _INTEGER_MAX:
            raise ValueError(
                f"{item} is beyond ±(2^53 - 1), where other languages would round it; send it as "
                f"text, or {_HINT}"
            )


def _worth_a_look(items: Any, has_long_numbers: bool) -> list[Any]:
    kinds = (dict, list, tuple, int) if has_long_numbers else (dict, list, tuple)
    return [item for item in items if isinstance(item, kinds)]


class RawCodec:
    """Bytes as they are. None is no bytes."""

    def encode(self, value: Any) -> bytes:
        """Takes what is bytes already."""
        if value is None:
            return b""
        if not isinstance(value, (bytes, bytearray, memoryview)):
            kind = type(value).__name__
            raise TypeError(f"the raw codec takes bytes, and the function returned {kind}")
        return bytes(value)

    def decode(self, data: bytes) -> bytes:
        """Gives them back."""
        return data


JSON = JsonCodec()
RAW = RawCodec()
