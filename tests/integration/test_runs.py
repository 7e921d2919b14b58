# SPDX-License-Identifier: Apache-2.0
"""Section 10.11: runs, and what Flight gained."""

import time

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support import wait
from support.callers import ERROR, OK

LONG = 60_000


def runs_of(net, **request):
    request.setdefault("group", net.group)
    return list(net.admin.ListRuns(pb.ListRunsRequest(**request), timeout=wait.BOUND))


def run_where(net, condition, what):
    return wait.until(lambda: next((r for r in runs_of(net) if condition(r)), None), what)


def job(net, key, value=b"v", **fields):
    leader = net.lead(key=key, lease_ms=LONG, caller="worker-1", **fields)
    leader.finish(value)
    return leader.delivery()


def test_a_job_is_remembered(rpc):
    begun_ms = time.time() * 1000
    leader, follower = rpc.lead(lease_ms=LONG, caller="worker-1"), rpc.follow()
    leader.finish(b"12345", kind=ERROR, code=7, message="it broke")
    leader.delivery()
    follower.delivery()
    run = run_where(rpc, lambda r: r.key == rpc.key, "the run is listed")
    assert run.group == rpc.group and run.leader == "worker-1" and run.token == leader.token
    assert run.attempts == 1 and run.callers == 2 and run.value_bytes == 5
    assert run.kind == ERROR and run.code == 7 and run.message == "it broke"
    assert begun_ms - 1 <= run.begun_unix_ms <= run.led_unix_ms <= run.ended_unix_ms
    assert run.ended_unix_ms <= time.time() * 1000 + 1


def test_a_flight_without_lease_is_remembered_when_it_was_retained(rpc):
    leader = rpc.lead(key=b"plain")
    leader.finish(b"v")
    leader.delivery()
    rpc.retained(key=b"kept")
    run_where(rpc, lambda r: r.key == b"kept", "the run is listed")
    assert [r.key for r in runs_of(rpc)] == [b"kept"]


def test_the_newest_comes_first_and_the_listing_is_narrowed(each):
    for key in (b"a1", b"b1", b"a2"):
        job(each, key)
    assert [r.key for r in runs_of(each)] == [b"a2", b"b1", b"a1"]
    assert [r.key for r in runs_of(each, key_prefix=b"a")] == [b"a2", b"a1"]
    assert [r.key for r in runs_of(each, limit=2)] == [b"a2", b"b1"]
    last = runs_of(each, limit=1)[0]
    assert runs_of(each, since_unix_ms=last.ended_unix_ms) == []
    assert {r.key for r in runs_of(each, since_unix_ms=last.ended_unix_ms - 1)} >= {b"a2"}


def test_hits_of_the_retained_outcome_are_counted_so_far(rpc):
    rpc.retained(retain_ms=LONG)
    run_where(rpc, lambda r: r.retained_hits == 0, "the run is listed")
    for _ in range(3):
        assert rpc.join().delivery().retained
    assert runs_of(rpc)[0].retained_hits == 3
    rpc.forget()
    assert runs_of(rpc)[0].retained_hits == 3


def test_an_aborted_flight_says_why(rpc):
    leader = rpc.lead(run_limit_ms=1000, lease_ms=LONG)
    leader.ended(grpc.StatusCode.ABORTED, "fenced")
    run = run_where(rpc, lambda r: True, "the run is listed")
    assert run.kind == pb.OUTCOME_KIND_UNSPECIFIED
    assert "run limit of 1 s ran out" in run.message
    assert run.token == leader.token and run.callers == 1


def test_an_ended_flight_says_by_whom(rpc):
    rpc.lead(lease_ms=LONG)
    rpc.end(caller="ops")
    run = run_where(rpc, lambda r: True, "the run is listed")
    assert run.message == "ended by ops" and run.kind == pb.OUTCOME_KIND_UNSPECIFIED


def test_attempts_and_both_leads_are_told(each):
    first = each.lead(alone=True, run_limit_ms=1000, lease_ms=LONG, caller="one")
    second = each.join(alone=True, caller="two")
    second.follows()
    second.leads()
    first.ended(grpc.StatusCode.ABORTED, "fenced")
    second.finish(b"v")
    second.delivery()
    run = run_where(each, lambda r: True, "the run is listed")
    assert run.attempts == 2 and run.leader == "two" and run.token == second.token
    assert run.led_unix_ms - run.begun_unix_ms >= 900


@pytest.mark.parametrize("mode", ["all", "off"])
def test_which_runs_are_remembered_is_a_setting(private, mode):
    net = private("--runs", mode)
    leader = net.lead()
    leader.finish(b"v")
    leader.delivery()
    job(net, b"job")
    assert [r.key for r in runs_of(net)] == ([b"job", net.key] if mode == "all" else [])


def test_the_oldest_makes_room(private):
    net = private("--runs-limit", "10")
    for n in range(25):
        job(net, b"%d" % n)
    assert [r.key for r in runs_of(net)] == [b"%d" % n for n in range(24, 14, -1)]


def test_many_runs_are_listed_whole(private):
    net = private("--runs", "all")
    stream = net.session()
    for n in range(700):
        call = stream.open_call()
        call.send("join", net.join_message(key=b"%03d" % n))
        call.leads()
        call.finish(b"v")
        call.delivery()
    assert [r.key for r in runs_of(net)] == [b"%03d" % n for n in range(699, -1, -1)]


def test_bad_questions_are_refused(net):
    for request in ({"group": "no blanks"}, {"key_prefix": b"k" * 1025}):
        with pytest.raises(grpc.RpcError) as raised:
            runs_of(net, **request)
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_retained_outcome_is_listed_with_kind_code_and_end(rpc):
    before_ms = time.time() * 1000
    leader = rpc.lead(retain_error_ms=LONG)
    leader.finish(b"v", kind=ERROR, code=-3)
    leader.delivery()
    flight = rpc.flight()
    assert flight.state == pb.Flight.STATE_RETAINED
    assert flight.kind == ERROR and flight.code == -3
    assert before_ms - 1000 <= flight.ended_unix_ms <= time.time() * 1000 + 1000
    rpc.lead(key=b"runs")
    running = rpc.flight(key=b"runs")
    assert running.kind == 0 and running.ended_unix_ms == 0 and not running.overdue
    assert OK == 1


def test_an_error_that_nobody_waits_for_any_more_is_a_run(private):
    """It was passed on to one that left, so the flight ends with it and without anybody in it."""
    net = private("--runs", "all")
    first, second = net.lead(), net.follow()
    first.finish(kind=ERROR, message="no luck", pass_on=True)
    second.leads()
    second.cancel()
    run = run_where(net, lambda r: True, "the run is there")
    assert run.kind == ERROR and run.message == "no luck"


def test_an_end_of_a_flight_that_nobody_leads_says_who_did_it(private):
    net = private("--runs", "all")
    leader = net.lead(alone=True, lease_ms=60_000)
    leader.break_stream()
    net.flight_where(lambda f: f.state == pb.Flight.STATE_ORPHANED, "its leader is gone")
    net.end(caller="operator " + "x" * 100)
    run = run_where(net, lambda r: True, "the run is there")
    assert "ended by operator xxx" in run.message
