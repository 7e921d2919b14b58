# SPDX-License-Identifier: Apache-2.0
"""A leader that is cut off: its command gets its signal before the next one starts, whatever the
lease, and whether packets are dropped or bytes are swallowed.
"""

import os
import shutil
import subprocess
import time
import unittest

from relay import Relay
from support import BIN, Case, Tool, until

LEASES = (1, 3, 5, 15)


class CutOff(Case):
    """Leaders on one side of the cut, and followers on the other; one pair for each lease."""

    def command(self, name):
        """Notes when it begins and when it gets its signal, without starting another program."""
        return (f"trap 'echo $EPOCHREALTIME >{self.folder}/end.{name}; exit' TERM; "
                f"echo $EPOCHREALTIME >{self.folder}/begin.{name}; sleep 1000 & wait")

    def time_of(self, what, name):
        try:
            return float((self.folder / f"{what}.{name}").read_text() or 0)
        except FileNotFoundError:
            return 0.0

    def start_on(self, side, lease):
        return self.start_tool(side, "do", "--fingerprint", "none", "--lease", f"{lease}s",
                               f"key{lease}", "--", "bash", "-c", self.command(f"{side}{lease}"))

    def cut_and_compare(self, cut):
        leaders = [self.start_on("a", lease) for lease in LEASES]
        until(lambda: all(self.time_of("begin", f"a{lease}") for lease in LEASES), "all lead")
        followers = [self.start_on("b", lease) for lease in LEASES]
        self.until_callers(2 * len(LEASES))
        cut()
        cut_at = time.time()
        for lease in LEASES:
            with self.subTest(lease=lease):
                until(lambda l=lease: self.time_of("begin", f"b{l}"), "the next one starts")
                until(lambda l=lease: self.time_of("end", f"a{l}"), "the one that is cut off ends")
                ended, begun = self.time_of("end", f"a{lease}"), self.time_of("begin", f"b{lease}")
                self.assertLess(ended, begun, "the next one started first")
                self.assertLess(ended, cut_at + lease + 1)
        for tool in [*leaders, *followers]:
            tool.process.kill()


class Swallowed(CutOff):
    def setUp(self):
        super().setUp()
        self.relay = Relay(self.address)
        self.addCleanup(self.relay.close)

    def start_tool(self, side, *arguments):
        return self.start(*arguments, address=self.relay.address if side == "a" else self.address)

    def until_callers(self, count):
        self.wait_for_callers(count)

    def test_bytes_are_swallowed(self):
        self.cut_and_compare(self.relay.swallow)


def has_namespaces():
    return shutil.which("ip") is not None and \
        subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0


@unittest.skipUnless(has_namespaces(), "needs root and network namespaces")
class Dropped(CutOff):
    """Each side is a host of its own, in a network namespace; so is the daemon's."""

    has_daemon = False

    def setUp(self):
        super().setUp()
        self.hosts = {name: self.make_host() for name in ("server", "a", "b")}
        self.on("server", "ip", "link", "set", "lo", "up")
        for number, side in enumerate(("a", "b"), 1):
            self.connect(number, side)
        self.address = "10.77.1.1:7433"
        daemon = self.popen("server", BIN / "singleflightd", "--listen", "0.0.0.0:7433", "--insecure-listen",
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(daemon.stdout.close)
        self.assertIn(b"listening", daemon.stdout.readline())

    def make_host(self):
        process = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        ours = self.namespace_of("self")
        until(lambda: self.namespace_of(process.pid) != ours, "the host has a network of its own")
        return process.pid

    @staticmethod
    def namespace_of(pid):
        return os.readlink(f"/proc/{pid}/ns/net")

    def words_on(self, host, *words):
        return ["nsenter", "-t", str(self.hosts[host]), "-n", *map(str, words)]

    def on(self, host, *words):
        return subprocess.run(self.words_on(host, *words), check=True, stdout=subprocess.PIPE).stdout

    def popen(self, host, *words, **options):
        process = subprocess.Popen(self.words_on(host, *words), **options)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def connect(self, number, side):
        net = f"10.77.{number}"
        self.on("server", "ip", "link", "add", f"v{side}", "type", "veth", "peer", "name", "eth0", "netns",
                self.hosts[side])
        for host, device, address in (("server", f"v{side}", 1), (side, "eth0", 2)):
            self.on(host, "ip", "addr", "add", f"{net}.{address}/24", "dev", device)
            self.on(host, "ip", "link", "set", device, "up")

    def start_tool(self, side, *arguments):
        number = {"a": 1, "b": 2}[side]
        tool = Tool(self.words_on(side, BIN / "singleflight", *arguments)[1:],
                    f"10.77.{number}.1:7433", program="nsenter")
        self.addCleanup(tool.end)
        return tool

    def until_callers(self, count):
        def callers():
            text = self.on("b", BIN / "singleflight", "stats", "-a", "10.77.2.1:7433")
            return f"callers now         {count}\n".encode() in text
        until(callers, f"{count} callers")

    def test_packets_are_dropped(self):
        def cut():
            # Each side sends to an address that nobody has: no packet comes back, and no error.
            for host, device, address in (("server", "va", "10.77.1.2"), ("a", "eth0", "10.77.1.1")):
                self.on(host, "ip", "neigh", "replace", address, "lladdr", "02:00:00:00:00:99",
                        "dev", device, "nud", "permanent")
        self.cut_and_compare(cut)


if __name__ == "__main__":
    unittest.main()
