# SPDX-License-Identifier: Apache-2.0
"""What the processes of the tests do. Each makes its client after the fork."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from typing import Any

from singleflight import Client, Lead, StatusError, UsedAfterForkError


def crowd(address: str, key: str, count: int, path: str, answers: Any) -> None:
    """One of many that ask for the same; whoever leads waits until all of them do."""

    def work(lead: Lead) -> str:
        with open(path, "a") as file:
            file.write(f"{lead.token}\n")
        while (audience := lead.audience) is None or audience.followers < count - 1:
            lead.wait_audience()
        return f"made by {os.getpid()}"

    with Client(address, connect_timeout=60) as client:
        result = client.do(key, work, audience=True)
    answers.put((result.value, result.led, result.callers))


def lead_for_ever(address: str, key: str, pipe: Connection, options: dict[str, Any]) -> None:
    """Leads, says so, and ends when the lead is lost."""

    def work(lead: Lead) -> None:
        pipe.send(lead.token)
        lead.wait_lost()
        pipe.send(lead.lost_reason)

    with Client(address) as client:
        try:
            client.do(key, work, **options)
        except StatusError as error:
            pipe.send(error.code.name)


def interrupted(address: str, key: str, pipe: Connection, options: dict[str, Any]) -> None:
    """Leads or follows until Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def work(lead: Lead) -> None:
        pipe.send("leads")
        while True:
            time.sleep(60)

    try:
        with Client(address) as client:
            client.start("warm", lambda lead: None).wait()
            pipe.send("ready")
            client.do(key, work, **options)
    except KeyboardInterrupt:
        pipe.send("interrupted")


def forks(address: str, key: str, pipe: Connection) -> None:
    """Uses clients on both sides of a fork."""
    unused = Client(address)
    used = Client(address)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with unused:
            os.write(writer, str(unused.do(key, lambda lead: "child").value).encode())
        os._exit(0)
    os.waitpid(child, 0)
    pipe.send(os.read(reader, 100).decode())

    used.do(key, lambda lead: "parent")
    waits = used.start(f"{key} runs", lambda lead: lead.wait_lost())
    child = os.fork()
    if child == 0:
        answer = str(used.do(key, lambda lead: "child anew", timeout=60).value)
        try:
            waits.wait()
        except UsedAfterForkError as error:
            answer += f", {error}"
        os.write(writer, answer.encode())
        os._exit(0)
    os.waitpid(child, 0)
    pipe.send(os.read(reader, 1000).decode())
    pipe.send(used.do(key, lambda lead: "parent again").value)
    used.close()


def preforks(address: str, key: str, pipe: Connection) -> None:
    """As gunicorn --preload: the program is imported and has used its client, then come workers."""
    client = Client(address)
    client.do(key, lambda lead: "at import")
    answers, writer = os.pipe()
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            results = [client.do(f"{key} {number}", lambda lead: os.getpid()) for _ in range(2)]
            ok = all(result.value == os.getpid() and result.led for result in results)
            os.write(writer, b"+" if ok else b"-")
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    pipe.send(os.read(answers, 100).decode())
    client.close()


def believe(address: str, key: str, pipe: Connection, options: dict[str, Any]) -> None:
    """Leads, asks all the time whether it still does, and tells when it last heard yes."""

    def work(lead: Lead) -> None:
        pipe.send(lead.token)
        heard_yes_at = 0.0
        while True:
            now = time.monotonic()  # one clock for all processes
            if lead.lost:
                break
            heard_yes_at = now
            lead.wait_lost(0.001)
        pipe.send(heard_yes_at)

    with Client(address) as client:
        try:
            client.do(key, work, **options)
        except StatusError as error:
            pipe.send(error.code.name)
