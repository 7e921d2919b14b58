# SPDX-License-Identifier: Apache-2.0
"""Certificates and tokens: in Secrets for the daemon, in files for those who call it."""

import os
import socket
import ssl
import subprocess

from .namespace import run
from .node import CERTIFICATES

TLS, CLIENT_CA, TOKENS = "daemon-tls", "callers-ca", "callers-tokens"

# Mutual TLS, and a token that may lead in the group of the load; nobody else may anything.
VALUES = {
    "tls": {"existingSecret": TLS, "clientCA": {"existingSecret": CLIENT_CA}},
    "tokens": {"existingSecret": TOKENS},
    "access": {"inline": "[who]\nload = token:load\n[group fleet]\nlead = load\n"},
}


class Keys:
    """Of one CA, in a folder; for a daemon with the host names `names`."""

    def __init__(self, folder, build, *names):
        self.folder, self.names = folder, [f"DNS:{name}" for name in names]
        self.make("daemon", *self.names)
        self.make("load", "DNS:load.example")
        made = subprocess.run([os.path.join(build, "bin", "singleflight"), "token", "load"],
                              check=True, capture_output=True, text=True)
        self.token_line = made.stderr
        with open(self.path("token"), "w", encoding="ascii",
                  opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(made.stdout)

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self, name, *names):
        subprocess.run([CERTIFICATES, self.folder, name, *names], check=True)

    def text(self, name):
        with open(self.path(name), encoding="ascii") as file:
            return file.read()

    def put(self, space):
        """Into the Secrets that VALUES name."""
        self.put_certificate(space)
        space.secret(CLIENT_CA, ca__crt=self.text("ca.pem"))
        space.secret(TOKENS, tokens=self.token_line)

    def put_certificate(self, space):
        space.secret(TLS, tls__crt=self.text("daemon.pem"), tls__key=self.text("daemon.key"))

    def renew(self, space):
        """Another certificate for the daemon, and its serial number."""
        self.make("daemon", *self.names)
        self.put_certificate(space)
        return self.serial()

    def serial(self):
        said = run("openssl", "x509", "-in", self.path("daemon.pem"), "-noout", "-serial")
        return int(said.strip().removeprefix("serial="), 16)

    def environment(self):
        """What makes a client of ours one that may call."""
        return {
            "SINGLEFLIGHT_TLS_CA": self.path("ca.pem"),
            "SINGLEFLIGHT_TLS_CERT": self.path("load.pem"),
            "SINGLEFLIGHT_TLS_KEY": self.path("load.key"),
            "SINGLEFLIGHT_TOKEN_FILE": self.path("token"),
        }

    def served_serial(self, address):
        """The serial number of the certificate that the daemon shows now."""
        host, port = address.rsplit(":", 1)
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        context.load_cert_chain(self.path("load.pem"), self.path("load.key"))
        context.set_alpn_protocols(["h2"])
        with socket.create_connection((host, int(port)), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname=host) as secure:
                return int(secure.getpeercert()["serialNumber"], 16)
