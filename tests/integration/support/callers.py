# SPDX-License-Identifier: Apache-2.0
"""Callers with one face for Do and Session, so that a scenario is written once and runs on both.

A caller's inbox holds what the server sent, in order, as (name, message). The end of the caller is
the pair ("end", Ended); a Session call that got its result has ended with OK, just as a Do stream
has.
"""

import queue
import threading
from dataclasses import dataclass, field

import grpc
from singleflight.v1 import singleflight_pb2 as pb

from support.wait import BOUND, QUIET

OK = pb.OUTCOME_KIND_OK
ERROR = pb.OUTCOME_KIND_ERROR
PANIC = pb.OUTCOME_KIND_PANIC
ABANDONED = pb.OUTCOME_KIND_ABANDONED

KIB = 1024
MIB = 1024 * KIB
SERVICE = "/singleflight.v1.SingleFlight/"

_CLOSE = object()
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass
class Ended:
    """How a caller ended: a status, and whether it was the whole Session stream that ended."""

    code: grpc.StatusCode
    message: str
    with_stream: bool = False


@dataclass
class Delivery:
    """What a caller was handed from its join to its result."""

    result: pb.Result
    value: bytes
    chunks: list = field(default_factory=list)
    restarts: list = field(default_factory=list)

    def __getattr__(self, name):
        return getattr(self.result, name)


def to_bytes(message):
    """Serializer that lets raw bytes through."""
    return message if isinstance(message, bytes) else message.SerializeToString()


class Caller:
    """What Do and Session callers have in common."""

    def __init__(self, live=False):
        self._inbox = queue.Queue()
        self._sequence = 0
        self._live = live
        self._chunks = []
        self._voided = []
        self._restarts = []
        self.token = 0
        self.attempt = 0

    # What the server says.

    def next(self, bound=BOUND):
        """The next step as (name, message). Checks every rule that holds for chunks on the way."""
        try:
            name, message = self._inbox.get(timeout=bound)
        except queue.Empty:
            raise AssertionError(f"nothing came within {bound} s") from None
        if name == "restart":
            assert self._live, "restart to a follower that is not live"
            assert message.attempt >= self.attempt, "a restart never goes back"
            if message.attempt > self.attempt:  # an older attempt's may count again in the end
                self._voided += self._chunks
            self.attempt = message.attempt
            self._restarts.append(message)
            self._chunks = []
        elif name == "chunk":
            assert message.sequence == len(self._chunks), "chunks to a follower have no gaps"
            self._chunks.append(message)
        return name, message

    def expect(self, name, bound=BOUND):
        """The next step, which must be `name`."""
        got, message = self.next(bound)
        assert got == name, f"expected {name}, got {got}: {str(message)[:400]}"
        return message

    def leads(self, bound=BOUND):
        """Expects `lead`, and remembers token, attempt and sequence."""
        lead = self.last_lead = self.expect("lead", bound)
        self.token, self.attempt, self._sequence = lead.token, lead.attempt, lead.next_sequence
        return lead

    def follows(self, bound=BOUND):
        """Expects `follow`."""
        follow = self.expect("follow", bound)
        self.attempt = follow.attempt
        return follow

    def ended(self, code=None, *words, bound=BOUND):
        """Expects the end with this status; every word must stand in its message, whatever the
        case.
        """
        end = self.expect("end", bound)
        if code is not None:
            assert end.code == code, f"expected {code}, got {end}"
        for word in words:
            assert str(word).lower() in end.message.lower(), f"no {word!r} in {end.message!r}"
        return end

    def delivery(self, bound=BOUND):
        """Reads up to `result` and the end with OK, and puts the value together from all chunks
        since the join.
        """
        name = "chunk"
        while name in ("chunk", "restart"):
            name, message = self.next(bound)
        assert name == "result", f"expected chunk or result, got {name}: {str(message)[:400]}"
        self.ended(grpc.StatusCode.OK)
        valid = [c for c in self._chunks if c.attempt == message.attempt]
        if not valid:
            valid = [c for c in self._voided if c.attempt == message.attempt]
        value = b"".join(c.data for c in valid) + message.outcome.value
        if not message.led:
            assert len(value) == message.value_bytes, (
                f"{len(value)} bytes came, value_bytes says {message.value_bytes}; attempt "
                f"{message.attempt}, chunks {[(c.attempt, len(c.data)) for c in self._chunks][-9:]}"
                f", voided {[(c.attempt, len(c.data)) for c in self._voided][-9:]}"
                f", in result {len(message.outcome.value)}"
            )
        return Delivery(message, value, self._chunks, self._restarts)

    def silent(self, seconds=QUIET):
        """Asserts that nothing comes for a while."""
        try:
            got = self._inbox.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"nothing should have come, got {str(got)[:400]}")

    def audience_of(self, followers, bound=BOUND):
        """Reads `audience` until it tells this number of followers; changes may be merged."""
        while True:
            audience = self.expect("audience", bound)
            if audience.followers == followers:
                return audience

    # What the caller says.

    def send(self, name, message):
        raise NotImplementedError

    def send_raw_step(self, encoded):
        """Sends a step given as encoded fields; numbers as on this caller's wire."""
        raise NotImplementedError

    def cancel(self):
        raise NotImplementedError

    def half_close(self):
        raise NotImplementedError

    def break_stream(self):
        """Ends the stream under the caller, with all that lives on it."""
        raise NotImplementedError

    def chunk(self, data, sequence=None):
        if sequence is None:
            sequence = self._sequence
            self._sequence += 1
        self.send("chunk", pb.Chunk(data=data, sequence=sequence))

    def chunks(self, value, size):
        """Posts a value in chunks of this size."""
        for start in range(0, len(value), size):
            self.chunk(value[start : start + size])

    def renew(self, identity=0):
        self.send("renew", pb.Renew(id=identity))

    def finish(self, value=b"", kind=OK, retain_ms=None, pass_on=False, **outcome):
        retention = None if retain_ms is None else pb.Retention(retain_ms=retain_ms)
        self.send(
            "finish",
            pb.Finish(
                outcome=pb.Outcome(kind=kind, value=value, **outcome),
                retention=retention,
                pass_on=pass_on,
            ),
        )


