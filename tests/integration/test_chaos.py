# SPDX-License-Identifier: Apache-2.0
"""Section 3, last paragraph, under fire: one accepted outcome per flight and at most one current
leader, whoever is killed or frozen.
"""

import os
import pathlib
import random
import subprocess
import sys

import pytest
from support import stubs
from support.daemon import Daemon

KILLS = 1000


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_thousand_leaders_are_killed_in_a_row():
    """Never two current leaders, never an OK with missing bytes, never a caller that hangs."""
    here = pathlib.Path(__file__).resolve().parent
    paths = [here, stubs.build_dir() / "tests" / "integration" / "stubs"]
    seed = random.randrange(1 << 32)
    with Daemon("--keepalive-time", "2s", "--keepalive-timeout", "2s") as daemon:
        ended = subprocess.run(
            [sys.executable, here / "support" / "chaos.py", daemon.address, str(KILLS), str(seed)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
            capture_output=True,
            text=True,
            timeout=380,
            check=False,
        )
        assert ended.returncode == 0, f"seed {seed}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}"
        counts = dict(pair.split("=") for pair in ended.stdout.split())
        assert int(counts["kills"]) == KILLS and int(counts["followed"]) > KILLS
        assert daemon.alive()
