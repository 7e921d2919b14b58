# SPDX-License-Identifier: Apache-2.0
"""Peers that open connections, more of them than there are descriptors or than is allowed."""

import contextlib
import os
import resource
import subprocess

import pytest

from support.daemon import Daemon, binary, clean_environment
from support.http2 import Peer
from support.net import Net
from support.wait import until

FLAGS = ("--log-format", "logfmt")


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def set_descriptors_limit(daemon, soft):
    hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))


def server_stats(net):
    return net.stats("")


@contextlib.contextmanager
def crowd(address, count, **options):
    with contextlib.ExitStack() as peers:
        yield [peers.enter_context(Peer(address, greet=False, **options)) for _ in range(count)]


def is_closed(peer):
    """Whether the server closes the connection without a word."""
    with contextlib.suppress(ConnectionError):
        return peer.socket.recv(1) == b""
    return True


def test_the_listener_survives_that_descriptors_run_out():
    """Issue: the listener survives running out of descriptors. Those that come meanwhile are closed
    at once, those that are in are served, and afterwards everybody is let in.
    """
    with Daemon(*FLAGS) as daemon:
        net = Net(daemon)
        net.stats()
        set_descriptors_limit(daemon, descriptors(daemon) + 5)
        with crowd(daemon.address, 100) as peers:
            assert is_closed(peers[-1])
            net.stats()
            until(lambda: "event=cannot_accept" in daemon.log(), "it is logged")
        with Peer(daemon.address) as later:
            assert later.is_served()
        assert server_stats(net).connections_refused >= 90
        net.close()


def test_it_recovers_while_the_limit_stays_low():
    """Again and again: no descriptor is lost on the way."""
    with Daemon(*FLAGS) as daemon:
        net = Net(daemon)
        net.stats()  # what opens with the first call is open now
        before = descriptors(daemon)
        set_descriptors_limit(daemon, before + 5)
        for _ in range(5):
            with crowd(daemon.address, 50) as peers:
                assert is_closed(peers[-1])
            until(lambda: descriptors(daemon) == before, "the connections are gone")
            with Peer(daemon.address) as peer:
                assert peer.is_served()
            until(lambda: descriptors(daemon) == before, "the last one, too")
        net.close()


def test_no_descriptor_at_all_is_left():
    """The spare one was taken as well; who waits is served when there is one again."""
    with Daemon(*FLAGS) as daemon:
        before = descriptors(daemon)
        with Peer(daemon.address) as first:
            assert first.is_served()
            set_descriptors_limit(daemon, 3)
            with Peer(daemon.address) as waiting:
                until(lambda: "event=cannot_accept" in daemon.log(), "it is noticed")
                set_descriptors_limit(daemon, before + 10)
                first.close()  # a descriptor becomes free
                with Peer(daemon.address) as last:
                    assert last.is_served()
                assert waiting.is_served()


def test_connections_have_a_limit():
    """--connections-limit: one more is closed at once and counted; one less, and there is room."""
    with Daemon(*FLAGS, "--connections-limit", "4", "--address-connections-limit", "4") as daemon:
        net = Net(daemon)
        net.stats()
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(Peer(daemon.address)) for _ in range(3)]
            assert all(peer.is_served() for peer in peers)
            assert server_stats(net).connections_now == 4
            for _ in range(3):
                with Peer(daemon.address, greet=False) as refused:
                    assert is_closed(refused)
            stats = server_stats(net)
            assert (stats.connections_now, stats.connections_refused) == (4, 3)
            assert net.stats(net.group).connections_now == 0  # no group has connections
            peers[0].close()
            until(lambda: server_stats(net).connections_now == 3, "its room is free")
            with Peer(daemon.address) as fourth:
                assert fourth.is_served()
        assert "event=connection_refused limit=connections-limit peer=127.0.0.1" in daemon.log()
        net.close()


def test_one_address_has_a_limit(tmp_path):
    """--address-connections-limit: others are let in; the unix socket has no address."""
    path = tmp_path / "socket"
    flags = ("--address-connections-limit", "2", "--unix-socket", path)
    with Daemon(*FLAGS, *flags) as daemon, contextlib.ExitStack() as stack:
        for source in ("127.0.0.1", "127.0.0.2"):
            for _ in range(2):
                assert stack.enter_context(Peer(daemon.address, source=source)).is_served()
            with Peer(daemon.address, source=source, greet=False) as refused:
                assert is_closed(refused)
        for _ in range(3):
            assert stack.enter_context(Peer(f"unix:{path}")).is_served()
        log = daemon.log()
        assert "event=connection_refused limit=address-connections-limit peer=127.0.0.2" in log


def test_the_unix_socket_counts(tmp_path):
    """--connections-limit is for all of them."""
    path = tmp_path / "socket"
    with Daemon(*FLAGS, "--connections-limit", "2", "--unix-socket", path) as daemon:
        with Peer(f"unix:{path}") as first, Peer(f"unix:{path}") as second:
            assert first.is_served() and second.is_served()
            with Peer(daemon.address, greet=False) as refused:
                assert is_closed(refused)
            with Peer(f"unix:{path}", greet=False) as refused:
                assert is_closed(refused)
        assert "limit=connections-limit peer=unix" in daemon.log()


def test_refusals_do_not_fill_the_log():
    """Repeats of one event are bounded."""
    with Daemon(*FLAGS, "--connections-limit", "1") as daemon, Peer(daemon.address) as first:
        assert first.is_served()
        for _ in range(10):
            with crowd(daemon.address, 100) as peers:
                assert all(is_closed(peer) for peer in peers)
        with Peer(daemon.address, greet=False) as refused:
            assert is_closed(refused)
        assert daemon.log().count("event=connection_refused") < 500


@pytest.mark.parametrize(
    "flags, text",
    [
        (["--connections-limit", "1000"], "connections-limit 1000 is more than the 23 that"),
        (
            ["--connections-limit", "5", "--address-connections-limit", "6"],
            "address-connections-limit 6 is more than connections-limit 5",
        ),
    ],
)
def test_limits_that_cannot_hold_are_said_at_the_start(flags, text):
    """Issue: connections have a limit below that of descriptors; validated at the start."""
    ended = subprocess.run(
        ["prlimit", "--nofile=64:64", str(binary()), "--check-config", *flags],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 78
    assert text in ended.stderr


def test_few_descriptors_are_left_to_connections():
    """The automatic limit keeps some back, so that the daemon never runs out of them by itself."""
    listed = subprocess.run(
        ["prlimit", "--nofile=64:64", str(binary()), "--check-config"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "\nconnections-limit = 0 ; default, automatic: 23\n" in listed
