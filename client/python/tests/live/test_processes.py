# SPDX-License-Identifier: Apache-2.0
"""Many processes, and what happens when one is killed, paused, interrupted or forks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import workers
from support import PATIENCE, Daemon, wait_follows, wait_until

from singleflight import Client, Lead

# Forks of a process that has no threads, and has imported everything.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["workers"])

PROCESSES = 40

Start = Callable[..., tuple[Any, Connection]]


@pytest.fixture
def start() -> Iterator[Start]:
    processes = []

    def start(target: Callable[..., None], *args: Any) -> tuple[Any, Connection]:
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(*args[:2], theirs, *args[2:]))
        process.start()
        theirs.close()
        processes.append(process)
        return process, ours

    yield start
    for process in processes:
        if process.is_alive():
            process.kill()
        process.join(PATIENCE)


def receive(pipe: Connection) -> Any:
    assert pipe.poll(PATIENCE), "the process says nothing"
    return pipe.recv()


def test_forty_processes_one_execution(shared_daemon: Daemon, key: str, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    answers: Any = context.Queue()
    processes = [
        context.Process(
            target=workers.crowd,
            args=(shared_daemon.address, key, PROCESSES, str(runs), answers),
        )
        for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    got = [answers.get(timeout=PATIENCE) for _ in processes]
    for process in processes:
        process.join(PATIENCE)
    assert len(runs.read_text().splitlines()) == 1
    assert len({value for value, _, _ in got}) == 1
    assert [led for _, led, _ in got].count(True) == 1
    assert {callers for _, _, callers in got} == {PROCESSES}


def test_another_takes_over_when_the_leader_is_killed(
    shared_daemon: Daemon, client: Client, key: str, start: Start
) -> None:
    process, pipe = start(workers.lead_for_ever, shared_daemon.address, key, {})
    token = receive(pipe)
    followers = [
        client.start(key, lambda lead: [lead.attempt, lead.token], local_merge=False)
        for _ in range(3)
    ]
    wait_follows(*followers)
    process.kill()
    results = [follower.wait(PATIENCE) for follower in followers]
    assert {result.value[0] for result in results} == {2}
    assert {result.token for result in results} == {results[0].value[1]}
    assert results[0].token > token
    assert [result.led for result in results].count(True) == 1


def test_a_paused_leader_is_replaced_and_learns_it(
    shared_daemon: Daemon, client: Client, key: str, start: Start
) -> None:
    process, pipe = start(workers.lead_for_ever, shared_daemon.address, key, {"lease": 1})
    token = receive(pipe)
    follower = client.start(key, lambda lead: lead.attempt, lease=1)
    wait_follows(follower)
    os.kill(process.pid, signal.SIGSTOP)
    result = follower.wait(PATIENCE)
    os.kill(process.pid, signal.SIGCONT)
    assert (result.value, result.token > token) == (2, True)
    reason = receive(pipe)
    assert "fenced" in reason or "ran out" in reason
    assert receive(pipe) == "ABORTED"


def test_a_paused_leader_does_not_hear_that_it_leads_while_another_does(
    shared_daemon: Daemon, client: Client, key: str, start: Start
) -> None:
    process, pipe = start(workers.believe, shared_daemon.address, key, {"lease": 1})
    receive(pipe)
    started: list[float] = []
    follower = client.start(key, lambda lead: started.append(time.monotonic()), lease=1)
    wait_follows(follower)
    os.kill(process.pid, signal.SIGSTOP)
    follower.wait(PATIENCE)
    os.kill(process.pid, signal.SIGCONT)
    assert receive(pipe) < started[0]
    assert receive(pipe) == "ABORTED"


@pytest.mark.parametrize("lease", [0, 600])
def test_ctrl_c_while_leading_hands_over(
    shared_daemon: Daemon, client: Client, key: str, start: Start, lease: float
) -> None:
    process, pipe = start(workers.interrupted, shared_daemon.address, key, {"lease": lease})
    assert (receive(pipe), receive(pipe)) == ("ready", "leads")
    follower = client.start(key, lambda lead: lead.attempt)
    wait_follows(follower)
    os.kill(process.pid, signal.SIGINT)
    assert receive(pipe) == "interrupted"
    assert follower.wait(PATIENCE).value == 2
    process.join(PATIENCE)
    assert process.exitcode == 0


def test_ctrl_c_while_following_leaves(
    shared_daemon: Daemon, client: Client, key: str, start: Start
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def work(lead: Lead) -> str:
        entered.set()
        while (audience := lead.audience) is None or audience.followers < 1:
            lead.wait_audience(60)
        followed.set()
        leave.wait(PATIENCE)
        return "value"

    followed = threading.Event()
    leader = client.start(key, work, audience=True)
    entered.wait(PATIENCE)
    process, pipe = start(workers.interrupted, shared_daemon.address, key, {})
    assert receive(pipe) == "ready"
    followed.wait(PATIENCE)
    os.kill(process.pid, signal.SIGINT)
    assert receive(pipe) == "interrupted"
    process.join(PATIENCE)
    assert process.exitcode == 0
    wait_until(lambda: leader._call.lead.followers == 0)
    leave.set()
    assert leader.wait().value == "value"


def test_clients_and_forks(shared_daemon: Daemon, key: str, start: Start) -> None:
    _, pipe = start(workers.forks, shared_daemon.address, key)
    assert receive(pipe) == "child"
    answer = receive(pipe)
    assert answer.startswith("child anew, ")
    assert "before the fork" in answer
    assert receive(pipe) == "parent again"


def test_workers_that_are_forked_late(shared_daemon: Daemon, key: str, start: Start) -> None:
    _, pipe = start(workers.preforks, shared_daemon.address, key)
    assert receive(pipe) == "+++"
