# SPDX-License-Identifier: Apache-2.0
"""Row "join, an outcome is retained and young enough", and section 9 "Joining" and "Results" on
retention.
"""

import random

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.callers import ABANDONED, ERROR, KIB, MIB, OK, PANIC
from support.wait import milliseconds, until

MINUTE = 60_000
WEEK = 7 * 24 * 3600 * 1000
ROLES = {"any": pb.ROLE_ANY, "lead-only": pb.ROLE_LEAD_ONLY, "follow-only": pb.ROLE_FOLLOW_ONLY}
NOT_OK = {"error": ERROR, "panic": PANIC, "abandoned": ABANDONED}


def run(rpc, value=b"v", kind=OK, finish_retain_ms=None, **join):
    """Runs a flight with one caller and returns what it was told."""
    leader = rpc.lead(**join)
    leader.finish(value, kind=kind, retain_ms=finish_retain_ms, message="m" if kind != OK else "")
    return leader.delivery()


def test_a_retained_outcome_is_served_at_once(rpc):
    """Row: `result` at once, `retained` set; nobody runs anything."""
    started = milliseconds()
    told = run(rpc, b"kept", retain_ms=MINUTE)
    got = rpc.join().delivery()
    assert got.retained and not got.led and got.value == b"kept"
    assert got.token == told.token and got.attempt == 1
    assert 0 < got.retain_ms <= MINUTE - got.age_ms + 1
    assert got.age_ms <= milliseconds() - started + 1
    assert rpc.stats().executions == 1


def test_shared_and_callers_of_a_retained_hit(rpc):
    """Section 9: for a retained hit `shared` is true and `callers` the flight's figure."""
    run(rpc, retain_ms=MINUTE)
    for _ in range(2):
        got = rpc.join().delivery()
        assert got.shared and got.callers == 1
    assert rpc.forget().retained
    leader, followers = rpc.lead(retain_ms=MINUTE), [rpc.follow() for _ in range(2)]
    leader.finish()
    assert [f.delivery().callers for f in followers] == [3, 3]
    assert rpc.join().delivery().callers == 3


def test_the_leader_learns_how_long_its_outcome_is_retained(rpc):
    """Result.retain_ms: how long it is retained from now; 0 = it is not."""
    told = run(rpc, retain_ms=MINUTE)
    assert MINUTE - 5000 < told.retain_ms <= MINUTE
    assert not told.retained and not told.retain_refused
    rpc.forget()
    assert run(rpc).retain_ms == 0


def test_followers_learn_how_long_the_outcome_is_retained(rpc):
    """Result.retain_ms is everybody's."""
    leader, follower = rpc.lead(retain_ms=MINUTE), rpc.follow()
    leader.finish()
    got = follower.delivery()
    assert 0 < got.retain_ms <= MINUTE and not got.retained


def test_age_grows_and_the_rest_shrinks(each):
    """Result.age_ms and retain_ms move with time."""
    run(each, retain_ms=MINUTE)
    first = each.join().delivery()

    def older():
        got = each.join().delivery()
        return got if got.age_ms > first.age_ms + 20 else None

    later = until(older, "the outcome is 20 ms older")
    assert later.retain_ms < first.retain_ms


def test_an_outcome_is_gone_when_its_time_is_over(rpc):
    """`retain`: how long an OK outcome is kept after the flight ends."""
    told = run(rpc, retain_ms=1000)
    assert rpc.join().delivery().retained
    until(lambda: not rpc.flights(), "the retained outcome is gone")
    assert rpc.key_is_free().token > told.token


@pytest.mark.parametrize("kind", NOT_OK.values(), ids=NOT_OK)
def test_retain_error_keeps_outcomes_that_are_not_ok(rpc, kind):
    """`retain_error`: how long a not-OK outcome is kept."""
    told = run(rpc, b"half", kind, retain_error_ms=MINUTE)
    assert told.retain_ms > 0
    got = rpc.join().delivery()
    assert got.retained and got.outcome.kind == kind and got.value == b"half"
    assert got.outcome.message == "m"


def test_retain_is_for_ok_only(rpc):
    """`retain` and `retain_error` are two settings; 0 = not."""
    assert run(rpc, kind=ERROR, retain_ms=MINUTE).retain_ms == 0
    rpc.key_is_free()


def test_retain_error_is_for_errors_only(rpc):
    """`retain` and `retain_error` are two settings; 0 = not."""
    assert run(rpc, kind=OK, retain_error_ms=MINUTE).retain_ms == 0
    rpc.key_is_free()


def test_nothing_is_retained_by_default(rpc):
    """`retain`: 0 = not retained."""
    run(rpc)
    assert rpc.flights() == []
    rpc.key_is_free()


@pytest.mark.parametrize("kind", [OK, ERROR], ids=["ok", "error"])
def test_finish_may_ask_for_retention(rpc, kind):
    """Section 9: `Retention` replaces retain or retain_error, whichever applies."""
    told = run(rpc, kind=kind, finish_retain_ms=MINUTE)
    assert 0 < told.retain_ms <= MINUTE
    assert rpc.join().delivery().retained


@pytest.mark.parametrize("kind", [OK, ERROR], ids=["ok", "error"])
def test_finish_may_forbid_retention(rpc, kind):
    """`Finish` may override `retain`: Retention with 0 = do not retain."""
    told = run(rpc, kind=kind, finish_retain_ms=0, retain_ms=MINUTE, retain_error_ms=MINUTE)
    assert told.retain_ms == 0
    rpc.key_is_free()


def test_finish_may_change_the_length_of_retention(rpc):
    """`Finish` may override `retain`, in either direction."""
    assert run(rpc, retain_ms=1000, finish_retain_ms=WEEK).retain_ms > WEEK - MINUTE


