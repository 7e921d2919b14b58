# SPDX-License-Identifier: Apache-2.0
"""Merging equal remote calls: the other side sees one request, however many ask for the same.

Usage: merge_remote_calls URL
"""

from __future__ import annotations

import asyncio
import sys
import urllib.request

from singleflight import RAW, SingleflightError
from singleflight.aio import Client, Lead


async def get(client: Client, url: str) -> bytes:
    """A GET that is shared by all processes that do the same at the same time."""

    async def call(lead: Lead) -> bytes:
        lead.pass_on()  # should it fail: our trouble need not be everybody's, the next one tries
        return await asyncio.to_thread(lambda: bytes(urllib.request.urlopen(url).read()))

    # Without a daemon everybody calls for himself, as before.
    result = await client.do(
        f"GET {url}", call, group="http", codec=RAW, fail_open=True, timeout=30
    )
    return result.value


async def main(url: str) -> None:
    """Prints what the URL answers."""
    async with Client() as client:
        sys.stdout.buffer.write(await get(client, url))


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except (SingleflightError, OSError) as error:
        sys.exit(f"merge_remote_calls: {error}")