class DoCaller(Caller):
    """One Do stream."""

    kind = "do"
    numbers = {"join": 1, "chunk": 2, "renew": 3, "finish": 4}

    def __init__(self, channel, timeout_s=None, live=False, reading=True, **call_options):
        super().__init__(live)
        self._out = queue.SimpleQueue()
        self.reading = threading.Event()
        if reading:
            self.reading.set()
        method = channel.stream_stream(
            SERVICE + "Do",
            request_serializer=to_bytes,
            response_deserializer=pb.DoResponse.FromString,
        )
        self.call = method(iter(self._out.get, _CLOSE), timeout=timeout_s, **call_options)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            self.reading.wait()
            for response in self.call:
                name = response.WhichOneof("step")
                self._inbox.put((name, getattr(response, name)))
                self.reading.wait()
            end = Ended(self.call.code(), self.call.details())
        except grpc.RpcError as error:
            end = Ended(error.code(), error.details())
        self._inbox.put(("end", end))
        self._out.put(_CLOSE)

    def send(self, name, message):
        self._out.put(pb.DoRequest(**{name: message}))

    def send_raw(self, encoded):
        """Sends a whole message as it is."""
        self._out.put(encoded)

    def send_raw_step(self, encoded):
        self._out.put(encoded)

    def cancel(self):
        self.call.cancel()

    def half_close(self):
        self._out.put(_CLOSE)

    def break_stream(self):
        self.call.cancel()

    def close(self):
        self.reading.set()
        self.call.cancel()


class SessionStream:
    """One Session stream with any number of calls."""

    def __init__(self, channel, reading=True, timeout_s=None):
        self._out = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._calls = {}
        self._last_id = 0
        self._status = queue.Queue()
        self._end = None
        self.messages = []
        self.reading = threading.Event()
        if reading:
            self.reading.set()
        method = channel.stream_stream(
            SERVICE + "Session",
            request_serializer=to_bytes,
            response_deserializer=pb.SessionResponse.FromString,
        )
        self.call = method(iter(self._out.get, _CLOSE), timeout=timeout_s)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            self.reading.wait()
            for response in self.call:
                self.messages.append([(f.id, f.WhichOneof("step")) for f in response.calls])
                for frame in response.calls:
                    self._dispatch(frame)
                self.reading.wait()
            end = Ended(self.call.code(), self.call.details(), True)
        except grpc.RpcError as error:
            end = Ended(error.code(), error.details(), True)
        self._out.put(_CLOSE)
        self._status.put(end)
        with self._lock:
            self._end = end
            calls = list(self._calls.values())
            self._calls.clear()
        for call in calls:
            call.push("end", end)

    def _dispatch(self, frame):
        name = frame.WhichOneof("step")
        with self._lock:
            call = self._calls.get(frame.id)
        assert call is not None, f"a frame for the unknown id {frame.id}: {name}"
        if name == "end":
            assert frame.end.code != 0, "end stands for a status other than OK"
            call.push("end", Ended(_CODES[frame.end.code], frame.end.message))
            return
        call.push(name, getattr(frame, name))
        if name == "result":
            call.push("end", Ended(grpc.StatusCode.OK, ""))

    def open_call(self, identity=None, live=False):
        """A call with the next id, or with this one; nothing is sent yet."""
        with self._lock:
            self._last_id = self._last_id + 1 if identity is None else identity
            call = SessionCaller(self, self._last_id, live)
            self._calls[call.id] = call
            end = self._end
        if end is not None:
            call.push("end", end)
        return call

    def send(self, *frames):
        """Sends frames in one message."""
        self._out.put(pb.SessionRequest(calls=frames))

    def send_raw(self, encoded):
        self._out.put(encoded)

    def half_close(self):
        self._out.put(_CLOSE)

    def cancel(self):
        self.call.cancel()

    def status(self, bound=BOUND):
        """Waits for the end of the stream."""
        try:
            return self._status.get(timeout=bound)
        except queue.Empty:
            raise AssertionError("the stream has not ended") from None

    def close(self):
        self.reading.set()
        self.call.cancel()


class SessionCaller(Caller):
    """One call on a Session stream."""

    kind = "session"
    numbers = {"join": 2, "chunk": 3, "renew": 4, "finish": 5, "cancel": 6}

    def __init__(self, stream, identity, live=False):
        super().__init__(live)
        self.stream = stream
        self.id = identity

    def push(self, name, message):
        self._inbox.put((name, message))

    def frame(self, name, message, timeout_ms=0):
        return pb.CallRequest(id=self.id, timeout_ms=timeout_ms, **{name: message})

    def send(self, name, message, timeout_ms=0):
        self.stream.send(self.frame(name, message, timeout_ms))

    def send_raw_step(self, encoded):
        from support import wire

        self.stream.send_raw(wire.field(1, wire.field(1, self.id) + encoded))

    def cancel(self):
        self.send("cancel", pb.Cancel())

    def half_close(self):
        self.stream.half_close()

    def break_stream(self):
        self.stream.cancel()
