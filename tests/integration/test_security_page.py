# SPDX-License-Identifier: Apache-2.0
"""docs/security.md: the certificates that it tells how to make work as it says."""

import pathlib
import re
import subprocess

import grpc

from support.daemon import Daemon
from support.secure import Certificates, SecureNet
from support.wait import BOUND

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "security.md"
ACCESS = """
[who]
worker = uri:spiffe://example.com/worker
[group jobs]
all = worker
"""


def commands():
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


def flags_of(program):
    """The TLS flags of a command line on the page, by name."""
    (line,) = re.findall(rf"^{program} (.*)$", "".join(commands()), re.M)
    return dict(re.findall(r"--(tls-\S+) (\S+)", line))


def test_the_certificates_of_the_page_make_mutual_tls(tmp_path):
    subprocess.run(["bash", "-euc", commands()[0]], cwd=tmp_path, check=True, timeout=BOUND)
    for name, purpose in (("server", "sslserver"), ("worker", "sslclient")):
        subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose", purpose,
                        f"{name}.pem"], cwd=tmp_path, check=True, timeout=BOUND)
    server, caller = flags_of("singleflightd"), flags_of("singleflight do")
    (tmp_path / "access").write_text(ACCESS)
    given = [word for name, file in server.items() for word in (f"--{name}", tmp_path / file)]
    made = Certificates(tmp_path / "others", like=None)
    with Daemon("--access-file", tmp_path / "access", *given) as daemon:
        worker = grpc.ssl_channel_credentials(
            *((tmp_path / caller[name]).read_bytes() for name in ("tls-ca", "tls-key", "tls-cert")))
        net = SecureNet(daemon, worker)
        net.key_is_free(group="jobs")
        net.join(group="others").ended(grpc.StatusCode.PERMISSION_DENIED)
        net.close()
        stranger = grpc.ssl_channel_credentials(
            (tmp_path / "ca.pem").read_bytes(), made.key("alice").read_bytes(),
            made.pem("alice").read_bytes())
        net = SecureNet(daemon, stranger)
        net.join(group="jobs").ended(grpc.StatusCode.UNAVAILABLE)
        net.close()
