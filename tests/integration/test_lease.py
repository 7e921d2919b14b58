# SPDX-License-Identifier: Apache-2.0
"""Leases: rows "lease runs out" and "the leader's stream breaks with lease above 0", and section 9
"Leases".
"""

import signal

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.callers import ABANDONED, ERROR, KIB
from support.wait import milliseconds

ABORTED = grpc.StatusCode.ABORTED
ORPHANED = pb.Flight.STATE_ORPHANED
LED = pb.Flight.STATE_LED
LONG = 60_000


def orphan(rpc, lease_ms=LONG, **fields):
    """A leased leader whose stream breaks; returns it when the server has seen that."""
    leader = rpc.lead(alone=True, lease_ms=lease_ms, **fields)
    leader.break_stream()
    rpc.flight_where(lambda f: f.state == ORPHANED, "the flight is orphaned", key=fields.get("key"))
    return leader


def test_a_lease_that_is_not_renewed_runs_out(rpc):
    """Row "... its lease runs out": the leader is lost though its stream lives."""
    started = milliseconds()
    leader, heir = rpc.lead(lease_ms=1000), rpc.follow()
    lead = heir.leads()
    assert milliseconds() - started >= 950
    assert lead.attempt == 2 and lead.token > leader.token and lead.lease_ms == 1000
    leader.ended(ABORTED, f"fenced: token {leader.token}, now {lead.token}")


def test_renew_keeps_the_lease(rpc):
    """Section 9: `renew` renews a lease."""
    leader, follower = rpc.lead(lease_ms=1000), rpc.follow()
    for _ in range(6):
        follower.silent(0.4)
        leader.renew()
    leader.finish(b"kept")
    got = follower.delivery()
    assert got.value == b"kept" and got.attempt == 1


def test_chunks_do_not_renew_a_lease(rpc):
    """Section 9: only `renew` and a successful resume renew a lease."""
    leader, heir = rpc.lead(lease_ms=1000), rpc.follow()
    for _ in range(3):
        heir.silent(0.2)
        leader.chunk(b"alive")
    assert heir.leads(bound=5).attempt == 2
    leader.ended(ABORTED, "fenced")


def test_renew_without_a_lease_does_nothing(rpc):
    """Section 9: `renew` without a lease does nothing."""
    leader, follower = rpc.lead(), rpc.follow()
    leader.renew()
    leader.renew()
    leader.finish(b"v")
    assert follower.delivery().value == b"v"
    assert leader.delivery().led


def test_a_broken_stream_does_not_lose_a_leased_lead(rpc):
    """Row "the leader's stream breaks with lease above 0": it may come back until the lease runs
    out.
    """
    leader = rpc.lead(alone=True, lease_ms=LONG)
    follower = rpc.follow()
    leader.break_stream()
    rpc.flight_where(lambda f: f.state == ORPHANED, "the flight is orphaned")
    follower.silent()


def test_resume_on_a_new_stream(rpc):
    """Row: it may come back with `resume_token`; the same token and attempt, chunks already posted
    stay valid.
    """
    leader, follower = rpc.lead(alone=True, lease_ms=LONG), rpc.follow()
    leader.chunk(b"one ")
    leader.chunk(b"")
    leader.chunk(b"two ")
    rpc.flight_where(lambda f: f.value_bytes == 8, "the chunks are there")
    leader.break_stream()
    again = rpc.resume(leader.token)
    lead = again.leads()
    assert (lead.token, lead.attempt, lead.lease_ms) == (leader.token, 1, LONG)
    assert lead.next_sequence == 3
    again.chunk(b"three")
    again.finish(b".")
    got = follower.delivery()
    assert got.value == b"one two three." and got.attempt == 1 and got.token == leader.token
    mine = again.delivery()
    assert mine.led and mine.callers == 2


