# SPDX-License-Identifier: Apache-2.0
"""`audience`: row "the last follower leaves" and section 9 "Audience".

A deadline of a Do stream travels as a grpc-timeout, which clients round up by a percent or so."""

from singleflight.v1 import singleflight_pb2 as pb

from support.callers import ERROR


def test_a_leader_learns_that_somebody_waits(rpc):
    """`Audience`: how many followers wait now and the latest of their deadlines: 0 without one."""
    leader = rpc.lead(audience=True)
    rpc.follow()
    audience = leader.audience_of(1)
    assert audience.latest_deadline_ms == 0
    rpc.follow()
    rpc.follow()
    leader.audience_of(3)


def test_nothing_is_sent_before_somebody_waited(rpc):
    """Section 9: nothing is sent before somebody waited."""
    rpc.lead(audience=True).silent()


def test_a_leader_that_did_not_ask_is_not_told(rpc):
    """Section 2: to a leader that asked for it in `Join`."""
    leader = rpc.lead()
    rpc.follow(audience=True)
    leader.silent()
    leader.finish()
    leader.expect("result")


def test_followers_are_not_told(rpc):
    """Section 2: `Audience`, to a leader."""
    rpc.lead()
    follower = rpc.follow(audience=True)
    rpc.follow()
    follower.silent()


def test_the_leader_learns_that_the_last_follower_left(rpc):
    """Row "the last follower leaves": the leader learns it if it asked."""
    leader = rpc.lead(audience=True)
    first, second = rpc.follow(), rpc.follow()
    leader.audience_of(2)
    first.cancel()
    leader.audience_of(1)
    second.cancel()
    leader.audience_of(0)


def test_the_flight_goes_on_when_the_last_follower_left(rpc):
    """Row: a caller that comes later joins the flight as long as the leader still leads."""
    leader = rpc.lead(audience=True)
    rpc.follow().cancel()
    leader.audience_of(0)
    late = rpc.follow()
    leader.audience_of(1)
    leader.finish(b"v")
    assert late.delivery().value == b"v"


def test_a_follower_whose_deadline_passes_is_no_audience_any_more(rpc):
    """Section 9: audience is sent after every change of either figure, also when a deadline
    passes.
    """
    leader = rpc.lead(audience=True)
    rpc.follow(timeout_s=1)
    leader.audience_of(1)
    leader.audience_of(0)


def test_latest_deadline_is_the_latest(rpc):
    """Audience.latest_deadline_ms: the latest of their deadlines, from now."""
    leader = rpc.lead(audience=True)
    rpc.follow(timeout_s=60)
    assert 50_000 < leader.audience_of(1).latest_deadline_ms <= 61_000
    rpc.follow(timeout_s=600)
    assert 590_000 < leader.audience_of(2).latest_deadline_ms <= 610_000
    rpc.follow(timeout_s=30)
    assert 590_000 < leader.audience_of(3).latest_deadline_ms <= 610_000


def test_one_without_a_deadline_waits_for_ever(rpc):
    """Audience.latest_deadline_ms: 0 = somebody waits without one."""
    leader = rpc.lead(audience=True)
    rpc.follow(timeout_s=60)
    leader.audience_of(1)
    patient = rpc.follow()
    assert leader.audience_of(2).latest_deadline_ms == 0
    patient.cancel()
    assert 0 < leader.audience_of(1).latest_deadline_ms <= 61_000


def test_a_change_of_the_latest_deadline_alone_is_told(rpc):
    """Section 9: audience is sent after every change of either figure."""
    leader = rpc.lead(audience=True)
    rpc.follow(timeout_s=60)
    late = rpc.follow(timeout_s=600)
    leader.audience_of(2)
    late.cancel()
    assert leader.audience_of(1).latest_deadline_ms <= 61_000


def test_audience_is_each_callers_own(rpc):
    """Section 9: each caller has its own audience: the heir that asked is told, though the opener
    did not ask.
    """
    leader, heir = rpc.lead(), rpc.follow(audience=True)
    rpc.follow()
    leader.cancel()
    heir.leads()
    rpc.follow()
    heir.audience_of(2)


def test_an_heir_that_did_not_ask_is_not_told(rpc):
    """Section 9: each caller has its own audience."""
    leader, heir = rpc.lead(audience=True), rpc.follow()
    leader.audience_of(1)
    leader.cancel()
    heir.leads()
    rpc.follow()
    heir.silent()


def test_a_promotion_takes_the_heir_out_of_the_audience(rpc):
    """Audience.followers are those who wait: the leader is none of them."""
    leader, heir = rpc.lead(), rpc.follow(audience=True)
    rpc.follow(role=pb.ROLE_FOLLOW_ONLY)
    third = rpc.follow()
    leader.finish(kind=ERROR, pass_on=True)
    heir.leads()
    third.cancel()
    heir.audience_of(1)


def test_an_audience_does_not_come_after_result(rpc):
    """`Result` is the last step of a caller."""
    leader = rpc.lead(audience=True)
    followers = [rpc.follow() for _ in range(5)]
    leader.audience_of(5)
    leader.finish()
    leader.expect("result")
    leader.ended()
    for follower in followers:
        follower.delivery()


def test_a_resumed_leader_learns_its_audience(each):
    """Section 2: `Audience` tells who waits now, to a leader that asked; asked for anew with the
    resume.
    """
    leader = each.lead(alone=True, lease_ms=60_000, audience=True)
    leader.break_stream()
    each.flight_where(lambda f: f.state == pb.Flight.STATE_ORPHANED, "the flight is orphaned")
    again = each.resume(leader.token, audience=True)
    again.leads()
    each.follow()
    again.audience_of(1)
