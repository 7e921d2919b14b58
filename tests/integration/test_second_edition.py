# SPDX-License-Identifier: Apache-2.0
"""Section 10: hold, windows from the lead, detached leads, ending a flight, nested calls, reasons."""

import grpc
from singleflight.v1 import singleflight_pb2 as pb

from support.callers import ABANDONED, ERROR

ABORTED = grpc.StatusCode.ABORTED
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
HOLD = pb.LEADER_LOSS_HOLD
LONG = 60_000


# 10.8 Hold.


def test_the_loss_is_the_outcome_and_is_retained_until_it_is_forgotten(rpc):
    leader = rpc.lead(alone=True, on_leader_loss=HOLD, retain_error_ms=LONG)
    follower = rpc.follow()
    leader.chunk(b"half")
    rpc.flight_where(lambda f: f.value_bytes == 4, "the chunk is there")
    leader.break_stream()
    got = follower.delivery()
    assert got.outcome.kind == ABANDONED and got.value == b"half"
    assert "stream ended" in got.outcome.message and got.retain_ms == LONG
    late = rpc.join(on_leader_loss=HOLD).delivery()
    assert late.retained and late.outcome.kind == ABANDONED and late.value == b"half"
    assert rpc.forget().retained
    rpc.key_is_free()


def test_a_lost_leader_that_resumes_gets_it(each):
    leader = each.lead(alone=True, on_leader_loss=HOLD, retain_error_ms=LONG, lease_ms=1000)
    follower = each.follow()
    leader.break_stream()
    assert follower.delivery().outcome.kind == ABANDONED
    got = each.resume(leader.token).delivery()
    assert got.led and got.outcome.kind == ABANDONED and got.token == leader.token


def test_pass_on_has_no_effect_with_hold(rpc):
    leader, follower = rpc.lead(on_leader_loss=HOLD), rpc.follow()
    leader.finish(b"no", kind=ERROR, pass_on=True)
    assert follower.delivery().outcome.kind == ERROR


# 10.6 A window from the start.


def test_the_retention_counts_from_the_lead(rpc):
    leader, follower = rpc.lead(retain_ms=LONG, retain_from_lead=True), rpc.follow()
    follower.silent(0.5)
    leader.finish(b"v")
    assert LONG - 10_000 < follower.delivery().retain_ms <= LONG - 500


def test_when_the_run_took_longer_nothing_is_retained(rpc):
    leader, follower = rpc.lead(retain_ms=200, retain_from_lead=True), rpc.follow()
    follower.silent(0.5)
    leader.finish(b"v")
    got = follower.delivery()
    assert got.retain_ms == 0 and not got.retain_refused
    rpc.key_is_free()


def test_what_finish_says_counts_from_the_lead_too(rpc):
    leader, follower = rpc.lead(retain_from_lead=True), rpc.follow()
    follower.silent(0.3)
    leader.finish(b"v", retain_ms=LONG)
    assert 0 < follower.delivery().retain_ms <= LONG - 300


# 10.5 Detached leads.


def session_call(net, timeout_ms, **fields):
    call = net.session().open_call()
    call.send("join", net.join_message(**fields), timeout_ms=timeout_ms)
    return call


def test_a_detached_lead_outlives_its_timeout(net):
    leader = session_call(net, 300, detach=True)
    leader.leads()
    leader.silent(1)
    leader.finish(b"v")
    assert leader.delivery().led


def test_a_follower_that_is_detached_does_not(net):
    net.lead()
    follower = session_call(net, 300, detach=True)
    follower.follows()
    follower.ended(grpc.StatusCode.DEADLINE_EXCEEDED)


def test_without_it_the_timeout_ends_a_leader(net):
    leader = session_call(net, 300)
    leader.leads()
    leader.ended(grpc.StatusCode.DEADLINE_EXCEEDED)


def test_on_do_it_has_no_effect(net):
    leader = net.do(timeout_s=0.5)
    leader.send("join", net.join_message(detach=True))
    leader.leads()
    leader.ended(grpc.StatusCode.DEADLINE_EXCEEDED)


# 10.9 Ending a flight.


def test_end_fences_the_leader_and_aborts_the_followers(rpc):
    leader, follower = rpc.lead(), rpc.follow()
    answer = rpc.end(caller="ops")
    assert answer.flight and answer.ended and not answer.retained
    text = leader.ended(ABORTED, f"fenced: token {leader.token}", "ended by ops").message
    assert follower.ended(ABORTED, "ended by ops").message == text
    rpc.key_is_free()


def test_without_a_name_it_is_ended(rpc):
    leader = rpc.lead()
    rpc.end()
    assert "ended" in leader.ended(ABORTED, "fenced").message


def test_end_with_nothing_there(rpc):
    answer = rpc.end(caller="ops")
    assert not answer.flight and not answer.ended and not answer.retained


def test_the_next_flight_begins_forgotten(rpc):
    leader = rpc.lead()
    waiting = rpc.join(fresh=True)
    waiting.follows()
    rpc.end(caller="ops")
    leader.ended(ABORTED, "ended by ops")
    waiting.leads()
    assert rpc.flight(forgotten=True) is not None
    rpc.key_is_free()


def test_if_unshared_comes_first(rpc):
    leader, _ = rpc.lead(), rpc.follow()
    assert not rpc.end(if_unshared=True).ended
    leader.silent()


def test_a_name_that_is_too_long_is_invalid(net):
    try:
        net.end(caller="x" * 129)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    else:
        raise AssertionError("it was taken")


# 10.10 Nested calls.


def test_a_call_inside_its_own_lead_is_refused_whatever_its_role(rpc):
    leader = rpc.lead()
    within = [
        pb.LeadRef(group="other", key=rpc.key, token=leader.token),
        pb.LeadRef(group=rpc.group, key=rpc.key, token=leader.token),
    ]
    for role in (pb.ROLE_ANY, pb.ROLE_LEAD_ONLY, pb.ROLE_FOLLOW_ONLY):
        for fresh in (False, True):
            rpc.join(role=role, fresh=fresh, within=within).ended(PRECONDITION, "wait for itself")
    rpc.join(within=within[:1]).follows()
    rpc.lead(key=b"another", within=within)


def test_more_than_32_leads_are_invalid(rpc):
    lead = pb.LeadRef(key=b"k", token=1)
    rpc.join(within=[lead] * 33).ended(grpc.StatusCode.INVALID_ARGUMENT, "within")
    rpc.join(key=b"other", within=[lead] * 32).leads()


# 10.12 Reasons.


def test_a_resume_of_a_lost_lead_hears_why(rpc):
    first, second = rpc.lead(run_limit_ms=1000), rpc.follow()
    second.leads()
    first.ended(ABORTED, "run limit of 1 s ran out")
    rpc.resume(first.token).ended(ABORTED, f"fenced: token {first.token}, now", "run limit of 1 s")


def test_a_token_of_before_the_restart_hears_so(net):
    net.resume(5).ended(ABORTED, "fenced: token 5, now 0", "before the restart")


def test_those_who_pass_on_and_leave_are_named(rpc):
    first, second, third = rpc.lead(alone=True), rpc.follow(alone=True), rpc.follow()
    first.finish(b"no", kind=ERROR, pass_on=True)
    second.leads()
    second.break_stream()
    third.leads()
    rpc.resume(first.token).ended(ABORTED, "passed on")
    rpc.resume(second.token).ended(ABORTED, "stream ended")
