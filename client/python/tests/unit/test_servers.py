# SPDX-License-Identifier: Apache-2.0
"""Servers that refuse, drain and come back, in virtual time."""

from __future__ import annotations

from net import Net

from singleflight._core import effects
from singleflight._core.model import Code
from singleflight.v1 import singleflight_pb2 as pb


def refuse(net: Net) -> None:
    net.break_stream(text="Connection refused", refused=True)


def test_the_next_address_is_asked_at_once() -> None:
    net = Net(("a:1", "b:1"))
    call = net.begin()
    refuse(net)
    assert net.core.now == 0
    assert [stream.server.address for stream in net.streams].count("a:1") == 1
    assert len(net.streams) == 2
    assert [frame.join.key for frame in net.sent()] == [b"k"]
    assert call not in net.done
    net.begin(key=b"other")  # whatever its home is
    assert len(net.streams) == 2


def test_all_refuse_and_calls_fail_open_at_once() -> None:
    net = Net(("a:1", "b:1"))
    net.begin(fail_open=True)
    refuse(net)
    refuse(net)
    assert net.core.now == 0
    (leads,) = net.of(effects.Leads)
    assert leads.lead.token == 0
    net.begin(key=b"next", fail_open=True)
    assert len(net.of(effects.Leads)) == 2


def test_without_fail_open_they_are_tried_until_the_connect_timeout() -> None:
    net = Net(("a:1", "b:1"))
    call = net.begin()
    refuse(net)
    refuse(net)
    while call not in net.done:
        net.wait(0.01)
        if not net.streams[-1].over:
            refuse(net)
    assert net.done[call].status is Code.UNAVAILABLE
    assert "refused" in net.done[call].text
    assert 29.9 < net.core.now < 30.2
    assert len(net.streams) > 4


def test_a_server_that_is_known_to_be_away_is_waited_for() -> None:
    net = Net(("a:1",))
    net.begin()
    while not net.core.servers[0].down:
        if not net.streams[-1].over:
            refuse(net)
        net.wait(0.01)
    late = net.begin(key=b"late")
    net.wait(10)
    assert late not in net.done
    net.core.probed(net.core.servers[0], True, "")
    net.look()
    assert b"late" in [frame.join.key for frame in net.sent()]


def test_a_server_that_says_nothing_is_left_and_tried_again() -> None:
    net = Net(("a:1",))
    call = net.begin()
    net.sent()
    net.wait(5.1)
    assert net.core.servers[0].down
    assert call not in net.done
    net.wait(25)
    assert net.done[call].status is Code.UNAVAILABLE
    assert 29.9 < net.core.now < 30.2


def test_a_server_that_comes_back_takes_those_who_wait_for_another() -> None:
    net = Net(("a:1", "b:1"))
    call = net.begin()
    refuse(net)
    refuse(net)
    away = net.streams[1].server
    while away not in net.probes:
        net.wait(0.01)
        if not net.streams[-1].over:
            refuse(net)
    net.core.probed(away, True, "")
    net.look()
    assert net.streams[-1].server is away
    assert call not in net.done
    assert [frame.join.key for frame in net.sent()] == [b"k"]


def test_zero_is_one_try() -> None:
    net = Net(connect_timeout=0.0)
    call = net.begin(connect_timeout=0.0)
    refuse(net)
    assert net.done[call].status is Code.UNAVAILABLE
    assert net.core.now == 0
    silent = Net(connect_timeout=0.0)
    call = silent.begin(connect_timeout=0.0)
    silent.wait(0.3)
    assert silent.done[call].status is Code.UNAVAILABLE


def test_zero_uses_a_connection_that_is_there() -> None:
    net = Net()
    net.begin()
    net.sent()
    net.say(1, follow=pb.Follow(attempt=1))
    call = net.begin(key=b"other", connect_timeout=0.0)
    net.sent()
    net.wait(1)
    assert call not in net.done
    net.say(2, lead=pb.Lead(token=11, attempt=1))
    assert len(net.of(effects.Leads)) == 1


def drain(net: Net, number: int = 1) -> None:
    net.say(number, end=pb.End(code=Code.UNAVAILABLE, message="draining"))


def test_a_drain_is_no_absence() -> None:
    net = Net()
    call = net.begin(fail_open=True)
    net.sent()
    drain(net)
    while call not in net.done:
        net.wait(0.01)
        if net.sent():
            drain(net)
    assert net.of(effects.Leads) == []
    assert net.done[call].status is Code.UNAVAILABLE
    assert net.core.now > 4.9


def test_a_drain_is_over_when_the_process_has_gone() -> None:
    net = Net()
    net.begin(fail_open=True)
    net.sent()
    drain(net)
    net.wait(0.1)
    refuse(net)
    assert len(net.of(effects.Leads)) == 1


def test_a_server_that_is_down_and_drained_is_known_by_its_health() -> None:
    net = Net()
    call = net.begin(fail_open=True)
    net.sent()
    drain(net)
    while call not in net.done:
        net.wait(0.01)
        if net.sent():
            drain(net)
    while not net.probes:
        net.wait(0.01)
    net.core.probed(net.probes[-1], False, "Connection refused", True)
    net.look()
    net.begin(fail_open=True)
    assert len(net.of(effects.Leads)) == 1


def test_a_drain_sends_calls_elsewhere() -> None:
    net = Net(("a:1", "b:1"))
    net.begin()
    home = net.streams[0].server
    net.sent()
    drain(net)
    assert net.core.now == 0
    assert net.streams[-1].server is not home


def test_a_leader_stays_with_the_server_that_knows_it() -> None:
    net = Net(("a:1", "b:1"))
    call = net.begin(lease_ms=60000)
    net.sent()
    lead = net.lead(call, lease_ms=60000)
    home = net.streams[0].server
    net.break_stream()
    for _ in range(3):
        net.wait(1)
        assert net.streams[-1].server is home
        refuse(net)
    assert not lead.is_lost(net.core.now)
