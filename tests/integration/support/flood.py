# SPDX-License-Identifier: Apache-2.0
"""Floods of frames, each sent by a process of its own. Nothing of gRPC is imported here."""

import contextlib
import itertools
import multiprocessing

from support import http2
from support.http2 import Peer, frame
from support.wait import milliseconds


def resets(first, count):
    """Calls of Do that are begun and reset at once; streams from number `first` on."""
    block = http2.request(http2.DO)
    return b"".join(
        frame(http2.HEADERS, http2.END_HEADERS, number, block)
        + frame(http2.RST_STREAM, 0, number, b"\0\0\0\x08")
        for number in range(first, first + 2 * count, 2)
    )


# What is sent before a flood, and what makes its blocks of bytes.
FLOODS = {
    "empty data": (http2.DO, lambda: itertools.repeat(frame(http2.DATA, 0, 1) * 5000)),
    "priority": (None, lambda: itertools.repeat(frame(http2.PRIORITY, 0, 1, bytes(5)) * 5000)),
    "unknown": (None, lambda: itertools.repeat(frame(0x99, 0, 0, bytes(10)) * 5000)),
    # Made beforehand, or making them would be what takes the time.
    "reset": (None, lambda: [resets(1 + 1000 * i, 500) for i in range(400)]),
}


def flood(address, kind, seconds, secured):
    """The sender's process."""
    path, make_blocks = FLOODS[kind]
    blocks = make_blocks()
    end = milliseconds() + seconds * 1000
    with Peer(address, secured=secured) as peer, contextlib.suppress(OSError):
        if path:
            peer.open(1, path)
        for block in itertools.takewhile(lambda _: milliseconds() < end, blocks):
            peer.send(block)


@contextlib.contextmanager
def flooding(daemon, kind, seconds, secured=False):
    """A flood that begins now and ends by itself."""
    # Not forked: gRPC has threads in this process.
    process = multiprocessing.get_context("spawn").Process(
        target=flood, args=(daemon.address, kind, seconds, secured)
    )
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()
