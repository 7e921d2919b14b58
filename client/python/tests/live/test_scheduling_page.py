# SPDX-License-Identifier: Apache-2.0
"""The Python recipes of docs/scheduling.md, with the real schedulers, as several hosts."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import DAEMON, PATIENCE, ROOT, Daemon, wait_until

PAGE = (ROOT / "docs" / "scheduling.md").read_text()

# What the page takes for granted.
PRELUDE = """
import os, time


def note(what):
    with open("notes", "a") as notes:
        notes.write(f"{what} {os.getpid()}\\n")


def make_report():
    note("made")
    time.sleep(1)
    return "a report"


def send_mail(text):
    note("mailed")

"""


def recipe(name: str) -> str:
    found = re.search(rf"<!-- recipe: {name} -->\n+```python\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, name
    return PRELUDE + found[1]


class Hosts:
    """Processes of one folder, which ask one daemon."""

    def __init__(self, folder: Path, daemon: Daemon) -> None:
        self.folder = folder
        self.daemon = daemon
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str, **variables: str) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "client" / "python" / "src"),
            "SINGLEFLIGHT_ADDRESS": self.daemon.address,
            **variables,
        }
        with open(self.folder / f"log.{len(self.processes)}", "wb") as log:
            self.processes.append(
                subprocess.Popen(words, cwd=self.folder, env=environment, stdout=log, stderr=log)
            )

    def noted(self, what: str) -> int:
        notes = self.folder / "notes"
        lines = notes.read_text().splitlines() if notes.exists() else []
        return sum(line.startswith(what + " ") for line in lines)

    def end(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def hosts(tmp_path: Path, daemon: Daemon) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path, daemon)
    yield hosts
    hosts.end()


def calls(hosts: Hosts) -> int:
    """How many asked the daemon, as its tool tells."""
    tool = Path(DAEMON).parent / "singleflight"
    told = subprocess.run(
        [tool, "stats", "-a", hosts.daemon.address], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"^calls +(\d+)", told, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_apscheduler_on_three_hosts(hosts: Hosts) -> None:
    program = recipe("apscheduler").replace('"cron", hour=3', '"interval", seconds=1')
    assert "interval" in program
    (hosts.folder / "program.py").write_text(program + "\n\nscheduler.start()\n")
    for _ in range(3):
        hosts.start(sys.executable, "program.py")
    wait_until(lambda: calls(hosts) >= 6)
    assert hosts.noted("made") == 1
    wait_until(lambda: hosts.noted("mailed"))
    assert hosts.noted("mailed") == 1


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")
def test_celery_with_two_beats_and_two_workers(hosts: Hosts) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    hosts.start("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "")
    program = recipe("celery").replace("24 * 3600", "1.0")
    (hosts.folder / "nightly.py").write_text(
        program + f"\napp.conf.broker_url = 'redis://127.0.0.1:{port}'\n"
        "app.conf.broker_connection_retry_on_startup = True\n"
    )
    celery = [sys.executable, "-m", "celery", "-A", "nightly"]
    for n in range(2):
        hosts.start(*celery, "worker", "--concurrency", "2", "-n", f"worker{n}@%h")
    for n in range(2):
        hosts.start(*celery, "beat", "--schedule", f"beat{n}")
    wait_until(lambda: calls(hosts) >= 4)
    assert hosts.noted("made") == 1
