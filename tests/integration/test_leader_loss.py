# SPDX-License-Identifier: Apache-2.0
"""Rows "the leader leaves without finish" and "the leader is lost, and ...", and section 9 "Losing
the lead".
"""

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.callers import ERROR, KIB, OK
from support.wait import until

FAIL = pb.LEADER_LOSS_FAIL
ABORTED = grpc.StatusCode.ABORTED


def test_the_oldest_follower_is_promoted(rpc):
    """Row: the oldest follower that may lead gets `lead` with the next attempt and a
    greater token.
    """
    leader = rpc.lead(alone=True)
    followers = [rpc.follow() for _ in range(3)]
    leader.cancel()
    lead = followers[0].leads()
    assert lead.attempt == 2
    assert lead.token > leader.token
    assert lead.next_sequence == 0
    for follower in followers[1:]:
        follower.silent()


def test_a_chain_of_losses_promotes_by_age(rpc):
    """Row: each loss gives the lead to the oldest that is left; attempts count up, tokens grow."""
    callers = [rpc.lead()] + [rpc.follow() for _ in range(4)]
    for attempt in range(1, 4):
        callers[attempt - 1].cancel()
        lead = callers[attempt].leads()
        assert lead.attempt == attempt + 1
        assert lead.token > callers[attempt - 1].token
    callers[3].finish(b"at last")
    got = callers[4].delivery()
    assert got.value == b"at last"
    assert got.attempt == 4 and got.token == callers[3].token and got.callers == 2


def test_a_broken_stream_loses_the_lead(rpc):
    """Row "the leader leaves without `finish` (lease 0)": leadership lives as long as the
    stream.
    """
    leader, heir = rpc.lead(alone=True), rpc.follow()
    leader.break_stream()
    assert heir.leads().attempt == 2


def test_a_closed_connection_loses_the_lead(rpc):
    """Row "the leader leaves without `finish`": also when its whole connection goes."""
    channel = rpc.open_channel()
    rpc.lead(channel=channel)
    heir = rpc.follow()
    channel.close()
    assert heir.leads().attempt == 2


def test_every_live_follower_that_stays_one_gets_restart(rpc):
    """Section 9: every live follower that stays one gets `restart`; the promoted one gets only
    `lead`.
    """
    leader, heir = rpc.lead(), rpc.follow(live=True, caller="heir")
    live, calm = rpc.follow(live=True), rpc.follow()
    leader.cancel()
    assert heir.leads().attempt == 2
    restart = live.expect("restart")
    assert restart.attempt == 2
    assert restart.leader == "heir"
    calm.silent()
    heir.finish(b"v")
    for follower in (live, calm):
        assert follower.expect("result").attempt == 2


def test_restart_comes_even_when_nothing_was_produced(rpc):
    """Section 9: every live follower gets `restart`, whether or not it had chunks."""
    leader, heir, live = rpc.lead(), rpc.follow(), rpc.follow(live=True)
    leader.cancel()
    heir.leads()
    assert live.expect("restart").attempt == 2


def test_what_came_before_a_restart_is_void(rpc):
    """Row "the leader leaves": live followers restart, and the outcome has the bytes of the last
    attempt only.
    """
    leader, heir = rpc.lead(), rpc.follow(live=True)
    live, calm = rpc.follow(live=True), rpc.follow()
    leader.chunk(b"void " * 20_000)
    assert live.expect("chunk").attempt == 1
    leader.cancel()
    while heir.next()[0] == "chunk":
        pass
    while live.next()[0] == "chunk":
        pass
    heir.chunk(b"good ")
    heir.finish(b"bytes")
    assert live.delivery().value == b"good bytes"
    assert calm.delivery().value == b"good bytes"
    late = rpc.key_is_free()
    assert late.token > leader.token


def test_a_late_live_joiner_gets_only_the_current_attempt(rpc):
    """Section 9: the value is the chunks of the result's attempt; a late joiner never hears of void
    ones.
    """
    leader, heir = rpc.lead(), rpc.follow()
    leader.chunk(b"void")
    leader.cancel()
    heir.leads()
    heir.chunk(b"valid")
    late = rpc.join(live=True)
    follow = late.follows()
    assert follow.attempt == 2
    chunk = late.expect("chunk")
    assert (chunk.data, chunk.sequence, chunk.attempt) == (b"valid", 0, 2)


