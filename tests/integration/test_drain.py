# SPDX-License-Identifier: Apache-2.0
"""Row "the server drains", and section 9 "Drain"."""

import signal

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.wait import BOUND, milliseconds, until

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
KINDS = pytest.mark.parametrize("kind", ["do", "session"])
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])


def health(net, service=""):
    stub = health_pb2_grpc.HealthStub(net.channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status


def drain(net, number=signal.SIGTERM):
    """Sends the signal, and waits until the daemon says that it drains."""
    assert health(net) == SERVING
    net.daemon.signal(number)
    until(lambda: health(net) == NOT_SERVING, "health says NOT_SERVING")


@SIGNALS
def test_an_idle_daemon_exits_0(private, number):
    """Row: the process exits 0; with nothing running it does not sit out its drain time."""
    net = private(drain_time="60s")
    net.key_is_free()
    net.close()
    started = milliseconds()
    net.daemon.signal(number)
    assert net.daemon.wait() == 0
    assert milliseconds() - started < 15_000


@KINDS
def test_an_idle_daemon_with_open_connections_exits_0(private, kind):
    """Row: an open channel or an idle Session stream is no flight: it does not hold up the end for
    60 s.
    """
    net = private(drain_time="60s", kind=kind)
    net.key_is_free()
    stream = net.session() if kind == "session" else None
    net.daemon.terminate()
    assert net.daemon.wait() == 0
    if stream:
        assert stream.status().code is not None


@SIGNALS
@KINDS
def test_running_flights_may_end_within_the_drain_time(private, kind, number):
    """Row: running flights may end within the drain time; the process exits 0 when they have."""
    net = private(drain_time="60s", kind=kind)
    leader, follower = net.lead(), net.follow()
    drain(net, number)
    leader.chunk(b"still ")
    leader.finish(b"done")
    assert follower.delivery().value == b"still done"
    assert leader.delivery().callers == 2
    assert net.daemon.wait() == 0


@KINDS
def test_new_joins_are_unavailable(private, kind):
    """Row: new joins get UNAVAILABLE: those that would lead and those that would follow."""
    net = private(drain_time="60s", kind=kind)
    leader, follower = net.lead(), net.follow()
    drain(net)
    net.join(key=b"new").ended(UNAVAILABLE)
    net.join().ended(UNAVAILABLE)
    leader.finish(b"v")
    assert follower.delivery().callers == 2


@KINDS
def test_what_is_left_ends_with_unavailable(private, kind):
    """Row: what is left then ends with UNAVAILABLE; the process exits 0."""
    net = private(drain_time="1s", kind=kind)
    leader, followers = net.lead(), [net.follow(), net.follow(live=True)]
    leased = net.lead(key=b"leased", lease_ms=60_000)
    started = milliseconds()
    net.daemon.terminate()
    for caller in [leader, *followers, leased]:
        caller.ended(UNAVAILABLE)
    assert milliseconds() - started >= 900
    assert net.daemon.wait() == 0


@KINDS
def test_a_lost_leader_is_replaced_while_draining(private, kind):
    """Row: running flights may end: a promotion is part of a running flight."""
    net = private(drain_time="60s", kind=kind)
    leader, heir, follower = net.lead(), net.follow(), net.follow()
    drain(net)
    leader.cancel()
    assert heir.leads().attempt == 2
    heir.finish(b"v")
    assert follower.delivery().value == b"v"
    assert net.daemon.wait() == 0


@KINDS
def test_a_resume_is_served_while_draining(private, kind):
    """Section 9: resumes ... are served."""
    net = private(drain_time="60s", kind=kind)
    leader, follower = net.lead(alone=True, lease_ms=60_000), net.follow()
    drain(net)
    leader.break_stream()
    again = net.resume(leader.token)
    again.leads()
    again.finish(b"v")
    assert follower.delivery().value == b"v"
    assert net.daemon.wait() == 0


@KINDS
def test_a_retained_outcome_is_served_while_draining(private, kind):
    """Section 9: ... retained outcomes ... are served."""
    net = private(drain_time="60s", kind=kind)
    net.retained(key=b"kept")
    leader = net.lead()
    drain(net)
    assert net.join(key=b"kept").delivery().retained
    leader.finish()
    leader.delivery()


def test_forget_is_served_while_draining(private):
    """Section 9: ... and Forget are served; so are Admin's calls."""
    net = private(drain_time="60s")
    net.retained(key=b"kept")
    leader = net.lead()
    drain(net)
    assert net.forget(key=b"kept").retained
    assert net.forget().flight
    assert net.flights()[0].forgotten
    assert net.stats().forgets == 2
    leader.finish()
    assert leader.delivery().led


def test_health_answers_on_open_connections(private):
    """Section 9: health answers on open connections: Check says NOT_SERVING, Watch is told."""
    net = private(drain_time="60s")
    leader = net.lead()
    stub = health_pb2_grpc.HealthStub(net.channel)
    watches = [
        stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=BOUND)
        for service in ("", "singleflight.v1.SingleFlight")
    ]
    for watch in watches:
        assert next(watch).status == SERVING
    drain(net)
    for watch in watches:
        assert next(watch).status == NOT_SERVING
    assert health(net, "singleflight.v1.SingleFlight") == NOT_SERVING
    leader.finish()
    leader.delivery()
    assert net.daemon.wait() == 0


def test_a_watch_does_not_hold_up_the_end(private):
    """Row: the process exits 0 though somebody watches its health and nothing runs."""
    net = private(drain_time="60s")
    watch = health_pb2_grpc.HealthStub(net.channel).Watch(
        health_pb2.HealthCheckRequest(), timeout=60
    )
    assert next(watch).status == SERVING
    net.daemon.terminate()
    assert net.daemon.wait() == 0


@pytest.mark.slow
def test_drain_under_load(private):
    """Row: with 200 flights of 5 callers each under way, everybody gets the outcome or UNAVAILABLE,
    nobody hangs.
    """
    net = private(drain_time="20s", kind="session")
    flights = []
    for number in range(200):
        key = b"%d" % number
        flights.append([net.lead(key=key)] + [net.follow(key=key) for _ in range(4)])
    drain(net)
    for number, (leader, *_) in enumerate(flights):
        if number % 2:
            leader.finish(b"%d" % number)
        else:
            leader.cancel()
    for number, callers in enumerate(flights):
        if number % 2 == 0:
            callers.pop(0)
            callers[0].leads()
            callers[0].finish(b"%d" % number)
        callers[0].delivery()
        for follower in callers[1:]:
            assert follower.delivery().value == b"%d" % number
    assert net.daemon.wait() == 0
