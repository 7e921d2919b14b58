# SPDX-License-Identifier: Apache-2.0
"""Who may do what: tokens, the access file, and what becomes of callers when either changes."""

import pathlib
import signal
import socket

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support import wait
from support.daemon import Daemon, run_to_end
from support.rights import House, TokenNet
from support.wait import until

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED

ACCESS = """
[who]
reader = token:reader
worker = token:worker
cleaner = token:cleaner
ender = token:ender
viewer = token:viewer
ops = token:ops unix

[group reports.*]
do = reader worker
lead = worker
forget = cleaner
end = ender
list = viewer
all = ops

[group other]
all = ops

[server]
admin = ops
deny = token:stolen
"""
NAMES = ("reader", "worker", "cleaner", "ender", "viewer", "ops", "stolen", "stranger")
GROUP = "reports.daily"


@pytest.fixture
def house(tmp_path):
    """house(tokens=..., access=...) starts a daemon for this test alone."""
    houses = []

    def start(tokens=NAMES, access=ACCESS, flags=(), **options):
        houses.append(House(tmp_path, tokens, access, flags, **options))
        return houses[-1]

    yield start
    for opened in houses:
        opened.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    opened = House(tmp_path_factory.mktemp("rights"), NAMES, ACCESS)
    yield opened
    opened.close()


def denied(call, code, *words):
    """The call must end like that."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.code() == code, caught.value.details()
    for word in words:
        assert word in caught.value.details()


def outcome(call):
    """"ok", or the status with which the call ends."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name
    return "ok"


def lead_and_finish(net, group):
    caller = net.join(group=group, key=b"lead", role=pb.ROLE_LEAD_ONLY)
    name, message = caller.next()
    if name == "end":
        return message.code.name
    assert name == "lead"
    caller.finish(b"v")
    caller.delivery()
    return "ok"


def follow_nothing(net, group):
    """Joins where no flight runs: with the right to, one is told that there is nothing to follow."""
    caller = net.join(group=group, key=b"follow", role=pb.ROLE_FOLLOW_ONLY)
    end = caller.expect("end")
    return "ok" if end.code == grpc.StatusCode.NOT_FOUND else end.code.name


def list_runs(net, group):
    list(net.admin.ListRuns(pb.ListRunsRequest(group=group), timeout=wait.BOUND))


def end_flight(net, group, key=b"none"):
    request = pb.ForgetRequest(group=group, key=key, end=True)
    net.single_flight.Forget(request, timeout=wait.BOUND)


ACTS = {
    "do": follow_nothing,
    "lead": lead_and_finish,
    "forget": lambda net, group: outcome(lambda: net.forget(key=b"none", group=group)),
    "end": lambda net, group: outcome(lambda: end_flight(net, group)),
    "flights": lambda net, group: outcome(lambda: net.flights(group=group)),
    "runs": lambda net, group: outcome(lambda: list_runs(net, group)),
    "stats": lambda net, group: outcome(lambda: net.stats(group=group)),
    "server stats": lambda net, _: outcome(lambda: net.stats(group="")),
}
LOOKS = {"flights", "runs", "stats"}
MAY = {
    "reader": {"do"},
    "worker": {"do", "lead"},
    "cleaner": {"forget"},
    "ender": {"end"},
    "viewer": LOOKS,
    "ops": {"do", "lead", "forget", "end", "server stats"} | LOOKS,
    "stranger": set(),
}


@pytest.mark.parametrize("kind", ["do", "session"])
@pytest.mark.parametrize("name", MAY)
def test_the_matrix_of_rights(shared, name, kind):
    """Every caller at every method: what it may, it does; everything else is PERMISSION_DENIED."""
    net = shared.net(name, kind=kind)
    for what, act in ACTS.items():
        wanted = "ok" if what in MAY[name] else "PERMISSION_DENIED"
        assert act(net, GROUP) == wanted, what
        if name != "ops" and what != "server stats":
            assert act(net, "other") == "PERMISSION_DENIED", what


@pytest.mark.parametrize("kind", ["do", "session"])
def test_who_is_not_known_is_unauthenticated(shared, kind):
    net = shared.net(kind=kind)
    for what, act in ACTS.items():
        assert act(net, GROUP) == "UNAUTHENTICATED", what


@pytest.mark.parametrize(
    "authorization",
    ["Bearer nonsense", "Bearer", "Bearer ", "Basic abc", "", "Bearer secret-of-op"],
)
def test_a_bad_token_is_unauthenticated(shared, authorization):
    net = shared.net(authorization=[authorization])
    net.join(group=GROUP).ended(UNAUTHENTICATED, "token")
    denied(lambda: net.stats(group=GROUP), UNAUTHENTICATED)


