# SPDX-License-Identifier: Apache-2.0
"""The lead and its clock, in virtual time: section 7 and the second edition of the contract."""

from __future__ import annotations

from typing import Any

import pytest
from net import Net, is_lost, result

from singleflight._core import effects
from singleflight._core.call import Call
from singleflight._core.lead import Lead
from singleflight._core.model import Code, Kind, LeadRef
from singleflight.v1 import singleflight_pb2 as pb


def renewals(net: Net) -> list[int]:
    return [frame.renew.id for frame in net.sent() if frame.WhichOneof("step") == "renew"]


def renewed(net: Net, number: int, **fields: Any) -> None:
    net.say(1, renewed=pb.Renewed(id=number, **fields))


def leading(lease_ms: int = 3000, silence_ms: int = 3000, **options: Any) -> tuple[Net, Call, Lead]:
    """Somebody leads, at a server of the second edition."""
    net = Net()
    call = net.begin(lease_ms=lease_ms, **options)
    net.sent()
    return net, call, net.lead(call, lease_ms=lease_ms, silence_ms=silence_ms)


def asked(net: Net, lead: Lead) -> bool:
    return lead.is_lost(net.core.now)


# ---- renewals are answered


@pytest.mark.parametrize("lease_ms", [0, 3000])
def test_a_lead_is_renewed_every_third_of_what_it_holds(lease_ms: int) -> None:
    net, _, lead = leading(lease_ms)
    for number in range(1, 10):
        net.wait(1)
        assert renewals(net) == [number]
        renewed(net, number)
        net.wait(0.0005)
    assert not asked(net, lead)


@pytest.mark.parametrize("lease_ms", [0, 3000])
def test_a_lead_without_an_answer_is_lost_in_time(lease_ms: int) -> None:
    net, call, lead = leading(lease_ms)
    net.wait(1)
    assert renewals(net) == [1]
    renewed(net, 1)  # sent at 1 s: the lead holds until 4 s
    net.wait(1)
    net.sent()
    net.wait(1.999)
    assert not asked(net, lead)
    net.wait(0.001)
    assert asked(net, lead)
    assert lead.lost is Code.ABORTED  # told
    net.finish(lead)
    assert net.done[call].status is Code.ABORTED


def test_what_counts_is_when_it_was_sent_not_when_the_answer_came() -> None:
    net, _, lead = leading()
    net.wait(1)
    assert renewals(net) == [1]
    net.wait(1.9)
    renewed(net, 1)
    assert lead.holds_until == 4


def test_an_answer_to_an_older_renewal_changes_nothing() -> None:
    net, _, lead = leading()
    for number in (1, 2):
        net.wait(1)
        assert renewals(net) == [number]
    renewed(net, 2)
    renewed(net, 1)
    renewed(net, 77)
    assert lead.holds_until == 5


def test_the_server_may_change_how_long_a_lead_holds() -> None:
    net, _, lead = leading()
    net.wait(1)
    renewals(net)
    renewed(net, 1, silence_ms=9000)
    assert lead.holds_until == 10
    net.wait(2.9)
    assert renewals(net) == [2]  # it was armed for a third of the old
    net.wait(3)
    assert renewals(net) == [3]


def test_before_any_answer_the_sending_of_the_join_counts() -> None:
    net = Net()
    call = net.begin(lease_ms=3000)
    net.sent()
    net.wait(0.9)
    lead = net.lead(call, lease_ms=3000, silence_ms=3000)
    assert lead.holds_until == 3


def test_an_old_server_is_sent_renewals_without_an_id() -> None:
    net, _, _ = leading(silence_ms=0)
    net.wait(1)
    assert renewals(net) == [0]


def test_an_old_server_is_sent_none_without_a_lease() -> None:
    net, _, lead = leading(lease_ms=0, silence_ms=0)
    net.wait(1000)
    assert net.sent() == []
    assert not asked(net, lead)


# ---- a lead that comes late


def promoted() -> tuple[Net, Call]:
    net = Net()
    call = net.begin(lease_ms=3000)
    net.sent()
    net.say(1, follow=pb.Follow(attempt=1))
    net.wait(60)
    net.say(1, lead=pb.Lead(token=11, attempt=2, lease_ms=3000, silence_ms=3000))
    return net, call


def test_a_lead_that_comes_long_after_the_join_is_confirmed_first() -> None:
    net, call = promoted()
    assert net.of(effects.Leads) == []
    assert renewals(net) == [1]
    renewed(net, 1)
    (leads,) = net.of(effects.Leads)
    assert leads.call is call
    assert leads.lead.holds_until == 63


def test_a_lead_that_was_over_when_it_came_runs_nothing() -> None:
    net, call = promoted()
    net.sent()
    net.say(1, end=pb.End(code=Code.ABORTED, message="fenced: token 11, now 12"))
    assert net.of(effects.Leads) == []
    assert call not in net.done
    assert [frame.join.key for frame in net.sent()] == [b"k"]  # it waits for the new one