def test_a_follower_without_live_never_sees_a_restart(rpc):
    """`live`: without it a follower gets bytes only after the flight has succeeded, so it never
    sees `restart`.
    """
    leader, heir, calm = rpc.lead(), rpc.follow(), rpc.follow()
    leader.chunk(b"x" * (200 * KIB))
    leader.cancel()
    heir.leads()
    heir.chunk(b"y" * (200 * KIB))
    heir.finish()
    got = calm.delivery()
    assert got.restarts == [] and got.value == b"y" * (200 * KIB)


def test_a_joiner_after_the_promotion_follows_the_new_leader(rpc):
    """`Follow`: attempt, the leader's name, how long it has run: of the current leader."""
    leader, heir = rpc.lead(caller="old"), rpc.follow(caller="new")
    leader.cancel()
    heir.leads()
    follow = rpc.join().follows()
    assert follow.attempt == 2 and follow.leader == "new"


def test_a_follow_only_caller_is_never_promoted(rpc):
    """FOLLOW_ONLY: never lead. The next one that may lead does."""
    leader = rpc.lead()
    watcher, heir = rpc.follow(role=pb.ROLE_FOLLOW_ONLY), rpc.follow()
    leader.cancel()
    assert heir.leads().attempt == 2
    heir.finish(b"v")
    assert watcher.delivery().value == b"v"


def test_nobody_may_lead_ends_the_followers_with_aborted(rpc):
    """Row "the leader is lost, and nobody may lead": every follower ends with ABORTED, naming the
    reason.
    """
    leader = rpc.lead()
    watchers = [rpc.follow(role=pb.ROLE_FOLLOW_ONLY) for _ in range(3)]
    leader.cancel()
    for watcher in watchers:
        assert watcher.ended(ABORTED).message
    rpc.key_is_free()


def test_on_leader_loss_fail_ends_the_followers_with_aborted(rpc):
    """Row "... or on_leader_loss is FAIL": every follower ends with ABORTED, naming the reason."""
    leader = rpc.lead(on_leader_loss=FAIL)
    followers = [rpc.follow(), rpc.follow(live=True)]
    leader.cancel()
    for follower in followers:
        assert follower.ended(ABORTED).message
    assert rpc.key_is_free().token > leader.token


def test_on_leader_loss_of_the_opener_holds(rpc):
    """Section 9: of the caller that opens the flight hold: on_leader_loss."""
    leader, heir = rpc.lead(), rpc.follow(on_leader_loss=FAIL)
    leader.cancel()
    assert heir.leads().attempt == 2


def test_on_leader_loss_fail_does_not_touch_an_ordinary_end(rpc):
    """FAIL speaks of lost leaders only: an error is an outcome."""
    leader, follower = rpc.lead(on_leader_loss=FAIL), rpc.follow()
    leader.finish(kind=ERROR, message="no")
    assert follower.delivery().outcome.message == "no"


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_attempts_are_used_up(rpc, attempts):
    """Row "... or attempts are used up": ABORTED naming the reason; section 9: attempts count
    `lead`s.
    """
    callers = [rpc.lead(max_attempts=attempts)]
    callers += [rpc.follow() for _ in range(attempts)]
    for attempt in range(1, attempts):
        callers[attempt - 1].cancel()
        assert callers[attempt].leads().attempt == attempt + 1
    callers[attempts - 1].cancel()
    callers[attempts].ended(ABORTED, "attempt")
    rpc.key_is_free()


def test_max_attempts_of_the_opener_holds(rpc):
    """Section 9: of the caller that opens the flight hold: max_attempts, also for leaders that come
    later.
    """
    leader, heir, last = rpc.lead(), rpc.follow(max_attempts=1), rpc.follow()
    leader.cancel()
    heir.leads()
    heir.cancel()
    assert last.leads().attempt == 3


