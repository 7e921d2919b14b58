# SPDX-License-Identifier: Apache-2.0
"""Section 5: every limit, lowered by its setting, reached and passed.

Over a limit: RESOURCE_EXHAUSTED for that caller, naming the limit and its value, and no other
caller notices.
"""

import re

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.callers import ERROR, KIB, MIB
from support.wait import until

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
INVALID = grpc.StatusCode.INVALID_ARGUMENT
KINDS = pytest.mark.parametrize("kind", ["do", "session"])


def names_value(end, *spellings):
    """The status says which limit, and its value: as a number or as written."""
    plain = end.message.replace(",", "").replace(" ", "")
    assert any(str(s).replace(" ", "") in plain for s in spellings), end.message


def is_over_limit(got, limit):
    """The outcome of a value that met a limit."""
    outcome = got.outcome
    assert outcome.kind == ERROR and outcome.code == 8
    assert outcome.type == "singleflight.LimitExceeded"
    assert str(limit) in outcome.message
    assert got.value_bytes == 0 and outcome.value == b""


@KINDS
def test_a_result_at_its_limit(private, kind):
    """One result: exactly the limit passes, for followers too."""
    rpc = private("--result-limit", "1MiB", kind=kind)
    leader, follower = rpc.lead(), rpc.follow()
    leader.chunks(b"x" * (MIB - 1), 300_000)
    leader.finish(b"y")
    assert follower.delivery().value_bytes == MIB


@KINDS
@pytest.mark.parametrize("where", ["chunk", "finish"])
def test_a_result_over_its_limit(private, kind, where):
    """Section 10.4: one byte more is the outcome, for the leader and all followers."""
    rpc = private("--result-limit", "1MiB", kind=kind)
    leader, follower = rpc.lead(), rpc.follow()
    leader.chunk(b"x" * MIB)
    if where == "chunk":
        leader.chunk(b"y")
    else:
        leader.finish(b"y")
    for got in (leader.delivery(), follower.delivery()):
        is_over_limit(got, MIB)
        assert got.attempt == 1 and got.callers == 2
    rpc.key_is_free()


@KINDS
def test_a_live_follower_that_read_of_it_starts_over(private, kind):
    """Section 10.4: `restart` with the same attempt comes before the result."""
    rpc = private("--result-limit", "1MiB", kind=kind)
    leader, reader = rpc.lead(caller="big"), rpc.follow(live=True)
    leader.chunk(b"x" * KIB)
    reader.expect("chunk")
    leader.finish(b"y" * MIB)
    restart = reader.expect("restart")
    assert restart.attempt == 1 and restart.leader == "big"
    is_over_limit(reader.delivery(), MIB)


@KINDS
def test_it_is_retained_as_an_error(private, kind):
    """Section 10.4: by retain_error, or by what `finish` says; `pass_on` is ignored."""
    rpc = private("--result-limit", "1MiB", kind=kind)
    leader, follower = rpc.lead(retain_ms=1, retain_error_ms=60_000), rpc.follow()
    leader.finish(b"y" * (MIB + 1), kind=ERROR, pass_on=True)
    assert follower.delivery().retain_ms == 60_000
    late = rpc.join().delivery()
    is_over_limit(late, MIB)
    assert late.retained


@KINDS
def test_bytes_held_in_all(private, kind):
    """Bytes held for results in all: that leader ends, others go on, and room comes back."""
    rpc = private("--held-limit", "4MiB", "--result-limit", "4MiB", kind=kind)
    big = rpc.lead(key=b"big")
    big.chunks(b"x" * (3 * MIB), MIB)
    rpc.flight_where(lambda f: f.value_bytes == 3 * MIB, "the bytes are held", key=b"big")
    over, follower = rpc.lead(key=b"over"), rpc.follow(key=b"big")
    over.chunks(b"y" * (2 * MIB), 512 * KIB)
    is_over_limit(over.delivery(), 4 * MIB)
    big.finish(b"end")
    assert follower.delivery().value_bytes == 3 * MIB + 3
    big.delivery()
    until(lambda: rpc.stats("").bytes_now == 0, "the bytes are free again")
    again = rpc.lead(key=b"over")
    again.chunks(b"y" * (2 * MIB), 512 * KIB)
    again.finish()
    assert again.delivery().value_bytes == 2 * MIB


