# SPDX-License-Identifier: Apache-2.0
"""Peers that announce messages beyond the limit, or begin many and finish none."""

import contextlib

import pytest

from support import http2
from support.daemon import Daemon, sanitized
from support.http2 import DATA, END_HEADERS, HEADERS, Peer, frame, header, message, prefix
from support.net import Net
from support.wait import until

MIB = 1 << 20

METHODS = {
    "do": http2.DO,
    "session": http2.SESSION,
    "forget": http2.FORGET,
    "list": "/singleflight.v1.Admin/ListFlights",
    "stats": "/singleflight.v1.Admin/GetStats",
    "check": http2.CHECK,
    "watch": http2.WATCH,
    "reflection": "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
}


def data(stream, payload):
    return frame(DATA, 0, stream, payload)


@pytest.mark.parametrize("method", METHODS)
def test_a_message_above_the_limit_is_refused_by_its_prefix(daemon, method):
    """Contract 5: one message 4 MiB; over a limit RESOURCE_EXHAUSTED for that caller, and no other
    caller notices. Issue: refused before the bytes are taken.
    """
    before = daemon.memory()
    with Peer(daemon.address) as peer:
        peer.open(1, METHODS[method])
        peer.open(3, http2.CHECK)
        peer.send(data(1, prefix(256 * MIB) + bytes(1000)))
        status = peer.status(1)
        assert status is not None
        assert b"larger than the limit of 4194304 bytes" in status
        assert b"grpc-status\x018" in status
        peer.send(frame(DATA, http2.END_STREAM, 3, message(b"")))  # a neighbour on this connection
        assert b"grpc-status\x010" in peer.status(3)
    if not sanitized():
        assert daemon.memory() - before < 16 * MIB


def test_what_still_comes_of_it_is_thrown_away(daemon):
    """The connection's next call is served, and so is the one after more of the refused message."""
    with Peer(daemon.address) as peer:
        peer.open(1, http2.DO)
        peer.send(data(1, prefix(256 * MIB) + bytes(16000)))
        assert b"grpc-status\x018" in peer.status(1)
        for stream in (3, 5):
            peer.send(data(1, bytes(16000)))
            peer.open(stream, http2.CHECK)
            peer.send(frame(DATA, http2.END_STREAM, stream, message(b"")))
            assert b"grpc-status\x010" in peer.status(stream)


@pytest.mark.parametrize("cut", range(1, 6))
def test_an_announcement_in_two_pieces(daemon, cut):
    """Wherever it is cut, it is refused."""
    announced = prefix(256 * MIB + 5)
    with Peer(daemon.address) as peer:
        peer.open(1, http2.FORGET)
        peer.send(data(1, announced[:cut]))
        peer.open(3, http2.CHECK)
        peer.send(frame(DATA, http2.END_STREAM, 3, message(b"")))
        assert b"grpc-status\x010" in peer.status(3)  # so the first piece has arrived
        peer.send(data(1, announced[cut:] + bytes(1000)))
        assert b"larger than the limit of 4194304 bytes" in peer.status(1)


def test_unfinished_messages_are_bounded_per_connection():
    """--connection-bytes-limit: many streams, each with a message that never ends. What is beyond
    is refused, and another connection does not notice.
    """
    flags = ("--connection-bytes-limit", "16MiB")
    with Daemon(*flags) as daemon, Peer(daemon.address) as peer:
        net = Net(daemon)
        net.stats()
        before = daemon.memory()
        for i in range(40):
            peer.open(2 * i + 1, http2.DO)
            peer.send(data(2 * i + 1, prefix(4 * MIB) + bytes(60000)[:16000]))
        # The first four fill it; the fifth and those after it are refused.
        status = peer.status(79)
        assert b"grpc-status\x018" in status and b"connection-bytes-limit" in status
        if not sanitized():
            assert daemon.memory("VmHWM") - before < 32 * MIB
        net.stats()
        # One of the four gives up; there is room again.
        peer.send(frame(http2.RST_STREAM, 0, 1, bytes(4)))
        peer.open(101, http2.CHECK)
        peer.send(data(101, prefix(3 * MIB) + bytes(1000)))
        peer.open(103, http2.CHECK)
        peer.send(frame(DATA, http2.END_STREAM, 103, message(b"")))
        assert b"grpc-status\x010" in peer.status(103)
        net.close()


def test_headers_without_end_end_the_connection():
    """CVE-2024-27316: CONTINUATION frames without end. The connection is ended, and counted."""
    with Daemon("--log-format", "logfmt") as daemon, Peer(daemon.address) as peer:
        net = Net(daemon)
        net.stats()
        before = daemon.memory()
        peer.send(frame(HEADERS, 0, 1, http2.request(http2.DO)))
        block = frame(http2.CONTINUATION, 0, 1, header("a", "b" * 100) * 150)
        with contextlib.suppress(ConnectionError):
            for _ in range(4000):
                peer.send(block)
        assert peer.receive_until(lambda f: False) is None
        until(lambda: net.stats("").connections_refused == 1, "it is counted")
        assert "event=connection_ended reason=" in daemon.log()
        if not sanitized():
            assert daemon.memory("VmHWM") - before < 16 * MIB
        net.close()


def test_long_headers_within_reason_are_answered(daemon):
    """A block of headers in several frames is gRPC's to judge."""
    block = http2.request(http2.CHECK) + header("x-one", "y" * 100) * 20
    with Peer(daemon.address) as peer:
        peer.send(frame(HEADERS, 0, 1, block[:100]))
        peer.send(frame(http2.CONTINUATION, 0, 1, block[100:300]))
        peer.send(frame(http2.CONTINUATION, END_HEADERS, 1, block[300:]))
        peer.send(frame(DATA, http2.END_STREAM, 1, message(b"")))
        assert b"grpc-status\x010" in peer.status(1)
