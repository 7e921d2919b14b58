# SPDX-License-Identifier: Apache-2.0
"""What the second edition of the contract added, against a daemon that knows it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from support import PATIENCE, Daemon, Gate, merged_calls, never, wait_follows, wait_until

from singleflight import (
    AbandonedError,
    AbortedError,
    CallCancelledError,
    Client,
    DeadlineExceededError,
    Lead,
    LeaderLoss,
    LimitExceededError,
    Role,
)


def test_ten_writers_during_one_load_make_one_more(client: Client, other: Client, key: str) -> None:
    gate = Gate("old")
    loader = client.start(key, gate, retain=60)
    gate.entered.wait(PATIENCE)
    loads = []

    def load_again(lead: Lead) -> str:
        loads.append(lead.token)
        return "new"

    writers = [
        (client, other)[number % 2].start(key, load_again, fresh=True, retain=60)
        for number in range(10)
    ]
    wait_follows(*writers)
    gate.leave.set()
    results = [writer.wait(PATIENCE) for writer in writers]
    assert {result.value for result in results} == {"new"}
    assert len(loads) == 1
    assert loader.wait().value == "old"
    assert client.do(key, never).value == "new"


def test_fresh_takes_nothing_retained(client: Client, key: str) -> None:
    client.do(key, lambda lead: "old", retain=60)
    assert client.do(key, lambda lead: "new", fresh=True, retain=60).value == "new"


def test_patience_that_is_shorter_than_the_work(shared_daemon: Daemon, key: str) -> None:
    """The first caller's deadline does not throw the work away; each caller is a process."""
    gate = Gate("kept")
    clients = [Client(shared_daemon.address, caller=f"caller {n}") for n in range(3)]
    first = clients[0].start(key, gate, timeout=0.5)
    gate.entered.wait(PATIENCE)
    others = [client.start(key, never, role=Role.FOLLOW_ONLY) for client in clients[1:]]
    wait_follows(*others)
    with pytest.raises(DeadlineExceededError):
        first.wait()
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() - begun > 1.5)  # beyond what the server was told
    gate.leave.set()
    assert [call.wait(PATIENCE).value for call in others] == ["kept", "kept"]
    assert gate.runs == 1
    for client in clients:
        client.close()


def test_hold(client: Client, other: Client, key: str) -> None:
    gate = Gate()
    options: Any = {"on_leader_loss": LeaderLoss.HOLD, "retain_error": 60}
    leader = client.start(key, gate, **options)
    gate.entered.wait(PATIENCE)
    follower = other.start(key, never, **options)
    wait_follows(follower)
    client.close()  # as if the process had died
    with pytest.raises(CallCancelledError):
        leader.wait()
    with pytest.raises(AbandonedError):
        follower.wait(PATIENCE)
    with pytest.raises(AbandonedError):
        other.do(key, never, **options)
    assert other.forget(key).retained
    assert other.do(key, lambda lead: "again", **options).value == "again"
    gate.leave.set()


def test_a_window_from_the_start(client: Client, key: str) -> None:
    def takes_long(lead: Lead) -> str:
        lead.wait_lost(0.5)
        return "late"

    assert client.do(key, takes_long, retain=0.2, retain_from_lead=True).retain == 0
    result = client.do(key, takes_long, retain=600, retain_from_lead=True)
    assert result.retain < 599.6


def test_a_flight_is_ended(client: Client, other: Client, key: str) -> None:
    gate = Gate()
    leader = client.start(key, gate)
    gate.entered.wait(PATIENCE)
    follower = other.start(key, never)
    wait_follows(follower)
    assert other.forget(key, end=True, caller="ops") == (True, False, True)
    gate.leave.set()
    for call in (leader, follower):
        with pytest.raises(AbortedError, match="ended by ops"):
            call.wait(PATIENCE)
    assert other.forget(key, end=True) == (False, False, False)


def test_a_limit_is_the_outcome_of_all(key: str) -> None:
    daemon = Daemon("--result-limit", "1KiB")
    try:
        with Client(daemon.address) as client, Client(daemon.address) as other:
            gate = Gate("x" * 2000)
            leader = client.start(key, gate, retain_error=60)
            gate.entered.wait(PATIENCE)
            followers = [other.start(key, never, local_merge=False) for _ in range(3)]
            wait_follows(*followers)
            gate.leave.set()
            for call in (leader, *followers):
                with pytest.raises(LimitExceededError, match="1024") as caught:
                    call.wait(PATIENCE)
                assert (caught.value.code, caught.value.type) == (8, "singleflight.LimitExceeded")
            with pytest.raises(LimitExceededError):
                other.do(key, never)
            assert gate.runs == 1
    finally:
        daemon.stop()


def test_leads_outlive_the_daemon(tmp_path: Any, key: str) -> None:
    daemon = Daemon("--data-dir", str(tmp_path))
    try:
        with Client(daemon.address, backoff_max=0.1) as client:
            gates = [Gate(f"of {n}") for n in range(20)]
            calls = [client.start(f"{key} {n}", gate, lease=60) for n, gate in enumerate(gates)]
            for gate in gates:
                gate.entered.wait(PATIENCE)
            daemon.kill()
            daemon.start()
            late = client.start(f"{key} 0", never, lease=60)
            wait_until(lambda: len(merged_calls(client, f"{key} 0")) == 2)
            for gate in gates:
                gate.leave.set()
            for n, call in enumerate(calls):
                result = call.wait(PATIENCE)
                assert (result.value, result.attempt) == (f"of {n}", 1)
            assert late.wait(PATIENCE).value == "of 0"
            assert [gate.runs for gate in gates] == [1] * 20
    finally:
        daemon.stop()


def test_an_overdue_lead_that_nobody_wanted_holds_again(client: Client, key: str) -> None:
    # The machine sleeps: nobody runs, nobody asks. Its library's clock jumps.
    entered, go = threading.Event(), threading.Event()

    def function(lead: Lead) -> str:
        entered.set()
        go.wait(PATIENCE)
        return "kept" if not lead.lost else "lost"

    call = client.start(key, function, lease=1)
    entered.wait(PATIENCE)
    engine: Any = client._engine
    with engine._lock:  # the library does not run for a while, whatever the clock does
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() - begun > 2.5)
        assert call._call.lead.is_lost(engine.core.now + 2.5)
    wait_until(lambda: not call._call.lead.shell.lost)
    go.set()
    assert call.wait(PATIENCE).value == "kept"
