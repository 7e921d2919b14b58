# SPDX-License-Identifier: Apache-2.0
"""The protocol in virtual time, against a server that says what the test wants it to say."""

from __future__ import annotations

from typing import Any

from net import Net, half_closes, is_down, is_lost, is_over, result

from singleflight._core import effects
from singleflight._core.model import Code, Ended, Kind
from singleflight.v1 import singleflight_pb2 as pb

# ---- joining


def test_a_call_joins_leads_and_ends() -> None:
    net = Net()
    call = net.begin(retain_ms=5000, group="g")
    (frame,) = net.sent()
    assert (frame.id, frame.join.key, frame.join.group, frame.join.caller) == (1, b"k", "g", "me")
    assert (frame.join.retain_ms, frame.timeout_ms) == (5000, 0)
    assert net.sent() == []
    lead = net.lead(call)
    net.finish(lead, b"value")
    (frame,) = net.sent()
    assert frame.finish.outcome.value == b"value"
    assert frame.finish.outcome.kind == pb.OUTCOME_KIND_OK
    assert not frame.finish.HasField("retention")
    net.say(1, result=result(led=True, value_bytes=5))
    ended = net.done[call]
    assert ended.outcome is not None
    assert (ended.status, ended.outcome.value, ended.led) == (Code.OK, b"value", True)
    assert not net.core.seats


def test_what_is_ready_together_travels_together_with_ids_that_grow() -> None:
    net = Net()
    for key in (b"a", b"b", b"c"):
        net.begin(key=key)
    assert [(frame.id, frame.join.key) for frame in net.sent()] == [(1, b"a"), (2, b"b"), (3, b"c")]
    net.begin(key=b"d")
    assert [frame.id for frame in net.sent()] == [4]
    assert len(net.streams) == 1


def test_messages_are_bounded_and_chunks_take_turns() -> None:
    net = Net()
    calls = [net.begin(key=key) for key in (b"a", b"b")]
    net.sent()
    leads = [net.lead(call, number) for number, call in enumerate(calls, 1)]
    for lead in leads:
        assert net.core.write(lead, bytes(1024 * 1024))
    message = net.streams[0].next_message()
    assert message is not None
    assert message.ByteSize() < 1024 * 1024
    assert [frame.id for frame in message.calls][:4] == [1, 2, 1, 2]
    assert all(len(frame.chunk.data) <= 64 * 1024 for frame in message.calls)
    sequences = [frame.chunk.sequence for frame in message.calls if frame.id == 1]
    assert sequences == list(range(len(sequences)))


def test_deadlines_on_the_wire_leave_room_for_merged_callers() -> None:
    net = Net()
    first = net.begin(timeout=10)
    (frame,) = net.sent()
    assert frame.timeout_ms == 12500
    net.wait(1.25)
    second = net.begin(timeout=10)
    late = net.begin(timeout=10.5)
    assert [frame.id for frame in net.sent()] == [2]  # the third one's deadline does not fit
    for number in (1, 2):
        net.say(number, follow=pb.Follow(attempt=1))
    net.wait(8.75)
    assert net.done[first].status is Code.DEADLINE_EXCEEDED
    assert second not in net.done
    net.wait(1.25)
    assert net.done[second].status is Code.DEADLINE_EXCEEDED
    assert late not in net.done
    (frame,) = net.sent()
    assert frame.WhichOneof("step") == "cancel"


def test_calls_that_differ_are_not_merged() -> None:
    net = Net()
    different: list[dict[str, Any]] = [
        {},
        {"retain_ms": 1},
        {"group": "g"},
        {"key": b"other"},
        {"fingerprint": b"f"},
        {"caller": "c"},
        {"max_attempts": 2},
        {"audience": True},
        {"fail_open": True},
        {"mergeable": False},
        {"mergeable": False},
    ]
    for options in different:
        net.begin(**options)
    assert len(net.sent()) == len(different)
    net.begin(connect_timeout=1.0)  # this one is
    assert net.sent() == []


def test_no_call_is_merged_after_the_function_has_ended() -> None:
    net = Net()
    call = net.begin()
    net.sent()
    net.finish(net.lead(call))
    net.begin()
    assert [frame.WhichOneof("step") for frame in net.sent()] == ["finish", "join"]


