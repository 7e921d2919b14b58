# SPDX-License-Identifier: Apache-2.0
"""A daemon to test against, a connection that can be cut, and waiting with a bound."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Callable

from singleflight import Client, Lead
from singleflight._core.seat import State

ROOT = Path(__file__).resolve().parents[3]
DAEMON = os.environ.get("SINGLEFLIGHTD") or str(ROOT / "build" / "bin" / "singleflightd")

PATIENCE = 60.0  # of tests that wait for what comes at once, on a machine that is busy


def wait_until(what: Callable[[], object], patience: float = PATIENCE) -> None:
    """Waits until ``what`` holds; looks often, and not for ever."""
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, "this did not come true in time"
        time.sleep(0.005)


def wait_follows(*calls: Any) -> None:
    """Waits until calls of Client.start() are admitted, and somebody else leads."""

    def follow() -> bool:
        seats = [call._call.seat for call in calls]
        return all(seat is not None and seat.state is State.FOLLOWING for seat in seats)

    wait_until(follow)


class Gate:
    """A function that says when it runs, and ends when it is let."""

    def __init__(self, value: object = "value") -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()
        self.value = value
        self.runs = 0

    def __call__(self, lead: Lead) -> object:
        self.runs += 1
        self.entered.set()
        assert self.leave.wait(PATIENCE)
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


def never(lead: Lead) -> Any:
    raise RuntimeError("this must not run")


def merged_calls(client: Client, key: str) -> list[object]:
    engine = client._engine
    assert engine is not None
    seats = [seat for seat in list(engine.core.seats) if seat.join.key == key.encode()]
    return [call for seat in seats for call in seat.calls]


class Daemon:
    """One singleflightd on a free port of the loopback interface."""

    def __init__(self, *flags: str) -> None:
        self._flags = flags
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Starts it, again on the same port."""
        self._process = subprocess.Popen(
            [DAEMON, "--listen", f"127.0.0.1:{self.port}", "--log-level", "error", *self._flags],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert "listening on" in line, f"the daemon says {line!r}"
        self.port = int(line.rsplit(":", 1)[1])

    def drain(self) -> None:
        """Asks it to end; it goes on with the flights that run."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()
        self._reap()

    def stop(self) -> None:
        """Ends it."""
        if self.process.poll() is None:
            self.process.kill()
        self._reap()

    def _reap(self) -> None:
        self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Proxy:
    """A way to a server that can be cut, and refuses while it is cut."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._open = True
        self._swallows = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if not self._open:
                    client.close()
                    continue
                try:
                    server = socket.create_connection(self._target)
                except OSError:
                    client.close()
                    continue
                self._sockets += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def swallow(self) -> None:
        """From now on nothing comes through, and nobody is told."""
        self._swallows = True

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if not self._swallows:
                    target.sendall(data)
        except OSError:
            pass
        for end in () if self._swallows else (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Breaks all connections; new ones are refused until mend()."""
        with self._lock:
            self._open = False
            sockets, self._sockets = self._sockets, []
        for end in sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def mend(self) -> None:
        """Lets connections through again."""
        with self._lock:
            self._open = True

    def close(self) -> None:
        """Ends it."""
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)