@pytest.mark.parametrize("role", ROLES.values(), ids=ROLES)
@pytest.mark.parametrize("live", [False, True], ids=["calm", "live"])
def test_a_retained_outcome_is_served_to_every_role(rpc, role, live):
    """Section 9: a retained outcome that is young enough is served to every role."""
    run(rpc, b"kept", retain_ms=MINUTE)
    got = rpc.join(role=role, live=live).delivery()
    assert got.retained and got.value == b"kept"


@pytest.mark.parametrize("size", [0, 1, 64 * KIB, 64 * KIB + 1, 5 * MIB], ids=str)
def test_a_retained_value_comes_whole(rpc, size):
    """Section 9: it comes as chunks (if large) and `result` alone, with no `follow` before."""
    value = random.Random(size).randbytes(size)
    leader = rpc.lead(retain_ms=MINUTE)
    leader.chunks(value, 500_000)
    leader.finish()
    leader.delivery()
    for live in (False, True):
        got = rpc.join(live=live).delivery()
        assert got.value == value and got.retained
        if size <= 64 * KIB:
            assert got.chunks == []


def test_max_age_refuses_what_is_older(rpc):
    """`max_age`: take a retained outcome only if it is not older."""
    told = run(rpc, retain_ms=MINUTE)
    until(lambda: rpc.join().delivery().age_ms > 30, "the outcome is 30 ms old")
    lead = rpc.join(max_age_ms=20).leads()
    assert lead.attempt == 1 and lead.token > told.token


def test_max_age_takes_what_is_young_enough(rpc):
    """`max_age`: young enough is served."""
    run(rpc, retain_ms=MINUTE)
    assert rpc.join(max_age_ms=MINUTE).delivery().retained


def test_max_age_is_each_callers_own(rpc):
    """Section 9: served even while a newer flight runs: max_age is each caller's own."""
    run(rpc, b"old", retain_ms=MINUTE)
    until(lambda: rpc.join().delivery().age_ms > 30, "the outcome is 30 ms old")
    newer = rpc.lead(max_age_ms=20)
    assert rpc.join(max_age_ms=20).follows().attempt == 1
    for role in ROLES.values():
        got = rpc.join(role=role).delivery()
        assert got.retained and got.value == b"old"
    newer.finish(b"new")
    newer.delivery()


def test_a_newer_outcome_replaces_the_retained_one(rpc):
    """Row: an outcome is retained: the newest one."""
    run(rpc, b"old", retain_ms=MINUTE)
    until(lambda: rpc.join().delivery().age_ms > 30, "the outcome is 30 ms old")
    newer = rpc.lead(max_age_ms=20, retain_ms=MINUTE)
    newer.finish(b"new")
    newer.delivery()
    got = rpc.join().delivery()
    assert got.value == b"new" and got.token == newer.token


def test_retain_of_the_opener_holds(rpc):
    """Section 9: of the caller that opens the flight hold: retain, retain_error."""
    leader, follower = rpc.lead(), rpc.follow(retain_ms=MINUTE, retain_error_ms=MINUTE)
    leader.finish()
    assert follower.delivery().retain_ms == 0
    rpc.key_is_free()


def test_retain_of_the_opener_holds_after_a_promotion(rpc):
    """Section 9: of the caller that opens the flight hold: retain, though another leads by then."""
    leader, heir = rpc.lead(retain_ms=MINUTE), rpc.follow()
    leader.cancel()
    heir.leads()
    heir.finish(b"v")
    assert heir.delivery().retain_ms > 0
    got = rpc.join().delivery()
    assert got.attempt == 2 and got.token == heir.token


def test_a_retained_outcome_belongs_to_its_group_and_key(rpc):
    """Section 1: the key is the identity, inside its group."""
    run(rpc, retain_ms=MINUTE)
    assert rpc.join(key=b"other").leads()
    assert rpc.join(group=rpc.group + "x").leads()


def test_a_retained_outcome_is_listed(rpc):
    """Admin: STATE_RETAINED with token, attempt, size and when it expires."""
    told = run(rpc, b"12345", retain_ms=MINUTE, caller="me")
    (flight,) = rpc.flights()
    assert flight.state == pb.Flight.STATE_RETAINED
    assert flight.key == rpc.key and flight.group == rpc.group
    assert flight.token == told.token and flight.attempt == 1 and flight.value_bytes == 5
    assert 0 < flight.expires_ms <= MINUTE and not flight.forgotten


@pytest.mark.parametrize("field", ["retain_ms", "retain_error_ms"])
def test_retain_is_at_most_7_days(rpc, field):
    """Section 5: retain at most 7 days; section 4: a field outside its bounds is
    INVALID_ARGUMENT.
    """
    rpc.join(**{field: WEEK + 1}).ended(grpc.StatusCode.INVALID_ARGUMENT, field)
    rpc.join(**{field: WEEK}).leads()


def test_retention_in_finish_obeys_the_same_bound(rpc):
    """Section 9: `Retention` obeys the same bound; its leader is lost then."""
    leader, heir = rpc.lead(), rpc.follow()
    leader.finish(retain_ms=WEEK + 1)
    leader.ended(grpc.StatusCode.INVALID_ARGUMENT, "retain")
    assert heir.leads().attempt == 2


def test_many_join_a_retained_outcome_at_once(each):
    """Row: nobody runs anything, however many come."""
    run(each, b"kept", retain_ms=MINUTE)
    callers = [each.join() for _ in range(50)]
    assert [c.delivery().value for c in callers] == [b"kept"] * 50
    stats = each.stats()
    assert stats.executions == 1 and stats.retained_hits == 50