def test_merged_callers_count() -> None:
    net = Net()
    calls = [net.begin() for _ in range(3)]
    net.sent()
    net.say(1, follow=pb.Follow(attempt=1))
    net.say(1, result=result(b"v", callers=2, shared=True))
    assert [net.done[call].callers for call in calls] == [4, 4, 4]
    again = [net.begin() for _ in range(2)]
    net.sent()
    net.say(2, result=result(b"v", callers=4, shared=True, retained=True))
    assert [net.done[call].callers for call in again] == [4, 4]


def test_pass_on_among_merged_calls_joins_before_it_finishes() -> None:
    net = Net()
    leader, other = net.begin(), net.begin()
    net.sent()
    lead = net.lead(leader)
    lead.pass_on = True
    net.finish(lead, kind=Kind.ERROR)
    assert [(frame.id, frame.WhichOneof("step")) for frame in net.sent()] == [
        (2, "join"),
        (1, "finish"),
    ]
    net.say(1, result=result(led=True, outcome=pb.Outcome(kind=pb.OUTCOME_KIND_ERROR)))
    assert net.done[leader].led
    assert net.lead(other, 2, attempt=2, token=11).attempt == 2


# ---- what the server says


def test_steps_of_a_later_server_are_ignored() -> None:
    net = Net()
    call = net.begin()
    net.sent()
    unknown = b"\x0a\x05\x08\x01\xfa\x07\x00"  # id 1, and a field 127 that nobody knows
    net.core.received(net.streams[0], pb.SessionResponse.FromString(unknown))
    net.say(99, follow=pb.Follow())  # nobody's
    assert call not in net.done
    net.say(1, result=result(b"v"))
    assert net.done[call].status is Code.OK


def test_a_value_that_is_not_whole_is_no_value() -> None:
    net = Net()
    call = net.begin()
    net.sent()
    net.say(1, result=result(b"v", value_bytes=2))
    assert net.done[call].status is Code.INTERNAL
    call = net.begin()
    net.sent()
    net.say(2, chunk=pb.Chunk(data=b"v", sequence=1))
    assert net.done[call].status is Code.INTERNAL
    call = net.begin()
    net.sent()
    net.say(3, result=pb.Result(led=False))
    assert net.done[call].status is Code.INTERNAL


def test_values_come_in_chunks() -> None:
    net = Net()
    call = net.begin()
    net.sent()
    net.say(1, chunk=pb.Chunk(data=b"one ", sequence=0))
    net.say(1, chunk=pb.Chunk(data=b"two ", sequence=1))
    net.say(1, result=result(b"three", value_bytes=13))
    outcome = net.done[call].outcome
    assert outcome is not None
    assert outcome.value == b"one two three"


def test_restart_voids_what_came() -> None:
    net = Net()
    call = net.begin(live=True, mergeable=False)
    net.sent()
    net.say(1, follow=pb.Follow(attempt=1))
    net.say(1, chunk=pb.Chunk(data=b"void", attempt=1))
    net.say(1, restart=pb.Restart(attempt=2, leader="heir"))
    net.say(1, chunk=pb.Chunk(data=b"good", attempt=2))
    net.say(1, result=result(attempt=2, value_bytes=4))
    outcome = net.done[call].outcome
    assert outcome is not None
    assert outcome.value == b"good"
    assert net.of(effects.Restarts) == [effects.Restarts(call, 2, "heir")]
    assert [chunk.data for chunk in net.of(effects.Chunk)] == [b"void", b"good"]


def test_a_status_ends_a_call() -> None:
    net = Net()
    call = net.begin()
    net.sent()
    net.say(1, end=pb.End(code=Code.RESOURCE_EXHAUSTED, message="flights-limit is 1"))
    assert net.done[call] == Ended(Code.RESOURCE_EXHAUSTED, "flights-limit is 1")
    call = net.begin()
    net.sent()
    net.say(2, end=pb.End(code=99))
    assert net.done[call].status is Code.UNKNOWN


def test_unavailable_for_a_join_retires_the_session() -> None:
    net = Net()
    running = net.begin(key=b"running")
    net.sent()
    lead = net.lead(running)
    refused = net.begin(key=b"refused")
    net.sent()
    net.say(2, end=pb.End(code=Code.UNAVAILABLE, message="draining"))
    assert refused not in net.done
    net.wait(0.1)
    assert len(net.streams) == 2
    assert [frame.join.key for frame in net.sent(1)] == [b"refused"]
    net.finish(lead, b"v")
    assert [frame.WhichOneof("step") for frame in net.sent(0)] == ["finish"]
    net.say(1, 0, result=result(led=True, value_bytes=1))
    assert net.done[running].status is Code.OK
    assert net.streams[0].half_closes
    net.wait(30)
    assert net.done[refused].status is Code.UNAVAILABLE
    assert "draining" in net.done[refused].text


