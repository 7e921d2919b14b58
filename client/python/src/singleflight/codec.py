# SPDX-License-Identifier: Apache-2.0
"""How values become bytes, and bytes values. Never by pickle: followers read what others wrote."""

from __future__ import annotations

import json
from typing import Any, Protocol


class Codec(Protocol):
    """What is wanted of a codec. All callers of a key must use the same."""

    def encode(self, value: Any) -> bytes:
        """The bytes of a value. What it raises is an error of the function."""

    def decode(self, data: bytes) -> Any:
        """The value of bytes. What it raises becomes a CodecError."""


class JsonCodec:
    """JSON, in UTF-8: the default. What every language reads."""

    def encode(self, value: Any) -> bytes:
        """Without spaces; NaN and infinity are refused, since other languages do not read them."""
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()

    def decode(self, data: bytes) -> Any:
        """No bytes at all are None."""
        return json.loads(data) if data else None


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
