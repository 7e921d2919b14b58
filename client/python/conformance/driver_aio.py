# SPDX-License-Identifier: Apache-2.0
"""The driver of the conformance runner, with the client for asyncio."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import traceback
from base64 import b64decode
from typing import Any

from driver import (
    Chunks,
    DriverCodec,
    call_options,
    client_options,
    end_of,
    key_of,
    pieces,
    say,
    say_done,
    say_refused,
    say_unknown,
    unknown_word,
)

import singleflight
from singleflight import (
    AbandonedError,
    CallCancelledError,
    Chunk,
    CodecError,
    FunctionError,
    InvalidArgumentError,
    Restart,
    StatusError,
)
from singleflight.aio import Client, Lead


class Function:
    """What a call runs when it leads."""

    def __init__(self, driver: Driver, command: dict[str, Any]) -> None:
        self._driver = driver
        self._call = command["call"]
        self._client = command["client"]
        self._actions = command.get("function") or []
        self.leads = False
        self.restarted = asyncio.Event()  # the reader has handed out all chunks before the lead

    async def __call__(self, lead: Lead) -> bytes:
        """Runs the actions."""
        self.leads = True
        try:
            if lead.attempt > 1:
                await self.restarted.wait()
            say("lead", call=self._call, token=str(lead.token), attempt=lead.attempt)
            for action in self._actions:
                if await self._act(action, lead):
                    end = end_of(action, lead)
                    if end is not None:
                        raise end
                    break
        except asyncio.CancelledError:
            say("lost", call=self._call, message=lead.lost_reason)
            if "wait_lost" in action:  # what follows is the cleaning up
                for after in self._actions[self._actions.index(action) + 1 :]:
                    await self._act(after, lead)
            raise
        return b""

    async def _act(self, action: dict[str, Any], lead: Lead) -> bool:
        # True: it is the last one, that says how the function ends.
        if "write_b64" in action:
            await self._write(lead, [b64decode(action["write_b64"])])
        elif "fill" in action:
            await self._write(lead, pieces(action["fill"]))
        elif "wait" in action:
            await self._driver.signal(action["wait"]).wait()
            if lead.lost:
                raise AbandonedError("the lead is lost")
        elif "wait_lost" in action:
            await lead.wait_lost()
        elif "wait_audience" in action:
            audience = lead.audience
            while audience is None or audience.followers < action["wait_audience"]:
                audience = await lead.wait_audience()
        elif "block_ms" in action:
            time.sleep(action["block_ms"] / 1000)  # blocking the loop is the point
        elif "ask_lost" in action:
            say("asked", call=self._call, lost=lead.lost)
        elif "do_inside" in action:
            await self._driver.call({"client": self._client, **action["do_inside"]})
        else:
            return True
        return False

    @staticmethod
    async def _write(lead: Lead, parts: Any) -> None:
        try:
            for part in parts:
                await lead.write(part)
        except (StatusError, FunctionError):
            return  # what came of it is told by the result


def is_misuse(error: BaseException) -> bool:
    """Whether the client itself has refused it: then it was raised where calls are read."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return isinstance(error, InvalidArgumentError) and last.name not in ("result_of", "forget")


class Driver:
    """All clients and calls of this process."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._signals: dict[str, asyncio.Event] = {}

    def signal(self, name: str) -> asyncio.Event:
        """The event of a signal."""
        return self._signals.setdefault(name, asyncio.Event())

    async def run(self) -> None:
        """Until there is no more input."""
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command = json.loads(line)
            obey = getattr(self, f"_{command['op']}", None)
            if obey is None:
                say_unknown(command, command["op"])
            else:
                await obey(command)
            await asyncio.sleep(0)  # so that what was started has begun
        for client in self._clients.values():
            await client.close()
        await asyncio.gather(*self._calls.values())

    async def _hello(self, command: dict[str, Any]) -> None:
        say("hello", language="python", version=singleflight.__version__)

    async def _client(self, command: dict[str, Any]) -> None:
        name = command["client"]
        try:
            self._clients[name] = Client(command["addresses"], **client_options(command))
        except StatusError as error:
            say("error", client=name, code=error.code.name, message=error.message)
        else:
            say("client", client=name)

    async def _do(self, command: dict[str, Any]) -> None:
        if word := unknown_word(command):
            say_unknown(command, word)
        else:
            self._calls[command["call"]] = asyncio.create_task(self.call(command))

    async def call(self, command: dict[str, Any]) -> None:
        """Makes a call, and tells its end."""
        name, given = command["call"], command.get("options") or {}
        client = self._clients[command["client"]]
        function = Function(self, command)
        run = None if command.get("function", ()) is None else function
        options = {"codec": DriverCodec(given), "check": False, **call_options(given)}
        try:
            if given.get("live"):
                await self._live(name, client, key_of(given), function, options)
            else:
                function.restarted.set()
                say_done(name, await client.do(key_of(given), run, **options), None)
        except (StatusError, CodecError) as error:
            say_refused(name, error, is_misuse=is_misuse(error))
        except asyncio.CancelledError:
            say_refused(name, CallCancelledError("the task was cancelled"))

    @staticmethod
    async def _live(
        name: str, client: Client, key: bytes, function: Function, options: dict[str, Any]
    ) -> None:
        chunks = Chunks()
        async with client.stream(key, function, **options) as stream:
            async for event in stream:
                if isinstance(event, Restart):
                    chunks = Chunks()
                    say("restart", call=name, attempt=event.attempt)
                    function.restarted.set()
                elif isinstance(event, Chunk) and not function.leads:
                    chunks.add(event.data)
                    say("chunk", call=name, bytes=len(event.data))
            say_done(name, stream.result, chunks)

    async def _signal(self, command: dict[str, Any]) -> None:
        self.signal(command["name"]).set()

    async def _cancel(self, command: dict[str, Any]) -> None:
        self._calls[command["call"]].cancel()

    async def _forget(self, command: dict[str, Any]) -> None:
        name = command["client"]
        try:
            forgotten = await self._clients[name].forget(
                key_of(command),
                group=command.get("group", ""),
                if_unshared=bool(command.get("if_unshared")),
                end=bool(command.get("end")),
                caller=command.get("caller"),
            )
        except StatusError as error:
            say("error", client=name, code=error.code.name, message=error.message)
        else:
            say("forgot", client=name, **forgotten._asdict())

    async def _close(self, command: dict[str, Any]) -> None:
        await self._clients[command["client"]].close()
        say("closed", client=command["client"])


def main() -> None:
    """Runs the driver."""
    asyncio.run(Driver().run())