def test_a_cancel_that_nobody_asked_for_is_a_broken_stream() -> None:
    net = Net()
    call = net.begin()
    net.sent()
    net.say(1, follow=pb.Follow(attempt=1))
    net.say(1, end=pb.End(code=Code.CANCELLED, message="a proxy's"))
    assert call not in net.done
    net.wait(0.1)
    assert [frame.join.key for frame in net.sent()] == [b"k"]
    net.break_stream(Code.CANCELLED)
    net.wait(1)
    assert len(net.streams) == 3
    assert [frame.join.key for frame in net.sent()] == [b"k"]


def test_statuses_that_no_second_try_mends_end_calls() -> None:
    for code in (Code.UNIMPLEMENTED, Code.UNAUTHENTICATED, Code.PERMISSION_DENIED):
        net = Net()
        call = net.begin()
        net.sent()
        net.break_stream(code, "no")
        assert net.done[call] == Ended(code, "no")


# ---- broken streams, leases


def test_a_leader_without_a_lease_is_lost_with_its_stream() -> None:
    net = Net()
    call, merged = net.begin(), net.begin()
    net.sent()
    lead = net.lead(call)
    net.break_stream()
    assert lead.lost is Code.ABORTED
    assert call not in net.done  # its function has not ended
    net.finish(lead)
    assert net.done[call].status is Code.ABORTED
    assert merged not in net.done
    net.wait(1)
    assert [frame.join.key for frame in net.sent()] == [b"k"]
    net.lead(merged, 1, token=11)


def test_a_lease_is_renewed_every_third_of_it() -> None:
    net = Net()
    call = net.begin(lease_ms=3000)
    net.sent()
    net.lead(call, lease_ms=3000)
    for _ in range(5):
        net.wait(0.999)
        assert net.sent() == []
        net.wait(0.001)
        assert [frame.WhichOneof("step") for frame in net.sent()] == ["renew"]


def test_a_lease_that_could_not_be_renewed_is_over() -> None:
    net = Net()
    call = net.begin(lease_ms=3000)
    net.sent()
    lead = net.lead(call, lease_ms=3000)
    net.wait(2.9)  # nobody takes the messages, so nothing is sent
    assert not is_lost(lead)
    net.wait(0.1)
    assert lead.lost is Code.ABORTED
    assert "3000 ms ran out" in lead.lost_why


def test_a_process_that_was_paused_does_not_believe_in_its_lease() -> None:
    net = Net()
    call = net.begin(lease_ms=3000)
    net.sent()
    lead = net.lead(call, lease_ms=3000)
    net.core.now += 3.1
    net.core.tick()
    net.look()
    assert lead.lost is Code.ABORTED
    assert "did not run" in lead.lost_why


def test_a_lead_with_a_lease_is_resumed_and_what_is_missing_sent_again() -> None:
    net = Net()
    call = net.begin(lease_ms=30000)
    net.sent()
    lead = net.lead(call, lease_ms=30000)
    for part in (b"one ", b"two ", b"three "):
        assert net.core.write(lead, part)
        net.look()
        assert [frame.chunk.data for frame in net.sent()] == [part]
    net.break_stream()
    assert not is_lost(lead)
    net.wait(1)
    (frame,) = net.sent()
    assert (frame.join.resume_token, frame.join.lease_ms) == (10, 0)
    assert net.core.write(lead, b"four")
    assert net.sent() == []  # not before the answer
    net.say(1, lead=pb.Lead(token=10, attempt=1, lease_ms=30000, next_sequence=1))
    (frame,) = net.sent()
    assert (frame.chunk.sequence, frame.chunk.data) == (1, b"two three four")
    net.finish(lead, b"!")
    (frame,) = net.sent()
    assert frame.finish.outcome.value == b"!"
    net.say(1, result=result(led=True))
    outcome = net.done[call].outcome
    assert outcome is not None
    assert outcome.value == b"one two three four!"


def test_a_finish_that_may_not_have_arrived_is_sent_again() -> None:
    net = Net()
    call = net.begin(lease_ms=30000)
    net.sent()
    lead = net.lead(call, lease_ms=30000)
    net.finish(lead, b"v")
    assert [frame.WhichOneof("step") for frame in net.sent()] == ["finish"]
    net.break_stream()
    net.wait(1)
    net.sent()
    net.say(1, lead=pb.Lead(token=10, attempt=1, lease_ms=30000))
    assert [frame.WhichOneof("step") for frame in net.sent()] in (["chunk", "finish"], ["finish"])
    net.say(1, result=result(led=True))
    assert net.done[call].status is Code.OK


