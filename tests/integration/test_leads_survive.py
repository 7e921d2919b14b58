# SPDX-License-Identifier: Apache-2.0
"""Section 10.3: with a data directory, a lead with a lease outlives the daemon, whether that is
killed or ends in order.
"""

import concurrent.futures
import gzip
import pathlib
import random
import re
import socket

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.callers import ERROR, MIB
from support.daemon import run_to_end
from support.wait import BOUND, milliseconds, until, wall_milliseconds
from test_data_dir import fill_disk, mend_disk, refuse_all_writes

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
ABORTED = grpc.StatusCode.ABORTED
MINUTE = 60_000
GROUP = "jobs"
KINDS = pytest.mark.parametrize("kind", ["do", "session"])
DATA = pathlib.Path(__file__).parent / "data"


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def world(private, directory):
    """Daemons over one data directory, one after the other."""
    return World(private, directory)


class World:
    def __init__(self, private, directory):
        self._private = private
        self.directory = directory
        self.net = None

    def start(self, *flags, **options):
        self.net = self._private("--data-dir", self.directory, *flags, **options)
        self.net.group = GROUP
        return self.net

    def kill(self):
        self.net.daemon.kill()
        self.net.daemon.stop = lambda: None  # its end was not orderly
        self.net.close()

    def killed(self, *flags, **options):
        """The next daemon, after the last one was killed."""
        self.kill()
        return self.start(*flags, **options)

    def ended(self, *flags, **options):
        """The next daemon, after the last one drained."""
        self.net.daemon.terminate()
        assert self.net.daemon.wait() == 0
        self.net.close()
        return self.start(*flags, **options)


@pytest.fixture(params=["killed", "ended"])
def again(request, world):
    """How the last daemon ends and the next one comes."""
    return getattr(world, request.param)


@KINDS
def test_a_lead_outlives_the_daemon(world, again, kind):
    """With its token, attempt, options and leader's name, and a whole lease from the start on."""
    net = world.start(kind=kind)
    first = net.lead(lease_ms=MINUTE, retain_ms=MINUTE, caller="worker 1", fingerprint=b"print")
    first.chunk(b"lost ")
    net = again(kind=kind)
    flight = net.flight()
    assert flight.state == pb.Flight.STATE_ORPHANED
    assert (flight.token, flight.attempt, flight.leader) == (first.token, 1, "worker 1")
    assert MINUTE - 20_000 < flight.expires_ms <= MINUTE
    net.join(fingerprint=b"other").ended(grpc.StatusCode.FAILED_PRECONDITION)
    follower = net.join(fingerprint=b"print")
    assert follower.follows().leader == "worker 1"
    leader = net.resume(first.token)
    lead = leader.leads()
    assert (lead.token, lead.attempt, lead.next_sequence) == (first.token, 1, 0)
    assert lead.lease_ms == MINUTE
    leader.chunk(b"sent again ")
    leader.finish(b"and done")
    delivered = follower.delivery()
    assert delivered.value == b"sent again and done" and delivered.token == first.token
    result = leader.delivery()
    assert result.led and result.callers == 2 and result.retain_ms == MINUTE
    assert net.join().delivery().retained


def test_a_start_that_fails_leaves_the_leads_alone(world):
    """A port that is taken is a clear error, whatever was led before, and changes nothing."""
    first = world.start().lead(lease_ms=MINUTE)
    world.net.retained(key=b"other", value=b"kept", retain_ms=MINUTE)
    world.kill()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        ended = run_to_end("--listen", address, "--data-dir", str(world.directory))
    assert ended.returncode == 1, (ended.returncode, ended.stderr)
    net = world.start()
    assert net.resume(first.token).leads().token == first.token
    assert net.join(key=b"other").delivery().value == b"kept"


def test_twenty_jobs_go_on_when_the_daemon_is_killed(world):
    """The daemon is killed under them and back within the lease: nobody else ever leads."""
    net = world.start(kind="session")
    leaders = [net.lead(key=b"job %d" % n, lease_ms=MINUTE) for n in range(20)]
    net = world.killed(kind="session")
    others = [net.follow(key=b"job %d" % n) for n in range(20)]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        resumed = list(
            pool.map(lambda n: net.resume(leaders[n].token, key=b"job %d" % n), range(20))
        )
    for n, leader in enumerate(resumed):
        assert leader.leads().attempt == 1
        leader.finish(b"%d" % n)
        assert leader.delivery().callers == 2
        assert others[n].delivery().value == b"%d" % n
    assert net.stats().executions == 0
    assert net.flights() == []


