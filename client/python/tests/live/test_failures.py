# SPDX-License-Identifier: Apache-2.0
"""Servers that are not there, go, come back, or are something else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from support import PATIENCE, Daemon, Proxy, wait_follows, wait_until

from singleflight import (
    RAW,
    AbortedError,
    CallCancelledError,
    Chunk,
    Client,
    Lead,
    Restart,
    Role,
    StatusError,
    UnavailableError,
)
from singleflight._core.rendezvous import order
from singleflight._core.seat import State
from singleflight.v1 import singleflight_pb2 as pb
from singleflight.v1 import singleflight_pb2_grpc as pb_grpc

NOBODY = "127.0.0.1:1"


@pytest.fixture
def proxy(shared_daemon: Daemon) -> Iterator[Proxy]:
    proxy = Proxy(shared_daemon.address)
    yield proxy
    proxy.close()


def never(lead: Lead) -> Any:
    raise RuntimeError("this must not run")


class Gate:
    """A function that says when it runs, and ends when it is let, or the lead is lost."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()

    def __call__(self, lead: Lead) -> str:
        self.entered.set()
        wait_until(lambda: self.leave.is_set() or lead.lost)
        return f"attempt {lead.attempt}"


# ---- nobody is there


def test_a_wrong_address_is_named(key: str) -> None:
    with Client(NOBODY, connect_timeout=0.2) as client:
        with pytest.raises(UnavailableError) as caught:
            client.do(key, never)
        text = str(caught.value)
        assert NOBODY in text
        assert "refused" in text
        assert "SINGLEFLIGHT_ADDRESS" in text
        with pytest.raises(UnavailableError, match=NOBODY):
            client.forget(key, timeout=0.2)