def test_a_function_that_ends_before_the_resume_is_sent_does_not_hold_it_back() -> None:
    net = Net()
    call = net.begin(lease_ms=30000)
    net.sent()
    lead = net.lead(call, lease_ms=30000)
    net.break_stream()
    net.wait(1)
    lead.pass_on = True
    net.finish(lead, kind=Kind.ERROR)
    frames = net.sent()
    assert [frame.join.resume_token for frame in frames] == [10]
    net.say(1, lead=pb.Lead(token=10, attempt=1, lease_ms=30000))
    (frame,) = net.sent()
    assert frame.finish.pass_on


def test_a_resume_that_comes_too_late() -> None:
    net = Net()
    call = net.begin(lease_ms=3000)
    net.sent()
    lead = net.lead(call, lease_ms=3000)
    net.break_stream()
    net.wait(1)
    net.sent()
    net.say(1, end=pb.End(code=Code.ABORTED, message="fenced: token 10, now 11"))
    assert lead.lost is Code.ABORTED
    assert lead.lost_why == "fenced: token 10, now 11"


def test_leaving_with_a_lease_gives_it_back() -> None:
    net = Net()
    call = net.begin(lease_ms=3000)
    net.sent()
    lead = net.lead(call, lease_ms=3000)
    net.core.cancel(call)
    net.look()
    (frame,) = net.sent()
    assert frame.id == 1
    assert frame.finish.pass_on
    assert frame.finish.outcome.kind == pb.OUTCOME_KIND_ABANDONED
    assert lead.lost is Code.CANCELLED


def test_deadlines_on_the_wire_leave_time_to_give_a_lease_back() -> None:
    for mergeable in (True, False):
        net = Net()
        call = net.begin(timeout=10, lease_ms=600000, mergeable=mergeable)
        (frame,) = net.sent()
        assert frame.timeout_ms == 12500
        lead = net.lead(call, lease_ms=600000)
        net.wait(9.999)
        assert net.sent() == []
        net.wait(0.001)
        assert lead.lost is Code.DEADLINE_EXCEEDED
        (frame,) = net.sent()
        assert frame.finish.outcome.kind == pb.OUTCOME_KIND_ABANDONED
        assert frame.finish.pass_on


def test_a_lead_with_a_lease_that_crosses_a_cancel_is_given_back() -> None:
    net = Net()
    call = net.begin(group="g", retain_ms=5000)
    net.sent()
    net.say(1, follow=pb.Follow(attempt=1))
    net.core.cancel(call)
    net.look()
    assert [frame.WhichOneof("step") for frame in net.sent()] == ["cancel"]
    net.core.close()
    net.look()
    assert not half_closes(net.streams[0])
    for _ in range(2):  # once is enough
        net.say(1, lead=pb.Lead(token=77, attempt=2, lease_ms=600000))
    join, finish = net.sent()
    assert (join.id, finish.id) == (2, 2)
    assert join.join == pb.Join(group="g", key=b"k", caller="me", resume_token=77)
    assert finish.finish.pass_on
    assert finish.finish.outcome.kind == pb.OUTCOME_KIND_ABANDONED
    assert finish.finish.outcome.message == "the leader left"
    net.say(1, end=pb.End(code=Code.CANCELLED))
    net.say(2, lead=pb.Lead(token=77, attempt=2, lease_ms=600000))
    assert net.sent() == []
    assert not half_closes(net.streams[0])
    net.say(2, result=result(led=True))
    assert half_closes(net.streams[0])
    assert not net.core.seats
    assert net.of(effects.Leads) == []


def test_a_lead_that_comes_before_the_cancel_is_sent_is_given_back_in_its_place() -> None:
    net = Net()
    call = net.begin(lease_ms=3000)
    net.sent()
    net.core.cancel(call)
    net.look()
    net.say(1, lead=pb.Lead(token=77, attempt=1, lease_ms=3000))
    (frame,) = net.sent()
    assert (frame.id, frame.finish.pass_on) == (1, True)


def test_a_lead_without_a_lease_needs_no_more_than_the_cancel() -> None:
    net = Net()
    call = net.begin()
    net.sent()
    net.core.cancel(call)
    net.look()
    assert [frame.WhichOneof("step") for frame in net.sent()] == ["cancel"]
    net.say(1, lead=pb.Lead(token=77, attempt=1))
    assert net.sent() == []


