# SPDX-License-Identifier: Apache-2.0
"""The daemon's image under runc: as its user, read-only, without a capability."""

import os
import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

from containers import Container, until
from images import WORK

USER = 65532
DATA = "/var/lib/singleflightd"
TLS = "/etc/singleflightd"
READY = (0, "ready\n")


def folder_of(user, mode=0o700):
    path = pathlib.Path(tempfile.mkdtemp(dir=WORK))
    os.chown(path, user, user)
    path.chmod(mode)
    return path


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def certificates():
    """A folder with a CA, and what it has signed for the daemon and for a client."""
    folder = folder_of(USER, 0o755)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", "-x509", *key, "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key",
            "-out", "ca.pem")
    for name, alternative in (("server", "DNS:server.test,DNS:singleflightd,IP:127.0.0.1"),
                              ("client", "DNS:cron")):
        (folder / "extensions").write_text(f"subjectAltName={alternative}\n")
        openssl(folder, "req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out",
                f"{name}.csr")
        openssl(folder, "x509", "-req", "-days", "2", "-in", f"{name}.csr", "-CA", "ca.pem",
                "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions", "-out",
                f"{name}.pem")
    for path in folder.iterdir():
        os.chown(path, USER, USER)
    return folder


def with_tls(**more):
    return {"SINGLEFLIGHTD_INSECURE_LISTEN": "no", "SINGLEFLIGHTD_TLS_CERT": f"{TLS}/server.pem",
            "SINGLEFLIGHTD_TLS_KEY": f"{TLS}/server.key", **more}


def health_of(container):
    asked = container.health()
    return asked.returncode, asked.stdout


def becomes_healthy(container):
    """An engine, too, asks more than once."""
    until(lambda: health_of(container) == READY, "it is healthy")


class Running(unittest.TestCase):
    def test_what_it_may_do(self):
        with Container() as container:
            container.serves()
            status = pathlib.Path(f"/proc/{container.pid()}/status").read_text()
            self.assertRegex(status, rf"(?m)^Uid:\t{USER}\t{USER}\t{USER}\t{USER}$")
            for kind in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
                self.assertRegex(status, rf"(?m)^{kind}:\t0+$")
            self.assertRegex(status, r"(?m)^NoNewPrivs:\t1$")
            touched = container.run("touch", "/x")
            self.assertNotEqual(touched.returncode, 0)
            self.assertIn("Read-only file system", touched.stderr)

    def test_it_runs_a_job_and_ends_in_order(self):
        with Container() as container:
            container.serves()
            done = container.run("singleflight", "do", "demo", "--", "/bin/echo", "hello")
            self.assertEqual((done.returncode, done.stdout), (0, "hello\n"), done.stderr)
            container.kill(signal.SIGTERM)
            self.assertEqual(container.end(), 0)
            self.assertIn("event=drained in_time=true", container.text())

    def test_a_retained_outcome_is_there_after_a_restart(self):
        volume = folder_of(USER)
        for word in ("first", "second"):
            with Container(environment={"SINGLEFLIGHTD_DATA_DIR": DATA},
                           volumes=[(volume, DATA)]) as container:
                container.serves()
                done = container.run("singleflight", "do", "--retain", "1h", "--fingerprint", "none",
                                     "kept", "--", "/bin/echo", word)
                self.assertEqual((done.returncode, done.stdout), (0, "first\n"), done.stderr)
                container.kill(signal.SIGTERM)
                self.assertEqual(container.end(), 0)


