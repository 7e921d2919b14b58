# SPDX-License-Identifier: Apache-2.0
"""Real processes that are killed and frozen, with clients that are not ours: the rows of section 3
on lost leaders and leaving callers as they happen, and the traps of frozen clients.
"""

import random

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.callers import KIB
from support.processes import Child

KINDS = pytest.mark.parametrize("kind", ["do", "session"])
KEEPALIVE = ("--keepalive-time", "1s", "--keepalive-timeout", "1s")


@pytest.fixture
def children():
    """Starts child processes that end with the test."""
    started = []

    def start(net, kind="do", count=1):
        fresh = [Child(net.daemon.address, kind) for _ in range(count)]
        started.extend(fresh)
        return fresh[0] if count == 1 else fresh

    yield start
    for child in started:
        child.close()


@KINDS
def test_a_killed_leader_is_replaced(net, children, kind):
    """Row "the leader leaves without `finish`": SIGKILL; exactly one other leads, with a greater
    token.
    """
    leader = children(net, kind)
    leader.join(net)
    lost = leader.expect("a", "lead")
    followers = [net.follow() for _ in range(5)]
    leader.chunk(b"half")
    net.flight_where(lambda f: f.value_bytes == 4, "the chunk is there")
    leader.kill()
    lead = followers[0].leads(bound=5)
    assert lead.attempt == 2 and lead.token > lost["token"]
    followers[0].finish(b"whole")
    assert {f.delivery().value for f in followers[1:]} == {b"whole"}


@KINDS
def test_a_killed_follower_is_gone(net, children, kind):
    """Row "its stream breaks": only that caller leaves."""
    leader, other = net.lead(audience=True), net.follow()
    follower = children(net, kind)
    follower.join(net)
    follower.expect("a", "follow")
    leader.audience_of(2)
    follower.kill()
    leader.audience_of(1, bound=5)
    leader.finish(b"v")
    assert other.delivery().callers == 2


@KINDS
def test_a_killed_leader_with_a_lease_keeps_the_lead_until_it_runs_out(net, children, kind):
    """Row "the leader's stream breaks with lease above 0": then the lease runs out, and the oldest
    follower leads.
    """
    leader = children(net, kind)
    leader.join(net, lease_ms=2000)
    leader.expect("a", "lead")
    heir = net.follow()
    leader.kill()
    net.flight_where(lambda f: f.state == pb.Flight.STATE_ORPHANED, "the flight is orphaned")
    heir.silent()
    assert heir.leads().attempt == 2


@KINDS
def test_leaders_killed_one_after_the_other(net, children, kind):
    """Rows of the lost leader, ten times over: tokens grow, no bytes of the dead reach the
    outcome.
    """
    leader = children(net, kind)
    leader.join(net)
    tokens = [leader.expect("a", "lead")["token"]]
    watcher = net.follow(role=pb.ROLE_FOLLOW_ONLY, live=True)
    for _ in range(9):
        heir = children(net, kind)
        heir.join(net)
        heir.expect("a", "follow")
        leader.chunk(b"of the dead")
        leader.kill()
        tokens.append(heir.expect("a", "lead")["token"])
        leader = heir
    leader.finish(b"of the living")
    got = watcher.delivery()
    assert got.value == b"of the living" and got.attempt == 10 and len(got.restarts) == 9
    assert tokens == sorted(set(tokens)) and got.token == tokens[-1]


@KINDS
def test_a_frozen_follower_holds_up_nobody(net, children, kind):
    """SIGSTOP of a follower: the others get their outcome; it gets its own when it wakes."""
    leader, other = net.lead(), net.follow()
    follower = children(net, kind)
    follower.join(net)
    follower.expect("a", "follow")
    follower.freeze()
    value = random.Random(6).randbytes(300 * KIB)
    leader.chunks(value, 100 * KIB)
    leader.finish()
    assert other.delivery().value == value
    assert leader.delivery().callers == 3
    follower.thaw()
    while (event := follower.next())["step"] == "chunk":
        pass
    assert event["step"] == "result" and bytes.fromhex(event["value"]) == value


@KINDS
def test_a_frozen_leader_with_a_lease_is_fenced_when_it_wakes(net, children, kind):
    """Rows "its lease runs out" and "a lost leader still posts": SIGSTOP, SIGCONT, and a late
    finish.
    """
    leader = children(net, kind)
    leader.join(net, lease_ms=1000)
    old = leader.expect("a", "lead")
    heir, follower = net.follow(), net.follow()
    leader.freeze()
    lead = heir.leads()
    assert lead.attempt == 2
    leader.finish(b"stale")
    leader.thaw()
    end = leader.expect("a", "end")
    assert end["code"] == "ABORTED"
    assert f"fenced: token {old['token']}, now {lead.token}" in end["message"]
    follower.silent()
    heir.finish(b"fresh")
    assert follower.delivery().value == b"fresh"


@KINDS
def test_a_frozen_leader_is_found_by_keepalive(private, children, kind):
    """A frozen client is seen by keepalive: its stream is broken, and the oldest follower leads."""
    net = private(*KEEPALIVE)
    leader = children(net, kind)
    leader.join(net)
    leader.expect("a", "lead")
    heir, follower = net.follow(), net.follow()
    leader.freeze()
    assert heir.leads(bound=15).attempt == 2
    leader.finish(b"stale")
    leader.thaw()
    assert leader.expect("a", "end")["code"] != "OK"
    heir.finish(b"fresh")
    assert follower.delivery().value == b"fresh"


@KINDS
def test_a_frozen_follower_is_found_by_keepalive(private, children, kind):
    """A frozen follower is no audience for long."""
    net = private(*KEEPALIVE)
    leader = net.lead(audience=True)
    follower = children(net, kind)
    follower.join(net)
    follower.expect("a", "follow")
    leader.audience_of(1)
    follower.freeze()
    leader.audience_of(0, bound=15)
    leader.finish()
    leader.expect("result")


def test_a_client_that_lives_is_not_taken_for_frozen(private):
    """Keepalive ends connections that do not answer, and no others: an idle caller waits on."""
    net = private(*KEEPALIVE)
    leader, follower = net.lead(), net.follow()
    follower.silent(4)
    leader.finish(b"v")
    assert follower.delivery().value == b"v"


@pytest.mark.slow
def test_clients_may_ping_while_they_wait(net):
    """A waiting client that pings every second is no nuisance (too_many_pings would end it)."""
    options = [
        ("grpc.keepalive_time_ms", 1000),
        ("grpc.keepalive_timeout_ms", 5000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    leader = net.lead()
    follower = net.follow(channel=net.open_channel(options=options))
    follower.silent(8)
    leader.finish(b"v")
    assert follower.delivery().value == b"v"


def test_a_half_dead_flight_ends_for_everybody(net, children):
    """Row "the leader is lost, and nobody may lead": all that may lead are killed; the watcher is
    told ABORTED.
    """
    first, second = children(net, count=2)
    first.join(net)
    first.expect("a", "lead")
    second.join(net)
    second.expect("a", "follow")
    watcher = net.follow(role=pb.ROLE_FOLLOW_ONLY)
    second.kill()
    net.flight_where(lambda f: f.callers == 2, "the second is gone")
    first.kill()
    assert watcher.ended(grpc.StatusCode.ABORTED).message
