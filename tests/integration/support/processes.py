# SPDX-License-Identifier: Apache-2.0
"""Real processes with callers in them."""

import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading

from support import stubs
from support.wait import BOUND


class Child:
    """A child process as support/child.py describes it."""

    def __init__(self, address, kind="do"):
        here = pathlib.Path(__file__).resolve().parent
        paths = [here.parent, stubs.build_dir() / "tests" / "integration" / "stubs"]
        self._process = subprocess.Popen(
            [sys.executable, "-u", str(here / "child.py"), address, kind],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()
        self._inboxes = {}
        threading.Thread(target=self._read, daemon=True).start()
        self.expect("", "ready")

    def _inbox(self, name):
        with self._lock:
            return self._inboxes.setdefault(name, queue.Queue())

    def _read(self):
        for line in self._process.stdout:
            event = json.loads(line)
            self._inbox(event["name"]).put(event)

    def next(self, name="a", bound=BOUND):
        """The next thing that this caller in the child was told."""
        try:
            return self._inbox(name).get(timeout=bound)
        except queue.Empty:
            raise AssertionError(
                f"the child's caller {name!r} heard nothing in {bound} s"
            ) from None

    def expect(self, name, step, bound=BOUND):
        event = self.next(name, bound)
        assert event["step"] == step, f"expected {step}, got {event}"
        return event

    def tell(self, op, name="a", **arguments):
        """Sends one command."""
        self._process.stdin.write(json.dumps(dict(op=op, name=name, **arguments)) + "\n")
        self._process.stdin.flush()

    def join(self, net, name="a", key=None, **fields):
        """Lets a caller in the child join the key of the test."""
        key = (net.key if key is None else key).decode()
        self.tell("join", name, group=net.group, key=key, **fields)

    def chunk(self, value, name="a"):
        self.tell("chunk", name, value=value.hex())

    def finish(self, value=b"", name="a"):
        self.tell("finish", name, value=value.hex())

    def kill(self):
        self._process.kill()

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def close(self):
        """Ends the child, whatever state it is in."""
        self._process.kill()
        self._process.wait(BOUND)
        self._process.stdin.close()
        self._process.stdout.close()