def test_a_live_follower_does_not_notice_a_resume(rpc):
    """Row: chunks already posted stay valid: no restart, no gap."""
    leader, live = rpc.lead(alone=True, lease_ms=LONG), rpc.follow(live=True)
    leader.chunk(b"before ")
    first = live.expect("chunk")
    leader.break_stream()
    again = rpc.resume(leader.token)
    again.leads()
    again.chunk(b"after")
    second = live.expect("chunk")
    assert (first.data, second.data) == (b"before ", b"after")
    assert (first.sequence, second.sequence) == (0, 1)


def test_resume_needs_group_key_and_token_only(rpc):
    """Section 9: a resume needs group, key and resume_token only: not the fingerprint, not the
    lease.
    """
    leader = orphan(rpc, fingerprint=b"f", caller="me")
    lead = rpc.resume(leader.token).leads()
    assert lead.lease_ms == LONG and lead.token == leader.token


def test_a_resumed_flight_is_led_again(rpc):
    """Listing: ORPHANED while the leader is gone, LED when it is back."""
    leader = orphan(rpc)
    rpc.resume(leader.token).leads()
    assert rpc.flight().state == LED


def test_resume_renews_the_lease(rpc):
    """Section 9: a successful resume renews a lease."""
    leader, follower = rpc.lead(alone=True, lease_ms=1500), rpc.follow()
    follower.silent(0.9)
    leader.break_stream()
    again = rpc.resume(leader.token)
    again.leads()
    follower.silent(0.9)
    again.renew()
    again.finish(b"v")
    assert follower.delivery().attempt == 1


def test_a_second_resume_takes_over_from_the_first(rpc):
    """Section 9: a resume takes over from an older stream, which ends ABORTED."""
    leader = rpc.lead(alone=True, lease_ms=LONG)
    follower = rpc.follow()
    leader.chunk(b"a")
    rpc.flight_where(lambda f: f.value_bytes == 1, "the chunk is there")
    second = rpc.resume(leader.token)
    assert second.leads().next_sequence == 1
    leader.ended(ABORTED)
    leader.chunk(b"stale")
    leader.finish(b"stale")
    third = rpc.resume(leader.token)
    assert third.leads().next_sequence == 1
    second.ended(ABORTED)
    third.finish(b"b")
    assert follower.delivery().value == b"ab"


@pytest.mark.parametrize("offset", [-1, 1, 1000], ids=["smaller", "greater", "far"])
def test_resume_with_another_token_is_fenced(rpc, offset):
    """Section 9: any other token is ABORTED "fenced"; the flight is untouched."""
    leader = orphan(rpc)
    rpc.resume(leader.token + offset).ended(ABORTED, "fenced")
    rpc.resume(leader.token).leads()


def test_resume_with_nothing_known_is_fenced(rpc):
    """Section 9: any other token is ABORTED "fenced", now 0 when there is no newer one."""
    rpc.resume(12345).ended(ABORTED, "fenced")
    assert rpc.flights() == []


def test_resume_after_the_lease_ran_out_is_fenced(rpc):
    """Row: until the lease runs out; then the oldest follower leads, and the old token is
    fenced.
    """
    leader, heir = rpc.lead(alone=True, lease_ms=1000), rpc.follow()
    leader.break_stream()
    lead = heir.leads()
    assert lead.attempt == 2
    rpc.resume(leader.token).ended(ABORTED, f"fenced: token {leader.token}, now {lead.token}")
    heir.finish(b"v")
    assert heir.delivery().led


def test_an_orphaned_flight_whose_lease_is_over_waits_until_somebody_wants_the_key(each):
    """Section 10.2: the next caller takes it over; until then it is overdue, and not lost."""
    leader = each.lead(alone=True, lease_ms=1000)
    leader.break_stream()
    overdue = each.flight_where(lambda f: f.overdue, "the orphaned flight is overdue")
    assert overdue.state == ORPHANED and overdue.expires_ms == 0
    heir = each.join(role=pb.ROLE_LEAD_ONLY)
    lead = heir.leads()
    assert lead.attempt == 2 and lead.token > leader.token
    each.resume(leader.token).ended(ABORTED, "fenced", "lease of 1 s ran out")


