# SPDX-License-Identifier: Apache-2.0
"""Real daemons, real invocations of the tool, and commands that a test holds at a gate."""

import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BIN = pathlib.Path(os.environ["SFL_BUILD_DIR"]).resolve() / "bin"

CERTIFICATES = pathlib.Path(__file__).resolve().parent.parent / "support" / "certificates"

# How long anything may take that ought to take no time at all; sanitizers on busy machines are
# slow.
BOUND = 60.0

# What sanitizers and assertions say.
REPORTS = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:"
                     r"|Assertion .* failed")


def check_reports(program, errors):
    """Fails when a program has reported a bug of its own, whatever its exit code."""
    if REPORTS.search(errors):
        raise AssertionError(f"{program} reports a bug:\n{errors}")


def until(condition, what, bound=BOUND):
    """Asks `condition` until it answers something true, and returns that."""
    deadline = time.monotonic() + bound
    pause = threading.Event()
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"after {bound} s still not: {what}")
        pause.wait(0.01)


def is_alive(pid):
    """Whether the process runs: a zombie, or none at all, does not."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


class Daemon:
    """One running daemon; it listens when the constructor returns."""

    def __init__(self, address="127.0.0.1:0", flags=()):
        self._log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [BIN / "singleflightd", "--listen", address, "--drain-time", "1s", *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        line = self.process.stdout.readline().decode()
        if " listening on " not in line:
            self.process.wait(BOUND)
            said = self.log()
            self.stop()
            raise AssertionError("the daemon does not listen: " + said)
        self.address = line.split()[-1]

    def log(self):
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Ends it in good order, and returns its exit code."""
        if self._log.closed:
            return self.process.returncode
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            code = self.process.wait(BOUND)
            check_reports("the daemon", self.log())
            return code
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self.process.stdout.close()
            self._log.close()


class Tool:
    """One invocation under way. Its output goes to files, or to where the caller says."""

    def __init__(self, arguments, address, stdin=subprocess.DEVNULL, stdout=None, extra=None,
                 program=BIN / "singleflight"):
        self.out = tempfile.TemporaryFile()
        self.err = tempfile.TemporaryFile()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SINGLEFLIGHT_")}
        environment["SINGLEFLIGHT_CONFIG"] = "/dev/null"  # what this machine's says is not meant
        environment.update(extra or {})
        if address is not None:
            environment["SINGLEFLIGHT_ADDRESS"] = address
        self.process = subprocess.Popen(
            [program, *arguments],
            env=environment,
            stdin=stdin,
            stdout=self.out if stdout is None else stdout,
            stderr=self.err,
        )

    def send(self, number):
        self.process.send_signal(number)

    def wait(self):
        """The exit code; below 0 when a signal ended the tool itself."""
        return self.process.wait(BOUND)

    @staticmethod
    def _read(file):
        return os.pread(file.fileno(), 1 << 28, 0)

    def output(self):
        return self._read(self.out)

    def errors(self):
        return self._read(self.err).decode(errors="replace")

    def end(self):
        """Ends what a failed test has left, the command as well."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(BOUND)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        errors = self.errors()
        self.out.close()
        self.err.close()
        check_reports(self.process.args[0], errors)


class Gate:
    """A place where commands wait until the test lets them go on: a FIFO with a line for each."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        # With this one open, neither end of the FIFO ever waits for the other.
        self._end = os.open(path, os.O_RDWR)

    def shell(self):
        """Shell text that waits."""
        return f"read line <{self.path}"

    def open(self, count=1000):
        """Lets so many through, whether they wait already or come later."""
        os.write(self._end, b"\n" * count)

    def close(self):
        os.close(self._end)


