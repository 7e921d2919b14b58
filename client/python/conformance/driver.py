# SPDX-License-Identifier: Apache-2.0
"""The driver of the conformance runner, with the client for threads.

Reads one JSON object a line, and writes one a line: see tests/conformance/README.md. With --aio,
``driver_aio`` does the same with the client for asyncio.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from typing import Any

import singleflight
from singleflight import (
    RAW,
    AbandonedError,
    Chunk,
    Client,
    FunctionError,
    Lead,
    LeaderLoss,
    Restart,
    Result,
    Role,
    StatusError,
)

PIECE_BYTES = 64 * 1024

_out_lock = threading.Lock()


def say(event: str, **fields: object) -> None:
    """Writes one line."""
    line = json.dumps({"event": event, **fields}, ensure_ascii=False)
    with _out_lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def client_options(command: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a client."""
    given = command.get("options") or {}
    options = {
        name: given[name] for name in ("caller", "fail_open", "result_limit") if name in given
    }
    for name in ("connect_timeout", "backoff_min", "backoff_max"):
        if f"{name}_ms" in given:
            options[name] = given[f"{name}_ms"] / 1000
    return options


def call_options(given: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a call, but for its key and `live`."""
    options: dict[str, Any] = {
        name: given[name]
        for name in ("group", "max_attempts", "audience", "caller", "fail_open", "local_merge")
        if name in given
    }
    for name in (
        "timeout",
        "retain",
        "retain_error",
        "max_age",
        "lease",
        "run_limit",
        "connect_timeout",
    ):
        if f"{name}_ms" in given:
            options[name] = given[f"{name}_ms"] / 1000
    if "on_leader_loss" in given:
        options["on_leader_loss"] = LeaderLoss[given["on_leader_loss"]]
    if "role" in given:
        options["role"] = Role[given["role"]]
    if "resume_token" in given:
        options["resume_token"] = int(given["resume_token"])
    if "fingerprint_b64" in given:
        options["fingerprint"] = b64decode(given["fingerprint_b64"])
    return options


def key_of(given: dict[str, Any]) -> bytes:
    """The key of a call."""
    return b64decode(given.get("key_b64", ""))


def pieces(fill: dict[str, int]) -> Iterator[bytes]:
    """The bytes of a `fill`, in pieces."""
    for start in range(0, fill["bytes"], PIECE_BYTES):
        end = min(start + PIECE_BYTES, fill["bytes"])
        yield bytes((fill["seed"] + i * 31 + (i >> 8) * 17) & 0xFF for i in range(start, end))


def end_of(action: dict[str, Any], lead: Any) -> BaseException | None:
    """How the function ends by this action: an exception to raise, or None."""
    if "ok" in action:
        if "retain_ms" in action:
            lead.set_retain(action["retain_ms"] / 1000)
        return None
    if "error" in action:
        error = action["error"]
        lead.pass_on(bool(error.get("pass_on")))
        return FunctionError(
            error.get("message", ""),
            type=error.get("type", ""),
            code=error.get("code", 0),
            details=b64decode(error.get("details_b64", "")),
        )
    if "panic" in action:
        return AssertionError(action["panic"])
    lead.pass_on(bool((action["abandon"] or {}).get("pass_on")))
    return AbandonedError("the function gives up")


class Chunks:
    """What came of a live value since the last restart."""

    def __init__(self) -> None:
        self.bytes = 0
        self._hash = hashlib.sha256()

    def add(self, data: bytes) -> None:
        """More came."""
        self.bytes += len(data)
        self._hash.update(data)

    def facts(self) -> dict[str, object]:
        """For `done`."""
        return {"chunks_bytes": self.bytes, "chunks_sha256": self._hash.hexdigest()}


def say_refused(call: str, error: StatusError) -> None:
    """A call that ended with a status."""
    say("done", call=call, status=error.code.name, message=error.message, outcome="")


def say_done(call: str, result: Result[Any], chunks: Chunks | None) -> None:
    """A call that ended with an outcome."""
    error = result.error
    value = result.value if error is None else getattr(error, "value", b"")
    stack = getattr(error, "stack", "") or (error is not None and error.__traceback__)
    say(
        "done",
        call=call,
        status="OK",
        message="" if error is None else getattr(error, "message", str(error)),
        outcome=result.outcome.name,
        value_bytes=len(value),
        value_sha256=hashlib.sha256(value).hexdigest(),
        code=getattr(error, "code", 0),
        type=getattr(error, "type", "" if error is None else type(error).__name__),
        has_stack=bool(stack),
        details_b64=b64encode(getattr(error, "details", b"")).decode(),
        led=result.led,
        shared=result.shared,
        callers=result.callers,
        attempt=result.attempt,
        token=str(result.token),
        retained=result.retained,
        retain_refused=result.retain_refused,
        failed_open=result.failed_open,
        **(chunks.facts() if chunks is not None else {}),
    )


# ---- with threads


class Function:
    """What a call runs when it leads."""

    def __init__(self, driver: Driver, call: str, actions: list[dict[str, Any]]) -> None:
        self._driver = driver
        self._call = call
        self._actions = actions
        self._said_lost = False
        self.leads = False
        self.restarted = threading.Event()  # the reader has handed out all chunks before the lead

    def __call__(self, lead: Lead) -> bytes:
        """Runs the actions."""
        self.leads = True
        if lead.attempt > 1:
            self.restarted.wait()
        say("lead", call=self._call, token=str(lead.token), attempt=lead.attempt)
        try:
            for action in self._actions:
                if self._act(action, lead):
                    end = end_of(action, lead)
                    if end is not None:
                        raise end
                    break
        finally:
            self._look(lead)
        return b""

    def _look(self, lead: Lead) -> bool:
        if lead.lost and not self._said_lost:
            self._said_lost = True
            say("lost", call=self._call, message=lead.lost_reason)
        return lead.lost

    def _act(self, action: dict[str, Any], lead: Lead) -> bool:
        # True: it is the last one, that says how the function ends.
        if "write_b64" in action:
            self._write(lead, [b64decode(action["write_b64"])])
        elif "fill" in action:
            self._write(lead, pieces(action["fill"]))
        elif "wait" in action:
            if not self._driver.wait_signal(action["wait"], lead):
                raise AbandonedError("the lead is lost")
        elif "wait_lost" in action:
            lead.wait_lost()
        elif "wait_audience" in action:
            audience = lead.audience
            while not lead.lost and (
                audience is None or audience.followers < action["wait_audience"]
            ):
                audience = lead.wait_audience(0.05)
        else:
            return True
        self._look(lead)
        return False

    @staticmethod
    def _write(lead: Lead, parts: Any) -> None:
        try:
            for part in parts:
                lead.write(part)
        except StatusError:
            return  # what came of it is told by the result


class Driver:
    """All clients and calls of this process."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._calls: dict[str, Any] = {}
        self._threads: list[threading.Thread] = []
        self._signals: set[str] = set()
        self._changed = threading.Condition()

    def wait_signal(self, name: str, lead: Lead) -> bool:
        """Waits for a signal; False: the lead was lost before."""
        with self._changed:
            # The lead cannot wake this condition: look at it now and then.
            while not self._changed.wait_for(lambda: name in self._signals, 0.01):
                if lead.lost:
                    return False
        return True

    def run(self) -> None:
        """Until there is no more input."""
        commands: dict[str, Callable[[dict[str, Any]], None]] = {
            "client": self._client,
            "do": self._do,
            "signal": self._signal,
            "cancel": self._cancel,
            "forget": self._forget,
            "close": self._close,
        }
        for line in sys.stdin:
            command = json.loads(line)
            if command["op"] == "hello":
                say("hello", language="python", version=singleflight.__version__)
            else:
                commands[command["op"]](command)
        for client in self._clients.values():
            client.close()
        for thread in self._threads:
            thread.join()

    def _client(self, command: dict[str, Any]) -> None:
        name = command["client"]
        try:
            self._clients[name] = Client(command["addresses"], **client_options(command))
        except StatusError as error:
            say("error", client=name, code=error.code.name, message=error.message)
        else:
            say("client", client=name)

    def _do(self, command: dict[str, Any]) -> None:
        name, given = command["call"], command.get("options") or {}
        client = self._clients[command["client"]]
        function = Function(self, name, command.get("function") or [])
        start = client.stream if given.get("live") else client.start
        try:
            call = start(key_of(given), function, codec=RAW, check=False, **call_options(given))
        except StatusError as error:
            say_refused(name, error)
            return
        self._calls[name] = call
        watch = self._watch_live if given.get("live") else self._watch
        if not given.get("live"):
            function.restarted.set()
        thread = threading.Thread(target=watch, args=(name, call, function))
        thread.start()
        self._threads.append(thread)

    def _watch(self, name: str, call: Any, function: Function) -> None:
        try:
            say_done(name, call.wait(), None)
        except StatusError as error:
            say_refused(name, error)

    def _watch_live(self, name: str, call: Any, function: Function) -> None:
        chunks = Chunks()
        try:
            for event in call:
                if isinstance(event, Restart):
                    chunks = Chunks()
                    say("restart", call=name, attempt=event.attempt)
                    function.restarted.set()
                elif isinstance(event, Chunk) and not function.leads:
                    chunks.add(event.data)
                    say("chunk", call=name, bytes=len(event.data))
            say_done(name, call.result, chunks)
        except StatusError as error:
            say_refused(name, error)

    def _signal(self, command: dict[str, Any]) -> None:
        with self._changed:
            self._signals.add(command["name"])
            self._changed.notify_all()

    def _cancel(self, command: dict[str, Any]) -> None:
        self._calls[command["call"]].cancel()

    def _forget(self, command: dict[str, Any]) -> None:
        name = command["client"]
        try:
            forgotten = self._clients[name].forget(
                key_of(command),
                group=command.get("group", ""),
                if_unshared=bool(command.get("if_unshared")),
            )
        except StatusError as error:
            say("error", client=name, code=error.code.name, message=error.message)
        else:
            say("forgot", client=name, flight=forgotten.flight, retained=forgotten.retained)

    def _close(self, command: dict[str, Any]) -> None:
        self._clients[command["client"]].close()
        say("closed", client=command["client"])


if __name__ == "__main__":
    if "--aio" in sys.argv:
        import driver_aio

        driver_aio.main()
    else:
        Driver().run()
