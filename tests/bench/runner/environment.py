# SPDX-License-Identifier: Apache-2.0
"""The machine and the versions, so that figures can be compared with others."""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time

from runner.servers import PEERS


def output_of(*arguments, folder=None):
    if shutil.which(arguments[0]) is None:
        return ""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=folder)
    return done.stdout.strip() if done.returncode == 0 else ""


def load_average():
    return round(os.getloadavg()[0], 2)


def first(pattern, text):
    match = re.search(pattern, text, re.M)
    return match.group(1) if match else ""


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def module_versions():
    lines = re.findall(r"^\t(\S+) (v\S+)$", read(os.path.join(PEERS, "go.mod")), re.M)
    return {name: version for name, version in lines
            if "zap" not in name and version != "v0.0.0"}


def command():
    """As it was given to ./dev; the first argument is the build folder."""
    chosen = os.environ.get("SFL_GRPC")
    words = [f"SFL_GRPC={chosen}"] if chosen else []
    return " ".join(words + ["./dev bench", shlex.join(sys.argv[2:])]).strip()


def build_type(cache):
    """Such as "RelWithDebInfo, optimised across files, profile-guided"."""
    words = [first(r"^CMAKE_BUILD_TYPE:\w+=(.*)$", cache)]
    if first(r"^SFL_LTO:\w+=(.*)$", cache) == "ON":
        words.append("optimised across files")
    if first(r"^SFL_PGO:\w+=(.*)$", cache) == "use":
        words.append("profile-guided")
    return ", ".join(words)


def grpc_of(lab):
    """The core that the daemon runs on, by its own words; else the package that it is linked to."""
    version = output_of(lab.daemon, "--version")
    package = output_of("dpkg-query", "--show", "--showformat=${Version}", "libgrpc-dev")
    return "" if "gRPC" in version else f"libgrpc {package}"


def rounds(shots):
    """What was really measured, which a named part may have cut short."""
    counts = [count for count in (shot.rounds() for shot in shots) if count is not None]
    if not counts:
        return "1 round"
    low, high = min(counts), max(counts)
    text = f"{high} rounds" if high != 1 else "1 round"
    return text if low == high else f"{low} to {text}"


def facts(lab, options, load_before, shots):
    cache = read(os.path.join(lab.build, "CMakeCache.txt"))
    compiler = first(r"^CMAKE_C_COMPILER:\w+=(.*)$", cache)
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": command(),
        "rounds": rounds(shots),
        "seconds_each": options.seconds,
        "revision": output_of("git", "describe", "--always", "--dirty",
                              folder=os.path.dirname(PEERS)),
        "build_type": build_type(cache),
        "daemon": ", ".join(output_of(lab.daemon, "--version").splitlines()),
        "compiler": (output_of(compiler, "--version") or compiler).split("\n")[0],
        "cpu": first(r"^model name\s*: (.*)$", read("/proc/cpuinfo")),
        "cpus": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "system": first(r'^PRETTY_NAME="(.*)"$', read("/etc/os-release")),
        "load_average_before": load_before,
        "load_average_after": load_average(),
        "grpc": grpc_of(lab),
        "redis": first(r"v=(\S+)", output_of("redis-server", "--version")),
        "etcd": first(r"etcd Version: (\S+)", output_of("etcd", "--version")),
        "go": first(r"go version (\S+)", output_of("go", "version")),
        "go_modules": module_versions(),
        "missing_peers": lab.missing,
    }
