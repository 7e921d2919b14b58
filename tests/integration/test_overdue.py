# SPDX-License-Identifier: Apache-2.0
"""Section 10.2: a lease runs out when somebody wants the key."""

import signal

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

ABORTED = grpc.StatusCode.ABORTED
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
HOLD = pb.LEADER_LOSS_HOLD


def overdue(rpc, lease_ms=1000, **fields):
    """A leader whose lease is over while nobody wants the key."""
    leader = rpc.lead(lease_ms=lease_ms, **fields)
    flight = rpc.flight_where(lambda f: f.overdue, "the leader is overdue", key=fields.get("key"))
    assert flight.state == pb.Flight.STATE_LED and flight.expires_ms == 0
    return leader


def test_an_overdue_leader_is_not_lost_and_finishes(rpc):
    leader = overdue(rpc)
    leader.silent()
    leader.finish(b"v")
    assert leader.delivery().led


def test_a_renewal_restores_the_lease(rpc):
    leader = overdue(rpc, lease_ms=1500)
    leader.renew(1)
    assert leader.expect("renewed").id == 1
    flight = rpc.flight()
    assert not flight.overdue and flight.expires_ms > 0
    rpc.follow()


def test_a_resume_restores_the_lease(each):
    leader = each.lead(alone=True, lease_ms=1000)
    leader.break_stream()
    each.flight_where(lambda f: f.overdue, "the orphaned flight is overdue")
    assert each.resume(leader.token).leads().token == leader.token
    assert not each.flight().overdue


@pytest.mark.parametrize(
    "newcomer", [{}, {"role": pb.ROLE_LEAD_ONLY}, {"fresh": True}], ids=["any", "only", "fresh"]
)
def test_the_next_caller_that_may_lead_takes_it_over_at_once(each, newcomer):
    leader = overdue(each)
    lead = each.join(**newcomer).leads()
    assert lead.attempt == 2 and lead.token > leader.token
    leader.ended(ABORTED, f"fenced: token {leader.token}, now {lead.token}", "lease of 1 s ran out")


def test_follow_only_follows_and_waits(rpc):
    leader = overdue(rpc)
    follower = rpc.join(role=pb.ROLE_FOLLOW_ONLY)
    follower.follows()
    follower.silent(1.5)
    leader.finish(b"v")
    assert follower.delivery().value == b"v"


@pytest.mark.parametrize("options", [{"on_leader_loss": pb.LEADER_LOSS_FAIL}, {"max_attempts": 1}])
def test_where_it_may_not_be_handed_on_the_newcomer_begins_another(each, options):
    leader = overdue(each, **options)
    lead = each.join().leads()
    assert lead.attempt == 1 and lead.token > leader.token
    leader.ended(ABORTED, f"fenced: token {leader.token}", "lease of 1 s ran out")


def test_with_hold_the_newcomer_gets_the_outcome_as_a_follower(rpc):
    leader = overdue(rpc, on_leader_loss=HOLD)
    newcomer = rpc.join()
    newcomer.follows()
    got = newcomer.delivery()
    assert got.outcome.kind == pb.OUTCOME_KIND_ABANDONED
    assert "lease of 1 s ran out" in got.outcome.message
    leader.ended(ABORTED, "fenced")


def test_a_forgotten_flight_with_no_follower_is_lost(rpc):
    leader = rpc.lead(lease_ms=1000)
    rpc.forget()
    leader.ended(ABORTED, "fenced", "lease of 1 s ran out")


def test_run_limit_ends_it_for_good(rpc):
    leader = overdue(rpc, run_limit_ms=2500)
    leader.ended(ABORTED, "fenced", "run limit of 2500 ms ran out")


def test_for_want_of_flights_the_longest_overdue_gives_its_room(private):
    rpc = private("--flights-limit", "2")
    first = overdue(rpc, key=b"first")
    second = overdue(rpc, key=b"second")
    rpc.lead(key=b"third")
    first.ended(ABORTED, "fenced", "its room was needed")
    second.silent()
    rpc.lead(key=b"fourth")
    second.ended(ABORTED, "fenced", "its room was needed")
    rpc.join(key=b"fifth").ended(grpc.StatusCode.RESOURCE_EXHAUSTED, "flights")


def test_for_want_of_bytes_one_that_holds_some_gives_its_room(private):
    rpc = private("--held-limit", "4MiB", "--result-limit", "4MiB")
    empty = overdue(rpc, key=b"empty")
    big = rpc.lead(key=b"big", lease_ms=1000)
    big.chunks(b"x" * (3 << 20), 1 << 20)
    rpc.flight_where(lambda f: f.overdue and f.value_bytes == 3 << 20, "it holds", key=b"big")
    other = rpc.lead(key=b"other")
    other.chunks(b"y" * (3 << 20), 1 << 20)
    other.finish()
    assert other.delivery().value_bytes == 3 << 20
    big.ended(ABORTED, "fenced", "its room was needed")
    empty.silent()


def test_a_drain_ends_it_at_once(private):
    rpc = private("--drain-time", "30s")
    leader, busy = overdue(rpc, key=b"overdue"), rpc.lead(key=b"busy", lease_ms=60_000)
    rpc.daemon.signal(signal.SIGTERM)
    leader.ended(UNAVAILABLE)
    busy.finish(b"v")
    busy.delivery()