def test_who_leaves_before_the_confirmation_gives_the_lead_back() -> None:
    net, call = promoted()
    net.sent()
    net.core.cancel(call)
    net.look()
    (frame,) = net.sent()
    assert frame.finish.pass_on


# ---- pauses


def test_who_asks_after_a_pause_hears_that_the_lead_is_lost() -> None:
    net, _, lead = leading()
    net.core.now += 3.5  # nothing has run yet
    assert asked(net, lead)
    assert "did not run" in lead.why_lost(net.core.now)
    assert not is_lost(lead)


def test_a_paused_leader_asks_and_may_hear_that_the_lead_holds() -> None:
    net, _, lead = leading()
    net.pause(60)
    assert asked(net, lead)
    assert not is_lost(lead)  # the function has not been told
    assert renewals(net) == [1]
    renewed(net, 1)
    assert not asked(net, lead)
    assert lead.holds_until == 63
    net.wait(1)
    assert renewals(net) == [2]


@pytest.mark.parametrize(("silence_ms", "patience"), [(3000, 3), (60000, 5)])
def test_a_paused_leader_is_told_when_nobody_answers(silence_ms: int, patience: float) -> None:
    net, _, lead = leading(silence_ms, silence_ms)
    net.pause(1000)
    net.sent()
    net.wait(patience - 0.001)
    assert not is_lost(lead)
    net.wait(0.001)
    assert is_lost(lead)


def test_a_paused_leader_is_told_when_the_server_says_so() -> None:
    net, _, lead = leading()
    net.pause(60)
    net.sent()
    net.say(1, end=pb.End(code=Code.ABORTED, message="fenced: token 10, now 11"))
    assert lead.lost is Code.ABORTED


def test_answers_from_before_a_pause_do_not_confirm() -> None:
    net, _, lead = leading()
    net.wait(1)
    assert renewals(net) == [1]
    net.pause(60)
    renewed(net, 1)
    assert asked(net, lead)
    assert renewals(net) == [2]


def test_a_paused_leader_whose_stream_broke_resumes() -> None:
    net, _, lead = leading()
    net.pause(60)
    net.break_stream()
    net.wait(0.2)
    assert [frame.join.resume_token for frame in net.sent()] == [10]
    net.say(1, lead=pb.Lead(token=10, attempt=1, lease_ms=3000, silence_ms=3000))
    assert not asked(net, lead)
    assert not is_lost(lead)


# ---- an outcome that is on its way


def test_an_outcome_is_on_its_way_as_long_as_the_stream_lives() -> None:
    net, call, lead = leading()
    net.finish(lead, b"v")
    net.sent()
    net.wait(60)
    assert call not in net.done
    net.say(1, result=result(led=True, value_bytes=1))
    assert net.done[call].status is Code.OK


def test_an_outcome_is_offered_again_for_as_long_as_a_lead_would_hold() -> None:
    net, call, lead = leading()
    net.finish(lead, b"v")
    net.sent()
    net.wait(60)
    net.break_stream()
    net.wait(2.9)
    assert call not in net.done
    net.wait(0.1)
    assert net.done[call].status is Code.ABORTED


# ---- who leaves, and who waits


def test_calls_are_detached_and_ask_who_waits() -> None:
    net = Net()
    for options in ({}, {"mergeable": False}, {"live": True, "mergeable": False}):
        net.begin(timeout=5, **options)
    assert [(frame.join.detach, frame.join.audience) for frame in net.sent()] == [(True, True)] * 3


def test_a_function_goes_on_for_those_who_wait_elsewhere() -> None:
    net, call, lead = leading(timeout=2)
    net.say(1, audience=pb.Audience(followers=1))
    net.wait(2)
    assert net.done[call].status is Code.DEADLINE_EXCEEDED
    assert not is_lost(lead)
    late = net.begin(timeout=60, lease_ms=3000)  # the same flight, whatever the first deadline was
    net.say(1, audience=pb.Audience(followers=0))
    assert not is_lost(lead)
    net.core.cancel(late)
    net.look()
    assert lead.lost is Code.CANCELLED


def test_a_function_that_nobody_waits_for_any_more_is_cancelled() -> None:
    net, call, lead = leading()
    net.say(1, audience=pb.Audience(followers=1))
    net.core.cancel(call)
    net.look()
    assert not is_lost(lead)
    net.say(1, audience=pb.Audience(followers=0))
    assert lead.lost is Code.CANCELLED
    frames = net.sent()
    assert frames[-1].finish.pass_on


def test_a_deadline_ends_a_call_whose_lost_function_is_deaf() -> None:
    net, call, lead = leading(lease_ms=0, silence_ms=0, timeout=5)
    net.break_stream()
    assert is_lost(lead)
    assert call not in net.done
    net.wait(5)
    assert net.done[call].status is Code.ABORTED  # that came first


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_a_timeout_of_zero_is_over(timeout: float) -> None:
    net = Net()
    call = net.begin(timeout=timeout)
    assert net.done[call].status is Code.DEADLINE_EXCEEDED
    assert net.streams == []