class Health(unittest.TestCase):
    def test_plain(self):
        with Container() as container:
            becomes_healthy(container.serves())

    def test_on_other_ports(self):
        ports = {"SINGLEFLIGHTD_LISTEN": "127.0.0.1:7500",
                 "SINGLEFLIGHTD_ADMIN_LISTEN": "127.0.0.1:9500"}
        with Container(environment=ports) as container:
            becomes_healthy(container.serves())

    def test_with_tls(self):
        with Container(environment=with_tls(SINGLEFLIGHTD_INSECURE_LISTEN="yes"),
                       volumes=[(certificates(), f"{TLS}:ro")]) as container:
            becomes_healthy(container.serves())

    def test_with_mutual_tls_and_tokens(self):
        folder = certificates()
        with Container() as container:
            container.serves()
            made = container.run("singleflight", "token", "cron")
        (folder / "cron.token").write_text(made.stdout)
        (folder / "tokens").write_text(made.stderr)
        rights = with_tls(SINGLEFLIGHTD_TLS_CLIENT_CA=f"{TLS}/ca.pem",
                          SINGLEFLIGHTD_TOKEN_FILE=f"{TLS}/tokens")
        with Container(environment=rights, volumes=[(folder, f"{TLS}:ro")]) as container:
            becomes_healthy(container.serves())
            caller = {"SINGLEFLIGHT_TLS_CA": f"{TLS}/ca.pem",
                      "SINGLEFLIGHT_TLS_CERT": f"{TLS}/client.pem",
                      "SINGLEFLIGHT_TLS_KEY": f"{TLS}/client.key",
                      "SINGLEFLIGHT_TOKEN_FILE": f"{TLS}/cron.token"}
            job = ("singleflight", "do", "demo", "--", "/bin/echo", "hello")
            done = container.run(*job, environment=caller)
            self.assertEqual((done.returncode, done.stdout), (0, "hello\n"), done.stderr)
            self.assertNotEqual(container.run(*job).returncode, 0, "it lets in who shows nothing")

    def test_stopped(self):
        with Container() as container:
            container.serves()
            os.kill(container.pid(), signal.SIGSTOP)
            asked = container.health()
            self.assertEqual(asked.returncode, 1)
            self.assertIn("no answer from the admin port 0.0.0.0:9433", asked.stderr)
            os.kill(container.pid(), signal.SIGCONT)
            becomes_healthy(container)

    def test_draining(self):
        with Container(environment={"SINGLEFLIGHTD_DRAIN_TIME": "1m"}) as container:
            container.serves()
            job = subprocess.Popen(
                ["runc", "--root", WORK / "runc", "exec", container.id, "singleflight", "do",
                 "long", "--", "/bin/sleep", "600"], stdin=subprocess.DEVNULL)
            until(lambda: "long" in container.run("singleflight", "list").stdout, "the job runs")
            container.kill(signal.SIGTERM)
            until(lambda: "is not ready: 503" in container.health().stderr, "it is not ready")
            container.kill(signal.SIGTERM)
            self.assertEqual(container.end(), 0)
            job.wait()

    def test_without_an_admin_port(self):
        with Container(environment={"SINGLEFLIGHTD_ADMIN_LISTEN": ""}) as container:
            container.wait_for("singleflightd listening on")
            asked = container.health()
            self.assertEqual(asked.returncode, 1)
            self.assertIn("set admin-listen", asked.stderr)


class Faults(unittest.TestCase):
    """Each is one clear line, and an exit code."""

    def ends(self, code, pattern, environment, volumes=(), arguments=(), network=None):
        with Container(arguments=arguments, environment=environment, volumes=volumes,
                       network=network) as container:
            self.assertEqual(container.end(), code, container.text())
            lines = [line for line in container.said
                     if line.startswith("singleflightd: ") or "level=error" in line]
            self.assertLessEqual(len(lines), 2, "the second is the same, for who reads logs")
            for line in lines or [""]:
                self.assertRegex(line, pattern)

    def test_a_port_in_use(self):
        with Container() as first:
            network = first.serves().network()
            self.ends(1, r"0\.0\.0\.0:7433.*[Aa]ddress already in use",
                      {"SINGLEFLIGHTD_ADMIN_LISTEN": "0.0.0.0:9500"}, network=network)
            self.ends(1, r"0\.0\.0\.0:9433.*[Aa]ddress already in use",
                      {"SINGLEFLIGHTD_LISTEN": "0.0.0.0:7500"}, network=network)
            becomes_healthy(first)

    def test_a_certificate_that_is_not_there(self):
        self.ends(78, rf"{TLS}/server\.pem.*No such file", with_tls(
            SINGLEFLIGHTD_INSECURE_LISTEN="yes"))

    def test_no_certificate_where_one_is_demanded(self):
        self.ends(78, r"0\.0\.0\.0:7433.*(tls-cert|TLS)", {"SINGLEFLIGHTD_INSECURE_LISTEN": "no"})

    def test_bad_settings(self):
        self.ends(78, r"SINGLEFLIGHTD_DRAIN_TIME.*soon", {"SINGLEFLIGHTD_DRAIN_TIME": "soon"})
        self.ends(64, r"--no-such-thing", {}, arguments=["--no-such-thing"])

    def test_a_data_folder_without_a_volume(self):
        self.ends(1, rf"{DATA}.*Read-only file system", {"SINGLEFLIGHTD_DATA_DIR": DATA})

    def test_a_volume_of_somebody_else(self):
        self.ends(1, rf"{DATA}.*Permission denied", {"SINGLEFLIGHTD_DATA_DIR": DATA},
                  volumes=[(folder_of(0), DATA)])


class Words(unittest.TestCase):
    def test_the_version_is_that_of_the_label(self):
        with Container(arguments=["--version"]) as container:
            self.assertEqual(container.end(), 0)
            labels = container.image.labels
            match = re.match(r"singleflightd (\S+) \(git (\S+)\)", container.said[0])
            self.assertEqual(match.group(1), labels["org.opencontainers.image.version"])
            self.assertEqual(match.group(2), labels["org.opencontainers.image.revision"])
            self.assertRegex(container.said[1], r"^gRPC [\d.]+, static$")


if __name__ == "__main__":
    unittest.main()
