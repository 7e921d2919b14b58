# SPDX-License-Identifier: Apache-2.0
"""Section 3, first rows: a flight begins, is followed, ends; section 9 "Values" for what its
callers are handed.
"""

import random

import grpc
import pytest

from support.callers import ABANDONED, ERROR, KIB, MIB, OK, PANIC
from support.wait import milliseconds

KINDS = {"ok": OK, "error": ERROR, "panic": PANIC, "abandoned": ABANDONED}
DAY_MS = 24 * 3600 * 1000


def test_join_with_nothing_known_leads_at_once(rpc):
    """Row "join, nothing known": lead, attempt 1, a new token; the lease and run_limit that
    hold.
    """
    lead = rpc.join().leads()
    assert lead.attempt == 1
    assert lead.token > 0
    assert lead.lease_ms == 0
    assert lead.run_limit_ms == DAY_MS
    assert lead.next_sequence == 0


def test_lead_tells_the_lease_and_run_limit_asked_for(rpc):
    """Section 2: `Lead`: the lease and run_limit that hold."""
    lead = rpc.join(lease_ms=5000, run_limit_ms=7000).leads()
    assert lead.lease_ms == 5000
    assert lead.run_limit_ms == 7000


def test_join_while_a_flight_runs_follows(rpc):
    """Row "join, a flight runs": follow at once, with attempt, leader's name and how long it has
    run.
    """
    started = milliseconds()
    rpc.lead(caller="worker-1")
    follow = rpc.join(caller="worker-2").follows()
    assert follow.attempt == 1
    assert follow.leader == "worker-1"
    assert follow.running_ms <= milliseconds() - started + 1


def test_running_ms_grows(each):
    """Section 2: `Follow` tells how long the leader has run."""
    each.lead()
    flight = each.flight_where(lambda f: f.running_ms >= 50, "the leader ran for 50 ms")
    assert each.join().follows().running_ms >= flight.running_ms


def test_a_waiting_follower_hears_nothing_before_the_end(rpc):
    """Section 9: a follower without `live` gets no chunk before the flight has ended."""
    leader, follower = rpc.lead(), rpc.follow()
    leader.chunk(b"x" * (100 * KIB))
    follower.silent()
    leader.finish(b"y")
    assert follower.delivery().value == b"x" * (100 * KIB) + b"y"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_of_outcome_reaches_everybody_whole(rpc, kind):
    """Row "leader finishes, any kind of outcome": every follower gets `result`, the leader without
    the value.
    """
    outcome = dict(code=-7, message="größer", type="my.Error", stack="a\nb", details=b"\x00\xff")
    leader = rpc.lead()
    followers = [rpc.follow(), rpc.follow(live=True)]
    leader.finish(b"value", kind=kind, **outcome)

    mine = leader.delivery()
    assert mine.led and mine.shared and mine.callers == 3
    assert mine.attempt == 1 and mine.token == leader.token
    assert mine.outcome.value == b"" and mine.value_bytes == 5
    for follower in followers:
        theirs = follower.delivery()
        assert theirs.value == b"value"
        assert not theirs.led and theirs.shared and theirs.callers == 3
        assert theirs.attempt == 1 and theirs.token == leader.token
        assert not theirs.retained and theirs.age_ms == 0 and theirs.retain_ms == 0
        assert not theirs.retain_refused
    for got in (mine, theirs):
        assert got.outcome.kind == kind
        for name, wanted in outcome.items():
            assert getattr(got.outcome, name) == wanted, name


def test_a_lone_caller_shares_with_nobody(rpc):
    """Section 9: `callers` counts the leader; `shared` is callers > 1."""
    leader = rpc.lead()
    leader.finish(b"alone")
    got = leader.delivery()
    assert got.led and not got.shared and got.callers == 1 and got.value_bytes == 5


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_key_is_free_after_the_end(rpc, kind):
    """Row "leader finishes": the key is free; the next flight has attempt 1 and a greater token."""
    leader = rpc.lead()
    leader.finish(kind=kind)
    leader.delivery()
    assert rpc.key_is_free().token > leader.token


def test_callers_counts_those_the_outcome_goes_to(rpc):
    """Section 9: somebody that left before the end is not counted."""
    leader, stays, leaves = rpc.lead(), rpc.follow(), rpc.follow()
    leaves.cancel()
    rpc.flight_where(lambda f: f.callers == 2, "one follower has left")
    leader.finish()
    assert stays.delivery().callers == 2
    assert leader.delivery().callers == 2


@pytest.mark.parametrize("chunked", [False, True], ids=["in-finish", "in-chunks"])
@pytest.mark.parametrize("size", [0, 1, 64 * KIB - 1, 64 * KIB], ids=str)
def test_a_value_of_up_to_64_kib_comes_inside_the_result(rpc, size, chunked):
    """Section 2: a result of up to 64 KiB reaches a follower inside `result` itself."""
    value = random.Random(size).randbytes(size)
    leader, follower = rpc.lead(), rpc.follow()
    if chunked:
        leader.chunks(value, 10_000)
        leader.finish()
    else:
        leader.finish(value)
    got = follower.delivery()
    assert got.chunks == []
    assert got.outcome.value == value
    assert got.value_bytes == size == leader.delivery().value_bytes


