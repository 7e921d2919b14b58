# SPDX-License-Identifier: Apache-2.0
"""What a test holds in its hands: joins over one transport or the other, and the daemon's other
services.
"""

import itertools
import os

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from singleflight.v1 import singleflight_pb2 as pb
from singleflight.v1 import singleflight_pb2_grpc as pb_grpc

from support import wait
from support.callers import DoCaller, SessionStream

_groups = itertools.count(1)


def new_group():
    """A group that no other test uses."""
    return f"g{os.getpid()}-{next(_groups)}"


def open_channel(address, options=()):
    """A channel with a connection of its own."""
    target = address if address.startswith("unix:") else f"ipv4:{address}"
    return grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1), *options])


class Net:
    """Everything that one test opens towards one daemon; all of it ends with the test.

    `kind` says what join() makes: "do", "session" (calls of one shared stream) or "mixed" (one and
    the other in turn).
    """

    def __init__(self, daemon, kind="do", address=None):
        self.daemon = daemon
        self.kind = kind
        self.address = address or daemon.address
        self.group = new_group()
        self.key = b"key"
        self._closers = []
        self._shared = None
        self._turn = itertools.cycle(["do", "session"])
        self.channel = self.open_channel()
        self.single_flight = pb_grpc.SingleFlightStub(self.channel)
        self.admin = pb_grpc.AdminStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def open_channel(self, address=None, options=()):
        channel = open_channel(address or self.address, options)
        self._closers.append(channel)
        return channel

    def session(self, channel=None, **options):
        """A Session stream of its own."""
        stream = SessionStream(channel or self.channel, **options)
        self._closers.append(stream)
        return stream

    def do(self, channel=None, timeout_s=None, live=False, reading=True, **call_options):
        """A Do stream on which nothing has been sent."""
        caller = DoCaller(channel or self.channel, timeout_s, live, reading, **call_options)
        self._closers.append(caller)
        return caller

    def open(self, alone=False, timeout_s=None, live=False, channel=None):
        """A caller that has not joined yet. `alone`: on a Session stream that nobody shares."""
        kind = next(self._turn) if self.kind == "mixed" else self.kind
        if kind == "do":
            return self.do(channel, timeout_s, live)
        if alone or channel is not None:
            return self.session(channel).open_call(live=live)
        if self._shared is None:
            self._shared = self.session()
        return self._shared.open_call(live=live)

    def join_message(self, **fields):
        fields.setdefault("group", self.group)
        fields.setdefault("key", self.key)
        return pb.Join(**fields)

    def join(self, alone=False, timeout_s=None, channel=None, **fields):
        """Sends a join and returns the caller, without waiting for the answer."""
        join = self.join_message(**fields)
        caller = self.open(alone, timeout_s, join.live, channel)
        if caller.kind == "session" and timeout_s is not None:
            caller.send("join", join, timeout_ms=int(timeout_s * 1000))
        else:
            caller.send("join", join)
        return caller

    def lead(self, **options):
        """Joins, and expects to lead."""
        caller = self.join(**options)
        caller.leads()
        return caller

    def follow(self, **options):
        """Joins, and expects to follow."""
        caller = self.join(**options)
        caller.follows()
        return caller

    def resume(self, token, **options):
        """Joins as the leader with this token."""
        return self.join(resume_token=token, **options)

    def forget(self, key=None, group=None, if_unshared=False):
        request = pb.ForgetRequest(
            group=self.group if group is None else group,
            key=self.key if key is None else key,
            if_unshared=if_unshared,
        )
        return self.single_flight.Forget(request, timeout=wait.BOUND)

    def end(self, key=None, caller="", if_unshared=False):
        """Forgets the key, and ends the flight that runs."""
        request = pb.ForgetRequest(
            group=self.group,
            key=self.key if key is None else key,
            if_unshared=if_unshared,
            end=True,
            caller=caller,
        )
        return self.single_flight.Forget(request, timeout=wait.BOUND)

    def flights(self, group=None, **request):
        group = self.group if group is None else group
        stream = self.admin.ListFlights(
            pb.ListFlightsRequest(group=group, **request), timeout=wait.BOUND
        )
        return list(stream)

    def flight(self, key=None, forgotten=False):
        """The one flight of this key that is (or is not) forgotten, or None."""
        key = self.key if key is None else key
        found = [f for f in self.flights() if f.key == key and f.forgotten == forgotten]
        assert len(found) <= 1, f"one indexed flight per key, got {found}"
        return found[0] if found else None

    def flight_where(self, condition, what, **which):
        """Waits until the flight of the key is listed and fits."""

        def fits():
            flight = self.flight(**which)
            return flight if flight is not None and condition(flight) else None

        return wait.until(fits, what)

    def stats(self, group=None):
        group = self.group if group is None else group
        return self.admin.GetStats(pb.GetStatsRequest(group=group), timeout=wait.BOUND)

    def health_of(self, service):
        request = health_pb2.HealthCheckRequest(service=service)
        return self.health.Check(request, timeout=wait.BOUND).status

    def retained(self, value=b"kept", retain_ms=60_000, kind=None, **fields):
        """Runs a flight that leaves a retained outcome, and returns what its leader was told."""
        from support.callers import OK

        leader = self.lead(retain_ms=retain_ms, retain_error_ms=retain_ms, **fields)
        leader.finish(value, kind=OK if kind is None else kind)
        return leader.delivery()

    def key_is_free(self, **options):
        """Asserts that a join begins a flight, ends it, and returns its `lead`."""
        caller = self.join(**options)
        lead = caller.leads()
        assert lead.attempt == 1
        caller.finish()
        caller.delivery()
        return lead

    def close(self):
        for closer in reversed(self._closers):
            closer.close()
