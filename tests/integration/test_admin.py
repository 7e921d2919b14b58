# SPDX-License-Identifier: Apache-2.0
"""Admin.ListFlights and Admin.GetStats: the wire file's fields, and section 9 "Admin"."""

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.callers import ERROR
from support.wait import until

LED = pb.Flight.STATE_LED
ORPHANED = pb.Flight.STATE_ORPHANED
RETAINED = pb.Flight.STATE_RETAINED
MINUTE = 60_000


def test_nothing_is_listed_when_nothing_runs(net):
    """ListFlights of a group that nobody used."""
    assert net.flights() == []


def test_every_field_of_a_flight_that_runs(rpc):
    """Flight: group, key, state, token, attempt, leader, callers, running_ms, value_bytes, home,
    forgotten.
    """
    leader = rpc.lead(caller="boss")
    rpc.follow(caller="worker")
    leader.chunk(b"12345")
    flight = rpc.flight_where(lambda f: f.value_bytes == 5, "the chunk is there")
    assert flight.group == rpc.group and flight.key == rpc.key
    assert flight.state == LED
    assert flight.token == leader.token and flight.attempt == 1
    assert flight.leader == "boss" and flight.callers == 2
    assert flight.expires_ms == 0 and flight.home == "" and not flight.forgotten
    until(lambda: rpc.flight().running_ms > flight.running_ms, "running_ms grows")


def test_running_ms_is_the_current_leaders(rpc):
    """Section 9: `running_ms` is the current leader's: it starts anew with a promotion."""
    leader, heir = rpc.lead(), rpc.follow()
    before = rpc.flight_where(lambda f: f.running_ms >= 300, "the first leader ran for 300 ms")
    leader.cancel()
    heir.leads()
    after = rpc.flight()
    assert after.running_ms < before.running_ms
    assert after.attempt == 2 and after.token == heir.token and after.callers == 1


def test_a_promotion_voids_the_value_bytes(rpc):
    """Flight.value_bytes: of the current attempt."""
    leader, heir = rpc.lead(), rpc.follow()
    leader.chunk(b"12345")
    rpc.flight_where(lambda f: f.value_bytes == 5, "the chunk is there")
    leader.cancel()
    heir.leads()
    assert rpc.flight().value_bytes == 0


def test_the_lease_of_a_flight_expires(rpc):
    """Flight.expires_ms: of the lease, from now; renewed by `renew`."""
    leader = rpc.lead(lease_ms=MINUTE)
    assert 50_000 < rpc.flight().expires_ms <= MINUTE
    low = rpc.flight_where(lambda f: f.expires_ms < MINUTE - 200, "200 ms are over").expires_ms
    leader.renew()
    rpc.flight_where(lambda f: f.expires_ms > low, "the lease is renewed")


def test_an_orphaned_flight_is_listed_as_such(rpc):
    """STATE_ORPHANED: the leader is gone and may still resume."""
    leader = rpc.lead(alone=True, lease_ms=MINUTE)
    leader.break_stream()
    flight = rpc.flight_where(lambda f: f.state == ORPHANED, "the flight is orphaned")
    assert flight.token == leader.token and 0 < flight.expires_ms <= MINUTE


def test_a_retained_outcome_is_listed_as_such(rpc):
    """STATE_RETAINED, until it expires or is forgotten."""
    told = rpc.retained(b"abc", retain_ms=MINUTE)
    (flight,) = rpc.flights()
    assert flight.state == RETAINED and flight.token == told.token
    assert flight.value_bytes == 3 and 0 < flight.expires_ms <= MINUTE and flight.callers == 1
    rpc.forget()
    assert rpc.flights() == []


def test_a_retained_outcome_and_a_newer_flight_stand_side_by_side(rpc):
    """Both are there, so both are listed."""
    rpc.retained()
    until(lambda: rpc.join().delivery().age_ms > 10, "the outcome is 10 ms old")
    rpc.lead(max_age_ms=5)
    assert sorted(f.state for f in rpc.flights()) == sorted([LED, RETAINED])


def test_flights_are_listed_by_group(net):
    """ListFlightsRequest.group: only this group; "" = all."""
    net.lead(key=b"a")
    net.lead(key=b"b", group=net.group + ".x")
    assert [f.key for f in net.flights()] == [b"a"]
    assert [f.key for f in net.flights(group=net.group + ".x")] == [b"b"]
    everything = {(f.group, f.key) for f in net.flights(group="", limit=1_000_000)}
    assert {(net.group, b"a"), (net.group + ".x", b"b")} <= everything


def test_the_group_default_is_listed_by_its_name(net):
    """Join.group: "" is the group "default"."""
    net.lead(group="", key=net.group.encode())
    found = net.flights(group="default", key_prefix=net.group.encode())
    assert [f.group for f in found] == ["default"]


def test_flights_are_listed_by_key_prefix(net):
    """ListFlightsRequest.key_prefix."""
    for key in (b"user_1", b"user_2", b"order_1", b"use", b"\xffuser_"):
        net.lead(key=key)
    listed = lambda prefix: sorted(f.key for f in net.flights(key_prefix=prefix))
    assert listed(b"user_") == [b"user_1", b"user_2"]
    assert listed(b"user_2") == [b"user_2"]
    assert listed(b"\xff") == [b"\xffuser_"]
    assert listed(b"nobody") == []
    assert len(listed(b"")) == 5


