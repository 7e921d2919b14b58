# SPDX-License-Identifier: Apache-2.0
"""The tool: in its own image, and copied into a root that has nothing else."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from containers import BOUND, Container
from images import WORK, image
from test_daemon import TLS, certificates, with_tls

# Of a machine with a provider of its own; a program that takes it has no other.
OPENSSL_CONF = """openssl_conf = all
[all]
providers = providers
[providers]
machines = machines
[machines]
module = /usr/lib/machines.so
activate = 1
"""
HERE = pathlib.Path(__file__).resolve().parent


class OwnImage(unittest.TestCase):
    def test_it_reaches_the_daemon(self):
        with Container() as daemon:
            network = daemon.serves().network()
            with Container("singleflight", ["health"], network=network) as tool:
                self.assertEqual(tool.end(), 0, tool.text())
            job = ["do", "demo", "--", "/usr/bin/singleflight", "--version"]
            with Container("singleflight", job, network=network) as tool:
                self.assertEqual(tool.end(), 0, tool.text())
                self.assertRegex(tool.text(), r"singleflight \d")


class NameServer:
    """Runs in a network namespace."""

    def __init__(self, network):
        self._process = subprocess.Popen(
            ["nsenter", f"--net={network}", sys.executable, HERE / "name_server.py"],
            stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *unused):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


class Copied(unittest.TestCase):
    """COPY --from=singleflight /usr/bin/singleflight /usr/bin/, into roots of all kinds."""

    def root(self, **files):
        root = pathlib.Path(tempfile.mkdtemp(dir=WORK))
        (root / "usr/bin").mkdir(parents=True)
        shutil.copy(image("singleflight").root / "usr/bin/singleflight", root / "usr/bin")
        for name, text in files.items():
            path = root / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return root

    def call(self, root, network, *arguments):
        return subprocess.run(
            ["nsenter", f"--net={network}", shutil.which("chroot"), root, "/usr/bin/singleflight", *arguments],
            env={"PATH": "/usr/bin"}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=BOUND, check=False)

    def test_alone_it_tells_its_version_and_reaches_an_address(self):
        with Container() as daemon:
            network = daemon.serves().network()
            told = self.call(self.root(), network, "--version")
            self.assertEqual(told.returncode, 0, told.stderr)
            asked = self.call(self.root(), network, "health")
            self.assertEqual(asked.returncode, 0, asked.stderr)

    def test_a_name_and_the_systems_roots(self):
        folder = certificates()
        # Modules that are not there, and that nobody here could load.
        root = self.root(
            usr__lib__ssl__openssl_cnf=OPENSSL_CONF,
            etc__nsswitch_conf="hosts: mymachines resolve [!UNAVAIL=return] mdns4_minimal files dns\n",
            etc__resolv_conf="nameserver 127.0.0.1\n")
        (root / "etc/ssl/certs").mkdir(parents=True)
        shutil.copy(folder / "ca.pem", root / "etc/ssl/certs/ca-certificates.crt")
        settings = with_tls(SINGLEFLIGHTD_INSECURE_LISTEN="yes")
        with Container(environment=settings, volumes=[(folder, f"{TLS}:ro")]) as daemon:
            network = daemon.serves().network()
            with NameServer(network):
                asked = self.call(root, network, "health", "--address", "server.test:7433",
                                  "--tls-ca", "system")
                self.assertEqual(asked.returncode, 0, asked.stderr)
                other = self.call(root, network, "health", "--address", "other.test:7433",
                                  "--tls-ca", "system", "--connect-timeout", "2s")
                self.assertEqual(other.returncode, 69, "a certificate with another name will do")

    def test_a_job_runs_even_without_proc_and_dev(self):
        with Container() as daemon:
            network = daemon.serves().network()
            done = self.call(self.root(), network, "do", "demo", "--", "/usr/bin/singleflight",
                             "--version")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"singleflight \d")


if __name__ == "__main__":
    unittest.main()
