# SPDX-License-Identifier: Apache-2.0
"""A peer that speaks HTTP/2 by hand: as many streams on one connection as a test wants, at the price
of some bytes each.
"""

import socket
import struct
import threading

from singleflight.v1 import singleflight_pb2 as pb

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CANCEL = 8


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(
        ">I", stream) + payload


def literal(name, value):
    """A header that enters no table. Both lengths are below 127."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def request_headers(method):
    return b"".join(literal(*header) for header in (
        (":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "test"),
        ("content-type", "application/grpc"), ("te", "trailers")))


def message(encoded):
    return b"\0" + struct.pack(">I", len(encoded)) + encoded


class Peer:
    """One connection. A thread reads what comes, and counts the messages' frames."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data_frames = 0
        self.resets = 0
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._last = -1
        settings = struct.pack(">HI", 4, 1 << 30)  # of each stream's window
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings)
                  + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 1 - 65535)))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, encoded):
        with self._lock:
            self.socket.sendall(encoded)

    def open(self, method, first=None):
        """The bytes of a new stream, to be sent, with its first message."""
        self._last += 2
        opened = frame(HEADERS, END_HEADERS, self._last, request_headers(method))
        if first is not None:
            opened += frame(DATA, 0, self._last, message(first.SerializeToString()))
        return opened

    def join_do(self, count, join):
        """So many callers of Do, a hundred at a time, which are not waited for."""
        request = pb.DoRequest(join=join)
        for start in range(0, count, 100):
            self.send(b"".join(self.open("/singleflight.v1.SingleFlight/Do", request)
                               for _ in range(min(100, count - start))))

    def reset_all(self):
        """Cancels every stream, the first one first."""
        code = struct.pack(">I", CANCEL)
        self.send(b"".join(frame(RST_STREAM, 0, s, code) for s in range(1, self._last + 1, 2)))

    def _read(self):
        with self.socket.makefile("rb", 1 << 20) as source:
            try:
                while True:
                    head = source.read(9)
                    if len(head) < 9:
                        break
                    payload = source.read(int.from_bytes(head[:3], "big"))
                    self._take(head[3], head[4], payload)
            except OSError:
                pass
        self.ended.set()

    def _take(self, kind, flags, payload):
        if kind == DATA:
            self.data_frames += 1
        elif kind == RST_STREAM:
            self.resets += 1
        elif kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))

    def die(self):
        """The connection goes, as when the process is killed."""
        linger = struct.pack("ii", 1, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