def test_a_listing_has_a_limit(net):
    """ListFlightsRequest.limit: at most so many; 0 = 1,000."""
    stream = net.session()
    calls = [stream.open_call() for _ in range(1100)]
    stream.send(*[c.frame("join", net.join_message(key=b"%d" % c.id)) for c in calls])
    for call in calls:
        call.leads()
    assert len(net.flights(limit=7)) == 7
    assert len(net.flights(limit=1)) == 1
    assert len(net.flights()) == 1000
    listed = net.flights(limit=5000)
    assert len(listed) == 1100 == len({f.key for f in listed})


@pytest.mark.parametrize("method", ["ListFlights", "GetStats"])
def test_a_bad_group_is_refused(net, method):
    """Section 4: a field outside its bounds is INVALID_ARGUMENT."""
    with pytest.raises(grpc.RpcError) as error:
        net.stats("no spaces") if method == "GetStats" else net.flights(group="no spaces")
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "group" in error.value.details()


def test_stats_begin_with_nothing(net):
    """GetStats of a group that nobody used."""
    stats = net.stats()
    for field in pb.Stats.DESCRIPTOR.fields:
        if field.name != "uptime_ms":
            assert getattr(stats, field.name) == 0, field.name


def test_calls_executions_and_what_was_saved(rpc):
    """Section 9: `calls` are admitted joins, `executions` are `lead`s, `executions_saved` outcomes
    without leading.
    """
    leader = rpc.lead()
    followers = [rpc.follow() for _ in range(4)]
    now = rpc.stats()
    assert (now.calls, now.executions, now.executions_saved) == (5, 1, 0)
    assert now.flights_now == 1 and now.callers_now == 5
    leader.finish()
    for caller in [leader, *followers]:
        caller.delivery()
    stats = until(lambda: rpc.stats() if not rpc.stats().callers_now else None, "everybody is gone")
    assert (stats.calls, stats.executions, stats.executions_saved) == (5, 1, 4)
    assert stats.flights_now == 0 and stats.bytes_now == 0


def test_a_promotion_is_an_execution_and_a_lost_leader(rpc):
    """Section 9: `executions` are `lead`s; leaders_lost counts the one that left."""
    leader, heir = rpc.lead(), rpc.follow()
    leader.cancel()
    heir.leads()
    heir.finish()
    heir.delivery()
    stats = rpc.stats()
    assert (stats.calls, stats.executions, stats.executions_saved) == (2, 2, 0)
    assert stats.leaders_lost == 1


def test_a_resume_is_no_execution(rpc):
    """Section 9: `executions`: times somebody was told to lead: a resume goes on with the
    same one.
    """
    leader = rpc.lead(alone=True, lease_ms=MINUTE)
    leader.break_stream()
    rpc.flight_where(lambda f: f.state == ORPHANED, "the flight is orphaned")
    again = rpc.resume(leader.token)
    again.leads()
    again.finish()
    again.delivery()
    assert rpc.stats().executions == 1 and rpc.stats().leaders_lost == 0


def test_retained_hits_are_saved_executions(rpc):
    """Section 9: executions_saved: ... retained hits included."""
    rpc.retained()
    for _ in range(3):
        rpc.join().delivery()
    stats = rpc.stats()
    assert (stats.calls, stats.executions) == (4, 1)
    assert stats.executions_saved == 3 and stats.retained_hits == 3
    assert stats.retained_now == 1 and stats.bytes_now >= len(b"kept")
    rpc.forget()
    after = rpc.stats()
    assert after.retained_now == 0 and after.bytes_now == 0


def test_an_error_is_a_saved_execution_too(rpc):
    """Section 9: outcomes delivered to callers that did not lead, of whatever kind."""
    leader, follower = rpc.lead(), rpc.follow()
    leader.finish(kind=ERROR)
    follower.delivery()
    assert rpc.stats().executions_saved == 1


def test_a_caller_that_left_saved_nothing(rpc):
    """Section 9: outcomes *delivered*."""
    leader, gone = rpc.lead(), rpc.follow()
    gone.cancel()
    rpc.flight_where(lambda f: f.callers == 1, "the follower has left")
    leader.finish()
    leader.delivery()
    assert rpc.stats().executions_saved == 0


def test_refused_joins_are_no_calls(rpc):
    """Section 9: `calls` are admitted joins."""
    rpc.join(key=b"").ended()
    rpc.join(role=pb.ROLE_FOLLOW_ONLY).ended()
    rpc.join(lease_ms=1).ended()
    assert rpc.stats().calls == 0


def test_bytes_now_counts_what_is_held(rpc):
    """Stats.bytes_now: while a flight runs, and until it is delivered."""
    leader = rpc.lead()
    leader.chunk(b"x" * 300_000)
    until(lambda: rpc.stats().bytes_now >= 300_000, "the chunk is held")
    assert rpc.stats().bytes_now < 600_000
    leader.finish()
    leader.delivery()
    until(lambda: rpc.stats().bytes_now == 0, "nothing is held any more")


def test_stats_are_per_group_and_in_all(net):
    """GetStatsRequest.group: "" = all."""
    before = net.stats("")
    net.key_is_free()
    net.key_is_free(group=net.group + ".x")
    assert net.stats().calls == 1
    assert net.stats(net.group + ".x").calls == 1
    assert net.stats("").calls >= before.calls + 2


def test_uptime_grows(net):
    """Stats.uptime_ms."""
    before = net.stats().uptime_ms
    until(lambda: net.stats().uptime_ms > before, "uptime_ms grows")