class Case(unittest.TestCase):
    """A test with a daemon of its own and a folder that is gone afterwards."""

    daemon_flags = ()
    has_daemon = True

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.address = None
        if self.has_daemon:
            self.daemon = Daemon(flags=self.daemon_flags)
            self.addCleanup(self.daemon.stop)
            self.address = self.daemon.address

    # ---- invocations

    def start(self, *arguments, **options):
        tool = Tool([str(a) for a in arguments], options.pop("address", self.address), **options)
        self.addCleanup(tool.end)
        return tool

    def run_tool(self, *arguments, **options):
        tool = self.start(*arguments, **options)
        tool.code = tool.wait()
        return tool

    # Most tests give leader and follower other commands, so that it shows which of them ran.

    def do(self, *arguments, **options):
        return self.start("do", "--fingerprint", "none", *arguments, **options)

    def run_do(self, *arguments, **options):
        return self.run_tool("do", "--fingerprint", "none", *arguments, **options)

    # ---- commands

    def note(self, name="runs"):
        """Shell text that notes that the command runs: process, attempt and token."""
        return f'echo "$$ $SINGLEFLIGHT_ATTEMPT $SINGLEFLIGHT_TOKEN" >>{self.folder / name}'

    def runs(self, name="runs"):
        """What was noted: a list of (process, attempt, token)."""
        try:
            lines = (self.folder / name).read_text().splitlines()
        except FileNotFoundError:
            return []
        return [tuple(map(int, line.split())) for line in lines]

    def wait_for_runs(self, count):
        until(lambda: len(self.runs()) >= count, f"the command has run {count} times")
        return self.runs()

    def gate(self, name="gate"):
        gate = Gate(self.folder / name)
        self.addCleanup(gate.close)
        return gate

    # ---- the daemon's view

    def json(self, *arguments):
        tool = self.run_tool(*arguments, "--json")
        self.assertEqual(tool.code, 0, tool.errors())
        return [json.loads(line) for line in tool.output().splitlines()]

    def flights(self):
        return self.json("list")

    def stats(self):
        return self.json("stats")[0]

    def wait_for_callers(self, count):
        until(lambda: self.stats()["callers_now"] == count, f"{count} callers")

    def until_output(self, tool, output):
        until(lambda: tool.output() == output or tool.process.poll() is not None,
              f"{output!r} is printed")
        self.assertEqual(tool.output(), output, tool.errors())

    def assert_command_is_gone(self, run=0):
        """The command of that run has ended by now: nobody has to wait for it."""
        self.assertFalse(is_alive(self.runs()[run][0]), "the command still runs")

    def assert_ends(self, tool, code, output=None):
        self.assertEqual(tool.wait(), code, tool.errors())
        if output is not None:
            self.assertEqual(tool.output(), output)


def certificates(folder):
    """Makes those of tests/support/certificates in `folder`, and returns it."""
    subprocess.run([CERTIFICATES, folder], check=True)
    return folder


class SecureCase(Case):
    """A daemon over mutual TLS that knows callers by tokens; the tool is alice, with the token of
    ops, who may do everything but in the group "denied"."""

    has_daemon = False

    def setUp(self):
        super().setUp()
        certificates(self.folder)
        path = self.folder.joinpath
        path("token").write_text("first\n")
        path("tokens").write_text(f"ops {hashlib.sha256(b'first').hexdigest()}\n")
        path("access").write_text("[who]\nops = token:ops\n[group default]\nall = ops\n"
                                  "[server]\nadmin = ops\n")
        self.daemon = Daemon(flags=(
            "--tls-cert", path("server.pem"), "--tls-key", path("server.key"),
            "--tls-client-ca", path("ca.pem"), "--token-file", path("tokens"),
            "--access-file", path("access")))
        self.addCleanup(self.daemon.stop)
        self.address = self.daemon.address
        self.secure = {"SINGLEFLIGHT_TLS_CA": path("ca.pem"),
                       "SINGLEFLIGHT_TLS_CERT": path("alice.pem"),
                       "SINGLEFLIGHT_TLS_KEY": path("alice.key"),
                       "SINGLEFLIGHT_TOKEN_FILE": path("token")}
        self.clear = dict.fromkeys(self.secure, "")

    def start(self, *arguments, **options):
        options["extra"] = {**self.secure, **options.get("extra", {})}
        return super().start(*arguments, **options)


class RestartCase(Case):
    """A daemon with a data directory, which can be started again at the same address."""

    has_daemon = False

    def setUp(self):
        super().setUp()
        self._fixed = f"127.0.0.1:{free_port()}"
        self.start_daemon()

    def start_daemon(self):
        self.daemon = Daemon(self._fixed, flags=("--data-dir", self.folder / "data"))
        self.addCleanup(self.daemon.stop)
        self.address = self.daemon.address


def free_port():
    """A port that was free just now: for a daemon that comes back to the same one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


PYTHON = sys.executable