def test_whoever_was_told_to_lead_leads_on_whenever_the_daemon_is_killed(world):
    """It is killed in the middle of 200 joins and 50 finishes, six times in a row."""
    choice = random.Random(1)
    held, ended = {}, {}
    net = world.start(kind="session")
    for turn in range(6):
        finishing = choice.sample(sorted(held), min(50, len(held)))
        resumed = {key: net.resume(token, key=key) for key, token in held.items()}
        for key, leader in resumed.items():
            assert leader.leads().token == held[key]
        joining = {
            key: net.join(key=key, lease_ms=MINUTE)
            for key in (b"%d-%d" % (turn, n) for n in range(200))
        }
        for key in finishing:
            resumed[key].finish(key)
        awaited = b"%d-%d" % (turn, choice.randrange(200))
        held[awaited] = joining.pop(awaited).leads().token
        if turn % 2 == 1:  # in the middle of what came first
            key = finishing.pop()
            resumed[key].expect("result")
            ended[key] = held.pop(key)
        net.daemon.kill()
        for key, caller in joining.items():
            name, message = caller.next()
            if name == "lead":
                held[key] = message.token
        for key in finishing:
            name, message = resumed[key].next()
            token = held.pop(key)  # if nobody was told, its end may be on disk or not
            if name == "result":
                ended[key] = token
        net = world.killed(kind="session")
        listed = {f.key: f.token for f in net.flights(limit=10_000)}
        for key, token in held.items():
            assert listed[key] == token
        for key in ended:
            assert key not in listed
    assert held and ended


def test_a_lead_whose_leader_has_its_result_does_not_come_back(world, again):
    net = world.start()
    leader = net.lead(lease_ms=MINUTE)
    leader.finish(b"v")
    leader.delivery()
    net = again()
    assert net.flights() == []
    net.resume(leader.token).ended(ABORTED, "fenced")
    net.key_is_free()


def test_what_was_retained_answers_the_leader_that_comes_back(world, again):
    net = world.start()
    leader = net.lead(lease_ms=MINUTE, retain_ms=MINUTE)
    leader.finish(b"v")
    leader.delivery()
    net = again()
    result = net.resume(leader.token).delivery()
    assert result.led and result.retained
    assert [f.state for f in net.flights()] == [pb.Flight.STATE_RETAINED]


def test_a_lead_without_a_lease_does_not_outlive_the_daemon(world, again):
    net = world.start()
    net.lead()
    net = again()
    assert net.flights() == []


def test_a_forgotten_lead_is_found_by_a_resume_alone(world, again):
    net = world.start()
    old = net.lead(lease_ms=MINUTE)
    assert net.forget().flight
    net = again()
    assert net.flight(forgotten=True).token == old.token
    young = net.lead(lease_ms=MINUTE)
    assert young.attempt == 1 and young.token > old.token
    leader = net.resume(old.token)
    assert leader.leads().token == old.token
    leader.finish(b"old", retain_ms=MINUTE)
    assert leader.delivery().retain_ms == 0
    # Both flights of the key live on side by side.
    net = again()
    assert net.flight().token == young.token
    assert net.flight(forgotten=True) is None


def test_a_promoted_leader_outlives_the_daemon_and_the_lost_one_does_not(world, again):
    net = world.start()
    first = net.lead(lease_ms=MINUTE, caller="first")
    second = net.join(caller="second")
    second.follows()
    first.finish(kind=ERROR, pass_on=True, message="no rows", code=7)
    first.delivery()
    second.leads()
    net = again()
    flight = net.flight()
    assert (flight.token, flight.attempt, flight.leader) == (second.token, 2, "second")
    net.resume(first.token).ended(ABORTED, "fenced")
    # The error that was passed on is still the outcome when nobody is left to try.
    follower = net.join(role=pb.ROLE_FOLLOW_ONLY)
    follower.follows()
    leader = net.resume(second.token)
    leader.leads()
    leader.finish(kind=ERROR, pass_on=True, message="nor here")
    leader.delivery()
    delivered = follower.delivery()
    assert delivered.outcome.message in ("no rows", "nor here")