def test_a_silent_address_is_given_up(key: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with (
            Client(address, connect_timeout=0.3) as client,
            pytest.raises(UnavailableError, match=address),
        ):
            client.do(key, never)


def test_what_grpc_cannot_use_is_told(shared_daemon: Daemon, key: str) -> None:
    wrong: Any = "no credentials"
    with (
        Client(shared_daemon.address, credentials=wrong, connect_timeout=0.2) as client,
        pytest.raises(UnavailableError, match="no channel can be made"),
    ):
        client.do(key, never)


def test_fail_open(key: str) -> None:
    with Client(NOBODY, connect_timeout=0.2, fail_open=True) as client:
        result = client.do(key, lambda lead: [lead.token, lead.attempt])
        assert result.value == [0, 1]
        assert (result.failed_open, result.led, result.token, result.callers) == (True, True, 0, 1)
        with pytest.raises(UnavailableError):
            client.do(key, never, fail_open=False)
        with pytest.raises(UnavailableError):
            client.do(key, role=Role.FOLLOW_ONLY)
        with pytest.raises(KeyError):
            client.do(key, lambda lead: dict[str, str]()["x"])


def test_fail_open_for_merged_callers(key: str) -> None:
    runs = []

    def work(lead: Lead) -> str:
        runs.append(lead)
        return "alone"

    with Client(NOBODY, connect_timeout=0.3, fail_open=True) as client:
        with ThreadPoolExecutor(5) as pool:
            results = [f.result() for f in [pool.submit(client.do, key, work) for _ in range(5)]]
        assert {result.value for result in results} == {"alone"}
        assert all(result.failed_open for result in results)


def test_a_server_that_is_no_singleflightd(key: str) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with Client(f"127.0.0.1:{port}") as client, pytest.raises(StatusError) as caught:
            client.do(key, never)
        assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED
        assert "older" in str(caught.value)
    finally:
        server.stop(None).wait()


# ---- broken connections


def test_followers_join_anew(proxy: Proxy, client: Client, key: str) -> None:
    gate = Gate()
    leader = client.start(key, gate)
    gate.entered.wait(PATIENCE)
    with Client(proxy.address) as other:
        follower = other.start(key, never)
        wait_follows(follower)
        proxy.cut()
        wait_until(lambda: follower._call.seat.session is None)
        proxy.mend()
        wait_follows(follower)
        gate.leave.set()
        assert follower.wait().value == "attempt 1"
    leader.wait()


def test_a_dead_connection_is_found(proxy: Proxy, client: Client, key: str) -> None:
    gate = Gate()
    leader = client.start(key, gate)
    gate.entered.wait(PATIENCE)
    with Client(proxy.address, keepalive_time=1, keepalive_timeout=1) as other:
        follower = other.start(key, never)
        wait_follows(follower)
        session = follower._call.seat.session
        begun = time.monotonic()
        proxy.swallow()
        wait_until(lambda: session.over)
        took = time.monotonic() - begun
        assert took < 20, "a minute: gRPC waits for the answer to its ping"
        follower.cancel()
    gate.leave.set()
    leader.wait()


def test_a_leader_without_a_lease_is_lost(proxy: Proxy, client: Client, key: str) -> None:
    gate = Gate()
    with Client(proxy.address) as other:
        leader = other.start(key, gate)
        gate.entered.wait(PATIENCE)
        follower = client.start(key, lambda lead: lead.attempt)
        wait_follows(follower)
        proxy.cut()
        with pytest.raises(AbortedError, match="lease"):
            leader.wait()
        assert follower.wait().value == 2


def test_a_lease_outlives_broken_connections(proxy: Proxy, client: Client, key: str) -> None:
    part = bytes(range(256)) * 1024
    go = threading.Semaphore(0)

    def work(lead: Lead) -> bytes:
        for _ in range(8):
            go.acquire()
            lead.write(part)
        go.acquire()
        return b"end"

    with Client(proxy.address, backoff_max=0.1) as other:
        leader = other.start(key, work, codec=RAW, lease=60)
        wait_until(lambda: leader._call.lead)
        with client.stream(key, never, role=Role.FOLLOW_ONLY) as stream:
            for _ in range(8):
                go.release()
                proxy.cut()
                proxy.mend()
            go.release()
            data = b""
            for event in stream:
                assert isinstance(event, Chunk), "the attempt is the same"
                data += event.data
        assert data == part * 8 + b"end"
        result = leader.wait()
        assert (result.value, result.attempt, result.callers) == (data, 1, 2)


# ---- daemons that go and come back


def is_refused(client: Client) -> bool:
    try:
        client.do("another", lambda lead: None, connect_timeout=0.2)
    except UnavailableError:
        return True
    return False


def test_drain(daemon: Daemon, key: str) -> None:
    with Client(daemon.address, backoff_max=0.1) as client:
        gate = Gate()
        leader = client.start(key, gate)
        gate.entered.wait(PATIENCE)
        with Client(daemon.address) as other:
            follower = other.start(key, never)
            wait_follows(follower)
            daemon.drain()
            wait_until(lambda: is_refused(other))
            gate.leave.set()
            assert leader.wait().value == follower.wait().value == "attempt 1"
            assert daemon.process.wait(PATIENCE) == 0
            waits = client.start(key, lambda lead: "after", connect_timeout=PATIENCE)
            daemon.stop()
            daemon.start()
            assert waits.wait(PATIENCE).value == "after"


def test_a_daemon_that_is_killed_and_started_again(daemon: Daemon, key: str) -> None:
    with Client(daemon.address) as client, Client(daemon.address) as other:
        gate, leased = Gate(), Gate()
        leader = client.start(key, gate)
        leased_leader = client.start(f"{key} leased", leased, lease=60)
        gate.entered.wait(PATIENCE)
        leased.entered.wait(PATIENCE)
        follower = other.start(key, lambda lead: "after")
        wait_follows(follower)
        daemon.kill()
        with pytest.raises(AbortedError):
            leader.wait()
        assert not leased_leader.done()
        daemon.start()
        assert follower.wait(PATIENCE).value == "after"
        with pytest.raises(AbortedError, match="fenced"):  # the new daemon knows nothing of it
            leased_leader.wait(PATIENCE)


def test_while_all_are_down_calls_give_up_at_once(daemon: Daemon, key: str) -> None:
    with Client(daemon.address, connect_timeout=1, backoff_max=0.05) as client:
        client.do(key, lambda lead: None)
        daemon.kill()
        with pytest.raises(UnavailableError):
            client.do(key, never)
        assert client._engine is not None
        server = client._engine.core.servers[0]
        assert server.down
        with pytest.raises(UnavailableError):
            client.do(key, never)
        daemon.start()
        wait_until(lambda: not server.down)  # a health check says so
        assert client.do(key, lambda lead: "back").value == "back"


def test_fail_open_in_the_middle(daemon: Daemon, key: str) -> None:
    with Client(daemon.address, fail_open=True) as client:
        gate, leased = Gate(), Gate()
        calls = [client.start(key, gate) for _ in range(2)]
        calls.append(client.start(f"{key} leased", leased, lease=1))
        gate.entered.wait(PATIENCE)
        leased.entered.wait(PATIENCE)
        daemon.kill()
        another = client.do(f"{key} another", lambda lead: lead.token, timeout=PATIENCE)
        assert (another.value, another.failed_open) == (0, True)
        engine: Any = client._engine
        wait_until(lambda: all(seat.state is State.ALONE for seat in engine.core.seats))
        gate.leave.set()
        leased.leave.set()
        for call in calls:
            result = call.wait(PATIENCE)
            assert (result.value, result.failed_open) == ("attempt 1", True)
            assert result.token > 0


# ---- several servers


def home_of(daemons: list[Daemon], key: str) -> int:
    return order([daemon.address for daemon in daemons], "", key.encode())[0]


def listed(daemon: Daemon, key: str) -> bool:
    with grpc.insecure_channel(daemon.address) as channel:
        flights = pb_grpc.AdminStub(channel).ListFlights(pb.ListFlightsRequest())
        return any(flight.key == key.encode() for flight in flights)


def test_each_key_has_a_home(shared_daemon: Daemon, daemon: Daemon) -> None:
    daemons = [shared_daemon, daemon]
    addresses = [each.address for each in daemons]
    with Client(addresses) as client:
        keys = [f"home {number}" for number in range(16)]
        for key in keys:
            client.do(key, lambda lead: None, retain=60)
        homes = [home_of(daemons, key) for key in keys]
        assert set(homes) == {0, 1}
        for key, home in zip(keys, homes):
            assert listed(daemons[home], key)
            assert not listed(daemons[1 - home], key)
            assert client.forget(key).retained


def test_another_stands_in_while_a_home_is_down(
    shared_daemon: Daemon, daemon: Daemon, key: str
) -> None:
    daemons = [shared_daemon, daemon]
    addresses = [each.address for each in daemons]
    name = next(f"{key} {i}" for i in range(99) if home_of(daemons, f"{key} {i}") == 1)
    with Client(addresses, connect_timeout=1, backoff_max=0.05) as client:
        client.do(name, lambda lead: None, retain=60)
        daemon.kill()
        assert client.do(name, lambda lead: "stand-in", retain=60).value == "stand-in"
        assert listed(shared_daemon, name)
        daemon.start()
        assert client._engine is not None
        servers = client._engine.core.servers
        wait_until(lambda: servers[1].is_likely)
        assert client.do(name, lambda lead: "home", retain=60).value == "home"


# ---- live chunks


def test_chunks_come_while_the_leader_writes(client: Client, key: str) -> None:
    go = threading.Event()

    def work(lead: Lead) -> bytes:
        lead.write(b"first ")
        go.wait(PATIENCE)
        return b"second"

    with client.stream(key, work) as own, client.stream(key, never) as stream:
        events = iter(stream)
        assert next(events) == Chunk(b"first ")
        with pytest.raises(RuntimeError, match="end"):
            _ = stream.result
        go.set()
        assert list(events) == [Chunk(b"second")]
        assert stream.result.value == b"first second"
        assert not stream.result.led
        assert list(stream) == []
        assert b"".join(event.data for event in own if isinstance(event, Chunk)) == b"first second"
        assert own.result.led


def test_chunks_restart_with_another_leader(client: Client, key: str) -> None:
    gives_up = threading.Event()

    def dies(lead: Lead) -> None:
        lead.write(b"void")
        gives_up.wait(PATIENCE)
        lead.pass_on()
        raise OSError("only here")

    def works(lead: Lead) -> bytes:
        lead.write(b"good ")
        return b"value"

    leader = client.start(key, dies, local_merge=False)
    wait_until(lambda: leader._call.lead)
    with (
        client.stream(key, never, role=Role.FOLLOW_ONLY) as follower,
        client.stream(key, works) as heir,
    ):
        events = iter(follower)
        assert next(events) == Chunk(b"void")
        wait_follows(heir)
        gives_up.set()
        with pytest.raises(OSError, match="only here"):
            leader.wait()
        assert next(events) == Restart(2)
        rest = b"".join(event.data for event in events if isinstance(event, Chunk))
        assert rest == b"good value"
        wrote = list(heir)
        assert wrote[-3:] == [Restart(2), Chunk(b"good "), Chunk(b"value")]
        assert heir.result.led


def test_leaving_a_stream_early(client: Client, key: str) -> None:
    lost = threading.Event()

    def work(lead: Lead) -> None:
        lead.write(b"more")
        lead.wait_lost()
        lost.set()

    with client.stream(key, work) as stream:
        next(iter(stream))
    assert lost.wait(PATIENCE)


# ---- the end


def test_close_leaves_nothing(shared_daemon: Daemon, key: str) -> None:
    before = set(threading.enumerate())
    client = Client([shared_daemon.address, NOBODY], connect_timeout=0.2)
    gate = Gate()
    leader = client.start(key, gate)
    gate.entered.wait(PATIENCE)
    follower = client.start(key, never, local_merge=False)
    unreachable = [client.start(f"{key} {i}", lambda lead: None) for i in range(20)]
    for call in unreachable:
        call.wait()
    client.close()
    client.close()
    with pytest.raises(CallCancelledError):
        leader.wait()
    with pytest.raises(CallCancelledError):
        follower.wait()
    with pytest.raises(CallCancelledError):
        client.do(key, never)
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_closing_a_client_that_was_never_used() -> None:
    before = set(threading.enumerate())
    client = Client(NOBODY)
    client.close()
    with pytest.raises(CallCancelledError):
        client.do("k", never)
    assert set(threading.enumerate()) <= before


def test_close_while_others_wait(shared_daemon: Daemon, key: str) -> None:
    gate = Gate()
    with ThreadPoolExecutor(4) as pool:
        client = Client(shared_daemon.address)
        calls = [pool.submit(client.do, key, gate) for _ in range(4)]
        gate.entered.wait(PATIENCE)
        client.close()
        for call in calls:
            with pytest.raises(CallCancelledError):
                call.result(PATIENCE)


def test_a_unix_socket(key: str, tmp_path: Any) -> None:
    path = tmp_path / "s"
    daemon = Daemon("--unix-socket", str(path))
    try:
        with Client(f"unix:{path}") as client:
            assert client.do(key, lambda lead: "value").value == "value"
    finally:
        daemon.stop()


# ---- leads by the clock


class Believer:
    """A function that asks again and again whether it still leads, and when it last heard yes."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.heard_yes_at = 0.0
        self.told_at = 0.0

    def __call__(self, lead: Lead) -> None:
        self.entered.set()
        while True:
            now = time.monotonic()
            if lead.lost:
                break
            self.heard_yes_at = now
            lead.wait_lost(0.001)
        lead.wait_lost(PATIENCE)
        self.told_at = time.monotonic()


@pytest.mark.parametrize("lease", [1, 3])
def test_a_leader_that_is_cut_off_stops_before_the_next_one_starts(
    proxy: Proxy, client: Client, key: str, lease: float
) -> None:
    believer, started = Believer(), []
    with Client(proxy.address) as other:
        leader = other.start(key, believer, lease=lease)
        believer.entered.wait(PATIENCE)
        follower = client.start(key, lambda lead: started.append(time.monotonic()), lease=lease)
        wait_follows(follower)
        begun = time.monotonic()
        proxy.swallow()
        follower.wait(PATIENCE)
        with pytest.raises(AbortedError, match="lease"):
            leader.wait(PATIENCE)
        assert believer.heard_yes_at < started[0]
        assert believer.told_at - begun < lease + 15, "25 s: when the connection is found dead"


def test_a_leader_without_a_lease_that_is_cut_off(proxy: Proxy, client: Client, key: str) -> None:
    believer, started = Believer(), []
    with Client(proxy.address, keepalive_time=600, keepalive_timeout=600) as other:
        leader = other.start(key, believer)
        believer.entered.wait(PATIENCE)
        follower = client.start(key, lambda lead: started.append(time.monotonic()))
        wait_follows(follower)
        proxy.swallow()
        follower.wait(PATIENCE)
        with pytest.raises(AbortedError, match="answered"):
            leader.wait(PATIENCE)
        assert believer.heard_yes_at < started[0]
