# SPDX-License-Identifier: Apache-2.0
"""Certificates, and a daemon and callers that use them."""

import pathlib
import shutil
import socket
import ssl
import subprocess

import grpc

from support.net import Net
from support.wait import BOUND

TOOL = pathlib.Path(__file__).resolve().parents[2] / "support" / "certificates"
SERVER_NAMES = ("DNS:localhost", "IP:127.0.0.1")


class Certificates:
    """A folder of them: ca, server, alice and bob, as tests/support/certificates makes them."""

    def __init__(self, folder, like=None):
        self.folder = pathlib.Path(folder)
        if like is not None:
            shutil.copytree(like.folder, self.folder, dirs_exist_ok=True)
        else:
            subprocess.run([TOOL, self.folder], check=True, timeout=BOUND)

    def make(self, name, *alternative_names, expired=False, ca=None):
        """One more, or one anew, in one rename each for certificate and key."""
        options = ["--expired"] if expired else []
        options += ["--ca", ca] if ca else []
        command = [TOOL, *options, self.folder, name, *(alternative_names or SERVER_NAMES)]
        subprocess.run(command, check=True, timeout=BOUND)

    def pem(self, name):
        return self.folder / f"{name}.pem"

    def key(self, name):
        return self.folder / f"{name}.key"

    def flags(self, client_ca=None):
        """The daemon's, for the certificate called server."""
        flags = ["--tls-cert", self.pem("server"), "--tls-key", self.key("server")]
        return flags + (["--tls-client-ca", self.pem(client_ca)] if client_ca else [])

    def credentials(self, name=None, ca="ca"):
        """A caller's; without a name it shows no certificate."""
        key, chain = (None, None)
        if name is not None:
            key, chain = self.key(name).read_bytes(), self.pem(name).read_bytes()
        return grpc.ssl_channel_credentials(self.pem(ca).read_bytes(), key, chain)

    def serial(self, name="server"):
        return serial_of(self.pem(name).read_text())


def serial_of(pem):
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"],
        input=pem,
        capture_output=True,
        text=True,
        check=True,
        timeout=BOUND,
    )
    return done.stdout


class SecureNet(Net):
    """A Net over TLS. Every channel has a connection of its own."""

    def __init__(self, daemon, credentials, **options):
        self._credentials = credentials
        super().__init__(daemon, **options)

    def open_channel(self, address=None, options=()):
        channel = grpc.secure_channel(
            f"ipv4:{address or self.address}",
            self._credentials,
            [
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.ssl_target_name_override", "localhost"),
                *options,
            ],
        )
        self._closers.append(channel)
        return channel


def tcp(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=BOUND)


def shown_serial(address):
    """That of the certificate that the server shows to whoever comes now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with tcp(address) as plain, context.wrap_socket(plain) as secured:
        return serial_of(ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True)))
