# SPDX-License-Identifier: Apache-2.0
"""The programs of the README run as they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from support import PATIENCE, ROOT, Daemon

PACKAGE = ROOT / "client" / "python"


def test_the_programs_run(shared_daemon: Daemon) -> None:
    text = (PACKAGE / "README.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    outputs = []
    for program in programs:
        here = program.replace("127.0.0.1:7433", shared_daemon.address)
        done = subprocess.run(
            [sys.executable, "-c", here],
            env={**os.environ, "PYTHONPATH": str(PACKAGE / "src")},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.stderr == ""
        outputs.append(done.stdout)
    assert "'name': 'Ann'" in outputs[0]
    assert outputs[1] == "b'first '\nb'second'\n"
