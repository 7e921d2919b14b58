# SPDX-License-Identifier: Apache-2.0
"""The same over mutual TLS with tokens: the files, and who is told of them by which variables."""

import hashlib
import os
import secrets
import subprocess

from .peers import Daemon

CERTIFICATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "support",
                            "certificates")

# The drivers have their rights by the token alone, and get in by the certificate alone.
ACCESS = """\
[who]
drivers = token:drivers

[group *-*-*]
all = drivers

[group default]
all = drivers

[group crowd]
all = drivers

[group joined]
do = drivers

[server]
admin = drivers
"""


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def set_up(folder):
    """Makes the files in `folder`; daemons, drivers and tools that start from now on use them."""
    subprocess.run([CERTIFICATES, folder], check=True)
    token = secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()

    def path(name):
        return os.path.join(folder, name)

    Daemon.options_of_all = [
        "--tls-cert", path("server.pem"), "--tls-key", path("server.key"),
        "--tls-client-ca", path("ca.pem"),
        "--token-file", write(path("tokens"), f"drivers {digest}\n"),
        "--access-file", write(path("access"), ACCESS)]
    os.environ.update({
        "SINGLEFLIGHT_TLS_CA": path("ca.pem"),
        "SINGLEFLIGHT_TLS_CERT": path("alice.pem"),
        "SINGLEFLIGHT_TLS_KEY": path("alice.key"),
        "SINGLEFLIGHT_TOKEN_FILE": write(path("token"), token + "\n")})