def test_what_has_no_room_is_not_retained(private):
    """Section 5: what cannot be retained for want of room is not retained, the leader's `result`
    says so.
    """
    rpc = private("--retained-limit", "1MiB")
    first = rpc.retained(b"x" * (700 * KIB), key=b"first")
    assert first.retain_ms > 0 and not first.retain_refused
    leader, follower = rpc.lead(key=b"second", retain_ms=60_000), rpc.follow(key=b"second")
    leader.finish(b"y" * (700 * KIB))
    told = leader.delivery()
    assert told.retain_refused and told.retain_ms == 0
    got = follower.delivery()
    assert got.value_bytes == 700 * KIB and got.outcome.kind == pb.OUTCOME_KIND_OK
    rpc.key_is_free(key=b"second")
    assert rpc.join(key=b"first").delivery().retained
    assert rpc.forget(key=b"first").retained
    assert not rpc.retained(b"z" * (700 * KIB), key=b"third").retain_refused


@KINDS
def test_the_size_of_a_message(private, kind):
    """One message: over it the stream ends with RESOURCE_EXHAUSTED; a smaller one passes."""
    rpc = private("--message-limit", "1MiB", kind=kind)
    leader = rpc.lead()
    leader.chunk(b"x" * (1000 * KIB))
    rpc.flight_where(lambda f: f.value_bytes == 1000 * KIB, "the chunk is there")
    leader.chunk(b"x" * (1024 * KIB))
    names_value(leader.ended(EXHAUSTED, "message"), MIB)


@KINDS
def test_a_message_over_its_limit_loses_the_lead_in_spite_of_a_lease(private, kind):
    """Section 9: a leader whose stream ends with any status is lost (a step error, a limit)."""
    rpc = private("--message-limit", "1MiB", kind=kind)
    leader = rpc.lead(lease_ms=600_000)
    heir = rpc.do()
    heir.send("join", rpc.join_message())
    heir.follows()
    leader.chunk(b"x" * MIB)
    leader.ended(EXHAUSTED)
    assert heir.leads().attempt == 2


@KINDS
def test_flights(private, kind):
    """Flights: a new one over the limit is refused; callers of those that run are not."""
    rpc = private("--flights-limit", "3", kind=kind)
    leaders = [rpc.lead(key=b"%d" % i) for i in range(3)]
    names_value(rpc.join(key=b"one too many").ended(EXHAUSTED, "flight"), 3)
    follower = rpc.follow(key=b"0")
    leaders[0].finish(b"v")
    assert follower.delivery().value == b"v"
    until(lambda: rpc.stats("").flights_now == 2, "a flight has ended")
    assert rpc.lead(key=b"one more")
    assert rpc.stats().refused == 1


@KINDS
def test_forgotten_flights_count(private, kind):
    """Flights: a forgotten one is a flight until it ends: Forget is no way around the limit."""
    rpc = private("--flights-limit", "2", kind=kind)
    for _ in range(2):
        rpc.lead()
        assert rpc.forget().flight
    rpc.join().ended(EXHAUSTED, "flight")


@KINDS
def test_callers(private, kind):
    """Callers: one too many is refused, on whatever connection; leaving makes room."""
    rpc = private("--callers-limit", "3", kind=kind)
    leader, gone, follower = rpc.lead(), rpc.follow(), rpc.follow()
    names_value(rpc.join(channel=rpc.open_channel()).ended(EXHAUSTED, "caller"), 3)
    gone.cancel()
    rpc.flight_where(lambda f: f.callers == 2, "one has left")
    late = rpc.follow()
    leader.finish(b"v")
    assert follower.delivery().value == late.delivery().value == b"v"


