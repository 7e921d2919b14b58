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
import time
import traceback
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from typing import Any

import singleflight
from singleflight import (
    RAW,
    AbandonedError,
    Chunk,
    Client,
    CodecError,
    EncodeError,
    FunctionError,
    InvalidArgumentError,
    Lead,
    LeaderLoss,
    Restart,
    Result,
    Role,
    StatusError,
)

PIECE_BYTES = 64 * 1024
STACK_CHARACTERS_MAX = 4 * 1024  # of at most 4 bytes

CALL_FLAGS = (
    "group",
    "max_attempts",
    "audience",
    "caller",
    "fail_open",
    "local_merge",
    "fresh",
    "retain_from_lead",
)
CALL_TIMES = (
    "timeout",
    "retain",
    "retain_error",
    "max_age",
    "lease",
    "run_limit",
    "connect_timeout",
    "stale",
)
OPTIONS = frozenset(CALL_FLAGS) | {f"{name}_ms" for name in CALL_TIMES}
OPTIONS |= {"key_b64", "on_leader_loss", "role", "live", "fingerprint_b64", "resume_token"}
OPTIONS |= {"decode", "encode", "unknown_option"}
ACTIONS = {"write_b64", "fill", "wait", "wait_lost", "wait_audience", "block_ms", "ask_lost"}
ACTIONS |= {"do_inside", "ok", "error", "panic", "abandon"}

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
    options: dict[str, Any] = {name: given[name] for name in CALL_FLAGS if name in given}
    for name in CALL_TIMES:
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
    if "unknown_option" in given:
        options[given["unknown_option"]] = 1
    return options


def unknown_word(command: dict[str, Any]) -> str:
    """The first word of a `do` that this driver does not know; empty: it knows them all."""
    words = [word for word in command.get("options") or {} if word not in OPTIONS]
    for action in command.get("function") or []:
        word = next(iter(action))
        if word not in ACTIONS:
            words.append(word)
        elif word == "do_inside" and unknown_word(action[word]):
            words.append(unknown_word(action[word]))
    return words[0] if words else ""


class DriverCodec:
    """Bytes as they are, unless the scenario wants them to be no value."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._encodes = given.get("encode") != "fail"
        self._decodes = given.get("decode") != "fail"

    def encode(self, value: Any) -> bytes:
        """The bytes."""
        if not self._encodes:
            raise ValueError("this codec encodes nothing")
        return RAW.encode(value)

    def decode(self, data: bytes) -> bytes:
        """The bytes."""
        if not self._decodes:
            raise ValueError("this codec decodes nothing")
        return data


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
        given = action["error"]
        lead.pass_on(bool(given.get("pass_on")))
        error = FunctionError(
            given.get("message", ""),
            type=given.get("type", ""),
            code=given.get("code", 0),
            details=b64decode(given.get("details_b64", "")),
        )
        if "cause" in given:
            error.__cause__ = RuntimeError(given["cause"])
        return error
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


def say_unknown(command: dict[str, Any], word: str) -> None:
    """A word that this driver does not know."""
    name = "call" if "call" in command else "client"
    fields = {name: command.get(name, ""), "message": f"unknown: {word}"}
    say("error", **fields)


def say_refused(call: str, error: StatusError | CodecError, is_misuse: bool = False) -> None:
    """A call that ended without an outcome that can be read."""
    if isinstance(error, StatusError):
        status, error_class = error.code.name, "misuse" if is_misuse else "status"
    else:
        status, error_class = "OK", "decode"
    fields = {"status": status, "error_class": error_class, "message": error.message}
    say("done", call=call, outcome="", **fields)


def error_class_of(error: BaseException | None) -> str:
    """The class of an outcome's error."""
    if error is None:
        return ""
    return "encode" if isinstance(error, EncodeError) else "function"


def say_done(call: str, result: Result[Any], chunks: Chunks | None) -> None:
    """A call that ended with an outcome."""
    error = result.error
    value = result.value if error is None else getattr(error, "value", b"")
    stack = getattr(error, "stack", "") if error is not None else ""
    if error is not None and not stack:
        stack = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    kind = type(error).__name__ if error is not None else ""
    if isinstance(error, EncodeError):
        kind = "singleflight.EncodeError"
    say(
        "done",
        call=call,
        status="OK",
        message="" if error is None else getattr(error, "message", str(error)),
        outcome=result.outcome.name,
        error_class=error_class_of(error),
        value_bytes=len(value),
        value_sha256=hashlib.sha256(value).hexdigest(),
        code=getattr(error, "code", 0),
        type=getattr(error, "type", kind),
        has_stack=bool(stack),
        stack=stack[-STACK_CHARACTERS_MAX:],
        details_b64=b64encode(getattr(error, "details", b"")).decode(),
        led=result.led,
        shared=result.shared,
        callers=result.callers,
        attempt=result.attempt,
        token=str(result.token),
        retained=result.retained,
        **({"age_ms": round(result.age * 1000)} if result.retained else {}),
        stale=result.stale,
        retain_refused=result.retain_refused,
        failed_open=result.failed_open,
        **(chunks.facts() if chunks is not None else {}),
    )


