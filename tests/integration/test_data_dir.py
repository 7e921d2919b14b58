# SPDX-License-Identifier: Apache-2.0
"""Section 6, standalone: with a data directory, retained outcomes and the token high-water mark
survive a restart.
"""

import re
import resource

import grpc
import pytest
from grpc_health.v1 import health_pb2

from support import page, scrape
from support.callers import ERROR, KIB, MIB
from support.daemon import Daemon, run_to_end
from support.net import Net
from support.wait import until

MINUTE = 60_000
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
KEY = {"key": b"kept", "group": "data"}


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "data"


def restarted(private, net, directory):
    """The same data directory under a new daemon, after an orderly end of the old one."""
    net.close()
    net.daemon.terminate()
    assert net.daemon.wait() == 0
    return private("--data-dir", directory)


@pytest.mark.parametrize("value", [b"", b"small", b"x" * (5 * MIB)], ids=["0", "5", "5MiB"])
def test_a_retained_outcome_survives_a_restart(private, directory, value):
    net = private("--data-dir", directory)
    leader = net.lead(retain_ms=MINUTE, fingerprint=b"print", **KEY)
    leader.chunks(value, 512 * KIB)
    leader.finish()
    before = leader.delivery()
    assert before.retain_ms > 0
    net = restarted(private, net, directory)
    after = net.join(**KEY).delivery()
    assert after.retained and not after.led and after.value == value
    assert (after.token, after.attempt, after.callers) == (before.token, 1, 1)
    assert 0 < after.retain_ms <= MINUTE
    net.join(fingerprint=b"other", **KEY).ended(grpc.StatusCode.FAILED_PRECONDITION)


def test_a_retained_error_survives_a_restart_with_its_texts(private, directory):
    net = private("--data-dir", directory)
    leader = net.lead(retain_error_ms=MINUTE, **KEY)
    leader.finish(b"partial", kind=ERROR, message="no rows", code=7)
    leader.delivery()
    net = restarted(private, net, directory)
    after = net.join(**KEY).delivery()
    assert after.value == b"partial"
    assert (after.outcome.kind, after.outcome.message, after.outcome.code) == (ERROR, "no rows", 7)


def test_what_was_forgotten_stays_forgotten(private, directory):
    net = private("--data-dir", directory)
    net.retained(retain_ms=MINUTE, **KEY)
    assert net.forget(key=KEY["key"], group=KEY["group"]).retained
    net = restarted(private, net, directory)
    assert net.flights(group=KEY["group"]) == []
    assert net.lead(**KEY).token > 0


def killed(directory, story):
    """Tells a story to a daemon with this data directory, and ends it with SIGKILL."""
    daemon = Daemon("--data-dir", directory)
    net = Net(daemon)
    try:
        return story(net)
    finally:
        net.close()
        daemon.kill()


def test_tokens_grow_over_restarts_and_kills(private, directory):
    first = killed(directory, lambda net: net.lead(**KEY).token)
    second = killed(directory, lambda net: net.lead(**KEY).token)
    net = private("--data-dir", directory)
    third = net.lead(**KEY).token
    net = restarted(private, net, directory)
    assert first < second < third < net.lead(**KEY).token


@pytest.mark.parametrize("kind", ["do", "session"])
def test_a_crash_loses_no_outcome_whose_leader_knows_that_it_is_retained(private, directory, kind):
    """Once the leader has its result, however much waits for the disk before it."""

    def story(net):
        net.kind = kind
        leaders = [net.lead(retain_ms=MINUTE, key=b"%d" % number) for number in range(40)]
        for leader in leaders:
            leader.finish(bytes(MIB))
        net.retained(value=b"kept", retain_ms=MINUTE, **KEY)
        net.daemon.kill()

    killed(directory, story)
    net = private("--data-dir", directory)
    assert net.join(**KEY).delivery().value == b"kept"


def test_what_was_forgotten_stays_forgotten_after_a_crash(private, directory):
    """Once Forget is answered, however much waits for the disk before it."""

    def story(net):
        net.retained(retain_ms=MINUTE, **KEY)
        for number in range(40):
            net.retained(value=bytes(MIB), retain_ms=MINUTE, key=b"%d" % number)
        assert net.forget(key=KEY["key"], group=KEY["group"]).retained
        net.daemon.kill()

    killed(directory, story)
    net = private("--data-dir", directory)
    assert net.lead(**KEY).attempt == 1