def test_two_tokens_are_none(shared):
    net = shared.net(authorization=["Bearer secret-of-ops", "Bearer secret-of-worker"])
    net.join(group=GROUP).ended(UNAUTHENTICATED, "token")


def own_address():
    """An address of this machine that is not loopback, or None. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.77", 9))
        except OSError:
            return None
        address = asked.getsockname()[0]
    return None if address.startswith("127.") else address


def test_no_token_is_taken_where_others_could_read_it(house):
    """Over plain TCP that is not loopback."""
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    opened = house(flags=("--insecure-listen",), listen=(f"{address}:0",))
    opened.net("ops").join(group=GROUP).ended(UNAUTHENTICATED, "TLS", "loopback")
    opened.net("ops", unix=True).key_is_free(group=GROUP)


def test_the_scheme_is_bearer_in_either_case(shared):
    shared.net(authorization="bearer secret-of-ops").stats(group=GROUP)


def test_the_deny_list_is_for_every_group(shared):
    net = shared.net("stolen")
    net.join(group=GROUP).ended(PERMISSION_DENIED, "deny list")
    denied(lambda: net.stats(group=""), PERMISSION_DENIED, "deny list")


def test_the_unix_socket_is_a_name(shared):
    net = shared.net(unix=True)
    net.key_is_free(group=GROUP)
    assert net.stats(group="").calls > 0


def test_a_bad_token_is_bad_on_the_unix_socket_too(shared):
    net = shared.net(authorization="Bearer nonsense", unix=True)
    net.join(group=GROUP).ended(UNAUTHENTICATED)


def test_health_and_reflection_need_no_right(shared):
    net = shared.net()
    assert net.health_of("") == 1


@pytest.mark.parametrize("kind", ["do", "session"])
def test_without_the_right_to_lead_one_follows(shared, kind):
    """ROLE_ANY becomes FOLLOW_ONLY; who insists is refused."""
    reader, worker = shared.net("reader", kind=kind), shared.net("worker")
    key = kind.encode()
    reader.join(group=GROUP, key=key).ended(grpc.StatusCode.NOT_FOUND)
    leader = worker.lead(group=GROUP, key=key)
    follower = reader.follow(group=GROUP, key=key)
    reader.join(group=GROUP, key=key, role=pb.ROLE_LEAD_ONLY).ended(PERMISSION_DENIED, "lead")
    reader.resume(leader.token, group=GROUP, key=key).ended(PERMISSION_DENIED, "lead")
    leader.finish(b"v")
    assert follower.delivery().value == b"v"


def test_a_follower_without_the_right_to_lead_is_never_promoted(shared):
    reader, worker = shared.net("reader"), shared.net("worker")
    leader = worker.lead(group=GROUP, key=b"promote")
    follower = reader.follow(group=GROUP, key=b"promote")
    leader.break_stream()
    follower.ended(grpc.StatusCode.ABORTED, "no caller that waits may lead")


def test_listings_show_what_one_may_list(shared):
    """Without a group, of all flights those whose group the caller may list."""
    ops, viewer = shared.net("ops"), shared.net("viewer")
    leaders = [ops.lead(group=group, key=b"listed") for group in (GROUP, "other")]
    assert {f.group for f in ops.flights(group="", key_prefix=b"listed")} == {GROUP, "other"}
    assert {f.group for f in viewer.flights(group="", key_prefix=b"listed")} == {GROUP}
    assert not shared.net("worker").flights(group="", key_prefix=b"listed")
    for leader in leaders:
        leader.finish(b"")


def test_a_group_that_is_no_name_is_refused_before_anything(shared):
    net = shared.net("stranger")
    net.join(group="../etc").ended(PERMISSION_DENIED)
    net.join(group="g" * 100_000).ended(grpc.StatusCode.INVALID_ARGUMENT, "group")


# --- tokens without an access file ---


def test_with_tokens_alone_who_has_one_may_do_everything(house):
    opened = house(tokens=("a",), access=None)
    net = opened.net("a")
    net.key_is_free(group="any")
    net.stats(group="")
    net.forget(group="any")
    for stranger in (opened.net(), opened.net(unix=True), opened.net("b")):
        stranger.join(group="any").ended(UNAUTHENTICATED)
        denied(lambda net=stranger: net.stats(group=""), UNAUTHENTICATED)
        assert stranger.health_of("") == 1


def test_anonymous_may_do_what_the_file_says(house):
    access = "[who]\nall = anonymous unix\n[group open]\nall = all\n"
    opened = house(tokens=None, access=access)
    opened.net().key_is_free(group="open")
    opened.net(authorization="Bearer whatever").key_is_free(group="open")
    opened.net().join(group="closed").ended(UNAUTHENTICATED)
    opened.net(unix=True).join(group="closed").ended(PERMISSION_DENIED)


# --- reloads ---


@pytest.mark.parametrize("kind", ["do", "session"])
def test_a_token_that_is_removed_ends_its_calls(house, kind):
    """Leaders too: the next one leads, and the old token is fenced."""
    opened = house()
    worker = opened.net("worker", kind=kind)
    ops = opened.net("ops")
    leader = worker.lead(group=GROUP, lease_ms=60_000)
    follower = ops.follow(group=GROUP)
    opened.write_tokens("ops", "reader")
    leader.ended(UNAUTHENTICATED, "token")
    lead = follower.leads()
    assert lead.attempt == 2 and lead.token > leader.token
    worker.join(group=GROUP, alone=True).ended(UNAUTHENTICATED)
    follower.finish(b"v")
    follower.delivery()
    assert opened.count("event=rights_reloaded") == 1
    lost = next(line for line in opened.daemon.log().splitlines() if "event=right_lost" in line)
    for word in ("who=token:worker", f"group={GROUP}", "right=do", "reason=bad_token"):
        assert word in lost


@pytest.mark.parametrize("kind", ["do", "session"])
def test_a_leader_is_told_which_right_it_has_lost(house, kind):
    opened = house()
    leader = opened.net("worker", kind=kind).lead(group=GROUP)
    opened.write_access(ACCESS.replace("do = reader worker\nlead = worker\n", ""))
    leader.ended(PERMISSION_DENIED, "\"do\"")
    opened.write_access(ACCESS)
    until(lambda: opened.count("event=rights_reloaded") == 2, "the file is back")
    leader = opened.net("worker", kind=kind).lead(group=GROUP)
    opened.write_access(ACCESS.replace("lead = worker\n", ""))
    leader.ended(PERMISSION_DENIED, "\"lead\"")


@pytest.mark.parametrize("change", ["token", "rule"])
def test_who_has_lost_its_right_is_not_promoted(house, change):
    """The lead goes past all who lose their right with it, wherever their streams are."""
    opened = house(flags=("--pumps", "2"))
    leader = opened.net("worker", kind="session").lead(group=GROUP)
    nets = [opened.net("worker", kind=kind) for kind in ("do", "session") for _ in range(4)]
    lost = [net.follow(group=GROUP) for net in nets for _ in range(5)]
    kept = opened.net("ops").follow(group=GROUP)
    if change == "token":
        opened.write_tokens("ops")
    else:
        opened.write_access(ACCESS.replace("do = reader worker\nlead = worker\n", ""))
    for caller in (leader, *lost):
        caller.ended(UNAUTHENTICATED if change == "token" else PERMISSION_DENIED)
    assert kept.leads().attempt == 2
    kept.finish(b"v")
    kept.delivery()


def test_a_session_whose_caller_is_unknown_ends(house):
    opened = house()
    stream = opened.net("worker", kind="session").session()
    calls = []
    for number in range(300):
        call = stream.open_call()
        call.send("join", pb.Join(group=GROUP, key=f"{number}".encode()))
        calls.append(call)
    for call in calls:
        call.leads()
    opened.write_tokens("ops")
    assert stream.status().code == UNAUTHENTICATED
    ops = opened.net("ops")
    until(lambda: not ops.flights(group=GROUP), "nobody leads any more")


def test_a_rule_that_is_removed_ends_what_it_allowed(house):
    """And nothing else on the same stream."""
    opened = house()
    session = opened.net("ops", kind="session")
    kept = session.lead(group=GROUP)
    lost = session.lead(group="other")
    opened.write_access(ACCESS.replace("[group other]\nall = ops", "[group other]\ndo = ops"))
    lost.ended(PERMISSION_DENIED, "lead")
    session.join(group="other", role=pb.ROLE_LEAD_ONLY).ended(PERMISSION_DENIED, "lead")
    kept.finish(b"v")
    assert kept.delivery().led


def test_a_follower_keeps_what_it_may(house):
    """Who may only follow, and still may, sees nothing of a reload."""
    opened = house()
    leader = opened.net("ops").lead(group=GROUP)
    follower = opened.net("reader", kind="session").follow(group=GROUP)
    opened.write_access(ACCESS.replace("lead = worker\n", ""))
    until(lambda: opened.count("event=rights_reloaded") == 1, "it is taken over")
    leader.finish(b"v")
    assert follower.delivery().value == b"v"


def test_a_stream_takes_new_rights_with_its_next_call(house):
    opened = house()
    session = opened.net("reader", kind="session")
    session.join(group="other").ended(PERMISSION_DENIED)
    opened.write_access(ACCESS + "[group other*]\nlead = reader\n")
    until(lambda: opened.count("event=rights_reloaded") == 1, "it is taken over")
    session.key_is_free(group="other")


def test_the_deny_list_ends_a_caller(house):
    opened = house()
    leader = opened.net("worker", kind="session").lead(group=GROUP)
    opened.write_access(ACCESS.replace("deny = token:stolen", "deny = token:stolen token:worker"))
    assert leader.stream.status().code == PERMISSION_DENIED
    leader.ended(PERMISSION_DENIED, "deny list")


@pytest.mark.parametrize(
    "text, reason",
    [
        ("[who]\nworker = nobody\n", "access:2"),
        ("", "access:1"),
        (ACCESS + "[group x]\nwrite = ops\n", "no right"),
    ],
)
def test_a_broken_file_changes_nothing(house, text, reason):
    """It is one line in the log, and the old rights stay."""
    opened = house()
    leader = opened.net("worker").lead(group=GROUP)
    opened.write_access(text)
    until(lambda: opened.count("event=rights_not_reloaded") == 1, "it is told")
    assert reason in opened.daemon.log()
    leader.finish(b"v")
    assert leader.delivery().led
    opened.net("worker").key_is_free(group=GROUP)
    opened.write_access(ACCESS)
    until(lambda: opened.count("event=rights_reloaded") == 1, "a good one is taken over again")
    assert opened.count("event=rights_not_reloaded") == 1


def test_a_hangup_reads_the_files_again(house):
    opened = house()
    opened.daemon.signal(signal.SIGHUP)
    until(lambda: opened.count("event=rights_reloaded") == 1, "it says so")
    opened.net("worker").key_is_free(group=GROUP)


def test_a_broken_file_at_the_start_is_one_line_and_exit_78(tmp_path):
    (tmp_path / "access").write_text("[who]\nworker = nobody\n")
    ended = run_to_end("--listen", "127.0.0.1:0", "--access-file", tmp_path / "access")
    assert ended.returncode == 78
    assert f"singleflightd: access-file {tmp_path}/access:2: \"nobody\" is no identity" in ended.stderr


def test_files_are_checked_before_a_start(tmp_path):
    """--check-config reads them, and listens nowhere."""
    access = tmp_path / "access"
    access.write_text("[who]\nops = unix\n[group x]\nall = ops\n")
    ended = run_to_end("--check-config", "--access-file", access)
    assert ended.returncode == 0 and "access-file" in ended.stdout and not ended.stderr
    access.write_text("[who]\nops = unix\n[group x]\nall = opps\n")
    ended = run_to_end("--check-config", "--access-file", access)
    assert ended.returncode == 78 and 'access:4: "opps" is not in [who]' in ended.stderr
    ended = run_to_end("--check-config", "--tls-cert", "/nowhere", "--tls-key", "/nowhere")
    assert ended.returncode == 78 and "/nowhere" in ended.stderr


def test_the_sample_is_taken():
    sample = pathlib.Path(__file__).parents[2] / "deploy" / "security" / "access.ini"
    with Daemon("--access-file", sample) as daemon:
        net = TokenNet(daemon)
        net.join(group="reports.daily").ended(UNAUTHENTICATED)
        net.close()


# --- the log ---


def test_refusals_and_forgets_are_told(house):
    opened = house()
    opened.net("reader").join(group="other", key=b"k").ended(PERMISSION_DENIED)
    ops = opened.net("ops")
    ops.forget(key=b"k", group="other")
    leader = ops.lead(key=b"evil", group="other")
    for _ in range(40):
        ops.forget(key=b"none", group="other")
    end_flight(ops, "other", b"evil")
    leader.ended()
    log = opened.daemon.log()
    refused = next(line for line in log.splitlines() if "event=call_refused" in line)
    for word in ("level=warn", "who=token:reader", "peer=ipv4:127.0.0.1", "group=other", "right=do",
                 "reason=not_allowed"):
        assert word in refused
    forgotten = next(line for line in log.splitlines() if "event=forgotten" in line)
    for word in ("level=info", "who=token:ops", "group=other", "key=k", "end=false"):
        assert word in forgotten
    ended = next(line for line in log.splitlines() if "event=ended" in line)
    assert "who=token:ops" in ended and "key=evil" in ended
    assert "secret" not in log


def test_a_file_that_is_being_written_is_not_taken_up(house, tmp_path):
    """Without its last lines it is a good file, which says something else."""
    opened = house()
    net = opened.net("stolen")
    path = tmp_path / "access"
    whole = path.read_text()
    for _ in range(30):
        path.write_text(whole.replace("deny = token:stolen\n", ""))  # in place
        denied(lambda: net.flights(group=GROUP), PERMISSION_DENIED)
        path.write_text(whole)
    assert "event=rights_reloaded" not in opened.daemon.log()
