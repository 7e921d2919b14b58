# SPDX-License-Identifier: Apache-2.0
"""The five uses, as programs."""

from __future__ import annotations

import http.server
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from support import PATIENCE, ROOT, Daemon

EXAMPLES = ROOT / "client" / "python" / "examples"


@pytest.fixture
def run(shared_daemon: Daemon) -> Any:
    environment = {**os.environ, "SINGLEFLIGHT_ADDRESS": shared_daemon.address}
    environment["PYTHONPATH"] = str(EXAMPLES.parent / "src")

    def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PATIENCE
        )

    return run


def test_cache_breakdown(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "users.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE users (name, profile)")
        database.execute("INSERT INTO users VALUES ('ada', 'likes numbers')")
    assert run("cache_breakdown", path, "ada").stdout == "likes numbers\n"
    failed = run("cache_breakdown", path, "bob")
    assert failed.returncode == 1
    assert "no such user" in failed.stderr


def test_message_dedup(run: Any, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    assert "(charged)" in run("message_dedup", ledger, "m-1", 100).stdout
    assert "(delivered again)" in run("message_dedup", ledger, "m-1", 100).stdout
    assert "FAILED_PRECONDITION" in run("message_dedup", ledger, "m-1", 200).stderr
    assert len(ledger.read_text().splitlines()) == 1


def test_scheduled_task(run: Any, tmp_path: Path) -> None:
    task = ("scheduled_task", "report", "sh", "-c", f"echo ran | tee -a {tmp_path}/runs; exit 3")
    for _ in range(2):
        result = run(*task)
        assert (result.stdout, result.returncode) == ("ran\n", 3)
    assert (tmp_path / "runs").read_text() == "ran\n"


def test_lock_relief(run: Any, tmp_path: Path) -> None:
    assert run("lock_relief", tmp_path / "lock", "job").stdout == "run 1\n"
    assert run("lock_relief", tmp_path / "lock", "job").stdout == "run 1\n"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"the answer")

    def log_message(self, *_: object) -> None:
        return


def test_merge_remote_calls(run: Any) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}/thing"
            assert run("merge_remote_calls", url).stdout == "the answer"
        finally:
            server.shutdown()
            thread.join()
    assert run("merge_remote_calls", url).returncode == 1
