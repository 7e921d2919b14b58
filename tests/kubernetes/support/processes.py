# SPDX-License-Identifier: Apache-2.0
"""The processes of pods, as the node sees them: an image need not have a shell."""

import os
import signal


def of_pod(pod, name="singleflightd"):
    """The number of the process `name` in the pod `pod` (an object of Kubernetes)."""
    uid = pod["metadata"]["uid"]
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            if uid in read(number, "cgroup") and status(number)["Name"] == name:
                return int(number)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
    raise AssertionError(f"no process {name} of the pod {pod['metadata']['name']}")


def status(number):
    lines = (line.split(":", 1) for line in read(number, "status").splitlines())
    return {name: value.strip() for name, value in lines}


def mounts(number):
    """Mount options by the path that is mounted."""
    lines = (line.split() for line in read(number, "mounts").splitlines())
    return {words[1]: words[3].split(",") for words in lines}


def read(number, name):
    with open(f"/proc/{number}/{name}", encoding="utf-8", errors="replace") as file:
        return file.read()


def kill(pod):
    """Ends its daemon by SIGKILL."""
    os.kill(of_pod(pod), signal.SIGKILL)
