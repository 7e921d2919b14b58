# SPDX-License-Identifier: Apache-2.0
"""Leaders that are killed and frozen in a row, while everybody works.

    chaos.py ADDRESS KILLS SEED

Forks workers; each keeps several calls open on one Session over a few shared keys. Whenever a
worker says that it leads, it may be killed (SIGKILL) or frozen (SIGSTOP, and SIGCONT later). What every
worker sees is checked against what the leaders did, and the last line says how it went. Exits with
1 and a line that begins with "violation" at the first thing that the contract does not allow.

gRPC must not be in use before the workers are forked, so this is a process of its own.
"""

import collections
import hashlib
import os
import queue
import random
import select
import signal
import sys
import threading
import time

import grpc
from singleflight.v1 import singleflight_pb2 as pb
from singleflight.v1 import singleflight_pb2_grpc as pb_grpc

WORKERS = 12
CALLS = 6  # that a worker keeps open
KEYS = [b"red", b"green", b"blue", b"grey"]
CHUNKS = 4
HANG_S = 30.0
FREEZE_EVERY = 40  # kills


def part(token, index):
    """What the leader with this token posts as its index-th part: 3 to 30 KiB that nobody else
    posts.
    """
    seed = hashlib.sha256(f"{token}:{index}".encode()).digest()
    return seed * (100 + seed[0] * 4)


def whole(token):
    return b"".join(part(token, index) for index in range(CHUNKS + 1))


class Worker:
    """One process: one Session, CALLS calls at a time."""

    def __init__(self, address, report, seed):
        self._report = report
        self._random = random.Random(seed)
        self._requests = queue.SimpleQueue()
        self._calls = {}
        self._seen = {}  # key -> the greatest token of a result
        self._next = 1
        channel = grpc.insecure_channel(address)
        stub = pb_grpc.SingleFlightStub(channel)
        self._responses = stub.Session(iter(self._requests.get, None))

    def say(self, *words):
        os.write(self._report, (" ".join(map(str, (os.getpid(), *words))) + "\n").encode())

    def send(self, identity, **step):
        call = pb.CallRequest(id=identity, **step)
        self._requests.put(pb.SessionRequest(calls=[call]))

    def join(self):
        identity, self._next = self._next, self._next + 1
        key = self._random.choice(KEYS)
        join = pb.Join(group="chaos", key=key, live=self._random.random() < 0.5)
        if self._random.random() < 0.3:
            join.lease_ms = 1000
        key = key.decode()
        self._calls[identity] = dict(
            key=key, since=time.monotonic(), value=b"", seen=self._seen.get(key, 0)
        )
        self.send(identity, join=join)

    def lead(self, identity, token):
        """Posts the value in parts, with pauses in which one can be killed."""
        pause = threading.Event()
        for index in range(CHUNKS):
            chunk = pb.Chunk(data=part(token, index), sequence=index)
            self.send(identity, chunk=chunk)
            pause.wait(self._random.random() * 0.004)
        self.say("finish", token)
        outcome = pb.Outcome(kind=pb.OUTCOME_KIND_OK, value=part(token, CHUNKS))
        self.send(identity, finish=pb.Finish(outcome=outcome))

    def ended(self, identity):
        del self._calls[identity]
        self.join()

    def on_result(self, identity, call, result):
        value = call["value"] + result.outcome.value
        if not result.led and value != whole(result.token):
            self.say("violation", f"{len(value)} wrong bytes of token {result.token}")
        self.say("result", call["key"], result.token, int(result.led), call["seen"])
        self._seen[call["key"]] = max(self._seen.get(call["key"], 0), result.token)
        self.ended(identity)

    def on_frame(self, frame):
        call = self._calls.get(frame.id)
        step = frame.WhichOneof("step")
        if call is None:
            self.say("violation", f"{step} after the end of a call")
        elif step == "lead":
            call["value"] = b""
            self.say("lead", call["key"], frame.lead.token)
            threading.Thread(
                target=self.lead, args=(frame.id, frame.lead.token), daemon=True
            ).start()
        elif step == "chunk":
            call["value"] += frame.chunk.data
        elif step == "restart":
            call["value"] = b""
        elif step == "result":
            self.on_result(frame.id, call, frame.result)
        elif step == "end":
            if frame.end.code != grpc.StatusCode.ABORTED.value[0]:
                self.say("violation", f"end {frame.end.code} {frame.end.message}")
            self.say("aborted", call["key"])
            self.ended(frame.id)

    def watch(self):
        """Says so when a call gets nothing for too long."""
        while True:
            threading.Event().wait(1.0)
            for call in list(self._calls.values()):
                if time.monotonic() - call["since"] > HANG_S:
                    self.say("violation", f"a call of {call['key']} hangs")

    def run(self):
        threading.Thread(target=self.watch, daemon=True).start()
        for _ in range(CALLS):
            self.join()
        for message in self._responses:
            for frame in message.calls:
                self.on_frame(frame)