# ---- with threads


class Function:
    """What a call runs when it leads."""

    def __init__(self, driver: Driver, command: dict[str, Any]) -> None:
        self._driver = driver
        self._call = command["call"]
        self._client = command["client"]
        self._actions = command.get("function") or []
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

    def _look(self, lead: Lead) -> None:
        if not self._said_lost and lead.was_told:
            self._said_lost = True
            say("lost", call=self._call, message=lead.lost_reason)

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
            while not lead.was_told and (
                audience is None or audience.followers < action["wait_audience"]
            ):
                audience = lead.wait_audience(0.05)
        elif "block_ms" in action:
            time.sleep(action["block_ms"] / 1000)
        elif "ask_lost" in action:
            self._driver.let_end(self._call)
            say("asked", call=self._call, lost=lead.lost)
        elif "do_inside" in action:
            inside = {"client": self._client, **action["do_inside"]}
            self._driver.begin(inside, waits=True)
        else:
            return True
        self._look(lead)
        return False

    @staticmethod
    def _write(lead: Lead, parts: Any) -> None:
        try:
            for part in parts:
                lead.write(part)
        except (StatusError, FunctionError):
            return  # what came of it is told by the result


class Driver:
    """All clients and calls of this process."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._calls: dict[str, Any] = {}
        self._watches: dict[str, threading.Thread] = {}
        self._signals: set[str] = set()
        self._changed = threading.Condition()

    def wait_signal(self, name: str, lead: Lead) -> bool:
        """Waits for a signal; False: the function was told that the lead is lost before."""
        with self._changed:
            # The lead cannot wake this condition: look at it now and then.
            while not self._changed.wait_for(lambda: name in self._signals, 0.01):
                if lead.was_told:
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
            elif command["op"] in commands:
                commands[command["op"]](command)
            else:
                say_unknown(command, command["op"])
        for client in self._clients.values():
            client.close()
        for thread in self._watches.values():
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
        if word := unknown_word(command):
            say_unknown(command, word)
        else:
            self.begin(command)

    def begin(self, command: dict[str, Any], waits: bool = False) -> None:
        """Begins a call, and waits for it here, or in a thread of its own."""
        name, given = command["call"], command.get("options") or {}
        client = self._clients[command["client"]]
        function = Function(self, command)
        run = None if command.get("function", ()) is None else function
        options = {"codec": DriverCodec(given), "check": False, **call_options(given)}
        start: Any = client.stream if given.get("live") else client.start
        try:
            call = start(key_of(given), run, **options)
        except StatusError as error:
            say_refused(name, error, is_misuse=isinstance(error, InvalidArgumentError))
            return
        self._calls[name] = call
        watch = self._watch_live if given.get("live") else self._watch
        if not given.get("live"):
            function.restarted.set()
        if waits:
            watch(name, call, function)
            return
        thread = threading.Thread(target=watch, args=(name, call, function))
        thread.start()
        self._watches[name] = thread

    def _watch(self, name: str, call: Any, function: Function) -> None:
        try:
            say_done(name, call.wait(), None)
        except (StatusError, CodecError) as error:
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
        except (StatusError, CodecError) as error:
            say_refused(name, error)

    def let_end(self, name: str) -> None:
        """What a function says after its caller has left comes after the caller's end."""
        call, watch = self._calls.get(name), self._watches.get(name)
        if call is not None and watch is not None and call.done():
            watch.join()

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
                end=bool(command.get("end")),
                caller=command.get("caller"),
            )
        except StatusError as error:
            say("error", client=name, code=error.code.name, message=error.message)
        else:
            say("forgot", client=name, **forgotten._asdict())

    def _close(self, command: dict[str, Any]) -> None:
        self._clients[command["client"]].close()
        say("closed", client=command["client"])


if __name__ == "__main__":
    if "--aio" in sys.argv:
        import driver_aio

        driver_aio.main()
    else:
        Driver().run()
