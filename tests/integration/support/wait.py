# SPDX-License-Identifier: Apache-2.0
"""The one place that waits. Every wait is for an event and has a bound."""

import os
import threading
import time

# How long anything may take that ought to take no time at all. Generous: sanitizer builds on two
# busy cores; valgrind asks for more still.
BOUND = float(os.environ.get("SFL_TEST_BOUND", "20"))

# How long a caller is watched when a test says that nothing must come.
QUIET = 0.3


def until(condition, what, bound=BOUND, every=0.01):
    """Asks `condition` until it answers something true, and returns that."""
    deadline = time.monotonic() + bound
    pause = threading.Event()
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"after {bound} s still not: {what}")
        pause.wait(every)


def milliseconds():
    """Monotonic time in milliseconds."""
    return time.monotonic() * 1000.0


def wall_milliseconds():
    """Of the wall clock, since 1970."""
    return time.time() * 1000.0
