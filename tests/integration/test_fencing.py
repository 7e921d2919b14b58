# SPDX-License-Identifier: Apache-2.0
"""Row "a lost leader still posts" and section 9 "Losing the lead": nothing of a lost leader reaches
anyone.
"""

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.wait import until

ABORTED = grpc.StatusCode.ABORTED


@pytest.fixture
def fenced(rpc):
    """A leader that has lost the lead by run_limit but may not know it yet, and its heir, which has
    as long.
    """
    leader, heir = rpc.lead(run_limit_ms=2000), rpc.follow()
    live = rpc.follow(live=True)
    heir.leads()
    return rpc, leader, heir, live


def test_the_stream_of_a_lost_leader_ends_at_once(fenced):
    """Section 9: a lost leader's stream is ended at once with ABORTED, "fenced: token N, now M"."""
    _, leader, heir, _ = fenced
    leader.ended(ABORTED, f"fenced: token {leader.token}, now {heir.token}")


def test_chunks_and_finish_of_a_lost_leader_reach_nobody(fenced):
    """Row: nothing that it posts after it lost the lead reaches anyone."""
    _, leader, heir, live = fenced
    leader.chunk(b"stale")
    leader.finish(b"stale too")
    assert live.expect("restart").attempt == 2
    heir.chunk(b"fresh")
    heir.finish(b".")
    assert live.delivery().value == b"fresh."
    assert heir.delivery().token == heir.token
    leader.ended(ABORTED, "fenced")


def test_a_late_finish_does_not_end_the_heirs_flight(fenced):
    """Section 3: one accepted outcome per flight: the one whose token is current."""
    rpc, leader, heir, live = fenced
    leader.finish(b"stale")
    leader.ended(ABORTED, "fenced")
    assert rpc.flight().token == heir.token
    live.expect("restart")
    live.silent()
    heir.finish(b"fresh")
    assert live.expect("result").token == heir.token


def test_posting_after_nobody_was_left_ends_with_now_0(each):
    """Section 9: M being 0 when there is no newer token."""
    leader = each.lead(run_limit_ms=1000)
    watcher = each.follow(role=pb.ROLE_FOLLOW_ONLY)
    watcher.ended(ABORTED)
    leader.finish(b"too late")
    leader.ended(ABORTED, f"fenced: token {leader.token}, now 0")


def test_a_lost_leader_does_not_touch_the_flight_that_came_after(each):
    """Section 3: a flight that began later on the same key is none of the lost leader's
    business.
    """
    leader = each.lead(run_limit_ms=200)
    leader.ended(ABORTED, "fenced")
    second = each.lead()
    follower = each.follow()
    leader.chunk(b"stale")
    leader.finish(b"stale")
    follower.silent()
    second.finish(b"fresh")
    assert follower.delivery().value == b"fresh"


def test_a_lost_leader_may_join_again_on_a_session(net):
    """Section 9: ids that have ended are over; the client joins anew with another id."""
    stream = net.session()
    first = stream.open_call()
    first.send("join", net.join_message(run_limit_ms=1000))
    first.leads()
    heir = net.follow()
    heir.leads()
    first.ended(ABORTED, "fenced")
    again = stream.open_call()
    again.send("join", net.join_message())
    assert again.follows().attempt == 2
    heir.finish(b"v")
    assert again.delivery().value == b"v"


def test_fenced_leaders_are_counted(each):
    """Section 9: `fenced` counts leaders ended so."""
    leader = each.lead(run_limit_ms=200)
    leader.ended(ABORTED, "fenced")
    stats = until(
        lambda: each.stats() if each.stats().fenced else None, "the fenced leader is counted"
    )
    assert stats.fenced == 1 and stats.leaders_lost == 1


def test_tokens_grow_over_every_attempt_of_every_flight(each):
    """Section 1: greater than every token granted before for that key, ever."""
    tokens = []
    for _ in range(3):
        callers = [each.lead()] + [each.follow() for _ in range(3)]
        tokens.append(callers[0].token)
        for old, new in zip(callers, callers[1:]):
            old.cancel()
            tokens.append(new.leads().token)
        callers[-1].finish()
        callers[-1].delivery()
    assert tokens == sorted(set(tokens))
