# SPDX-License-Identifier: Apache-2.0
"""A data directory on disks that are full, hang, cannot be written, or have changed the file: what
is told is what the next start shows, and no start ends by a signal.
"""

import os
import random
import resource
import subprocess

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support import stubs
from support.callers import KIB, MIB
from support.daemon import Daemon, binary, clean_environment, run_to_end, sanitized
from support.net import Net
from support.wait import BOUND, milliseconds, until

MINUTE = 60_000
GROUP = "data"


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "data"


def start(directory):
    return run_to_end("--listen", "127.0.0.1:0", "--data-dir", str(directory))


def filled(directory):
    """A data directory as a daemon that was killed has left it."""
    daemon = Daemon("--data-dir", directory)
    net = Net(daemon)
    for number in range(60):
        net.retained(key=b"%d" % number, value=bytes(number * 400), group=GROUP, retain_ms=MINUTE)
    for number in range(0, 60, 3):
        net.forget(key=b"%d" % number, group=GROUP)
    net.close()
    daemon.kill()
    return (directory / "data.mdb").read_bytes()


def refused(directory):
    """Asserts that the start is refused in one line that says which file and what to do."""
    ended = start(directory)
    assert ended.returncode == 1, (ended.returncode, ended.stderr)
    line = ended.stderr.splitlines()[0]
    assert str(directory / "data.mdb") in line and "damaged" in line and "move it away" in line
    return line


def test_a_file_that_was_cut_is_refused(directory):
    whole = filled(directory)
    file = directory / "data.mdb"
    for size in (len(whole) // 2, 5000, 4096, 100, 1):
        file.write_bytes(whole[:size])
        refused(directory)
    file.rename(directory / "away")
    with Daemon("--data-dir", directory) as daemon:
        net = Net(daemon)
        assert net.lead(key=b"1", group=GROUP).attempt == 1
        net.close()


def test_a_head_that_was_overwritten_is_refused(directory):
    whole = filled(directory)
    for page in (0, 1):
        damaged = bytearray(whole)
        damaged[page * 4096 : (page + 1) * 4096] = bytes(4096)
        (directory / "data.mdb").write_bytes(damaged)
        refused(directory)


@pytest.mark.parametrize("seed", range(20))
def test_three_hundred_changed_bits_are_noticed(directory, seed):
    damaged = bytearray(filled(directory))
    choice = random.Random(seed)
    for _ in range(300):
        damaged[choice.randrange(len(damaged))] ^= 1 << choice.randrange(8)
    (directory / "data.mdb").write_bytes(damaged)
    refused(directory)


def limit_files(daemon, size):
    """No file of the daemon may grow beyond `size`, as on a full disk; None: any may."""
    soft = resource.RLIM_INFINITY if size is None else size
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))


class Ledger:
    """What was told about keys: kept with a value, gone, or nothing that could be relied on."""

    def __init__(self, seed):
        self.choice = random.Random(seed)
        self.kept = {}
        self.gone = set()
        self.unsure = set()  # Forget was UNAVAILABLE: an older outcome may come back
        self.refused = 0
        self.unavailable = 0

    def retain(self, net):
        key = b"%d" % self.choice.randrange(150)
        value = self.choice.randbytes(self.choice.choice([0, 700, 1300, 5000, 40 * KIB, 200 * KIB]))
        caller = net.join(key=key, group=GROUP, retain_ms=MINUTE)
        name, _ = caller.next()
        if name != "lead":
            return  # it is there already
        caller.finish(value)
        self.kept.pop(key, None)
        self.gone.discard(key)
        result = caller.delivery()
        assert (result.retain_ms > 0) != result.retain_refused
        if result.retain_refused:
            self.refused += 1
            if key not in self.unsure:
                self.gone.add(key)
        else:
            self.kept[key] = value

    def forget(self, net):
        key = b"%d" % self.choice.randrange(150)
        self.kept.pop(key, None)
        self.gone.discard(key)
        try:
            net.forget(key=key, group=GROUP)
            self.gone.add(key)
            self.unsure.clear()  # it waits for all that was to be dropped before
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            self.unsure.add(key)
            self.unavailable += 1

    def check(self, net):
        retained = {flight.key for flight in net.flights(group=GROUP)}
        assert not self.gone & retained
        assert set(self.kept) <= retained
        for key, value in self.kept.items():
            delivery = net.join(key=key, group=GROUP).delivery()
            assert delivery.retained and delivery.value == value


