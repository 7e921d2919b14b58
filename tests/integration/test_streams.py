# SPDX-License-Identifier: Apache-2.0
"""Peers that open streams and do not use them as gRPC means it."""

import json
import re

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb
from support import http2, wait
from support.daemon import Daemon, grpc_library, sanitized
from support.wait import until

METHODS = [
    "/singleflight.v1.SingleFlight/Do",
    "/singleflight.v1.SingleFlight/Session",
    "/singleflight.v1.SingleFlight/Forget",
    "/singleflight.v1.Admin/ListFlights",
    "/singleflight.v1.Admin/GetStats",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]
DEADLINE_EXCEEDED = b"4"
RESOURCE_EXHAUSTED = b"8"
JOIN = http2.message(pb.DoRequest(join=pb.Join(key=b"k")).SerializeToString())
WATCH = http2.message(b"")

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
        if "shared" in grpc_library():
            until(lambda: "log_suppressed" in daemon.log(), "what is left out is counted")
        lines = daemon.log().splitlines()
    # A current one does not log what a peer sends.
    if "shared" in grpc_library():
        assert any("forged" in line for line in lines), "gRPC says nothing any more"
    assert len(lines) < 500
    for line in lines:
        if style == "json":
            assert json.loads(line)["event"] in ("grpc", "listening", "log_suppressed"), line
        else:
            assert LOGFMT.fullmatch(line), line
            assert line.startswith("time=")


def server_stats(net):
    return net.admin.GetStats(pb.GetStatsRequest(), timeout=wait.BOUND)


def has_status(block, code):
    return block is not None and re.search(rb"grpc-status[\x00-\x7f]" + code, block)


@pytest.mark.parametrize("sent", [b"", http2.prefix(40) + b"half"], ids=["nothing", "half"])
@pytest.mark.parametrize("path", METHODS)
def test_a_stream_without_a_message_is_counted_and_ended(private, path, sent):
    """Nobody holds a stream for ever by saying nothing, with any method; the text says why."""
    net = private("--first-message-time", "400ms")
    with http2.Peer(net.daemon.address) as peer:
        peer.open(1, path)
        peer.send(http2.frame(http2.DATA, 0, 1, sent))
        until(lambda: server_stats(net).streams_silent_now == 1, "it is counted")
        block = peer.status(1)
        assert has_status(block, DEADLINE_EXCEEDED), block
        assert b"first-message-time" in block
        stats = server_stats(net)
        assert (stats.streams_silent_now, stats.streams_ended) == (0, 1)
    assert net.stats(net.group).streams_ended == 0  # no group has streams


def test_what_has_spoken_may_wait(private):
    """A caller that waits, a session without calls and a watch last longer than that time."""
    net = private("--first-message-time", "200ms")
    leader, follower = net.lead(), net.follow()
    session = net.session()
    session.send()
    with http2.Peer(net.daemon.address) as peer:
        peer.open(1, http2.WATCH)
        peer.send(http2.frame(http2.DATA, 0, 1, WATCH))
        follower.silent(1)
        assert server_stats(net).streams_ended == 0
        peer.send(http2.frame(http2.PING, 0, 0, b"8 bytes."))
        got = peer.receive_until(lambda f: f.kind == http2.PING or f.kind == http2.RST_STREAM)
        assert got.kind == http2.PING
    leader.finish(b"v")
    assert follower.delivery().value == b"v"
    session.half_close()
    assert session.status().code == grpc.StatusCode.OK


def test_silence_may_be_allowed(private):
    """0: such streams are counted, and stay."""
    net = private("--first-message-time", "0")
    with http2.Peer(net.daemon.address) as peer:
        peer.open(1, http2.DO)
        until(lambda: server_stats(net).streams_silent_now == 1, "it is counted")
        peer.send(http2.frame(http2.DATA, 0, 1, JOIN))
        until(lambda: net.flights(group="default"), "it leads")
        assert server_stats(net).streams_silent_now == 0
        assert server_stats(net).streams_ended == 0


def test_a_drain_does_not_wait_for_the_silent():
    """They have nothing to lose."""
    with Daemon("--first-message-time", "0", drain_time="1h") as daemon:
        with http2.Peer(daemon.address) as peer:
            peer.open(1, http2.DO)
            peer.open(3, http2.SESSION)
            peer.open(5, http2.FORGET)
            peer.send(http2.frame(http2.PING, 0, 0, b"8 bytes."))
            peer.receive_until(lambda f: f.kind == http2.PING and f.flags & http2.ACK)
            daemon.terminate()
            assert daemon.wait() == 0


def streams_settings(peer):
    """MAX_CONCURRENT_STREAMS as the server announces it."""
    got = peer.receive_until(lambda f: f.kind == http2.SETTINGS and not f.flags & http2.ACK)
    pairs = [got.payload[i : i + 6] for i in range(0, len(got.payload), 6)]
    return {int.from_bytes(p[:2], "big"): int.from_bytes(p[2:], "big") for p in pairs}[3]


@pytest.mark.parametrize(
    "flags, expected",
    [
        ([], 101_000),
        (["--connection-callers-limit", "500"], 1500),
        (["--connection-streams-limit", "7"], 7),
    ],
)
def test_a_peer_is_told_how_many_streams_it_may_have(private, flags, expected):
    """As many as the callers of one connection, and some for everything else."""
    with http2.Peer(private(*flags).daemon.address) as peer:
        assert streams_settings(peer) == expected


@pytest.mark.skipif("static" in grpc_library(), reason="a current gRPC ends that connection itself")
@pytest.mark.parametrize("path", [http2.DO, http2.WATCH, http2.SESSION])
def test_a_peer_that_does_not_listen_has_no_more_streams(private, path):
    """A peer that never acknowledges our settings is not held to them by gRPC 1.51. What lasts is
    ended then, and others have theirs.
    """
    net = private("--connection-streams-limit", "50", "--first-message-time", "1h")
    with http2.Peer(net.daemon.address) as peer:
        for stream in range(1, 2 * 80, 2):
            peer.open(stream, path)
            if path == http2.WATCH:
                peer.send(http2.frame(http2.DATA, 0, stream, WATCH))
        refused = 0
        while refused < 30:
            got = peer.receive()
            assert got is not None
            if got.kind == http2.HEADERS and got.flags & http2.END_STREAM:
                assert has_status(got.payload, RESOURCE_EXHAUSTED), got.payload
                assert b"connection-streams-limit" in got.payload
                refused += 1
        assert server_stats(net).streams_ended == 30
        net.key_is_free()
    until(lambda: server_stats(net).streams_silent_now == 0, "their room is free again")


@pytest.mark.skipif(sanitized(), reason="a sanitizer keeps what is freed")
@pytest.mark.skipif("static" in grpc_library(), reason="a current gRPC keeps more than half of it")
def test_memory_of_a_storm_is_given_back(private):
    """What thousands of streams took is the machine's again when they are gone."""
    net = private()
    with http2.Peer(net.daemon.address) as peer:
        for stream in range(1, 2 * 5000, 2):
            peer.open(stream, http2.DO)
        until(lambda: server_stats(net).streams_silent_now == 5000, "all are open", bound=60)
        high = net.daemon.memory()
    until(lambda: net.daemon.memory() < high / 2, "the memory is given back", bound=60)
