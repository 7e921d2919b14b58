# SPDX-License-Identifier: Apache-2.0
"""The daemon as a process: listeners, settings, clear errors at start, tokens over restarts."""

import os
import re
import signal
import socket
import subprocess
import time

import pytest

from support.daemon import Daemon, binary, clean_environment, run_to_end
from support.net import Net
from support.wait import BOUND, until


@pytest.fixture
def socket_path(tmp_path_factory):
    """A path short enough for a unix socket."""
    return tmp_path_factory.mktemp("s") / "d.sock"


def over(daemon, address):
    return Net(daemon, address=address)


def test_it_says_where_it_listens(daemon):
    """One line per listener on stdout; port 0 prints the port that was taken."""
    host, port = daemon.address.rsplit(":", 1)
    assert host == "127.0.0.1" and 0 < int(port) < 65536
    assert f"singleflightd listening on {daemon.address}" in daemon.lines


def test_it_listens_on_several_addresses():
    """--listen, several times: all of them lead to the same flights."""
    with Daemon(listen=("127.0.0.1:0", "127.0.0.1:0")) as daemon:
        first, second = (over(daemon, address) for address in daemon.addresses)
        leader = first.lead(group="g")
        follower = second.follow(group="g")
        leader.finish(b"v")
        assert follower.delivery().value == b"v"
        first.close()
        second.close()


def test_it_listens_on_a_unix_socket(socket_path):
    """--unix-socket: callers over TCP and over the socket meet."""
    with Daemon("--unix-socket", socket_path) as daemon:
        assert f"singleflightd listening on unix:{socket_path}" in daemon.lines
        tcp, unix = over(daemon, daemon.address), over(daemon, f"unix:{socket_path}")
        leader, follower = tcp.lead(group="g"), unix.follow(group="g")
        leader.finish(b"v")
        assert follower.delivery().value == b"v"
        tcp.close()
        unix.close()


def test_a_port_that_is_taken_is_a_clear_error():
    """Issue: a port that is taken is a clear error at start, and the first daemon does not
    notice.
    """
    with Daemon() as daemon:
        second = run_to_end("--listen", daemon.address)
        assert second.returncode != 0
        assert daemon.address.rsplit(":", 1)[1] in second.stderr
        assert second.stderr.count(daemon.address) == 1  # said once
        assert second.stderr.count("\n") == 1
        assert "listening" not in second.stdout
        net = over(daemon, daemon.address)
        net.key_is_free()
        net.close()


def test_a_port_that_another_program_has_is_a_clear_error():
    """Issue: a port that is taken is a clear error at start."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = run_to_end("--listen", f"127.0.0.1:{port}")
    assert ended.returncode != 0 and str(port) in ended.stderr


def test_a_unix_socket_that_is_taken_is_a_clear_error(socket_path):
    """Issue: a socket that is taken is a clear error; it must not be stolen from a daemon that
    lives.
    """
    with Daemon("--unix-socket", socket_path) as daemon:
        second = run_to_end("--listen", "127.0.0.1:0", "--unix-socket", socket_path)
        assert second.returncode != 0
        assert str(socket_path) in second.stderr
        net = over(daemon, f"unix:{socket_path}")
        net.key_is_free()
        net.close()


def test_a_stale_unix_socket_is_replaced(socket_path):
    """A socket file that a killed daemon left behind is nobody's."""
    first = Daemon("--unix-socket", socket_path)
    first.kill()
    assert socket_path.exists()
    with Daemon("--unix-socket", socket_path) as daemon:
        net = over(daemon, f"unix:{socket_path}")
        net.key_is_free()
        net.close()


def test_a_file_that_is_no_socket_is_not_replaced(socket_path):
    """A unix socket path that names somebody's file is a clear error, and the file stays."""
    socket_path.write_text("precious")
    ended = run_to_end("--listen", "127.0.0.1:0", "--unix-socket", socket_path)
    assert ended.returncode != 0 and str(socket_path) in ended.stderr
    assert socket_path.read_text() == "precious"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-setting"],
        ["--listen", "nonsense"],
        ["--listen", "127.0.0.1:99999"],
        ["--drain-time", "soon"],
        ["--drain-time", "-1s"],
        ["--result-limit", "64XB"],
        ["--pumps", "many"],
        ["--result-limit"],
    ],
    ids=" ".join,
)
def test_a_setting_that_makes_no_sense_is_a_clear_error(arguments):
    """Settings: a wrong one names itself, and nothing starts."""
    ended = run_to_end(*arguments)
    assert ended.returncode != 0
    assert arguments[0] in ended.stderr or arguments[0].lstrip("-") in ended.stderr
    assert "listening" not in ended.stdout


def test_help_names_every_setting():
    """--help is made from the table of settings."""
    ended = run_to_end("--help")
    assert ended.returncode == 0
    for flag in ("--listen", "--unix-socket", "--drain-time", "--result-limit", "--pumps"):
        assert flag in ended.stdout


def test_version():
    """--version tells the git revision, and which gRPC the daemon runs on."""
    ended = run_to_end("--version")
    assert ended.returncode == 0
    assert re.search(r"^gRPC .+, (shared|static)$", ended.stdout, re.M)
    assert "singleflightd" in ended.stdout and any(c.isdigit() for c in ended.stdout)