def test_a_store_filled_to_the_brim_and_killed_undoes_nothing_that_was_answered(directory):
    ledger = Ledger(1)
    for round_number in range(6):
        daemon = Daemon("--data-dir", directory, "--retained-limit", "4MiB")
        net = Net(daemon)
        try:
            ledger.check(net)
            size = (directory / "data.mdb").stat().st_size
            for step in range(200):
                if step == 40:
                    limit_files(daemon, max(size, 1 * MIB) + 64 * KIB)
                if step == 150:
                    limit_files(daemon, size // 2)  # hardly anything can be written
                if step == 170 and round_number % 2 == 0:
                    limit_files(daemon, None)
                (ledger.forget if ledger.choice.random() < 0.3 else ledger.retain)(net)
        finally:
            net.close()
            daemon.kill()
    assert ledger.refused > 0 and ledger.kept and ledger.gone
    assert ledger.unavailable > 0
    with Daemon("--data-dir", directory, "--retained-limit", "4MiB") as daemon:
        net = Net(daemon)
        ledger.check(net)
        net.close()


@pytest.mark.skipif(sanitized(), reason="a sanitizer wants to be the first library itself")
@pytest.mark.parametrize("kind", ["do", "session"])
def test_only_who_waits_for_the_disk_waits_for_one_that_hangs(private, directory, tmp_path, kind):
    gate = tmp_path / "gate"
    env = {
        "LD_PRELOAD": str(stubs.build_dir() / "tests" / "libsfl_slow_disk.so"),
        "SFL_TEST_DISK": str(gate),
    }
    net = private("--data-dir", directory, kind=kind, env=env)
    net.retained(key=b"before", group=GROUP, retain_ms=MINUTE)
    os.mkfifo(gate)
    leader = net.lead(key=b"slow", group=GROUP, retain_ms=MINUTE)
    follower = net.follow(key=b"slow", group=GROUP)
    leader.finish(b"value")
    assert follower.delivery().value == b"value"
    forgetting = net.single_flight.Forget.future(
        pb.ForgetRequest(key=b"before", group=GROUP), timeout=BOUND
    )
    # Everything else goes on, for as long as it hangs.
    for number in range(50):
        net.key_is_free(key=b"%d" % number)
    assert net.join(key=b"slow", group=GROUP).delivery().retained
    until(lambda: net.stats("").store_bytes_waiting > 0, "something waits")
    leader.silent()
    assert not forgetting.done()
    with open(gate, "wb"):
        gate.unlink()
        assert leader.delivery().retain_ms > 0
        assert forgetting.result().retained


@pytest.mark.skipif(sanitized(), reason="a sanitizer wants to be the first library itself")
@pytest.mark.parametrize("writes", [True, False], ids=["with writes", "without"])
def test_a_drain_does_not_wait_for_a_disk_that_hangs(private, directory, tmp_path, writes):
    """Row "the server drains": the process exits 0, within the drain time and two seconds. What the
    disk has not taken, nobody was told.
    """
    gate = tmp_path / "gate"
    env = {
        "LD_PRELOAD": str(stubs.build_dir() / "tests" / "libsfl_slow_disk.so"),
        "SFL_TEST_DISK": str(gate),
    }
    net = private("--data-dir", directory, env=env, drain_time="1s")
    kept = net.lead(key=b"kept", group=GROUP, lease_ms=MINUTE)
    os.mkfifo(gate)
    if writes:
        leader = net.lead(key=b"slow", group=GROUP, retain_ms=MINUTE)
        leader.finish(b"value")
        waiting = net.join(key=b"waiting", group=GROUP, lease_ms=MINUTE)
        until(lambda: net.stats("").store_bytes_waiting > 0, "something waits")
        waiting.silent()
    net.daemon.terminate()
    started = milliseconds()
    assert net.daemon.wait() == 0
    assert milliseconds() - started < 15_000
    assert "data_not_flushed" in net.daemon.log()
    gate.unlink()
    net = private("--data-dir", directory)
    flights = {f.key: f for f in net.flights(group=GROUP)}
    assert flights[b"kept"].token == kept.token
    assert b"slow" not in flights


def in_small_folder(directory, options, *arguments):
    """Runs the daemon with a small file system in memory, of its own, at `directory`."""
    directory.mkdir()
    script = f'mount -t tmpfs -o {options} none "$1" && shift && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(directory), str(binary())]
    command += ["--drain-time", "1s", "--data-dir", str(directory), *map(str, arguments)]
    return subprocess.Popen(command, env=clean_environment(), stderr=subprocess.PIPE, text=True)


@pytest.fixture
def mounts(tmp_path):
    """Skips where this user may not mount."""
    folder = tmp_path / "probe"
    folder.mkdir()
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", str(folder)]
    try:
        ended = subprocess.run(probe, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("NOT TESTED: there is no unshare")
    if ended.returncode != 0:
        pytest.skip("NOT TESTED: this user may not mount a file system of its own")


def test_on_a_full_file_system_flights_go_on(mounts, directory, tmp_path_factory):
    socket_path = tmp_path_factory.mktemp("s") / "d.sock"
    process = in_small_folder(directory, "size=1m", "--listen", "none", "--unix-socket", socket_path)
    net = None
    try:
        until(socket_path.exists, "it listens")
        net = Net(None, address=f"unix:{socket_path}")
        results = [
            net.retained(key=b"%d" % number, value=bytes(50_000), group=GROUP, retain_ms=MINUTE)
            for number in range(40)
        ]
        kept = [result for result in results if result.retain_ms > 0]
        assert 5 < len(kept) < 20
        assert len(net.flights(group=GROUP)) == len(kept)
        assert net.forget(key=b"0", group=GROUP).retained
        net.key_is_free(key=b"another")
        process.terminate()
        _, errors = process.communicate(timeout=BOUND)
        assert process.returncode == 0, errors
        assert 'error="No space left on device"' in errors
    finally:
        if net is not None:
            net.close()
        process.kill()
        process.communicate()


def test_on_a_file_system_that_is_read_only_it_says_so(mounts, directory):
    process = in_small_folder(directory, "ro", "--listen", "127.0.0.1:0")
    try:
        _, errors = process.communicate(timeout=BOUND)
        assert process.returncode == 1
        assert "data.mdb: Read-only file system" in errors
    finally:
        process.kill()
        process.communicate()
