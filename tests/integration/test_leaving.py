# SPDX-License-Identifier: Apache-2.0
"""Row "a caller cancels, its deadline passes, or its stream breaks", and section 9 "Half-close"."""

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.wait import milliseconds

CANCELLED = grpc.StatusCode.CANCELLED
DEADLINE = grpc.StatusCode.DEADLINE_EXCEEDED
OK = grpc.StatusCode.OK


def leaves_by_cancel(caller):
    caller.cancel()


def leaves_by_breaking(caller):
    caller.break_stream()


@pytest.mark.parametrize("leave", [leaves_by_cancel, leaves_by_breaking])
def test_only_that_caller_leaves(rpc, leave):
    """Row: only that caller leaves."""
    leader, gone, stays = rpc.lead(), rpc.follow(alone=True), rpc.follow()
    leave(gone)
    gone.ended(CANCELLED)
    rpc.flight_where(lambda f: f.callers == 2, "one caller has left")
    leader.finish(b"v")
    assert stays.delivery().callers == 2


def test_a_deadline_ends_one_follower(rpc):
    """Row: its deadline passes: DEADLINE_EXCEEDED for it, nothing for the others."""
    started = milliseconds()
    leader, hasty, stays = rpc.lead(), rpc.follow(timeout_s=1), rpc.follow()
    hasty.ended(DEADLINE)
    assert milliseconds() - started >= 900
    rpc.flight_where(lambda f: f.callers == 2, "the hasty caller has left")
    leader.finish(b"v")
    assert stays.delivery().value == b"v"


def test_a_deadline_that_does_not_pass_does_nothing(rpc):
    """timeout_ms or the stream's deadline: only when it passes."""
    leader, follower = rpc.lead(timeout_s=60), rpc.follow(timeout_s=60)
    leader.finish(b"v")
    assert follower.delivery().value == b"v"
    assert leader.delivery().led


def test_a_deadline_of_the_leader_loses_the_lead(rpc):
    """Row "the leader leaves without `finish` (lease 0)"."""
    leader, heir = rpc.lead(timeout_s=1), rpc.follow()
    leader.ended(DEADLINE)
    assert heir.leads().attempt == 2


def test_a_deadline_holds_after_a_promotion(rpc):
    """Section 9: each caller has its own timeout, from its join, also when it leads by then."""
    leader, heir, last = rpc.lead(), rpc.follow(timeout_s=1.5), rpc.follow()
    leader.cancel()
    heir.leads()
    heir.ended(DEADLINE)
    assert last.leads().attempt == 3


def test_a_follower_that_left_is_not_promoted(rpc):
    """Row: it has left; the next oldest leads."""
    leader, gone, heir = rpc.lead(), rpc.follow(), rpc.follow()
    gone.cancel()
    rpc.flight_where(lambda f: f.callers == 2, "one follower has left")
    leader.cancel()
    assert heir.leads().attempt == 2


def test_a_session_deadline_ends_one_call_and_not_the_stream(net):
    """timeout_ms: this call's deadline; the stream and its other calls go on."""
    net.lead()
    stream = net.session()
    hasty, patient = stream.open_call(), stream.open_call()
    hasty.send("join", net.join_message(), timeout_ms=1000)
    patient.send("join", net.join_message())
    hasty.follows()
    patient.follows()
    assert not hasty.ended(DEADLINE).with_stream
    patient.silent()


def test_timeout_ms_beside_another_step_means_nothing(net):
    """CallRequest.timeout_ms: with join."""
    stream = net.session()
    leader = stream.open_call()
    leader.send("join", net.join_message())
    leader.leads()
    leader.send("chunk", pb.Chunk(data=b"x"), timeout_ms=1)
    leader.silent()
    leader.finish(b"y")
    assert leader.delivery().value_bytes == 2


@pytest.mark.parametrize("timeout_ms", [2**63, 2**64 - 1, 10**12])
def test_a_timeout_in_the_far_future_is_no_hurry(net, timeout_ms):
    """timeout_ms has no bound; a huge one must not wrap around."""
    caller = net.session().open_call()
    caller.send("join", net.join_message(), timeout_ms=timeout_ms)
    caller.leads()
    caller.silent()
    caller.finish()
    assert caller.delivery().led


def test_the_deadline_of_a_session_stream_ends_all_its_calls(net):
    """Section 2: a Session call means what the Do call means: the stream's own deadline ends it
    with its stream.
    """
    stream = net.session(timeout_s=1)
    leader = stream.open_call()
    leader.send("join", net.join_message())
    leader.leads()
    heir = net.follow()
    assert stream.status().code == DEADLINE
    assert heir.leads().attempt == 2