def test_an_orphaned_flight_counts_as_led(rpc):
    """Section 9: an orphaned flight (its leader may still resume) counts as led."""
    orphan(rpc, caller="gone")
    assert rpc.join().follows().leader == "gone"
    rpc.join(role=pb.ROLE_LEAD_ONLY).ended(ABORTED, "gone")
    rpc.join(role=pb.ROLE_FOLLOW_ONLY).follows()


def leaves_by_cancel(leader):
    leader.cancel()


def leaves_by_half_close(leader):
    leader.half_close()


def leaves_by_breaking(leader):
    leader.break_stream()


@pytest.mark.parametrize("leave", [leaves_by_cancel, leaves_by_half_close, leaves_by_breaking])
def test_every_end_without_finish_is_a_broken_stream(rpc, leave):
    """Section 9: with a lease, every end of the stream without `finish` is a broken stream."""
    leader, follower = rpc.lead(alone=True, lease_ms=LONG), rpc.follow()
    leave(leader)
    rpc.flight_where(lambda f: f.state == ORPHANED, "the flight is orphaned")
    follower.silent()
    again = rpc.resume(leader.token)
    again.leads()
    again.finish(b"v")
    assert follower.delivery().value == b"v"


def test_a_deadline_of_a_leased_leader_is_a_broken_stream(rpc):
    """Section 9: with a lease, ... (cancel, deadline, half-close)."""
    leader, follower = rpc.lead(lease_ms=LONG, timeout_s=1), rpc.follow()
    leader.ended(grpc.StatusCode.DEADLINE_EXCEEDED)
    rpc.flight_where(lambda f: f.state == ORPHANED, "the flight is orphaned")
    follower.silent()
    rpc.resume(leader.token).leads()


def test_cancel_of_a_leased_session_leader_is_answered(net):
    """Section 9: `cancel` is answered with End CANCELLED, also when the leadership lives on."""
    leader = net.session().open_call()
    leader.send("join", net.join_message(lease_ms=LONG))
    leader.leads()
    leader.cancel()
    leader.ended(grpc.StatusCode.CANCELLED)
    net.resume(leader.token).leads()


def test_giving_up_a_lease_at_once(rpc):
    """Section 9: to give up at once, finish with ABANDONED and `pass_on`."""
    leader, heir = rpc.lead(lease_ms=LONG), rpc.follow()
    leader.finish(kind=ABANDONED, pass_on=True)
    lead = heir.leads()
    assert lead.attempt == 2 and lead.lease_ms == LONG
    assert leader.delivery().outcome.kind == ABANDONED


def test_resume_finds_a_forgotten_flight(rpc):
    """Section 9: a resume finds forgotten flights."""
    leader, old = rpc.lead(alone=True, lease_ms=LONG), rpc.follow()
    leader.chunk(b"old ")
    rpc.flight_where(lambda f: f.value_bytes == 4, "the chunk is there")
    leader.break_stream()
    assert rpc.forget().flight
    newer, new = rpc.lead(), rpc.follow()
    again = rpc.resume(leader.token)
    assert again.leads().next_sequence == 1
    again.finish(b"flight")
    assert old.delivery().value == b"old flight"
    newer.finish(b"new flight")
    assert new.delivery().value == b"new flight"


@pytest.mark.parametrize("kind", [pb.OUTCOME_KIND_OK, ERROR], ids=["ok", "error"])
def test_resume_to_an_outcome_that_is_retained(rpc, kind):
    """Section 9: when the outcome of that token is retained, a resume gets `result` with `led`."""
    told = rpc.retained(b"kept", kind=kind, lease_ms=LONG)
    got = rpc.resume(told.token).delivery()
    assert got.led and got.retained
    assert got.outcome.kind == kind and got.token == told.token and got.value_bytes == 4