def test_a_setting_from_the_environment():
    """Settings come from flags and from the environment (SINGLEFLIGHTD_*)."""
    with Daemon(env={"SINGLEFLIGHTD_CALLERS_LIMIT": "1"}) as daemon:
        net = over(daemon, daemon.address)
        net.lead()
        assert net.join().ended().code.name == "RESOURCE_EXHAUSTED"
        net.close()


def test_a_flag_comes_before_the_environment():
    """What stands closest to the command wins."""
    with Daemon("--callers-limit", "2", env={"SINGLEFLIGHTD_CALLERS_LIMIT": "1"}) as daemon:
        net = over(daemon, daemon.address)
        net.lead()
        net.follow()
        net.close()


def test_more_than_one_pump():
    """--pumps: flights are the same with any number of threads."""
    with Daemon("--pumps", "3") as daemon:
        net = Net(daemon, "mixed")
        leader = net.lead()
        followers = [net.follow(channel=net.open_channel()) for _ in range(12)]
        leader.finish(b"v" * 100_000)
        assert {f.delivery().value for f in followers} == {b"v" * 100_000}
        net.close()


def test_tokens_start_from_the_wall_clock():
    """Section 9: without a data directory tokens start from the wall clock in microseconds."""
    before = time.time_ns() // 1000
    with Daemon() as daemon:
        net = over(daemon, daemon.address)
        token = net.key_is_free().token
        assert before - 60_000_000 < token < time.time_ns() // 1000 + 60_000_000
        net.close()


def test_tokens_grow_over_a_restart():
    """Section 1: greater than every token granted before for that key, ever: across
    restarts, too.
    """
    tokens = []
    for _ in range(3):
        with Daemon() as daemon:
            net = over(daemon, daemon.address)
            tokens += [net.key_is_free(group="g").token for _ in range(50)]
            net.close()
    assert tokens == sorted(set(tokens))


def test_tokens_grow_over_a_kill():
    """Section 1: also when the daemon had no time to say goodbye."""
    first = Daemon()
    net = over(first, first.address)
    before = max(net.key_is_free(group="g").token for _ in range(50))
    net.close()
    first.kill()
    with Daemon() as second:
        net = over(second, second.address)
        assert net.key_is_free(group="g").token > before
        net.close()


def test_a_hangup_ends_nothing(private):
    """There is nothing to reload, and it says so."""
    net = private()
    leader = net.lead()
    net.daemon.signal(signal.SIGHUP)
    until(lambda: "event=nothing_to_reload" in net.daemon.log(), "it says what it did")
    leader.finish(b"v")
    assert leader.delivery().led


def test_callers_of_a_killed_daemon_see_unavailable():
    """A client sees the broken connection at once, as UNAVAILABLE."""
    daemon = Daemon()
    net = over(daemon, daemon.address)
    leader, follower = net.lead(), net.follow()
    daemon.kill()
    assert leader.ended().code.name == "UNAVAILABLE"
    assert follower.ended().code.name == "UNAVAILABLE"
    net.close()


def test_it_needs_no_stdin_and_no_terminal():
    """It runs under any supervisor: stdin closed, output to pipes; the log goes to stderr, not to
    stdout.
    """
    with Daemon() as daemon:
        net = over(daemon, daemon.address)
        net.key_is_free()
        net.close()
        assert all("listening on" in line for line in daemon.lines)
        assert os.path.exists(f"/proc/{daemon.pid}")


def start_closed(closing, socket_path, *flags):
    """A daemon that is started without some of its standard files; it listens on a socket."""
    command = ["sh", "-c", f'exec "$0" "$@" {closing}', str(binary()), "--listen", "none"]
    command += ["--unix-socket", str(socket_path), *map(str, flags)]
    process = subprocess.Popen(command, env=clean_environment())

    def answers():
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(socket_path)) == 0

    until(answers, "it listens")
    return process


@pytest.mark.parametrize("closing", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_without_standard_files_it_ends_in_order(socket_path, closing):
    process = start_closed(closing, socket_path)
    process.terminate()
    assert process.wait(BOUND) == 0


@pytest.mark.parametrize("closing", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_without_standard_files_the_log_does_not_go_into_the_data(socket_path, closing, tmp_path):
    directory = tmp_path / "data"
    process = start_closed(closing, socket_path, "--data-dir", directory)
    net = Net(None, address=f"unix:{socket_path}")
    net.retained(key=b"kept", group="data", retain_ms=60_000)
    process.kill()
    process.wait(BOUND)
    net.close()
    for file in directory.iterdir():
        assert b"event=" not in file.read_bytes()
    with Daemon("--data-dir", directory) as daemon:
        net = over(daemon, daemon.address)
        assert net.join(key=b"kept", group="data").delivery().retained
        net.close()


def test_a_variable_that_is_no_setting_is_a_warning_at_start():
    """It cannot be refused: Kubernetes makes such variables. The log names the setting that is meant."""
    with Daemon(
        env={
            "SINGLEFLIGHTD_DRIAN_TIME": "1s",
            "SINGLEFLIGHTD_SERVICE_HOST": "10.0.0.1",
            "SINGLEFLIGHTD_PORT_7433_TCP": "tcp://10.0.0.1:7433",
        }
    ) as daemon:
        warned = [line for line in daemon.log().splitlines() if "event=unknown_setting" in line]
    assert len(warned) == 1, warned
    assert "level=warn" in warned[0]
    assert "variable=SINGLEFLIGHTD_DRIAN_TIME meant=SINGLEFLIGHTD_DRAIN_TIME" in warned[0]