def test_a_broken_session_stream_takes_all_its_callers(net):
    """Row: its stream breaks: leaders on it are lost, followers on it leave."""
    stream = net.session()
    leaders, heirs = [], []
    for number in range(10):
        leader = stream.open_call()
        leader.send("join", net.join_message(key=b"%d" % number))
        leader.leads()
        leaders.append(leader)
        heirs.append(net.follow(key=b"%d" % number))
    stream.cancel()
    for heir in heirs:
        assert heir.leads().attempt == 2


def test_a_follower_that_half_closed_waits_on(rpc):
    """Section 9: a waiting follower waits on."""
    leader, follower = rpc.lead(alone=True), rpc.follow(alone=True)
    follower.half_close()
    follower.silent()
    leader.finish(b"v")
    assert follower.delivery().value == b"v"


def test_a_follower_that_half_closed_is_never_promoted(rpc):
    """Section 9: ... but is never promoted: the next one is, and it still gets the outcome."""
    leader, closed, heir = rpc.lead(alone=True), rpc.follow(alone=True), rpc.follow(alone=True)
    closed.half_close()
    closed.silent()
    leader.cancel()
    assert heir.leads().attempt == 2
    heir.finish(b"v")
    assert closed.delivery().value == b"v"


def test_when_all_followers_half_closed_a_loss_ends_them(rpc):
    """Row "the leader is lost, and nobody may lead": ABORTED, naming the reason."""
    leader = rpc.lead(alone=True)
    followers = [rpc.follow(alone=True) for _ in range(2)]
    for follower in followers:
        follower.half_close()
        follower.silent()
    leader.cancel()
    for follower in followers:
        assert follower.ended(grpc.StatusCode.ABORTED).message


def test_a_leader_that_half_closes_without_finish_leaves(rpc):
    """Section 9: a leader without `finish` leaves."""
    leader, heir = rpc.lead(alone=True), rpc.follow()
    leader.half_close()
    assert heir.leads().attempt == 2
    leader.ended()


def test_finish_and_half_close_together_is_a_finish(rpc):
    """Section 9: half-close says "no more steps": finish was the last one."""
    leader, follower = rpc.lead(alone=True), rpc.follow()
    leader.finish(b"v")
    leader.half_close()
    assert follower.delivery().value == b"v"
    assert leader.delivery().led


def test_join_finish_and_half_close_at_once(each):
    """The shortest client: everything it has to say, then half-close."""
    leader = each.open(alone=True)
    leader.send("join", each.join_message())
    leader.finish(b"v")
    leader.half_close()
    leader.leads()
    assert leader.delivery().led


def test_join_and_half_close_with_nothing_known(each):
    """Section 9: a leader without `finish` leaves: the flight is over, and the key is free."""
    leader = each.open(alone=True)
    leader.send("join", each.join_message())
    leader.half_close()
    leader.leads()
    leader.ended()
    each.key_is_free()


def test_join_and_half_close_for_a_retained_outcome(each):
    """Section 9: half-close says "no more steps": what the caller waits for is delivered."""
    each.retained(b"x" * 1_000_000)
    caller = each.open(alone=True)
    caller.send("join", each.join_message())
    caller.half_close()
    assert caller.delivery().value == b"x" * 1_000_000


def test_a_session_that_half_closes_delivers_and_then_ends_ok(net):
    """Section 9: a Session delivers what its calls wait for and then ends OK."""
    leaders = [net.lead(key=b"%d" % i) for i in range(5)]
    stream = net.session()
    followers = []
    for number in range(5):
        follower = stream.open_call()
        follower.send("join", net.join_message(key=b"%d" % number))
        follower.follows()
        followers.append(follower)
    stream.half_close()
    followers[0].silent()
    for number, leader in enumerate(leaders):
        leader.finish(b"%d" % number * 50_000)
    for number, follower in enumerate(followers):
        assert follower.delivery().value == b"%d" % number * 50_000
    assert stream.status().code == OK


def test_a_session_with_nothing_to_wait_for_ends_ok(net):
    """Section 9: a Session delivers what its calls wait for and then ends OK: nothing, here."""
    stream = net.session()
    stream.half_close()
    assert stream.status().code == OK


def test_a_session_that_half_closes_with_a_leader_loses_it(net):
    """Section 9: a leader without `finish` leaves; the stream ends when nobody on it waits any
    more.
    """
    stream = net.session()
    leader, follower = stream.open_call(), stream.open_call()
    leader.send("join", net.join_message(key=b"led"))
    leader.leads()
    other = net.lead(key=b"followed")
    follower.send("join", net.join_message(key=b"followed"))
    follower.follows()
    heir = net.follow(key=b"led")
    stream.half_close()
    assert heir.leads().attempt == 2
    other.finish(b"v")
    assert follower.delivery().value == b"v"
    assert stream.status().code == OK
