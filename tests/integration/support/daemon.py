# SPDX-License-Identifier: Apache-2.0
"""Starts, watches and ends real daemons."""

import functools
import os
import pathlib
import queue
import re
import signal
import subprocess
import tempfile
import threading

from support import stubs
from support.wait import BOUND

REPORTS = re.compile(
    r"ERROR: (Address|Leak|Memory)Sanitizer|WARNING: ThreadSanitizer|runtime error:"
    r"|Assertion .* failed"
)


def binary():
    """The daemon under test."""
    return stubs.build_dir() / "bin" / "singleflightd"


@functools.cache
def sanitized():
    """True when the daemon was built with a sanitizer: its memory figures say nothing then."""
    image = binary().read_bytes()
    return b"__asan_init" in image or b"__tsan_init" in image


def clean_environment(extra=None):
    """This process's environment without settings for the daemon."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SINGLEFLIGHTD_")}
    kept.update(extra or {})
    return kept


def run_to_end(*arguments, env=None, bound=BOUND):
    """Runs the daemon's binary where it is expected to end by itself, and returns the completed
    process.
    """
    return subprocess.run(
        [str(binary()), *map(str, arguments)],
        env=clean_environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=bound,
        check=False,
    )


@functools.cache
def grpc_library():
    """Which gRPC the daemon runs on: "1.51, shared" is Debian's, "1.85.3, static" a current one."""
    return run_to_end("--version").stdout.splitlines()[-1].removeprefix("gRPC ")


class Daemon:
    """One running daemon. It has said that it listens when the constructor returns."""

    def __init__(
        self, *flags, listen=("127.0.0.1:0",), env=None, drain_time="1s", default_flags=True
    ):
        arguments = [str(binary())]
        for address in listen:
            arguments += ["--listen", address]
        if default_flags:
            arguments += ["--drain-time", drain_time]
        arguments += [str(flag) for flag in flags]
        self.lines = []
        self.exit_code = None
        self._stderr = tempfile.NamedTemporaryFile(prefix="singleflightd-", suffix=".log")
        self._process = subprocess.Popen(
            arguments,
            env=clean_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        self._announced = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        expected = len(listen) + sum(1 for flag in flags if flag == "--unix-socket")
        self.addresses = [self._next_address() for _ in range(expected)]

    def _read(self):
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._announced.put(line)
        self._announced.put(None)

    def _next_address(self):
        while True:
            try:
                line = self._announced.get(timeout=BOUND)
            except queue.Empty:
                line = None
            if line is None:
                self.kill()
                raise AssertionError(f"the daemon does not listen; it says:\n{self.log()}")
            match = re.search(r"listening on (\S+)", line)
            if match:
                return match.group(1)

    @property
    def address(self):
        """The first TCP address, as host:port."""
        return next(a for a in self.addresses if not a.startswith("unix:"))

    @property
    def pid(self):
        return self._process.pid

    def alive(self):
        return self._process.poll() is None

    def log(self):
        """Everything that it wrote to stderr."""
        return pathlib.Path(self._stderr.name).read_text(errors="replace")

    def memory(self, field="VmRSS"):
        """Resident bytes now (VmRSS) or at most ever (VmHWM)."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", status).group(1)) * 1024

    def signal(self, number):
        self._process.send_signal(number)

    def terminate(self):
        self.signal(signal.SIGTERM)

    def wait(self, bound=BOUND):
        """Waits for the process to end, and returns its exit code."""
        self.exit_code = self._process.wait(bound)
        return self.exit_code

    def kill(self):
        """Ends the process without asking for an orderly end."""
        if self.alive():
            self._process.kill()
        self._process.wait(BOUND)

    def stop(self):
        """Ends it in order, and asserts that the end is orderly: exit code 0, nothing that a
        sanitizer reported.
        """
        try:
            if self.alive():
                self.terminate()
            code = self.wait()
            log = self.log()
            assert code == 0, f"exit code {code}; it says:\n{log[-4000:]}"
            report = REPORTS.search(log)
            assert not report, log[report.start() : report.start() + 6000]
        finally:
            self.kill()
            self._reader.join(BOUND)
            self._process.stdout.close()
            self._stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.stop()
        else:
            self.kill()
