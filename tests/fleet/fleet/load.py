# SPDX-License-Identifier: Apache-2.0
"""Clients of all languages that call the same keys, until they are told to stop."""

import asyncio
import itertools
import os
import random
import secrets
import time

from runner.peers import Driver, Failure, base64_of

from .calls import Call

START_S = 120.0  # for a process and its first result, on a machine that has much to do


class Client:
    """A driver's process with one client of the default settings."""

    def __init__(self, name, language, command, addresses):
        self.name = name
        self.addresses = addresses
        self.driver = Driver(language, command)

    async def start(self):
        await self.driver.start()
        self.driver.send({"op": "client", "client": "c", "addresses": self.addresses,
                          "options": {"caller": f"fleet-{self.name}"}})
        event = await self.driver.next_event("c", "a client")
        if event["event"] != "client":
            raise Failure(f"{self.name}: no client: {event.get('message', event)}")

    def begin(self, call, group):
        """Starts the call; its events come from the queue."""
        queue = self.driver.queues[call.name] = asyncio.Queue()
        self.driver.send({
            "op": "do", "client": "c", "call": call.name,
            "options": {"group": group, "key_b64": base64_of(call.key.encode()),
                        **call.kind.options},
            "function": [{"wait": call.name}, {"write_b64": base64_of(call.value)}]})
        return queue

    def let_go(self, call):
        """Tells the function of `call` to end."""
        if call.ended is None and not self.driver.has_ended:
            call.told = time.monotonic()
            self.driver.send({"op": "signal", "name": call.name})

    def forget(self, call):
        self.driver.queues.pop(call.name, None)

    async def end(self):
        self.driver.send({"op": "close", "client": "c"})
        await self.driver.end()


class Load:
    def __init__(self, clients, kinds, options):
        self.clients = clients
        self.kinds = kinds
        self.options = options
        self.run = secrets.token_hex(4)  # so that no key was there before
        self.numbers = itertools.count()
        self.over = asyncio.Event()
        self.calls = []
        self.began = time.monotonic()

    async def start(self):
        """Starts all clients; each has had a result when this returns."""
        await asyncio.gather(*(self._start(client) for client in self.clients))

    async def _start(self, client):
        try:
            await asyncio.wait_for(client.start(), START_S)
            call = self._new_call(client, f"first-{client.name}")
            await asyncio.wait_for(self._play(client, call), START_S)
        except asyncio.TimeoutError:
            raise Failure(f"{client.name}: no first result within {START_S:.0f} s") from None
        if call.error:
            raise Failure(f"{client.name}: its first call ended with {call.error}")

    async def work(self):
        """Until `over` is set; then every call that has begun ends."""
        self.began = time.monotonic()
        await asyncio.gather(*(self._worker(client) for client in self.clients
                               for _ in range(self.options.callers)))
        return time.monotonic() - self.began

    async def end(self):
        for client in self.clients:
            try:
                if client.driver.process is not None and not client.driver.has_ended:
                    await client.end()
            except (Failure, OSError) as failure:
                yield f"{client.name}: {failure}"

    async def _worker(self, client):
        while not self.over.is_set() and not client.driver.has_ended:
            call = self._new_call(client)
            self.calls.append(call)
            await self._play(client, call)
            await self._pause(random.uniform(0, self.options.pause_ms / 1000))

    async def _pause(self, span_s):
        try:
            await asyncio.wait_for(self.over.wait(), span_s)
        except asyncio.TimeoutError:
            pass

    def _new_call(self, client, key=None):
        kind = random.choice(self.kinds)
        now = time.monotonic()
        if key is None:
            age = int((now - self.began) / kind.key_lives_s) if kind.key_lives_s else 0
            key = f"{kind.name}-{random.randrange(kind.keys)}-{age}"
        return Call(f"{client.name}.{next(self.numbers)}", client.name, kind,
                    f"{self.run}-{key}", now)

    async def _play(self, client, call):
        patience = call.began + self.options.patience_s
        try:
            queue = client.begin(call, self.options.group)
            while call.ended is None:
                left_s = max(0.001, patience - time.monotonic())
                self._take(client, call, await asyncio.wait_for(queue.get(), left_s))
        except asyncio.TimeoutError:
            self._fail(call, f"no result within {self.options.patience_s:.0f} s")
        except Failure as failure:
            self._fail(call, str(failure))
        finally:
            client.forget(call)

    @staticmethod
    def _fail(call, text):
        call.error = text
        call.ended = time.monotonic()

    def _take(self, client, call, event):
        what = event["event"]
        if what == "lead":
            call.led, call.lead_token = event["came_at"], int(event["token"])
            low, high = self.options.hold_ms
            hold_s = random.uniform(low, high) / 1000
            asyncio.get_running_loop().call_later(hold_s, client.let_go, call)
        elif what == "lost":
            call.lost = event["came_at"]
        elif what == "done":
            call.take_done(event)
        elif what == "ended":
            self._fail(call, "its process has ended")
        elif what in ("error", "garbage"):
            self._fail(call, f"its driver says: {event}")


async def wait_for_end(load, seconds, until_file):
    """Sets `over` when the time is over or the file is there."""
    end = time.monotonic() + seconds
    while not load.over.is_set():
        left_s = end - time.monotonic()
        if left_s <= 0 or (until_file and os.path.exists(until_file)):
            load.over.set()
            return
        try:
            await asyncio.wait_for(load.over.wait(), min(0.1, left_s))
        except asyncio.TimeoutError:
            continue
