# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by hand, for peers that no gRPC library would be: bytes out, frames in."""

import collections
import contextlib
import socket
import ssl
import struct
import threading

from singleflight.v1 import singleflight_pb2 as pb

from support.wait import BOUND

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# SETTINGS_HEADER_TABLE_SIZE 0: the server, too, spells its headers out each time.
NO_TABLE = struct.pack(">HI", 1, 0)

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8

DO = "/singleflight.v1.SingleFlight/Do"
SESSION = "/singleflight.v1.SingleFlight/Session"
FORGET = "/singleflight.v1.SingleFlight/Forget"
WATCH = "/grpc.health.v1.Health/Watch"
CHECK = "/grpc.health.v1.Health/Check"

CANCEL = 8

Frame = collections.namedtuple("Frame", "kind flags stream payload")


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header(name, value):
    """One header, literal and never indexed, so that no table has to be kept (RFC 7541, 6.2.2)."""
    name, value = name.encode(), value.encode()
    assert len(name) < 127 and len(value) < 127
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def request(path):
    """The header block of a gRPC request."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
    return b"".join(header(name, value) for name, value in fields)


def prefix(size, flag=0):
    """What stands before each gRPC message."""
    return struct.pack(">BI", flag, size)


def message(payload):
    return prefix(len(payload)) + payload


def _secure(plain):
    """TLS to whoever it may be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(plain)


class Peer:
    """One TCP or unix connection, with TLS when it is `secured`. What it receives is read only when asked for."""

    def __init__(self, address, source=None, greet=True, secured=False):
        if address.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(BOUND)
            self.socket.connect(address.removeprefix("unix:"))
        else:
            host, port = address.rsplit(":", 1)
            self.socket = socket.create_connection(
                (host, int(port)), timeout=BOUND, source_address=(source, 0) if source else None
            )
        if secured:
            self.socket = _secure(self.socket)
        self._received = b""
        if greet:
            self.send(PREFACE + frame(SETTINGS, 0, 0, NO_TABLE))

    def send(self, data):
        self.socket.sendall(data)

    def open(self, stream, path, end=False):
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, request(path)))

    def _read(self, size):
        """`size` bytes, or None at the end of the connection."""
        while len(self._received) < size:
            try:
                more = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not more:
                return None
            self._received += more
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def receive(self):
        """The next frame, or None when the other side has closed. A ping is answered."""
        head = self._read(9)
        if head is None:
            return None
        size = int.from_bytes(head[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        payload = self._read(size)
        if payload is None:
            return None
        if kind == PING and not flags & ACK:
            with contextlib.suppress(ConnectionError):
                self.send(frame(PING, ACK, 0, payload))
        return Frame(kind, flags, stream, payload)

    def receive_until(self, wanted):
        """Frames up to the first for which `wanted` holds; None when the other side closes first."""
        while True:
            got = self.receive()
            if got is None or wanted(got):
                return got

    def is_served(self):
        """Whether the server has taken this connection up: it greets, too."""
        return self.receive() is not None

    def status(self, stream):
        """The block of headers with which the server ends `stream`, as bytes that can be searched;
        None when the connection ends first.
        """
        end = self.receive_until(
            lambda f: f.stream == stream
            and (f.kind == RST_STREAM or (f.kind == HEADERS and f.flags & END_STREAM))
        )
        return end and end.payload

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()


class Crowd(Peer):
    """As many callers of Do on one connection as a test wants, at the price of some bytes each. A
    thread reads what comes, and drops it.
    """

    def __init__(self, address):
        self._sending = threading.Lock()
        self._last = -1
        super().__init__(address)
        self.socket.settimeout(None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        windows = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 30))  # each stream's
        self.send(windows + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 1 - 65535)))
        threading.Thread(target=self._drop_all, daemon=True).start()

    def send(self, data):
        with self._sending:
            super().send(data)

    def _drop_all(self):
        with contextlib.suppress(OSError):
            while (got := self.receive()) is not None:
                if got.kind == SETTINGS and not got.flags & ACK:
                    self.send(frame(SETTINGS, ACK, 0))

    def join(self, count, join):
        """So many join, a hundred at a time; they are not waited for."""
        first = message(pb.DoRequest(join=join).SerializeToString())
        block = request(DO)
        for start in range(0, count, 100):
            opened = b""
            for _ in range(min(100, count - start)):
                self._last += 2
                opened += frame(HEADERS, END_HEADERS, self._last, block)
                opened += frame(DATA, 0, self._last, first)
            self.send(opened)

    def reset_all(self):
        """Cancels every stream, the first one first."""
        code = struct.pack(">I", CANCEL)
        self.send(b"".join(frame(RST_STREAM, 0, s, code) for s in range(1, self._last + 1, 2)))

    def die(self):
        """The connection goes, as when the process is killed."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
