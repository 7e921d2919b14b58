# SPDX-License-Identifier: Apache-2.0
"""Rows "forget", "forget if_unshared", "a value is forgotten while it is being produced"; section 9
"Forget".
"""

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.wait import until

MINUTE = 60_000


def test_forgetting_nothing_says_so(net):
    """Section 2: it answers whether a flight and whether a retained outcome was forgotten."""
    answer = net.forget()
    assert not answer.flight and not answer.retained


def test_new_callers_start_another_flight(rpc):
    """Row "forget": the flight keeps its callers and ends as usual, but new callers start
    another.
    """
    old, old_follower = rpc.lead(), rpc.follow()
    answer = rpc.forget()
    assert answer.flight and not answer.retained
    new = rpc.lead()
    new_follower = rpc.follow()
    assert new.token > old.token and new.attempt == 1
    old.finish(b"old")
    new.finish(b"new")
    assert old_follower.delivery().value == b"old"
    assert new_follower.delivery().value == b"new"
    assert old.delivery().callers == new.delivery().callers == 2


def test_the_end_of_a_forgotten_flight_does_not_end_the_new_one(rpc):
    """Section 3: a flight is settled by identity, never by key."""
    old = rpc.lead()
    rpc.forget()
    new = rpc.lead()
    follower = rpc.follow()
    old.finish(b"old")
    old.delivery()
    assert rpc.follow() is not None
    follower.silent()
    new.finish(b"new")
    assert follower.delivery().value == b"new"


def test_the_new_flight_may_end_first(rpc):
    """Row "forget": neither flight waits for the other."""
    old, old_follower = rpc.lead(), rpc.follow()
    rpc.forget()
    new = rpc.lead()
    new.finish(b"new")
    assert new.delivery().led
    old_follower.silent()
    third = rpc.lead()
    old.finish(b"old")
    assert old_follower.delivery().value == b"old"
    third.finish()
    assert third.delivery().token > new.token


def test_forgetting_a_forgotten_flight_says_no(rpc):
    """Section 9: `flight` is true when new callers would have joined it."""
    rpc.lead()
    assert rpc.forget().flight
    assert not rpc.forget().flight


def test_a_key_may_have_several_forgotten_flights(rpc):
    """Section 9: after Forget a key may have several flights, and tokens of all of them grow
    together.
    """
    flights = []
    for _ in range(4):
        flights.append((rpc.lead(), rpc.follow()))
        assert rpc.forget().flight
    tokens = [leader.token for leader, _ in flights]
    assert tokens == sorted(set(tokens))
    for number, (leader, _) in reversed(list(enumerate(flights))):
        leader.finish(b"%d" % number)
    for number, (_, follower) in enumerate(flights):
        assert follower.delivery().value == b"%d" % number


def test_a_promotion_in_a_forgotten_flight_takes_a_token_greater_than_all(rpc):
    """Section 9: "Current" is per flight; tokens of all flights of a key grow together."""
    old, heir = rpc.lead(), rpc.follow()
    rpc.forget()
    new = rpc.lead()
    old.cancel()
    lead = heir.leads()
    assert lead.attempt == 2 and lead.token > new.token
    heir.finish(b"old")
    assert heir.delivery().led
    new.finish(b"new")
    assert new.delivery().led


def test_a_forgotten_flight_keeps_its_limits(rpc):
    """Section 9: a forgotten flight keeps its promotions and limits."""
    first, second, third = rpc.lead(max_attempts=2), rpc.follow(), rpc.follow()
    rpc.forget()
    first.cancel()
    second.leads()
    second.cancel()
    third.ended(grpc.StatusCode.ABORTED, "attempt")


def test_a_forgotten_flight_keeps_its_run_limit(each):
    """Section 9: a forgotten flight keeps its limits."""
    leader, heir = each.lead(run_limit_ms=1000), each.follow()
    each.forget()
    assert heir.leads().attempt == 2
    leader.ended(grpc.StatusCode.ABORTED, "fenced")


def test_forget_drops_a_retained_outcome(rpc):
    """Row "forget": a retained outcome is gone."""
    rpc.retained()
    answer = rpc.forget()
    assert answer.retained and not answer.flight
    assert rpc.flights() == []
    assert not rpc.forget().retained
    rpc.key_is_free()


def test_forget_drops_a_retained_outcome_and_a_newer_flight_together(rpc):
    """Section 2: it answers whether a flight and whether a retained outcome was forgotten."""
    rpc.retained()
    until(lambda: rpc.join().delivery().age_ms > 10, "the outcome is 10 ms old")
    newer = rpc.lead(max_age_ms=5)
    answer = rpc.forget()
    assert answer.flight and answer.retained
    newer.finish()
    newer.delivery()
    rpc.key_is_free()