def test_an_error_that_was_passed_on_outlives_the_daemon(world, again):
    net = world.start()
    first = net.lead(lease_ms=MINUTE, run_limit_ms=MINUTE)
    second = net.follow()
    first.finish(b"partial", kind=ERROR, pass_on=True, message="no rows", code=7)
    first.delivery()
    second.leads()
    net = again()
    follower = net.join(role=pb.ROLE_FOLLOW_ONLY)
    follower.follows()
    leader = net.resume(second.token)
    leader.leads()
    leader.chunk(b"x", sequence=5)  # a step error: the leader is lost
    leader.ended(grpc.StatusCode.INVALID_ARGUMENT)
    delivered = follower.delivery()
    assert (delivered.outcome.message, delivered.outcome.code) == ("no rows", 7)
    assert delivered.value == b"partial"
    assert (delivered.attempt, delivered.token) == (1, first.token)


def test_the_run_limit_counts_from_the_lead_by_the_wall_clock(world, again):
    net = world.start()
    begun = milliseconds()
    leader = net.lead(lease_ms=MINUTE, run_limit_ms=4000)
    until(lambda: milliseconds() - begun > 1500, "some of the run_limit has passed")
    net = again()
    follower = net.follow()
    assert follower.leads().attempt == 2
    assert 3900 < milliseconds() - begun < 5400  # not 4000 from the start on
    net.resume(leader.token).ended(ABORTED, "fenced")


def test_tokens_grow_over_leads_that_are_kept(world, again):
    net = world.start()
    tokens = [net.lead(key=b"%d" % n, lease_ms=MINUTE).token for n in range(5)]
    net = again()
    assert net.lead(key=b"other").token > max(tokens)


def test_a_drain_leaves_leads_on_disk_and_tells_their_callers(world):
    net = world.start(drain_time="1s")
    leader = net.lead(lease_ms=MINUTE)
    follower = net.follow()
    net.daemon.terminate()
    leader.ended(UNAVAILABLE)
    follower.ended(UNAVAILABLE)
    assert net.daemon.wait() == 0
    net.close()
    net = world.start()
    assert net.flight().token == leader.token


@KINDS
def test_a_drain_does_not_wait_for_orphaned_leads(world, kind):
    net = world.start(drain_time="60s", kind=kind)
    leader = net.lead(alone=True, lease_ms=MINUTE)
    follower = net.follow()
    leader.break_stream()
    net.flight_where(lambda f: f.state == pb.Flight.STATE_ORPHANED, "it is orphaned")
    started = milliseconds()
    net.daemon.terminate()
    follower.ended(UNAVAILABLE)
    assert net.daemon.wait() == 0
    assert milliseconds() - started < 30_000
    net.close()
    net = world.start()
    assert net.flight().token == leader.token


# --- beside the rest of section 10 ---


def overdue(net, leader):
    """The leader's stream breaks, and nobody wants its key when its lease is over."""
    leader.break_stream()
    net.flight_where(lambda f: f.overdue, "it is overdue")


def test_an_overdue_lead_outlives_the_daemon(world, again):
    """10.2: a drain ends it at once, but with a data directory it stays on disk."""
    net = world.start()
    leader = net.lead(alone=True, lease_ms=1000)
    overdue(net, leader)
    net = again()
    flight = net.flight()
    assert flight.token == leader.token
    resumed = net.resume(leader.token)
    assert resumed.leads().attempt == 1
    resumed.finish(b"late")
    assert resumed.delivery().led


def test_a_lead_that_a_drain_has_ended_is_not_fenced(world):
    """Whoever resumes it meanwhile is sent to the next daemon."""
    net = world.start(drain_time="60s")
    leader = net.lead(alone=True, lease_ms=1000)
    overdue(net, leader)
    running = net.lead(key=b"running")  # so that the drain goes on
    net.daemon.terminate()
    until(lambda: net.health_of("") == 2, "it drains")
    net.resume(leader.token).ended(UNAVAILABLE)
    running.finish(b"v")
    running.delivery()
    assert net.daemon.wait() == 0
    net.close()
    net = world.start()
    assert net.resume(leader.token).leads().token == leader.token


