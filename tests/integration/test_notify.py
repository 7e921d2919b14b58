# SPDX-License-Identifier: Apache-2.0
"""What a service manager hears from the daemon: sd_notify(3) on $NOTIFY_SOCKET."""

import os
import secrets
import signal
import socket
import time

import pytest

from support.daemon import Daemon
from support.wait import BOUND, QUIET, until


class Manager:
    """The other end: a datagram socket, as systemd's."""

    def __init__(self, name):
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name.replace("@", "\0", 1))
        self.socket.settimeout(BOUND)

    def hear(self):
        """The next message, as a dict."""
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())

    def hear_but(self, ignored):
        """The next one without this variable."""
        while ignored in (heard := self.hear()):
            pass
        return heard


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path_factory):
    """Both kinds of addresses."""
    name = str(tmp_path_factory.mktemp("n") / "s")
    if request.param == "abstract":
        name = f"@singleflightd-{secrets.token_hex(8)}"
    listening = Manager(name)
    yield listening
    listening.socket.close()


def daemon_of(manager, **env):
    return Daemon(env={"NOTIFY_SOCKET": manager.name, **env})


def test_it_says_when_it_serves_reads_again_and_ends(manager):
    """READY=1 when it listens, RELOADING=1 and READY=1 around a SIGHUP, STOPPING=1 at its end."""
    with daemon_of(manager) as daemon:
        assert manager.hear() == {"READY": "1"}
        socket.create_connection(daemon.address.rsplit(":", 1), BOUND).close()
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        daemon.signal(signal.SIGHUP)
        reloading = manager.hear()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert reloading["RELOADING"] == "1"
        assert before <= int(reloading["MONOTONIC_USEC"]) <= after
        assert manager.hear() == {"READY": "1"}
        daemon.terminate()
        assert manager.hear() == {"STOPPING": "1"}
        assert daemon.wait() == 0


def test_it_says_that_it_lives(manager):
    """WATCHDOG=1, more often than $WATCHDOG_USEC asks for; also while it drains."""
    with daemon_of(manager, WATCHDOG_USEC="400000") as daemon:
        assert manager.hear() == {"READY": "1"}
        for _ in range(3):
            assert manager.hear() == {"WATCHDOG": "1"}
        daemon.terminate()
        assert manager.hear_but("WATCHDOG") == {"STOPPING": "1"}


def test_a_watchdog_that_asks_another_process_is_none_of_its_business(manager):
    """$WATCHDOG_PID names who is to answer."""
    with daemon_of(manager, WATCHDOG_USEC="40000", WATCHDOG_PID=str(os.getpid())):
        assert manager.hear() == {"READY": "1"}
        manager.socket.settimeout(QUIET)
        with pytest.raises(TimeoutError):
            manager.hear()
        manager.socket.settimeout(BOUND)


def test_a_manager_that_is_not_there_is_a_line_in_the_log():
    """It goes on: it is for the manager to do something."""
    with Daemon(env={"NOTIFY_SOCKET": "/nowhere/at/all"}) as daemon:
        line = "event=manager_not_notified socket=/nowhere/at/all reason="
        until(lambda: line in daemon.log(), "the log says so")


@pytest.mark.parametrize("name", ["relative", "vsock:2:1234", "/" + "x" * 200])
def test_an_address_of_another_kind_is_refused(name):
    """Only a path, and a name that begins with "@", are addresses."""
    with Daemon(env={"NOTIFY_SOCKET": name}) as daemon:
        until(lambda: "event=manager_not_notified" in daemon.log(), "the log says so")
