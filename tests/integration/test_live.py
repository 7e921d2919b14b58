# SPDX-License-Identifier: Apache-2.0
"""Live chunks: section 2 (`live`, `Chunk`, `Restart`), row "join, a flight runs", section 9
"Values".
"""

import random

from support.callers import KIB, MIB


def collect(follower, wanted):
    """Reads chunks until they make `wanted`; sequences must have no gaps."""
    got, sequence = b"", 0
    while len(got) < len(wanted):
        chunk = follower.expect("chunk")
        assert chunk.sequence == sequence
        assert chunk.attempt == follower.attempt
        got, sequence = got + chunk.data, sequence + 1
    assert got == wanted


def test_a_live_follower_gets_chunks_while_the_leader_runs(rpc):
    """`live`: hand me chunks while the leader is still producing them."""
    leader, live = rpc.lead(), rpc.follow(live=True)
    leader.chunk(b"one")
    collect(live, b"one")
    leader.chunk(b"two")
    chunk = live.expect("chunk")
    assert (chunk.data, chunk.sequence, chunk.attempt) == (b"two", 1, 1)
    leader.finish(b"end")
    result = live.expect("result")
    assert result.outcome.value == b"end"
    assert result.value_bytes == 9


def test_a_live_late_joiner_gets_the_chunks_so_far(rpc):
    """Row "join, a flight runs": follow, and the chunks so far if it asked for `live`."""
    leader, first = rpc.lead(), rpc.follow(live=True)
    leader.chunk(b"so ")
    leader.chunk(b"far")
    collect(first, b"so far")
    late = rpc.follow(live=True)
    collect(late, b"so far")
    leader.chunk(b" and on")
    rest = late.expect("chunk")
    assert rest.data == b" and on" and rest.sequence > 0
    leader.finish(b".")
    assert late.expect("result").value_bytes == len(b"so far and on.")


def test_a_late_joiner_that_is_not_live_gets_the_whole_value_at_the_end(rpc):
    """Section 9: a follower without `live` gets no chunk before the flight has ended."""
    leader = rpc.lead()
    value = random.Random(2).randbytes(200 * KIB)
    leader.chunks(value, 50 * KIB)
    late = rpc.follow()
    late.silent()
    leader.finish(b"!")
    assert late.delivery().value == value + b"!"


def test_live_is_each_callers_own(rpc):
    """Section 9: each caller has its own live."""
    leader, live, calm = rpc.lead(live=False), rpc.follow(live=True), rpc.follow(live=False)
    leader.chunk(b"now")
    collect(live, b"now")
    calm.silent()
    leader.finish()
    assert calm.delivery().value == b"now"


def test_live_on_the_leader_changes_nothing(rpc):
    """Chunks go to followers; the leader has them already."""
    leader, follower = rpc.lead(live=True), rpc.follow()
    leader.chunk(b"mine")
    leader.finish()
    assert leader.delivery().chunks == []
    assert follower.delivery().value == b"mine"


def test_live_followers_get_a_large_value_whole(rpc):
    """Section 9: gapless chunks that make the value, however the server cuts them."""
    value = random.Random(3).randbytes(5 * MIB)
    leader = rpc.lead()
    followers = [rpc.follow(live=True) for _ in range(4)]
    leader.chunks(value, 777_777)
    late = rpc.follow(live=True)
    leader.finish()
    for follower in [*followers, late]:
        assert follower.delivery().value == value


def test_ten_thousand_small_chunks_arrive_in_order(each):
    """Section 9: from 0, without gaps, per attempt."""
    leader, live, calm = each.lead(), each.follow(live=True), each.follow()
    wanted = b"".join(b"%d;" % i for i in range(10_000))
    for i in range(10_000):
        leader.chunk(b"%d;" % i)
    leader.finish()
    assert live.delivery().value == wanted
    assert calm.delivery().value == wanted


def test_chunks_name_their_attempt(rpc):
    """Chunk.attempt is set by the server; section 9: after a restart the chunks are of the new
    attempt, from 0.
    """
    first, heir, live = rpc.lead(alone=True), rpc.follow(), rpc.follow(live=True)
    first.chunk(b"void")
    collect(live, b"void")
    first.break_stream()
    heir.leads()
    assert live.expect("restart").attempt == 2
    heir.chunk(b"valid")
    collect(live, b"valid")
    heir.finish()
    assert live.delivery().attempt == 2


def test_an_attempt_that_the_leader_writes_is_ignored(rpc):
    """Chunk.attempt is "set by the server"."""
    from singleflight.v1 import singleflight_pb2 as pb

    leader, live = rpc.lead(), rpc.follow(live=True)
    leader.send("chunk", pb.Chunk(data=b"x", sequence=0, attempt=99))
    assert live.expect("chunk").attempt == 1


def test_live_chunks_reach_a_follower_that_half_closed(each):
    """Section 9: half-close says "no more steps": the follower waits on."""
    leader, live = each.lead(alone=True), each.follow(live=True, alone=True)
    live.half_close()
    leader.chunk(b"still here")
    collect(live, b"still here")
    leader.finish()
    live.expect("result")


def test_a_live_follower_that_does_not_read_gets_everything_later(net):
    """A slow reader loses nothing: it reads the same bytes as everybody, later."""
    value = random.Random(4).randbytes(16 * MIB)
    leader, quick = net.lead(), net.follow(live=True)
    slow = net.do(net.open_channel(), live=True, reading=False)
    slow.send("join", net.join_message(live=True))
    net.flight_where(lambda f: f.callers == 3, "the slow follower has joined")
    leader.chunks(value, MIB)
    leader.finish()
    assert quick.delivery().value == value
    leader.delivery()
    slow.reading.set()
    slow.follows()
    assert slow.delivery().value == value
