# SPDX-License-Identifier: Apache-2.0
"""The one place that waits. Every wait is for an event and has a bound."""

import threading
import time


def until(condition, what, bound=60, every=0.2):
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
