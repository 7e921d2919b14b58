# SPDX-License-Identifier: Apache-2.0
"""Section 10.7: fresh callers wait in the key's next flight."""

import signal

import grpc
from singleflight.v1 import singleflight_pb2 as pb

from support.wait import until

ABORTED = grpc.StatusCode.ABORTED
NOT_FOUND = grpc.StatusCode.NOT_FOUND
LONG = 60_000


def wait_fresh(rpc, **fields):
    caller = rpc.join(fresh=True, **fields)
    follow = caller.follows()
    assert follow.attempt == 0 and follow.leader == "" and follow.running_ms == 0
    return caller


def test_fresh_takes_no_retained_outcome(rpc):
    rpc.retained(b"old")
    leader = rpc.join(fresh=True, retain_ms=LONG)
    leader.leads()
    assert rpc.join().delivery().value == b"old"
    leader.finish(b"new")
    leader.delivery()
    assert rpc.join().delivery().value == b"new"


def test_ten_writers_during_one_load_make_one_more_load(rpc):
    leader = rpc.lead()
    writers = [wait_fresh(rpc, caller=f"w{n}") for n in range(10)]
    leader.finish(b"old")
    assert leader.delivery().callers == 1
    writers[0].leads()
    for writer in writers[1:]:
        follow = writer.follows()
        assert follow.attempt == 1 and follow.leader == "w0"
    writers[0].finish(b"new")
    for writer in writers:
        got = writer.delivery()
        assert got.callers == 10 and (got.led or got.value == b"new")


def test_the_next_flight_is_listed(rpc):
    leader = rpc.lead()
    wait_fresh(rpc)
    flights = rpc.flights()
    waiting = [f for f in flights if f.next]
    assert len(flights) == 2 and len(waiting) == 1
    assert waiting[0].state == pb.Flight.STATE_UNSPECIFIED and waiting[0].token == 0
    assert waiting[0].callers == 1
    leader.finish()


def test_it_begins_when_the_running_one_is_lost(rpc):
    leader = rpc.lead(alone=True)
    heir = wait_fresh(rpc)
    leader.break_stream()
    assert heir.leads().attempt == 1


def test_others_join_the_running_one_then_the_next(rpc):
    leader, plain = rpc.lead(), rpc.follow()
    fresh = wait_fresh(rpc)
    leader.finish(b"old")
    assert plain.delivery().value == b"old"
    fresh.leads()
    late = rpc.follow()
    fresh.finish(b"new")
    assert late.delivery().value == b"new"


def test_follow_only(rpc):
    leader = rpc.lead()
    rpc.join(fresh=True, role=pb.ROLE_FOLLOW_ONLY).ended(NOT_FOUND)
    first = wait_fresh(rpc, alone=True)
    follower = wait_fresh(rpc, role=pb.ROLE_FOLLOW_ONLY)
    first.break_stream()
    until(lambda: [f.callers for f in rpc.flights() if f.next] == [1], "the first one has left")
    leader.finish(b"v")
    follower.ended(ABORTED, "may lead")


def test_lead_only_while_another_leads(rpc):
    rpc.lead(caller="me")
    rpc.join(fresh=True, role=pb.ROLE_LEAD_ONLY).ended(ABORTED, "me")


def test_forget_forgets_both(rpc):
    leader = rpc.lead()
    waiting = wait_fresh(rpc)
    assert not rpc.forget(if_unshared=True).flight
    assert rpc.forget().flight
    rpc.lead()
    waiting.silent()
    leader.finish(b"v")
    assert waiting.leads().attempt == 1
    waiting.finish(b"w", retain_ms=LONG)
    assert waiting.delivery().retain_ms == 0


def test_in_a_drain_no_next_flight_begins(private):
    rpc = private("--drain-time", "30s")
    leader = rpc.lead()
    waiting = wait_fresh(rpc)
    rpc.daemon.signal(signal.SIGTERM)
    waiting.ended(grpc.StatusCode.UNAVAILABLE)
    leader.finish(b"v")
    leader.delivery()
