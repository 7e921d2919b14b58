# SPDX-License-Identifier: Apache-2.0
"""Flights per second through the clients, beside bare gRPC that sends the same messages.

Prints one JSON line per figure. Bare means: one Session stream, one frame per message, join, lead
back, finish, result back, and nothing of what makes a client.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import queue
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import grpc.aio

from singleflight import RAW, Client, aio
from singleflight.v1 import singleflight_pb2 as pb
from singleflight.v1 import singleflight_pb2_grpc as pb_grpc

VALUE = bytes(100)


class Figures:
    """Counts flights until the time is over."""

    def __init__(self, name: str, in_flight: int, seconds: float) -> None:
        self.name = name
        self.in_flight = in_flight
        self._taken: list[float] = []
        self._begin = time.perf_counter()
        self._end = self._begin + seconds

    def over(self) -> bool:
        """Whether the time is over."""
        return time.perf_counter() >= self._end

    def add(self, began: float) -> None:
        """One flight that began then has ended now."""
        self._taken.append(time.perf_counter() - began)

    def say(self) -> None:
        """Prints the line."""
        seconds = time.perf_counter() - self._begin
        line = {
            "name": self.name,
            "in_flight": self.in_flight,
            "flights_per_s": round(len(self._taken) / seconds),
            "p50_us": round(statistics.median(self._taken) * 1e6),
        }
        print(json.dumps(line), flush=True)


# ---- the clients


def with_threads(address: str, figures: Figures) -> None:
    """One client, a thread per flight that is under way."""

    def work(number: int) -> None:
        count = 0
        while not figures.over():
            count += 1
            began = time.perf_counter()
            client.do(f"{figures.name} {number} {count}", lambda lead: VALUE, codec=RAW)
            figures.add(began)

    with Client(address) as client:
        client.do("warm", lambda lead: None)
        threads = [
            threading.Thread(target=work, args=(number,)) for number in range(figures.in_flight)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    figures.say()


async def with_tasks(address: str, figures: Figures) -> None:
    """One client, a task per flight that is under way."""

    async def value(lead: aio.Lead) -> bytes:
        return VALUE

    async def work(number: int) -> None:
        count = 0
        while not figures.over():
            count += 1
            began = time.perf_counter()
            await client.do(f"{figures.name} {number} {count}", value, codec=RAW)
            figures.add(began)

    async with aio.Client(address) as client:
        await client.do("warm", value, codec=RAW)
        await asyncio.gather(*[work(number) for number in range(figures.in_flight)])
    figures.say()


# ---- bare gRPC


class Bare:
    """What both kinds of bare gRPC send, and how they read the answers."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._began: dict[int, float] = {}
        self._last_id = 0

    def join(self) -> pb.SessionRequest:
        """One more flight."""
        self._last_id += 1
        self._began[self._last_id] = time.perf_counter()
        request = pb.SessionRequest()
        frame = request.calls.add()
        frame.id = self._last_id
        frame.join.key = f"{self._figures.name} {self._last_id}".encode()
        return request

    def answer(self, response: pb.SessionResponse) -> list[pb.SessionRequest]:
        """What to send next."""
        requests = []
        for frame in response.calls:
            step = frame.WhichOneof("step")
            if step == "lead":
                request = pb.SessionRequest()
                call = request.calls.add()
                call.id = frame.id
                call.finish.outcome.kind = pb.OUTCOME_KIND_OK
                call.finish.outcome.value = VALUE
                requests.append(request)
            elif step == "result":
                self._figures.add(self._began.pop(frame.id))
                if not self._figures.over():
                    requests.append(self.join())
            else:
                raise RuntimeError(f"the daemon says {step}")
        return requests

    @property
    def idle(self) -> bool:
        """Whether every flight has ended."""
        return not self._began


def bare_with_threads(address: str, figures: Figures) -> None:
    """Grpcio."""
    outgoing: queue.SimpleQueue[pb.SessionRequest | None] = queue.SimpleQueue()
    bare = Bare(figures)

    def requests() -> Iterator[pb.SessionRequest]:
        while (request := outgoing.get()) is not None:
            yield request

    with grpc.insecure_channel(address) as channel:
        for _ in range(figures.in_flight):
            outgoing.put(bare.join())
        for response in pb_grpc.SingleFlightStub(channel).Session(requests()):
            for request in bare.answer(response):
                outgoing.put(request)
            if bare.idle:
                outgoing.put(None)
    figures.say()


async def bare_with_tasks(address: str, figures: Figures) -> None:
    """grpc.aio."""
    bare = Bare(figures)
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = pb_grpc.SingleFlightStub(channel)
        call = stub.Session()
        for _ in range(figures.in_flight):
            await call.write(bare.join())
        while not bare.idle:
            for request in bare.answer(await call.read()):
                await call.write(request)
        await call.done_writing()
        await call.read()
    figures.say()


def main() -> None:
    """Runs all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    options = parser.parse_args()
    kinds: list[tuple[str, Callable[[str, Figures], Awaitable[None] | None]]] = [
        ("client.python.distinct", with_threads),
        ("client.python.bare", bare_with_threads),
        ("client.python.aio.distinct", with_tasks),
        ("client.python.aio.bare", bare_with_tasks),
    ]
    for in_flight in (64, 1):
        for name, kind in kinds:
            figures = Figures(f"{name}{in_flight}", in_flight, options.seconds)
            running = kind(options.address, figures)
            if running is not None:
                asyncio.run(finish(running))


async def finish(running: Awaitable[None]) -> None:
    """What asyncio.run() wants is a coroutine."""
    await running


if __name__ == "__main__":
    main()