def test_an_aborted_flight_is_neither_retained_nor_listed(rpc):
    """Section 9: a flight that ends in ABORTED is neither retained nor listed."""
    leader = rpc.lead(on_leader_loss=FAIL, retain_ms=60_000, retain_error_ms=60_000)
    follower = rpc.follow()
    leader.cancel()
    follower.ended(ABORTED)
    assert rpc.flights() == []
    rpc.key_is_free()


def test_a_leader_that_leaves_alone_frees_the_key(rpc):
    """Row "a caller cancels": with nobody else the flight is over; a later join begins another."""
    leader = rpc.lead()
    leader.cancel()
    until(lambda: not rpc.flights(), "the flight is gone")
    assert rpc.key_is_free().token > leader.token


def test_run_limit_loses_the_lead(rpc):
    """Row "... or its lease or run_limit runs out": the leader is lost, the oldest follower
    leads.
    """
    leader, heir, live = rpc.lead(run_limit_ms=1000), rpc.follow(), rpc.follow(live=True)
    lead = heir.leads()
    assert lead.attempt == 2 and lead.token > leader.token
    assert lead.run_limit_ms == 1000
    assert live.expect("restart").attempt == 2
    leader.ended(ABORTED, "fenced", leader.token, lead.token)


def test_run_limit_counts_from_each_lead(rpc):
    """Section 9: run_limit counts from each `lead`: the second leader has as long as the first."""
    first, second, third = rpc.lead(run_limit_ms=1000), rpc.follow(), rpc.follow()
    second.leads()
    first.ended(ABORTED, "fenced")
    second.silent(0.5)
    second.finish(b"in time")
    assert third.delivery().value == b"in time"


def test_run_limit_is_not_stretched_by_chunks_or_renew(rpc):
    """`run_limit`: a leader that takes longer loses its leadership, whatever it sends."""
    leader, heir = rpc.lead(run_limit_ms=1000, lease_ms=60_000), rpc.follow()
    leader.renew()
    leader.chunk(b"busy")
    heir.leads()
    leader.ended(ABORTED, "fenced")


def test_run_limit_with_nobody_left_ends_the_leader_with_now_0(rpc):
    """Section 9: "fenced: token N, now M", M being 0 when there is no newer token."""
    leader = rpc.lead(run_limit_ms=200)
    end = leader.ended(ABORTED, f"fenced: token {leader.token}, now 0")
    assert end.message
    rpc.key_is_free()


def test_finishing_in_time_beats_the_run_limit(rpc):
    """A run_limit that has not run out does nothing, and nothing comes after the end."""
    leader, follower = rpc.lead(run_limit_ms=60_000), rpc.follow()
    leader.finish(b"v")
    assert follower.delivery().value == b"v"
    assert leader.delivery().led


def test_a_leader_whose_step_is_wrong_is_lost_and_its_followers_go_on(rpc):
    """Section 9: a leader whose stream ends with any status is lost (a step error, a limit); its
    followers go on.
    """
    leader, heir = rpc.lead(), rpc.follow()
    leader.chunk(b"x", sequence=5)
    leader.ended(grpc.StatusCode.INVALID_ARGUMENT)
    assert heir.leads().attempt == 2
    heir.finish(b"saved", kind=OK)
    assert heir.delivery().led


def test_callers_and_shared_count_the_last_attempt_only(rpc):
    """Section 9: `callers` counts those that the outcome goes to; lost leaders are not
    among them.
    """
    leader, heir = rpc.lead(), rpc.follow()
    leader.cancel()
    heir.leads()
    heir.finish()
    got = heir.delivery()
    assert got.led and got.callers == 1 and not got.shared and got.attempt == 2


def test_a_caller_that_comes_after_the_last_follower_left_joins_the_flight(rpc):
    """Row "the last follower leaves": a caller that comes later joins as long as the leader still
    leads.
    """
    leader, gone = rpc.lead(), rpc.follow()
    gone.cancel()
    rpc.flight_where(lambda f: f.callers == 1, "the last follower has left")
    late = rpc.follow()
    leader.finish(b"v")
    assert late.delivery().value == b"v"
