# SPDX-License-Identifier: Apache-2.0
"""Protobuf wire format by hand, for messages that no generated code would write."""


def varint(number):
    """Encodes an unsigned number."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    """One field: an int as a varint, bytes as a length-delimited field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value & (2**64 - 1))
    return varint(number << 3 | 2) + varint(len(value)) + value


# Bytes that are no message of any kind: a length-delimited field longer than the message.
TRUNCATED = varint(1 << 3 | 2) + varint(100) + b"short"

# A tag with the wire type 7, which does not exist.
GARBAGE = b"\xff\xff\xff\xff\xff"

# Not UTF-8.
BROKEN_TEXT = b"caf\xe9\xff"
