# SPDX-License-Identifier: Apache-2.0
"""Peers that open streams and do not use them as gRPC means it."""

import json
import re

import pytest
from support import http2
from support.daemon import Daemon
from support.wait import until

FORGED = '\n{"level":"error","event":"forged"}\n'
LOGFMT = re.compile(r'(?:[a-z_]+=(?:[^ "=]*|"(?:[^"\\]|\\.)*")(?: |$))+')


def bad_requests(address, header, value, count):
    """Opens streams with one more header, and waits until the server has seen them all."""
    block = http2.request(http2.FORGET) + http2.header(header, value)
    flags = http2.END_HEADERS | http2.END_STREAM
    with http2.Peer(address) as peer:
        for stream in range(1, 2 * count, 2):
            peer.send(http2.frame(http2.HEADERS, flags, stream, block))
        peer.send(http2.frame(http2.PING, 0, 0, b"8 bytes."))
        peer.receive_until(lambda f: f.kind == http2.PING and f.flags & http2.ACK)


@pytest.mark.parametrize("style", ["json", "logfmt"])
def test_a_peer_writes_no_log_of_its_own(style):
    """gRPC logs each header that it cannot read, with the peer's bytes. Those lines are written as
    ours are, and bounded as ours are.
    """
    with Daemon("--log-format", style) as daemon:
        for header in ("grpc-timeout", "content-type", "grpc-encoding"):
            bad_requests(daemon.address, header, "x" + FORGED, 1000)
        until(lambda: "log_suppressed" in daemon.log(), "what is left out is counted")
        lines = daemon.log().splitlines()
    assert any("forged" in line for line in lines), "gRPC says nothing any more"
    assert len(lines) < 500
    for line in lines:
        if style == "json":
            assert json.loads(line)["event"] in ("grpc", "listening", "log_suppressed"), line
        else:
            assert LOGFMT.fullmatch(line), line
            assert line.startswith("time=")