@pytest.mark.parametrize(
    "size, chunk_size",
    [
        (64 * KIB + 1, None),
        (64 * KIB + 1, 1000),
        (3 * MIB, None),
        (3 * MIB, 3 * MIB),
        (5 * MIB, 100_000),
        (5 * MIB, 3 * MIB),
    ],
    ids=str,
)
def test_a_larger_value_comes_as_chunks_then_result(rpc, size, chunk_size):
    """Section 2: a larger one as chunks, then `result`; section 9: the value is the chunks followed
    by the rest.
    """
    value = random.Random(size).randbytes(size)
    leader, follower, live = rpc.lead(), rpc.follow(), rpc.follow(live=True)
    if chunk_size is None:
        leader.finish(value)
    else:
        leader.chunks(value, chunk_size)
        leader.finish()
    got = follower.delivery()
    assert got.chunks, "a value over 64 KiB comes as chunks"
    assert got.value == value
    assert live.delivery().value == value
    assert leader.delivery().value_bytes == size


def test_one_message_to_a_client_holds_at_most_4_mib(each):
    """Section 9: no message to a client exceeds 4 MiB; also for a chunk of nearly 4 MiB, handed on
    live.
    """
    value = random.Random(1).randbytes(4 * MIB - 100)
    leader, live, late = each.lead(), each.follow(live=True), each.follow()
    leader.chunk(value)
    leader.finish(b"tail")
    for follower in (live, late):
        got = follower.delivery()
        assert got.value == value + b"tail"
        assert all(chunk.ByteSize() < 4 * MIB for chunk in got.chunks)


def test_many_empty_chunks_make_an_empty_value(rpc):
    """Section 9: `next_sequence` counts empty chunks too, and they add nothing to the value."""
    leader, follower = rpc.lead(), rpc.follow(live=True)
    for _ in range(10):
        leader.chunk(b"")
    leader.finish(b"end")
    assert follower.delivery().value == b"end"


def test_the_value_is_chunks_then_the_value_of_finish(rpc):
    """Section 9: for every kind of outcome the value is the chunks followed by
    result.outcome.value.
    """
    leader, follower = rpc.lead(), rpc.follow()
    leader.chunk(b"one,")
    leader.chunk(b"two,")
    leader.finish(b"three", kind=ERROR, message="half done")
    got = follower.delivery()
    assert got.value == b"one,two,three"
    assert got.outcome.kind == ERROR and got.outcome.message == "half done"


@pytest.mark.parametrize(
    "key", [b"\x00", b"\xff\xfe", b"a/b c\n", bytes(range(256)), b"k" * KIB], ids=range(5)
)
def test_a_key_is_any_bytes(rpc, key):
    """Section 1: key: 1 to 1,024 bytes, any bytes."""
    leader, follower = rpc.lead(key=key), rpc.follow(key=key)
    leader.finish(key)
    assert follower.delivery().value == key


def test_keys_that_begin_alike_are_different_keys(rpc):
    """Section 1: a key is the identity of one unit of work: neither prefixes nor zero bytes blur
    it.
    """
    leaders = {key: rpc.lead(key=key) for key in (b"a", b"a\x00", b"a\x00b", b"A", b"aa")}
    for key, leader in leaders.items():
        rpc.follow(key=key)
        leader.finish(key)
        assert leader.delivery().callers == 2


def test_a_group_is_a_namespace_of_keys(rpc):
    """Section 1: the same key in two groups is two flights."""
    first, second = rpc.lead(group=rpc.group), rpc.lead(group=rpc.group + ".b")
    follower = rpc.follow(group=rpc.group + ".b")
    first.finish(b"first")
    second.finish(b"second")
    assert follower.delivery().value == b"second"


def test_the_empty_group_is_the_group_default(rpc):
    """Join.group: "" is the group "default"."""
    key = rpc.group.encode()
    leader = rpc.lead(group="", key=key)
    follower = rpc.follow(group="default", key=key)
    leader.finish(b"same")
    assert follower.delivery().value == b"same"


def test_tokens_of_a_key_only_grow(rpc):
    """Section 1: a token is greater than every token granted before for that key."""
    tokens = [rpc.key_is_free().token for _ in range(20)]
    assert tokens == sorted(set(tokens))


def test_a_leader_may_send_everything_without_waiting_for_lead(each):
    """Section 2: the steps are join, chunks, finish, in this order; nobody has to wait in
    between.
    """
    leader = each.join()
    leader.chunk(b"early ")
    leader.finish(b"bird")
    assert leader.leads().attempt == 1
    assert leader.delivery().value_bytes == len(b"early bird")


def test_the_stream_ends_with_ok_after_result(net):
    """Section 2: the server ends the stream with status OK after `result`."""
    leader, follower = net.lead(), net.follow()
    leader.finish(b"v")
    for caller in (leader, follower):
        caller.expect("result")
        assert caller.expect("end").code == grpc.StatusCode.OK


def test_do_and_session_callers_meet_in_one_flight(daemon):
    """Section 2: a Session call means exactly what the same Do call means: the two share
    flights.
    """
    from support.net import Net

    both = Net(daemon)
    try:
        stream = both.session()
        for leads_by in ("do", "session"):
            key = leads_by.encode()
            callers = {"do": both.do(), "session": stream.open_call()}
            leader = callers.pop(leads_by)
            leader.send("join", both.join_message(key=key, caller=leads_by))
            leader.leads()
            (follower,) = callers.values()
            follower.send("join", both.join_message(key=key))
            assert follower.follows().leader == leads_by
            leader.finish(key * 40_000)
            assert follower.delivery().value == key * 40_000
            assert leader.delivery().callers == 2
    finally:
        both.close()


def test_callers_of_many_connections_meet_in_one_flight(rpc):
    """Section 2: who meets is decided by group and key alone, not by the connection."""
    leader = rpc.lead()
    followers = [rpc.follow(channel=rpc.open_channel()) for _ in range(8)]
    leader.finish(b"for all")
    assert [f.delivery().value for f in followers] == [b"for all"] * 8
    assert leader.delivery().callers == 9
