# SPDX-License-Identifier: Apache-2.0
"""Which server is the home of a key: the same answer in every client of every language."""

from __future__ import annotations

from collections.abc import Sequence

import xxhash


def score(address: str, group: str, key: bytes) -> int:
    """XXH64 with seed 0 of ``<address> 00 <group> 00 <key>``."""
    name = (group or "default").encode()
    return xxhash.xxh64_intdigest(address.encode() + b"\0" + name + b"\0" + key, seed=0)


def order(addresses: Sequence[str], group: str, key: bytes) -> list[int]:
    """The places of ``addresses`` by falling score; of equal ones the first comes first."""
    if len(addresses) == 1:
        return [0]
    scores = [score(address, group, key) for address in addresses]
    return sorted(range(len(addresses)), key=lambda place: -scores[place])