def test_a_value_that_is_forgotten_while_it_is_produced_is_never_retained(rpc):
    """Row: its own callers get it; it is never retained."""
    leader, follower = rpc.lead(retain_ms=MINUTE), rpc.follow()
    leader.chunk(b"half ")
    rpc.forget()
    leader.finish(b"done", retain_ms=MINUTE)
    got = follower.delivery()
    assert got.value == b"half done" and got.retain_ms == 0
    told = leader.delivery()
    assert told.retain_ms == 0 and not told.retain_refused
    assert rpc.flights() == []
    rpc.key_is_free()


def test_a_forgotten_flight_does_not_touch_the_outcome_of_the_new_one(rpc):
    """Row: a forgotten value is never retained, nor does its end drop a newer retained outcome."""
    old = rpc.lead(retain_ms=MINUTE)
    rpc.forget()
    rpc.retained(b"new")
    old.finish(b"old")
    old.delivery()
    assert rpc.join().delivery().value == b"new"


def test_if_unshared_with_followers_does_nothing(rpc):
    """Row "forget if_unshared with followers waiting": nothing; the answer says so."""
    leader, follower = rpc.lead(), rpc.follow()
    assert not rpc.forget(if_unshared=True).flight
    late = rpc.follow()
    leader.finish(b"v")
    assert follower.delivery().value == late.delivery().value == b"v"


def test_if_unshared_without_followers_forgets(rpc):
    """`if_unshared` looks at followers only: the leader alone is nobody to share with."""
    old = rpc.lead()
    assert rpc.forget(if_unshared=True).flight
    assert rpc.lead().token > old.token


def test_if_unshared_after_the_followers_left_forgets(rpc):
    """`if_unshared` looks at those who wait now."""
    rpc.lead()
    rpc.follow().cancel()
    rpc.flight_where(lambda f: f.callers == 1, "the follower has left")
    assert rpc.forget(if_unshared=True).flight


def test_if_unshared_drops_a_retained_outcome(rpc):
    """Section 9: `if_unshared` looks at followers only; a retained outcome is dropped."""
    rpc.retained()
    assert rpc.forget(if_unshared=True).retained
    rpc.key_is_free()


def test_if_unshared_with_followers_still_drops_a_retained_outcome(rpc):
    """Section 9: a retained outcome is dropped, whatever becomes of the newer flight."""
    rpc.retained()
    until(lambda: rpc.join().delivery().age_ms > 10, "the outcome is 10 ms old")
    leader, follower = rpc.lead(max_age_ms=5), rpc.follow(max_age_ms=5)
    answer = rpc.forget(if_unshared=True)
    assert answer.retained and not answer.flight
    leader.finish(b"v")
    assert follower.delivery().value == b"v"


def test_a_forgotten_flight_is_listed_until_it_ends(rpc):
    """Section 9, Admin: forgotten flights are listed until they end."""
    old = rpc.lead()
    rpc.forget()
    new = rpc.lead()
    assert rpc.flight(forgotten=True).token == old.token
    assert rpc.flight(forgotten=False).token == new.token
    old.finish()
    old.delivery()
    assert rpc.flight(forgotten=True) is None


def test_forget_is_per_group(rpc):
    """Section 1: a group is a namespace of keys."""
    rpc.lead()
    assert not rpc.forget(group=rpc.group + "x").flight
    rpc.follow()


def test_forget_in_the_default_group(net):
    """ForgetRequest.group: as in Join."""
    key = net.group.encode()
    net.lead(group="default", key=key)
    assert net.forget(group="", key=key).flight


@pytest.mark.parametrize(
    "fields, word",
    [
        (dict(key=b""), "key"),
        (dict(key=b"k" * 1025), "key"),
        (dict(group="no spaces", key=b"k"), "group"),
        (dict(group="g" * 129, key=b"k"), "group"),
    ],
    ids=["no-key", "long-key", "bad-group", "long-group"],
)
def test_forget_refuses_what_is_out_of_bounds(net, fields, word):
    """Section 4: a field outside its bounds is INVALID_ARGUMENT."""
    with pytest.raises(grpc.RpcError) as error:
        net.single_flight.Forget(pb.ForgetRequest(**fields), timeout=10)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert word in error.value.details()


def test_forgets_count_when_they_forgot_something(net):
    """Section 9: `forgets` those that forgot something."""
    net.forget()
    net.lead()
    net.forget()
    net.forget()
    net.retained(key=b"r")
    net.forget(key=b"r")
    assert net.stats().forgets == 2
