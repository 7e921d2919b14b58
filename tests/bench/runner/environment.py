# SPDX-License-Identifier: Apache-2.0
"""The machine and the versions, so that figures can be compared with others."""

import os
import platform
import re
import shutil
import subprocess
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
    return {name: version for name, version in lines if "zap" not in name}


def facts(lab, options, load_before):
    cache = read(os.path.join(lab.build, "CMakeCache.txt"))
    compiler = first(r"^CMAKE_C_COMPILER:\w+=(.*)$", cache)
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": "./dev bench " + " ".join(options.names) if options.names else "./dev bench",
        "runs": options.runs,
        "seconds_each": options.seconds,
        "revision": output_of("git", "describe", "--always", "--dirty",
                              folder=os.path.dirname(PEERS)),
        "build_type": first(r"^CMAKE_BUILD_TYPE:\w+=(.*)$", cache),
        "compiler": (output_of(compiler, "--version") or compiler).split("\n")[0],
        "cpu": first(r"^model name\s*: (.*)$", read("/proc/cpuinfo")),
        "cpus": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "system": first(r'^PRETTY_NAME="(.*)"$', read("/etc/os-release")),
        "load_average_before": load_before,
        "load_average_after": load_average(),
        "grpc_core": output_of("pkg-config", "--modversion", "grpc"),
        "grpc_package": output_of("dpkg-query", "--show", "--showformat=${Version}",
                                  "libgrpc-dev"),
        "redis": first(r"v=(\S+)", output_of("redis-server", "--version")),
        "etcd": first(r"etcd Version: (\S+)", output_of("etcd", "--version")),
        "go": first(r"go version (\S+)", output_of("go", "version")),
        "go_modules": module_versions(),
        "missing_peers": lab.missing,
    }