@KINDS
def test_callers_of_a_connection(private, kind):
    """Callers per connection: one too many is refused; another connection does not notice."""
    rpc = private("--connection-callers-limit", "3", kind=kind)
    leader = rpc.lead()
    rpc.follow()
    gone = rpc.follow()
    names_value(rpc.join().ended(EXHAUSTED, "connection"), 3)
    other = rpc.follow(channel=rpc.open_channel())
    gone.cancel()
    rpc.flight_where(lambda f: f.callers == 3, "one has left")
    late = rpc.follow()
    leader.finish(b"v")
    assert other.delivery().value == late.delivery().value == b"v"


def test_callers_of_a_connection_over_several_streams(private):
    """Callers per connection: counted over all Do and Session streams of it."""
    net = private("--connection-callers-limit", "4")
    net.lead()
    for _ in range(3):
        call = net.session().open_call()
        call.send("join", net.join_message())
        call.follows()
    net.join().ended(EXHAUSTED, "connection")
    call = net.session().open_call()
    call.send("join", net.join_message())
    assert not call.ended(EXHAUSTED, "connection").with_stream


BOUNDS = {
    "retain": (("--retain-limit", "10s"), "retain_ms", 10_000, 10_001),
    "retain-error": (("--retain-limit", "10s"), "retain_error_ms", 10_000, 10_001),
    "lease-min": (("--lease-min", "5s"), "lease_ms", 5_000, 4_999),
    "lease-max": (("--lease-max", "30s"), "lease_ms", 30_000, 30_001),
    "run-limit": (("--run-limit", "1h"), "run_limit_ms", 3_600_000, 3_600_001),
    "key": (("--key-limit", "16"), "key", b"k" * 16, b"k" * 17),
    "group": (("--group-limit", "16"), "group", "g" * 16, "g" * 17),
}


@pytest.mark.parametrize("flags, field, within, beyond", BOUNDS.values(), ids=BOUNDS)
def test_bounds_of_fields_are_settings(private, flags, field, within, beyond):
    """Section 5: each is a setting; section 4: outside its bounds is INVALID_ARGUMENT."""
    rpc = private(*flags)
    rpc.join(**{field: within}).leads()
    rpc.join(**{field: beyond}).ended(INVALID, re.sub("_ms$", "", field))


def test_the_servers_run_limit_is_the_default(private):
    """Join.run_limit_ms: 0 = the server's limit; it holds, too."""
    net = private("--run-limit", "1s")
    leader = net.join()
    assert leader.leads().run_limit_ms == 1000
    heir = net.follow()
    assert heir.leads().attempt == 2
    leader.ended(grpc.StatusCode.ABORTED, "fenced")


def test_retention_in_finish_obeys_the_setting(private):
    """Section 9: `Retention` obeys the same bound."""
    net = private("--retain-limit", "10s")
    leader = net.lead()
    leader.finish(retain_ms=10_001)
    leader.ended(INVALID, "retain")


def test_refused_calls_are_counted(private):
    """Stats.refused: calls over a limit."""
    net = private("--callers-limit", "1")
    net.lead()
    for _ in range(5):
        net.join().ended(EXHAUSTED)
    stats = net.stats()
    assert stats.refused == 5 and stats.calls == 1


@pytest.mark.slow
def test_a_result_of_64_mib_by_default(private):
    """Section 5: one result 64 MiB: exactly that passes, one byte more does not."""
    net = private()
    leader, follower = net.lead(), net.follow()
    piece = b"m" * (4 * MIB - 100)
    whole, rest = divmod(64 * MIB, len(piece))
    for _ in range(whole):
        leader.chunk(piece)
    leader.finish(b"m" * rest)
    got = follower.delivery(bound=60)
    assert got.value_bytes == 64 * MIB and got.value.count(b"m") == 64 * MIB
    leader.delivery()

    over, waiting = net.lead(), net.follow()
    for _ in range(whole):
        over.chunk(piece)
    over.finish(b"m" * (rest + 1))
    is_over_limit(over.delivery(bound=60), 64 * MIB)
    is_over_limit(waiting.delivery(), 64 * MIB)
