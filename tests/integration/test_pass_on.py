# SPDX-License-Identifier: Apache-2.0
"""Row "leader finishes with an error and pass_on", and what section 9 says of kept errors."""

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.callers import ABANDONED, ERROR, KIB, OK, PANIC

FOLLOW_ONLY = pb.ROLE_FOLLOW_ONLY
NOT_OK = {"error": ERROR, "panic": PANIC, "abandoned": ABANDONED}


@pytest.mark.parametrize("kind", NOT_OK.values(), ids=NOT_OK)
def test_the_next_caller_tries(rpc, kind):
    """Row: as if the leader were lost: the oldest follower leads; the one that passes on gets its
    own error.
    """
    leader, heir, follower = rpc.lead(), rpc.follow(), rpc.follow()
    leader.finish(kind=kind, message="not me", code=3, pass_on=True)
    mine = leader.delivery()
    assert mine.led and mine.outcome.kind == kind and mine.outcome.message == "not me"
    assert mine.attempt == 1 and mine.token == leader.token
    lead = heir.leads()
    assert lead.attempt == 2 and lead.token > leader.token
    follower.silent()
    heir.finish(b"done")
    got = follower.delivery()
    assert got.outcome.kind == OK and got.value == b"done"
    assert got.attempt == 2 and got.token == heir.token and got.callers == 2


def test_the_leader_that_passes_on_does_not_wait_for_the_end(rpc):
    """Section 9: the leader that passes on gets `result` at once."""
    leader, heir = rpc.lead(), rpc.follow()
    leader.finish(kind=ERROR, message="x", pass_on=True)
    assert leader.delivery().outcome.message == "x"
    heir.leads()
    heir.silent()


def test_the_last_error_is_the_outcome_when_nobody_is_left(rpc):
    """Row: the last error is the outcome once nobody is left to try."""
    first, second = rpc.lead(), rpc.follow()
    watcher = rpc.follow(role=FOLLOW_ONLY)
    first.finish(kind=ERROR, message="first", pass_on=True)
    second.leads()
    second.finish(kind=PANIC, message="second", pass_on=True)
    got = watcher.delivery()
    assert got.outcome.kind == PANIC and got.outcome.message == "second"
    assert got.attempt == 2 and got.token == second.token and not got.led
    assert second.delivery().outcome.message == "second"
    rpc.key_is_free()


def test_alone_the_error_is_the_outcome(rpc):
    """Row: nobody is left to try from the beginning: the leader gets its own error, the key is
    free.
    """
    leader = rpc.lead()
    leader.finish(kind=ERROR, message="mine", pass_on=True)
    got = leader.delivery()
    assert got.led and got.outcome.message == "mine" and got.attempt == 1
    rpc.key_is_free()


@pytest.mark.parametrize("attempts", [1, 2])
def test_when_attempts_are_used_up_the_last_error_is_the_outcome(rpc, attempts):
    """Section 2: when attempts are used up the last error is the outcome, for those that might
    still try, too.
    """
    callers = [rpc.lead(max_attempts=attempts)] + [rpc.follow() for _ in range(attempts + 1)]
    for attempt in range(attempts):
        if attempt:
            callers[attempt].leads()
        callers[attempt].finish(kind=ERROR, message=f"error {attempt + 1}", pass_on=True)
        assert callers[attempt].delivery().outcome.message == f"error {attempt + 1}"
    for follower in callers[attempts:]:
        got = follower.delivery()
        assert got.outcome.message == f"error {attempts}"
        assert got.attempt == attempts and got.token == callers[attempts - 1].token


def test_a_kept_error_comes_before_aborted(rpc):
    """Section 9: when a kept error stands and nobody is left to try, it comes before ABORTED."""
    first, second = rpc.lead(), rpc.follow()
    watcher = rpc.follow(role=FOLLOW_ONLY)
    first.finish(kind=ERROR, message="kept", code=9, pass_on=True)
    second.leads()
    second.cancel()
    got = watcher.delivery()
    assert got.outcome.message == "kept" and got.outcome.code == 9
    assert got.attempt == 1 and got.token == first.token


def test_a_kept_error_comes_before_aborted_when_attempts_are_used_up(rpc):
    """Section 9: the kept error has the attempt and token of its leader."""
    first, second, third = rpc.lead(max_attempts=2), rpc.follow(), rpc.follow()
    first.finish(kind=ERROR, message="kept", pass_on=True)
    second.leads()
    second.cancel()
    got = third.delivery()
    assert got.outcome.message == "kept" and got.attempt == 1 and got.token == first.token