def test_a_lead_that_was_taken_over_does_not_come_back(world, again):
    net = world.start()
    first = net.lead(alone=True, lease_ms=1000)
    overdue(net, first)
    second = net.lead()
    assert second.attempt == 2
    net = again()
    assert net.flight().token == second.token
    net.resume(first.token).ended(ABORTED, "fenced")


def test_what_is_held_when_a_worker_dies_over_a_restart(world, again):
    """10.8: for what may not be tried twice."""
    net = world.start()
    leader = net.lead(lease_ms=1000, on_leader_loss=pb.LEADER_LOSS_HOLD, retain_error_ms=MINUTE)
    net = again()
    follower = net.join()
    follower.follows()  # until the lease that began with the start is over
    delivered = follower.delivery()
    assert delivered.outcome.kind == pb.OUTCOME_KIND_ABANDONED
    assert not delivered.led
    assert net.join().delivery().retained
    assert net.resume(leader.token).delivery().led


def test_a_window_from_the_start_counts_over_a_restart(world, again):
    """10.6: by the wall clock. The lead began after it was asked for and before it was told."""
    slack = 200
    net = world.start()
    asked = wall_milliseconds()
    leader = net.lead(lease_ms=MINUTE, retain_ms=MINUTE, retain_from_lead=True)
    told = wall_milliseconds()
    until(lambda: wall_milliseconds() - told > 1500, "some of the window has passed")
    net = again()
    resumed = net.resume(leader.token)
    resumed.leads()
    finished = wall_milliseconds()
    resumed.finish(b"v")
    left = resumed.delivery().retain_ms
    delivered = wall_milliseconds()
    assert MINUTE - (delivered - asked) - slack <= left <= MINUTE - (finished - told) + slack


def test_a_flight_that_was_ended_does_not_come_back(world):
    """10.9: not even when the daemon is killed right after the answer."""
    net = world.start()
    leader = net.lead(lease_ms=MINUTE)
    assert net.end(caller="ops").ended
    net = world.killed()
    assert net.flights() == []
    net.resume(leader.token).ended(ABORTED)


def runs(net):
    return list(net.admin.ListRuns(pb.ListRunsRequest(group=GROUP), timeout=BOUND))


def test_runs_outlive_the_daemon(world, again):
    """10.11: in the data directory when there is one. A drain leaves no run."""
    net = world.start("--runs-limit", "50")
    for number in range(60):
        leader = net.lead(key=b"%d" % number, lease_ms=MINUTE, caller="worker")
        leader.finish(kind=ERROR, code=number, message="no rows")
        leader.delivery()
    net.lead(key=b"running", lease_ms=MINUTE)
    # Nobody waits for runs; what comes after them does.
    net.forget(key=b"anything")
    before = runs(net)
    assert [r.code for r in before] == list(range(59, 9, -1))
    net = again("--runs-limit", "50")
    assert runs(net) == before
    leader = net.resume(net.flight(key=b"running").token, key=b"running")
    leader.leads()
    leader.finish(b"v")
    leader.delivery()
    after = runs(net)
    assert after[0].key == b"running" and after[1:] == before[:49]


def test_a_run_that_goes_on_over_a_restart_begins_with_its_first_lead(world, again):
    net = world.start()
    first = net.lead(lease_ms=MINUTE)
    second = net.follow()
    begun = milliseconds()
    until(lambda: milliseconds() - begun > 300, "the attempts are apart")
    first.finish(kind=ERROR, pass_on=True)
    first.delivery()
    second.leads()
    net = again()
    resumed = net.resume(second.token)
    resumed.leads()
    resumed.finish(b"v")
    resumed.delivery()
    (run,) = runs(net)
    assert run.attempts == 2 and run.token == second.token
    assert run.led_unix_ms - run.begun_unix_ms >= 290
    assert run.ended_unix_ms >= run.led_unix_ms


def test_runs_that_are_not_wanted_any_more_are_deleted(world):
    net = world.start()
    leader = net.lead(lease_ms=MINUTE)
    leader.finish(b"v")
    leader.delivery()
    assert len(runs(net)) == 1
    net = world.ended("--runs", "off")
    assert runs(net) == []
    net = world.ended()
    assert runs(net) == []


