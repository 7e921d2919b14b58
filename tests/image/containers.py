# SPDX-License-Identifier: Apache-2.0
"""Containers under runc, as a careful orchestrator runs them: with nothing that they do not need."""

import itertools
import json
import os
import queue
import re
import signal
import subprocess
import threading

from images import WORK, image

BOUND = 30  # seconds for what ought to take none; this may run on a busy machine
STATE = WORK / "runc"
numbers = itertools.count(1)


def until(condition, what, bound=BOUND):
    """Asks until the answer is true, and returns it."""
    pause = threading.Event()
    for _ in range(bound * 10):
        answer = condition()
        if answer:
            return answer
        pause.wait(0.1)
    raise AssertionError(f"after {bound} s still not: {what}")


def mounts(volumes):
    """What every container has, and the volumes: pairs of a folder and its place, :ro at the end."""
    listed = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777"]},
    ]
    for source, place in volumes:
        read_only = place.endswith(":ro")
        listed.append({"destination": place.removesuffix(":ro"), "type": "bind",
                       "source": str(source),
                       "options": ["rbind", "nosuid", "nodev", "ro" if read_only else "rw"]})
    return listed


def specification(of, words, environment, volumes, network):
    """runc's config.json: a read-only root, no capability, no new privileges."""
    user, group = (int(part) for part in of.config["User"].split(":"))
    nothing = {kind: [] for kind in
               ("bounding", "effective", "inheritable", "permitted", "ambient")}
    variables = {**of.environment, **environment}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False, "user": {"uid": user, "gid": group}, "cwd": "/",
            "args": words,
            "env": [f"{name}={value}" for name, value in variables.items()],
            "capabilities": nothing, "noNewPrivileges": True,
        },
        "root": {"path": str(of.root), "readonly": True},
        "hostname": "container",
        "mounts": mounts(volumes),
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
            + [{"type": "network", **({"path": network} if network else {})}],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"],
        },
    }


class Container:
    """One container, from the start to its end. Everything that it says is kept in `said`."""

    def __init__(self, name="singleflightd", arguments=(), environment=None, volumes=(),
                 network=None, entrypoint=None):
        self.id = f"sfl-{os.getpid()}-{next(numbers)}"
        self.image = image(name)
        bundle = WORK / self.id
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(specification(
            self.image, [*(entrypoint or self.image.config["Entrypoint"]), *arguments],
            environment or {}, volumes, network)))
        self.said = []
        self._news = queue.Queue()
        self._process = subprocess.Popen(
            ["runc", "--root", STATE, "run", "--bundle", bundle, self.id],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self._process.poll() is None:
            self.kill(signal.SIGKILL)
            self._process.wait(BOUND)
        self._reader.join(BOUND)
        self._process.stdout.close()

    def _read(self):
        for line in self._process.stdout:
            self.said.append(line.rstrip("\n"))
            self._news.put(line)
        self._news.put(None)

    def text(self):
        return "\n".join(self.said)

    def wait_for(self, pattern):
        """Waits until it has said something that the pattern finds."""
        while True:
            match = re.search(pattern, self.text(), re.M)
            if match:
                return match
            try:
                news = self._news.get(timeout=BOUND)
            except queue.Empty:
                news = None
            if news is None and not re.search(pattern, self.text(), re.M):
                raise AssertionError(f"it does not say {pattern!r}, but:\n{self.text()}")

    def serves(self):
        """Waits until both ports are open, and returns the container."""
        self.wait_for(r"singleflightd listening on")
        self.wait_for(r"event=admin_listening")
        return self

    def kill(self, number):
        subprocess.run(["runc", "--root", STATE, "kill", self.id, str(int(number))], check=True)

    def end(self):
        """Waits until it has ended; returns the exit code."""
        code = self._process.wait(BOUND)
        self._reader.join(BOUND)
        return code

    def pid(self):
        state = subprocess.run(["runc", "--root", STATE, "state", self.id], check=True,
                               capture_output=True, text=True)
        return json.loads(state.stdout)["pid"]

    def network(self):
        """Its network namespace, for another container."""
        return f"/proc/{self.pid()}/ns/net"

    def run(self, *command, environment=None):
        """Runs a command in it, as its user; returns the completed process."""
        variables = [part for name, value in (environment or {}).items()
                     for part in ("--env", f"{name}={value}")]
        return subprocess.run(["runc", "--root", STATE, "exec", *variables, self.id, *command],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=BOUND, check=False)

    def health(self):
        """The image's own health check, as an engine runs it."""
        kind, *command = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*command)