def test_a_later_outcome_replaces_a_kept_error(rpc):
    """Row: the error is kept only until somebody ends the flight."""
    first, second, third = rpc.lead(), rpc.follow(), rpc.follow()
    first.finish(kind=ERROR, message="kept", pass_on=True)
    second.leads()
    second.finish(kind=ERROR, message="for everybody")
    assert third.delivery().outcome.message == "for everybody"


def test_chunks_of_an_attempt_that_is_passed_on_are_void(rpc):
    """Row: as if it were lost: live followers get `restart`, and the next attempt begins with
    nothing.
    """
    leader, heir = rpc.lead(), rpc.follow()
    live, calm = rpc.follow(live=True), rpc.follow()
    leader.chunk(b"void" * (30 * KIB))
    leader.finish(kind=ERROR, pass_on=True)
    heir.leads()
    heir.chunk(b"valid")
    heir.finish()
    assert live.delivery().value == b"valid"
    assert calm.delivery().value == b"valid"


@pytest.mark.parametrize("size", [0, 10, 200 * KIB], ids=str)
def test_a_kept_error_has_its_value(rpc, size):
    """Section 9: the value is always the chunks of the result's attempt and the rest, for every
    kind of outcome.
    """
    first, second = rpc.lead(), rpc.follow()
    watcher = rpc.follow(role=FOLLOW_ONLY)
    first.chunk(b"a" * size)
    first.finish(b"tail", kind=ERROR, message="kept", pass_on=True)
    second.leads()
    second.chunk(b"void" * KIB)
    second.cancel()
    got = watcher.delivery()
    assert got.outcome.message == "kept"
    assert got.value == b"a" * size + b"tail"


def test_pass_on_with_ok_is_refused(rpc):
    """Section 9: `pass_on` with OK is INVALID_ARGUMENT; its leader is lost, and the followers go
    on.
    """
    leader, heir = rpc.lead(), rpc.follow()
    leader.finish(b"v", kind=OK, pass_on=True)
    leader.ended(grpc.StatusCode.INVALID_ARGUMENT, "pass_on")
    assert heir.leads().attempt == 2


def test_pass_on_has_no_effect_with_on_leader_loss_fail(rpc):
    """Section 9: with on_leader_loss FAIL it has no effect: the error is everybody's outcome."""
    leader, follower = rpc.lead(on_leader_loss=pb.LEADER_LOSS_FAIL), rpc.follow()
    leader.finish(kind=ERROR, message="for all", pass_on=True)
    got = follower.delivery()
    assert got.outcome.message == "for all" and got.attempt == 1 and got.callers == 2
    assert leader.delivery().callers == 2


def test_the_retain_error_of_the_flight_holds_for_an_error_passed_on_to_nobody(rpc):
    """Section 9: an error that becomes the outcome is retained like any other."""
    leader = rpc.lead(retain_error_ms=60_000)
    leader.finish(kind=ERROR, message="kept", pass_on=True)
    leader.delivery()
    got = rpc.join().delivery()
    assert got.retained and got.outcome.message == "kept" and got.token == leader.token


def test_an_error_that_was_passed_on_is_not_retained_while_others_try(rpc):
    """Row: the error is kept for the flight, not for late comers: they join the flight."""
    leader, heir = rpc.lead(retain_error_ms=60_000), rpc.follow()
    leader.finish(kind=ERROR, message="kept", pass_on=True)
    heir.leads()
    late = rpc.follow()
    heir.finish(b"v")
    assert late.delivery().value == b"v"


def test_a_joiner_after_pass_on_may_be_the_next_to_try(rpc):
    """Row: let the next caller try: also one that came after the first had given up."""
    first, second = rpc.lead(), rpc.follow()
    first.finish(kind=ERROR, message="one", pass_on=True)
    second.leads()
    third = rpc.follow()
    second.finish(kind=ERROR, message="two", pass_on=True)
    assert third.leads().attempt == 3
    third.finish(b"three")
    assert third.delivery().led


def test_a_forgotten_flight_passes_on_too(rpc):
    """Section 9: a forgotten flight keeps its promotions."""
    first, second = rpc.lead(), rpc.follow()
    assert rpc.forget().flight
    newer = rpc.lead()
    first.finish(kind=ERROR, pass_on=True)
    assert second.leads().token > newer.token
    second.finish(b"old")
    assert second.delivery().led
    newer.finish(b"new")
    assert newer.delivery().led