def test_who_has_ended_need_not_leave() -> None:
    net = Net()
    call = net.begin()
    net.sent()
    net.core.cancel(call)
    net.look()
    net.say(1, result=result(b"v"))
    assert net.sent() == []
    net.core.close()
    net.look()
    assert half_closes(net.streams[0])


# ---- servers


def test_tries_back_off() -> None:
    net = Net(backoff_min=0.1, backoff_max=1.0)
    net.begin(connect_timeout=60.0)
    waits = []
    for _ in range(12):
        net.break_stream()
        before, count = net.core.now, len(net.streams)
        while len(net.streams) == count and not net.probes:
            net.wait(0.01)
        if net.probes:
            break
        waits.append(net.core.now - before)
    assert len(waits) > 5
    assert max(waits[:1]) <= 0.12
    assert max(waits) <= 1.02


def test_a_server_that_is_down_is_passed_by_until_it_is_healthy() -> None:
    net = Net(("a:1", "b:1", "c:1"), connect_timeout=1.0, backoff_max=0.1)
    call = net.begin(connect_timeout=1.0)
    home = net.streams[0].server
    while not is_down(home):
        if net.streams[-1].server is home and not net.streams[-1].over:
            net.break_stream()
        net.wait(0.01)
    assert call not in net.done
    stand_in = net.streams[-1].server
    assert stand_in is not home
    assert [server.address for server in net.core.order_of(call.join)][:2] == [
        home.address,
        stand_in.address,
    ]
    net.sent()
    net.say(1, result=result(b"v"))
    assert net.done[call].status is Code.OK
    second = net.begin()  # at once
    assert [frame.id for frame in net.sent()] == [2]
    net.say(2, result=result(b"v"))
    assert net.done[second].status is Code.OK
    net.wait(0.2)
    net.core.probed(net.probes[-1], False, "refused")
    net.wait(0.2)
    net.core.probed(net.probes[-1], True, "")
    assert not is_down(home)
    count = len(net.streams)
    net.begin()
    assert [stream.server for stream in net.streams[count:]] == [home]


def test_a_silent_server_is_down_after_the_connect_timeout() -> None:
    net = Net(connect_timeout=1.0)
    call = net.begin(connect_timeout=1.0)
    net.sent()
    net.wait(1)
    assert net.done[call].status is Code.UNAVAILABLE
    assert "does not answer" in net.done[call].text
    assert net.cut == net.streams
    second = net.begin(connect_timeout=1.0)
    assert second not in net.done  # it may be back soon
    net.wait(1)
    assert net.done[second].status is Code.UNAVAILABLE


def test_fail_open_runs_the_function_here() -> None:
    net = Net(connect_timeout=1.0)
    calls = [net.begin(connect_timeout=1.0, fail_open=True) for _ in range(2)]
    net.wait(1)
    lead = net.of(effects.Leads)[0].lead
    assert lead.token == 0
    net.finish(lead, b"alone")
    ended = [net.done[call] for call in calls]
    assert [(end.led, end.callers, end.failed_open) for end in ended] == [
        (True, 2, True),
        (False, 2, True),
    ]


# ---- the end


def test_close_ends_calls_and_lets_the_last_frames_out() -> None:
    net = Net()
    running, waiting = net.begin(key=b"running"), net.begin(key=b"waiting")
    net.sent()
    lead = net.lead(running)
    net.say(2, follow=pb.Follow(attempt=1))
    net.core.close()
    net.look()
    assert net.done[running].status is Code.CANCELLED
    assert net.done[waiting].status is Code.CANCELLED
    assert lead.lost is Code.CANCELLED
    assert sorted(frame.WhichOneof("step") or "" for frame in net.sent()) == ["cancel", "cancel"]
    assert net.sent() == []
    for number in (1, 2):
        assert not half_closes(net.streams[0])
        net.say(number, end=pb.End(code=Code.CANCELLED))
    assert half_closes(net.streams[0])
    assert not is_over(net.core)
    net.break_stream(Code.OK, "")
    assert is_over(net.core)
    late = net.begin()
    assert net.done[late].status is Code.CANCELLED
    net.finish(lead)  # means nothing any more


def test_close_does_not_wait_for_ever() -> None:
    net = Net()
    net.begin()
    net.sent()
    net.core.close()
    net.look()
    net.wait(0.5)
    assert net.cut == net.streams