# ---- outcomes that the server puts in the place of ours


def limit(**fields: Any) -> pb.Outcome:
    given = {"code": 8, "type": "singleflight.LimitExceeded", "message": "result limit 10"}
    return pb.Outcome(kind=pb.OUTCOME_KIND_ERROR, **{**given, **fields})


def test_a_limit_is_the_outcome_of_the_leader_too() -> None:
    net, call, lead = leading()
    net.finish(lead, b"too large")
    net.sent()
    net.say(1, result=pb.Result(led=True, outcome=limit(), callers=1, attempt=1, token=10))
    outcome = net.done[call].outcome
    assert outcome is not None
    assert (outcome.kind, outcome.code, outcome.value) == (Kind.ERROR, 8, b"")
    assert not net.done[call].own


def test_a_limit_that_chunks_pass_ends_the_function() -> None:
    net, call, lead = leading()
    assert net.core.write(lead, b"too ")
    net.sent()
    net.say(1, result=pb.Result(led=True, outcome=limit(), callers=1, attempt=1, token=10))
    assert lead.lost is Code.ABORTED
    assert "result limit 10" in lead.lost_why
    net.finish(lead)
    assert net.done[call].outcome is not None
    assert net.done[call].led


def test_the_servers_limit_is_kept_before_it_is_met() -> None:
    net = Net()
    call = net.begin()
    net.sent()
    lead = net.lead(call, silence_ms=3000, result_limit=10)
    assert net.core.write(lead, bytes(10))
    assert not net.core.write(lead, b"x")
    net.finish(lead, b"the rest", kind=Kind.ERROR)
    assert sum(len(f.chunk.data) + len(f.finish.outcome.value) for f in net.sent()) == 0


def test_a_held_loss_is_the_outcome_of_a_leader_that_resumes() -> None:
    net, call, lead = leading(on_leader_loss=2)
    net.break_stream()
    net.wait(0.2)
    net.sent()
    held = pb.Outcome(kind=pb.OUTCOME_KIND_ABANDONED, message="lease of 3 s ran out")
    net.say(1, result=pb.Result(led=True, outcome=held, callers=1, attempt=1, token=10))
    assert is_lost(lead)
    net.finish(lead)
    outcome = net.done[call].outcome
    assert outcome is not None
    assert (outcome.kind, outcome.message) == (Kind.ABANDONED, "lease of 3 s ran out")


# ---- what is new in a join


def test_new_options_travel() -> None:
    net = Net()
    within = (LeadRef("g", b"outer", 7),)
    net.begin(fresh=True, retain_from_lead=True, on_leader_loss=2, within=within)
    (frame,) = net.sent()
    join = frame.join
    assert (join.fresh, join.retain_from_lead) == (True, True)
    assert join.on_leader_loss == pb.LEADER_LOSS_HOLD
    assert list(join.within) == [pb.LeadRef(group="g", key=b"outer", token=7)]


def test_fresh_calls_are_merged_only_before_the_join_is_sent() -> None:
    net = Net()
    first, second = net.begin(fresh=True), net.begin(fresh=True)
    assert len(net.sent()) == 1
    late = net.begin(fresh=True)
    assert len(net.sent()) == 1
    net.say(1, result=result(b"v"))
    assert first in net.done and second in net.done and late not in net.done


def test_a_fresh_caller_follows_twice() -> None:
    net = Net()
    call = net.begin(fresh=True)
    net.sent()
    net.say(1, follow=pb.Follow(attempt=0))
    net.say(1, follow=pb.Follow(attempt=1, leader="somebody"))
    net.say(1, result=result(b"v"))
    assert net.done[call].status is Code.OK


# ---- fail_open in the middle


@pytest.mark.parametrize("ends", ["connection", "silence"])
def test_with_fail_open_a_leader_that_loses_the_server_goes_on(ends: str) -> None:
    net, call, lead = leading(lease_ms=0, fail_open=True)
    merged = net.begin(lease_ms=0, fail_open=True)
    assert net.core.write(lead, b"half ")
    net.sent()
    if ends == "connection":
        net.break_stream()
    else:
        net.wait(3)
    assert not asked(net, lead)
    assert lead.failed_open
    late = net.begin(lease_ms=0, fail_open=True)
    net.finish(lead, b"whole")
    for one in (call, merged, late):
        ended = net.done[one]
        assert ended.outcome is not None
        assert (ended.outcome.value, ended.failed_open) == (b"half whole", True)
        assert (ended.token, ended.callers) == (10, 3)


def test_with_fail_open_an_outcome_that_was_not_confirmed_counts_here() -> None:
    net, call, lead = leading(lease_ms=0, fail_open=True)
    net.finish(lead, b"v")
    net.sent()
    net.break_stream()
    assert net.done[call].failed_open


def test_with_fail_open_a_leader_that_was_replaced_is_lost() -> None:
    net, _, lead = leading(fail_open=True)
    net.say(1, end=pb.End(code=Code.ABORTED, message="fenced: token 10, now 11"))
    assert is_lost(lead)