def test_resume_to_a_retained_outcome_of_another_token_is_fenced(rpc):
    """Section 9: any other token is ABORTED "fenced"."""
    told = rpc.retained(lease_ms=LONG)
    rpc.resume(told.token - 1).ended(ABORTED, "fenced")
    assert rpc.join().delivery().value == b"kept"


def test_finish_that_arrived_before_the_stream_broke_counts(each):
    """Row "leader finishes": the outcome stands, whatever becomes of the leader's stream."""
    leader, follower = each.lead(alone=True, lease_ms=LONG, retain_ms=LONG), each.follow()
    leader.finish(b"done")
    assert follower.delivery().value == b"done"
    leader.break_stream()
    assert each.resume(leader.token).delivery().led


def test_the_lease_of_the_opener_holds(rpc):
    """Section 9: of the caller that opens the flight hold: lease; also for leaders that
    come later.
    """
    leader, heir = rpc.lead(), rpc.follow(lease_ms=LONG)
    leader.cancel()
    assert heir.leads().lease_ms == 0


def test_a_promoted_leader_has_a_lease_of_its_own(rpc):
    """Section 9: the flight's lease holds for each leader, counted from its own `lead`, and each
    may resume.
    """
    first, second = rpc.lead(lease_ms=1000), rpc.follow(alone=True)
    last = rpc.follow()
    second.leads()
    first.ended(ABORTED, "fenced")
    second.renew()
    second.chunk(b"second")
    rpc.flight_where(lambda f: f.value_bytes == 6, "the chunk is there")
    second.break_stream()
    again = rpc.resume(second.token)
    lead = again.leads()
    assert lead.attempt == 2 and lead.next_sequence == 1
    again.finish()
    assert last.delivery().value == b"second"


def test_a_step_error_of_a_leased_leader_loses_the_lead(rpc):
    """Section 9: a leader whose stream ends with any status is lost (a step error, a limit)."""
    leader, heir = rpc.lead(lease_ms=LONG), rpc.follow()
    leader.chunk(b"gap", sequence=3)
    leader.ended(grpc.StatusCode.INVALID_ARGUMENT)
    assert heir.leads().attempt == 2
    rpc.resume(leader.token).ended(ABORTED, "fenced")


def test_resume_of_a_leader_without_a_lease_is_fenced(rpc):
    """`lease` 0: leadership lives as long as the stream; there is nothing to come back to."""
    leader, heir = rpc.lead(alone=True), rpc.follow()
    leader.break_stream()
    heir.leads()
    rpc.resume(leader.token).ended(ABORTED, "fenced")


def test_a_resume_while_large_chunks_are_there(each):
    """Row: chunks already posted stay valid, also when they are many."""
    leader, follower = each.lead(alone=True, lease_ms=LONG), each.follow()
    for _ in range(20):
        leader.chunk(b"x" * (100 * KIB))
    each.flight_where(lambda f: f.value_bytes == 2000 * KIB, "the chunks are there")
    leader.break_stream()
    again = each.resume(leader.token)
    assert again.leads().next_sequence == 20
    again.finish(b"end")
    assert follower.delivery().value == b"x" * (2000 * KIB) + b"end"


def test_time_in_which_the_server_stood_still_counts_against_no_lease(private):
    """A leader that renews in time keeps its lead, though the daemon reads it late: what was sent
    while the daemon stood still is read before leases are looked at.
    """
    daemon = private(kind="session")
    leader, follower = daemon.lead(lease_ms=1000), daemon.follow()
    for _ in range(5):
        daemon.daemon.signal(signal.SIGSTOP)
        waited = milliseconds()
        while milliseconds() - waited < 1600:
            leader.renew()
            follower.silent(0.2)
        daemon.daemon.signal(signal.SIGCONT)
        follower.silent(0.3)
        leader.renew()
    leader.finish(b"kept")
    got = follower.delivery()
    assert got.value == b"kept" and got.attempt == 1
