# SPDX-License-Identifier: Apache-2.0
"""What the README says is done as it says it, in an empty folder."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from secure import make_certificates
from support import PATIENCE, ROOT, Daemon

PACKAGE = ROOT / "client" / "python"
TEXT = (PACKAGE / "README.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL)


EXPECTED = [
    "User(id=123, name='Ann')",
    "b'first '\nb'second'\n",
    "{'tea': 3}",
    "over TLS",
    "leader OK ok 0.",
    "made in a span",
    "2 passed",
]
SECURE = 3
TESTS = 6


def run(program: str, folder: Path) -> str:
    """What it prints."""
    (folder / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PACKAGE / "src")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("number", [n for n in range(len(EXPECTED)) if n not in (SECURE, TESTS)])
def test_the_programs_run(shared_daemon: Daemon, tmp_path: Path, number: int) -> None:
    assert len(blocks("python")) == len(EXPECTED), "each has its test"
    program = blocks("python")[number].replace("127.0.0.1:7433", shared_daemon.address)
    assert EXPECTED[number] in run(program, tmp_path)


def test_the_secure_one_runs(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "tokens").write_text(f"ours {hashlib.sha256(b'secret').hexdigest()}\n")
    names = {"cert": "server.pem", "key": "server.key", "client-ca": "ca.pem"}
    flags = [f"--tls-{name}={tmp_path / file}" for name, file in names.items()]
    daemon = Daemon(f"--token-file={tmp_path / 'tokens'}", *flags)
    try:
        program = blocks("python")[SECURE].replace("localhost:7433", f"localhost:{daemon.port}")
        assert EXPECTED[SECURE] in run(program, tmp_path)
    finally:
        daemon.stop()


def test_the_tests_of_a_program_pass(tmp_path: Path) -> None:
    (tmp_path / "test_program.py").write_text(blocks("python")[TESTS])
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    program = f"import pytest, sys; sys.exit(pytest.main({options}))"
    assert EXPECTED[TESTS] in run(program, tmp_path)


def test_it_is_installed_as_it_says(tmp_path: Path) -> None:
    """Without the network: what it depends on, and is built with, is that of the tests."""
    (tmp_path / "singleflightd").symlink_to(ROOT)
    here = tmp_path / "program"
    here.mkdir()
    (install,) = blocks("sh")
    site = sysconfig.get_path("purelib")
    environment = {
        **os.environ,
        "PYTHONPATH": site,
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # its "no" is a no
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    subprocess.run(["sh", "-euc", install], cwd=here, env=environment, check=True, timeout=110)
    program = "import singleflight, sys; print(singleflight.__file__)"
    python = str(here / "venv" / "bin" / "python")
    found = subprocess.run([python, "-c", program], env=environment, capture_output=True, text=True)
    assert str(here) in found.stdout, found.stderr


def test_no_link_breaks_on_a_package_page() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