def test_two_daemons_do_not_share_a_data_directory(private, directory):
    private("--data-dir", directory)
    ended = run_to_end("--listen", "127.0.0.1:0", "--data-dir", str(directory))
    assert ended.returncode != 0
    assert str(directory) in ended.stderr and "in use" in ended.stderr


def test_a_data_directory_that_cannot_be_made_is_a_clear_error():
    ended = run_to_end("--listen", "127.0.0.1:0", "--data-dir", "/proc/no/such/place")
    assert ended.returncode != 0
    assert "/proc/no/such/place" in ended.stderr


def fill_disk(net, directory):
    """From now on the data file cannot grow, as on a full disk."""
    size = (directory / "data.mdb").stat().st_size
    resource.prlimit(net.daemon.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def refuse_all_writes(net):
    """From now on nothing can be written to any file."""
    resource.prlimit(net.daemon.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def mend_disk(net):
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(net.daemon.pid, resource.RLIMIT_FSIZE, unlimited)


def test_suppressed_log_lines_are_counted_though_nothing_else_is_logged(private, directory):
    net = private("--data-dir", directory)
    fill_disk(net, directory)
    for number in range(100):
        net.retained(key=b"%d" % number, value=bytes(64 * KIB))
    until(lambda: net.daemon.log().count("data_not_written") >= 20, "lines are suppressed")
    mend_disk(net)
    line = r"log_suppressed of=data_not_written lines=\d+$"
    until(lambda: re.search(line, net.daemon.log(), re.MULTILINE), "a count")


def test_on_a_full_disk_nobody_is_told_that_something_is_kept(private, directory):
    """What the leader is told, what this daemon shows and what the next one shows are the same."""
    net = private("--data-dir", directory)
    kept = net.retained(key=b"before", group="data", retain_ms=MINUTE)
    assert kept.retain_ms > 0 and not kept.retain_refused
    fill_disk(net, directory)
    large = net.retained(key=b"large", group="data", value=bytes(MIB), retain_ms=MINUTE)
    assert large.retain_refused and large.retain_ms == 0
    assert net.lead(key=b"large", group="data").attempt == 1
    assert net.join(key=b"before", group="data").delivery().retained
    assert net.stats(group="data").retain_refused == 1
    net = restarted(private, net, directory)
    assert net.lead(key=b"large", group="data").attempt == 1
    assert net.join(key=b"before", group="data").delivery().retained


def test_a_full_disk_is_said_by_stats_health_page_and_log(private, directory):
    net = private("--data-dir", directory, *scrape.FLAGS)
    shown = lambda: page.ok(net.daemon, "status")["store"]
    assert shown() == {"enabled": True, "failing": False, "bytes_waiting": 0, "why": None}
    watch = net.health.Watch(health_pb2.HealthCheckRequest(service="store"))
    assert next(watch).status == SERVING
    fill_disk(net, directory)
    net.retained(value=bytes(MIB), retain_ms=MINUTE)
    assert next(watch).status == NOT_SERVING
    assert net.health_of("store") == NOT_SERVING
    assert net.health_of("") == SERVING
    stats = net.stats("")
    assert stats.outcomes_lost == 1 and stats.store_failing
    assert shown()["failing"] and shown()["why"] == "File too large"
    assert re.search(r'data_not_written error="File too large"', net.daemon.log())
    mend_disk(net)
    assert next(watch).status == SERVING
    stats = net.stats("")
    assert stats.outcomes_lost == 1 and not stats.store_failing
    assert not shown()["failing"] and shown()["why"] is None
    watch.cancel()


def test_without_a_data_directory_there_is_no_store(private):
    net = private()
    with pytest.raises(grpc.RpcError) as error:
        net.health_of("store")
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_forget_that_the_disk_does_not_take_is_unavailable(private, directory):
    net = private("--data-dir", directory)
    net.retained(retain_ms=MINUTE, **KEY)
    refuse_all_writes(net)
    with pytest.raises(grpc.RpcError) as error:
        net.forget(key=KEY["key"], group=KEY["group"])
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "try again" in error.value.details()
    assert net.lead(**KEY).attempt == 1  # it is forgotten all the same
    mend_disk(net)
    net.forget(key=KEY["key"], group=KEY["group"])
    net = restarted(private, net, directory)
    assert net.flights(group=KEY["group"]) == []