def test_hits_of_a_retained_outcome_are_counted_over_an_orderly_end(world):
    net = world.start(kind="session")
    net.retained(key=b"k", value=b"v", retain_ms=MINUTE)
    for _ in range(3):
        net.join(key=b"k").delivery()
    net = world.ended(kind="session")
    assert [run.retained_hits for run in runs(net)] == [3]
    for _ in range(2):
        net.join(key=b"k").delivery()
    assert [run.retained_hits for run in runs(net)] == [5]
    net = world.ended(kind="session")
    assert [run.retained_hits for run in runs(net)] == [5]


# --- disks ---


def test_a_lead_of_a_full_disk_is_told_counted_and_does_not_come_back(world):
    """Work goes on when the disk takes nothing: only the shelter is missing."""
    net = world.start()
    kept = net.lead(key=b"kept", lease_ms=MINUTE)
    refuse_all_writes(net)
    leader = net.lead(key=b"not kept", lease_ms=MINUTE)
    assert net.health_of("store") == 2
    stats = net.stats("")
    assert stats.store_failing and stats.leads_unkept == 1 and stats.outcomes_lost == 0
    mend_disk(net)
    until(lambda: net.health_of("store") == 1, "the disk takes what waits")
    net = world.killed()
    assert [f.token for f in net.flights()] == [kept.token]
    net.resume(leader.token, key=b"not kept").ended(ABORTED, "fenced")


def test_a_leader_has_its_result_though_the_disk_is_full(world):
    net = world.start()
    leader = net.lead(lease_ms=MINUTE)
    follower = net.follow()
    refuse_all_writes(net)
    leader.finish(b"v")
    assert leader.delivery().callers == 2
    assert follower.delivery().value == b"v"
    mend_disk(net)
    until(lambda: net.health_of("store") == 1, "the disk takes what waits")
    net = world.killed()
    assert net.flights() == []


def test_leads_go_on_beside_values_that_find_no_room(world):
    net = world.start()
    fill_disk(net, world.directory)
    assert net.retained(key=b"large", value=bytes(MIB)).retain_refused
    mend_disk(net)
    leader = net.lead(lease_ms=MINUTE)
    net = world.killed()
    assert net.flight().token == leader.token


def test_many_leads_that_come_together_share_a_sync(world):
    """Each is on disk before it is told; 300 of them do not take 300 syncs."""
    net = world.start(kind="session")
    callers = [net.join(key=b"%d" % n, lease_ms=MINUTE) for n in range(300)]
    tokens = {c.leads().token for c in callers}
    net = world.killed()
    assert {f.token for f in net.flights()} == tokens


# --- other formats ---


def test_a_file_of_format_2_is_carried_over(world):
    world.directory.mkdir()
    (world.directory / "data.mdb").write_bytes(
        gzip.decompress((DATA / "format_2.mdb.gz").read_bytes())
    )
    net = world.start()
    for _ in range(2):
        small = net.join(group="old", key=b"small").delivery()
        assert small.retained and small.value == b"of format 2" and small.attempt == 2
        large = net.join(group="old", key=b"large").delivery()
        assert large.value == bytes(n * 7 & 255 for n in range(20000))
        assert (large.outcome.code, large.outcome.message) == (7, "no rows")
        leader = net.lead(lease_ms=MINUTE, key=b"%d" % net.daemon.pid)
        assert leader.token > large.token
        net = world.killed()


def test_a_newer_format_is_refused_in_one_line(world):
    net = world.start()
    net.lead(lease_ms=MINUTE)
    net.daemon.kill()
    net.daemon.stop = lambda: None
    file = world.directory / "data.mdb"
    # "format", a bare number of 8 bytes, stands behind its name in a page.
    image = file.read_bytes()
    assert b"format\x03" in image
    file.write_bytes(image.replace(b"format\x03", b"format\x04"))
    ended = run_to_end("--listen", "127.0.0.1:0", "--data-dir", world.directory)
    assert ended.returncode == 1
    assert re.search(r"of format 4, which a newer version made", ended.stderr.splitlines()[0])