class Chaos:
    """The parent: kills, forks anew, and checks."""

    def __init__(self, address, kills, seed):
        self._address = address
        self._kills_wanted = kills
        self._random = random.Random(seed)
        self._reader, self._writer = os.pipe()
        self._workers = set()
        self._frozen = collections.deque()
        self._led = {}  # token -> key
        self._finished = set()
        self.counts = collections.Counter()

    def fork(self):
        seed = self._random.random()
        pid = os.fork()
        if pid == 0:
            try:
                Worker(self._address, self._writer, seed).run()
            finally:
                os._exit(3)
        self._workers.add(pid)

    def end(self, pid):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self._workers.discard(pid)

    def check(self, condition, text):
        if not condition:
            print("violation:", text, flush=True)
            self.stop()
            sys.exit(1)

    def on_lead(self, pid, key, token):
        self.check(token not in self._led, f"token {token} was granted twice")
        self._led[token] = key
        if pid not in self._workers or pid in self._frozen or self._random.random() < 0.4:
            return
        self.end(pid)
        self.fork()
        self.counts["kills"] += 1
        if self.counts["kills"] % FREEZE_EVERY == 0:
            self.freeze()

    def freeze(self):
        """Stops a worker; the one stopped before it goes on."""
        pid = self._random.choice(sorted(self._workers))
        os.kill(pid, signal.SIGSTOP)
        self._frozen.append(pid)
        self.counts["freezes"] += 1
        if len(self._frozen) > 1:
            self.thaw()

    def thaw(self):
        pid = self._frozen.popleft()
        if pid in self._workers:
            os.kill(pid, signal.SIGCONT)

    def on_result(self, key, token, led, seen):
        self.check(self._led.get(token) == key, f"result of token {token}, which nobody leads")
        self.check(token in self._finished, f"result of token {token}, which never finished")
        # Calls that wait at the same time may end in any order.
        self.check(token > seen, f"{key}: joined after the result of {seen}, got that of {token}")
        self.counts["led" if led else "followed"] += 1

    def on_line(self, line):
        pid, what, *words = line.split(" ")
        if what == "lead":
            self.on_lead(int(pid), words[0], int(words[1]))
        elif what == "finish":
            self._finished.add(int(words[0]))
        elif what == "result":
            self.on_result(words[0], int(words[1]), words[2] == "1", int(words[3]))
        elif what == "aborted":
            self.counts["aborted"] += 1
        else:
            self.check(False, " ".join(words))

    def run(self):
        for _ in range(WORKERS):
            self.fork()
        rest = b""
        while self.counts["kills"] < self._kills_wanted:
            ready, _, _ = select.select([self._reader], [], [], HANG_S)
            self.check(ready, "nothing happens any more")
            *lines, rest = (rest + os.read(self._reader, 1 << 16)).split(b"\n")
            for line in lines:
                self.on_line(line.decode())
        self.stop()

    def stop(self):
        for pid in list(self._workers):
            self.end(pid)


def main(address, kills, seed):
    chaos = Chaos(address, int(kills), int(seed))
    chaos.run()
    print(" ".join(f"{name}={count}" for name, count in sorted(chaos.counts.items())), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
