# SPDX-License-Identifier: Apache-2.0
"""A name server on 127.0.0.1:53 that says that every name is 127.0.0.1."""

import socket
import struct

A, IN = 1, 1
ANSWER, NO_ERROR = 0x8580, 0


def answer_to(query):
    number, _, _, _, _, _ = struct.unpack("!6H", query[:12])
    end = query.index(b"\0", 12) + 5  # the name, its type and class
    kind, _ = struct.unpack("!2H", query[end - 4:end])
    answers = b"" if kind != A else (
        struct.pack("!3HIH", 0xC00C, A, IN, 60, 4) + socket.inet_aton("127.0.0.1"))
    header = struct.pack("!6H", number, ANSWER | NO_ERROR, 1, 1 if answers else 0, 0, 0)
    return header + query[12:end] + answers


def main():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        print("ready", flush=True)
        while True:
            query, peer = server.recvfrom(512)
            server.sendto(answer_to(query), peer)


main()
