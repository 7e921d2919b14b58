# SPDX-License-Identifier: Apache-2.0
"""The clock of everything here: it goes on while the machine sleeps, so that leases do, too."""

from __future__ import annotations

import time

if hasattr(time, "CLOCK_BOOTTIME"):

    def clock() -> float:
        """Seconds since the machine was started, sleep included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:

    def clock() -> float:
        """Seconds. Whether sleep counts is the system's own choice."""
        return time.monotonic()
