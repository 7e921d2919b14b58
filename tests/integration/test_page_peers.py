# SPDX-License-Identifier: Apache-2.0
"""What slow, many and hostile peers do to the admin listener: probes get through, and memory stays."""

import contextlib
import http.client
import select
import socket
import threading

import pytest

from support import page, scrape
from support.daemon import sanitized
from support.wait import milliseconds, until

DAEMON_FLAGS = scrape.FLAGS
PROBE_MS = 2000  # a kubelet waits for 1 s; this machine may be busy


def connect(daemon, source="127.0.0.1"):
    host, port = scrape.admin_address(daemon).split(":")
    return socket.create_connection((host, int(port)), timeout=20, source_address=(source, 0))


def is_open(peer):
    """False when the daemon has closed it."""
    readable, _, _ = select.select([peer], [], [], 0)
    if not readable:
        return True
    with contextlib.suppress(OSError):
        return peer.recv(65536) != b""
    return False


def probe(daemon):
    begun = milliseconds()
    assert scrape.get(daemon, "/livez")[0] == 200
    took = milliseconds() - begun
    assert took < PROBE_MS, f"/livez took {took} ms"


@pytest.fixture
def peers():
    opened = []
    yield opened
    for peer in opened:
        peer.close()


@pytest.mark.parametrize("addresses", [1, 8])
def test_a_crowd_that_trickles_keeps_no_probe_out(daemon, peers, addresses):
    """80 peers that send a byte of a header now and then are never silent for long. Each of them
    has five seconds for its request."""
    for i in range(80):
        peers.append(connect(daemon, f"127.0.0.{2 + i % addresses}"))
        peers[-1].sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ")
    begun = milliseconds()

    def all_gone():
        probe(daemon)
        for peer in peers:
            with contextlib.suppress(OSError):
                peer.send(b"x")
        return not any(is_open(peer) for peer in peers)

    until(all_gone, "all have been ended", every=0.2)
    assert milliseconds() - begun < 15_000


def test_no_address_has_more_than_its_share(daemon, peers):
    """The one that has been silent for longest makes room for the new one."""
    peers += [connect(daemon, "127.0.0.9") for _ in range(17)]
    until(lambda: not is_open(peers[0]), "the first one is gone")
    assert all(is_open(peer) for peer in peers[2:])
    other = connect(daemon, "127.0.0.10")
    peers.append(other)
    assert is_open(other)


def test_a_connection_serves_one_request_after_the_other(daemon):
    connection = http.client.HTTPConnection(scrape.admin_address(daemon), timeout=20)
    try:
        for path in ("/livez", "/api/v1/status", "/", "/api/v1/flights", "/metrics"):
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200 and response.read()
            socket_of_first = connection.sock
            assert socket_of_first is not None
    finally:
        connection.close()


@pytest.mark.parametrize(
    "part",
    [
        b"GET /api/v1/fli",
        b"GET /api/v1/flights HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"POST /api/v1/forget HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{",
        b"GET /api/v1/flights HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_whoever_goes_too_early_leaves_nothing_behind(daemon, part):
    for _ in range(40):
        peer = connect(daemon)
        peer.sendall(part)
        peer.close()
    probe(daemon)

    def streams_are_free():
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(page.events(daemon)) for _ in range(16)]
            return all(stream.status == 200 for stream in streams)

    until(streams_are_free, "no stream is left open")


def test_headers_that_are_too_large_are_refused(daemon):
    peer = connect(daemon)
    with contextlib.suppress(OSError):
        peer.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ")
        peer.sendall(b"x" * 100_000 + b"\r\n\r\n")
        assert peer.recv(100).split()[1] in (b"431", b"413", b"400")
    peer.close()
    probe(daemon)


def test_a_path_that_is_too_long_is_refused(daemon):
    peer = connect(daemon)
    with contextlib.suppress(OSError):
        peer.sendall(b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert peer.recv(100).split()[1] in (b"414", b"431", b"400")
    peer.close()
    probe(daemon)


def test_a_reader_that_stops_misses_what_lay_between(private):
    """It holds one message; the others' streams go on; and when it reads again it gets the newest."""
    net = private(*DAEMON_FLAGS, "--connection-callers-limit", "2000")
    session = net.session()
    for i in range(500):
        session.open_call().send("join", net.join_message(key=b"%05d" % i + b"k" * 900))
    until(lambda: page.ok(net.daemon, "status")["current"]["flights"] == 500, "they run", 60)
    with page.events(net.daemon, limit=500) as slow, page.events(net.daemon, limit=1) as quick:
        assert slow.next()[0] == "status"
        quick.until("flights")
        before = net.daemon.memory()
        # Rows that change all the time, for some seconds.
        for i in range(12):
            net.lead(key=b"more %d" % i)
            quick.until("status")
        net.lead(key=b"last")
        now = quick.until("status", lambda data: data["current"]["flights"] == 513)["now_ms"]
        grown = net.daemon.memory() - before
        assert sanitized() or grown < 16 << 20, f"{grown} bytes more"
        newest = slow.until("status", lambda data: data["now_ms"] >= now)
        assert newest["current"]["flights"] == 513


def test_an_answer_that_nobody_reads_keeps_no_place(daemon, peers):
    """Its memory and its place are free again, however many there are."""
    for i in range(60):
        peers.append(connect(daemon, f"127.0.1.{1 + i % 20}"))
        for _ in range(50):
            peers[-1].sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    probe(daemon)
    until(lambda: sum(is_open(peer) for peer in peers) <= 48, "some have made room")


def flood(stop, daemon, source):
    """Asks again and again over connections that it keeps."""
    while not stop.is_set():
        with contextlib.suppress(OSError), connect(daemon, source) as peer:
            peer.settimeout(0.5)
            while not stop.is_set():
                peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
                peer.recv(65536)


def test_a_flood_of_requests_keeps_no_probe_out(daemon):
    """The one that has just come goes last, however many there are that have had their answers."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=flood, args=(stop, daemon, f"127.0.0.{2 + i % 10}"))
        for i in range(60)
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert scrape.get(daemon, "/livez")[0] == 200
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_an_address_has_its_share_of_streams(daemon, peers):
    """Loopback's own is left out, for port forwards and proxies come from there."""
    answers = []
    for _ in range(7):
        peers.append(connect(daemon, "127.0.0.9"))
        peers[-1].sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answers.append(peers[-1].recv(12).split()[1])
    assert answers == [b"200"] * 6 + [b"429"]
