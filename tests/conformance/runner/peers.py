# SPDX-License-Identifier: Apache-2.0
"""What a scenario is played with: daemons, drivers, and relays that can be cut."""

import asyncio
import base64
import json
import os
import signal
import tempfile
import time

# Everything that is waited for comes at once; who waits so long waits in vain.
PATIENCE_S = float(os.environ.get("SFL_CONFORMANCE_PATIENCE", "40"))


class Failure(Exception):
    """A scenario did not go as it should; the text says how."""


def look_for_unknown(event):
    """A driver says so when it does not know a word of a command."""
    if event["event"] == "error" and "unknown" in event.get("message", ""):
        raise Failure(f"the driver cannot do this yet: {event['message']}")
    if event["event"] == "ended":
        raise Failure("the driver's process has ended")


async def within_patience(awaitable, what):
    try:
        return await asyncio.wait_for(awaitable, PATIENCE_S)
    except asyncio.TimeoutError:
        raise Failure(f"{what}: nothing came within {PATIENCE_S:.0f} s") from None


class Daemon:
    """One singleflightd on loopback. Started again, it listens on the same port."""

    options_of_all = []

    def __init__(self, programs, options=(), has_data=False):
        self.programs = programs
        self.options = list(options)
        self.data = tempfile.TemporaryDirectory() if has_data else None
        if self.data is not None:
            self.options += ["--data-dir", self.data.name]
        self.address = None
        self.process = None

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            os.path.join(self.programs, "singleflightd"),
            "--listen", self.address or "127.0.0.1:0", "--drain-time", "20s",
            "--log-level", "error", *self.options_of_all, *self.options, stdout=asyncio.subprocess.PIPE)
        line = await within_patience(self.process.stdout.readline(), "the daemon's start")
        if not line:
            raise Failure("the daemon did not start")
        self.address = line.decode().rsplit(" ", 1)[1].strip()

    async def end(self, number=signal.SIGKILL):
        if self.process.returncode is None:
            self.process.send_signal(number)
        await within_patience(self.process.wait(), "the daemon's end")

    async def drain(self):
        """Tells it to drain, and waits until it takes no new flight."""
        self.process.send_signal(signal.SIGTERM)

        async def look():
            code = 0
            while code == 0:  # poll: a refusal is all that a client sees
                tool = await asyncio.create_subprocess_exec(
                    os.path.join(self.programs, "singleflight"), "do", "--quiet",
                    "--address", self.address, "--connect-timeout", "50ms",
                    "draining", "--", "true")
                code = await tool.wait()

        await within_patience(look(), "the daemon's drain")

    async def listing(self, group):
        """The rows of `singleflight list`."""
        tool = await asyncio.create_subprocess_exec(
            os.path.join(self.programs, "singleflight"), "list", "--json", "--group", group,
            "--address", self.address, stdout=asyncio.subprocess.PIPE)
        out, _ = await within_patience(tool.communicate(), "singleflight list")
        return [json.loads(line) for line in out.decode().splitlines()]

    async def stop(self, group, key, caller):
        """`singleflight stop`, by somebody of that name."""
        tool = await asyncio.create_subprocess_exec(
            os.path.join(self.programs, "singleflight"), "stop", "--group", group, "--address",
            self.address, "--caller", caller, key)
        if await within_patience(tool.wait(), "singleflight stop") != 0:
            raise Failure("singleflight stop has failed")

    async def until_listed(self, group, what, good):
        """Asks for the listing of a group until `good` says so of one of its rows."""
        await until_listed([self], group, what, good)


async def until_listed(daemons, group, what, good):
    """The same with several daemons. Each look waits for the tool and the daemon's answer."""
    async def look():
        rows = []
        while not any(good(row) for row in rows):
            rows = [row for daemon in daemons for row in await daemon.listing(group)]

    await within_patience(look(), what)


async def closed_address():
    """An address where nobody listens: the port of a listener that is gone."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"127.0.0.1:{port}"


class Relay:
    """Stands between a client and its daemon; its connections can be cut."""

    def __init__(self, target):
        self.host, port = target.rsplit(":", 1)
        self.port = int(port)
        self.server = None
        self.links = set()
        self.accepted = 0
        self.changed = asyncio.Condition()
        self.answers = asyncio.Event()    # cleared: what the daemon says is held back
        self.questions = asyncio.Event()  # the same with what the client says
        self.answers.set()
        self.questions.set()

    async def start(self):
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.close()
            return
        self.links |= {writer, far_writer}
        async with self.changed:
            self.accepted += 1
            self.changed.notify_all()
        await asyncio.gather(self._pass(reader, far_writer, self.questions),
                             self._pass(far_reader, writer, self.answers))

    async def _pass(self, reader, writer, gate):
        try:
            while data := await reader.read(1 << 16):
                await gate.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()
        self.links.discard(writer)

    def cut(self):
        """Ends every connection at once; new ones are taken."""
        for writer in self.links:
            writer.transport.abort()
        self.links = set()
        self.accepted = 0

    async def wait_accepted(self):
        async with self.changed:
            await within_patience(self.changed.wait_for(lambda: self.accepted > 0),
                                  "a new connection")

    def close(self):
        self.server.close()
        self.cut()


class Driver:
    """A driver's process: commands in, events out. Any number of scenarios share one."""

    def __init__(self, language, command):
        self.language = language
        self.command = command
        self.process = None
        self.queues = {}
        self.reading = None
        self.has_ended = False

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            *self.command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            limit=1 << 26)
        self.reading = asyncio.create_task(self._read())
        self.send({"op": "hello"})
        hello = await self.next_event("hello", "hello")
        if hello.get("language") != self.language:
            raise Failure(f"the driver of {self.language} says that it is {hello}")

    async def _read(self):
        while line := await self.process.stdout.readline():
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": "garbage", "line": line.decode(errors="replace")}
            event["came_at"] = time.monotonic()
            name = event.get("call") or event.get("client") or "hello"
            self._queue(name).put_nowait(event)
        self.has_ended = True
        for queue in self.queues.values():
            queue.put_nowait({"event": "ended"})

    def _queue(self, name):
        return self.queues.setdefault(name, asyncio.Queue())

    def send(self, command):
        if self.has_ended:
            raise Failure(f"the driver of {self.language} has ended")
        self.process.stdin.write((json.dumps(command) + "\n").encode())

    async def next_event(self, name, what):
        event = await within_patience(self._queue(name).get(), f"{self.language}: {what}")
        look_for_unknown(event)
        return event

    async def barrier(self):
        """Everything sent before has been taken in when this returns."""
        self.send({"op": "hello"})
        await self.next_event("hello", "hello")

    def signal(self, number):
        self.process.send_signal(number)

    async def end(self):
        """Ends it as a user would, by closing its input; it has to follow."""
        if self.process.returncode is None and not self.has_ended:
            self.process.stdin.close()
            try:
                code = await asyncio.wait_for(self.process.wait(), PATIENCE_S)
            except asyncio.TimeoutError:
                self.process.kill()
                await self.process.wait()
                raise Failure(f"the driver of {self.language} does not end with its input")
            if code != 0:
                raise Failure(f"the driver of {self.language} ended with {code}")
        await self.reading


def base64_of(data):
    return base64.b64encode(data).decode()
