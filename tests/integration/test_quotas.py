# SPDX-License-Identifier: Apache-2.0
"""What a group may use: one group over its quota has no effect on another."""

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.callers import ERROR
from support.rights import House
from support.wait import until

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
KINDS = pytest.mark.parametrize("kind", ["do", "session"])
MINUTE = 60_000
ACCESS = """
[who]
all = token:all

[group *]
all = all

[group small.*]
%s
"""


@pytest.fixture
def house(tmp_path):
    """house("flights-limit = 1") starts a daemon whose groups small.* have this quota each; the one
    before ends.
    """
    houses = []

    def start(quota, flags=()):
        while houses:
            houses.pop().close()
        houses.append(House(tmp_path, ("all",), ACCESS % quota, flags))
        return houses[-1]

    yield start
    for opened in houses:
        opened.close()


@KINDS
@pytest.mark.parametrize(
    "quota, words",
    [
        ("flights-limit = 20", ("flights of this group", "quota of 20")),
        ("callers-limit = 20", ("callers of this group", "quota of 20")),
    ],
)
def test_a_group_over_its_quota_is_refused_and_no_other(house, kind, quota, words):
    """Over all shards, and to the last one. Every group that matches has its own."""
    net = house(quota).net("all", kind=kind)
    leaders = [net.lead(key=b"%d" % n, group="small.a") for n in range(20)]
    net.join(key=b"one more", group="small.a").ended(EXHAUSTED, *words)
    others = [net.lead(key=b"%d" % n, group="small.b") for n in range(20)]
    others += [net.lead(key=b"%d" % n, group="large") for n in range(60)]
    assert net.stats(group="small.a").refused == 1
    assert net.stats(group="small.b").refused == net.stats(group="large").refused == 0
    for leader in leaders + others:
        leader.finish(b"v")
        assert leader.delivery().led
    net.key_is_free(key=b"one more", group="small.a")


@KINDS
def test_a_group_that_joins_too_often_is_refused_and_no_other(house, kind):
    """A second's worth at once; how many come in later depends on the time."""
    net = house("joins-per-second = 20").net("all", kind=kind)
    leaders = [net.lead(key=b"%d" % n, group="small.a") for n in range(20)]
    for number in range(20, 5000):
        caller = net.join(key=b"%d" % number, group="small.a")
        name, message = caller.next()
        if name == "end":
            break
        leaders.append(caller)
    assert name == "end" and message.code == EXHAUSTED
    assert "joins of this group: its quota of 20 a second" in message.message
    net.lead(key=b"k", group="large").finish(b"v")
    assert net.stats(group="large").refused == 0


@KINDS
def test_bytes_over_the_quota_are_an_outcome_that_says_so(house, kind):
    """Followers get it as the leader does, and nobody tries again."""
    net = house("held-limit = 1MiB").net("all", kind=kind)
    holder = net.lead(key=b"holder", group="small.a")
    holder.chunk(b"x" * 600_000)
    leader = net.lead(key=b"k", group="small.a")
    follower = net.follow(key=b"k", group="small.a")
    leader.finish(b"y" * 600_000)
    for caller in (leader, follower):
        delivered = caller.delivery()
        assert delivered.outcome.kind == ERROR
        assert delivered.outcome.type == "singleflight.LimitExceeded"
        assert "of this group" in delivered.outcome.message
        assert str(1 << 20) in delivered.outcome.message
    other = net.lead(key=b"k", group="small.b")
    other.finish(b"y" * 600_000)
    assert other.delivery().outcome.kind != ERROR
    holder.finish(b"")
    holder.delivery()
    again = net.lead(key=b"k", group="small.a")
    again.finish(b"y" * 600_000)
    assert again.delivery().outcome.kind != ERROR


def test_an_outcome_over_the_quota_is_not_retained(house):
    net = house("retained-limit = 1KiB").net("all")
    first = net.retained(key=b"1", group="small.a", value=b"x" * 1000)
    assert first.retain_ms > 0 and not first.retain_refused
    second = net.retained(key=b"2", group="small.a", value=b"x" * 1000)
    assert second.retain_ms == 0 and second.retain_refused
    other = net.retained(key=b"2", group="small.b", value=b"x" * 1000)
    assert other.retain_ms > 0 and not other.retain_refused


def test_a_reload_changes_quotas_of_groups_that_are_known(house):
    home = house("flights-limit = 1")
    net = home.net("all")
    leader = net.lead(key=b"1", group="small.a")
    net.join(key=b"2", group="small.a").ended(EXHAUSTED)
    home.write_access(ACCESS % "flights-limit = 2")

    def second_leads():
        caller = net.join(key=b"2", group="small.a")
        name, _ = caller.next()
        if name != "lead":
            return None
        return caller

    second = until(second_leads, "the new quota holds")
    home.write_access(ACCESS % "")
    third = until(
        lambda: net.join(key=b"3", group="small.a").next()[0] == "lead", "there is no quota"
    )
    assert third
    for caller in (leader, second):
        caller.finish(b"v")
        caller.delivery()


def test_leads_that_outlive_the_daemon_come_back_whatever_the_quota_says(house, tmp_path):
    flags = ("--data-dir", tmp_path / "data")
    net = house("flights-limit = 10", flags).net("all")
    leaders = [net.lead(key=b"%d" % n, group="small.a", lease_ms=MINUTE) for n in range(5)]
    net = house("flights-limit = 1", flags).net("all")
    states = [flight.state for flight in net.flights(group="small.a")]
    assert states == [pb.Flight.STATE_ORPHANED] * 5
    net.join(key=b"new", group="small.a").ended(EXHAUSTED, "flights of this group")
    for number, leader in enumerate(leaders):
        resumed = net.resume(leader.token, key=b"%d" % number, group="small.a")
        resumed.leads()
        resumed.finish(b"v")
        resumed.delivery()
    net.key_is_free(key=b"new", group="small.a")


def test_a_lead_that_comes_back_passes_the_quota_of_joins(house):
    net = house("joins-per-second = 1").net("all")
    net.group = "small.a"
    leader = net.lead(lease_ms=MINUTE, alone=True)
    leader.break_stream()
    net.flight_where(lambda f: f.state == pb.Flight.STATE_ORPHANED, "it is orphaned")
    resumed = net.resume(leader.token)
    resumed.leads()
    resumed.finish(b"v")
    resumed.delivery()
